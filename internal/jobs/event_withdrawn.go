package jobs

import "strings"

// Withdrawn says why nobody can enable the skill any more; empty: it can be enabled as
// far as its publication says. A skill that is HIDDEN stays where it is enabled, and
// takes no new enablements (facts 8).
func (p Publication) Withdrawn() string {
	if !p.Found {
		return "its vendor has it no more"
	}
	for _, status := range p.Statuses {
		if s := strings.ToUpper(status); s == "HIDDEN" || s == "REMOVED" {
			return "publication status " + s
		}
	}
	return ""
}

func (p Publication) text() string {
	if len(p.Statuses) == 0 {
		return "it has no publication status"
	}
	return "publication status " + printable(strings.Join(p.Statuses, ", "))
}
