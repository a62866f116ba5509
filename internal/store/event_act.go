package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// acting is one action of a locked event.
type acting struct {
	s       *Store
	tx      pgx.Tx
	q       *db.Queries
	event   db.Event
	account string
	action  *EventActed // as it becomes
}

// outcome is how an action ended.
type outcome struct {
	state   fleet.EventActionState
	message string
}

func (a acting) by() fleet.Actor {
	return fleet.Actor{Name: "rule " + a.action.Rule, Role: fleet.RoleOperator}
}

// why is the reason that the log gives for what a rule changed.
func (a acting) why() string {
	return strings.Join(strings.Fields("event "+a.event.Key+" "+a.event.Name+" "+a.event.Status), " ")
}

func (a acting) do(ctx context.Context, seq int32, found EventFinding) error {
	end, err := a.decide(ctx, found)
	if err != nil {
		return err
	}
	a.action.State, a.action.Message = end.state, plainText(end.message, 1000)
	ended, err := a.q.EventActionEnd(ctx, db.EventActionEndParams{
		EventID: a.event.ID, Seq: seq, State: string(a.action.State), Message: a.action.Message,
	})
	if err != nil {
		return fmt.Errorf("record what event %s did: %w", a.event.Key, err)
	}
	a.action.EndedAt = utc(ended)
	left, err := a.q.EventActionsLeft(ctx, a.event.ID)
	if err != nil {
		return fmt.Errorf("count what event %s is to do: %w", a.event.Key, err)
	}
	if left == 0 {
		err := a.q.EventDispose(ctx, db.EventDisposeParams{ID: a.event.ID, Disposition: string(fleet.EventActed), Ended: true})
		if err != nil {
			return fmt.Errorf("say what became of event %s: %w", a.event.Key, err)
		}
	}
	return addLog(ctx, a.tx, logEntry{
		Actor: a.by(), Action: "event.act", Object: "event/" + a.event.Key, Reason: a.why(),
		Detail: map[string]any{
			"account": a.account, "action": a.action.Action, "argument": a.action.Argument, "state": a.action.State, "message": a.action.Message,
		},
	})
}

// decide does what is to be done, in a savepoint: what the state of things forbids is
// undone and becomes the outcome. Other errors leave the action as it was.
func (a acting) decide(ctx context.Context, found EventFinding) (outcome, error) {
	newer, err := a.newer(ctx)
	switch {
	case err != nil:
		return outcome{}, err
	case newer != "":
		return outcome{fleet.ActionSuperseded, "a newer event of its kind, " + newer + ", was processed before this was done"}, nil
	case found.State != "":
		return outcome{found.State, found.Message}, nil
	}
	var end outcome
	err = pgx.BeginFunc(ctx, a.tx, func(sub pgx.Tx) error {
		inner := a
		inner.tx, inner.q = sub, db.New(sub)
		end, err = inner.perform(ctx, found)
		return err
	})
	known := new(fleet.Error)
	if errors.As(mapError(err), &known) && known.Code != fleet.CodeUnavailable && known.Code != fleet.CodeInternal {
		return outcome{fleet.ActionRefused, a.refused(known)}, nil
	}
	return end, err
}

// refused says what the state of things forbade; a rollout that its checks kept from
// beginning, with what failed.
func (a acting) refused(e *fleet.Error) string {
	if !a.action.Action.OfRollout() || len(e.Details) == 0 {
		return e.Message
	}
	failed := make([]string, len(e.Details))
	for i, d := range e.Details {
		failed[i] = d.Location + ": " + d.Message
	}
	id := a.action.Argument
	return fmt.Sprintf("rollout %s was not begun, for it failed its checks: %s. Mend it and run `fleetctl rollout resume %s`, or add --force and a --reason",
		id, strings.Join(failed, "; "), id)
}

