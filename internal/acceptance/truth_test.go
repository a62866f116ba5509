package acceptance_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// requireTruth lists every target of a rollout that has ended and sees that what is
// recorded of it is what the API holds, and the only thing that could be recorded
// of such a home. It returns how many targets ended with each reason.
func (w *world) requireTruth(id string) map[string]int {
	w.t.Helper()
	r := w.look(id)
	targets := w.targets(id)
	require.Len(w.t, targets, int(r.Targets))
	occupied := w.occupied()
	seen, reasons := map[string]bool{}, map[string]int{}
	for _, target := range targets {
		require.False(w.t, seen[target.UnitID], "unit %s is listed twice", target.UnitID)
		seen[target.UnitID] = true
		truth := w.sim.State(target.UnitID, r.SkillID)
		require.Empty(w.t, untrue(r, target, truth, occupied[target.UnitID]), "unit %s: recorded %+v, true state %+v", target.UnitID, target, truth)
		reasons[target.Reason]++
	}
	w.countsMatch(r, targets)
	return reasons
}

// countsMatch sees that each count of a rollout lists exactly its targets.
func (w *world) countsMatch(r client.Rollout, targets []client.Target) {
	w.t.Helper()
	states := map[string]int64{}
	for _, target := range targets {
		states[target.State]++
	}
	c := r.Counts
	require.Equal(w.t, map[string]int64{
		"pending": c.Pending, "queued": c.Queued, "running": c.Running, "verifying": c.Verifying,
		"succeeded": c.Succeeded, "failed": c.Failed, "skipped": c.Skipped, "canceled": c.Canceled,
	}, map[string]int64{
		"pending": states["pending"], "queued": states["queued"], "running": states["running"], "verifying": states["verifying"],
		"succeeded": states["succeeded"], "failed": states["failed"], "skipped": states["skipped"], "canceled": states["canceled"],
	})
}

func (w *world) occupied() map[string]bool {
	occupied := map[string]bool{}
	for i := range w.sim.Units() {
		if home := w.sim.Home(i); home.Occupancy != fleet.OccupancyVacant {
			occupied[home.UnitID] = true
		}
	}
	return occupied
}

// untrue says what is wrong with a recorded outcome, "" for nothing.
func untrue(r client.Rollout, target client.Target, truth simulator.State, occupied bool) string {
	var want fleet.TargetState
	var reason fleet.Reason
	switch {
	case occupied:
		want, reason = fleet.TargetSkipped, fleet.ReasonOccupied
	case r.Action == string(fleet.ActionDisable):
		want, reason = disabled(truth)
	default:
		want, reason = enabled(truth)
	}
	on := truth.Status == fleet.StatusEnabled && string(truth.Stage) == r.Stage
	switch is := fleet.TargetState(target.State); {
	case is != want || fleet.Reason(target.Reason) != reason:
		return fmt.Sprintf("it must be %s (%s)", want, reason)
	case occupied:
		return wrong(truth.Writes != 0, "an occupied home was written to")
	case target.EndedAt == nil, target.StartedAt == nil && is != fleet.TargetSkipped: // what is known is not begun
		return "it has no time"
	case is == fleet.TargetFailed && target.Message == "":
		return "a failure without a message"
	case is != fleet.TargetSucceeded:
		return wrong(on && r.Action == string(fleet.ActionEnable), "it is enabled")
	case target.After == nil:
		return "succeeded, and nothing was seen after the write"
	case r.Action == string(fleet.ActionDisable):
		return wrong(truth.Status != fleet.StatusAbsent, "it is not disabled")
	case !on, target.After.Status != string(fleet.StatusEnabled):
		return "it is not enabled, or was not seen enabled"
	case truth.AccountLink != "" && truth.AccountLink != fleet.Linked:
		return "it is not linked"
	}
	return ""
}

// enabled is the one outcome that enabling may have on a home of a class.
func enabled(truth simulator.State) (fleet.TargetState, fleet.Reason) {
	switch truth.Class {
	case simulator.ClassForbidden:
		return fleet.TargetFailed, fleet.ReasonForbidden
	case simulator.ClassNotFound:
		return fleet.TargetFailed, fleet.ReasonUnitNotFound
	case simulator.ClassEnablingFailed:
		return fleet.TargetFailed, fleet.ReasonEnablingFailed
	case simulator.ClassStuck, simulator.ClassUnknownStatus:
		return fleet.TargetFailed, fleet.ReasonVerifyTimeout
	case simulator.ClassOK:
	}
	return fleet.TargetSucceeded, ""
}

// disabled is the one outcome that disabling may have: a home that nothing is
// enabled on needs no write.
func disabled(truth simulator.State) (fleet.TargetState, fleet.Reason) {
	switch truth.Class {
	case simulator.ClassForbidden:
		return fleet.TargetFailed, fleet.ReasonForbidden
	case simulator.ClassNotFound:
		return fleet.TargetSkipped, fleet.ReasonAlreadyInState
	case simulator.ClassOK, simulator.ClassEnablingFailed, simulator.ClassStuck, simulator.ClassUnknownStatus:
	}
	return fleet.TargetSucceeded, ""
}

func wrong(yes bool, what string) string {
	if yes {
		return what
	}
	return ""
}

// TestTruthHasTeeth sees that requireTruth would notice a wrong record.
func TestTruthHasTeeth(t *testing.T) {
	t.Parallel()
	r := client.Rollout{Action: "enable", Stage: "live"}
	on := simulator.State{Status: fleet.StatusEnabled, Stage: fleet.StageLive, Class: simulator.ClassOK, Writes: 1}
	good := client.Target{State: "succeeded", After: &client.Observation{Status: "ENABLED"}}
	now := r.CreatedAt
	good.StartedAt, good.EndedAt = &now, &now
	require.Empty(t, untrue(r, good, on, false))

	off := on
	off.Status = fleet.StatusAbsent
	require.NotEmpty(t, untrue(r, good, off, false), "recorded enabled, and is not")
	unlinked := on
	unlinked.AccountLink = fleet.NotLinked
	require.NotEmpty(t, untrue(r, good, unlinked, false), "recorded enabled, and is not linked")
	blind := good
	blind.After = nil
	require.NotEmpty(t, untrue(r, blind, on, false), "recorded enabled, and was not seen")
	failed := good
	failed.State, failed.Reason = "failed", "server_error"
	require.NotEmpty(t, untrue(r, failed, on, false), "recorded failed, and is enabled")
	forbidden := off
	forbidden.Class = simulator.ClassForbidden
	require.NotEmpty(t, untrue(r, failed, forbidden, false), "failed for another reason")
	require.NotEmpty(t, untrue(r, good, on, true), "an occupied home was written to")
}
