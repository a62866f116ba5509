package preflight

import (
	"fmt"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// Name names a check. The set is closed.
type Name string

// The checks, in the order they are shown.
const (
	SkillExists         Name = "skill_exists"         // the skill manifest API knows the skill
	ManifestBuild       Name = "manifest_build"       // its last manifest update succeeded
	StageExists         Name = "stage_exists"         // it is there at the rollout's stage
	Publication         Name = "publication"          // it is neither hidden nor removed there
	Countries           Name = "countries"            // it is distributed where the account's homes are
	DeveloperEnablement Name = "developer_enablement" // at a stage that is not live, its developer has it enabled
	AccountLinking      Name = "account_linking"      // the account's link mode suits it
)

// Names lists every check.
func Names() []Name {
	return []Name{SkillExists, ManifestBuild, StageExists, Publication, Countries, DeveloperEnablement, AccountLinking}
}

// Result is what came of a check. The set is closed.
type Result string

// The results.
const (
	Pass       Result = "pass"
	Warn       Result = "warn"        // worth a look; the rollout may go on
	Fail       Result = "fail"        // it would fail in every home, or nearly
	NotChecked Result = "not_checked" // it could not be told; never a reason to stop
)

// Results lists every result.
func Results() []Result { return []Result{Pass, Warn, Fail, NotChecked} }

// Check is one check and what came of it. Message says what was found and how to mend it.
type Check struct {
	Name    Name   `json:"name"`
	Result  Result `json:"result"`
	Message string `json:"message"`
}

// Report is every check of one change, once each and in the order of Names; the JSON of
// the API and of what is kept as evidence.
type Report struct {
	Account   string       `json:"account"`
	SkillID   string       `json:"skill_id"`
	Stage     fleet.Stage  `json:"stage"`
	Action    fleet.Action `json:"action"`
	Result    Result       `json:"result"`  // the worst of the checks that were made; no pass where the skill was not seen
	Message   string       `json:"message"` // in a line
	Checks    []Check      `json:"checks"`
	CheckedAt time.Time    `json:"checked_at"`
	Why       Why          `json:"why"`    // what asked for it
	Forced    bool         `json:"forced"` // a check failed, and a person went on all the same
}

// Why is what asked for a preflight. The set is closed.
type Why string

// What asks.
const (
	WhyCheck    Why = "check"    // a person, with `skill check`
	WhyPlan     Why = "plan"     // a plan of a rollout
	WhyCreate   Why = "create"   // the creation of a rollout
	WhyResume   Why = "resume"   // the beginning of a prepared rollout
	WhyRollback Why = "rollback" // of a rollback
	WhyRepair   Why = "repair"   // of a repair
	WhyEvent    Why = "event"    // a skill development event
)

// Failed lists the checks that failed.
func (r Report) Failed() []Check { return r.with(Fail) }

func (r Report) with(result Result) []Check {
	var out []Check
	for _, c := range r.Checks {
		if c.Result == result {
			out = append(out, c)
		}
	}
	return out
}

// sum says what came of all checks together: the worst of those that were made. Where
// nobody saw the skill, what passes says nothing of it.
func sum(checks []Check) Result {
	made, seen := map[Result]bool{}, false
	for _, c := range checks {
		made[c.Result] = true
		seen = seen || c.Name == SkillExists && c.Result != NotChecked
	}
	switch {
	case made[Fail]:
		return Fail
	case made[Warn]:
		return Warn
	case made[Pass] && seen:
		return Pass
	}
	return NotChecked
}

// line says what came of all checks in a line: where nothing was checked and the reason is
// one, that.
func line(checks []Check) string {
	if same := oneReason(checks); same != "" {
		return same
	}
	counts := map[Result]int{}
	for _, c := range checks {
		counts[c.Result]++
	}
	var parts []string
	for _, x := range []struct {
		result Result
		text   string
	}{{Fail, "%d failed"}, {Warn, "%d with a warning"}, {Pass, "%d passed"}, {NotChecked, "%d not checked"}} {
		if n := counts[x.result]; n > 0 {
			parts = append(parts, fmt.Sprintf(x.text, n))
		}
	}
	return strings.Join(parts, ", ")
}

func oneReason(checks []Check) string {
	for _, c := range checks {
		if c.Result != NotChecked || c.Message != checks[0].Message {
			return ""
		}
	}
	return checks[0].Message
}
