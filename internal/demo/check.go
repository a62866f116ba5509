package demo

import (
	"fmt"
	"slices"

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
	enabled := truth.Status == fleet.StatusEnabled && truth.Stage == fleet.StageLive && truth.AccountLink != fleet.NotLinked
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

// pair is one skill on one home.
type pair struct{ unit, skill string }

// difference is how a pair differs from what should be, and why.
type difference struct {
	kind  fleet.DriftKind
	cause fleet.DriftCause
}

// expected is what an audit of some properties must find: what was changed behind
// fleetd's back, and the homes that the rollout could not change and that can be
// looked at.
func expected(injected []simulator.Drift, failed []client.Target, properties []string) map[pair]difference {
	want := map[pair]difference{}
	for _, d := range injected {
		cause := fleet.CauseChangedOutside
		if d.Kind == simulator.DriftUnexpected { // nobody ever saw that home without it
			cause = fleet.CauseDesiredChanged
		}
		want[pair{d.UnitID, d.SkillID}] = difference{fleet.DriftKind(d.Kind), cause}
	}
	for _, t := range failed {
		if !slices.Contains(properties, t.Property) {
			continue
		}
		kind := fleet.DriftMissing
		if t.Reason == string(fleet.ReasonEnablingFailed) {
			kind = fleet.DriftStuckEnabling
		}
		if t.Reason != string(fleet.ReasonForbidden) && t.Reason != string(fleet.ReasonUnitNotFound) { // those are not seen
			want[pair{t.UnitID, skill}] = difference{kind, fleet.CauseWriteFailed}
		}
	}
	return want
}

// compareFindings compares what was found with what there was to find, one by one,
// and returns what differs, in words.
func compareFindings(want map[pair]difference, found []client.Drift) []string {
	var wrong []string
	seen := map[pair]bool{}
	for _, f := range found {
		p := pair{f.UnitID, f.SkillID}
		got := difference{fleet.DriftKind(f.Kind), fleet.DriftCause(f.Cause)}
		switch w, known := want[p]; {
		case seen[p]:
			wrong = append(wrong, fmt.Sprintf("%s: found twice for %s", p.unit, p.skill))
		case !known:
			wrong = append(wrong, fmt.Sprintf("%s: %s of %s was found, and nothing was changed", p.unit, got.kind, p.skill))
		case w != got:
			wrong = append(wrong, fmt.Sprintf("%s: found %s (%s), where it is %s (%s)", p.unit, got.kind, got.cause, w.kind, w.cause))
		}
		seen[p] = true
	}
	for p, w := range want {
		if !seen[p] {
			wrong = append(wrong, fmt.Sprintf("%s: %s of %s was not found", p.unit, w.kind, p.skill))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// compareSights says where an audit claims what it cannot know: a home that is
// unknown and could be seen, one that was answered and never seen whole, and one that
// was written to.
func compareSights(truth []simulator.HomeState, unknown []client.AuditedUnit) []string {
	reasons := map[string]fleet.UnknownReason{}
	for _, u := range unknown {
		reasons[u.UnitID] = fleet.UnknownReason(u.Reason)
	}
	var wrong []string
	for _, h := range truth {
		want := fleet.UnknownReason("")
		switch h.Class {
		case simulator.ClassForbidden:
			want = fleet.UnknownForbidden
		case simulator.ClassNotFound:
			want = fleet.UnknownUnitNotFound
		case simulator.ClassOK, simulator.ClassStuck, simulator.ClassEnablingFailed, simulator.ClassUnknownStatus:
		}
		switch got := reasons[h.UnitID]; {
		case got != want:
			wrong = append(wrong, fmt.Sprintf("%s: unknown %q, where it is %q", h.UnitID, got, want))
		case got == "" && h.CompleteLists == 0:
			wrong = append(wrong, h.UnitID+": answered, and never seen whole")
		case h.Writes > 0:
			wrong = append(wrong, fmt.Sprintf("%s: written to %s", h.UnitID, things(h.Writes, "time")))
		}
	}
	return wrong
}

// unrepaired says which of the differences are not put right in truth.
func unrepaired(were map[pair]difference, truth func(pair) simulator.State) []string {
	var wrong []string
	for p, w := range were {
		s := truth(p)
		enabled := s.Status == fleet.StatusEnabled && s.Stage == fleet.StageLive && s.AccountLink != fleet.NotLinked
		right := enabled
		if w.kind == fleet.DriftUnexpected {
			right = s.Status == fleet.StatusAbsent
		}
		if !right {
			wrong = append(wrong, fmt.Sprintf("%s: was %s, and the API holds %s %s %s", p.unit, w.kind, s.Status, s.Stage, s.AccountLink))
		}
	}
	slices.Sort(wrong)
	return wrong
}
