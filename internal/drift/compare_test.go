package drift_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/drift"
	"fleetd/internal/fleet"
)

const skill = "amzn1.ask.skill.a"

var (
	night  = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	live   = fleet.Desired{Enabled: true, Stage: fleet.StageLive}
	off    = fleet.Desired{}
	absent = fleet.Observation{Status: fleet.StatusAbsent}
)

func yes(string) bool { return true }

func only(ids ...string) func(string) bool {
	set := map[string]bool{}
	for _, id := range ids {
		set[id] = true
	}
	return func(id string) bool { return set[id] }
}

func seen(status fleet.Status, stage fleet.Stage, link fleet.LinkStatus) fleet.Observation {
	return fleet.Observation{Status: status, Stage: stage, AccountLink: link, ObservedAt: night}
}

// Every status against every thing that can be desired.
func TestCompareStatuses(t *testing.T) {
	t.Parallel()
	const fine, unknown = fleet.DriftKind(""), fleet.DriftKind("unknown")
	for _, tc := range []struct {
		name         string
		seen         fleet.Observation
		enabled, off fleet.DriftKind // where live is desired, and where nothing is
	}{
		{"absent", absent, fleet.DriftMissing, fine},
		{"no association", seen(fleet.StatusNoAssociation, "", ""), fleet.DriftMissing, fine},
		{"disabled", seen(fleet.StatusDisabled, "live", ""), fleet.DriftMissing, fine},
		{"disabling", seen(fleet.StatusDisabling, "live", ""), fleet.DriftMissing, fine},
		{"disabling failed", seen(fleet.StatusDisablingFailed, "live", ""), fleet.DriftMissing, fleet.DriftUnexpected},
		{"enabling", seen(fleet.StatusEnabling, "live", ""), fleet.DriftStuckEnabling, fleet.DriftUnexpected},
		{"enabling at another stage", seen(fleet.StatusEnabling, "development", ""), fleet.DriftStuckEnabling, fleet.DriftUnexpected},
		{"enabling failed", seen(fleet.StatusEnablingFailed, "live", ""), fleet.DriftStuckEnabling, fleet.DriftUnexpected},
		{"enabled", seen(fleet.StatusEnabled, "live", ""), fine, fleet.DriftUnexpected},
		{"enabled without a stage", seen(fleet.StatusEnabled, "", ""), fine, fleet.DriftUnexpected},
		{"enabled at another stage", seen(fleet.StatusEnabled, "development", ""), fleet.DriftWrongStage, fleet.DriftUnexpected},
		{"enabled at a stage nobody documents", seen(fleet.StatusEnabled, "beta", ""), fleet.DriftWrongStage, fleet.DriftUnexpected},
		{"linked", seen(fleet.StatusEnabled, "live", fleet.Linked), fine, fleet.DriftUnexpected},
		{"not linked", seen(fleet.StatusEnabled, "live", fleet.NotLinked), fleet.DriftNotLinked, fleet.DriftUnexpected},
		{"linked in a way nobody documents", seen(fleet.StatusEnabled, "live", "HALF"), fleet.DriftNotLinked, fleet.DriftUnexpected},
		{"not linked at another stage", seen(fleet.StatusEnabled, "development", fleet.NotLinked), fleet.DriftWrongStage, fleet.DriftUnexpected},
		{"a status nobody documents", seen("SLEEPING", "live", ""), unknown, unknown},
		{"a status in lower case", seen("enabled", "live", ""), unknown, unknown},
		{"not known", seen("", "live", ""), unknown, unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for want, kind := range map[*fleet.Desired]fleet.DriftKind{&live: tc.enabled, &off: tc.off, nil: tc.off} {
				v := drift.View{Seen: map[string]fleet.Observation{skill: tc.seen}, Managed: yes, Links: true}
				if want != nil {
					v.Wants = map[string]fleet.Desired{skill: *want}
				}
				got := drift.Compare(v)
				require.Equal(t, kind == fine, drift.Satisfied(want, tc.seen, true), "Satisfied, desired %+v", want)
				expected, settled := map[fleet.DriftKind]drift.Comparison{
					unknown: {Result: fleet.AuditUnknown, Reason: fleet.UnknownStatus},
					fine:    {Result: fleet.AuditInSync},
				}[kind]
				if !settled {
					expected.Result = fleet.AuditDrifted
					expected.Differences = []drift.Difference{{SkillID: skill, Kind: kind, Desired: want, Observed: tc.seen}}
				}
				require.Equal(t, expected, got)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	enabled := seen(fleet.StatusEnabled, "live", "")
	t.Run("a skill that the list does not have is missing, and reads absent", func(t *testing.T) {
		t.Parallel()
		got := drift.Compare(drift.View{Wants: map[string]fleet.Desired{skill: live}})
		require.Equal(t, []drift.Difference{{SkillID: skill, Kind: fleet.DriftMissing, Desired: &live, Observed: absent}}, got.Differences)
	})
	t.Run("an account that links nothing does not mind NOT_LINKED", func(t *testing.T) {
		t.Parallel()
		v := drift.View{Wants: map[string]fleet.Desired{skill: live}, Seen: map[string]fleet.Observation{skill: seen(fleet.StatusEnabled, "live", fleet.NotLinked)}}
		require.Equal(t, fleet.AuditInSync, drift.Compare(v).Result)
		v.Links = true
		require.Equal(t, fleet.DriftNotLinked, drift.Compare(v).Differences[0].Kind)
	})
	t.Run("what nothing manages is counted, where it is enabled", func(t *testing.T) {
		t.Parallel()
		got := drift.Compare(drift.View{Seen: map[string]fleet.Observation{
			"a": enabled, "b": seen(fleet.StatusDisabled, "", ""), "c": seen("SLEEPING", "", ""), "d": enabled, "p": enabled,
		}, Protected: only("p")})
		require.Equal(t, drift.Comparison{Result: fleet.AuditInSync, Unmanaged: 2}, got)
	})
	t.Run("a protected skill is never compared, whatever is desired or seen", func(t *testing.T) {
		t.Parallel()
		got := drift.Compare(drift.View{
			Wants: map[string]fleet.Desired{"a": live, "b": off}, Managed: yes, Protected: yes,
			Seen: map[string]fleet.Observation{"b": enabled, "c": seen("SLEEPING", "", "")},
		})
		require.Equal(t, drift.Comparison{Result: fleet.AuditInSync}, got)
	})
	t.Run("a pair in flight is left out, and the rest is compared", func(t *testing.T) {
		t.Parallel()
		got := drift.Compare(drift.View{
			Wants: map[string]fleet.Desired{"a": live, "b": live}, Managed: yes, InFlight: only("a", "c"),
			Seen: map[string]fleet.Observation{"b": enabled, "c": seen("SLEEPING", "", "")},
		})
		require.Equal(t, drift.Comparison{Result: fleet.AuditInSync, InFlight: 2}, got)
	})
	t.Run("one status that nobody documents hides every difference", func(t *testing.T) {
		t.Parallel()
		got := drift.Compare(drift.View{
			Wants: map[string]fleet.Desired{"a": live, "b": live},
			Seen:  map[string]fleet.Observation{"b": seen("SLEEPING", "live", ""), "c": enabled},
		})
		require.Equal(t, drift.Comparison{Result: fleet.AuditUnknown, Reason: fleet.UnknownStatus, Unmanaged: 1}, got)
	})
	t.Run("differences come sorted by skill", func(t *testing.T) {
		t.Parallel()
		got := drift.Compare(drift.View{Wants: map[string]fleet.Desired{"c": live, "a": live, "b": live}, Seen: map[string]fleet.Observation{"aa": enabled}, Managed: yes})
		var order []string
		for _, d := range got.Differences {
			order = append(order, d.SkillID)
		}
		require.Equal(t, []string{"a", "aa", "b", "c"}, order)
	})
}

func TestAction(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind     fleet.DriftKind
		desired  *fleet.Desired
		observed fleet.Stage
		action   fleet.Action
		stage    fleet.Stage
	}{
		{fleet.DriftMissing, &live, "", fleet.ActionEnable, "live"},
		{fleet.DriftWrongStage, &live, "development", fleet.ActionEnable, "live"},
		{fleet.DriftNotLinked, &live, "live", fleet.ActionEnable, "live"},
		{fleet.DriftStuckEnabling, &fleet.Desired{Enabled: true, Stage: "development"}, "live", fleet.ActionEnable, "development"},
		{fleet.DriftUnexpected, &off, "development", fleet.ActionDisable, "development"},
		{fleet.DriftUnexpected, nil, "live", fleet.ActionDisable, "live"},

		{kind: fleet.DriftUnexpected, observed: ""},
		{kind: fleet.DriftUnexpected, observed: "beta"},
		{kind: fleet.DriftUnexpected, desired: &live, observed: "live"},
		{kind: fleet.DriftMissing, desired: &off},
		{kind: fleet.DriftMissing},
		{kind: fleet.DriftMissing, desired: &fleet.Desired{Enabled: true, Stage: "beta"}},
		{kind: "other", desired: &live, observed: "live"},
	} {
		action, stage, ok := drift.Action(tc.kind, tc.desired, tc.observed)
		require.Equal(t, tc.action, action, "%+v", tc)
		require.Equal(t, tc.stage, stage, "%+v", tc)
		require.Equal(t, tc.action != "", ok, "%+v", tc)
	}
}
