package acceptance_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// homeStates is the truth about every home.
func (w *world) homeStates() map[string]simulator.HomeState {
	homes := map[string]simulator.HomeState{}
	for from := 0; ; {
		page, next := w.sim.HomeStates(from, 1000)
		for _, h := range page {
			homes[h.UnitID] = h
		}
		if from = next; next == 0 {
			return homes
		}
	}
}

// desired is what should be on the homes of an account, by unit and skill: a stage,
// or disabled.
func (w *world) desired(account string) map[string]map[string]string {
	w.t.Helper()
	want := map[string]map[string]string{}
	limit := int64(500)
	params := client.ListDesiredParams{Account: account, Limit: &limit}
	for {
		page, err := w.up().api.ListDesired(w.t.Context(), params)
		require.NoError(w.t, err)
		for _, item := range page.Value.Items {
			if want[item.UnitID] == nil {
				want[item.UnitID] = map[string]string{}
			}
			want[item.UnitID][item.SkillID] = item.State
		}
		if page.Value.NextCursor == "" {
			return want
		}
		params.Cursor = &page.Value.NextCursor
	}
}

// blind is why homes of a class cannot be seen.
var blind = map[simulator.Class]fleet.UnknownReason{
	simulator.ClassForbidden: fleet.UnknownForbidden, simulator.ClassNotFound: fleet.UnknownUnitNotFound,
}

// requireSight sees that what an audit of all homes says of each is true, as the
// homes are now: that no home is called clean or drifted which was not seen whole
// since the audit began, that each that was seen has exactly the findings that it
// must have, and that the counts are those of the homes. It returns the homes that
// are unknown though they could have been seen, by reason.
func (w *world) requireSight(a client.Audit, links bool) map[string]int {
	w.t.Helper()
	require.NotNil(w.t, a.EndedAt)
	truth, want := w.homeStates(), w.desired(a.Account)
	managed := map[string]bool{}
	for _, skills := range want {
		for skill := range skills {
			managed[skill] = true
		}
	}
	found := map[string]map[string]client.Drift{}
	for _, f := range w.findings(a.Account) {
		if found[f.UnitID] == nil {
			found[f.UnitID] = map[string]client.Drift{}
		}
		found[f.UnitID][f.SkillID] = f
	}
	units := w.audited(a.ID)
	require.Len(w.t, units, int(a.Units), "every home is answered, once")
	results, seen, excused := map[string]int64{}, map[string]bool{}, map[string]int{}
	for _, u := range units {
		require.False(w.t, seen[u.UnitID], "%s is listed twice", u.UnitID)
		seen[u.UnitID] = true
		results[u.Result]++
		home := truth[u.UnitID]
		if u.Result == string(fleet.AuditUnknown) {
			if reason, ok := blind[home.Class]; ok {
				require.EqualValues(w.t, reason, u.Reason)
			} else {
				excused[u.Reason]++
			}
			continue
		}
		require.Equal(w.t, simulator.ClassOK, home.Class, "%s is called %s", u.UnitID, u.Result)
		require.NotZero(w.t, home.CompleteLists, "%s is called %s and was not seen whole", u.UnitID, u.Result)
		kinds := differences(want[u.UnitID], managed, home, links)
		for skill, kind := range kinds {
			require.Equal(w.t, kind, fleet.DriftKind(found[u.UnitID][skill].Kind), "%s of %s", skill, u.UnitID)
		}
		require.Len(w.t, found[u.UnitID], len(kinds), "false drift of %s: %+v", u.UnitID, found[u.UnitID])
		require.Equal(w.t, len(kinds) > 0, u.Result == string(fleet.AuditDrifted), "%s is called %s", u.UnitID, u.Result)
	}
	require.Equal(w.t, map[string]int64{"in_sync": a.InSync, "drifted": a.Drifted, "unknown": a.Unknown},
		map[string]int64{"in_sync": results["in_sync"], "drifted": results["drifted"], "unknown": results["unknown"]})
	return excused
}

// differences is what an audit must say of a home that it saw: the kind of each
// managed skill that is not as desired.
func differences(want map[string]string, managed map[string]bool, home simulator.HomeState, links bool) map[string]fleet.DriftKind {
	out := map[string]fleet.DriftKind{}
	there := map[string]simulator.SkillState{}
	for _, s := range home.Skills {
		there[s.SkillID] = s
		if state, ok := want[s.SkillID]; managed[s.SkillID] && (!ok || state == string(fleet.StateDisabled)) && s.Status != fleet.StatusDisabling {
			out[s.SkillID] = fleet.DriftUnexpected
		}
	}
	for skill, state := range want {
		s, present := there[skill]
		switch {
		case state == string(fleet.StateDisabled):
		case !present || s.Status == fleet.StatusDisabling:
			out[skill] = fleet.DriftMissing
		case s.Status != fleet.StatusEnabled:
			out[skill] = fleet.DriftStuckEnabling
		case string(s.Stage) != state:
			out[skill] = fleet.DriftWrongStage
		case links && s.AccountLink == fleet.NotLinked:
			out[skill] = fleet.DriftNotLinked
		}
	}
	return out
}

// TestSightHasTeeth sees that requireSight would notice each kind of difference.
func TestSightHasTeeth(t *testing.T) {
	t.Parallel()
	home := func(status fleet.Status, stage fleet.Stage, link fleet.LinkStatus) simulator.HomeState {
		return simulator.HomeState{Skills: []simulator.SkillState{{SkillID: "s", Status: status, Stage: stage, AccountLink: link}}}
	}
	good := home(fleet.StatusEnabled, fleet.StageLive, fleet.Linked)
	live, managed := map[string]string{"s": "live"}, map[string]bool{"s": true}
	require.Empty(t, differences(live, managed, good, true))
	require.Empty(t, differences(nil, nil, good, true), "nothing manages it")
	require.Empty(t, differences(live, managed, home(fleet.StatusEnabled, fleet.StageLive, fleet.NotLinked), false))
	for kind, got := range map[fleet.DriftKind]map[string]fleet.DriftKind{
		fleet.DriftMissing:       differences(live, managed, simulator.HomeState{}, true),
		fleet.DriftUnexpected:    differences(nil, managed, good, true),
		fleet.DriftWrongStage:    differences(live, managed, home(fleet.StatusEnabled, fleet.StageDevelopment, fleet.Linked), true),
		fleet.DriftNotLinked:     differences(live, managed, home(fleet.StatusEnabled, fleet.StageLive, fleet.NotLinked), true),
		fleet.DriftStuckEnabling: differences(live, managed, home(fleet.StatusEnabling, fleet.StageLive, fleet.Linked), true),
	} {
		require.Equal(t, map[string]fleet.DriftKind{"s": kind}, got)
	}
	require.Equal(t, map[string]fleet.DriftKind{"s": fleet.DriftUnexpected}, differences(map[string]string{"s": "disabled"}, managed, good, true))
}
