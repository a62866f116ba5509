package store

import (
	"time"

	"fleetd/internal/fleet"
)

// AuditParams asks for an audit.
type AuditParams struct {
	Account  string
	Selector string   // see fleet.ParseSelector; empty when UnitIDs are given
	UnitIDs  []string // the units by name (--units-file)
	Reason   string   // why, for the log
}

// Audit is one pass over units that only reads; the contract's JSON.
type Audit struct {
	ID             string                      `json:"id"`
	Account        string                      `json:"account"`
	State          fleet.AuditState            `json:"state"`
	StateReason    string                      `json:"state_reason"`
	Selector       string                      `json:"selector"`
	Units          int                         `json:"units"`
	InSync         int                         `json:"in_sync"`
	Drifted        int                         `json:"drifted"`
	Unknown        int                         `json:"unknown"`
	UnknownReasons map[fleet.UnknownReason]int `json:"unknown_reasons"`
	Coverage       float64                     `json:"coverage"`  // the share of units that were seen, 0 to 1
	Unmanaged      int64                       `json:"unmanaged"` // enablements of skills that nothing manages
	Drift          AuditDrift                  `json:"drift"`
	Requests       int64                       `json:"requests"`
	Throttled      int64                       `json:"throttled"` // of the requests, refused by the API's limit
	Pages          int64                       `json:"pages"`     // that the lists had
	Slot           *AuditSlot                  `json:"slot"`      // null: a person asked for it
	Repair         bool                        `json:"repair"`    // what it finds is repaired after it
	CreatedBy      string                      `json:"created_by"`
	Reason         string                      `json:"reason"`
	CreatedAt      time.Time                   `json:"created_at"`
	StartedAt      *time.Time                  `json:"started_at"`
	EndedAt        *time.Time                  `json:"ended_at"`

	// RepairCeiling is how many findings an automatic repair takes on at most; above
	// that it only alarms.
	RepairCeiling int `json:"-"`
}

// Answered is how many units have a result.
func (a Audit) Answered() int { return a.InSync + a.Drifted + a.Unknown }

// AuditDrift is how an audit changed the findings.
type AuditDrift struct {
	Opened   int `json:"opened"`
	Resolved int `json:"resolved"`
}

// AuditSlot is the slot of a schedule that an audit is of.
type AuditSlot struct {
	Time     string `json:"time"` // of the wall clock: 2026-11-22T02:00
	Timezone string `json:"timezone"`
}

// AuditedUnit is what an audit said of one unit; the contract's JSON.
type AuditedUnit struct {
	UnitID    string              `json:"unit_id"`
	Property  string              `json:"property"`
	Occupancy fleet.Occupancy     `json:"occupancy"`
	Result    fleet.AuditResult   `json:"result"`
	Reason    fleet.UnknownReason `json:"reason"`     // why unknown
	SeenAt    *time.Time          `json:"seen_at"`    // when it was last seen whole, by whichever audit
	AuditedAt *time.Time          `json:"audited_at"` // null: the audit did not come to it
}

// AuditFilter picks audits; empty fields pick all. Newest first.
type AuditFilter struct {
	Account string
	State   fleet.AuditState
	Active  bool  // only those not ended
	Before  int64 // cursor: audits older than this row
	Limit   int
}

// AuditUnitFilter picks units of one audit; empty fields pick all.
type AuditUnitFilter struct {
	Result fleet.AuditResult
	Reason fleet.UnknownReason // picks unknown ones
	After  int64               // cursor
	Limit  int
}

// AuditRef names one unit of an audit.
type AuditRef struct {
	AuditID int64
	Unit    int64 // its row
}

// AuditTarget is a unit that a job is to look at.
type AuditTarget struct {
	AuditRef
	Audit     string // its public ID
	AccountID int64
	UnitID    string
	Removed   bool      // it was taken out of the inventory meanwhile
	Began     time.Time // the database's clock, before the list begins
}

// AuditSight is what a job saw of a unit, or the cost of a try that decided nothing.
type AuditSight struct {
	AuditRef
	Began     time.Time           // see AuditTarget
	Whole     bool                // the list was seen to its end, and Seen is all of it
	Seen      []SeenSkill         // of a whole list
	Reason    fleet.UnknownReason // why it is not whole; empty: nothing was decided, and the unit has a job still
	Pages     int
	Requests  int
	Throttled int
}

// decides reports whether the unit has its answer with this.
func (s AuditSight) decides() bool { return s.Whole || s.Reason != "" }

// SeenSkill is one enablement of a list.
type SeenSkill struct {
	SkillID string
	fleet.Observation
}

// AuditSchedule is when audits of an account come by themselves; the contract's JSON.
type AuditSchedule struct {
	Account       string     `json:"account"`
	Cron          string     `json:"cron"` // empty: never
	Timezone      string     `json:"timezone"`
	Selector      string     `json:"selector"`
	Repair        bool       `json:"repair"`
	RepairCeiling int        `json:"repair_ceiling"`
	Default       bool       `json:"default"`    // fleetd's own: the account has none
	NextAt        *time.Time `json:"next_at"`    // null: never
	UpdatedAt     *time.Time `json:"updated_at"` // null: fleetd's own
}

// AuditScheduleParams sets the schedule of an account.
type AuditScheduleParams struct {
	Account       string
	Cron          string // empty: no audits, whatever fleetd's default is
	Timezone      string // empty: UTC
	Selector      string // empty: all
	Repair        bool
	RepairCeiling int
	Reason        string // why, for the log
}
