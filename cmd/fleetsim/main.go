// Command fleetsim serves a stand-in of the remote APIs, of Login with Amazon
// and of a code server on one loopback port. Package simulator has what it does;
// fleetsim -h has every setting.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"fleetd/internal/simulator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := exec(ctx, os.LookupEnv, os.Stdin, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(exitCode(os.Stderr, err))
}

// usageError is a failure that lies in the flags.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// exitCode reports err and maps it to the exit codes of contract.md.
func exitCode(stderr io.Writer, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(stderr, "fleetsim: %v\n", err)
	if _, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintln(stderr, "fleetsim -h shows every flag.")
		return 2
	}
	return 1
}

// exec serves until ctx ends. It prints one line, the address, when it is ready.
func exec(ctx context.Context, env func(string) (string, bool), _ io.Reader, stdout, _ io.Writer, args []string) error {
	opts, err := parse(env, stdout, args)
	if err != nil {
		return err
	}
	ln, err := simulator.Listen(ctx, opts.listen)
	if err != nil {
		return err
	}
	sim := simulator.New(opts.config)
	fmt.Fprintf(stdout, "fleetsim ready at http://%s\n", ln.Addr())
	return sim.Serve(ctx, ln)
}
