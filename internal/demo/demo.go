package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"fleetd/internal/client"
	"fleetd/internal/postgres"
	"fleetd/internal/simulator"
)

const (
	account = "demo"
	// skill must not contain "unknown", which means something to the simulator.
	skill = "amzn1.ask.skill.demo-concierge"
	// legacySkill is not wanted on the homes that are audited.
	legacySkill = "amzn1.ask.skill.demo-legacy"

	maxRate   = 150.0 // requests a second that the simulated API allows
	minRate   = 20.0  // where homes are few: a rollout needs a half-way
	trueBurst = 20
)

// demo is one run.
type demo struct {
	cfg   Config
	p     *printer
	began time.Time

	dir      string
	database *postgres.Server
	sim      *simulator.Simulator
	simURL   string
	simDone  chan error
	simStop  context.CancelFunc
	listen   string
	logFile  *os.File
	worker   *worker
	token    string
	api      *client.Client

	plan    client.Plan
	rollout client.Rollout
	journal journal
	squeeze squeeze
	crash   *crash // nil: nobody was killed

	outcomes outcomes

	where         []string // the properties that are audited
	selector      string
	injected      []simulator.Drift
	wanted        map[pair]difference // what there is to find
	first, second *auditing
	repair        *repairing
	wrongFound    []string // what was not found as it is, one by one
	wrongRepaired []string // what was not put right, one by one
}

// trueRate is what the simulated API allows for a number of homes, in requests a second.
func trueRate(homes int) float64 { return min(maxRate, max(minRate, float64(homes/10))) }

// Run runs the demo and takes everything down again, also when ctx ends. It returns
// nil when every step held; a *CheckError says which did not.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	d := &demo{cfg: cfg, p: newPrinter(cfg.Out), began: time.Now()}
	defer func() { err = d.end(ctx, err) }()
	d.p.text("fleetd demo: %s homes, an API that allows %.0f requests a second and misbehaves%s.",
		count(cfg.Homes), trueRate(cfg.Homes), map[bool]string{false: ", and a kill -9 half-way"}[cfg.NoKill])
	d.p.text("Then homes change behind our back: an audit finds it, a repair puts it right.")
	d.p.text("Everything runs on this machine; no request leaves it.")
	if err := d.chooseListen(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		d.buildWorld, d.createAccount, d.importHomes, d.planRollout, d.runRollout,
		d.changeHomes, d.firstAudit, d.explainDrift, d.repairHomes, d.secondAudit,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	err = d.report()
	var failed *CheckError
	if cfg.Exit || err != nil && !errors.As(err, &failed) {
		return err
	}
	return errors.Join(err, d.stay(ctx)) // what failed can be looked at
}

// stay leaves the service up until ctx ends.
func (d *demo) stay(ctx context.Context) error {
	d.invite()
	select {
	case <-ctx.Done():
		return nil
	case <-d.worker.done:
		return d.workerEnded()
	}
}

// end takes everything down in the reverse order of its coming up, and turns the
// end of ctx into a plain sentence.
func (d *demo) end(ctx context.Context, err error) error {
	var failed *CheckError
	interrupted := ctx.Err() != nil && !errors.As(err, &failed) // whatever broke, it broke because of that
	if interrupted {
		d.p.text("")
		d.p.text("Stopping.")
	}
	down := d.tearDown(context.WithoutCancel(ctx), err != nil && !interrupted)
	switch {
	case err == nil:
		d.p.text("Everything is stopped and removed.")
	case interrupted:
		err = errors.New("the demo was interrupted before its end; everything is stopped and removed")
	case d.logFile != nil:
		err = fmt.Errorf("%w\nThe worker's log is kept: %s", err, d.logFile.Name())
	}
	return errors.Join(err, down)
}

// tearDown ends what runs and removes the folder, but for the log when keepLog.
func (d *demo) tearDown(ctx context.Context, keepLog bool) error {
	const most = 20 * time.Second
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var errs []error
	if d.api != nil {
		d.api.Close()
	}
	if d.worker != nil {
		d.worker.stop(ctx)
	}
	if d.simStop != nil {
		d.simStop()
		errs = append(errs, <-d.simDone)
	}
	if d.database != nil {
		errs = append(errs, d.database.Stop(ctx))
	}
	if d.logFile != nil {
		errs = append(errs, d.logFile.Close())
	}
	if d.dir != "" {
		errs = append(errs, d.remove(keepLog && d.logFile != nil))
	}
	return errors.Join(errs...)
}

// remove removes the folder of the run.
func (d *demo) remove(keepLog bool) error {
	if !keepLog {
		return os.RemoveAll(d.dir) //nolint:wrapcheck // its error names the path
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if path := filepath.Join(d.dir, e.Name()); path != d.logFile.Name() {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}
