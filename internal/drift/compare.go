package drift

import (
	"cmp"
	"slices"

	"fleetd/internal/fleet"
)

// View is what one complete list of a unit showed, and what should be. A nil
// function holds for no skill.
type View struct {
	Wants     map[string]fleet.Desired     // by skill ID: the unit's own desired states
	Seen      map[string]fleet.Observation // by skill ID: what the list showed
	Managed   func(skillID string) bool    // the account desires something of the skill somewhere
	Protected func(skillID string) bool    // never compared, never counted
	InFlight  func(skillID string) bool    // a change is under way: not compared
	Links     bool                         // the account links accounts: NOT_LINKED is a difference
}

// Difference is one managed skill that is not as it should be.
type Difference struct {
	SkillID  string
	Kind     fleet.DriftKind
	Desired  *fleet.Desired    // nil: the unit has no desired state of its own for the skill
	Observed fleet.Observation // StatusAbsent where the list did not have it
}

// Comparison is what follows from a View.
type Comparison struct {
	Result      fleet.AuditResult
	Reason      fleet.UnknownReason // why Result is unknown, else empty
	Differences []Difference        // sorted by skill ID; none when Result is unknown
	Unmanaged   int                 // skills that are enabled and that nothing manages
	InFlight    int                 // skills that were left out of the comparison
}

// Compare says what the list of a unit means. A skill that the unit itself has a
// desired state for is managed whatever v.Managed says. A managed skill in a
// status that no page documents makes the unit unknown: it may be as desired or
// not, and a guess either way would be a false alarm or a false calm.
func Compare(v View) Comparison {
	c := Comparison{Result: fleet.AuditInSync}
	for _, skill := range v.skills() {
		if is(v.Protected, skill) {
			continue
		}
		if is(v.InFlight, skill) {
			c.InFlight++
			continue
		}
		seen := v.seen(skill)
		want := v.want(skill)
		if want == nil && !is(v.Managed, skill) {
			if seen.Status == fleet.StatusEnabled {
				c.Unmanaged++
			}
			continue
		}
		if !documented(seen.Status) {
			c.Result, c.Reason = fleet.AuditUnknown, fleet.UnknownStatus
			continue
		}
		if kind := differs(want, seen, v.Links); kind != "" {
			c.Differences = append(c.Differences, Difference{SkillID: skill, Kind: kind, Desired: want, Observed: seen})
		}
	}
	switch {
	case c.Result == fleet.AuditUnknown:
		c.Differences = nil
	case len(c.Differences) > 0:
		c.Result = fleet.AuditDrifted
	}
	return c
}

// Satisfied reports whether an observation is as desired; a nil want is a skill
// that should not be there. A status that is not known is never as desired.
func Satisfied(want *fleet.Desired, o fleet.Observation, links bool) bool {
	return documented(o.Status) && differs(want, o, links) == ""
}

// skills are the skills that are wanted or were seen, each once, sorted.
func (v View) skills() []string {
	all := make([]string, 0, len(v.Wants)+len(v.Seen))
	for skill := range v.Wants {
		all = append(all, skill)
	}
	for skill := range v.Seen {
		if _, wanted := v.Wants[skill]; !wanted {
			all = append(all, skill)
		}
	}
	slices.SortFunc(all, cmp.Compare[string])
	return all
}

func (v View) want(skill string) *fleet.Desired {
	if want, ok := v.Wants[skill]; ok {
		return &want
	}
	return nil
}

func (v View) seen(skill string) fleet.Observation {
	if o, ok := v.Seen[skill]; ok {
		return o
	}
	return fleet.Observation{Status: fleet.StatusAbsent}
}

// documented reports whether s is a status that some page documents, or ours for
// what the API did not have.
func documented(s fleet.Status) bool {
	switch s {
	case fleet.StatusAbsent, fleet.StatusNoAssociation, fleet.StatusEnabled, fleet.StatusEnabling,
		fleet.StatusEnablingFailed, fleet.StatusDisabled, fleet.StatusDisabling, fleet.StatusDisablingFailed:
		return true
	}
	return false
}

// differs says how a documented observation differs from what is desired; empty:
// it does not.
func differs(want *fleet.Desired, o fleet.Observation, links bool) fleet.DriftKind {
	if want == nil || !want.Enabled {
		switch o.Status {
		case fleet.StatusEnabled, fleet.StatusEnabling, fleet.StatusEnablingFailed, fleet.StatusDisablingFailed:
			return fleet.DriftUnexpected
		case fleet.StatusAbsent, fleet.StatusNoAssociation, fleet.StatusDisabled, fleet.StatusDisabling:
		}
		return ""
	}
	switch o.Status {
	case fleet.StatusAbsent, fleet.StatusNoAssociation, fleet.StatusDisabled, fleet.StatusDisabling, fleet.StatusDisablingFailed:
		return fleet.DriftMissing
	case fleet.StatusEnabling, fleet.StatusEnablingFailed:
		return fleet.DriftStuckEnabling
	case fleet.StatusEnabled:
		switch {
		case o.Stage != "" && o.Stage != want.Stage: // an answer without a stage says nothing against ours
			return fleet.DriftWrongStage
		case links && o.AccountLink != "" && o.AccountLink != fleet.Linked:
			return fleet.DriftNotLinked
		}
	}
	return ""
}

// is asks a set that may be nil.
func is(set func(string) bool, skill string) bool { return set != nil && set(skill) }
