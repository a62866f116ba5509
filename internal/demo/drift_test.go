package demo

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// However many homes there are, and whichever property comes first or second, there
// are enough homes for every change.
func TestChangesFindTheirHomes(t *testing.T) {
	t.Parallel()
	for homes := minHomes; homes <= 1000; homes += 23 {
		for first := range properties {
			sim := simulator.New(world(homes))
			where := make([]string, 2)
			for i := range homes {
				h := sim.Home(i)
				switch i * properties / homes { // the simulator's arithmetic
				case first:
					where[0] = h.Property
				case (first + 1) % properties:
					where[1] = h.Property
				default:
					continue
				}
				if sim.Truth(h.UnitID, skill) == simulator.ClassOK && h.Occupancy == fleet.OccupancyVacant {
					require.NoError(t, sim.ChangeUnit(h.UnitID, simulator.Change{Action: simulator.ChangeEnable, SkillID: skill}))
				}
			}
			var made []simulator.Drift
			for _, p := range changes(homes/properties, where) {
				drifts, err := sim.Drift(p)
				require.NoError(t, err, "%d homes, properties %v", homes, where)
				made = append(made, drifts...)
			}
			require.Len(t, expected(made, nil, where), len(made), "no pair is changed twice")
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	failed := func(property string, reason fleet.Reason) client.Target {
		return client.Target{Property: property, State: "failed", Reason: string(reason)}
	}
	all := []string{"a", "b", "c", "d"}
	require.Equal(t, []string{"a", "b"}, choose(all, nil))
	require.Equal(t, []string{"a", "d"}, choose(all, []client.Target{failed("d", fleet.ReasonForbidden)}))
	require.Equal(t, []string{"b", "c"}, choose(all, []client.Target{
		failed("a", fleet.ReasonForbidden), failed("b", fleet.ReasonForbidden), failed("b", fleet.ReasonForbidden),
		failed("c", fleet.ReasonEnablingFailed),
	}), "a home that can be looked at counts for more than many that cannot")
	require.Equal(t, []string{"a"}, choose([]string{"a"}, nil))
}

func TestExpected(t *testing.T) {
	t.Parallel()
	want := expected(
		[]simulator.Drift{
			{Kind: simulator.DriftMissing, UnitID: "u1", SkillID: skill},
			{Kind: simulator.DriftUnexpected, UnitID: "u2", SkillID: legacySkill},
		},
		[]client.Target{
			{UnitID: "u2", Property: "p", Reason: "enabling_failed"},
			{UnitID: "u3", Property: "p", Reason: "forbidden"},
			{UnitID: "u4", Property: "p", Reason: "unit_not_found"},
			{UnitID: "u5", Property: "p", Reason: "server_error"},
			{UnitID: "u6", Property: "elsewhere", Reason: "enabling_failed"},
		}, []string{"p"})
	require.Equal(t, map[pair]difference{
		{"u1", skill}:       {fleet.DriftMissing, fleet.CauseChangedOutside},
		{"u2", legacySkill}: {fleet.DriftUnexpected, fleet.CauseDesiredChanged},
		{"u2", skill}:       {fleet.DriftStuckEnabling, fleet.CauseWriteFailed},
		{"u5", skill}:       {fleet.DriftMissing, fleet.CauseWriteFailed},
	}, want)
}

func TestCompareFindings(t *testing.T) {
	t.Parallel()
	want := map[pair]difference{
		{"u1", skill}: {fleet.DriftMissing, fleet.CauseChangedOutside},
		{"u2", skill}: {fleet.DriftWrongStage, fleet.CauseChangedOutside},
	}
	found := func(unit, kind, cause string) client.Drift {
		return client.Drift{UnitID: unit, SkillID: skill, Kind: kind, Cause: cause}
	}
	first, second := found("u1", "missing", "changed_outside"), found("u2", "wrong_stage", "changed_outside")
	require.Empty(t, compareFindings(want, []client.Drift{second, first}))
	require.Equal(t, []string{"u2: wrong_stage of " + skill + " was not found"}, compareFindings(want, []client.Drift{first}))
	require.Equal(t, []string{"u1: found twice for " + skill}, compareFindings(want, []client.Drift{first, second, first}))
	require.Equal(t, []string{"u1: found missing (unknown), where it is missing (changed_outside)"},
		compareFindings(want, []client.Drift{found("u1", "missing", "unknown"), second}))
	require.Equal(t, []string{"u3: missing of " + skill + " was found, and nothing was changed"},
		compareFindings(want, []client.Drift{first, second, found("u3", "missing", "changed_outside")}))
}

func TestCompareSights(t *testing.T) {
	t.Parallel()
	forbidden := []client.AuditedUnit{{UnitID: "u1", Reason: "forbidden"}}
	for name, c := range map[string]struct {
		truth   simulator.HomeState
		unknown []client.AuditedUnit
		agrees  bool
	}{
		"seen whole":                     {simulator.HomeState{Class: simulator.ClassOK, CompleteLists: 1}, nil, true},
		"answered, and never seen whole": {simulator.HomeState{Class: simulator.ClassOK, ListPages: 1}, nil, false},
		"seen, and written to":           {simulator.HomeState{Class: simulator.ClassOK, CompleteLists: 1, Writes: 1}, nil, false},
		"unknown, and forbidden":         {simulator.HomeState{Class: simulator.ClassForbidden}, forbidden, true},
		"unknown, and can be seen":       {simulator.HomeState{Class: simulator.ClassOK, CompleteLists: 1}, forbidden, false},
		"answered, and forbidden":        {simulator.HomeState{Class: simulator.ClassForbidden}, nil, false},
		"forbidden, and it is gone":      {simulator.HomeState{Class: simulator.ClassNotFound}, forbidden, false},
		"gone":                           {simulator.HomeState{Class: simulator.ClassNotFound}, []client.AuditedUnit{{UnitID: "u1", Reason: "unit_not_found"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.truth.UnitID = "u1"
			require.Equal(t, c.agrees, len(compareSights([]simulator.HomeState{c.truth}, c.unknown)) == 0)
		})
	}
}

func TestUnrepaired(t *testing.T) {
	t.Parallel()
	live := simulator.State{Status: fleet.StatusEnabled, Stage: fleet.StageLive, AccountLink: fleet.Linked}
	absent := simulator.State{Status: fleet.StatusAbsent}
	notLinked := live
	notLinked.AccountLink = fleet.NotLinked
	for _, c := range []struct {
		kind  fleet.DriftKind
		truth simulator.State
		right bool
	}{
		{fleet.DriftMissing, live, true},
		{fleet.DriftMissing, absent, false},
		{fleet.DriftNotLinked, live, true},
		{fleet.DriftNotLinked, notLinked, false},
		{fleet.DriftWrongStage, simulator.State{Status: fleet.StatusEnabled, Stage: fleet.StageDevelopment}, false},
		{fleet.DriftStuckEnabling, simulator.State{Status: fleet.StatusEnabling, Stage: fleet.StageLive}, false},
		{fleet.DriftUnexpected, absent, true},
		{fleet.DriftUnexpected, live, false},
	} {
		wrong := unrepaired(map[pair]difference{{"u1", skill}: {kind: c.kind}}, func(pair) simulator.State { return c.truth })
		require.Equal(t, c.right, len(wrong) == 0, "%s: %v", c.kind, wrong)
	}
}

func TestSights(t *testing.T) {
	t.Parallel()
	enable := client.Rollout{
		Action: "enable", State: "running", Targets: 25, Wave: client.Wave{Index: 2, Of: 3},
		Counts: client.Counts{Succeeded: 4, Running: 21}, MaxFailures: 3,
	}
	disable := client.Rollout{
		Action: "disable", State: "succeeded", Targets: 3, Wave: client.Wave{Index: 2, Of: 2},
		Counts: client.Counts{Succeeded: 2, Failed: 1}, Failures: 1, MaxFailures: 1,
	}
	s := rolloutSight(enable, disable)
	require.Equal(t, "enable wave 2 of 3, disable wave 2 of 2, succeeded, 7 homes/s, 0 refused, 1 of 4 failures", s.summary(7, 0))
	require.Equal(t, []int64{7, 28}, []int64{s.done, s.of})
	require.Equal(t, "wave 2 of 3, 9 requests/s, 0 refused, 0 of 3 failures", rolloutSight(enable).summary(0, 9))
	s = auditSight(client.Audit{State: "running", Units: 334, InSync: 300, Drifted: 28, Unknown: 5})
	require.Equal(t, "running, 0 refused, 300 in sync, 28 drifted, 5 unknown", s.summary(0, 0))
	require.Equal(t, []int64{333, 334}, []int64{s.done, s.of})
}
