package store

import (
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
)

// RolloutParams asks for a plan or a rollout. Sizes are as people write them
// ("50", "10%"); the zero value of a guardrail is its default.
type RolloutParams struct {
	Account           string
	Action            fleet.Action
	SkillID           string
	Stage             fleet.Stage // empty: live
	Selector          string      // see fleet.ParseSelector; empty when UnitIDs are given
	UnitIDs           []string    // the units by name, in this order (--units-file)
	Canary            int
	Waves             []string
	Soak              time.Duration
	MaxFailures       string // empty: 2%
	Window            string // HH:MM-HH:MM
	Timezone          string // of Window; empty: each property's own, else UTC
	StartAt           time.Time
	VerifyTimeout     time.Duration // zero: 10 minutes
	IncludeOccupied   bool
	ObservationMaxAge time.Duration // zero: 24 hours
	ObservationAny    bool          // any age will do: never read before writing
	Weight            int           // zero: 1
	Reason            string
	// RollbackOf names the rollout to take back. Account, action, skill, stage and the
	// units follow from it and must be empty.
	RollbackOf string
	Origin     fleet.RolloutOrigin // what it is made from; empty: a person asked
	// Paused makes a rollout that is prepared and not begun: nothing is released until
	// somebody resumes it.
	Paused bool
	// Preflight is what was checked before, to be kept as evidence; nil: nothing.
	Preflight *preflight.Report
}

// Plan is what a rollout would do, made by the code that does it.
type Plan struct {
	Account     string         `json:"account"`
	Action      fleet.Action   `json:"action"`
	SkillID     string         `json:"skill_id"`
	Stage       fleet.Stage    `json:"stage"`
	Selector    string         `json:"selector"`
	Targets     int            `json:"targets"`
	Waves       []PlanWave     `json:"waves"`
	MaxFailures int            `json:"max_failures"`
	Expected    PlanExpected   `json:"expected"`
	Price       Price          `json:"price"`
	Rate        float64        `json:"rate"` // requests a second that Price.Minutes stands on
	StartsAt    time.Time      `json:"starts_at"`
	Properties  []PlanProperty `json:"properties"` // the ten largest
	Warnings    []string       `json:"warnings"`

	// Preflight is what stands in the way of the skill; null where nobody looked.
	Preflight *preflight.Report `json:"preflight"`
}

// PlanWave is one wave of a plan.
type PlanWave struct {
	Index   int `json:"index"` // from 1
	Targets int `json:"targets"`
}

// PlanProperty is how many targets of a plan one property has.
type PlanProperty struct {
	Property string `json:"property"`
	Targets  int    `json:"targets"`
}

// PlanExpected is what is known before the first request.
type PlanExpected struct {
	Write          int `json:"write"`            // written to without a read before
	Read           int `json:"read"`             // read first: never seen, or seen too long ago
	AlreadyInState int `json:"already_in_state"` // skipped at no cost
	Occupied       int `json:"occupied"`         // skipped at no cost
}

// Changes is how many targets may be written to.
func (e PlanExpected) Changes() int { return e.Write + e.Read }

// Price is what a rollout costs when nothing fails.
type Price struct {
	Requests int64   `json:"requests"`
	Minutes  float64 `json:"minutes"`
}

// Wave is where a rollout is, from 1.
type Wave struct {
	Index int `json:"index"`
	Of    int `json:"of"`
}

// ETA is when a rollout is likely to end.
type ETA struct {
	P50 time.Time `json:"p50"`
	P90 time.Time `json:"p90"`
}

// Rollout is one change over many units; the contract's JSON.
type Rollout struct {
	ID          string             `json:"id"`
	Action      fleet.Action       `json:"action"`
	Account     string             `json:"account"`
	SkillID     string             `json:"skill_id"`
	Stage       fleet.Stage        `json:"stage"`
	State       fleet.RolloutState `json:"state"`
	StateReason string             `json:"state_reason"`
	Selector    string             `json:"selector"`
	Targets     int                `json:"targets"`
	Counts      fleet.Counts       `json:"counts"`
	Wave        Wave               `json:"wave"`
	MaxFailures int                `json:"max_failures"`
	Failures    int                `json:"failures"`  // those not acknowledged by a resume
	Requests    int64              `json:"requests"`  // spent so far
	Throttled   int64              `json:"throttled"` // of them, refused by the API's limit
	Price       Price              `json:"price"`
	ETA         *ETA               `json:"eta"` // null when it cannot be told
	CreatedAt   time.Time          `json:"created_at"`
	StartedAt   *time.Time         `json:"started_at"`
	EndedAt     *time.Time         `json:"ended_at"`
	CreatedBy   string             `json:"created_by"`
	Reason      string             `json:"reason"`

	// Origin is what it was made from: repair, rollback, or empty for a person's own.
	Origin     fleet.RolloutOrigin `json:"origin"`
	RollbackOf string              `json:"rollback_of"` // the rollout that this one takes back, or empty

	// Preflight is what was checked before it was created; only where one rollout is
	// asked for, and null where nothing was checked.
	Preflight *preflight.Report `json:"preflight"`
}

// Target is one unit of a rollout; the contract's JSON.
type Target struct {
	Seq       int                `json:"seq"`
	UnitID    string             `json:"unit_id"`
	Property  string             `json:"property"`
	State     fleet.TargetState  `json:"state"`
	Reason    fleet.Reason       `json:"reason"`
	Message   string             `json:"message"`
	Attempts  int                `json:"attempts"`
	Requests  int                `json:"requests"`
	RequestID string             `json:"request_id"`
	StartedAt *time.Time         `json:"started_at"`
	EndedAt   *time.Time         `json:"ended_at"`
	Before    *fleet.Observation `json:"before"`
	After     *fleet.Observation `json:"after"`
}

// TargetFilter picks targets of one rollout; empty fields pick all.
type TargetFilter struct {
	State    fleet.TargetState
	Reason   fleet.Reason
	Property string
	After    int // cursor: targets with a larger seq
	Limit    int
}

// RolloutFilter picks rollouts; empty fields pick all. Newest first.
type RolloutFilter struct {
	Account string
	State   fleet.RolloutState
	Active  bool  // only those not ended
	Before  int64 // cursor: rollouts older than this row
	Limit   int
}

// RetryParams says which failed targets go again.
type RetryParams struct {
	Reasons []fleet.Reason // empty: every reason
	Actor   fleet.Actor
	Reason  string // why, for the log
}

// Idempotency ties a creating call to its key, so that a repeated call creates
// nothing and gets the first answer.
type Idempotency struct {
	Key  string // empty: none
	Hash []byte // of the request, so that a key used for another is refused
}
