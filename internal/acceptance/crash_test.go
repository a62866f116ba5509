package acceptance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/simulator"
)

// TestKill kills fleetd three times in the middle of a rollout, as kill -9 does.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(t *testing.T) string{
		"private Postgres":  func(*testing.T) string { return "" },
		"external Postgres": func(t *testing.T) string { t.Helper(); return pgtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			homes := size(500, 1500)
			// Answers take a while, so that many are on their way when fleetd dies.
			w := newWorldOn(t, simulator.Config{Units: homes, Latency: 100 * time.Millisecond, Seed: 21}, database(t))
			w.serve()
			w.settle("50")
			// Nothing but writes: what a crash leaves in doubt is not read by chance.
			id := w.create("enable", "acme", skillMain, "--observation-max-age", "any")
			for kill := int64(1); kill <= 3; kill++ {
				w.await(id, 2*time.Minute, "the next quarter is done", func(r client.Rollout) bool {
					require.Nil(t, r.EndedAt)
					return ended(r) > r.Targets*kill/4
				})
				w.up().kill()
				w.serve()
				w.look(id)
			}
			r := w.awaitEnd(id, 2*time.Minute)
			require.EqualValues(t, fleet.RolloutSucceeded, r.State)
			require.EqualValues(t, homes, r.Counts.Succeeded)
			stats := w.sim.Stats()
			require.Zero(t, stats.DoubleWrites)
			require.Equal(t, 1, stats.MaxWrites, "nothing is written twice")
			require.EqualValues(t, homes, stats.Writes, "nothing is lost")
			w.requireTruth(id)
		})
	}
}

// TestStop ends fleetd in good order in the middle of a rollout.
func TestStop(t *testing.T) {
	t.Parallel()
	homes := size(300, 1500)
	w := newWorldOn(t, simulator.Config{Units: homes, Latency: 100 * time.Millisecond, Seed: 22}, "")
	w.serve()
	w.settle("100")
	id := w.create("enable", "acme", skillMain)
	for stop := int64(1); stop <= 2; stop++ {
		w.await(id, time.Minute, "the next third is done", func(r client.Rollout) bool { return ended(r) > r.Targets*stop/3 })
		f := w.up()
		began := time.Now()
		require.Zero(t, f.stop(t), f.stderr.tail())
		require.Less(t, time.Since(began), 20*time.Second, "a stop does not wait for the rollout")
		require.Contains(t, f.stderr.String(), "msg=stopped")
		writes := w.sim.Stats().Writes
		w.serve()
		require.LessOrEqual(t, w.look(id).Counts.Running, int64(homes))
		require.GreaterOrEqual(t, w.sim.Stats().Writes, writes)
	}
	r := w.awaitEnd(id, time.Minute)
	require.EqualValues(t, fleet.RolloutSucceeded, r.State)
	stats := w.sim.Stats()
	require.Equal(t, 1, stats.MaxWrites)
	require.EqualValues(t, 2*homes, stats.Accepted, "a stop in good order wastes no request")
	w.requireTruth(id)
}
