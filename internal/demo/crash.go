package demo

import (
	"context"
	"fmt"
	"time"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// restartDelay is what a supervisor waits before it starts a service again.
const restartDelay = time.Second

// crash is what became of the kill -9.
type crash struct {
	killed  time.Time
	started time.Time // when the next worker was started
	held    []string  // units that the dead worker was at
	settled bool      // each of them was asked about again

	tookOver  time.Duration // after the kill
	readFirst int           // of held: the first request was a read
}

// killWorker kills the worker as kill -9 does, and starts another as a supervisor would.
func (d *demo) killWorker(ctx context.Context, say display) error {
	before, err := d.inState(ctx, fleet.TargetRunning)
	if err != nil {
		return err
	}
	r, err := d.lookAt(ctx, d.rollout.ID)
	if err != nil {
		return err
	}
	say.note(fmt.Sprintf("$ kill -9 %d", d.worker.pid()))
	d.worker.kill()
	c := &crash{killed: time.Now()}
	d.crash = c
	say.note(fmt.Sprintf("  The worker is dead, with %s in its hands. %s had an outcome.",
		things(r.Counts.Running, "home"), count(ended(r.Counts))))
	if err := wait(ctx, restartDelay); err != nil {
		return err
	}
	c.started = time.Now()
	if err := d.startServe(ctx); err != nil {
		return err
	}
	if r, err = d.lookAt(ctx, d.rollout.ID); err != nil {
		return err
	}
	d.journal.look(r)
	if c.held, err = d.held(ctx, before); err != nil {
		return err
	}
	say.note(fmt.Sprintf("  Started again, as a supervisor would: process %d, ready after %s.", d.worker.pid(), seconds(time.Since(c.killed))))
	say.note(fmt.Sprintf("  Counts: %s done + %s open = %s of %s.", count(ended(r.Counts)), count(open(r.Counts)),
		count(ended(r.Counts)+open(r.Counts)), count(r.Targets)))
	return nil
}

// held is which of the units that were being worked on right before the kill had no
// outcome at the kill: they are still open, or have been asked about since.
func (d *demo) held(ctx context.Context, before []string) ([]string, error) {
	still := map[string]bool{}
	for _, state := range []fleet.TargetState{fleet.TargetQueued, fleet.TargetRunning, fleet.TargetVerifying} {
		units, err := d.inState(ctx, state)
		if err != nil {
			return nil, err
		}
		for _, id := range units {
			still[id] = true
		}
	}
	var held []string
	for _, id := range before {
		if _, asked := firstSince(d.sim, id, d.crash.started); asked || still[id] {
			held = append(held, id)
		}
	}
	return held, nil
}

// inState is the units whose target is in a state now.
func (d *demo) inState(ctx context.Context, state fleet.TargetState) ([]string, error) {
	var units []string
	params := client.ListTargetsParams{State: new(client.ListTargetsParamsState(state))}
	err := d.targets(ctx, params, func(t client.Target) { units = append(units, t.UnitID) })
	return units, err
}

// firstSince is the first request about a home since a time, if there was one.
func firstSince(sim *simulator.Simulator, unitID string, since time.Time) (simulator.Entry, bool) {
	entries, _ := sim.HistoryPage(simulator.HistoryParams{After: since, UnitID: unitID, SkillID: skill, Limit: 1})
	if len(entries) == 0 {
		return simulator.Entry{}, false
	}
	return entries[0], true
}

// targets lists targets of the rollout, however many there are.
func (d *demo) targets(ctx context.Context, params client.ListTargetsParams, each func(client.Target)) error {
	params.Limit = new(int64(1000))
	for {
		page, err := d.api.ListTargets(ctx, d.rollout.ID, params)
		if err != nil {
			return fmt.Errorf("list the targets: %w", err)
		}
		for _, t := range page.Value.Items {
			each(t)
		}
		if page.Value.NextCursor == "" {
			return nil
		}
		params.Cursor = &page.Value.NextCursor
	}
}

// settle says when everything that the dead worker held has been taken over, and
// whether each home was read before anything else: a write of the dead worker may
// have been done, so nothing may be written without looking.
func (c *crash) settle(sim *simulator.Simulator, say display) {
	if c == nil || c.settled || c.started.IsZero() {
		return
	}
	read, last := 0, c.killed
	for _, id := range c.held {
		first, asked := firstSince(sim, id, c.started)
		if !asked {
			return
		}
		if first.Operation == simulator.OperationGet {
			read++
		}
		if first.Time.After(last) {
			last = first.Time
		}
	}
	c.settled, c.readFirst, c.tookOver = true, read, last.Sub(c.killed)
	if len(c.held) == 0 {
		return
	}
	say.note(fmt.Sprintf("  Taken over within %[2]s: %[1]s the dead worker held. Read before anything was written: %[3]d of %[4]d.",
		things(len(c.held), "home"), seconds(c.tookOver), read, len(c.held)))
}

// outage is the time without requests around a kill: from the last request let
// through before the next worker came to the first one after.
func outage(entries []simulator.Entry, started time.Time) time.Duration {
	var last time.Time
	for _, e := range entries {
		if e.Operation == simulator.OperationToken || e.Operation == simulator.OperationCode || e.Status == 429 {
			continue
		}
		if e.Time.After(started) {
			if last.IsZero() {
				return 0
			}
			return e.Time.Sub(last)
		}
		last = e.Time
	}
	return 0
}
