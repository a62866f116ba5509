package acceptance_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// harsh is a world in which everything goes wrong that can, with a limit below the
// rate that fleetd was told, and tokens that end in the middle.
func harsh(homes int, seed uint64) simulator.Config {
	cfg := simulator.Config{
		Units: homes, Occupied: homes / 20, RPS: 150, RetryAfter: simulator.RetryAfterNone,
		Latency: 20 * time.Millisecond, TokenTTL: 3 * time.Second, Seed: seed, Faults: simulator.FaultsHarsh(),
	}
	if full {
		cfg.TokenTTL = 15 * time.Second
	}
	return cfg
}

// unharmed sees what no fault excuses.
func (w *world) unharmed(ids ...string) {
	w.t.Helper()
	stats := w.sim.Stats()
	require.Zero(w.t, stats.DoubleWrites, "written twice without a read in between: %+v", stats.DoubleWriteExamples)
	require.NotZero(w.t, stats.Faults, "the world was not harsh")
	for _, id := range ids {
		r := w.look(id)
		require.NotNil(w.t, r.EndedAt)
		for _, target := range w.targets(id) {
			require.NotContains(w.t, []string{"server_error", "transport_error", "unauthorized"}, target.Reason,
				"nothing that passes ends a target: %+v", target)
		}
	}
}

// TestHarshFaults enables, then disables, a whole fleet while everything goes wrong.
func TestHarshFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harsh(size(400, 2000), 11))
	w.serve()
	w.settle("200")
	flags := []string{"--max-failures", "100%", "--verify-timeout", "12s"}

	enabled := w.awaitEnd(w.create("enable", "acme", skillMain, flags...), 4*time.Minute)
	require.EqualValues(t, fleet.RolloutCompletedWithFailures, enabled.State)
	reasons := w.requireTruth(enabled.ID)
	for _, reason := range []fleet.Reason{
		fleet.ReasonForbidden, fleet.ReasonUnitNotFound, fleet.ReasonEnablingFailed, fleet.ReasonVerifyTimeout, fleet.ReasonOccupied,
	} {
		require.NotZero(t, reasons[string(reason)], "the seed has homes of every kind, but none of %s", reason)
	}
	w.unharmed(enabled.ID)
	stats := w.sim.Stats()
	require.NotZero(t, stats.Refused, "the limit was met")
	require.Greater(t, stats.TokenRefreshes, uint64(2), "tokens ended in the middle")

	w.sim.Reset(true) // what the enables answered is known, and need not be read again
	disabled := w.awaitEnd(w.create("disable", "acme", skillMain, flags...), 4*time.Minute)
	w.settled(skillMain)
	w.requireTruth(disabled.ID)
	w.unharmed(disabled.ID)
}

// settled waits until nothing is DISABLING any more: the API answers a disable with
// 204 and no word on the state, and goes on showing the record for a while.
func (w *world) settled(skill string) {
	w.t.Helper()
	eventually(w.t, 5*time.Second, "nothing is DISABLING", func() bool {
		states, _ := w.sim.States(skill, 0, w.sim.Units())
		return !slices.ContainsFunc(states, func(s simulator.State) bool { return s.Status == fleet.StatusDisabling })
	})
}

// TestHarshLinks enables skills that link accounts, with codes and by delegation,
// while everything goes wrong.
func TestHarshLinks(t *testing.T) {
	t.Parallel()
	cfg := harsh(size(150, 1000), 12)
	cfg.DelegatedLinking = true
	w := newWorld(t, cfg)
	w.serve()
	w.account("codes", defaultClient, "--rate", "100", "--link-mode", "codes",
		"--code-url", w.simURL+"/_sim/codes", "--redirect-uri", "https://example.com/linked")
	w.account("delegated", defaultClient, "--rate", "100", "--link-mode", "delegated")
	w.importHomes("codes")
	w.importHomes("delegated")
	flags := []string{"--max-failures", "100%", "--verify-timeout", "12s"}
	codes := w.create("enable", "codes", "amzn1.ask.skill.link.codes", flags...)
	delegated := w.create("enable", "delegated", "amzn1.ask.skill.link.delegated", flags...)
	for _, id := range []string{codes, delegated} {
		r := w.awaitEnd(id, 4*time.Minute)
		require.NotZero(t, r.Counts.Succeeded)
		w.requireTruth(id)
	}
	w.unharmed(codes, delegated)

	stats := w.sim.Stats()
	require.Zero(t, stats.CodesReused, "a code is used once")
	require.Zero(t, stats.CodesRefused, "a code is of the home, the skill and the redirect URI it is used for")
	require.GreaterOrEqual(t, stats.CodesMinted, stats.CodesUsed)
	require.GreaterOrEqual(t, stats.CodesUsed, uint64(w.look(codes).Counts.Succeeded))
}

// TestLinkThatFails: a code server that gives no code fails the home for that and
// nothing else, and no write leaves without a code.
func TestLinkThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 20, Seed: 13, Faults: simulator.Faults{CodeError: 1}})
	w.serve()
	w.settle("200", "--link-mode", "codes", "--code-url", w.simURL+"/_sim/codes", "--redirect-uri", "https://example.com/linked")
	r := w.awaitEnd(w.create("enable", "acme", "amzn1.ask.skill.link", "--max-failures", "100%"), time.Minute)
	require.EqualValues(t, 20, r.Counts.Failed)
	for _, target := range w.targets(r.ID) {
		require.EqualValues(t, fleet.ReasonAccountLinkFailed, target.Reason)
		require.Contains(t, target.Message, "code")
	}
	require.Zero(t, w.sim.Stats().Writes)

	// Mended, and gone on with in place.
	require.NoError(t, w.sim.SetFaults(simulator.Faults{}))
	w.must("rollout", "retry", r.ID)
	r = w.awaitEnd(r.ID, time.Minute)
	require.EqualValues(t, fleet.RolloutSucceeded, r.State)
	w.requireTruth(r.ID)
	require.Equal(t, 1, w.sim.Stats().MaxWrites)
}
