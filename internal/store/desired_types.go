package store

import (
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
)

// DesiredApplyParams makes what is desired in an account what a document says.
type DesiredApplyParams struct {
	Account    string
	Document   document.Document
	AllowEmpty bool     // also when it takes away more than half of what is desired
	AllowNew   []string // skills that may be new to the account (see NewSkills); AnySkill: all
	Expect     string   // the Fingerprint of the plan that was agreed to; empty: any
	Reason     string
}

// DesiredSetParams sets what one skill should be on some units.
type DesiredSetParams struct {
	Account  string
	Selector string   // see fleet.ParseSelector; empty when UnitIDs are given
	UnitIDs  []string // the units by name
	SkillID  string
	State    fleet.DesiredState
	AllowNew []string // as of DesiredApplyParams
	DryRun   bool
	Expect   string
	Reason   string
}

// DesiredAdoptParams makes what was last seen on units what is desired there.
type DesiredAdoptParams struct {
	Account  string
	Selector string
	Skills   []string // only these; empty: every skill that is not protected
	Disabled bool     // also what should be enabled and was seen not to be: it becomes disabled
	DryRun   bool
	Expect   string
	Reason   string
}

// DesiredPlan is what a change of the desired state does, or with dry_run would do.
// The numbers count pairs of a unit and a skill.
type DesiredPlan struct {
	Account     string              `json:"account"`
	Source      fleet.DesiredSource `json:"source"`
	DryRun      bool                `json:"dry_run"`
	ID          string              `json:"id"` // of the change; empty when there was none
	Fingerprint string              `json:"fingerprint"`
	Counts      DesiredCounts       `json:"counts"`
	Entries     []DesiredEntry      `json:"entries"`      // in the order of the document
	Skills      []DesiredSkill      `json:"skills"`       // by skill ID
	Groups      []DesiredGroup      `json:"groups"`       // the first maxGroups of what changes
	MoreGroups  int                 `json:"more_groups"`  // how many groups are left out
	Unmanaged   []string            `json:"unmanaged"`    // skills that nothing will be desired of any more
	Refusal     string              `json:"refusal"`      // why it is refused without allow_empty; empty: it is not
	NeverSeen   int                 `json:"never_seen"`   // of adopt: units that were never seen whole
	UnknownSeen int                 `json:"unknown_seen"` // of adopt: pairs of which the last sight does not tell the state
}

// DesiredCounts counts what a change does to pairs of a unit and a skill.
type DesiredCounts struct {
	Enable    int `json:"enable"`  // become enabled
	Disable   int `json:"disable"` // become disabled
	Stage     int `json:"stage"`   // stay enabled, at another stage
	Remove    int `json:"remove"`  // nothing is desired any more
	Unchanged int `json:"unchanged"`
}

// Changes is how many pairs change.
func (c DesiredCounts) Changes() int { return c.Enable + c.Disable + c.Stage + c.Remove }

// add counts n pairs that go from one state to another, nil for none.
func (c DesiredCounts) add(from, to *string, n int) DesiredCounts {
	switch {
	case to == nil:
		c.Remove += n
	case *to == "":
		c.Disable += n
	case from == nil || *from == "":
		c.Enable += n
	default:
		c.Stage += n
	}
	return c
}

// DesiredEntry is what an entry of a document picks.
type DesiredEntry struct {
	Line     int    `json:"line"` // 0 where there is none
	Selector string `json:"selector"`
	Units    int    `json:"units"`
}

// DesiredSkill is what a change does to one skill.
type DesiredSkill struct {
	SkillID string `json:"skill_id"`
	DesiredCounts
}

// DesiredGroup is those pairs of one skill that change alike, for the same entry.
type DesiredGroup struct {
	SkillID  string              `json:"skill_id"`
	From     *fleet.DesiredState `json:"from"` // null: nothing was desired
	To       *fleet.DesiredState `json:"to"`   // null: nothing will be
	Line     int                 `json:"line"` // of the skill in the document; 0 where there is none
	Selector string              `json:"selector"`
	Units    int                 `json:"units"`
}

// DesiredItem is what one skill should be on one unit.
type DesiredItem struct {
	Account   string              `json:"account"`
	UnitID    string              `json:"unit_id"`
	Property  string              `json:"property"`
	SkillID   string              `json:"skill_id"`
	State     fleet.DesiredState  `json:"state"`
	Source    fleet.DesiredSource `json:"source"`
	Actor     string              `json:"actor"`
	Rollout   string              `json:"rollout"` // empty unless a rollout set it
	ChangedAt time.Time           `json:"changed_at"`
}

// DesiredCursor is a place in a list of what is desired, which is ordered by property,
// by the order of import and by skill.
type DesiredCursor struct {
	Property string `json:"p"`
	Unit     int64  `json:"u"`
	Skill    int32  `json:"s"`
}

// DesiredFilter picks what is desired in one account; empty fields pick all.
type DesiredFilter struct {
	UnitID   string
	Property string
	SkillID  string
	After    DesiredCursor
	Limit    int
}

// DesiredChange is one value that was desired of one skill on one unit.
type DesiredChange struct {
	SkillID   string              `json:"skill_id"`
	State     *fleet.DesiredState `json:"state"` // null: it was taken away
	ChangedAt time.Time           `json:"changed_at"`
	Source    fleet.DesiredSource `json:"source"`
	Actor     string              `json:"actor"`
	Rollout   string              `json:"rollout"` // empty unless a rollout set it
	Reason    string              `json:"reason"`
	Selector  string              `json:"selector"` // of the call; empty for a document
}

// HistoryCursor is a place in a history, newest first.
type HistoryCursor struct {
	At     int64 `json:"a"` // in microseconds
	Change int64 `json:"c"`
	Skill  int32 `json:"s"`
}

// HistoryFilter picks the history of one unit.
type HistoryFilter struct {
	Account string // needed only when several have a unit of this ID
	UnitID  string
	SkillID string // empty: of every skill
	Before  HistoryCursor
	Limit   int
}
