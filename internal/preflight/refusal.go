package preflight

import (
	"fmt"
	"slices"
	"strings"

	"fleetd/internal/fleet"
)

// Force marks the reports in which a check failed as known of: they refuse nothing.
func Force(reports []Report) {
	for i := range reports {
		reports[i].Forced = len(reports[i].Failed()) > 0
	}
}

// Refusal is why changes cannot begin: a conflict that lists what failed and was not
// forced. It is nil where nothing did: a warning and what was not checked refuse nothing.
func Refusal(reports ...Report) error {
	e := &fleet.Error{Code: fleet.CodeConflict}
	skills := []string{}
	for _, r := range reports {
		if r.Forced {
			continue
		}
		for _, c := range r.Failed() {
			e.Details = append(e.Details, fleet.Detail{Location: string(c.Name), Message: c.Message})
			if !slices.Contains(skills, r.SkillID) {
				skills = append(skills, r.SkillID)
			}
		}
	}
	if len(e.Details) == 0 {
		return nil
	}
	what := "a check"
	if n := len(e.Details); n > 1 {
		what = fmt.Sprintf("%d checks", n)
	}
	e.Message = fmt.Sprintf("%s of skill %s failed, so homes would fail, and nothing was done: mend it, or go on all the same with --force and a --reason",
		what, strings.Join(skills, ", "))
	return e
}
