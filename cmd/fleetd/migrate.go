package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
	"fleetd/migrations"
)

func newMigrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database up to date, or look at how far it is",
		Args:  noArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(
		migrateCommand("up", "Apply the migrations that are missing", func(ctx context.Context, cmd *cobra.Command, url string) error {
			if err := migrations.Up(ctx, url); err != nil {
				return err
			}
			return printMigrations(ctx, cmd, url)
		}),
		newMigrateDown(),
		migrateCommand("status", "List the migrations and when they were applied", func(ctx context.Context, cmd *cobra.Command, url string) error {
			return printMigrations(ctx, cmd, url)
		}),
	)
	return cmd
}

func newMigrateDown() *cobra.Command {
	var to int64
	var yes bool
	cmd := migrateCommand("down", "Take migrations back; what they hold is lost", func(ctx context.Context, cmd *cobra.Command, url string) error {
		if err := migrations.DownTo(ctx, url, to); err != nil {
			return err
		}
		return printMigrations(ctx, cmd, url)
	})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch { // before a private Postgres is started
		case to < 0:
			return fleet.Invalidf("--to", "%d is no migration: use 0 or more", to)
		case !yes:
			return &usageError{errors.New("migrate down drops tables with all they hold: say --yes when you mean it")}
		}
		return run(cmd, args)
	}
	cmd.Flags().Int64Var(&to, "to", 0, "the last migration to keep; 0 keeps none")
	cmd.Flags().BoolVar(&yes, "yes", false, "drop the tables")
	return cmd
}

func migrateCommand(use, short string, run func(ctx context.Context, cmd *cobra.Command, url string) error) *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd, s, func(ctx context.Context, d *app.Database) error { return run(ctx, cmd, d.URL) })
		},
	}
	s.databaseFlags(cmd.Flags())
	return cmd
}

// withDatabase opens the database of the settings for as long as f runs.
func withDatabase(cmd *cobra.Command, s *settings, f func(ctx context.Context, d *app.Database) error) error {
	if !cmd.Flags().Changed("log-level") {
		s.logLevel = "warn"
	}
	cfg, err := s.config(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	d, err := app.OpenDatabase(ctx, cfg.Default())
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, d), d.Close(context.WithoutCancel(ctx)))
}

func printMigrations(ctx context.Context, cmd *cobra.Command, url string) error {
	list, err := migrations.Status(ctx, url)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tNAME\tAPPLIED")
	for _, m := range list {
		applied := "no"
		if m.Applied {
			applied = m.AppliedAt.UTC().Format("2006-01-02 15:04:05")
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", m.Version, m.Name, applied)
	}
	return w.Flush()
}
