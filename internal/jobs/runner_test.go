package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

func TestARolloutRunsToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Occupied: 6, LinkingSkills: []string{skill}}, func(p *store.AccountParams) {
		p.LinkMode, p.CodeURL, p.RedirectURIs = fleet.LinkCodes, "set below", []string{"https://link.example/acme"}
		p.CodeURL = p.APIURL + "/_sim/codes"
	})
	w.start()

	up := w.create(noLimit, func(p *store.RolloutParams) { p.Canary, p.Waves = 2, []string{"30%"} })
	got := w.untilState(up.ID, fleet.RolloutSucceeded)

	require.Equal(t, fleet.Counts{Succeeded: 54, Skipped: 6}, got.Counts)
	require.NotNil(t, got.StartedAt)
	require.NotNil(t, got.EndedAt)
	require.Equal(t, store.Wave{Index: 3, Of: 3}, got.Wave)
	require.Equal(t, map[fleet.Reason]int{"": 54, fleet.ReasonOccupied: 6}, w.requireTrue(up.ID, fleet.ActionEnable))
	w.requireNoDoubleWrite()
	require.EqualValues(t, 108, got.Requests, "one read and one write a home, as priced")
	require.Equal(t, up.Price.Requests, got.Requests)
	stats := w.sim.Stats()
	require.EqualValues(t, 108, stats.Requests)
	require.EqualValues(t, 54, stats.Writes)
	require.EqualValues(t, 54, stats.CodesMinted)
	require.EqualValues(t, 54, stats.CodesUsed)
	require.EqualValues(t, 1, stats.TokenRefreshes, "once for all workers")

	// The way back needs no reads: what was seen after the writes is fresh.
	down := w.create(noLimit, func(p *store.RolloutParams) { p.Action = fleet.ActionDisable })
	require.EqualValues(t, 54, down.Price.Requests)
	got = w.untilState(down.ID, fleet.RolloutSucceeded)
	require.EqualValues(t, 54, got.Requests)
	w.requireTrue(down.ID, fleet.ActionDisable)
	for _, target := range w.targets(down.ID) {
		if target.State == fleet.TargetSucceeded {
			require.Equal(t, fleet.StatusEnabled, target.Before.Status)
			require.Equal(t, fleet.StatusAbsent, target.After.Status)
			require.Equal(t, 1, target.Attempts)
			require.NotEmpty(t, target.RequestID)
		}
	}
}

// Codes that last no longer than a write waits for its turn are good all the same:
// they are asked for when it has come.
func TestCodesAreMintedJustInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 20, LinkingSkills: []string{skill}, CodeTTL: time.Second}, func(p *store.AccountParams) {
		p.LinkMode, p.CodeURL, p.RedirectURIs = fleet.LinkCodes, p.APIURL+"/_sim/codes", []string{"https://link.example/acme"}
		p.Rate, p.Burst = "4", 1 // a handful at once wait for seconds
	})
	w.start()

	r := w.create(noLimit, func(p *store.RolloutParams) { p.ObservationAny = true })
	w.untilState(r.ID, fleet.RolloutSucceeded)

	stats := w.sim.Stats()
	require.Zero(t, stats.CodesRefused, "none was too old")
	require.EqualValues(t, 20, stats.CodesMinted)
	require.EqualValues(t, 20, stats.CodesUsed)
	require.EqualValues(t, 20, stats.Requests, "and none cost a request")
	w.requireTrue(r.ID, fleet.ActionEnable)
}

