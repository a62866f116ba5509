package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func (y *yard) pause(t *testing.T, key string) store.Rollout {
	t.Helper()
	r, err := y.PauseRollout(t.Context(), key, "hold on", y.by)
	require.NoError(t, err)
	return r
}

func (y *yard) resume(t *testing.T, key string) store.Rollout {
	t.Helper()
	r, err := y.ResumeRollout(t.Context(), key, resuming("go on", y.by))
	require.NoError(t, err)
	return r
}

func (y *yard) cancel(t *testing.T, key string) store.Rollout {
	t.Helper()
	r, err := y.CancelRollout(t.Context(), key, "enough", y.by)
	require.NoError(t, err)
	return r
}

func TestPauseTakesBackWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	r := y.create(t)
	y.tick(t, r.ID, 8)
	jobs := y.take()
	claimed, err := y.ClaimTargets(t.Context(), y.process, jobs[:3])
	require.NoError(t, err)
	require.Len(t, claimed, 3)

	r = y.pause(t, r.ID)

	require.Equal(t, fleet.RolloutPaused, r.State)
	require.Equal(t, "paused by ann", r.StateReason)
	require.Equal(t, fleet.Counts{Pending: 17, Running: 3}, y.whole(t, r.ID).Counts)
	late, err := y.ClaimTargets(t.Context(), y.process, jobs)
	require.NoError(t, err)
	require.Len(t, late, 3, "only the jobs that have them already")
	for _, c := range late {
		require.Equal(t, fleet.TargetRunning, c.Prior, "and they are told that they may have written")
	}
	// One was not sent and goes back, one is on its way, one was done.
	back, onItsWay := ended(claimed[0], fleet.TargetQueued, ""), ended(claimed[1], fleet.TargetVerifying, "")
	onItsWay.NextAt, onItsWay.VerifyBy = time.Now(), time.Now().Add(time.Minute)
	y.record(t, back, onItsWay, succeed(claimed[2]))
	require.Equal(t, fleet.Counts{Pending: 18, Verifying: 1, Succeeded: 1}, y.whole(t, r.ID).Counts)
	require.Zero(t, y.tick(t, r.ID, 8).Released)
	require.Equal(t, 1, second1(y.DueTargets(t.Context(), 10, y.enqueue)), "what was sent is proven also while paused")
	claimed = y.claim(t)
	require.Len(t, claimed, 1)
	require.Equal(t, fleet.TargetVerifying, claimed[0].Prior)

	require.Equal(t, fleet.RolloutPaused, y.pause(t, r.ID).State, "again changes nothing")
	require.Equal(t, fleet.RolloutRunning, y.resume(t, r.ID).State)
	require.Equal(t, fleet.RolloutRunning, y.resume(t, r.ID).State, "again changes nothing")
	require.Equal(t, 7, y.tick(t, r.ID, 8).Released)
	require.Equal(t, []string{"rollout.resume", "rollout.resume", "rollout.pause", "rollout.pause", "rollout.create"}, y.logged(t, r.ID))
}

func second1[T any](v T, _ error) T { return v }

func (y *yard) logged(t *testing.T, key string) (actions []string) {
	t.Helper()
	entries, _, err := y.ListLog(t.Context(), store.LogFilter{Object: "rollout/" + key})
	require.NoError(t, err)
	for _, e := range entries {
		require.Equal(t, "ann", e.Actor)
		actions = append(actions, e.Action)
	}
	return actions
}

