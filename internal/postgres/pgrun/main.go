// Command pgrun runs another command while the private database of a data folder is
// up, and gives it the address in FLEETD_DATABASE_URL:
//
//	pgrun -data-dir .data sh -c 'psql "$FLEETD_DATABASE_URL"'
//
// A FLEETD_DATABASE_URL that is set already is left as it is, and no database is
// started. pgrun is for developers and for make; it is not installed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"fleetd/internal/postgres"
)

// urlVar is the environment name of fleetd's --database-url.
const urlVar = "FLEETD_DATABASE_URL"

func main() {
	os.Exit(run(context.Background(), os.Stdin, os.Stdout, os.Stderr, os.Args[1:]))
}

// run runs the command of args and returns its exit code.
func run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args []string) int {
	flags := flag.NewFlagSet("pgrun", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dataDir := flags.String("data-dir", ".data", "folder of the private database")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() == 0 {
		fmt.Fprintln(stderr, "usage: pgrun [-data-dir DIR] COMMAND [ARGUMENT...]")
		return 2
	}
	code, err := with(ctx, *dataDir, func() (int, error) {
		cmd := exec.CommandContext(ctx, flags.Arg(0), flags.Args()[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
		err := cmd.Run()
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			return exit.ExitCode(), nil
		}
		return 0, err
	})
	if err != nil {
		fmt.Fprintf(stderr, "pgrun: %v\n", err)
		return max(code, 1)
	}
	return code
}

// with sets urlVar while f runs.
func with(ctx context.Context, dataDir string, f func() (int, error)) (code int, err error) {
	if os.Getenv(urlVar) != "" {
		return f()
	}
	server, err := postgres.Start(ctx, postgres.Config{DataDir: dataDir})
	if err != nil {
		return 1, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, server.Stop(ctx))
	}()
	if err := os.Setenv(urlVar, server.URL()); err != nil {
		return 1, fmt.Errorf("set %s: %w", urlVar, err)
	}
	return f()
}
