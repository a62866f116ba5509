package drift_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/drift"
	"fleetd/internal/fleet"
)

var (
	statuses = []fleet.Status{
		fleet.StatusAbsent, fleet.StatusEnabled, fleet.StatusEnabling, fleet.StatusEnablingFailed, fleet.StatusDisabled,
		fleet.StatusDisabling, fleet.StatusDisablingFailed, fleet.StatusNoAssociation,
	}
	ids = []string{"a", "b", "c", "d", "e"}
)

func drawSet(t *rapid.T, name string) func(string) bool {
	return only(rapid.SliceOfDistinct(rapid.SampledFrom(ids), rapid.ID).Draw(t, name)...)
}

func drawDesired() *rapid.Generator[fleet.Desired] {
	return rapid.Custom(func(t *rapid.T) fleet.Desired {
		if rapid.Bool().Draw(t, "enabled") {
			return fleet.Desired{Enabled: true, Stage: rapid.SampledFrom(fleet.Stages()).Draw(t, "stage")}
		}
		return fleet.Desired{}
	})
}

// drawObservation makes any answer, with garbage when asked.
func drawObservation(garbage bool) *rapid.Generator[fleet.Observation] {
	some, stages := statuses, append(fleet.Stages(), "")
	links := []fleet.LinkStatus{"", fleet.Linked, fleet.NotLinked}
	if garbage {
		some, stages, links = append(slices.Clone(some), "", "SLEEPING", "enabled"), append(stages, "beta", "LIVE"), append(links, "HALF")
	}
	return rapid.Custom(func(t *rapid.T) fleet.Observation {
		return fleet.Observation{
			Status:      rapid.SampledFrom(some).Draw(t, "status"),
			Stage:       rapid.SampledFrom(stages).Draw(t, "stage"),
			AccountLink: rapid.SampledFrom(links).Draw(t, "link"),
		}
	})
}

func drawView(t *rapid.T, garbage bool) drift.View {
	return drift.View{
		Wants:     rapid.MapOf(rapid.SampledFrom(ids), drawDesired()).Draw(t, "wants"),
		Seen:      rapid.MapOf(rapid.SampledFrom(ids), drawObservation(garbage)).Draw(t, "seen"),
		Managed:   drawSet(t, "managed"),
		Protected: drawSet(t, "protected"),
		InFlight:  drawSet(t, "in flight"),
		Links:     rapid.Bool().Draw(t, "links"),
	}
}

// Whatever was seen, Compare says one of three things, and means it.
func checkComparison(t require.TestingT, v drift.View, c drift.Comparison) {
	switch c.Result {
	case fleet.AuditInSync:
		require.Empty(t, c.Differences)
		require.Empty(t, c.Reason)
	case fleet.AuditDrifted:
		require.NotEmpty(t, c.Differences)
		require.Empty(t, c.Reason)
	case fleet.AuditUnknown:
		require.Empty(t, c.Differences)
		require.Equal(t, fleet.UnknownStatus, c.Reason)
	default:
		require.Fail(t, "no result", "%q", c.Result)
	}
	found := map[string]bool{}
	for i, d := range c.Differences {
		require.False(t, v.Protected(d.SkillID) || v.InFlight(d.SkillID), "%s was to be left out", d.SkillID)
		require.Contains(t, fleet.DriftKinds(), d.Kind)
		require.False(t, drift.Satisfied(d.Desired, d.Observed, v.Links))
		found[d.SkillID] = true
		if i > 0 {
			require.Less(t, c.Differences[i-1].SkillID, d.SkillID, "not sorted, or twice")
		}
	}
	if c.Result == fleet.AuditUnknown {
		return
	}
	for id, want := range v.Wants {
		o, ok := v.Seen[id]
		if !ok {
			o = absent
		}
		compared := !v.Protected(id) && !v.InFlight(id)
		require.Equal(t, compared && !drift.Satisfied(&want, o, v.Links), found[id], "%s, desired %+v, seen %+v", id, want, o)
	}
}

func TestCompareIsTotalAndDeterministic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t, true)
		c := drift.Compare(v)
		checkComparison(t, v, c)
		require.Equal(t, c, drift.Compare(v))
		v.Wants, v.Seen = maps.Clone(v.Wants), maps.Clone(v.Seen)
		require.Equal(t, c, drift.Compare(v), "the order of a map shows")
	})
}

// A world turned inside out: what is desired enabled becomes desired off and what is
// there becomes absent, and the other way about. Missing and unexpected change
// places, and nothing else does.
func TestCompareIsSymmetric(t *testing.T) {
	t.Parallel()
	turned := map[fleet.DriftKind]fleet.DriftKind{
		fleet.DriftMissing: fleet.DriftUnexpected, fleet.DriftUnexpected: fleet.DriftMissing,
	}
	rapid.Check(t, func(t *rapid.T) {
		settled := rapid.Custom(func(t *rapid.T) fleet.Observation {
			if rapid.Bool().Draw(t, "there") {
				return seen(fleet.StatusEnabled, "live", "")
			}
			return absent
		})
		flip := rapid.MapOf(rapid.SampledFrom(ids), rapid.Bool()).Draw(t, "wants")
		v, w := drawView(t, false), drift.View{Wants: map[string]fleet.Desired{}, Seen: map[string]fleet.Observation{}}
		v.Wants, v.Seen = map[string]fleet.Desired{}, map[string]fleet.Observation{}
		w.Managed, w.Protected, w.InFlight, w.Links = v.Managed, v.Protected, v.InFlight, v.Links
		for id, on := range flip {
			o := settled.Draw(t, "seen")
			v.Wants[id], w.Wants[id] = off, live
			v.Seen[id], w.Seen[id] = o, absent
			if on {
				v.Wants[id], w.Wants[id] = live, off
			}
			if o == absent {
				w.Seen[id] = seen(fleet.StatusEnabled, "live", "")
			}
		}
		got, inside := drift.Compare(v), drift.Compare(w)
		require.Len(t, inside.Differences, len(got.Differences))
		for i, d := range got.Differences {
			require.Equal(t, d.SkillID, inside.Differences[i].SkillID)
			require.Equal(t, turned[d.Kind], inside.Differences[i].Kind)
		}
	})
}

