package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"fleetd/migrations"
)

// throughput compares targets a second, with an API that never refuses and answers
// at once, with bare River's no-op jobs a second: River, fleetd, River, fleetd.
func (b *bench) throughput(ctx context.Context) error { return b.serve(ctx, b.compare) }

func (b *bench) compare(ctx context.Context) (err error) {
	sim, err := b.start(ctx, "http://"+simAddr+"/_sim/", "fleetsim", "--listen", simAddr, "--faults", "none", "--rps", "0",
		"--units", strconv.Itoa(b.targets), "--history", "1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.stop()) }()
	if err := b.account(ctx, "fast", "--rate", "100000"); err != nil {
		return err
	}
	file, err := b.fetch(ctx, "http://"+simAddr+"/_sim/inventory.csv", "fast.csv")
	if err != nil {
		return err
	}
	if _, err := b.ctl(ctx, "unit", "import", file, "--account", "fast"); err != nil {
		return err
	}
	if err := b.vacuum(ctx); err != nil { // after the import, which is no part of this
		return err
	}
	const rounds = 2
	var bare, ours float64
	for i := range rounds {
		b.progress("bare River, round %d", i+1)
		jobs, err := b.bareRiver(ctx, i)
		if err != nil {
			return err
		}
		b.progress("fleetd, round %d", i+1)
		targets, err := b.targetsPerSecond(ctx, sim, i)
		if err != nil {
			return err
		}
		b.report(fmt.Sprintf("round %d: bare River no-op jobs; fleetd targets, one HTTP write each", i+1),
			fmt.Sprintf("%.0f/s; %.0f/s", jobs, targets), "")
		bare, ours = bare+jobs/rounds, ours+targets/rounds
	}
	b.report("targets/s to bare River no-op jobs/s", fmt.Sprintf("%.2f", ours/bare), "0.33")
	return nil
}

// fetch puts what a URL answers in a file.
func (b *bench) fetch(ctx context.Context, url, name string) (file string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	file = filepath.Join(b.dir, name)
	f, err := os.Create(file)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, resp.Body)
	return file, errors.Join(err, f.Close())
}

// targetsPerSecond runs a rollout to its end, one write a unit and no read.
func (b *bench) targetsPerSecond(ctx context.Context, sim *program, round int) (float64, error) {
	fleetd, pg, simulated := b.fleetd.cpu(), b.db.cpu(), sim.cpu()
	done, err := b.ctl(ctx, "rollout", "create", "enable", "--account", "fast", "--skill", fmt.Sprintf("amzn1.ask.skill.fast-%d", round),
		"--select", "all", "--max-failures", "100%", "--observation-max-age", "any", "--yes", "--watch", "-o", "json")
	if err != nil {
		return 0, err
	}
	var r struct {
		State   string    `json:"state"`
		Targets int       `json:"targets"`
		Started time.Time `json:"started_at"`
		Ended   time.Time `json:"ended_at"`
	}
	if err := json.Unmarshal([]byte(done.stdout), &r); err != nil {
		return 0, fmt.Errorf("read the rollout: %w", err)
	}
	if r.State != "succeeded" {
		return 0, fmt.Errorf("the rollout ended %s", r.State)
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(r.Targets) }
	spent := b.db.cpu().since(pg)
	b.progress("  processor time a target: fleetd %.0f us, Postgres %.0f us (vacuum %.0f us besides), fleetsim %.0f us",
		each(b.fleetd.cpu()-fleetd), each(spent.work), each(spent.vacuum), each(sim.cpu()-simulated))
	return float64(r.Targets) / r.Ended.Sub(r.Started).Seconds(), nil
}

// maxWorkers is how many jobs at once both sides may run.
const maxWorkers = 2000

func (b *bench) vacuum(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "VACUUM ANALYZE")
	return errors.Join(err, conn.Close(ctx))
}

type noopArgs struct {
	RolloutID int64 `json:"rollout_id"`
	Seq       int32 `json:"seq"`
}

func (noopArgs) Kind() string { return "noop" }

type noopWorker struct {
	river.WorkerDefaults[noopArgs]

	left *atomic.Int64
	done chan struct{}
}

func (w *noopWorker) Work(context.Context, *river.Job[noopArgs]) error {
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
	return nil
}

// bareRiver is River alone on the same Postgres, with the settings that serve it
// best there, working off jobs that were inserted before.
func (b *bench) bareRiver(ctx context.Context, round int) (rate float64, err error) {
	pool, err := pgxpool.New(ctx, b.databaseURL)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	name := fmt.Sprintf("bare_%d", round)
	if _, err := pool.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return 0, err
	}
	// Gone before the other side's round, or autovacuum would clean up after it then.
	defer func() {
		_, dropErr := pool.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		err = errors.Join(err, dropErr)
	}()
	cfg := pool.Config()
	cfg.ConnConfig.Database = name
	cfg.MaxConns = 24
	own, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer own.Close()
	if err := migrations.Up(ctx, databaseURL(b.databaseURL, name)); err != nil {
		return 0, err
	}
	w := &noopWorker{left: new(atomic.Int64), done: make(chan struct{})}
	w.left.Store(int64(b.targets))
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	client, err := river.NewClient(riverpgxv5.New(own), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		FetchCooldown: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return 0, err
	}
	const batch = 10_000
	for inserted := 0; inserted < b.targets; inserted += batch {
		params := make([]river.InsertManyParams, min(batch, b.targets-inserted))
		for i := range params {
			params[i] = river.InsertManyParams{Args: noopArgs{RolloutID: 1, Seq: int32(inserted + i)}}
		}
		if _, err := client.InsertManyFast(ctx, params); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if err := client.Start(ctx); err != nil {
		return 0, err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	took := time.Since(began)
	return float64(b.targets) / took.Seconds(), client.Stop(context.WithoutCancel(ctx))
}

// databaseURL is base with another database.
func databaseURL(base, name string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	u.Path = "/" + name
	return u.String()
}
