package server

import (
	"context"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// EventStore is what the operations on events, hooks and rules need.
type EventStore interface {
	ListEvents(ctx context.Context, f store.EventFilter) ([]store.Event, store.EventCursor, error)
	Event(ctx context.Context, id string) (store.EventDetail, error)
	EventHook(ctx context.Context, account string) (store.EventHook, error)
	SetEventHook(ctx context.Context, p store.EventHookParams, by fleet.Actor) (store.EventHook, error)
	DeleteEventHook(ctx context.Context, account, reason string, by fleet.Actor) error
	CreateEventRule(ctx context.Context, p store.EventRuleParams, by fleet.Actor, once store.Idempotency) (store.EventRule, bool, error)
	EventRule(ctx context.Context, id string) (store.EventRule, error)
	ListEventRules(ctx context.Context, account string, after int64, limit int) ([]store.EventRule, int64, error)
	DeleteEventRule(ctx context.Context, id, reason string, by fleet.Actor) error
}

// eventHookSet is the body of setEventHook.
type eventHookSet struct {
	Topics    []string `json:"topics" minItems:"1" maxItems:"20" doc:"ARNs of the SNS topics that events are taken from."`
	RawSecret *string  `json:"raw_secret,omitempty" maxLength:"200" doc:"What raw messages, which are not signed, must come with: the password in the URL that is subscribed. Kept as a hash, never shown. Empty: raw messages are refused. Not given: as it is."`
	Reason    string   `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// eventRuleRequest is the body of createEventRule.
type eventRuleRequest struct {
	Account  string            `json:"account" minLength:"1" maxLength:"63" doc:"The account whose events the rule is for."`
	Event    string            `json:"event,omitempty" maxLength:"200" doc:"The event, whole or what stands after the dot, such as SkillPublish; any or empty: every one that is known."`
	Status   string            `json:"status,omitempty" enum:"any,SUCCEEDED,FAILED" doc:"The event's status. Not given: SUCCEEDED for what sets a rollout going, else any."`
	SkillID  string            `json:"skill_id,omitempty" maxLength:"255" doc:"The event's skill, or any. Not given: that of the rollout, else any."`
	Action   fleet.EventAction `json:"action" enum:"resume_rollout,start_rollout,halt_rollouts,refresh_preflight,start_audit" doc:"What is done."`
	Argument string            `json:"argument,omitempty" maxLength:"2000" doc:"The rollout of resume_rollout and start_rollout; the selector of start_audit (all when not given)."`
	Reason   string            `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// EventRuleID is the rule in the path.
type EventRuleID struct {
	ID string `path:"id" maxLength:"20" doc:"The rule's ID."`
}

type (
	eventOut      struct{ Body store.EventDetail }
	eventListOut  struct{ Body *list[store.Event] }
	eventHookOut  struct{ Body store.EventHook }
	eventRuleOut  struct{ Body store.EventRule }
	eventRulesOut struct{ Body *list[store.EventRule] }
)

type eventRuleCreated struct {
	Replay

	Body store.EventRule
}

const eventTag = "events"

func (s *server) registerEvents() {
	register(s, operation{
		id: "listEvents", method: http.MethodGet, path: "/events", tag: eventTag, role: fleet.RoleViewer,
		summary: "List what SNS told of skills, newest first",
		text: "With since, what came after an event or a time, oldest first: no event is missed by who goes on with the ID of the last one. " +
			"Events are kept for 90 days.",
	}, s.listEvents)
	register(s, operation{
		id: "getEvent", method: http.MethodGet, path: "/events/{id}", tag: eventTag, role: fleet.RoleViewer,
		summary: "Show an event with its message",
	}, s.getEvent)
	s.registerEventHooks()
	s.registerEventRules()
}

func (s *server) registerEventHooks() {
	const path = "/accounts/{name}/event-hook"
	register(s, operation{
		id: "getEventHook", method: http.MethodGet, path: path, tag: eventTag, role: fleet.RoleViewer,
		summary: "Show from where an account takes events",
	}, s.getEventHook)
	register(s, operation{
		id: "setEventHook", method: http.MethodPut, path: path, tag: eventTag, role: fleet.RoleAdmin,
		summary: "Set from where an account takes events",
		text:    "Subscribe the topic to the hook's path, with SignatureVersion 2. A subscription of any other topic is not confirmed.",
	}, s.setEventHook)
	register(s, operation{
		id: "deleteEventHook", method: http.MethodDelete, path: path, tag: eventTag, role: fleet.RoleAdmin, status: http.StatusNoContent,
		summary: "Take no more events for an account",
		text:    "Those that were taken stay.",
	}, s.deleteEventHook)
}

func (s *server) registerEventRules() {
	register(s, operation{
		id: "createEventRule", method: http.MethodPost, path: "/event-rules", tag: eventTag, role: fleet.RoleOperator, status: http.StatusCreated,
		summary: "Say what is done when an event comes",
		text: "Each event acts once, in the order of its time: one that is older than one of its kind that was processed does nothing. " +
			"halt_rollouts asks the developer API whether the skill was withdrawn, and halts only then.",
	}, s.createEventRule)
	register(s, operation{
		id: "listEventRules", method: http.MethodGet, path: "/event-rules", tag: eventTag, role: fleet.RoleViewer,
		summary: "List the rules of events",
	}, s.listEventRules)
	register(s, operation{
		id: "getEventRule", method: http.MethodGet, path: "/event-rules/{id}", tag: eventTag, role: fleet.RoleViewer,
		summary: "Show a rule of events",
	}, s.getEventRule)
	register(s, operation{
		id: "deleteEventRule", method: http.MethodDelete, path: "/event-rules/{id}", tag: eventTag, role: fleet.RoleOperator, status: http.StatusNoContent,
		summary: "Delete a rule of events",
	}, s.deleteEventRule)
}

func (s *server) listEvents(ctx context.Context, in *struct {
	Paging

	Account string `query:"account" maxLength:"63" doc:"Only this account's."`
	Name    string `query:"name" maxLength:"200" doc:"Only events of this name, whole or what stands after the dot."`
	SkillID string `query:"skill_id" maxLength:"255" doc:"Only those about this skill."`
	Since   string `query:"since" maxLength:"100" doc:"Only what came after this event or this time (RFC 3339), oldest first."`
},
) (*eventListOut, error) {
	after, err := decodeCursor[store.EventCursor](in.Cursor)
	if err != nil {
		return nil, err
	}
	if known, ok := fleet.EventName(in.Name); ok {
		in.Name = known
	}
	items, next, err := s.cfg.Events.ListEvents(ctx, store.EventFilter{
		Account: in.Account, Name: in.Name, SkillID: in.SkillID, Since: in.Since, After: after, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return &eventListOut{Body: newList(items, next)}, nil
}

func (s *server) getEvent(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"100" doc:"The event's ID."`
},
) (*eventOut, error) {
	event, err := s.cfg.Events.Event(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &eventOut{Body: event}, nil
}

func (s *server) getEventHook(ctx context.Context, in *struct{ AccountName }) (*eventHookOut, error) {
	return eventHookAnswer(s.cfg.Events.EventHook(ctx, in.Name))
}

func eventHookAnswer(hook store.EventHook, err error) (*eventHookOut, error) {
	if err != nil {
		return nil, err
	}
	return &eventHookOut{Body: hook}, nil
}

func (s *server) setEventHook(ctx context.Context, in *struct {
	AccountName

	Body eventHookSet
},
) (*eventHookOut, error) {
	return eventHookAnswer(s.cfg.Events.SetEventHook(ctx, store.EventHookParams{
		Account: in.Name, Topics: in.Body.Topics, RawSecret: in.Body.RawSecret, Reason: in.Body.Reason,
	}, actor(ctx)))
}

func (s *server) deleteEventHook(ctx context.Context, in *struct {
	AccountName

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*struct{}, error) {
	return nil, s.cfg.Events.DeleteEventHook(ctx, in.Name, in.Reason, actor(ctx))
}

func (s *server) createEventRule(ctx context.Context, in *struct {
	Creating

	Body eventRuleRequest
},
) (*eventRuleCreated, error) {
	once, err := in.idempotency("createEventRule", in.Body)
	if err != nil {
		return nil, err
	}
	b := in.Body
	rule, again, err := s.cfg.Events.CreateEventRule(ctx, store.EventRuleParams{
		Account: b.Account, Event: b.Event, Status: b.Status, SkillID: b.SkillID, Action: b.Action, Argument: b.Argument, Reason: b.Reason,
	}, actor(ctx), once)
	if err != nil {
		return nil, err
	}
	return &eventRuleCreated{Replay: replayed(again), Body: rule}, nil
}

func (s *server) listEventRules(ctx context.Context, in *struct {
	Paging

	Account string `query:"account" maxLength:"63" doc:"Only this account's."`
},
) (*eventRulesOut, error) {
	after, err := decodeCursor[int64](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Events.ListEventRules(ctx, in.Account, after, in.Limit)
	if err != nil {
		return nil, err
	}
	return &eventRulesOut{Body: newList(items, next)}, nil
}

func (s *server) getEventRule(ctx context.Context, in *struct{ EventRuleID }) (*eventRuleOut, error) {
	rule, err := s.cfg.Events.EventRule(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &eventRuleOut{Body: rule}, nil
}

func (s *server) deleteEventRule(ctx context.Context, in *struct {
	EventRuleID

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*struct{}, error) {
	return nil, s.cfg.Events.DeleteEventRule(ctx, in.ID, in.Reason, actor(ctx))
}
