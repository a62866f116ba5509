package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
)

// EventRetention is how long events are kept. A message is known again for as long,
// which is far longer than a receiver takes one that is old.
const EventRetention = 90 * 24 * time.Hour

// MaxEventRules is how many rules an account may have.
const MaxEventRules = 100

// ErrEventReplayed says that a message was taken before.
var ErrEventReplayed = errors.New("a message of this ID was taken before")

// EventEnqueue gives an event its job in the transaction that keeps the event.
type EventEnqueue func(ctx context.Context, tx pgx.Tx, eventID int64) error

// EventHook is from where an account takes events.
type EventHook struct {
	Account   string    `json:"account"`
	Topics    []string  `json:"topics"`     // ARNs
	RawSecret bool      `json:"raw_secret"` // there is one, so that raw delivery is taken
	Path      string    `json:"path"`       // of the URL to subscribe
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// EventHookParams sets a hook.
type EventHookParams struct {
	Account   string
	Topics    []string
	RawSecret *string // nil: as it is; empty: taken away
	Reason    string
}

// EventAccess is what a message is judged by before it is taken.
type EventAccess struct {
	AccountID int64
	Account   string
	Topics    []string
	rawHash   []byte
}

// EventParams is a message that was verified.
type EventParams struct {
	AccountID      int64
	Account        string // its name
	MessageID      string
	Key            string // of what happened; empty: unknown, so that it cannot be a duplicate
	Topic          string
	RawDelivery    bool
	Name           string
	Status         string
	SkillID        string
	VendorID       string
	Locale         string
	SubscriptionID string
	RequestID      string
	ReviewID       string
	Actor          string
	EventAt        time.Time // zero: the message does not say
	SentAt         time.Time // likewise
	Body           []byte
	Disposition    fleet.EventDisposition // received, empty, unknown or subscription
}

// Event is one message that was taken; the API's JSON. What it does not say is empty.
type Event struct {
	ID             string                 `json:"id"`
	Account        string                 `json:"account"`
	Name           string                 `json:"name"`
	Status         string                 `json:"status"`
	SkillID        string                 `json:"skill_id"`
	VendorID       string                 `json:"vendor_id"`
	Locale         string                 `json:"locale"`
	SubscriptionID string                 `json:"subscription_id"`
	RequestID      string                 `json:"request_id"`
	ReviewID       string                 `json:"review_id"`
	Actor          string                 `json:"actor"`
	EventAt        *time.Time             `json:"event_at"`     // when it happened
	SentAt         *time.Time             `json:"sent_at"`      // when SNS took it
	ReceivedAt     time.Time              `json:"received_at"`  // when fleetd did
	ProcessedAt    *time.Time             `json:"processed_at"` // when its last action had ended
	Disposition    fleet.EventDisposition `json:"disposition"`
	DuplicateOf    string                 `json:"duplicate_of"` // the event that told of it first
	MessageID      string                 `json:"message_id"`
	Topic          string                 `json:"topic"`
	RawDelivery    bool                   `json:"raw_delivery"`
	Actions        []EventActed           `json:"actions"`
}

// EventActed is what a rule had an event do, and what came of it.
type EventActed struct {
	Rule     string                 `json:"rule"` // its ID, also when it is gone
	Action   fleet.EventAction      `json:"action"`
	Argument string                 `json:"argument"`
	State    fleet.EventActionState `json:"state"`
	Message  string                 `json:"message"`
	EndedAt  *time.Time             `json:"ended_at"`
}

// EventDetail is an event with its message.
type EventDetail struct {
	Event

	Body json.RawMessage `json:"body"` // as it came; a string where it is no JSON
}

// EventFilter picks events; empty fields pick all.
type EventFilter struct {
	Account string
	Name    string
	SkillID string
	// Since is the ID of an event or a time (RFC 3339): only what came after it, oldest
	// first. Empty: newest first.
	Since string
	After EventCursor
	Limit int
}

// EventCursor is a place in a list of events.
type EventCursor struct {
	Before int64 `json:"b,omitempty"` // newest first: those below
	After  int64 `json:"a,omitempty"` // oldest first: those above
}

// EventRuleParams makes a rule. Empty: any.
type EventRuleParams struct {
	Account  string
	Event    string // whole, or what stands after the dot
	Status   string
	SkillID  string
	Action   fleet.EventAction
	Argument string
	Reason   string
}

// EventRule is what is done when an event matches.
type EventRule struct {
	ID        string            `json:"id"`
	Account   string            `json:"account"`
	Event     string            `json:"event"`
	Status    string            `json:"status"`
	SkillID   string            `json:"skill_id"`
	Action    fleet.EventAction `json:"action"`
	Argument  string            `json:"argument"`
	CreatedBy string            `json:"created_by"`
	Reason    string            `json:"reason"`
	CreatedAt time.Time         `json:"created_at"`
}

// EventWork is an event whose actions are to be done.
type EventWork struct {
	ID         int64
	Key        string
	Account    string
	SkillID    string
	VendorID   string
	ReceivedAt time.Time
	Now        time.Time // of the database
	Actions    []EventPlanned
}

// EventPlanned is an action that has not ended.
type EventPlanned struct {
	Seq      int32
	Action   fleet.EventAction
	Argument string
}

// EventFinding is what was found out for an action before it is done.
type EventFinding struct {
	// State ends the action with Message; empty: it is to be done.
	State   fleet.EventActionState
	Message string
	// Withdrawn says why nobody can enable the skill any more, for halt_rollouts.
	Withdrawn string
	// Preflight is what was checked for the beginning of a rollout that never began.
	Preflight *preflight.Report
}

// EventTotal is how many events were ever taken, by account, event and status.
type EventTotal struct {
	Account string
	Event   string
	Status  string
	N       int64
}