func TestCancelWhileSomeAreUnderWay(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	r := y.create(t)
	y.tick(t, r.ID, 8)
	jobs := y.take()
	claimed, err := y.ClaimTargets(t.Context(), y.process, jobs[:3])
	require.NoError(t, err)

	r = y.cancel(t, r.ID)

	require.Equal(t, fleet.RolloutCanceled, r.State)
	require.Nil(t, r.EndedAt)
	require.Equal(t, fleet.Counts{Running: 3, Canceled: 17}, y.whole(t, r.ID).Counts)
	require.Contains(t, asFleet(t, third(y.try(t))).Message, "has 20 of these units", "until the last one is proven")
	onItsWay := ended(claimed[1], fleet.TargetVerifying, "")
	onItsWay.NextAt = time.Now()
	y.record(t, ended(claimed[0], fleet.TargetQueued, ""), onItsWay, succeed(claimed[2]))
	require.Equal(t, fleet.Counts{Verifying: 1, Succeeded: 1, Canceled: 18}, y.whole(t, r.ID).Counts)
	require.Nil(t, y.cancel(t, r.ID).EndedAt, "again changes nothing")
	_, err = y.DueTargets(t.Context(), 10, y.enqueue)
	require.NoError(t, err)
	y.record(t, succeed(y.claim(t)[0]))
	y.tick(t, r.ID, 8)

	r = y.whole(t, r.ID)
	require.Equal(t, fleet.Counts{Succeeded: 2, Canceled: 18}, r.Counts)
	require.Equal(t, fleet.RolloutCanceled, r.State)
	require.NotNil(t, r.EndedAt)
	ended := *r.EndedAt
	require.Equal(t, ended, *y.cancel(t, r.ID).EndedAt)
	for verb, do := range map[string]func(context.Context, string, string, fleet.Actor) (store.Rollout, error){
		"pause": y.PauseRollout, "resume": func(ctx context.Context, id, reason string, by fleet.Actor) (store.Rollout, error) {
			return y.ResumeRollout(ctx, id, resuming(reason, by))
		},
	} {
		_, err := do(t.Context(), r.ID, "", y.by)
		require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
		require.Contains(t, asFleet(t, err).Message, "nothing to "+verb)
	}
	_, err = y.RetryRollout(t.Context(), r.ID, store.RetryParams{Actor: y.by})
	require.Contains(t, asFleet(t, err).Message, "nothing to retry")
	y.create(t)
}

func TestCancelOfWhatHasNotBegunEndsAtOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	for _, change := range []func(*store.RolloutParams){
		func(*store.RolloutParams) {},
		func(p *store.RolloutParams) { p.StartAt = time.Now().Add(time.Hour) },
	} {
		r := y.cancel(t, y.create(t, change).ID)
		require.Equal(t, fleet.Counts{Canceled: 20}, y.whole(t, r.ID).Counts)
		require.NotNil(t, r.EndedAt)
	}
	r := y.create(t)
	y.work(t, r.ID, succeed)
	_, err := y.CancelRollout(t.Context(), r.ID, "", y.by)
	require.Contains(t, asFleet(t, err).Message, "is succeeded: there is nothing to cancel")
	_, err = y.PauseRollout(t.Context(), "ro-nothing", "", y.by)
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

func TestTheControlLoopFinishesACancelThatWasCutShort(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	r := y.create(t)
	y.set(t, "UPDATE rollouts SET state = 'canceled' WHERE key = $1", r.ID) // and then the process died
	y.tick(t, r.ID, 8)
	got := y.whole(t, r.ID)
	require.Equal(t, fleet.Counts{Canceled: 20}, got.Counts)
	require.NotNil(t, got.EndedAt)
}

func TestResumeAcknowledgesFailures(t *testing.T) {
	t.Parallel()
	y := newYard(t, 30)
	r := y.create(t, func(p *store.RolloutParams) { p.MaxFailures = "2" })
	r = y.work(t, r.ID, fail(fleet.ReasonForbidden))
	require.Equal(t, fleet.RolloutHalted, r.State)
	require.Equal(t, "3 failures, 2 allowed", r.StateReason)
	require.Equal(t, fleet.Counts{Failed: 3, Pending: 27}, r.Counts)

	r = y.resume(t, r.ID)
	require.Equal(t, fleet.RolloutRunning, r.State)
	require.Zero(t, r.Failures)
	require.Equal(t, 3, r.Counts.Failed)
	require.Equal(t, 1, y.count(t, "SELECT count(*) FROM log_entries WHERE action = 'rollout.resume' AND detail @> '{\"failures_acknowledged\": 3}'"))

	r = y.work(t, r.ID, fail(fleet.ReasonForbidden))
	require.Equal(t, fleet.RolloutHalted, r.State)
	require.Equal(t, 6, r.Counts.Failed)
	require.Equal(t, 3, r.Failures)
}

