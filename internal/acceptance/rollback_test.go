package acceptance_test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// rollback takes a rollout back and returns the rollout that did.
func (w *world) rollback(id string) client.Rollout {
	w.t.Helper()
	var r client.Rollout
	require.NoError(w.t, json.Unmarshal([]byte(w.must("rollout", "rollback", id, "--max-failures", "100%", "--yes", "-o", "json")), &r))
	require.Equal(w.t, id, r.RollbackOf)
	require.Positive(w.t, r.Price.Requests, "it has a price")
	r = w.awaitEnd(r.ID, 3*time.Minute)
	require.EqualValues(w.t, fleet.RolloutSucceeded, r.State)
	return r
}

// skillOf is the true state of a skill in every home: its stage, or empty.
func (w *world) skillOf(skill string) map[string]string {
	at := map[string]string{}
	states, _ := w.sim.States(skill, 0, w.sim.Units())
	for _, s := range states {
		at[s.UnitID] = ""
		if s.Status == fleet.StatusEnabled {
			at[s.UnitID] = string(s.Stage)
		}
	}
	return at
}

// TestRollback takes a rollout back of which some homes were changed since, and then
// takes that back.
func TestRollback(t *testing.T) {
	t.Parallel()
	written, changed := size(100, 500), size(8, 20)
	homes := written + written/10
	w := newWorld(t, simulator.Config{Units: homes, Seed: 84})
	// Some homes had the skill at another stage, and some more at the very stage.
	var development, live []string
	for i := range homes {
		switch i % 11 {
		case 0, 1, 2:
			development = append(development, w.sim.UnitID(i))
		case 3:
			live = append(live, w.sim.UnitID(i))
		}
	}
	for stage, units := range map[string][]string{"@development": development, "@live": live} {
		_, err := w.sim.Enable(simulator.EnableParams{Skills: []string{skillMain + stage}, Units: units})
		require.NoError(t, err)
	}
	w.serve()
	w.settle("200")
	was := w.skillOf(skillMain)

	original := w.awaitEnd(w.create("enable", "acme", skillMain, "--max-failures", "100%"), 2*time.Minute)
	require.EqualValues(t, fleet.RolloutSucceeded, original.State)
	require.EqualValues(t, written, original.Counts.Succeeded)
	require.EqualValues(t, len(live), original.Counts.Skipped, "they had it")
	left := w.skillOf(skillMain)

	// Half of the changes take the skill away, and half move it; none is in a home that
	// the rollout left alone.
	var missing, moved []string
	for _, target := range w.targets(original.ID) {
		if target.State == string(fleet.TargetSucceeded) {
			if len(missing) < changed/2 {
				missing = append(missing, target.UnitID)
			} else if len(moved) < changed-changed/2 {
				moved = append(moved, target.UnitID)
			}
		}
	}
	for kind, units := range map[simulator.DriftKind][]string{simulator.DriftMissing: missing, simulator.DriftWrongStage: moved} {
		p := simulator.DriftParams{Kind: kind, Units: units, SkillID: skillMain}
		if kind == simulator.DriftWrongStage {
			p.Stage = fleet.StageCertification
		}
		_, err := w.sim.Drift(p)
		require.NoError(t, err)
	}
	since := w.skillOf(skillMain)

	w.sim.Reset(true)
	back := w.rollback(original.ID)
	restored := written - changed
	require.EqualValues(t, written, back.Targets, "those that succeeded")
	require.EqualValues(t, restored, back.Counts.Succeeded)
	require.EqualValues(t, changed, back.Counts.Skipped)
	w.requireRestored(back, was, since, restored)

	// An audit says of each home what is true of it: those that somebody else changed
	// are not as we left them, all others are as they should be.
	a := w.audit("acme")
	w.requireSight(a, false)
	require.EqualValues(t, fleet.AuditSucceeded, a.State)
	others := map[string]bool{}
	for _, unit := range append(missing, moved...) {
		others[unit] = true
	}
	for _, f := range w.findings("acme") {
		require.True(t, others[f.UnitID], "%+v", f)
		require.EqualValues(t, fleet.CauseChangedOutside, f.Cause)
	}
	t.Logf("a rollout of %d homes, %d changed since: %d put back, %d skipped; the audit: %d in sync, %d drifted",
		original.Counts.Succeeded, changed, back.Counts.Succeeded, back.Counts.Skipped, a.InSync, a.Drifted)

	// Taken back again it is the original, where that could be taken back.
	w.sim.Reset(true)
	again := w.rollback(back.ID)
	require.EqualValues(t, restored, again.Targets)
	require.EqualValues(t, restored, again.Counts.Succeeded)
	w.requireRestored(again, left, since, restored)
	a = w.audit("acme")
	w.requireSight(a, false)
	require.EqualValues(t, fleet.AuditSucceeded, a.State)
}

// requireRestored sees that each home that a rollback succeeded in is as it was, and
// that every other was left as somebody else made it.
func (w *world) requireRestored(r client.Rollout, was, since map[string]string, writes int) {
	w.t.Helper()
	now := w.skillOf(r.SkillID)
	want := make(map[string]string, len(since))
	maps.Copy(want, since)
	targets := w.targets(r.ID)
	w.countsMatch(r, targets)
	for _, target := range targets {
		if target.State == string(fleet.TargetSucceeded) {
			want[target.UnitID] = was[target.UnitID]
			continue
		}
		require.EqualValues(w.t, fleet.ReasonChangedSince, target.Reason, "%+v", target)
	}
	require.Equal(w.t, want, now)
	stats := w.sim.Stats()
	require.EqualValues(w.t, writes, stats.Writes)
	require.Equal(w.t, 1, stats.MaxWrites)
}
