package acceptance_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// writesAfter are the writes that reached the API later than a moment.
func (w *world) writesAfter(skill string, moment time.Time) []simulator.Entry {
	w.t.Helper()
	entries, _ := w.sim.HistoryPage(simulator.HistoryParams{SkillID: skill, Operation: simulator.OperationEnable, After: moment})
	return entries
}

// quietFor sees that no write leaves later than a second after a moment, and that
// nothing is at work a while later.
func (w *world) quietFor(id string, acknowledged time.Time) {
	w.t.Helper()
	r := w.look(id)
	w.await(id, 20*time.Second, "what was under way comes to rest", func(r client.Rollout) bool {
		return r.Counts.Queued+r.Counts.Running == 0
	})
	// The time in which a write would show if one were to come.
	rest := time.NewTimer(time.Until(acknowledged.Add(3 * time.Second)))
	defer rest.Stop()
	<-rest.C
	late := w.writesAfter(r.SkillID, acknowledged.Add(time.Second))
	require.Empty(w.t, late, "writes later than a second after the answer")
}

// TestPauseAndCancel stops writing in two processes at once.
func TestPauseAndCancel(t *testing.T) {
	t.Parallel()
	homes := size(800, 2000)
	w := newWorld(t, simulator.Config{Units: homes, Latency: 200 * time.Millisecond, Seed: 31})
	first := w.serve()
	w.serve()
	w.settle("100")
	// Writes alone, one after the other: a pause that comes late shows at once.
	id := w.create("enable", "acme", skillMain, "--observation-max-age", "any")
	w.await(id, time.Minute, "it is at work", func(r client.Rollout) bool { return ended(r) > 80 })

	// The API refuses all but a few: many writes wait in both processes for their turn,
	// and go on waiting through the pause.
	require.NoError(t, w.sim.SetLimit(simulator.Limit{RPS: 2, Burst: 1}))
	refused := w.sim.Stats().Refused
	eventually(t, 20*time.Second, "the API refuses", func() bool { return w.sim.Stats().Refused > refused+1 })
	paused, err := first.api.PauseRollout(t.Context(), id, client.ReasonBody{})
	acknowledged := time.Now()
	require.NoError(t, err)
	require.EqualValues(t, fleet.RolloutPaused, paused.Value.State)
	time.AfterFunc(time.Second, func() { _ = w.sim.SetLimit(simulator.Limit{}) }) // no limit is valid
	w.quietFor(id, acknowledged)
	r := w.look(id)
	require.EqualValues(t, fleet.RolloutPaused, r.State)
	require.NotZero(t, r.Counts.Pending)

	w.must("rollout", "resume", id)
	w.await(id, time.Minute, "it goes on", func(r client.Rollout) bool { return ended(r) > 300 })
	canceled, err := first.api.CancelRollout(t.Context(), id, client.ReasonBody{})
	acknowledged = time.Now()
	require.NoError(t, err)
	w.whole(canceled.Value)
	w.quietFor(id, acknowledged)
	r = w.awaitEnd(id, 20*time.Second)
	require.EqualValues(t, fleet.RolloutCanceled, r.State)
	require.NotZero(t, r.Counts.Canceled)
	require.NotZero(t, r.Counts.Succeeded)
	require.Equal(t, r.Targets, r.Counts.Canceled+r.Counts.Succeeded)

	// What was written is recorded, and what is canceled was left alone.
	for _, target := range w.targets(id) {
		truth := w.sim.State(target.UnitID, skillMain)
		require.Equal(t, target.State == "succeeded", truth.Status == fleet.StatusEnabled, "%+v %+v", target, truth)
		require.LessOrEqual(t, truth.Writes, 1)
	}
	require.Equal(t, 1, w.ctl("rollout", "resume", id).code, "what is canceled stays so")
}

