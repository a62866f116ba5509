package fleet

// TargetState is where one unit of one rollout stands. The set is closed.
type TargetState string

// The target states. The last four are ends.
const (
	TargetPending   TargetState = "pending"   // not released
	TargetQueued    TargetState = "queued"    // released, no write in doubt
	TargetRunning   TargetState = "running"   // a worker has it; a write may have left
	TargetVerifying TargetState = "verifying" // the API said ENABLING, or an answer was lost
	TargetSucceeded TargetState = "succeeded" // seen in the wanted state after the write
	TargetFailed    TargetState = "failed"
	TargetSkipped   TargetState = "skipped" // nothing was written, and Reason says why
	TargetCanceled  TargetState = "canceled"
)

// TargetStates lists every target state in the order of a target's life.
func TargetStates() []TargetState {
	return []TargetState{
		TargetPending, TargetQueued, TargetRunning, TargetVerifying,
		TargetSucceeded, TargetFailed, TargetSkipped, TargetCanceled,
	}
}

// Ended reports whether s is final.
func (s TargetState) Ended() bool {
	switch s {
	case TargetSucceeded, TargetFailed, TargetSkipped, TargetCanceled:
		return true
	case TargetPending, TargetQueued, TargetRunning, TargetVerifying:
	}
	return false
}

// Reason says why a target failed or was skipped. The set is closed.
type Reason string

// The reasons of skipped targets.
const (
	ReasonAlreadyInState Reason = "already_in_state"
	ReasonOccupied       Reason = "occupied"
	ReasonProtectedSkill Reason = "protected_skill"
	ReasonChangedSince   Reason = "changed_since" // of a rollback: the home is not as that rollout left it
)

// The reasons of failed targets.
const (
	ReasonForbidden         Reason = "forbidden"
	ReasonUnitNotFound      Reason = "unit_not_found"
	ReasonSkillNotFound     Reason = "skill_not_found"
	ReasonInvalidRequest    Reason = "invalid_request"
	ReasonUnauthorized      Reason = "unauthorized"
	ReasonAccountLinkFailed Reason = "account_link_failed"
	ReasonEnablingFailed    Reason = "enabling_failed"
	ReasonVerifyTimeout     Reason = "verify_timeout"
	ReasonServerError       Reason = "server_error"
	ReasonTransportError    Reason = "transport_error"
)

// SkipReasons lists the reasons a target can be skipped for.
func SkipReasons() []Reason {
	return []Reason{ReasonAlreadyInState, ReasonOccupied, ReasonProtectedSkill, ReasonChangedSince}
}

// FailReasons lists the reasons a target can fail for.
func FailReasons() []Reason {
	return []Reason{
		ReasonForbidden, ReasonUnitNotFound, ReasonSkillNotFound, ReasonInvalidRequest, ReasonUnauthorized,
		ReasonAccountLinkFailed, ReasonEnablingFailed, ReasonVerifyTimeout, ReasonServerError, ReasonTransportError,
	}
}

// RolloutState is where a whole rollout stands. The set is closed.
type RolloutState string

// The rollout states. The last three are ends.
const (
	RolloutScheduled             RolloutState = "scheduled" // start_at is still to come
	RolloutRunning               RolloutState = "running"
	RolloutPaused                RolloutState = "paused"    // by a person
	RolloutHalted                RolloutState = "halted"    // by a guardrail
	RolloutWaiting               RolloutState = "waiting"   // outside its window, soaking, or the account cannot work
	RolloutSucceeded             RolloutState = "succeeded" // every target succeeded or was skipped
	RolloutCompletedWithFailures RolloutState = "completed_with_failures"
	RolloutCanceled              RolloutState = "canceled"
)

// RolloutStates lists every rollout state.
func RolloutStates() []RolloutState {
	return []RolloutState{
		RolloutScheduled, RolloutRunning, RolloutPaused, RolloutHalted, RolloutWaiting,
		RolloutSucceeded, RolloutCompletedWithFailures, RolloutCanceled,
	}
}

// Ended reports whether s is final. A canceled rollout may still have a few
// targets being proven; its ended_at says when the last of them was.
func (s RolloutState) Ended() bool {
	switch s {
	case RolloutSucceeded, RolloutCompletedWithFailures, RolloutCanceled:
		return true
	case RolloutScheduled, RolloutRunning, RolloutPaused, RolloutHalted, RolloutWaiting:
	}
	return false
}

// Counts is how many targets of a rollout are in each state. In every snapshot
// the sum equals the rollout's targets; the schema holds it.
type Counts struct {
	Pending   int `json:"pending"`
	Queued    int `json:"queued"`
	Running   int `json:"running"`
	Verifying int `json:"verifying"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Canceled  int `json:"canceled"`
}

// Sum is the number of targets counted.
func (c Counts) Sum() int { return c.Pending + c.Outstanding() + c.Ended() }

// Outstanding is how many targets are released and not ended.
func (c Counts) Outstanding() int { return c.Queued + c.Running + c.Verifying }

// Ended is how many targets have an outcome.
func (c Counts) Ended() int { return c.Succeeded + c.Failed + c.Skipped + c.Canceled }
