package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

const (
	lookEvery = 200 * time.Millisecond
	// stalled is how long no home may end before something is wrong. A home whose
	// answer was lost may take its verify timeout.
	stalled = 150 * time.Second
	// unansweredFor is how long the API may be silent while the worker lives.
	unansweredFor = 20 * time.Second
)

// followed is something that goes on in fleetd.
type followed interface {
	// look asks fleetd how it goes.
	look(ctx context.Context) (sight, error)
	// step does what is due, and says whether it has ended.
	step(ctx context.Context, now time.Time, stats simulator.Stats, say display) (ended bool, err error)
}

// follow follows what goes on to its end. A look that fails for a reason that passes
// is made again.
func (d *demo) follow(ctx context.Context, homes int64, f followed) error {
	display := newDisplay(d.p, homes)
	defer display.close()
	answered, moved, done := time.Now(), time.Now(), int64(0)
	for {
		now := time.Now()
		s, err := f.look(ctx)
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case d.worker.ended():
			return d.workerEnded()
		case !errors.As(err, &temporary) || !temporary.Temporary() || now.Sub(answered) > unansweredFor:
			return err
		default:
			if err := wait(ctx, lookEvery); err != nil {
				return err
			}
			continue
		}
		stats := d.sim.Stats()
		s.requests, s.refused, s.now = stats.Requests, stats.Refused, now
		display.show(s)
		if s.done != done {
			moved, done = now, s.done
		}
		over, err := f.step(ctx, now, stats, display)
		switch {
		case err != nil || over:
			return err
		case now.Sub(moved) > stalled:
			return fmt.Errorf("no home has got an outcome for %v", stalled)
		}
		answered = time.Now()
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// mainRollout is the rollout of the demo, in which the API is squeezed and, half-way,
// the worker killed.
type mainRollout struct{ *demo }

func (m mainRollout) look(ctx context.Context) (sight, error) {
	r, err := m.lookAt(ctx, m.rollout.ID)
	if err != nil {
		return sight{}, err
	}
	m.rollout = r
	return rolloutSight(r), nil
}

func (m mainRollout) step(ctx context.Context, now time.Time, stats simulator.Stats, say display) (bool, error) {
	r := m.rollout
	m.journal.look(r)
	m.journal.measure(now, stats, r.Counts)
	switch {
	case fleet.RolloutState(r.State).Ended() && r.EndedAt != nil:
		m.crash.settle(m.sim, say)
		return true, nil
	case fleet.RolloutState(r.State) == fleet.RolloutHalted:
		return false, fmt.Errorf("the rollout halted: %s", r.StateReason)
	}
	if err := m.squeeze.step(m.sim, now, r, say); err != nil {
		return false, err
	}
	if m.due(r) {
		if err := m.killWorker(ctx, say); err != nil {
			return false, err
		}
		m.journal.at = time.Time{}
	}
	m.crash.settle(m.sim, say)
	return false, nil
}

// lookAt looks at a rollout once.
func (d *demo) lookAt(ctx context.Context, id string) (client.Rollout, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := d.api.GetRollout(ctx, id)
	if err != nil {
		return client.Rollout{}, fmt.Errorf("look at the rollout: %w", err)
	}
	return r.Value, nil
}

// due reports whether it is time to kill the worker: half of the homes are done,
// and some are being worked on.
func (d *demo) due(r client.Rollout) bool {
	return !d.cfg.NoKill && d.crash == nil && d.squeeze.over && 20*ended(r.Counts) >= 11*r.Targets && r.Counts.Running > 0
}

// journal is what was seen at every look at the rollout.
type journal struct {
	looks  int
	last   client.Rollout
	broken []string // what did not hold, in words

	// What the API let through, and what it would have, while there was something to send.
	at       time.Time // of the last look; zero after a kill
	seen     simulator.Rates
	demand   bool
	sent     uint64
	capacity float64
}

// measure adds up the times between two looks that both saw homes waiting for a
// request. The end of a wave is none of them: there, homes wait for the API.
func (j *journal) measure(now time.Time, stats simulator.Stats, c client.Counts) {
	demand := c.Queued+c.Running > 0
	if demand && j.demand && !j.at.IsZero() {
		j.sent += stats.Accepted - j.seen.Accepted
		j.capacity += stats.AcceptedCapacity - j.seen.AcceptedCapacity
	}
	j.at, j.seen, j.demand = now, stats.Rates, demand
}

// look checks what must hold at every look: counts are whole, no outcome is taken
// back, and waves come in order.
func (j *journal) look(r client.Rollout) {
	j.looks++
	if sum := ended(r.Counts) + open(r.Counts); sum != r.Targets {
		j.broken = append(j.broken, fmt.Sprintf("look %d: counts add up to %d, not %d", j.looks, sum, r.Targets))
	}
	if ended(r.Counts) < ended(j.last.Counts) {
		j.broken = append(j.broken, fmt.Sprintf("look %d: %d outcomes, after %d", j.looks, ended(r.Counts), ended(j.last.Counts)))
	}
	if r.Wave.Index < j.last.Wave.Index {
		j.broken = append(j.broken, fmt.Sprintf("look %d: wave %d, after wave %d", j.looks, r.Wave.Index, j.last.Wave.Index))
	}
	j.last = r
}

// share is the share of what the API allowed that was used while there was
// something to send.
func (j *journal) share() float64 { return float64(j.sent) / max(1, j.capacity) }

// ended is how many homes have an outcome.
func ended(c client.Counts) int64 { return c.Succeeded + c.Failed + c.Skipped + c.Canceled }

// open is how many homes have none yet.
func open(c client.Counts) int64 { return c.Pending + c.Queued + c.Running + c.Verifying }
