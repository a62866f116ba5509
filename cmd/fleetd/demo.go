package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"fleetd/internal/demo"
)

func newDemo() *cobra.Command {
	cfg := demo.Config{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole story on this machine, with nothing to configure",
		Long: "demo starts a private Postgres, a simulated API with a limit and faults, and a fleetd; imports homes, plans and\n" +
			"runs a rollout, kills fleetd half-way with kill -9, and checks every recorded outcome against the truth; changes homes\n" +
			"behind fleetd's back, and has the change found by an audit, explained, repaired and audited clean.\n" +
			"Then fleetd stays up to be tried until Ctrl-C, which removes everything. No request leaves the machine.\n\n" +
			"The exit code is 0 when every step held.",
		Example: "  fleetd demo\n  fleetd demo --exit --homes 5000",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find the program to start as a worker: %w", err)
			}
			cfg.Program, cfg.Out, cfg.ListenGiven = []string{program}, cmd.OutOrStdout(), cmd.Flags().Changed("listen")
			// A terminal that is closed, or a reader that has gone, leaves nothing behind either.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			return demo.Run(ctx, cfg)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&cfg.Exit, "exit", false, "end after the closing table instead of leaving fleetd up")
	f.IntVar(&cfg.Homes, "homes", demo.DefaultHomes, "how many homes there are")
	f.StringVar(&cfg.Listen, "listen", demo.DefaultListen, "address of the HTTP API; when it is taken and was not given, another port")
	f.BoolVar(&cfg.NoKill, "no-kill", false, "do not kill fleetd half-way")
	return cmd
}
