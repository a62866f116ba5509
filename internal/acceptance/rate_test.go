package acceptance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// tries is how often a share of a rate is measured before it counts as missed: on
// a machine that is busy with other tests one run says little about fleetd. What
// must never happen is looked for in every try.
const tries = 3

// busy is how much of a share the other tests of `make test` may take away.
const busy = 0.06

// bestOf measures a share until it is what was promised. At the promised sizes it
// must come to that.
func bestOf(t *testing.T, promised float64, what string, measure func() float64) {
	t.Helper()
	best := 0.0
	for try := range tries {
		share := measure()
		t.Logf("try %d: %s %.3f", try+1, what, share)
		if best = max(best, share); best >= promised {
			return
		}
	}
	if !full {
		promised -= busy
	}
	require.GreaterOrEqual(t, best, promised, what)
}

// TestFixedRate is the plain day: a limit that is known, and nothing goes wrong.
func TestFixedRate(t *testing.T) { //nolint:paralleltest // it measures, and so runs alone
	homes := size(600, 2000)
	bestOf(t, 0.90, "share of the limit used", func() float64 {
		w := newWorld(t, simulator.Config{Units: homes, RPS: 200, Seed: 1})
		w.serve()
		w.settle("200")
		price := w.plan("enable", "acme", skillMain).Price.Requests
		require.EqualValues(t, 2*homes, price, "a home nobody has seen is read once and written once")
		r := w.awaitEnd(w.create("enable", "acme", skillMain), time.Minute)
		require.EqualValues(t, fleet.RolloutSucceeded, r.State)

		stats := w.sim.Stats()
		require.LessOrEqual(t, stats.RefusedShare, 0.01)
		require.EqualValues(t, homes, stats.Writes)
		require.Equal(t, 1, stats.MaxWrites)
		require.EqualValues(t, price, stats.Accepted, "no more reads than the plan priced: %v", stats.ByOperation)
		require.EqualValues(t, stats.Requests, r.Requests, "every request is counted")
		w.requireTruth(r.ID)

		// What is known need not be read again: the second day costs nothing.
		require.Zero(t, w.plan("enable", "acme", skillMain).Price.Requests)
		again := w.awaitEnd(w.create("enable", "acme", skillMain), time.Minute)
		require.EqualValues(t, homes, again.Counts.Skipped)
		require.Equal(t, stats.Requests, w.sim.Stats().Requests)
		return stats.LimitShare
	})
}

// steady is how many requests a second were let through in the whole seconds of a
// run: without the one that it began in and the two that it ended in.
func steady(stats simulator.Stats) float64 {
	sum, seconds := 0, 0
	for _, second := range stats.PerSecond {
		if second.Time.After(*stats.FirstAcceptedAt) && second.Time.Before(stats.LastAcceptedAt.Add(-2*time.Second)) {
			sum += second.Accepted
			seconds++
		}
	}
	return float64(sum) / float64(max(1, seconds))
}

// TestTwoProcesses share one budget.
func TestTwoProcesses(t *testing.T) { //nolint:paralleltest // it measures, and so runs alone
	const rate, burst = 100, 5 // the burst is what --rate 100 has when none is given
	homes := size(500, 1500)
	within := func(w *world) simulator.Stats {
		stats := w.sim.Stats()
		require.LessOrEqual(t, stats.MaxRequestsIn1s, rate+burst+1)
		require.Zero(t, stats.DoubleWrites)
		require.LessOrEqual(t, stats.MaxWrites, 1)
		return stats
	}
	bestOf(t, 0.95, "share of the rate used", func() float64 {
		w := newWorld(t, simulator.Config{Units: homes, Seed: 2})
		first := w.serve()
		second := w.serve()
		w.settle("100")
		r := w.awaitEnd(w.create("enable", "acme", skillMain), time.Minute)
		require.EqualValues(t, fleet.RolloutSucceeded, r.State)
		stats := within(w)
		require.EqualValues(t, 2*homes, stats.Accepted)
		share := steady(w.sim.StatsOf(time.Hour)) / rate

		// One is killed half-way: the other takes over its targets and keeps the rate.
		w.sim.Reset(true)
		id := w.create("disable", "acme", skillMain)
		w.await(id, time.Minute, "a third is done", func(r client.Rollout) bool { return ended(r) > r.Targets/3 })
		first.kill()
		require.False(t, second.ended())
		r = w.awaitEnd(id, time.Minute)
		require.EqualValues(t, fleet.RolloutSucceeded, r.State)
		within(w)
		w.requireTruth(id)
		return share
	})
}
