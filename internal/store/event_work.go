package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// ClaimEvent begins the work on an event, or goes on with it: it says which actions
// have not ended. The first time it settles the event's place among those of its kind,
// asks the rules, and writes down what they want done, so that the work is the same
// however often it is begun again. ok is false where nothing is to be done.
func (s *Store) ClaimEvent(ctx context.Context, id int64) (work EventWork, ok bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		r, err := q.EventLock(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) { // its account is gone
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock event %d: %w", id, err)
		}
		if fleet.EventDisposition(r.Event.Disposition) == fleet.EventReceived {
			err = planEvent(ctx, q, &r.Event)
		}
		if err != nil || fleet.EventDisposition(r.Event.Disposition) != fleet.EventActing {
			return err
		}
		actions, err := q.EventActionsOf(ctx, []int64{id})
		if err != nil {
			return fmt.Errorf("read what event %s does: %w", r.Event.Key, err)
		}
		work = EventWork{
			ID: id, Key: r.Event.Key, Account: r.Account, SkillID: r.Event.SkillID, VendorID: r.Event.VendorID,
			ReceivedAt: r.Event.ReceivedAt, Now: r.Now,
		}
		for _, a := range actions {
			if fleet.EventActionState(a.State) == fleet.ActionPlanned {
				work.Actions = append(work.Actions, EventPlanned{Seq: a.Seq, Action: fleet.EventAction(a.Action), Argument: a.Argument})
			}
		}
		ok = len(work.Actions) > 0
		return nil
	})
	return work, ok, err
}

// planEvent takes an event that nobody has looked at from received to what it is.
func planEvent(ctx context.Context, q *db.Queries, e *db.Event) error {
	d, err := planned(ctx, q, *e)
	if err != nil {
		return err
	}
	e.Disposition = string(d)
	err = q.EventDispose(ctx, db.EventDisposeParams{ID: e.ID, Disposition: e.Disposition, Ended: d != fleet.EventActing})
	if err != nil {
		return fmt.Errorf("say what became of event %s: %w", e.Key, err)
	}
	return nil
}

func planned(ctx context.Context, q *db.Queries, e db.Event) (fleet.EventDisposition, error) {
	if ordered(e) {
		newest, err := q.EventHeadMove(ctx, db.EventHeadMoveParams{
			AccountID: e.AccountID, SkillID: e.SkillID, Name: e.Name, Locale: e.Locale, EventAt: *e.EventAt, EventID: e.ID,
		})
		if err != nil {
			return "", fmt.Errorf("order event %s: %w", e.Key, err)
		}
		if newest == 0 {
			return fleet.EventSuperseded, nil
		}
	}
	n, err := q.EventPlan(ctx, db.EventPlanParams{
		EventID: e.ID, AccountID: e.AccountID, Name: e.Name, Status: e.Status, SkillID: e.SkillID,
	})
	if err != nil {
		return "", fmt.Errorf("ask the rules about event %s: %w", e.Key, err)
	}
	if n == 0 {
		return fleet.EventNoRule, nil
	}
	return fleet.EventActing, nil
}

// ordered reports whether an event says how things are, so that a newer one of its
// kind takes its place. Reviews stand beside each other.
func ordered(e db.Event) bool { return e.EventAt != nil && e.ReviewID == "" }

// ActOnEvent does one action of an event and records it, in one transaction: run
// again, it finds the action ended and changes nothing. It is recorded on the event,
// and in the log as done by the rule. An error means that nothing was done; a
// *UncheckedError is mended by a finding with a Preflight.
func (s *Store) ActOnEvent(ctx context.Context, event int64, seq int32, found EventFinding) (out EventActed, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		r, err := q.EventLock(ctx, event)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock event %d: %w", event, err)
		}
		actions, err := q.EventActionsOf(ctx, []int64{event})
		if err != nil {
			return fmt.Errorf("read what event %s does: %w", r.Event.Key, err)
		}
		for _, a := range actions {
			if a.Seq == seq {
				out = newEventActed(a)
			}
		}
		if out.State != fleet.ActionPlanned {
			return nil
		}
		act := acting{s: s, tx: tx, q: q, event: r.Event, account: r.Account, action: &out}
		return act.do(ctx, seq, found)
	})
	return out, err
}

// NoteEventAction says on an action why it was not done yet. One that has ended keeps what
// it says.
func (s *Store) NoteEventAction(ctx context.Context, event int64, seq int32, message string) error {
	err := s.q().EventActionNote(ctx, db.EventActionNoteParams{Message: message, EventID: event, Seq: seq})
	if err != nil {
		return mapError(fmt.Errorf("say why an action of event %d was put off: %w", event, err))
	}
	return nil
}