// newer names the event that took this one's place, if one did. Until the transaction
// ends no other can.
func (a acting) newer(ctx context.Context) (string, error) {
	if !ordered(a.event) {
		return "", nil
	}
	head, err := a.q.EventHeadLock(ctx, db.EventHeadLockParams{
		AccountID: a.event.AccountID, SkillID: a.event.SkillID, Name: a.event.Name, Locale: a.event.Locale,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for a newer event than %s: %w", a.event.Key, err)
	}
	if head.EventAt.After(*a.event.EventAt) {
		return head.Key, nil
	}
	return "", nil
}

func (a acting) perform(ctx context.Context, found EventFinding) (outcome, error) {
	switch a.action.Action {
	case fleet.EventResumeRollout:
		return a.set(ctx, "rollout.resume", "resumed", resumeRollout(found.Preflight))
	case fleet.EventStartRollout:
		return a.set(ctx, "rollout.start", "started", startRollout(found.Preflight))
	case fleet.EventHaltRollouts:
		return a.halt(ctx, found.Withdrawn)
	case fleet.EventStartAudit:
		return a.audit(ctx)
	case fleet.EventRefreshPreflight:
	}
	return outcome{}, fmt.Errorf("event %s: action %q without a finding", a.event.Key, a.action.Action)
}

// set changes the rollout that the rule names, as the API would.
func (a acting) set(ctx context.Context, action, done string, change rolloutChange) (outcome, error) {
	before, err := lockRollout(ctx, a.q, a.action.Argument)
	if err != nil {
		return outcome{}, err
	}
	if state := fleet.RolloutState(before.State); state == fleet.RolloutRunning || state == fleet.RolloutWaiting {
		return outcome{fleet.ActionNothing, fmt.Sprintf("rollout %s is %s already", before.Key, state)}, nil
	}
	after, err := changeRolloutIn(ctx, a.tx, a.action.Argument, action, a.why(), a.by(), change)
	if err != nil {
		return outcome{}, err
	}
	if string(after.State) == before.State {
		return outcome{fleet.ActionNothing, fmt.Sprintf("rollout %s is %s already", after.ID, after.State)}, nil
	}
	return outcome{fleet.ActionDone, fmt.Sprintf("rollout %s %s: it was %s and is %s", after.ID, done, before.State, after.State)}, nil
}

// halt halts what goes on to enable the skill.
func (a acting) halt(ctx context.Context, withdrawn string) (outcome, error) {
	if withdrawn == "" {
		return outcome{}, fmt.Errorf("event %s: halt without a reason", a.event.Key)
	}
	keys, err := a.q.EventHaltable(ctx, db.EventHaltableParams{AccountID: a.event.AccountID, SkillID: a.event.SkillID})
	if err != nil {
		return outcome{}, fmt.Errorf("look for rollouts to halt: %w", err)
	}
	reason := fmt.Sprintf("skill %s was withdrawn: %s, event %s", a.event.SkillID, withdrawn, a.event.Key)
	var halted []string
	for _, key := range keys {
		after, err := changeRolloutIn(ctx, a.tx, key, "rollout.halt", reason, a.by(), haltRollout(reason))
		if err != nil {
			return outcome{}, err
		}
		if after.State == fleet.RolloutHalted {
			halted = append(halted, key)
		}
	}
	if len(halted) == 0 {
		return outcome{fleet.ActionNothing, "the skill was withdrawn: " + withdrawn + "; no rollout that enables it was running, waiting or scheduled"}, nil
	}
	return outcome{fleet.ActionDone, fmt.Sprintf("the skill was withdrawn: %s; halted %s", withdrawn, strings.Join(halted, ", "))}, nil
}

// audit begins an audit, once for the event and the rule.
func (a acting) audit(ctx context.Context) (outcome, error) {
	once := Idempotency{Key: "audit of event " + a.event.Key, Hash: []byte(a.event.Key + " " + a.action.Rule)}
	p := AuditParams{Account: a.account, Selector: a.action.Argument, Reason: a.why()}
	made, again, err := createAuditIn(ctx, a.tx, p, a.by(), once)
	if err != nil {
		return outcome{}, err
	}
	if again {
		return outcome{fleet.ActionDone, fmt.Sprintf("audit %s was begun before", made.ID)}, nil
	}
	return outcome{fleet.ActionDone, fmt.Sprintf("audit %s of %d units begun", made.ID, made.Units)}, nil
}
