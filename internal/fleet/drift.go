package fleet

import "time"

// Desired is what should be on a unit for one skill.
type Desired struct {
	Enabled   bool      `json:"enabled"`
	Stage     Stage     `json:"stage,omitempty"` // empty when not enabled
	ChangedAt time.Time `json:"changed_at"`
}

// DesiredSource says what set a desired state. The set is closed.
type DesiredSource string

// The sources.
const (
	DesiredByRollout DesiredSource = "rollout" // a rollout, as it released the target
	DesiredBySet     DesiredSource = "set"     // a person, for a selector
	DesiredByApply   DesiredSource = "apply"   // a file
	DesiredByAdopt   DesiredSource = "adopt"   // what was observed then
)

// DriftKind is how a unit differs from what is desired. The set is closed.
type DriftKind string

// The kinds.
const (
	DriftMissing       DriftKind = "missing"        // should be enabled and is not
	DriftUnexpected    DriftKind = "unexpected"     // is enabled and should not be
	DriftWrongStage    DriftKind = "wrong_stage"    // enabled at another stage
	DriftNotLinked     DriftKind = "not_linked"     // enabled, and the account is not linked
	DriftStuckEnabling DriftKind = "stuck_enabling" // still ENABLING, or ENABLING_FAILED, with no rollout at work
)

// DriftKinds lists every kind.
func DriftKinds() []DriftKind {
	return []DriftKind{DriftMissing, DriftUnexpected, DriftWrongStage, DriftNotLinked, DriftStuckEnabling}
}

// DriftCause is why a unit drifted, joined from our own records. The set is closed.
type DriftCause string

// The causes.
const (
	CauseWriteFailed    DriftCause = "write_failed"    // a write of ours failed, or was never proven
	CauseChangedOutside DriftCause = "changed_outside" // it was as desired, and somebody else changed it
	CauseOccupied       DriftCause = "occupied"        // the home has a resident
	CauseUnitNew        DriftCause = "unit_new"        // the unit was never seen as desired: it is new
	CauseUnitReset      DriftCause = "unit_reset"      // everything managed vanished at once: reset or re-paired
	CauseSkillWithdrawn DriftCause = "skill_withdrawn" // the API does not know the skill any more
	CauseDesiredChanged DriftCause = "desired_changed" // what is desired changed since, and no rollout followed
	CauseUnknown        DriftCause = "unknown"
)

// DriftCauses lists every cause.
func DriftCauses() []DriftCause {
	return []DriftCause{
		CauseWriteFailed, CauseChangedOutside, CauseOccupied, CauseUnitNew,
		CauseUnitReset, CauseSkillWithdrawn, CauseDesiredChanged, CauseUnknown,
	}
}

// AuditResult is what an audit says of a unit. The set is closed.
type AuditResult string

// The results.
const (
	AuditInSync  AuditResult = "in_sync"
	AuditDrifted AuditResult = "drifted"
	AuditUnknown AuditResult = "unknown" // it could not be seen whole, and a reason says why
)

// AuditResults lists every result.
func AuditResults() []AuditResult { return []AuditResult{AuditInSync, AuditDrifted, AuditUnknown} }

// UnknownReason says why an audit could not tell. The set is closed.
type UnknownReason string

// The reasons of unknown units.
const (
	UnknownForbidden      UnknownReason = "forbidden"       // the API keeps the unit's resources from us
	UnknownUnitNotFound   UnknownReason = "unit_not_found"  // the API does not know the unit: gone
	UnknownUnauthorized   UnknownReason = "unauthorized"    // the account's credentials do not work
	UnknownServerError    UnknownReason = "server_error"    // 5xx, time and again
	UnknownTransportError UnknownReason = "transport_error" // no answer, time and again
	UnknownInvalidAnswer  UnknownReason = "invalid_answer"  // pages that repeat, or an answer that cannot be read
	UnknownInvalidRequest UnknownReason = "invalid_request" // the API refuses the request as malformed
	UnknownStatus         UnknownReason = "unknown_status"  // a status that no page documents
	UnknownCanceled       UnknownReason = "canceled"        // the audit was canceled first
)

// UnknownReasons lists every reason an audited unit can be unknown for.
func UnknownReasons() []UnknownReason {
	return []UnknownReason{
		UnknownForbidden, UnknownUnitNotFound, UnknownUnauthorized, UnknownServerError, UnknownTransportError,
		UnknownInvalidAnswer, UnknownInvalidRequest, UnknownStatus, UnknownCanceled,
	}
}

// AuditState is where an audit stands. The set is closed.
type AuditState string

// The audit states. The last three are ends.
const (
	AuditRunning              AuditState = "running"
	AuditWaiting              AuditState = "waiting"                // the account cannot work
	AuditSucceeded            AuditState = "succeeded"              // every unit was seen
	AuditCompletedWithUnknown AuditState = "completed_with_unknown" // some could not be seen
	AuditCanceled             AuditState = "canceled"
)

// AuditStates lists every audit state.
func AuditStates() []AuditState {
	return []AuditState{AuditRunning, AuditWaiting, AuditSucceeded, AuditCompletedWithUnknown, AuditCanceled}
}

// Ended reports whether s is final.
func (s AuditState) Ended() bool {
	switch s {
	case AuditSucceeded, AuditCompletedWithUnknown, AuditCanceled:
		return true
	case AuditRunning, AuditWaiting:
	}
	return false
}

// RolloutOrigin says what a rollout was made from; empty: by a person. The set is closed.
type RolloutOrigin string

// The origins.
const (
	OriginRepair   RolloutOrigin = "repair"   // from drift
	OriginRollback RolloutOrigin = "rollback" // from another rollout's targets
)
