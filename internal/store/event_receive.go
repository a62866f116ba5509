package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// ReceiveEvent keeps a message that was verified and gives it its job, in one
// transaction. A message whose ID was taken before is ErrEventReplayed, and changes
// nothing. One that tells what another told is kept as its duplicate, without a job.
func (s *Store) ReceiveEvent(ctx context.Context, p EventParams, enqueue EventEnqueue) (key string, d fleet.EventDisposition, err error) {
	d = p.Disposition
	row := p.row()
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := q.EventOrderLock(ctx); err != nil {
			return fmt.Errorf("lock the order of events: %w", err)
		}
		first, err := q.EventFirst(ctx, db.EventFirstParams{AccountID: p.AccountID, MessageID: row.MessageID, EventKey: row.EventKey})
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return fmt.Errorf("look for the event: %w", err)
		case first.MessageID == row.MessageID:
			return ErrEventReplayed
		default:
			row.DuplicateOf, d = &first.ID, fleet.EventDuplicate
		}
		row.Disposition = string(d)
		id, err := q.EventInsert(ctx, row)
		if err != nil {
			return fmt.Errorf("keep the event: %w", err)
		}
		if err := q.EventBodyInsert(ctx, db.EventBodyInsertParams{EventID: id, Body: plainText(string(p.Body), len(p.Body))}); err != nil {
			return fmt.Errorf("keep the message: %w", err)
		}
		switch d {
		case fleet.EventDuplicate:
			return nil
		case fleet.EventSubscription:
			return addLog(ctx, tx, logEntry{
				Actor: fleet.Actor{Name: "sns"}, Action: "event.subscription", Object: "account/" + p.Account,
				Detail: map[string]any{"message": row.Name, "topic": row.Topic, "event": row.Key},
			})
		case fleet.EventReceived, fleet.EventEmpty, fleet.EventUnknown, fleet.EventActing, fleet.EventActed, fleet.EventNoRule, fleet.EventSuperseded:
		}
		if err := q.EventTotalsAdd(ctx, totalOf(p)); err != nil {
			return fmt.Errorf("count the event: %w", err)
		}
		if d != fleet.EventReceived {
			return nil
		}
		return enqueue(ctx, tx, id)
	})
	return row.Key, d, err
}

// EventTaken reports whether a message of this ID was taken before.
func (s *Store) EventTaken(ctx context.Context, accountID int64, messageID string) (bool, error) {
	taken, err := s.q().EventTaken(ctx, db.EventTakenParams{AccountID: accountID, MessageID: messageID})
	if err != nil {
		return false, mapError(fmt.Errorf("look for a message: %w", err))
	}
	return taken, nil
}

// row is what is kept. The text is the sender's: it is bounded, and holds nothing that
// Postgres refuses.
func (p EventParams) row() db.EventInsertParams {
	const name, id = 200, 300
	return db.EventInsertParams{
		Key: newKey("ev-", 12), AccountID: p.AccountID, MessageID: plainText(p.MessageID, id), EventKey: plainText(p.Key, 4*id),
		Topic: plainText(p.Topic, id), RawDelivery: p.RawDelivery, Name: plainText(p.Name, name), Status: plainText(p.Status, name),
		SkillID: plainText(p.SkillID, id), VendorID: plainText(p.VendorID, id), Locale: plainText(p.Locale, name),
		SubscriptionID: plainText(p.SubscriptionID, id), RequestID: plainText(p.RequestID, id), ReviewID: plainText(p.ReviewID, id),
		Actor: plainText(p.Actor, id), EventAt: moment(p.EventAt), SentAt: moment(p.SentAt),
	}
}

// plainText is s without what Postgres takes for no text, cut to most bytes.
func plainText(s string, most int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// moment is t where Postgres has such a time.
func moment(t time.Time) *time.Time {
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &t
}

// totalOf is the counter of an event; what no list holds is "other".
func totalOf(p EventParams) db.EventTotalsAddParams {
	out := db.EventTotalsAddParams{AccountID: p.AccountID, Name: "other", Status: "other"}
	switch {
	case slices.Contains(fleet.EventNames(), p.Name):
		out.Name = p.Name
	case p.Disposition == fleet.EventEmpty:
		out.Name = "empty"
	}
	if p.Status == "" || p.Status == fleet.EventSucceeded || p.Status == fleet.EventFailed {
		out.Status = p.Status
	}
	return out
}

// EventTotals reads how many events were ever taken, duplicates left out.
func (s *Store) EventTotals(ctx context.Context) ([]EventTotal, error) {
	rows, err := s.q().EventTotals(ctx)
	if err != nil {
		return nil, mapError(fmt.Errorf("read event totals: %w", err))
	}
	out := make([]EventTotal, len(rows))
	for i, r := range rows {
		out[i] = EventTotal{Account: r.Account, Event: r.Name, Status: r.Status, N: r.N}
	}
	return out, nil
}

// ForgetEvents deletes events that are older than EventRetention, the oldest first and
// at most so many: fewer deleted than that means that none is left.
func (s *Store) ForgetEvents(ctx context.Context, most int) (int, error) {
	q := s.q()
	n, err := q.EventForget(ctx, db.EventForgetParams{AgeSeconds: EventRetention.Seconds(), MaxRows: int32(most)}) //nolint:gosec // A group is small.
	if err == nil && n < int64(most) {
		_, err = q.EventForgetHeads(ctx, EventRetention.Seconds())
	}
	if err != nil {
		return 0, mapError(fmt.Errorf("forget events: %w", err))
	}
	return int(n), nil
}