// Two processes on one database, an API that does everything that was ever feared:
// every recorded outcome is the truth, and nothing was written twice blindly.
func TestTwoProcessesAndAHarshAPI(t *testing.T) {
	t.Parallel()
	faults := simulator.FaultsHarsh()
	faults.NotFoundHome, faults.ForbiddenHome, faults.FailedEnabling, faults.UnknownStatus, faults.StuckEnabling = 0.05, 0.05, 0.05, 0.04, 0.04
	faults.SlowFor = 300 * time.Millisecond
	w := newWorld(t, simulator.Config{Units: 120, Faults: faults, Seed: 11, RPS: 400})
	w.start()
	w.start()

	r := w.create(noLimit, func(p *store.RolloutParams) { p.VerifyTimeout = 7 * time.Second })
	got := w.untilState(r.ID, fleet.RolloutCompletedWithFailures)

	reasons := w.requireTrue(r.ID, fleet.ActionEnable)
	w.requireNoDoubleWrite()
	expected := []fleet.Reason{"", fleet.ReasonUnitNotFound, fleet.ReasonForbidden, fleet.ReasonEnablingFailed, fleet.ReasonVerifyTimeout}
	for _, target := range w.targets(r.ID) {
		require.Contains(t, expected, target.Reason, "the rest passes, with patience: %s", target.Message)
	}
	require.NotZero(t, reasons[fleet.ReasonUnitNotFound])
	require.NotZero(t, reasons[fleet.ReasonForbidden])
	require.NotZero(t, reasons[fleet.ReasonEnablingFailed])
	require.NotZero(t, reasons[fleet.ReasonVerifyTimeout])
	require.Equal(t, got.Requests, int64(w.sim.Stats().Requests), "every request is on the books")
	agents := map[string]bool{}
	for _, e := range w.sim.History() {
		agents[e.UserAgent] = e.Operation == simulator.OperationEnable || agents[e.UserAgent]
	}
	require.True(t, agents["process-1"] && agents["process-2"], "both worked: %v", agents)
}

// A process that stops lets its jobs finish; another goes on where it left off.
func TestStopLosesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		grace   time.Duration
		latency time.Duration
	}{
		"with time to finish": {grace: waitAtMost, latency: 20 * time.Millisecond},
		"with none":           {grace: 0, latency: 150 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simulator.Config{Latency: c.latency})
			first := w.start()
			id := w.create(noLimit).ID
			w.until(id, "a dozen done", func(r store.Rollout) bool { return r.Counts.Succeeded >= 12 })

			ctx, cancel := context.WithTimeout(t.Context(), c.grace)
			defer cancel()
			err := first.Stop(ctx)
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			left := w.rollout(id)
			require.Zero(t, left.Counts.Running, "what was under way is on the books")
			require.Less(t, left.Counts.Succeeded, 60)
			require.Zero(t, w.count("SELECT count(*) FROM processes"))
			require.NoError(t, first.Stop(t.Context()), "a second stop does nothing")

			w.start()
			got := w.untilState(id, fleet.RolloutSucceeded)
			require.Equal(t, 60, got.Counts.Succeeded)
			w.requireTrue(id, fleet.ActionEnable)
			w.requireNoDoubleWrite()
			arrived := int64(w.sim.Stats().Requests)
			if c.grace == 0 { // what was cut off on its way counts as sent
				require.GreaterOrEqual(t, got.Requests, arrived)
				return
			}
			require.Equal(t, arrived, got.Requests)
			require.Equal(t, 1, w.sim.Stats().MaxWrites, "nothing was written twice")
		})
	}
}

// Promise 8: no write leaves later than a second after a pause was acknowledged.
func TestPauseIsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 120, Latency: 10 * time.Millisecond}, func(p *store.AccountParams) { p.Rate, p.Burst = "100", 5 })
	w.start()
	w.start()
	id := w.create(noLimit).ID
	w.until(id, "a few done", func(r store.Rollout) bool { return r.Counts.Succeeded >= 10 })

	_, err := w.store.PauseRollout(t.Context(), id, "stop", w.by)
	require.NoError(t, err)
	paused := time.Now()

	late := func() bool {
		entries, _ := w.sim.HistoryPage(simulator.HistoryParams{Operation: simulator.OperationEnable, After: paused.Add(time.Second)})
		return len(entries) > 0
	}
	require.Never(t, late, 2*time.Second, 100*time.Millisecond)
	got := w.until(id, "nothing under way", func(r store.Rollout) bool { return r.Counts.Outstanding() == 0 })
	require.Equal(t, fleet.RolloutPaused, got.State)
	require.Positive(t, got.Counts.Pending)
	attempts := 0
	for _, target := range w.targets(id) {
		if target.State == fleet.TargetPending {
			attempts += target.Attempts
		}
	}
	require.Zero(t, attempts, "a pause spends no attempt")

	_, err = w.store.ResumeRollout(t.Context(), id, store.ResumeParams{Reason: "go on", Actor: w.by})
	require.NoError(t, err)
	w.untilState(id, fleet.RolloutSucceeded)
	w.requireTrue(id, fleet.ActionEnable)
	w.requireNoDoubleWrite()
	require.Equal(t, 1, w.sim.Stats().MaxWrites)
}

func TestCancelProvesWhatWasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 200, EnablingDelay: 300 * time.Millisecond}, func(p *store.AccountParams) { p.Rate, p.Burst = "100", 5 })
	w.start()
	id := w.create(noLimit).ID
	w.until(id, "some under way", func(r store.Rollout) bool { return r.Counts.Verifying >= 5 })

	got, err := w.store.CancelRollout(t.Context(), id, "wrong skill", w.by)
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutCanceled, got.State)

	got = w.until(id, "its last target proven", func(r store.Rollout) bool { return r.EndedAt != nil })
	require.Zero(t, got.Counts.Outstanding()+got.Counts.Pending)
	require.Positive(t, got.Counts.Canceled)
	for _, target := range w.targets(id) {
		truth := w.sim.State(target.UnitID, skill)
		require.Equal(t, target.State == fleet.TargetSucceeded, truth.Status == fleet.StatusEnabled, "%s: %s", target.State, truth.Status)
	}
}

func TestTooManyFailuresHalt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 36, FailEvery: 3})
	w.start()
	w.start()
	id := w.create(func(p *store.RolloutParams) { p.MaxFailures = "3" }).ID
	for acknowledged := 0; ; {
		got := w.until(id, "halted or ended", func(r store.Rollout) bool { return r.State == fleet.RolloutHalted || r.State.Ended() })
		if got.State.Ended() {
			require.Equal(t, fleet.RolloutCompletedWithFailures, got.State)
			require.Equal(t, fleet.Counts{Succeeded: 24, Failed: 12}, got.Counts)
			break
		}
		require.Equal(t, 4, got.Counts.Failed-acknowledged, "one more than is tolerated, and no more")
		require.Equal(t, 4, got.Failures)
		got = w.until(id, "nothing under way", func(r store.Rollout) bool { return r.Counts.Outstanding() == 0 })
		require.Equal(t, 4, got.Failures, "also when what was under way has ended")
		acknowledged = got.Counts.Failed
		got, err := w.store.ResumeRollout(t.Context(), id, store.ResumeParams{Reason: "known", Actor: w.by})
		require.NoError(t, err)
		require.Zero(t, got.Failures)
	}
	require.Equal(t, map[fleet.Reason]int{"": 24, fleet.ReasonForbidden: 12}, w.requireTrue(id, fleet.ActionEnable))
	w.requireNoDoubleWrite()
}

// The account's work stops in one clear state that names the mend, costs no
// attempts, and goes on after it.
func TestARevokedCredentialHoldsTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 200}, func(p *store.AccountParams) { p.Rate, p.Burst = "100", 5 })
	w.start()
	id := w.create(noLimit).ID
	w.until(id, "a few done", func(r store.Rollout) bool { return r.Counts.Succeeded >= 10 })
	require.NoError(t, w.sim.ChangeAccount(simulator.DefaultClientID, simulator.AccountChange{RevokeRefreshToken: true, ExpireAccessTokens: true}))

	got := w.untilState(id, fleet.RolloutWaiting)
	require.Contains(t, got.StateReason, "fleetctl account set acme --refresh-token-file")
	require.NotContains(t, got.StateReason, simulator.DefaultRefreshToken)
	got = w.until(id, "nothing under way", func(r store.Rollout) bool { return r.Counts.Outstanding() == 0 })
	require.Zero(t, got.Counts.Failed)

	token := "Atzr|another"
	require.NoError(t, w.sim.ChangeAccount(simulator.DefaultClientID, simulator.AccountChange{RefreshToken: token}))
	_, err := w.store.SetAccount(t.Context(), "acme", store.AccountPatch{RefreshToken: &token}, w.by)
	require.NoError(t, err)
	w.untilState(id, fleet.RolloutSucceeded)
	for _, target := range w.targets(id) {
		require.Equal(t, 1, target.Attempts)
	}
}

func TestStartFailsCleanly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	r := w.runner()
	broken := errors.New("no queue")
	r.Accounts.cfg.Added = func(int64) error { return broken }

	require.ErrorIs(t, r.Start(t.Context()), broken)

	require.NoError(t, r.Stop(t.Context()))
	require.Zero(t, w.count("SELECT count(*) FROM processes"), "it is not taken for alive")
	require.Eventually(t, func() bool { return w.pool.Stat().AcquiredConns() == 0 }, waitAtMost, pollEvery, "nothing runs on")
	w.pool.Close() // would wait for a connection that is held
}
