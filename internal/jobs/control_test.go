package jobs

import (
	"math"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

// idle is a runner whose loops do not run: the test moves them.
func (w *world) idle() *Runner {
	w.t.Helper()
	r := w.runner()
	r.control.river = r.river
	r.Accounts.cfg.Added = func(int64) error { return nil } // a client that does not run has no queues
	w.t.Cleanup(func() { require.NoError(w.t, r.Accounts.Close(w.t.Context())) })
	return r
}

// look is one turn of the control loop.
func (w *world) look(r *Runner) {
	w.t.Helper()
	require.NoError(w.t, r.Lease.renew(w.t.Context()))
	r.control.look(w.t.Context(), true)
}

func (w *world) jobs() (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), "SELECT coalesce(sum(jsonb_array_length(args -> 'seqs')), 0) FROM river_job WHERE kind = 'target'").Scan(&n))
	return n
}

func noLimit(p *store.RolloutParams) { p.MaxFailures = "100%" }

func TestControlReleasesAHorizonSharedByWeight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{}, func(p *store.AccountParams) { p.Rate, p.Burst = "20", 20 })
	r := w.idle()
	light := w.create(noLimit, func(p *store.RolloutParams) { p.SkillID = "light" })
	require.Equal(t, fleet.RolloutRunning, light.State)
	heavy := w.create(noLimit, func(p *store.RolloutParams) { p.SkillID, p.Weight = "heavy", 3 })

	w.look(r)

	require.Equal(t, 5, w.rollout(light.ID).Counts.Queued)
	require.Equal(t, 15, w.rollout(heavy.ID).Counts.Queued)
	require.Equal(t, 20, w.jobs(), "each released target has a job")
	w.look(r)
	require.Equal(t, 20, w.jobs(), "there is no room for more")

	_, err := w.store.PauseRollout(t.Context(), heavy.ID, "", w.by)
	require.NoError(t, err)
	w.look(r)
	require.Equal(t, 20, w.rollout(light.ID).Counts.Queued, "alone, it has all of it")
	require.Zero(t, w.rollout(heavy.ID).Counts.Queued)

	var queues int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM river_job WHERE queue = $1", QueueName(w.accountID("acme"))).Scan(&queues))
	require.Equal(t, w.jobs(), queues, "in the queue of their account")
}

func TestControlHorizonIsBounded(t *testing.T) {
	t.Parallel()
	c := &Control{maxInFlight: 16}
	require.Equal(t, 4, c.horizon(0.1, 1))
	require.Equal(t, 50, c.horizon(100, 0.5))
	require.Equal(t, 64, c.horizon(1e9, 1))
	require.Equal(t, 64, c.horizon(math.Inf(1), 0.5))
}

func TestControlHoldsARolloutOfAnAccountThatCannotWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{})
	r := w.idle()
	id := w.create(noLimit).ID
	w.look(r)
	require.Positive(t, w.rollout(id).Counts.Queued)
	credential := w.store.Credential(w.accountID("acme"), "enterprise")
	require.NoError(t, credential.MarkUnauthorized(t.Context(), "invalid_grant", "mend it", simulator.DefaultRefreshToken))
	require.NoError(t, r.Accounts.Reload(t.Context()))

	w.look(r)

	got := w.rollout(id)
	require.Equal(t, fleet.RolloutWaiting, got.State)
	require.Contains(t, got.StateReason, "mend it")
	require.Zero(t, got.Counts.Outstanding())

	token := simulator.DefaultRefreshToken
	_, err := w.store.SetAccount(t.Context(), "acme", store.AccountPatch{RefreshToken: &token}, w.by)
	require.NoError(t, err)
	require.NoError(t, r.Accounts.Reload(t.Context()))
	w.look(r)
	require.Equal(t, fleet.RolloutRunning, w.rollout(id).State)
	require.Positive(t, w.rollout(id).Counts.Queued)
}

func TestControlGivesDueTargetsAJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 6})
	r := w.idle()
	id := w.create(noLimit).ID
	w.look(r)
	require.Equal(t, 6, w.jobs())
	claimed, err := w.store.ClaimTargets(t.Context(), r.Lease.ProcessID(), []store.Claim{{RolloutID: w.rowID(id), Seq: 1, JobID: 1}, {RolloutID: w.rowID(id), Seq: 2, JobID: 2}})
	require.NoError(t, err)
	require.Len(t, claimed, 2)
	w.exec("DELETE FROM river_job")
	require.NoError(t, w.store.RecordTargets(t.Context(), r.Lease.ProcessID(), []store.TargetRecord{
		{Claim: claimed[0].Claim, State: fleet.TargetVerifying, NextAt: time.Now().Add(-time.Second), VerifyBy: time.Now()},
		{Claim: claimed[1].Claim, State: fleet.TargetVerifying, NextAt: time.Now().Add(time.Hour), VerifyBy: time.Now()},
	}))

	w.look(r)
	require.Equal(t, 1, w.jobs(), "the other is not due")
	w.look(r)
	require.Equal(t, 1, w.jobs(), "a due target gets one job")
}

// Jobs that somebody deleted, and targets of a process that is gone, are adopted:
// what may have been written is read first, and everything ends as it should.
func TestOrphansAreAdopted(t *testing.T) {
	t.Parallel()
	alive := func(w *world) { w.exec("INSERT INTO processes (name) VALUES ('ghost')") }
	silent := func(w *world) {
		w.exec("INSERT INTO processes (name, seen_at) VALUES ('ghost', now() - interval '11 seconds')")
	}
	for name, c := range map[string]struct {
		prepare func(w *world)
		claim   bool // a process has the targets
		adopted bool
	}{
		"a job waits":                         {prepare: func(*world) {}},
		"no job any more":                     {prepare: func(w *world) { w.exec("DELETE FROM river_job") }, adopted: true},
		"the job ended without a word":        {prepare: func(w *world) { w.exec("UPDATE river_job SET state = 'discarded', finalized_at = now()") }, adopted: true},
		"running in a process that lives":     {prepare: alive, claim: true},
		"running in a process that is silent": {prepare: silent, claim: true, adopted: true},
		"running in a process nobody knows":   {prepare: func(*world) {}, claim: true, adopted: true},
		"running in a process that is gone": {claim: true, adopted: true, prepare: func(w *world) {
			child := exec.CommandContext(w.t.Context(), "true")
			require.NoError(w.t, child.Run())
			me := thisProcess("me")
			w.exec("INSERT INTO processes (name, place, pid, pid_started) VALUES ('ghost', $1, $2, '1')", me.Place, child.Process.Pid)
			if me.Place == "" { // nobody can tell here: it has to be silent
				w.exec("UPDATE processes SET seen_at = now() - interval '11 seconds' WHERE name = 'ghost'")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simulator.Config{Units: 4})
			r := w.idle()
			id := w.create(noLimit).ID
			w.look(r)
			if c.claim {
				w.claimAll(id)
			}
			c.prepare(w)
			before := w.rollout(id).Counts

			r.control.sweep(t.Context())

			due := w.count("SELECT count(*) FROM targets WHERE next_at <= now() AND job_id IS NULL AND process_id IS NULL")
			if !c.adopted {
				require.Zero(t, due)
				require.Equal(t, before, w.rollout(id).Counts)
				return
			}
			require.Equal(t, 4, due)
			want := fleet.Counts{Queued: 4}
			if c.claim {
				want = fleet.Counts{Verifying: 4}
				require.Equal(t, 4, w.count("SELECT sum(writes) FROM targets"), "each may have been written to")
			}
			require.Equal(t, want, w.rollout(id).Counts)
			r.control.sweep(t.Context())
			require.Equal(t, want, w.rollout(id).Counts)

			w.start()
			got := w.untilState(id, fleet.RolloutSucceeded)
			require.Equal(t, 4, got.Counts.Succeeded)
			w.requireTrue(id, fleet.ActionEnable)
			w.requireNoDoubleWrite()
		})
	}
}

// claimAll has a process that is not there take every queued target, with its job.
func (w *world) claimAll(id string) {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `
		WITH taken AS (
			UPDATE river_job SET state = 'running', attempted_by = '{ghost}', attempted_at = now(), attempt = 1
			RETURNING id, args
		)
		SELECT id, jsonb_array_elements_text(args -> 'seqs')::integer FROM taken`)
	require.NoError(w.t, err)
	var claims []store.Claim
	for rows.Next() {
		c := store.Claim{RolloutID: w.rowID(id)}
		require.NoError(w.t, rows.Scan(&c.JobID, &c.Seq))
		claims = append(claims, c)
	}
	require.NoError(w.t, rows.Err())
	claimed, err := w.store.ClaimTargets(w.t.Context(), 4711, claims)
	require.NoError(w.t, err)
	require.Len(w.t, claimed, len(claims))
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}
