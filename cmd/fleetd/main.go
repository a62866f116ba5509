// Command fleetd is the service: HTTP API, workers, schedules and metrics.
//
// It is unrelated to Fleet Device Management's command of the same name.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"fleetd/internal/fleet"
)

// The exit codes of the contract that fleetd uses.
const (
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := exec(ctx, os.LookupEnv, os.Stdin, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// environment looks up a variable, as os.LookupEnv does.
type environment func(name string) (value string, ok bool)

// exec runs one command line and returns its exit code.
func exec(ctx context.Context, env environment, stdin io.Reader, stdout, stderr io.Writer, args []string) int {
	root := newRoot(env, serve) //nolint:contextcheck // cobra hands the context to the command that runs.
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var known *fleet.Error
	if errors.As(err, &known) {
		nameVariable(cmd.Flags(), known)
	}
	fmt.Fprintf(stderr, "error: %s\n", err)
	if known != nil {
		for _, d := range known.Details {
			fmt.Fprintf(stderr, "  %s: %s\n", d.Location, d.Message)
		}
	}
	var usage *usageError
	if errors.As(err, &usage) || (known != nil && known.Code == fleet.CodeInvalid) {
		fmt.Fprintf(stderr, "See '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitError
}

func newRoot(env environment, serve serveFunc) *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetd",
		Short: "Enable, disable and audit Alexa skills in tens of thousands of homes",
		Long: "fleetd enables, disables and audits Alexa skills in tens of thousands of homes, within the limits of the API,\n" +
			"and proves every outcome. It is unrelated to Fleet Device Management's command of the same name.\n\n" +
			"Every flag has an environment name behind it: --data-dir is FLEETD_DATA_DIR.",
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              noArgs,
		RunE:              needsCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags(), env) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{plainFlagError(err)} })
	root.AddCommand(newServe(serve), newDemo(), newMigrate(), newToken(), newVersion())
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return &usageError{err}
	}
	return nil
}

// needsCommand shows the help of a command that only groups others.
func needsCommand(cmd *cobra.Command, _ []string) error {
	_ = cmd.Help()
	return &usageError{errors.New("a command is needed")}
}
