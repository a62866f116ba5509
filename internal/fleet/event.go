package fleet

import "strings"

// EventDisposition says what became of an event of the skill development
// notifications that fleetd was sent.
type EventDisposition string

// The dispositions.
const (
	EventReceived   EventDisposition = "received"   // kept, its job has not run yet
	EventActing     EventDisposition = "acting"     // rules matched, and not every action has ended
	EventActed      EventDisposition = "acted"      // every action has ended
	EventNoRule     EventDisposition = "no_rule"    // no rule matched
	EventSuperseded EventDisposition = "superseded" // a newer one of its kind was processed before: no rule was asked
	EventDuplicate  EventDisposition = "duplicate"  // told of before by another message: no rule was asked
	EventEmpty      EventDisposition = "empty"      // {}, as it is sent when a subscriber is made
	EventUnknown    EventDisposition = "unknown"    // no event that fleetd knows, or one that does not say of what or when
	// EventSubscription is no event: SNS tells that the hook was subscribed to a topic,
	// or is no longer.
	EventSubscription EventDisposition = "subscription"
)

// EventDispositions lists every disposition.
func EventDispositions() []EventDisposition {
	return []EventDisposition{
		EventReceived, EventActing, EventActed, EventNoRule, EventSuperseded, EventDuplicate, EventEmpty, EventUnknown,
		EventSubscription,
	}
}

// EventAction is what a rule does when an event matches it.
type EventAction string

// The actions.
const (
	// EventResumeRollout sets a paused or halted rollout going again; its argument is
	// the rollout.
	EventResumeRollout EventAction = "resume_rollout"
	// EventStartRollout begins a rollout that has not begun: one that was made paused,
	// or one that waits for its time. Its argument is the rollout.
	EventStartRollout EventAction = "start_rollout"
	// EventHaltRollouts halts what enables the event's skill, where that was withdrawn.
	EventHaltRollouts EventAction = "halt_rollouts"
	// EventRefreshPreflight looks anew whether the skill can be rolled out.
	EventRefreshPreflight EventAction = "refresh_preflight"
	// EventStartAudit begins an audit; its argument is a selector of units.
	EventStartAudit EventAction = "start_audit"
)

// EventActions lists every action.
func EventActions() []EventAction {
	return []EventAction{EventResumeRollout, EventStartRollout, EventHaltRollouts, EventRefreshPreflight, EventStartAudit}
}

// OfRollout reports whether the action's argument is a rollout.
func (a EventAction) OfRollout() bool { return a == EventResumeRollout || a == EventStartRollout }

// EventActionState says what came of one action of one event.
type EventActionState string

// The states of an action.
const (
	ActionPlanned      EventActionState = "planned"
	ActionDone         EventActionState = "done"
	ActionNothing      EventActionState = "nothing"       // there was nothing to do
	ActionRefused      EventActionState = "refused"       // the state of things forbade it
	ActionNotAvailable EventActionState = "not_available" // what it takes is not there: a credential, a part of fleetd
	ActionSuperseded   EventActionState = "superseded"    // a newer event of the kind came between
	ActionFailed       EventActionState = "failed"        // tried until it made no sense any more
)

// EventActionStates lists every state of an action.
func EventActionStates() []EventActionState {
	return []EventActionState{
		ActionPlanned, ActionDone, ActionNothing, ActionRefused, ActionNotAvailable, ActionSuperseded, ActionFailed,
	}
}

// EventAny matches every event, status or skill in a rule.
const EventAny = "any"

// The statuses of an event.
const (
	EventSucceeded = "SUCCEEDED"
	EventFailed    = "FAILED"
)

// The events of the skill development notifications API that are known. Amazon may
// send others: they are kept, and do nothing.
const (
	EventManifestUpdate         = "AlexaDevelopmentEvent.ManifestUpdate"
	EventSkillCertification     = "AlexaDevelopmentEvent.SkillCertification"
	EventSkillPublish           = "AlexaDevelopmentEvent.SkillPublish"
	EventInteractionModelUpdate = "AlexaDevelopmentEvent.InteractionModelUpdate"
	EventSkillReviewPublish     = "AlexaCustomerFeedbackEvent.SkillReviewPublish"
)

// EventNames lists the events that are known.
func EventNames() []string {
	return []string{
		EventManifestUpdate, EventSkillCertification, EventSkillPublish, EventInteractionModelUpdate, EventSkillReviewPublish,
	}
}

// EventName finds a known event by its whole name or by what stands after the dot;
// ok is false where there is none.
func EventName(s string) (name string, ok bool) {
	for _, known := range EventNames() {
		_, short, _ := strings.Cut(known, ".")
		if s == known || s == short {
			return known, true
		}
	}
	return "", false
}
