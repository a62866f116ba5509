package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestAClaimTellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	y.observe(t, "u.unit_id = 'u00001'", fleet.StatusEnabled, 2*time.Hour)
	y.set(t, "UPDATE observed SET account_link = 'LINKED'")
	r := y.create(t, func(p *store.RolloutParams) { p.IncludeOccupied = true })
	y.set(t, "UPDATE units SET occupancy = 'linked' WHERE unit_id = 'u00002'")
	y.tick(t, r.ID, 10)
	jobs := y.take()

	claimed, err := y.ClaimTargets(t.Context(), y.process, jobs)

	require.NoError(t, err)
	require.Len(t, claimed, 3)
	for _, c := range claimed {
		require.Equal(t, jobs[c.Seq-1], c.Claim)
		require.Equal(t, fleet.TargetQueued, c.Prior)
		require.Zero(t, c.Attempts+c.Writes+c.Requests)
		require.Zero(t, c.VerifyBy)
		require.Nil(t, c.Before)
		switch c.UnitID {
		case "u00001":
			require.Equal(t, fleet.StatusEnabled, c.Observed.Status)
			require.Equal(t, fleet.StageLive, c.Observed.Stage)
			require.Equal(t, fleet.Linked, c.Observed.AccountLink)
			require.WithinDuration(t, time.Now().Add(-2*time.Hour), c.Observed.ObservedAt, time.Minute)
		case "u00002":
			require.Equal(t, fleet.OccupancyLinked, c.Occupancy, "as it is now, not as it was")
			fallthrough
		default:
			require.Nil(t, c.Observed)
		}
	}
	require.Equal(t, fleet.Counts{Running: 3}, y.whole(t, r.ID).Counts)
	for _, target := range y.targets(t, r.ID, store.TargetFilter{}) {
		require.NotNil(t, target.StartedAt)
	}
}

func TestOneOfManyJobsGetsATarget(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	r := y.create(t)
	y.tick(t, r.ID, 10)
	job := y.take()[0]
	other := job
	other.JobID = 77

	claimed, err := y.ClaimTargets(t.Context(), y.process, []store.Claim{job, other, job})
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	winner, loser := claimed[0].Claim, job
	if winner == job {
		loser = other
	}
	require.Equal(t, fleet.Counts{Running: 1}, y.whole(t, r.ID).Counts)
	claimed, err = y.ClaimTargets(t.Context(), y.process, []store.Claim{loser, {RolloutID: 4711, Seq: 1, JobID: 1}})
	require.NoError(t, err)
	require.Empty(t, claimed)
	claimed, err = y.ClaimTargets(t.Context(), y.process, []store.Claim{winner})
	require.NoError(t, err)
	require.Equal(t, fleet.TargetRunning, claimed[0].Prior, "its own, run again: it may have written")

	y.record(t, succeed(claimed[0]))
	for _, c := range []store.Claim{winner, loser} {
		claimed, err = y.ClaimTargets(t.Context(), y.process, []store.Claim{c})
		require.NoError(t, err)
		require.Empty(t, claimed, "an outcome is final")
	}
	claimed, err = y.ClaimTargets(t.Context(), y.process, nil)
	require.NoError(t, err)
	require.Empty(t, claimed)
}

