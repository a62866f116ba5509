package acceptance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// listFaults is everything that can go wrong while homes are listed.
func listFaults() simulator.Faults {
	return simulator.Faults{
		Throttle: 0.3, ErrorBefore: 0.05, CutBefore: 0.01, TruncatedBody: 0.01, EmptyBody: 0.01, HTMLError: 0.3, EmptyError: 0.2,
		ShortPage: 0.3, EmptyPage: 0.1, NullToken: 0.5, DuplicateItem: 0.2, ExpiredPageToken: 0.02, RespelledUnit: 0.3,
		EarlyTokenExpiry: 0.5, TokenTTL: 5 * time.Second,
	}
}

// TestAuditUnderFaults audits a fleet, some of which has drifted and some of which
// cannot be seen, while everything goes wrong, and kills fleetd twice meanwhile, as
// kill -9 does.
func TestAuditUnderFaults(t *testing.T) {
	t.Parallel()
	homes := size(60, 400)
	w := newWorld(t, simulator.Config{Units: homes, SkillsPerUnit: 27, LinkingSkills: []string{simulator.BaseSkillID(3)}, Seed: 82})
	w.serve()
	w.settle("200", "--link-mode", "delegated")
	w.baseline("acme")

	var made []simulator.Drift
	for _, kind := range []simulator.DriftKind{
		simulator.DriftMissing, simulator.DriftWrongStage, simulator.DriftNotLinked, simulator.DriftStuckEnabling,
	} {
		made = append(made, w.drift(kind, homes/30, "")...)
	}
	const gone, forbidden = 3, 3
	w.drift(simulator.DriftRemove, gone, "")
	w.drift(simulator.DriftForbid, forbidden, "")
	require.NoError(t, w.sim.SetFaults(listFaults()))
	require.NoError(t, w.sim.ChangeAccount(simulator.DefaultClientID, simulator.AccountChange{ExpireAccessTokens: true}))

	id := w.begin("acme")
	for kill := int64(1); kill <= 2; kill++ {
		w.awaitAuditThat(id, 2*time.Minute, "the next third is answered", func(a client.Audit) bool {
			return a.InSync+a.Drifted+a.Unknown > a.Units*kill/3
		})
		w.up().kill()
		w.serve()
	}
	a := w.awaitAudit(id, 6*time.Minute)
	stats := w.sim.Stats()
	t.Logf("%d homes in %s: %d requests, %d refused, %d pages, at most %d a home, faults %v",
		a.Units, a.EndedAt.Sub(*a.StartedAt).Round(time.Second), stats.Requests, stats.Refused, stats.ListPages, stats.MaxListPages, stats.Faults)
	require.Zero(t, stats.Writes, "an audit never writes")
	for _, fault := range []simulator.Fault{"throttle", "error_before", "short_page", "empty_page", "expired_page_token"} {
		require.NotZero(t, stats.Faults[fault], "the world was not harsh: %v", stats.Faults)
	}
	require.Greater(t, stats.TokenRefreshes, uint64(2), "tokens ended in the middle")
	require.NotZero(t, stats.ByOperation[simulator.OperationList]["401"], "and before their time")
	require.LessOrEqual(t, stats.ListPages, uint64(12*homes), "lists that are begun are ended, not begun again and again")

	// Every home is answered for what it is. A home that fails six times over is
	// unknown, and says why; it is not called clean.
	require.EqualValues(t, fleet.AuditCompletedWithUnknown, a.State)
	unlucky := w.requireSight(a, true)
	for reason := range unlucky {
		require.Contains(t, []string{"server_error", "transport_error", "invalid_answer"}, reason)
	}
	require.LessOrEqual(t, a.Unknown-gone-forbidden, a.Units/30, "%v", unlucky)
	if len(unlucky) == 0 {
		found := w.findings("acme")
		require.Len(t, found, len(made))
		w.requireNamed(found, made)
	}

	// When the weather is fair again, whoever was unlucky is seen, and nothing else changes.
	require.NoError(t, w.sim.SetFaults(simulator.Faults{}))
	again := w.audit("acme")
	require.Empty(t, w.requireSight(again, true))
	require.EqualValues(t, gone+forbidden, again.Unknown)
	found := w.findings("acme")
	require.Len(t, found, len(made))
	w.requireNamed(found, made)
	require.Equal(t, 5, w.ctl("audit", "run", "--account", "acme", "--watch").code, "not every home was seen")
}
