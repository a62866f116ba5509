package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
)

// An event whose job died with its process, or was lost, is given another, so that it
// waits neither for River's rescue nor for ever. Nobody else is.
func TestEventsOfADeadProcessAreAdopted(t *testing.T) {
	t.Parallel()
	const taken = "UPDATE river_job SET state = 'running', attempted_by = '{ghost}', attempt = 1, attempted_at = now()"
	alive := func(w *world) { w.exec("INSERT INTO processes (name) VALUES ('ghost')") }
	for name, c := range map[string]struct {
		prepare func(w *world)
		adopted int
	}{
		"its job waits": {prepare: func(*world) {}},
		"its job is put off": {prepare: func(w *world) {
			w.exec("UPDATE river_job SET state = 'scheduled', scheduled_at = now() + interval '1 hour'")
		}},
		"its job will be tried again":       {prepare: func(w *world) { w.exec("UPDATE river_job SET state = 'retryable'") }},
		"running in a process that lives":   {prepare: func(w *world) { alive(w); w.exec(taken) }},
		"running in a process nobody knows": {prepare: func(w *world) { w.exec(taken) }, adopted: 1},
		"running in a process that is silent": {adopted: 1, prepare: func(w *world) {
			alive(w)
			w.exec("UPDATE processes SET seen_at = now() - interval '11 seconds' WHERE name = 'ghost'")
			w.exec(taken)
		}},
		"running for longer than a job may": {adopted: 1, prepare: func(w *world) {
			alive(w)
			w.exec(taken)
			w.exec("UPDATE river_job SET attempted_at = now() - interval '46 seconds'")
		}},
		"no job any more":                  {prepare: func(w *world) { w.exec("DELETE FROM river_job") }, adopted: 1},
		"its job was tried too often":      {prepare: func(w *world) { w.exec("UPDATE river_job SET state = 'discarded', finalized_at = now()") }, adopted: 1},
		"begun, and its job is gone":       {adopted: 1, prepare: func(w *world) { w.exec("DELETE FROM river_job"); w.exec("UPDATE events SET disposition = 'acting'") }},
		"it came to its end":               {prepare: func(w *world) { w.exec("DELETE FROM river_job"); w.exec("UPDATE events SET disposition = 'acted'") }},
		"a duplicate, which never has one": {prepare: func(w *world) { w.exec("DELETE FROM river_job"); w.exec("UPDATE events SET disposition = 'duplicate'") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStore(t)
			w.account("acme")
			r := w.idle()
			w.take(1, r.EnqueueEvent)
			c.prepare(w)
			before := w.count("SELECT count(*) FROM river_job")

			r.control.sweepEvents(t.Context())
			require.Equal(t, before+c.adopted, w.count("SELECT count(*) FROM river_job"))
			r.control.sweepEvents(t.Context())
			require.Equal(t, before+c.adopted, w.count("SELECT count(*) FROM river_job"), "one job is enough")
		})
	}
}

// A process dies over an event that halts: the next one does not let homes wait.
func TestAnAdoptedEventActsOnce(t *testing.T) {
	t.Parallel()
	w, rollout := scheduled(t)
	r := w.idle()
	key := w.take(1, r.EnqueueEvent)
	w.exec("UPDATE river_job SET state = 'running', attempted_by = '{ghost}', attempt = 1, attempted_at = now()")
	n, err := w.store.AdoptEvents(t.Context(), 10, nowhere)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	next := w.runner(func(c *RunnerConfig) { c.Publications = &desk{answer: hidden} })
	require.NoError(t, next.Start(t.Context()))
	t.Cleanup(func() { w.stop(next) })

	require.Eventually(t, func() bool { return w.event(key).Disposition == fleet.EventActed }, 20*time.Second, pollEvery, "long before River's minute")

	require.Equal(t, fleet.RolloutHalted, w.rollout(rollout).State)
	require.Equal(t, 1, w.count("SELECT count(*) FROM log_entries WHERE action = 'rollout.halt'"))
	require.Equal(t, 2, w.count("SELECT count(*) FROM river_job WHERE kind = 'event'"))
	n, err = w.store.AdoptEvents(t.Context(), 10, nowhere)
	require.NoError(t, err)
	require.Zero(t, n)
}