func TestARecordIsKeptAsItCame(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	r := y.create(t)
	y.tick(t, r.ID, 10)
	c := y.claim(t)[0]
	due := time.Now().Add(-time.Second).UTC().Truncate(time.Microsecond)
	deadline := due.Add(time.Hour)
	before := &fleet.Observation{Status: fleet.StatusAbsent, ObservedAt: due}
	after := &fleet.Observation{Status: fleet.StatusEnabling, Stage: fleet.StageLive, AccountLink: fleet.NotLinked, ObservedAt: due}

	y.record(t, store.TargetRecord{
		Claim: c.Claim, State: fleet.TargetVerifying, Attempts: 2, Writes: 1, Requests: 5, Spent: 5, Throttled: 1,
		RequestID: "req-1", NextAt: due, VerifyBy: deadline, Before: before, After: after,
	})

	require.Equal(t, fleet.Counts{Verifying: 1}, y.whole(t, r.ID).Counts)
	_, err := y.DueTargets(t.Context(), 10, y.enqueue)
	require.NoError(t, err)
	c = y.claim(t)[0]
	require.Equal(t, fleet.TargetVerifying, c.Prior)
	require.Equal(t, []int{2, 1, 5}, []int{c.Attempts, c.Writes, c.Requests})
	require.True(t, deadline.Equal(c.VerifyBy))
	require.Equal(t, before, c.Before)
	require.Equal(t, after.Status, c.Observed.Status)
	require.True(t, due.Equal(c.Observed.ObservedAt))

	y.record(t, store.TargetRecord{
		Claim: c.Claim, State: fleet.TargetFailed, Reason: fleet.ReasonVerifyTimeout, Message: "still ENABLING",
		Attempts: 3, Writes: 1, Requests: 7, Spent: 2, RequestID: "req-2", Before: before, After: after,
	})
	target := y.targets(t, r.ID, store.TargetFilter{State: fleet.TargetFailed, Reason: fleet.ReasonVerifyTimeout, Property: "maple-0"})[0]
	require.NotNil(t, target.EndedAt)
	require.Equal(t, store.Target{
		Seq: 1, UnitID: "u00000", Property: "maple-0", State: fleet.TargetFailed, Reason: fleet.ReasonVerifyTimeout, Message: "still ENABLING",
		Attempts: 3, Requests: 7, RequestID: "req-2", StartedAt: target.StartedAt, EndedAt: target.EndedAt, Before: before, After: after,
	}, target)
	r = y.whole(t, r.ID)
	require.EqualValues(t, 7, r.Requests)
	require.EqualValues(t, 1, r.Throttled)
}

// A target that was not done goes again at its time, or waits in the backlog, or
// ends with its rollout.
func TestWhatBecomesOfATargetThatWasHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(ctx context.Context, y *yard, key string) error
		later  bool
		want   fleet.Counts
	}{
		"running":            {want: fleet.Counts{Pending: 1}},
		"running, at a time": {later: true, want: fleet.Counts{Queued: 1}},
		"paused, at a time": {change: func(ctx context.Context, y *yard, key string) error {
			_, err := y.PauseRollout(ctx, key, "", y.by)
			return err
		}, later: true, want: fleet.Counts{Pending: 1}},
		"canceled": {change: func(ctx context.Context, y *yard, key string) error {
			_, err := y.CancelRollout(ctx, key, "", y.by)
			return err
		}, later: true, want: fleet.Counts{Canceled: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 1)
			r := y.create(t)
			y.tick(t, r.ID, 10)
			held := ended(y.claim(t)[0], fleet.TargetQueued, "")
			if c.later {
				held.NextAt = time.Now().Add(time.Hour)
			}
			if c.change != nil {
				require.NoError(t, c.change(t.Context(), y, r.ID))
			}
			y.record(t, held)
			require.Equal(t, c.want, y.whole(t, r.ID).Counts)
			due := y.count(t, "SELECT count(*) FROM targets WHERE next_at IS NOT NULL")
			require.Equal(t, c.want.Queued, due)
			require.Equal(t, c.want.Canceled, y.count(t, "SELECT count(*) FROM targets WHERE ended_at IS NOT NULL"))
		})
	}
}

// Two jobs that each think they have a target, in one group: the records of one
// must not be counted as those of the other.
func TestRecordsOfTwoJobsInOneGroup(t *testing.T) {
	t.Parallel()
	for name, flip := range map[string]bool{"the owner first": false, "the owner last": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 1)
			r := y.create(t)
			y.tick(t, r.ID, 10)
			stale := y.claim(t)[0]
			_, err := y.AdoptOrphans(t.Context()) // it was silent for too long
			require.NoError(t, err)
			_, err = y.DueTargets(t.Context(), 10, y.enqueue)
			require.NoError(t, err)
			owner := y.claim(t)[0]
			require.Equal(t, fleet.TargetVerifying, owner.Prior)
			require.Equal(t, 1, owner.Writes)
			records := []store.TargetRecord{succeed(owner), ended(stale, fleet.TargetFailed, fleet.ReasonServerError), succeed(owner)}
			if flip {
				records[0], records[1] = records[1], records[0]
			}

			y.record(t, records...)

			got := y.whole(t, r.ID)
			require.Equal(t, fleet.Counts{Succeeded: 1}, got.Counts)
			require.EqualValues(t, 2, got.Requests)
			require.Equal(t, 1, y.count(t, "SELECT sum(n) FROM target_totals"))
			y.record(t, records...)
			again := y.whole(t, r.ID)
			again.ETA, got.ETA = nil, nil // it moves with the clock
			require.Equal(t, got, again, "late and doubled, they change nothing")
		})
	}
}

