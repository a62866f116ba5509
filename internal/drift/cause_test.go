package drift_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/drift"
	"fleetd/internal/fleet"
)

// Each case has every reason of a lower rank as well, so that the order is tested too.
func TestCause(t *testing.T) {
	t.Parallel()
	good, before := night.Add(-24*time.Hour), night.Add(-48*time.Hour)
	all := drift.Evidence{
		Occupancy: fleet.OccupancyVacant, UnitCreatedAt: before, PreviousAuditAt: good, LastGood: good, FirstBad: night,
	}
	target := func(state fleet.TargetState, reason fleet.Reason, ended time.Time) *drift.TargetEvidence {
		return &drift.TargetEvidence{Rollout: "6f", Action: fleet.ActionEnable, State: state, Reason: reason, EndedAt: ended}
	}
	failed := target(fleet.TargetFailed, fleet.ReasonServerError, night.Add(-2*time.Hour))
	with := func(change func(*drift.Evidence)) drift.Evidence {
		e := all
		change(&e)
		return e
	}
	for name, tc := range map[string]struct {
		e      drift.Evidence
		cause  fleet.DriftCause
		detail string
	}{
		"the home is occupied, whatever else": {
			with(func(e *drift.Evidence) {
				e.Occupancy, e.SkillWithdrawn, e.Reset, e.LastTarget = fleet.OccupancyLinked, true, true, failed
			}), fleet.CauseOccupied, "the home is linked, so its resources are the resident's",
		},
		"our last write was told that there is no such skill": {
			with(func(e *drift.Evidence) {
				e.Reset, e.LastTarget = true, target(fleet.TargetFailed, fleet.ReasonSkillNotFound, night.Add(-time.Hour))
			}), fleet.CauseSkillWithdrawn, "rollout 6f was told at 2026-11-22 02:00 UTC that there is no such skill",
		},
		"others were told": {
			with(func(e *drift.Evidence) { e.SkillWithdrawn, e.Reset = true, true }),
			fleet.CauseSkillWithdrawn, "the API does not know the skill any more, or nearly every home has lost it",
		},
		"everything vanished": {
			with(func(e *drift.Evidence) {
				e.Reset, e.DesiredSource, e.DesiredChangedAt = true, fleet.DesiredBySet, night.Add(-time.Hour)
			}), fleet.CauseUnitReset,
			"everything managed vanished from the home at once: last seen as desired at 2026-11-21 03:00 UTC, changed before 2026-11-22 03:00 UTC",
		},
		"desired changed since": {
			with(func(e *drift.Evidence) {
				e.DesiredSource, e.DesiredChangedAt, e.LastTarget = fleet.DesiredByApply, night.Add(-time.Hour), failed
			}), fleet.CauseDesiredChanged, "desired state was changed at 2026-11-22 02:00 UTC by apply, and no rollout has written it since",
		},
		"desired changed, and then our write failed": {
			with(func(e *drift.Evidence) {
				e.DesiredSource, e.DesiredChangedAt, e.LastTarget = fleet.DesiredBySet, night.Add(-3*time.Hour), failed
			}), fleet.CauseWriteFailed, "rollout 6f failed to enable it at 2026-11-22 01:00 UTC: server_error",
		},
		"desired changed before it was good": {
			with(func(e *drift.Evidence) { e.DesiredSource, e.DesiredChangedAt = fleet.DesiredBySet, before }),
			fleet.CauseChangedOutside, "last seen as desired at 2026-11-21 03:00 UTC, changed before 2026-11-22 03:00 UTC",
		},
		"what was seen good was adopted": {
			with(func(e *drift.Evidence) {
				e.DesiredSource, e.DesiredChangedAt = fleet.DesiredByAdopt, night.Add(-time.Hour)
			}),
			fleet.CauseChangedOutside, "last seen as desired at 2026-11-21 03:00 UTC, changed before 2026-11-22 03:00 UTC",
		},
		"a rollout that changed desired is none of these": {
			with(func(e *drift.Evidence) {
				e.DesiredSource, e.DesiredChangedAt = fleet.DesiredByRollout, night.Add(-time.Hour)
			}), fleet.CauseChangedOutside, "last seen as desired at 2026-11-21 03:00 UTC, changed before 2026-11-22 03:00 UTC",
		},
		"a rollback found it changed": {
			with(func(e *drift.Evidence) {
				e.LastGood, e.LastTarget = time.Time{}, target(fleet.TargetSkipped, fleet.ReasonChangedSince, night.Add(-time.Hour))
			}), fleet.CauseChangedOutside, "rollback 6f found at 2026-11-22 02:00 UTC that somebody had changed it, and left it alone",
		},
		"our write is unproven": {
			with(func(e *drift.Evidence) {
				e.LastTarget = target(fleet.TargetCanceled, "", night.Add(-time.Hour))
				e.LastTarget.InDoubt = true
			}), fleet.CauseWriteFailed, "rollout 6f was canceled at 2026-11-22 02:00 UTC with its write unproven",
		},
		"a target that was canceled before it wrote explains nothing": {
			with(func(e *drift.Evidence) { e.LastTarget = target(fleet.TargetCanceled, "", night.Add(-time.Hour)) }),
			fleet.CauseChangedOutside, "last seen as desired at 2026-11-21 03:00 UTC, changed before 2026-11-22 03:00 UTC",
		},
		"a failure before the last good sight explains nothing": {
			with(func(e *drift.Evidence) {
				e.LastTarget = target(fleet.TargetFailed, fleet.ReasonSkillNotFound, before)
			}), fleet.CauseChangedOutside, "last seen as desired at 2026-11-21 03:00 UTC, changed before 2026-11-22 03:00 UTC",
		},
		"a rollout proved it": {
			with(func(e *drift.Evidence) {
				e.LastGood = night.Add(-50 * time.Minute)
				e.LastTarget = target(fleet.TargetSucceeded, "", e.LastGood)
			}), fleet.CauseChangedOutside, "rollout 6f proved it at 2026-11-22 02:10 UTC, changed before 2026-11-22 03:00 UTC",
		},
		"the unit came after the last audit": {
			with(func(e *drift.Evidence) { e.LastGood, e.UnitCreatedAt = time.Time{}, night.Add(-time.Hour) }),
			fleet.CauseUnitNew, "the home is new: imported at 2026-11-22 02:00 UTC, after the audit of 2026-11-21 03:00 UTC",
		},
		"the unit was never audited": {
			with(func(e *drift.Evidence) { e.LastGood, e.PreviousAuditAt = time.Time{}, time.Time{} }),
			fleet.CauseUnitNew, "the home was never audited before",
		},
		"adopted, and never seen so": {
			with(func(e *drift.Evidence) {
				e.LastGood, e.DesiredSource, e.DesiredChangedAt = time.Time{}, fleet.DesiredByAdopt, before
			}), fleet.CauseDesiredChanged, "desired state was changed at 2026-11-20 03:00 UTC by adopt, and no rollout has written it since",
		},
		"nothing says why": {
			with(func(e *drift.Evidence) { e.LastGood = time.Time{} }),
			fleet.CauseUnknown, "it was never seen as desired, and no record of ours says why",
		},
		"no evidence at all": {drift.Evidence{}, fleet.CauseUnitNew, "the home was never audited before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cause, detail := drift.Cause(tc.e)
			require.Equal(t, tc.cause, cause)
			require.Equal(t, tc.detail, detail)
		})
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	enabled := seen(fleet.StatusEnabled, "live", "")
	wants := map[string]fleet.Desired{"a": live, "b": live, "c": off}
	for name, tc := range map[string]struct {
		v    drift.View
		good func(string) bool
		want bool
	}{
		"everything managed vanished":               {drift.View{Wants: wants}, yes, true},
		"and others are still there":                {drift.View{Wants: wants, Seen: map[string]fleet.Observation{"x": enabled}}, yes, true},
		"and a protected one is":                    {drift.View{Wants: wants, Managed: yes, Protected: only("p"), Seen: map[string]fleet.Observation{"p": enabled}}, yes, true},
		"one of them is there":                      {drift.View{Wants: wants, Seen: map[string]fleet.Observation{"b": enabled}}, yes, false},
		"one managed that is not wanted is there":   {drift.View{Wants: wants, Managed: only("x"), Seen: map[string]fleet.Observation{"x": enabled}}, yes, false},
		"only one was good":                         {drift.View{Wants: wants}, only("a", "c"), false},
		"only one is wanted":                        {drift.View{Wants: map[string]fleet.Desired{"a": live, "b": off}}, yes, false},
		"one of the two is in flight":               {drift.View{Wants: wants, InFlight: only("a")}, yes, false},
		"one is going away, which is not vanishing": {drift.View{Wants: wants, Seen: map[string]fleet.Observation{"a": seen(fleet.StatusDisabling, "live", "")}}, yes, false},
		"a status nobody documents":                 {drift.View{Wants: wants, Managed: yes, Seen: map[string]fleet.Observation{"x": seen("SLEEPING", "", "")}}, yes, false},
		"nobody says what was good":                 {drift.View{Wants: wants}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, drift.Reset(drift.Compare(tc.v), tc.v, tc.good))
		})
	}
}
