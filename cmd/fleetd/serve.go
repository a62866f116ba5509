package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
)

// serveFunc runs the service until ctx ends.
type serveFunc func(ctx context.Context, cfg app.Config) error

func newServe(serve serveFunc) *cobra.Command {
	s := &settings{}
	migrate := true
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service until it is told to stop",
		Long: "serve runs the HTTP API and the workers. SIGTERM or Ctrl-C stops it in good order: nothing is lost, and\n" +
			"another process (or the next start) goes on where it was.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.app.MaxInFlight == 0 { // to Config it would be the default
				return fleet.Invalidf("--max-in-flight", "0 is out of range: use 1 to 10000")
			}
			cfg, err := s.config(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			cfg.NoMigrate = !migrate
			return serve(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	s.databaseFlags(f)
	f.StringVar(&s.app.Listen, "listen", app.DefaultListen, "address of the HTTP API")
	f.StringVar(&s.app.EncryptionKeyFile, "encryption-key-file", "", "32 random bytes in base64 (empty: a file in --data-dir, made on first use)")
	f.IntVar(&s.app.MaxInFlight, "max-in-flight", app.DefaultMaxInFlight, "targets of one account under way at once in this process, 1 to 10000")
	f.StringVar(&s.app.AuditSchedule, "audit-schedule", "", "when audits begin, for accounts without a schedule of their own: a cron expression such as '0 2 * * *' (empty: never)")
	f.StringVar(&s.app.AuditTimezone, "audit-timezone", "UTC", "time zone of --audit-schedule, such as America/New_York")
	f.StringVar(&s.app.SNSCertOrigin, "sns-cert-origin", "", "where else than at Amazon certificates of event messages may be, such as http://127.0.0.1:8090 of fleetsim (empty: nowhere)")
	f.StringVar(&s.app.SNSCAFile, "sns-ca-file", "", "certificates in PEM that those of --sns-cert-origin must chain to")
	f.BoolVar(&migrate, "migrate", true, "migrate the database first; false: refuse to start on an old one")
	f.DurationVar(&s.app.ShutdownTimeout, "shutdown-timeout", app.DefaultShutdownTimeout, "how long work under way is waited for when stopping")
	return cmd
}

// collectLater trades memory that fleetd has to spare for a fifth of its processor
// time: the heap in use is some 20 MiB, and garbage is collected at 100 to 128. Who
// sets GOGC or GOMEMLIMIT decides otherwise.
func collectLater() {
	const percent, softLimit = 400, 128 << 20
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(softLimit)
	}
}

func serve(ctx context.Context, cfg app.Config) error {
	collectLater()
	a, err := app.Start(ctx, cfg)
	if err != nil {
		return err
	}
	cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("url", a.URL()), slog.String("version", cfg.Version))
	err = a.Wait(ctx)
	cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "stopping")
	if stopErr := a.Stop(context.WithoutCancel(ctx)); stopErr != nil {
		return errors.Join(err, stopErr)
	}
	cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "stopped")
	return err
}
