package demo

import (
	"fmt"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// CheckError says how many of the closing checks did not hold; the table says which.
type CheckError struct {
	Failed, Of int
	First      string // the first of them, in words
}

// Error names the first of them.
func (e *CheckError) Error() string {
	return fmt.Sprintf("the demo did not hold: %d of %d checks failed, the first: %s", e.Failed, e.Of, e.First)
}

// mismatch compares the recorded outcome of enabling the demo's skill on one home
// with the truth. It returns "" when they agree, else what differs.
func mismatch(t client.Target, truth simulator.State) string {
	enabled := truth.Status == fleet.StatusEnabled && truth.Stage == fleet.StageLive
	is := fmt.Sprintf("the API holds %s (%s), written %s", truth.Status, truth.Class, things(truth.Writes, "time"))
	reason := fleet.Reason(t.Reason)
	switch fleet.TargetState(t.State) {
	case fleet.TargetSucceeded:
		switch {
		case !enabled:
			return "recorded succeeded, but " + is
		case t.After == nil || t.After.Status != string(fleet.StatusEnabled):
			return "recorded succeeded without an observation that says so"
		}
		return ""
	case fleet.TargetSkipped:
		ok := truth.Writes == 0 &&
			(reason == fleet.ReasonAlreadyInState && enabled || reason == fleet.ReasonOccupied && truth.Class != simulator.ClassOK)
		if !ok {
			return fmt.Sprintf("recorded skipped (%s), but %s", reason, is)
		}
		return ""
	case fleet.TargetFailed:
		// Other reasons say no more than that it is not enabled.
		ok := !enabled &&
			(reason != fleet.ReasonForbidden || truth.Class == simulator.ClassForbidden) &&
			(reason != fleet.ReasonUnitNotFound || truth.Class == simulator.ClassNotFound) &&
			(reason != fleet.ReasonEnablingFailed || truth.Status == fleet.StatusEnablingFailed)
		if !ok {
			return fmt.Sprintf("recorded failed (%s), but %s", reason, is)
		}
		return ""
	case fleet.TargetPending, fleet.TargetQueued, fleet.TargetRunning, fleet.TargetVerifying, fleet.TargetCanceled:
	}
	return fmt.Sprintf("recorded %s, which is no outcome of this demo", t.State)
}
