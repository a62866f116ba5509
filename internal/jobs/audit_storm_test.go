package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

// hides says why homes cannot be seen that the API keeps from us.
var hides = map[simulator.Class]fleet.UnknownReason{
	simulator.ClassNotFound: fleet.UnknownUnitNotFound, simulator.ClassForbidden: fleet.UnknownForbidden,
}

// requireTrueSight compares what an audit says of every unit with the true state of
// its home: nothing is drifted that is not, nothing in sync that is not, and unknown
// only where the API keeps the home from us.
func (w *world) requireTrueSight(id string, wants []string) map[fleet.AuditResult]int {
	w.t.Helper()
	counts := map[fleet.AuditResult]int{}
	f := store.AuditUnitFilter{Limit: store.MaxLimit}
	for {
		units, next, err := w.store.ListAuditUnits(w.t.Context(), id, f)
		require.NoError(w.t, err)
		for _, u := range units {
			counts[u.Result]++
			truth := fleet.AuditInSync
			for _, s := range wants {
				if st := w.sim.State(u.UnitID, s); st.Status != fleet.StatusEnabled || st.Stage != fleet.StageLive {
					truth = fleet.AuditDrifted
				}
			}
			class := w.sim.State(u.UnitID, wants[0]).Class
			if reason, hidden := hides[class]; hidden {
				require.Equal(w.t, reason, u.Reason)
				continue
			}
			require.Equal(w.t, truth, u.Result, "%s %s", u.UnitID, u.Reason)
		}
		if f.After = next; next == 0 {
			return counts
		}
	}
}

// An API that refuses, fails, cuts, truncates and forgets its tokens; processes that
// come and go; jobs that are lost: every home has its answer, and each is true.
func TestAnAuditInAStormAnswersEveryHome(t *testing.T) {
	t.Parallel()
	const homes = 200
	wants := skillsNamed(12)
	faults := simulator.FaultsHarsh()
	faults.Overload, faults.ErrorBefore, faults.TokenTTL = 0.03, 0.05, 2*time.Second
	faults.NotFoundHome, faults.ForbiddenHome = 0.02, 0.02
	w := newWorld(t, simulator.Config{
		Units: homes, Enabled: enabledEverywhere(wants), Faults: faults, Seed: 7, RPS: 200, Burst: 10,
	}, func(p *store.AccountParams) { p.Rate, p.Burst = "250", 20 }) // more than the API bears
	for _, s := range wants {
		w.want(s, "live")
	}
	for i := range 30 {
		require.NoError(t, w.sim.ChangeUnit(w.sim.UnitID(i*6), simulator.Change{Action: simulator.ChangeDisable, SkillID: wants[i%12]}))
	}
	first := w.start()
	w.start()
	a := w.audit()
	w.untilAudit(a.ID, "under way", func(a store.Audit) bool { return a.Answered() > 40 })
	for range 3 { // jobs vanish, as when somebody empties the queue
		w.exec(`DELETE FROM river_job WHERE kind = 'audit' AND state IN ('available', 'retryable', 'scheduled')`)
		before := w.untilAudit(a.ID, "any", func(store.Audit) bool { return true }).Answered()
		w.untilAudit(a.ID, "going on", func(a store.Audit) bool { return a.Answered() >= min(before+20, homes) })
	}
	w.stop(first)
	w.start()
	a = w.untilAudited(a.ID)

	require.Equal(t, fleet.AuditCompletedWithUnknown, a.State)
	require.Equal(t, homes, a.Answered())
	counts := w.requireTrueSight(a.ID, wants)
	require.Equal(t, homes, counts[fleet.AuditInSync]+counts[fleet.AuditDrifted]+counts[fleet.AuditUnknown])
	require.Equal(t, a.InSync, counts[fleet.AuditInSync])
	require.Equal(t, a.Unknown, counts[fleet.AuditUnknown])
	require.Positive(t, a.Throttled)
	require.Positive(t, a.Drifted)
	require.Len(t, w.findings("resolved_at IS NULL"), a.Drift.Opened)
	w.requireRead()
}

// An account whose credentials were revoked waits, and goes on when they work again.
func TestAnAuditWaitsForCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 60, TokenTTL: time.Second}, func(p *store.AccountParams) { p.Rate, p.Burst = "15", 1 })
	w.start()
	a := w.audit()
	w.untilAudit(a.ID, "under way", func(a store.Audit) bool { return a.Answered() > 5 })
	yes := true
	require.NoError(t, w.sim.ChangeAccount(simulator.DefaultClientID, simulator.AccountChange{RevokeRefreshToken: yes, ExpireAccessTokens: yes}))
	w.untilAudit(a.ID, "waiting", func(a store.Audit) bool { return a.State == fleet.AuditWaiting })
	token := "Atzr|new"
	require.NoError(t, w.sim.ChangeAccount(simulator.DefaultClientID, simulator.AccountChange{RefreshToken: token}))
	_, err := w.store.SetAccount(t.Context(), "acme", store.AccountPatch{RefreshToken: &token, Rate: new("200")}, w.by)
	require.NoError(t, err)
	a = w.untilAudited(a.ID)
	require.Equal(t, fleet.AuditSucceeded, a.State)
	require.Equal(t, 60, a.InSync)
}

// A canceled audit ends at once, and its jobs find nothing to do.
func TestACanceledAuditEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 60}, func(p *store.AccountParams) { p.Rate, p.Burst = "10", 1 })
	w.start()
	a := w.audit()
	w.untilAudit(a.ID, "under way", func(a store.Audit) bool { return a.Answered() > 3 })
	canceled, err := w.store.CancelAudit(t.Context(), a.ID, "", w.by)
	require.NoError(t, err)
	require.Equal(t, 60, canceled.Answered())
	require.Positive(t, canceled.UnknownReasons[fleet.UnknownCanceled])
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, w.pool.QueryRow(t.Context(),
			"SELECT count(*) FROM river_job WHERE kind = 'audit' AND state IN ('available', 'retryable', 'scheduled', 'running')").Scan(&n))
		return n == 0
	}, waitAtMost, pollEvery)
	again, err := w.store.Audit(t.Context(), a.ID)
	require.NoError(t, err)
	require.Equal(t, canceled, again, "nothing is recorded any more")
	_ = w.untilAudited(w.audit(func(p *store.AuditParams) { p.Selector = "unit=" + w.sim.UnitID(1) }).ID)
}

// What each failure of a list means, in a table.
func TestWhatAFailedListMeans(t *testing.T) {
	t.Parallel()
	for name := range failedLists() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt := failedLists()[name] // its times are of now
			reason, passes, wait := judgeList(tt.err)
			require.Equal(t, tt.holds, wait >= 0)
			if tt.holds {
				require.WithinRange(t, time.Now().Add(wait), time.Now().Add(tt.atLeast-time.Second), time.Now().Add(tt.atLeast+3*time.Second))
				return
			}
			require.Equal(t, tt.reason, reason)
			require.Equal(t, tt.passes, passes)
		})
	}
	require.Zero(t, holdList(context.Canceled))
}