func TestRetrySendsFailedTargetsAgain(t *testing.T) {
	t.Parallel()
	y := newYard(t, 12)
	r := y.create(t, func(p *store.RolloutParams) { p.Canary, p.Soak = 4, time.Hour })
	n := 0
	failSome := func(c store.ClaimedTarget) store.TargetRecord {
		if n++; n%2 == 0 {
			return succeed(c)
		}
		if n%4 == 1 {
			return ended(c, fleet.TargetFailed, fleet.ReasonForbidden)
		}
		return ended(c, fleet.TargetFailed, fleet.ReasonServerError)
	}
	r = y.work(t, r.ID, failSome)
	require.Equal(t, fleet.RolloutWaiting, r.State, "soaking")
	y.set(t, "UPDATE rollouts SET soak_until = now()")
	r = y.work(t, r.ID, failSome)
	require.Equal(t, fleet.RolloutCompletedWithFailures, r.State)
	require.Equal(t, fleet.Counts{Succeeded: 6, Failed: 6}, r.Counts)
	require.NotNil(t, r.EndedAt)
	spent := r.Requests

	_, err := y.RetryRollout(t.Context(), r.ID, store.RetryParams{Reasons: []fleet.Reason{fleet.ReasonUnitNotFound}, Actor: y.by})
	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
	require.Contains(t, asFleet(t, err).Message, "unit_not_found")

	r, err = y.RetryRollout(t.Context(), r.ID, store.RetryParams{Reasons: []fleet.Reason{fleet.ReasonForbidden}, Actor: y.by, Reason: "roles granted"})
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutRunning, r.State)
	require.Nil(t, r.EndedAt)
	require.Equal(t, 1, r.Wave.Index, "in place: waves stay")
	require.Zero(t, r.Failures, "what failed before is acknowledged")
	require.Equal(t, fleet.Counts{Pending: 3, Succeeded: 6, Failed: 3}, y.whole(t, r.ID).Counts)
	for _, target := range y.targets(t, r.ID, store.TargetFilter{State: fleet.TargetPending}) {
		require.Zero(t, target.Attempts)
		require.Empty(t, target.Reason)
		require.Nil(t, target.EndedAt)
		require.Equal(t, 2, target.Requests, "what was spent stays on the books")
	}
	r = y.work(t, r.ID, succeed) // the canary's first
	require.Equal(t, fleet.RolloutWaiting, r.State, "a wave that works again soaks again")
	y.set(t, "UPDATE rollouts SET soak_until = now()")
	r = y.work(t, r.ID, succeed)
	require.Equal(t, fleet.Counts{Succeeded: 9, Failed: 3}, r.Counts)
	require.Equal(t, spent+6, r.Requests)

	r, err = y.RetryRollout(t.Context(), r.ID, store.RetryParams{Actor: y.by})
	require.NoError(t, err)
	require.Equal(t, 3, r.Counts.Pending)
	y.set(t, "UPDATE rollouts SET soak_ms = 0")
	r = y.work(t, r.ID, succeed)
	require.Equal(t, fleet.RolloutSucceeded, r.State)
	_, err = y.RetryRollout(t.Context(), r.ID, store.RetryParams{Actor: y.by})
	require.Contains(t, asFleet(t, err).Message, "no failed target to retry")
	totals := map[string]int64{}
	m, err := y.Metrics(t.Context())
	require.NoError(t, err)
	for _, row := range m.Targets {
		totals[row.State+" "+row.Reason] = row.N
	}
	require.Equal(t, map[string]int64{"succeeded ": 12, "failed forbidden": 3, "failed server_error": 3}, totals, "what happened stays counted")
}

