package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// LogEntry says who did what to which object, when and why.
type LogEntry struct {
	ID     int64          `json:"id"`
	At     time.Time      `json:"at"`
	Actor  string         `json:"actor"`
	Role   string         `json:"role"`
	Action string         `json:"action"` // noun and verb: "rollout.pause"
	Object string         `json:"object"` // noun and name: "rollout/12"
	Reason string         `json:"reason"`
	Detail map[string]any `json:"detail"`
}

// LogFilter picks log entries; empty fields pick all. Newest first.
type LogFilter struct {
	Actor  string
	Action string
	Object string
	Before int64 // cursor: entries older than this one
	Limit  int
}

// logEntry is one line of the log to write. Detail must hold no secret.
type logEntry struct {
	Actor  fleet.Actor
	Action string
	Object string
	Reason string
	Detail map[string]any
}

// addLog writes an entry of the log in the transaction of the change it tells of,
// so that neither exists without the other.
func addLog(ctx context.Context, tx querier, e logEntry) error {
	detail := []byte("{}")
	if len(e.Detail) > 0 {
		var err error
		if detail, err = json.Marshal(e.Detail); err != nil {
			return fmt.Errorf("write log entry %s: %w", e.Action, err)
		}
	}
	err := db.New(tx).LogInsert(ctx, db.LogInsertParams{
		Actor: e.Actor.Name, Role: string(e.Actor.Role), Action: e.Action, Object: e.Object, Reason: e.Reason, Detail: detail,
	})
	if err != nil {
		return fmt.Errorf("write log entry %s: %w", e.Action, err)
	}
	return nil
}

// Record writes an entry of the log about what was done elsewhere than in this
// database, such as a write to an API. The database sets its ID and At. Detail must
// hold no secret.
func (s *Store) Record(ctx context.Context, e LogEntry) error {
	return mapError(addLog(ctx, s.pool, logEntry{
		Actor: fleet.Actor{Name: e.Actor, Role: fleet.Role(e.Role)}, Action: e.Action, Object: e.Object, Reason: e.Reason, Detail: e.Detail,
	}))
}

// ListLog lists what was done, newest first. next is the cursor of the next page,
// zero after the last.
func (s *Store) ListLog(ctx context.Context, f LogFilter) (entries []LogEntry, next int64, err error) {
	limit := pageLimit(f.Limit)
	rows, err := db.New(s.pool).LogList(ctx, db.LogListParams{
		Actor: f.Actor, Action: f.Action, Object: f.Object, Before: f.Before, MaxRows: int32(limit + 1), //nolint:gosec // At most MaxLimit.
	})
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("list the log: %w", err))
	}
	entries = make([]LogEntry, len(rows))
	for i, r := range rows {
		entries[i] = LogEntry{
			ID: r.ID, At: r.At.UTC(), Actor: r.Actor, Role: r.Role, Action: r.Action, Object: r.Object, Reason: r.Reason,
		}
		if err := json.Unmarshal(r.Detail, &entries[i].Detail); err != nil {
			return nil, 0, fmt.Errorf("decode log entry %d: %w", r.ID, err)
		}
	}
	entries, next = page(entries, limit, func(e LogEntry) int64 { return e.ID })
	return entries, next, nil
}
