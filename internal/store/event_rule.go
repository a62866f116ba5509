package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// CreateEventRule makes a rule. What begins a rollout is for events that SUCCEEDED and
// for the rollout's own skill, unless it says otherwise.
func (s *Store) CreateEventRule(
	ctx context.Context, p EventRuleParams, actor fleet.Actor, idem Idempotency,
) (rule EventRule, replayed bool, err error) {
	if err := p.check(); err != nil {
		return rule, false, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		key, err := claimIdempotency(ctx, tx, actor, idem)
		if err != nil {
			return err
		}
		if replayed = key != ""; !replayed {
			if key, err = insertEventRule(ctx, tx, p, actor); err != nil {
				return err
			}
			if err := keepIdempotency(ctx, tx, actor, idem, key); err != nil {
				return err
			}
		}
		rule, err = eventRule(ctx, db.New(tx), key)
		return err
	})
	return rule, replayed, err
}

// check fills in what was left out, and refuses what needs no database to be wrong.
func (p *EventRuleParams) check() error {
	if p.Event == "" {
		p.Event = fleet.EventAny
	}
	if p.SkillID == "" && !p.Action.OfRollout() {
		p.SkillID = fleet.EventAny
	}
	if p.Event != fleet.EventAny {
		name, ok := fleet.EventName(p.Event)
		if !ok {
			return fleet.Invalidf("event", "%.100q is no event that is known; use any or one of %s", p.Event, join(fleet.EventNames()))
		}
		p.Event = name
	}
	if p.Status == "" {
		p.Status = fleet.EventAny
		if p.Action.OfRollout() {
			p.Status = fleet.EventSucceeded
		}
	}
	switch {
	case p.Status != fleet.EventAny && p.Status != fleet.EventSucceeded && p.Status != fleet.EventFailed:
		return fleet.Invalidf("status", "%.100q is no status of an event; use any, SUCCEEDED or FAILED", p.Status)
	case p.SkillID != "" && !fleet.ValidSkillID(p.SkillID):
		return fleet.Invalidf("skill_id", "%.100q is no skill ID: it has 1 to 255 characters without spaces, such as amzn1.ask.skill.0f4a...", p.SkillID)
	}
	return p.checkAction()
}

func (p *EventRuleParams) checkAction() error {
	switch p.Action {
	case fleet.EventResumeRollout, fleet.EventStartRollout:
		if p.Argument == "" {
			return fleet.Invalidf("argument", "which rollout? %s needs its ID", p.Action)
		}
	case fleet.EventStartAudit:
		if p.Argument == "" {
			p.Argument = "all"
		}
		selector, err := fleet.ParseSelector(p.Argument)
		if err != nil {
			return err
		}
		p.Argument = selector.String()
	case fleet.EventHaltRollouts, fleet.EventRefreshPreflight:
		if p.Argument != "" {
			return fleet.Invalidf("argument", "%s takes nothing besides: it is about the skill of the event", p.Action)
		}
	default:
		return fleet.Invalidf("action", "%.100q is no action of a rule; use %s", p.Action, join(fleet.EventActions()))
	}
	return nil
}

func insertEventRule(ctx context.Context, tx pgx.Tx, p EventRuleParams, actor fleet.Actor) (key string, err error) {
	q := db.New(tx)
	account, err := accountID(ctx, tx, p.Account)
	if err != nil {
		return "", err
	}
	if p.Action.OfRollout() {
		if err := p.checkRollout(ctx, q, account); err != nil {
			return "", err
		}
	}
	if err := q.EventRuleLock(ctx, account); err != nil {
		return "", fmt.Errorf("lock rule creation: %w", err)
	}
	n, err := q.EventRuleCount(ctx, account)
	if err != nil {
		return "", fmt.Errorf("count rules: %w", err)
	}
	if n >= MaxEventRules {
		return "", fleet.Conflictf("account %s has %d rules, as many as there may be; delete those that are of no use any more with `fleetctl event rule delete ID`",
			p.Account, n)
	}
	id, err := q.EventRuleInsert(ctx, db.EventRuleInsertParams{
		AccountID: account, Event: p.Event, Status: p.Status, SkillID: p.SkillID, Action: string(p.Action), Argument: p.Argument,
		CreatedBy: actor.Name, Reason: p.Reason,
	})
	if err != nil {
		return "", fmt.Errorf("insert rule: %w", err)
	}
	key = strconv.FormatInt(id, 10)
	return key, addLog(ctx, tx, logEntry{
		Actor: actor, Action: "event.rule.create", Object: "event-rule/" + key, Reason: p.Reason,
		Detail: map[string]any{
			"account": p.Account, "event": p.Event, "status": p.Status, "skill_id": p.SkillID, "action": p.Action, "argument": p.Argument,
		},
	})
}