func TestARecordOfAnotherProcessChangesNothing(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	r := y.create(t)
	y.tick(t, r.ID, 10)
	c := y.claim(t)[0]
	require.NoError(t, y.RecordTargets(t.Context(), y.process+1, []store.TargetRecord{succeed(c)}))
	require.Equal(t, fleet.Counts{Running: 1}, y.whole(t, r.ID).Counts)
	require.Zero(t, y.count(t, "SELECT count(*) FROM target_totals"))
}

func TestAnObservationIsReplacedByNewerOnesOnly(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	now := time.Now().UTC().Truncate(time.Second)
	see := func(status fleet.Status, at time.Time) {
		r := y.create(t)
		y.tick(t, r.ID, 10)
		record := ended(y.claim(t)[0], fleet.TargetFailed, fleet.ReasonForbidden)
		record.After = &fleet.Observation{Status: status, ObservedAt: at}
		y.record(t, record)
		y.tick(t, r.ID, 10)
	}
	want := func(status fleet.Status, seen, changed time.Time) {
		t.Helper()
		u, err := y.Unit(t.Context(), "u00000", "acme")
		require.NoError(t, err)
		require.Len(t, u.Observed, 1)
		require.Equal(t, status, u.Observed[0].Status)
		require.True(t, seen.Equal(u.Observed[0].ObservedAt), "%v", u.Observed[0].ObservedAt)
		require.True(t, changed.Equal(u.Observed[0].ChangedAt), "%v", u.Observed[0].ChangedAt)
	}
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	see(fleet.StatusDisablingFailed, at(-60))
	want(fleet.StatusDisablingFailed, at(-60), at(-60))
	see(fleet.StatusDisablingFailed, at(-30))
	want(fleet.StatusDisablingFailed, at(-30), at(-60))
	see(fleet.StatusEnablingFailed, at(-40))
	want(fleet.StatusDisablingFailed, at(-30), at(-60))
	see(fleet.StatusEnablingFailed, at(-20))
	want(fleet.StatusEnablingFailed, at(-20), at(-20))
}

// A full group is one round trip, and takes no longer than a fraction of a job.
func TestGroupsOfFiveHundred(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1000)
	r := y.create(t, func(p *store.RolloutParams) { p.Selector = "floor=0" })
	other := y.create(t, func(p *store.RolloutParams) { p.Selector = "floor!=0" })
	for _, key := range []string{r.ID, other.ID} {
		require.Equal(t, 250, y.tick(t, key, 250).Released)
	}
	claimed := y.claim(t)
	require.Len(t, claimed, 500)
	records := make([]store.TargetRecord, len(claimed))
	for i, c := range claimed {
		records[i] = succeed(c)
	}
	y.record(t, records...)
	require.Equal(t, 250, y.whole(t, r.ID).Counts.Succeeded)
	require.Equal(t, 250, y.whole(t, other.ID).Counts.Succeeded)
	require.Equal(t, 500, y.count(t, "SELECT count(*) FROM observed"))
	require.Equal(t, 500, y.count(t, "SELECT sum(n) FROM target_totals"))
}