// TestHalt: every fifth home fails, and ten failures are borne.
func TestHalt(t *testing.T) {
	t.Parallel()
	homes := size(300, 1500)
	w := newWorld(t, simulator.Config{Units: homes, FailEvery: 5, Latency: 50 * time.Millisecond, Seed: 32})
	w.serve()
	w.serve() // a halt is of the rollout, not of a process
	w.settle("200")
	id := w.create("enable", "acme", skillMain, "--max-failures", "10")
	failed := int64(0)
	for range 2 {
		r := w.awaitState(id, time.Minute, fleet.RolloutHalted)
		require.EqualValues(t, 10, r.MaxFailures)
		require.Contains(t, r.StateReason, "10")
		r = w.await(id, 20*time.Second, "what was under way ends", func(r client.Rollout) bool {
			return r.Counts.Running+r.Counts.Verifying+r.Counts.Queued == 0
		})
		require.LessOrEqual(t, r.Counts.Failed-failed, int64(11))
		require.Greater(t, r.Counts.Failed-failed, int64(10))
		require.Positive(t, r.Counts.Pending)
		failed = r.Counts.Failed

		said := w.must("rollout", "resume", id, "--reason", "looked at")
		require.Contains(t, said, "acknowledged")
	}
	w.awaitState(id, time.Minute, fleet.RolloutHalted)
	w.must("rollout", "cancel", id)
	r := w.awaitEnd(id, 20*time.Second)
	require.EqualValues(t, fleet.RolloutCanceled, r.State)
	require.Equal(t, 1, w.sim.Stats().MaxWrites)

	// The log says who acknowledged.
	var log client.LogEntryList
	require.NoError(t, json.Unmarshal([]byte(w.must("log", "--action", "rollout.resume", "-o", "json")), &log))
	require.Len(t, log.Items, 2)
	require.Equal(t, "root", log.Items[0].Actor)
	require.Equal(t, "looked at", log.Items[0].Reason)
}

// TestRevokedGrant: an account whose refresh token was revoked stops in one clear
// state that names the mend, and goes on after it.
func TestRevokedGrant(t *testing.T) {
	t.Parallel()
	homes := size(200, 1000)
	w := newWorld(t, simulator.Config{Units: homes, Seed: 33})
	w.expectErrors = true // it is told of once, as an error
	w.serve()
	w.serve()
	w.settle("50")
	id := w.create("enable", "acme", skillMain)
	w.await(id, time.Minute, "it is at work", func(r client.Rollout) bool { return ended(r) > 30 })
	require.NoError(t, w.sim.ChangeAccount(simulator.DefaultClientID, simulator.AccountChange{RevokeRefreshToken: true, ExpireAccessTokens: true}))
	r := w.await(id, time.Minute, "it waits", func(r client.Rollout) bool { return r.State == string(fleet.RolloutWaiting) })
	require.Contains(t, r.StateReason, "acme")

	var account client.Account
	require.NoError(t, json.Unmarshal([]byte(w.must("account", "show", "acme", "-o", "json")), &account))
	require.Equal(t, "unauthorized", account.State)
	require.Contains(t, account.StateReason, "fleetctl account set acme --refresh-token-file")
	check := w.ctl("account", "check", "acme")
	require.Equal(t, 1, check.code)
	require.Regexp(t, `(?m)^Token +FAILED: .*fleetctl account set acme --refresh-token-file`, check.stdout)
	w.await(id, 20*time.Second, "nothing is at work", func(r client.Rollout) bool { return r.Counts.Running == 0 })
	stopped := w.look(id)
	require.Zero(t, stopped.Counts.Failed)
	refusals := w.sim.Stats().TokenRefusals
	require.LessOrEqual(t, refusals, uint64(8), "a refresh token that is refused is not tried for ever")

	// A wrong token is told as well; the right one mends.
	const mended = "Atzr|mended"
	w.must("account", "set", "acme", "--refresh-token-file", w.file("wrong", "Atzr|wrong\n"))
	w.await(id, time.Minute, "it waits again", func(r client.Rollout) bool {
		return r.State == string(fleet.RolloutWaiting) && w.sim.Stats().TokenRefusals > refusals
	})
	require.NoError(t, w.sim.ChangeAccount(simulator.DefaultClientID, simulator.AccountChange{RefreshToken: mended}))
	w.must("account", "set", "acme", "--refresh-token-file", w.file("mended", mended+"\n"))
	r = w.awaitEnd(id, time.Minute)
	require.EqualValues(t, fleet.RolloutSucceeded, r.State)
	w.requireTruth(id)
	require.Equal(t, 1, w.sim.Stats().MaxWrites)
	require.NoError(t, json.Unmarshal([]byte(w.must("account", "show", "acme", "-o", "json")), &account))
	require.Equal(t, "ready", account.State)
}
