package store

import (
	"time"

	"fleetd/internal/fleet"
)

// Unit is one home of an account's inventory; the JSON of the API.
type Unit struct {
	Account   string            `json:"account"`
	UnitID    string            `json:"unit_id"`
	Property  string            `json:"property"`
	Name      string            `json:"name"`
	Occupancy fleet.Occupancy   `json:"occupancy"`
	Labels    map[string]string `json:"labels"`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
	RemovedAt *time.Time        `json:"removed_at"` // null while it is in the inventory
}

// UnitDetail is a unit and what is known of it.
type UnitDetail struct {
	Unit
	Desired  []UnitDesired `json:"desired"`  // by skill
	Observed []UnitSkill   `json:"observed"` // by skill
	Rollouts []UnitRollout `json:"rollouts"` // the latest, newest first
}

// UnitDesired is what one skill should be on a unit, and who said so.
type UnitDesired struct {
	SkillID   string              `json:"skill_id"`
	State     fleet.DesiredState  `json:"state"`
	Source    fleet.DesiredSource `json:"source"`
	Actor     string              `json:"actor"`
	Rollout   string              `json:"rollout"` // empty unless a rollout set it
	ChangedAt time.Time           `json:"changed_at"`
}

// UnitSkill is what the API last said of one skill on a unit.
type UnitSkill struct {
	SkillID     string           `json:"skill_id"`
	Status      fleet.Status     `json:"status"`
	Stage       fleet.Stage      `json:"stage"`
	AccountLink fleet.LinkStatus `json:"account_link"`
	ObservedAt  time.Time        `json:"observed_at"`
	ChangedAt   time.Time        `json:"changed_at"`
}

// UnitRollout is a unit's part in one rollout.
type UnitRollout struct {
	ID      string            `json:"id"`
	Action  fleet.Action      `json:"action"`
	SkillID string            `json:"skill_id"`
	Stage   fleet.Stage       `json:"stage"`
	State   fleet.TargetState `json:"state"` // of this unit
	Reason  fleet.Reason      `json:"reason"`
	EndedAt *time.Time        `json:"ended_at"`
}

// UnitCursor is a place in a list of units, which is ordered by property and then
// by the order of import.
type UnitCursor struct {
	Property string `json:"p"`
	ID       int64  `json:"i"`
}

// UnitFilter picks units of one account; empty fields pick all that are not removed.
type UnitFilter struct {
	Selector string     // see fleet.ParseSelector
	After    UnitCursor // zero: from the start
	Limit    int
}

// ImportParams says what an import of units may do.
type ImportParams struct {
	DryRun bool // count, change nothing
	Prune  bool // remove the units that the file does not name
	Reason string
}

// ImportResult is what an import did, or with dry_run would do.
type ImportResult struct {
	Account   string `json:"account"`
	DryRun    bool   `json:"dry_run"`
	Rows      int    `json:"rows"`
	Added     int    `json:"added"`
	Changed   int    `json:"changed"`
	Unchanged int    `json:"unchanged"`
	Restored  int    `json:"restored"` // were removed, are back
	Removed   int    `json:"removed"`  // by prune
}
