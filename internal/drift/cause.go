package drift

import (
	"fmt"
	"time"

	"fleetd/internal/fleet"
)

// Evidence is what our own records know of a pair that differs. Zero times mean
// that there is none.
type Evidence struct {
	Occupancy        fleet.Occupancy // now
	UnitCreatedAt    time.Time       // when the inventory got the unit
	PreviousAuditAt  time.Time       // when the audit before this one began; zero: the unit was never audited
	LastGood         time.Time       // when the pair was last seen as desired
	FirstBad         time.Time       // when the list that showed the difference began
	DesiredSource    fleet.DesiredSource
	DesiredChangedAt time.Time
	LastTarget       *TargetEvidence // of the pair, the last one to have ended
	Reset            bool            // see the function Reset
	SkillWithdrawn   bool            // the API does not know the skill any more, by other targets or units of the account
}

// TargetEvidence is the last target of a rollout for the pair.
type TargetEvidence struct {
	Rollout string // its public ID
	Action  fleet.Action
	State   fleet.TargetState
	Reason  fleet.Reason
	EndedAt time.Time
	InDoubt bool // a write was sent that was never proven
}

// Cause says why a pair differs, the most certain reason first, and one sentence
// of detail. Times in it are UTC.
func Cause(e Evidence) (fleet.DriftCause, string) {
	t := e.LastTarget
	since := t != nil && t.EndedAt.After(e.LastGood) // the target ended after all was well
	switch {
	case e.Occupancy != "" && e.Occupancy != fleet.OccupancyVacant:
		return fleet.CauseOccupied, fmt.Sprintf("the home is %s, so its resources are the resident's", e.Occupancy)
	case since && t.State == fleet.TargetFailed && t.Reason == fleet.ReasonSkillNotFound:
		return fleet.CauseSkillWithdrawn, fmt.Sprintf("rollout %s was told at %s that there is no such skill", t.Rollout, at(t.EndedAt))
	case e.SkillWithdrawn:
		return fleet.CauseSkillWithdrawn, "the API does not know the skill any more, or nearly every home has lost it"
	case e.Reset:
		return fleet.CauseUnitReset, "everything managed vanished from the home at once" + e.interval(": ")
	case e.desiredChanged():
		return fleet.CauseDesiredChanged, fmt.Sprintf("desired state was changed at %s by %s, and no rollout has written it since",
			at(e.DesiredChangedAt), e.DesiredSource)
	case since && t.State == fleet.TargetFailed:
		return fleet.CauseWriteFailed, fmt.Sprintf("rollout %s failed to %s it at %s: %s", t.Rollout, t.Action, at(t.EndedAt), t.Reason)
	case since && t.State == fleet.TargetCanceled && t.InDoubt:
		return fleet.CauseWriteFailed, fmt.Sprintf("rollout %s was canceled at %s with its write unproven", t.Rollout, at(t.EndedAt))
	case since && t.Reason == fleet.ReasonChangedSince:
		return fleet.CauseChangedOutside, fmt.Sprintf("rollback %s found at %s that somebody had changed it, and left it alone", t.Rollout, at(t.EndedAt))
	case !e.LastGood.IsZero() && t != nil && t.State == fleet.TargetSucceeded && !t.EndedAt.Before(e.LastGood):
		return fleet.CauseChangedOutside, fmt.Sprintf("rollout %s proved it at %s, changed before %s", t.Rollout, at(t.EndedAt), at(e.FirstBad))
	case !e.LastGood.IsZero():
		return fleet.CauseChangedOutside, e.interval("")
	case e.PreviousAuditAt.IsZero():
		return fleet.CauseUnitNew, "the home was never audited before"
	case e.UnitCreatedAt.After(e.PreviousAuditAt):
		return fleet.CauseUnitNew, fmt.Sprintf("the home is new: imported at %s, after the audit of %s", at(e.UnitCreatedAt), at(e.PreviousAuditAt))
	}
	return fleet.CauseUnknown, "it was never seen as desired, and no record of ours says why"
}

// desiredChanged: a person changed what is desired and nothing has written since.
// What was adopted was there when it was adopted, so adopting explains nothing
// where the pair was ever seen so.
func (e Evidence) desiredChanged() bool {
	if e.DesiredSource == "" || e.DesiredSource == fleet.DesiredByRollout || e.DesiredSource == fleet.DesiredByAdopt && !e.LastGood.IsZero() {
		return false
	}
	wrote := e.LastTarget != nil && !e.LastTarget.EndedAt.Before(e.DesiredChangedAt)
	return e.DesiredChangedAt.After(e.LastGood) && !wrote
}

func (e Evidence) interval(before string) string {
	if e.LastGood.IsZero() {
		return ""
	}
	return fmt.Sprintf("%slast seen as desired at %s, changed before %s", before, at(e.LastGood), at(e.FirstBad))
}

func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Reset reports whether everything managed that was good vanished at once: at
// least two skills were wanted and good, and the list has nothing managed at all.
func Reset(c Comparison, v View, wasGood func(skillID string) bool) bool {
	if c.Result != fleet.AuditDrifted {
		return false
	}
	vanished := 0
	for _, skill := range v.skills() {
		want := v.want(skill)
		if is(v.Protected, skill) || is(v.InFlight, skill) || want == nil && !is(v.Managed, skill) {
			continue
		}
		if s := v.seen(skill).Status; s != fleet.StatusAbsent && s != fleet.StatusNoAssociation && s != fleet.StatusDisabled {
			return false
		}
		if want != nil && want.Enabled && is(wasGood, skill) {
			vanished++
		}
	}
	return vanished >= 2
}
