package drift

import "fleetd/internal/fleet"

// Finding is an open finding of the unit as it is on record.
type Finding struct {
	ID      int64
	SkillID string
	Kind    fleet.DriftKind
}

// Changes is what becomes of a unit's findings. Each open finding is in exactly
// one of Resolve and Keep.
type Changes struct {
	Open    []Difference // to be put on record; in the order of the comparison
	Resolve []int64      // gone, or replaced by one of another kind in Open
	Keep    []int64      // nothing is written for them
}

// Settle says which findings open, persist and resolve. A unit that was not seen
// whole keeps everything. A pair in flight keeps what it has and opens nothing: its
// end decides. Applied to what it made, Settle changes nothing.
func Settle(open []Finding, c Comparison, inFlight func(skillID string) bool) Changes {
	var out Changes
	if c.Result == fleet.AuditUnknown {
		for _, f := range open {
			out.Keep = append(out.Keep, f.ID)
		}
		return out
	}
	left := make(map[string]fleet.DriftKind, len(c.Differences)) // not on record yet
	for _, d := range c.Differences {
		if !is(inFlight, d.SkillID) {
			left[d.SkillID] = d.Kind
		}
	}
	for _, f := range open {
		kind, differs := left[f.SkillID]
		switch {
		case is(inFlight, f.SkillID):
			out.Keep = append(out.Keep, f.ID)
		case differs && kind == f.Kind:
			out.Keep = append(out.Keep, f.ID)
			delete(left, f.SkillID)
		default:
			out.Resolve = append(out.Resolve, f.ID)
		}
	}
	for _, d := range c.Differences {
		if kind, opens := left[d.SkillID]; opens && kind == d.Kind {
			out.Open = append(out.Open, d)
			delete(left, d.SkillID)
		}
	}
	return out
}
