package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make tokens for the HTTP API", Args: noArgs, RunE: needsCommand}
	cmd.AddCommand(newTokenCreate())
	return cmd
}

func newTokenCreate() *cobra.Command {
	s := &settings{}
	var name, role string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "create --name NAME --role viewer|operator|admin",
		Short: "Make a token and print it, alone, on stdout",
		Long: "create makes a bearer token and prints it, alone, on stdout; it is kept as a hash and cannot be shown again.\n" +
			"It needs only the database settings, works while fleetd serves, and migrates a new database.",
		Example: "  export FLEETCTL_TOKEN=$(fleetd token create --name alice --role admin)",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case name == "":
				return &usageError{fmt.Errorf("--name is required: who or what will use the token")}
			case !slices.Contains(fleet.Roles(), fleet.Role(role)):
				return &usageError{fmt.Errorf("--role: %q is no role: use viewer, operator or admin", role)}
			case ttl < 0:
				return &usageError{fmt.Errorf("--ttl: %v is negative: use a duration such as 720h", ttl)}
			}
			return withDatabase(cmd, s, func(ctx context.Context, d *app.Database) error {
				secret, err := createToken(ctx, d, store.TokenParams{Name: name, Role: fleet.Role(role), TTL: ttl})
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), secret)
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	s.databaseFlags(f)
	f.StringVar(&name, "name", "", "who or what will use it; the log shows it")
	f.StringVar(&role, "role", "", "viewer reads, operator works, admin manages accounts and tokens as well")
	f.DurationVar(&ttl, "ttl", 0, "how long it lives, such as 720h (0: until it is revoked)")
	return cmd
}

func createToken(ctx context.Context, d *app.Database, p store.TokenParams) (string, error) {
	if err := d.Migrate(ctx, false); err != nil {
		return "", err
	}
	pool, err := d.Pool(ctx, "fleetd token", 2, nil)
	if err != nil {
		return "", err
	}
	defer pool.Close()
	by := fleet.Actor{Name: "fleetd token create", Role: fleet.RoleAdmin}
	_, secret, err := store.New(pool, nil).CreateToken(ctx, p, by, store.Idempotency{})
	return secret, err
}
