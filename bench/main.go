// Command bench measures what the documentation quotes, on whole programs: the
// real fleetd, fleetctl and fleetsim as processes, one Postgres, and bare River
// beside them in the same run. Quote its ratios: absolute figures move with the
// machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"fleetd/internal/postgres"
)

func main() {
	// A terminal that is closed, or a reader that has gone, leaves nothing behind either.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := run(ctx, os.Stdout, os.Stderr, os.Args[1:])
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "error: %s\n", err)
		os.Exit(1)
	}
}

type options struct {
	bin     string
	parts   string
	units   int
	small   int
	targets int

	audited  int
	skills   int
	findings int
	lists    int
	shows    int
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) (err error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.bin, "bin", "bin", "folder of fleetd, fleetctl and fleetsim")
	f.StringVar(&o.parts, "parts", "throughput,audits,large", "what to measure, in this order")
	f.IntVar(&o.units, "units", 1_000_000, "units of the large fleet")
	f.IntVar(&o.small, "small", 100_000, "units of the smaller rollout")
	f.IntVar(&o.targets, "targets", 60_000, "targets and no-op jobs of the throughput comparison")
	f.IntVar(&o.audited, "audited", 100_000, "units of the larger audits; the smaller ones have a tenth")
	f.IntVar(&o.skills, "skills", 10, "skills on each audited unit")
	f.IntVar(&o.findings, "findings", 50_000, "findings of drift on the large fleet")
	f.IntVar(&o.lists, "lists", 300, "calls of drift list")
	f.IntVar(&o.shows, "shows", 2_000, "calls of rollout show")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fleetd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // The server's user, when that is not ours, must get through.
		return err
	}
	pg, err := postgres.Start(ctx, postgres.Config{DataDir: filepath.Join(dir, "data")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pg.Stop(context.WithoutCancel(ctx))) }()

	db, err := openDatabase(ctx, dir, pg.URL())
	if err != nil {
		return err
	}
	defer db.pool.Close()

	b := &bench{options: o, dir: dir, databaseURL: pg.URL(), db: db, stdout: stdout, stderr: stderr}
	fmt.Fprintf(stdout, "%s, %d CPUs, %s, %s\n\n", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.Version(), runtime.GOARCH)
	fmt.Fprintf(stdout, "| measured | figure | goal |\n|---|---|---|\n")
	return b.all(ctx)
}

// report prints one line of the table as soon as it is known.
func (b *bench) report(what, figure, goal string) {
	fmt.Fprintf(b.stdout, "| %s | %s | %s |\n", what, figure, goal)
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.stderr, format+"\n", args...)
}
