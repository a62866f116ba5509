package store

import (
	"errors"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
)

// Drift is one open finding: a managed skill that is not as it should be on a unit.
// The contract's JSON.
type Drift struct {
	ID           string            `json:"id"`
	Account      string            `json:"account"`
	UnitID       string            `json:"unit_id"`
	Property     string            `json:"property"`
	SkillID      string            `json:"skill_id"`
	Kind         fleet.DriftKind   `json:"kind"`
	Desired      *DriftDesired     `json:"desired"`  // null: the unit has no desired state of its own for the skill
	Observed     fleet.Observation `json:"observed"` // as it was when the finding opened
	FirstSeenAt  time.Time         `json:"first_seen_at"`
	LastGoodAt   *time.Time        `json:"last_good_at"` // null: never seen as desired
	Cause        fleet.DriftCause  `json:"cause"`
	CauseDetail  string            `json:"cause_detail"`
	Ignored      bool              `json:"ignored"`       // somebody said so, and its time has not passed
	IgnoredUntil *time.Time        `json:"ignored_until"` // also when it has passed
	IgnoredBy    string            `json:"ignored_by"`
	IgnoreReason string            `json:"ignore_reason"`
}

// DriftDesired is what was desired when a finding opened.
type DriftDesired struct {
	Enabled bool        `json:"enabled"`
	Stage   fleet.Stage `json:"stage,omitempty"` // empty when not enabled
}

// DriftIgnored says which findings a filter picks by whether they are ignored now.
// The set is closed.
type DriftIgnored string

// The choices. Empty is DriftIgnoredNo.
const (
	DriftIgnoredNo  DriftIgnored = "false" // those that count
	DriftIgnoredYes DriftIgnored = "true"  // those that do not
	DriftIgnoredAny DriftIgnored = "any"
)

// DriftFilter picks open findings; empty fields pick all, save Ignored.
type DriftFilter struct {
	Account  string
	Kind     fleet.DriftKind
	Property string
	Cause    fleet.DriftCause
	SkillID  string
	UnitID   string
	IDs      []string // the findings by ID; Ignored does not matter then
	Ignored  DriftIgnored
}

// DriftCursor is a place in the list of findings: after that one.
type DriftCursor struct {
	Account int64 `json:"a"`
	ID      int64 `json:"i"`
}

// DriftBy is what a summary tells findings apart by.
type DriftBy string

// The columns of a summary.
const (
	DriftByAccount  DriftBy = "account"
	DriftByCause    DriftBy = "cause"
	DriftByProperty DriftBy = "property"
	DriftByKind     DriftBy = "kind"
	DriftBySkill    DriftBy = "skill_id"
)

// DriftColumns lists every column of a summary.
func DriftColumns() []DriftBy {
	return []DriftBy{DriftByAccount, DriftByCause, DriftByProperty, DriftByKind, DriftBySkill}
}

// DriftSummary is how the findings of a filter are spread, the largest group first.
type DriftSummary struct {
	Total  int          `json:"total"`  // findings
	Groups int          `json:"groups"` // there are, of which items are the largest
	Items  []DriftGroup `json:"items"`
}

// DriftGroup is one group of a summary; what it was not told apart by is empty.
type DriftGroup struct {
	Account     string           `json:"account,omitempty"`
	Cause       fleet.DriftCause `json:"cause,omitempty"`
	Property    string           `json:"property,omitempty"`
	Kind        fleet.DriftKind  `json:"kind,omitempty"`
	SkillID     string           `json:"skill_id,omitempty"`
	Count       int              `json:"count"`
	Share       float64          `json:"share"` // of the total, 0 to 1
	FirstSeenAt time.Time        `json:"first_seen_at"`
}

// IgnoreParams says which findings do not count, until when and why.
type IgnoreParams struct {
	Filter DriftFilter
	Until  time.Time
	Reason string
}

// DriftIgnoring is what an ignore did.
type DriftIgnoring struct {
	Ignored int       `json:"ignored"` // findings
	Until   time.Time `json:"until"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
}

// UnignoreParams says which ignored findings count again, and why.
type UnignoreParams struct {
	Filter DriftFilter // of those that are ignored now
	Reason string
}

// DriftUnignoring is what the end of an ignore did.
type DriftUnignoring struct {
	Unignored int    `json:"unignored"` // findings
	By        string `json:"by"`
	Reason    string `json:"reason"`
}

// RepairParams asks for the rollouts that put drift right.
type RepairParams struct {
	Filter DriftFilter // ignored findings are never repaired
	// Guardrails are those of every rollout that is made, and its reason. Account,
	// action, skill, stage and units come from the findings; occupied homes are never
	// written to.
	Guardrails RolloutParams
	// OwnOnly leaves alone what is unexpected on a unit that has no desired state of
	// its own for the skill, as automatic repairs do.
	OwnOnly bool
	// Ceiling is how many findings the filter may match: above it nothing is made and
	// the error wraps ErrAboveCeiling. Zero: any number.
	Ceiling int
	// Preflights is what was checked before, by what RepairChanges said, to be kept with
	// the rollouts. What is not in it was not checked.
	Preflights map[RepairChange]*preflight.Report
}

// RepairChange is what one rollout of a repair does.
type RepairChange struct {
	Account string
	Action  fleet.Action
	SkillID string
	Stage   fleet.Stage
}

// ErrNoDrift is what errors of filters that match no finding wrap.
var ErrNoDrift = errors.New("no drift")

// ErrAboveCeiling is what the error of a repair of too many findings wraps.
var ErrAboveCeiling = errors.New("above the ceiling")

// RepairSkip is why a repair leaves a finding alone. The set is closed.
type RepairSkip string

// The reasons.
const (
	RepairOccupied   RepairSkip = "occupied"     // the home has a resident
	RepairUnknown    RepairSkip = "unit_unknown" // the last audit could not see the unit whole
	RepairInFlight   RepairSkip = "in_flight"    // a rollout of the skill has the unit
	RepairProtected  RepairSkip = "protected_skill"
	RepairNotDesired RepairSkip = "not_desired"   // unexpected, without a desired state of its own (OwnOnly)
	RepairNoAction   RepairSkip = "nothing_to_do" // what is desired or the stage is not what a write could reach
)

// RepairSkips lists every reason, in the order they are looked for.
func RepairSkips() []RepairSkip {
	return []RepairSkip{RepairOccupied, RepairUnknown, RepairInFlight, RepairProtected, RepairNotDesired, RepairNoAction}
}

// RepairSkipped counts findings that a repair leaves alone.
type RepairSkipped struct {
	Reason RepairSkip `json:"reason"`
	Count  int        `json:"count"`
}

// Repair is what a repair makes of findings, or would make.
type Repair struct {
	DryRun   bool            `json:"dry_run"`
	Findings int             `json:"findings"` // that the filter matches; targets and skipped sum to it
	Targets  int             `json:"targets"`  // of all rollouts
	Skipped  []RepairSkipped `json:"skipped"`
	Plans    []Plan          `json:"plans"`    // of a dry run: one a skill, action and stage
	Rollouts []Rollout       `json:"rollouts"` // else
}

// DriftCount counts the findings of one kind that count.
type DriftCount struct {
	Account string
	Kind    fleet.DriftKind
	N       int
}
