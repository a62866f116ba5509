package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// ListEvents lists events newest first, or with a Since oldest first. next is the
// cursor of the page that follows, zero after the last.
func (s *Store) ListEvents(ctx context.Context, f EventFilter) (items []Event, next EventCursor, err error) {
	limit := pageLimit(f.Limit)
	account := int64(0)
	if f.Account != "" {
		if account, err = accountID(ctx, s.pool, f.Account); err != nil {
			return nil, next, mapError(err)
		}
	}
	var rows []db.EventListRow
	forward := f.Since != "" || f.After.After > 0
	if forward {
		after := f.After.After
		if after == 0 {
			if after, err = s.eventsSince(ctx, f.Since); err != nil {
				return nil, next, err
			}
		}
		var since []db.EventSinceRow
		since, err = s.q().EventSince(ctx, db.EventSinceParams{
			AccountID: account, Name: f.Name, SkillID: f.SkillID, After: after, MaxRows: int32(limit + 1), //nolint:gosec // At most MaxLimit.
		})
		for _, r := range since {
			rows = append(rows, db.EventListRow(r))
		}
	} else {
		rows, err = s.q().EventList(ctx, db.EventListParams{
			AccountID: account, Name: f.Name, SkillID: f.SkillID, Before: f.After.Before, MaxRows: int32(limit + 1), //nolint:gosec // At most MaxLimit.
		})
	}
	if err != nil {
		return nil, next, mapError(fmt.Errorf("list events: %w", err))
	}
	rows, next = page(rows, limit, func(r db.EventListRow) EventCursor {
		if forward {
			return EventCursor{After: r.Event.ID}
		}
		return EventCursor{Before: r.Event.ID}
	})
	actions, err := eventActions(ctx, s.q(), rows)
	if err != nil {
		return nil, next, mapError(err)
	}
	items = make([]Event, len(rows))
	for i, r := range rows {
		items[i] = newEvent(r, actions[r.Event.ID])
	}
	return items, next, nil
}

// eventsSince finds the event that others are to come after.
func (s *Store) eventsSince(ctx context.Context, since string) (int64, error) {
	at, err := time.Parse(time.RFC3339, since)
	var id int64
	if err == nil {
		id, err = s.q().EventLastBefore(ctx, at)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, nil
		}
	} else {
		id, err = s.q().EventID(ctx, since)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, fleet.Invalidf("since", "%.60q is neither the ID of an event that is kept nor a time such as 2026-03-01T12:00:00Z", since)
		}
	}
	if err != nil {
		return 0, mapError(fmt.Errorf("find event %.60q: %w", since, err))
	}
	return id, nil
}

func eventActions(ctx context.Context, q *db.Queries, rows []db.EventListRow) (map[int64][]EventActed, error) {
	ids := make([]int64, len(rows))
	for i, r := range rows {
		ids[i] = r.Event.ID
	}
	list, err := q.EventActionsOf(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read what events did: %w", err)
	}
	out := map[int64][]EventActed{}
	for _, a := range list {
		out[a.EventID] = append(out[a.EventID], newEventActed(a))
	}
	return out, nil
}

func newEventActed(a db.EventAction) EventActed {
	return EventActed{
		Rule: strconv.FormatInt(a.RuleID, 10), Action: fleet.EventAction(a.Action), Argument: a.Argument,
		State: fleet.EventActionState(a.State), Message: a.Message, EndedAt: utc(a.EndedAt),
	}
}

func newEvent(r db.EventListRow, actions []EventActed) Event {
	e := r.Event
	if actions == nil {
		actions = []EventActed{}
	}
	return Event{
		ID: e.Key, Account: r.Account, Name: e.Name, Status: e.Status, SkillID: e.SkillID, VendorID: e.VendorID, Locale: e.Locale,
		SubscriptionID: e.SubscriptionID, RequestID: e.RequestID, ReviewID: e.ReviewID, Actor: e.Actor,
		EventAt: utc(e.EventAt), SentAt: utc(e.SentAt), ReceivedAt: e.ReceivedAt.UTC(), ProcessedAt: utc(e.ProcessedAt),
		Disposition: fleet.EventDisposition(e.Disposition), DuplicateOf: r.FirstKey, MessageID: e.MessageID, Topic: e.Topic,
		RawDelivery: e.RawDelivery, Actions: actions,
	}
}

// Event reads an event with its message.
func (s *Store) Event(ctx context.Context, id string) (EventDetail, error) {
	var out EventDetail
	err := s.inSnapshot(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		r, err := q.EventGet(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return fleet.NotFoundf("there is no event %q; `fleetctl event list` shows those that are kept", id)
		}
		if err != nil {
			return fmt.Errorf("read event %s: %w", id, err)
		}
		row := db.EventListRow{Event: r.Event, Account: r.Account, FirstKey: r.FirstKey}
		actions, err := eventActions(ctx, q, []db.EventListRow{row})
		if err != nil {
			return err
		}
		out.Event, out.Body = newEvent(row, actions[r.Event.ID]), json.RawMessage(r.Body)
		if !json.Valid(out.Body) {
			out.Body, err = json.Marshal(r.Body)
		}
		return err //nolint:wrapcheck // Text is always JSON.
	})
	return out, err
}