// checkRollout wants a rollout of the same account, and takes its skill where none was named.
func (p *EventRuleParams) checkRollout(ctx context.Context, q *db.Queries, account int64) error {
	of, err := q.EventRolloutOf(ctx, p.Argument)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && of.AccountID != account) {
		return fleet.Invalidf("argument", "account %s has no rollout %.60q; `fleetctl rollout list --account %s` shows them", p.Account, p.Argument, p.Account)
	}
	if err != nil {
		return fmt.Errorf("find rollout %.60q: %w", p.Argument, err)
	}
	if p.SkillID == "" {
		p.SkillID = of.SkillID
	}
	return nil
}

func eventRule(ctx context.Context, q *db.Queries, key string) (EventRule, error) {
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return EventRule{}, noEventRule(key)
	}
	r, err := q.EventRuleGet(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return EventRule{}, noEventRule(key)
	}
	if err != nil {
		return EventRule{}, fmt.Errorf("read rule %d: %w", id, err)
	}
	return newEventRule(r.EventRule, r.Account), nil
}

func noEventRule(key string) error {
	return fleet.NotFoundf("there is no rule %.60q; `fleetctl event rule list` shows them all", key)
}

func newEventRule(r db.EventRule, account string) EventRule {
	return EventRule{
		ID: strconv.FormatInt(r.ID, 10), Account: account, Event: r.Event, Status: r.Status, SkillID: r.SkillID,
		Action: fleet.EventAction(r.Action), Argument: r.Argument, CreatedBy: r.CreatedBy, Reason: r.Reason, CreatedAt: r.CreatedAt.UTC(),
	}
}

// EventRule reads a rule.
func (s *Store) EventRule(ctx context.Context, id string) (EventRule, error) {
	rule, err := eventRule(ctx, s.q(), id)
	return rule, mapError(err)
}

// ListEventRules lists rules in the order they were made in; an empty account means
// those of all. next is the cursor of the page that follows, zero after the last.
func (s *Store) ListEventRules(ctx context.Context, account string, after int64, limit int) (items []EventRule, next int64, err error) {
	limit = pageLimit(limit)
	id := int64(0)
	if account != "" {
		if id, err = accountID(ctx, s.pool, account); err != nil {
			return nil, 0, mapError(err)
		}
	}
	rows, err := s.q().EventRuleList(ctx, db.EventRuleListParams{AccountID: id, After: after, MaxRows: int32(limit + 1)}) //nolint:gosec // At most MaxLimit.
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("list rules: %w", err))
	}
	rows, next = page(rows, limit, func(r db.EventRuleListRow) int64 { return r.EventRule.ID })
	for _, r := range rows {
		items = append(items, newEventRule(r.EventRule, r.Account))
	}
	return items, next, nil
}

// DeleteEventRule deletes a rule. What it had events do before goes on.
func (s *Store) DeleteEventRule(ctx context.Context, id, reason string, actor fleet.Actor) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		rule, err := eventRule(ctx, q, id)
		if err != nil {
			return err
		}
		number, _ := strconv.ParseInt(rule.ID, 10, 64) // it was one a moment ago
		n, err := q.EventRuleDelete(ctx, number)
		if err != nil {
			return fmt.Errorf("delete rule %s: %w", rule.ID, err)
		}
		if n == 0 {
			return noEventRule(id)
		}
		return addLog(ctx, tx, logEntry{
			Actor: actor, Action: "event.rule.delete", Object: "event-rule/" + rule.ID, Reason: reason,
			Detail: map[string]any{"account": rule.Account, "event": rule.Event, "action": rule.Action, "argument": rule.Argument},
		})
	})
}