func TestRetryOfAHaltedAndAPausedRollout(t *testing.T) {
	t.Parallel()
	y := newYard(t, 12)
	r := y.create(t, func(p *store.RolloutParams) { p.MaxFailures = "1" })
	r = y.work(t, r.ID, fail(fleet.ReasonServerError))
	require.Equal(t, fleet.RolloutHalted, r.State)
	r, err := y.RetryRollout(t.Context(), r.ID, store.RetryParams{Actor: y.by})
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutRunning, r.State)
	require.Equal(t, fleet.Counts{Pending: 12}, y.whole(t, r.ID).Counts)
	y.work(t, r.ID, fail(fleet.ReasonServerError))
	y.pause(t, r.ID)
	r, err = y.RetryRollout(t.Context(), r.ID, store.RetryParams{Actor: y.by})
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutPaused, r.State, "a person paused it, and a retry does not undo that")
}

// An ended rollout takes up none of the units that another one has by now.
func TestRetryRefusesUnitsOfAnotherRollout(t *testing.T) {
	t.Parallel()
	y := newYard(t, 21)
	r := y.create(t)
	y.work(t, r.ID, func(c store.ClaimedTarget) store.TargetRecord {
		if c.Seq%7 == 2 { // of maple-1
			return ended(c, fleet.TargetFailed, fleet.ReasonForbidden)
		}
		return ended(c, fleet.TargetFailed, fleet.ReasonServerError)
	})
	other := y.create(t, func(p *store.RolloutParams) { p.Selector = "property=maple-1" })

	_, err := y.RetryRollout(t.Context(), r.ID, store.RetryParams{Actor: y.by})
	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
	require.Contains(t, asFleet(t, err).Message, other.ID+" (running) has 3 of these units")
	require.Equal(t, 21, y.whole(t, r.ID).Counts.Failed)

	r, err = y.RetryRollout(t.Context(), r.ID, store.RetryParams{Reasons: []fleet.Reason{fleet.ReasonServerError}, Actor: y.by})
	require.NoError(t, err, "the others are free")
	require.Equal(t, 18, r.Counts.Pending)
	// A retry and a creation wait for each other: neither would see the other's targets.
	y.work(t, r.ID, fail(fleet.ReasonServerError))
	y.cancel(t, other.ID)
	tx, err := y.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended('fleet.rollout.create', $1))", y.accountID(t, "acme"))
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := y.RetryRollout(t.Context(), r.ID, store.RetryParams{Actor: y.by})
		done <- err
	}()
	require.Eventually(t, func() bool {
		return y.count(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'") == 1
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-done)
}

// What was seen of a unit before a write that is in doubt must not be built upon:
// not by a retry, and not by another rollout.
func TestAFailureInDoubtForgetsWhatWasSeen(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	y.observe(t, "true", fleet.StatusAbsent, time.Minute)
	r := y.create(t)
	require.EqualValues(t, 3, r.Price.Requests)
	r = y.work(t, r.ID, func(c store.ClaimedTarget) store.TargetRecord {
		require.NotNil(t, c.Observed)
		failed := ended(c, fleet.TargetFailed, fleet.ReasonServerError)
		failed.InDoubt = c.Seq == 2
		failed.After = c.Observed
		return failed
	})
	require.Equal(t, 3, r.Counts.Failed)
	for _, action := range fleet.Actions() {
		plan, err := y.PlanRollout(t.Context(), changed([]func(*store.RolloutParams){func(p *store.RolloutParams) { p.Action = action }}))
		require.NoError(t, err)
		require.Equal(t, 1, plan.Expected.Read, "the one in doubt is read first, whatever is asked of it")
	}
	_, err := y.RetryRollout(t.Context(), r.ID, store.RetryParams{Actor: y.by})
	require.NoError(t, err)
	y.tick(t, r.ID, 10)
	for _, c := range y.claim(t) {
		require.Equal(t, c.Seq == 2, c.Observed.Status == "")
		require.Positive(t, c.Requests)
	}
}
