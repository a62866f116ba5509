package drift_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/drift"
	"fleetd/internal/fleet"
)

func TestSettle(t *testing.T) {
	t.Parallel()
	missing := drift.Difference{SkillID: "a", Kind: fleet.DriftMissing, Desired: &live, Observed: absent}
	stage := drift.Difference{SkillID: "a", Kind: fleet.DriftWrongStage, Desired: &live, Observed: seen(fleet.StatusEnabled, "development", "")}
	record := drift.Finding{ID: 7, SkillID: "a", Kind: fleet.DriftMissing}
	drifted := func(d ...drift.Difference) drift.Comparison {
		return drift.Comparison{Result: fleet.AuditDrifted, Differences: d}
	}
	clean := drift.Comparison{Result: fleet.AuditInSync}
	unknown := drift.Comparison{Result: fleet.AuditUnknown, Reason: fleet.UnknownStatus}
	for name, tc := range map[string]struct {
		open     []drift.Finding
		c        drift.Comparison
		inFlight func(string) bool
		want     drift.Changes
	}{
		"a new difference opens":           {nil, drifted(missing), nil, drift.Changes{Open: []drift.Difference{missing}}},
		"the same one persists":            {[]drift.Finding{record}, drifted(missing), nil, drift.Changes{Keep: []int64{7}}},
		"another kind takes its place":     {[]drift.Finding{record}, drifted(stage), nil, drift.Changes{Open: []drift.Difference{stage}, Resolve: []int64{7}}},
		"what is gone resolves":            {[]drift.Finding{record}, clean, nil, drift.Changes{Resolve: []int64{7}}},
		"a unit not seen whole keeps all":  {[]drift.Finding{record}, unknown, nil, drift.Changes{Keep: []int64{7}}},
		"a pair in flight keeps its own":   {[]drift.Finding{record}, clean, yes, drift.Changes{Keep: []int64{7}}},
		"a pair in flight opens nothing":   {nil, drifted(missing), yes, drift.Changes{}},
		"nothing on record, nothing found": {nil, clean, nil, drift.Changes{}},
		"another skill's finding is its own": {
			[]drift.Finding{{ID: 8, SkillID: "b", Kind: fleet.DriftMissing}},
			drifted(missing), nil,
			drift.Changes{Open: []drift.Difference{missing}, Resolve: []int64{8}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, drift.Settle(tc.open, tc.c, tc.inFlight))
		})
	}
}