func TestDueTargetsComeInTheirOrder(t *testing.T) {
	t.Parallel()
	y := newYard(t, 5)
	r := y.create(t)
	y.tick(t, r.ID, 10)
	now := time.Now()
	for _, c := range y.claim(t) {
		record := ended(c, fleet.TargetVerifying, "")
		record.NextAt, record.VerifyBy = now.Add(-time.Duration(c.Seq)*time.Second), now
		if c.Seq == 5 {
			record.NextAt = now.Add(time.Hour)
		}
		y.record(t, record)
	}
	n, err := y.DueTargets(t.Context(), 2, y.enqueue)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	jobs := y.take()
	require.ElementsMatch(t, []int32{4, 3}, []int32{jobs[0].Seq, jobs[1].Seq}, "the longest due first")
	n, err = y.DueTargets(t.Context(), 10, y.enqueue)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = y.DueTargets(t.Context(), 10, y.enqueue)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestTargetsAndRolloutsAreListedInPages(t *testing.T) {
	t.Parallel()
	y := newYard(t, 7)
	keys := map[string]bool{}
	for _, skill := range []string{"a", "b", "c"} {
		keys[y.create(t, func(p *store.RolloutParams) { p.SkillID = skill }).ID] = true
	}
	last := y.cancel(t, y.create(t).ID)
	var seqs []int
	for after, first := 0, true; first || after > 0; first = false {
		targets, next, err := y.ListTargets(t.Context(), last.ID, store.TargetFilter{State: fleet.TargetCanceled, After: after, Limit: 3})
		require.NoError(t, err)
		for _, target := range targets {
			seqs = append(seqs, target.Seq)
		}
		after = next
	}
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7}, seqs)
	require.Empty(t, y.targets(t, last.ID, store.TargetFilter{State: fleet.TargetFailed}))
	require.Empty(t, y.targets(t, last.ID, store.TargetFilter{Property: "nowhere"}))
	require.Len(t, y.targets(t, last.ID, store.TargetFilter{Property: "maple-3"}), 1)
	_, _, err := y.ListTargets(t.Context(), "ro-nothing", store.TargetFilter{})
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)

	items, next, err := y.ListRollouts(t.Context(), store.RolloutFilter{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, last.ID, items[0].ID, "newest first")
	more, next, err := y.ListRollouts(t.Context(), store.RolloutFilter{Limit: 2, Before: next})
	require.NoError(t, err)
	require.Len(t, more, 2)
	require.Zero(t, next)
	for _, r := range append(items[1:], more...) {
		require.True(t, keys[r.ID])
	}
	for f, n := range map[store.RolloutFilter]int{
		{Active: true}: 3, {State: fleet.RolloutCanceled}: 1, {Account: "acme"}: 4, {Account: "birch"}: 0,
	} {
		items, _, err := y.ListRollouts(t.Context(), f)
		require.NoError(t, err)
		require.Len(t, items, n)
	}
}

// A claim or record that has to wait for its rollout finds it changed: what it
// counts must be true of what it finds, not of what there was when it began.
func TestClaimsAndRecordsThatWaitedCountWhatTheyFound(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	r := y.create(t)
	y.tick(t, r.ID, 10)
	jobs := y.take()
	// meanwhile has another transaction move targets while do waits for it.
	meanwhile := func(do func() error, sql ...string) {
		t.Helper()
		tx, err := y.pool.Begin(t.Context())
		require.NoError(t, err)
		defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
		for _, statement := range append([]string{"SELECT FROM rollouts FOR UPDATE"}, sql...) {
			_, err = tx.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
		done := make(chan error, 1)
		go func() { done <- do() }()
		require.Eventually(t, func() bool {
			return y.count(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
		}, time.Minute, 5*time.Millisecond)
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, <-done)
	}

	var claimed []store.ClaimedTarget
	meanwhile(func() (err error) { claimed, err = y.ClaimTargets(t.Context(), y.process, jobs); return err },
		"UPDATE targets SET state = 'verifying', next_at = 'infinity' WHERE seq = 1",
		"UPDATE targets SET state = 'pending' WHERE seq = 2",
		"UPDATE rollouts SET n_queued = 1, n_verifying = 1, n_pending = 1, next_seq = 2")
	require.Equal(t, fleet.Counts{Pending: 1, Running: 2}, y.whole(t, r.ID).Counts)
	priors := map[int32]fleet.TargetState{}
	for _, c := range claimed {
		priors[c.Seq] = c.Prior
	}
	require.Equal(t, map[int32]fleet.TargetState{1: fleet.TargetVerifying, 3: fleet.TargetQueued}, priors)

	held := ended(claimed[0], fleet.TargetQueued, "")
	meanwhile(func() error {
		return y.RecordTargets(t.Context(), y.process, []store.TargetRecord{held, succeed(claimed[1])})
	},
		"UPDATE targets SET state = 'canceled', odd = 'canceled' WHERE seq = 2",
		"UPDATE rollouts SET state = 'canceled', n_pending = 0, n_canceled = 1")
	got := y.whole(t, r.ID)
	require.Equal(t, fleet.Counts{Succeeded: 1, Canceled: 2}, got.Counts)
	require.Equal(t, fleet.RolloutCanceled, got.State)
}