// Whatever is seen, it cannot be as desired both for enabled and for off; and where
// the skill is settled, it is so for exactly one of the two.
func TestSatisfiedHoldsForOneSide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := drawObservation(true).Draw(t, "seen")
		links := rapid.Bool().Draw(t, "links")
		on, gone := drift.Satisfied(&live, o, links), drift.Satisfied(&off, o, links)
		require.False(t, on && gone)
		require.Equal(t, gone, drift.Satisfied(nil, o, links))
		if o == absent || o.Status == fleet.StatusEnabled && (o.Stage == "" || o.Stage == "live") && (!links || o.AccountLink == fleet.Linked) {
			require.NotEqual(t, on, gone)
		}
	})
}

// Nights of one unit: the world changes as it likes, and the record follows.
func TestFindingLifeCycle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var open []drift.Finding
		next := int64(1)
		for range rapid.IntRange(1, 8).Draw(t, "nights") {
			v := drawView(t, rapid.Bool().Draw(t, "garbage"))
			c := drift.Compare(v)
			changes := drift.Settle(open, c, v.InFlight)

			all := append(slices.Clone(changes.Resolve), changes.Keep...)
			slices.Sort(all)
			var before []int64
			for _, f := range open {
				before = append(before, f.ID)
			}
			require.Equal(t, before, all, "a finding is resolved or kept, and once")
			if c.Result == fleet.AuditUnknown {
				require.Empty(t, changes.Open)
				require.Empty(t, changes.Resolve)
				continue
			}
			was := open
			open = slices.DeleteFunc(slices.Clone(open), func(f drift.Finding) bool { return slices.Contains(changes.Resolve, f.ID) })
			for _, d := range changes.Open {
				open = append(open, drift.Finding{ID: next, SkillID: d.SkillID, Kind: d.Kind})
				next++
			}
			onRecord := map[string]fleet.DriftKind{}
			for _, f := range open {
				require.NotContains(t, onRecord, f.SkillID, "open twice")
				onRecord[f.SkillID] = f.Kind
				if v.InFlight(f.SkillID) {
					require.Contains(t, was, f, "a pair in flight opens nothing")
					delete(onRecord, f.SkillID)
				}
			}
			differ := map[string]fleet.DriftKind{}
			for _, d := range c.Differences {
				differ[d.SkillID] = d.Kind
			}
			require.Equal(t, differ, onRecord, "what is on record is what differs")

			again := drift.Settle(open, c, v.InFlight)
			require.Empty(t, again.Open, "a second look opens")
			require.Empty(t, again.Resolve, "a second look resolves")
		}
	})
}

// A repair done to the world leaves nothing to repair.
func TestRepairMakesClean(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t, false)
		left := 0
		for _, d := range drift.Compare(v).Differences {
			action, stage, ok := drift.Action(d.Kind, d.Desired, d.Observed.Stage)
			if !ok { // nobody knows the stage to disable it at
				require.Equal(t, fleet.DriftUnexpected, d.Kind)
				require.Empty(t, d.Observed.Stage)
				left++
				continue
			}
			switch action {
			case fleet.ActionEnable:
				v.Seen[d.SkillID] = seen(fleet.StatusEnabled, stage, fleet.Linked)
			case fleet.ActionDisable:
				require.Equal(t, d.Observed.Stage, stage)
				delete(v.Seen, d.SkillID)
			}
		}
		require.Len(t, drift.Compare(v).Differences, left)
	})
}

// Whatever strings an answer holds, the comparison keeps its promises.
func FuzzCompare(f *testing.F) {
	f.Add(`{"a":{"enabled":true,"stage":"live"}}`, `{"a":{"status":"ENABLED","stage":"live","account_link":"LINKED"}}`, true)
	f.Add(`{"a":{"enabled":false}}`, `{"a":{"status":"DISABLING_FAILED"},"":{"status":""}}`, false)
	f.Add(`{"b":{"enabled":true,"stage":""}}`, `{"b":{"status":"ABSENT"},"x":{"status":"\u0000"}}`, true)
	f.Fuzz(func(t *testing.T, wants, list string, links bool) {
		v := drift.View{Managed: yes, Protected: only("p"), InFlight: only("f"), Links: links}
		if json.Unmarshal([]byte(wants), &v.Wants) != nil || json.Unmarshal([]byte(list), &v.Seen) != nil {
			return
		}
		c := drift.Compare(v)
		checkComparison(t, v, c)
		changes := drift.Settle(nil, c, v.InFlight)
		require.Equal(t, c.Differences, changes.Open)
		for _, d := range c.Differences {
			_, stage, ok := drift.Action(d.Kind, d.Desired, d.Observed.Stage)
			require.Equal(t, ok, slices.Contains(fleet.Stages(), stage))
			cause, detail := drift.Cause(drift.Evidence{FirstBad: d.Observed.ObservedAt})
			require.Contains(t, fleet.DriftCauses(), cause)
			require.NotEmpty(t, detail)
		}
	})
}
