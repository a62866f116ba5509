package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// Audit reads one audit; its counts are whole in every answer.
func (s *Store) Audit(ctx context.Context, id string) (Audit, error) {
	a, err := auditByKey(ctx, s.q(), id)
	return a, mapError(err)
}

func auditByKey(ctx context.Context, q *db.Queries, key string) (Audit, error) {
	r, err := q.AuditByKey(ctx, key)
	if errors.Is(err, pgx.ErrNoRows) {
		return Audit{}, noAudit(key)
	}
	if err != nil {
		return Audit{}, fmt.Errorf("read audit %s: %w", key, err)
	}
	return newAudit(r.Audit, r.Account)
}

func noAudit(key string) error {
	return fleet.NotFoundf("there is no audit %q; `fleetctl audit list` shows them all", key)
}

// ListAudits lists audits, newest first. next is the cursor of the page that
// follows, zero after the last.
func (s *Store) ListAudits(ctx context.Context, f AuditFilter) (items []Audit, next int64, err error) {
	limit := pageLimit(f.Limit)
	rows, err := s.q().AuditList(ctx, db.AuditListParams{
		Account: f.Account, State: string(f.State), Active: f.Active, Before: f.Before,
		MaxRows: int32(limit + 1), //nolint:gosec // pageLimit bounds it.
	})
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("list audits: %w", err))
	}
	rows, next = page(rows, limit, func(r db.AuditListRow) int64 { return r.Audit.ID })
	for _, r := range rows {
		a, err := newAudit(r.Audit, r.Account)
		if err != nil {
			return nil, 0, err
		}
		items = append(items, a)
	}
	return items, next, nil
}

func newAudit(r db.Audit, account string) (Audit, error) {
	a := Audit{
		ID: r.Key, Account: account, State: fleet.AuditState(r.State), StateReason: r.StateReason, Selector: r.Selector,
		Units: int(r.Units), InSync: int(r.NInSync), Drifted: int(r.NDrifted), Unknown: int(r.NUnknown),
		Coverage: coverage(r.Units, r.NInSync+r.NDrifted), Unmanaged: r.Unmanaged,
		Drift:    AuditDrift{Opened: int(r.DriftOpened), Resolved: int(r.DriftResolved)},
		Requests: r.Requests, Throttled: r.Throttled, Pages: r.Pages, Repair: r.Repair, RepairCeiling: int(r.RepairCeiling),
		CreatedBy: r.CreatedBy, Reason: r.Reason,
		CreatedAt: r.CreatedAt.UTC(), StartedAt: utc(r.StartedAt), EndedAt: utc(r.EndedAt),
	}
	if r.Slot != nil {
		a.Slot = &AuditSlot{Time: r.Slot.Format("2006-01-02T15:04"), Timezone: r.SlotTimezone}
	}
	var err error
	a.UnknownReasons, err = decodeReasons(r)
	return a, err
}

func decodeReasons(r db.Audit) (map[fleet.UnknownReason]int, error) {
	reasons := map[fleet.UnknownReason]int{}
	if err := json.Unmarshal(r.UnknownReasons, &reasons); err != nil {
		return nil, fmt.Errorf("decode the reasons of audit %s: %w", r.Key, err)
	}
	return reasons, nil
}

// coverage is the share of units that were seen. Of none, all were.
func coverage(units, seen int32) float64 {
	if units == 0 {
		return 1
	}
	return float64(seen) / float64(units)
}

// CancelAudit ends an audit at once. Units that it had not come to are unknown, and
// say that it was canceled. Canceling a canceled audit changes nothing.
func (s *Store) CancelAudit(ctx context.Context, id, reason string, actor fleet.Actor) (a Audit, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		r, err := q.AuditLockKey(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return noAudit(id)
		}
		if err != nil {
			return fmt.Errorf("lock audit %s: %w", id, err)
		}
		switch {
		case fleet.AuditState(r.State) == fleet.AuditCanceled:
		case r.EndedAt != nil:
			return fleet.Conflictf("audit %s is %s: there is nothing to cancel", r.Key, r.State)
		default:
			if err := cancelAudit(ctx, tx, r, reason, actor); err != nil {
				return err
			}
		}
		a, err = auditByKey(ctx, q, id)
		return err
	})
	return a, err
}

func cancelAudit(ctx context.Context, tx pgx.Tx, r db.Audit, reason string, actor fleet.Actor) error {
	reasons, err := decodeReasons(r)
	if err != nil {
		return err
	}
	if left := r.Units - r.NInSync - r.NDrifted - r.NUnknown; left > 0 {
		r.NUnknown += left
		reasons[fleet.UnknownCanceled] += int(left)
	}
	text, err := json.Marshal(reasons)
	if err != nil {
		return fmt.Errorf("encode the reasons of audit %s: %w", r.Key, err)
	}
	q := db.New(tx)
	err = q.AuditSetState(ctx, db.AuditSetStateParams{
		ID: r.ID, State: string(fleet.AuditCanceled), StateReason: "canceled by " + actor.Name,
		NUnknown: r.NUnknown, UnknownReasons: text, Ended: true,
	})
	if err != nil {
		return fmt.Errorf("cancel audit %s: %w", r.Key, err)
	}
	err = addLog(ctx, tx, logEntry{
		Actor: actor, Action: "audit.cancel", Object: "audit/" + r.Key, Reason: reason,
		Detail: map[string]any{"from": r.State, "to": fleet.AuditCanceled},
	})
	if err != nil {
		return err
	}
	if err := q.AuditNotify(ctx); err != nil {
		return fmt.Errorf("tell of the audit: %w", err)
	}
	return nil
}

// ListAuditUnits lists what an audit said of its units. The word of a later audit
// takes its place: a unit stands in the list of the last audit that answered for it,
// and in no other. next is the cursor of the page that follows, zero after the last;
// a page may be short of its limit.
func (s *Store) ListAuditUnits(ctx context.Context, id string, f AuditUnitFilter) (items []AuditedUnit, next int64, err error) {
	if f.Reason != "" && f.Result == "" {
		f.Result = fleet.AuditUnknown
	}
	q := s.q()
	r, err := q.AuditByKey(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, noAudit(id)
	}
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("read audit %s: %w", id, err))
	}
	canceled := fleet.AuditState(r.Audit.State) == fleet.AuditCanceled
	if f.Result == fleet.AuditDrifted || (f.Result == fleet.AuditUnknown && !canceled) {
		return listOdd(ctx, q, r.Audit, f)
	}
	return listChunks(ctx, q, r.Audit, f, canceled)
}

// listOdd goes by the index of those that are not in sync.
func listOdd(ctx context.Context, q *db.Queries, a db.Audit, f AuditUnitFilter) (items []AuditedUnit, next int64, err error) {
	limit := pageLimit(f.Limit)
	rows, err := q.AuditUnitsOdd(ctx, db.AuditUnitsOddParams{
		AccountID: a.AccountID, AuditID: &a.ID, Result: string(f.Result), Reason: string(f.Reason), After: f.After,
		MaxRows: int32(limit + 1), //nolint:gosec // pageLimit bounds it.
	})
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("list units of audit %s: %w", a.Key, err))
	}
	rows, next = page(rows, limit, func(r db.AuditUnitsOddRow) int64 { return r.Unit })
	for _, u := range rows {
		items = append(items, AuditedUnit{
			UnitID: u.UnitID, Property: u.Property, Occupancy: fleet.Occupancy(u.Occupancy), Result: fleet.AuditResult(u.Result),
			Reason: fleet.UnknownReason(u.Reason), SeenAt: utc(u.SeenAt), AuditedAt: utc(u.AuditedAt),
		})
	}
	return items, next, nil
}

// listRounds bounds how far one page looks for units that the filter picks.
const listRounds = 20

// listChunks goes through the frozen units in order.
func listChunks(
	ctx context.Context, q *db.Queries, a db.Audit, f AuditUnitFilter, canceled bool,
) (items []AuditedUnit, next int64, err error) {
	limit := pageLimit(f.Limit)
	last := (a.Units + chunkSize - 1) / chunkSize
	for range listRounds {
		first := int32(f.After/chunkSize) + 1 //nolint:gosec // A place in an audit fits.
		if first > last {
			return items, 0, nil
		}
		end := first + int32(limit/chunkSize) + 1 //nolint:gosec // pageLimit bounds it.
		rows, err := q.AuditUnitsOf(ctx, db.AuditUnitsOfParams{
			AuditID: a.ID, FirstSeq: first, LastSeq: end, After: int32(f.After), //nolint:gosec // Likewise.
		})
		if err != nil {
			return nil, 0, mapError(fmt.Errorf("list units of audit %s: %w", a.Key, err))
		}
		for _, row := range rows {
			u, ok := auditedUnit(row, a.ID, canceled)
			if ok && (f.Result == "" || u.Result == f.Result) && (f.Reason == "" || u.Reason == f.Reason) {
				if len(items) == limit {
					return items, f.After, nil
				}
				items = append(items, u)
			}
			f.After = row.Place
		}
		f.After = max(f.After, int64(end)*chunkSize)
	}
	return items, f.After, nil
}

// auditedUnit is what an audit said of a unit; ok is false where it has not, or has
// not any more.
func auditedUnit(r db.AuditUnitsOfRow, auditID int64, canceled bool) (u AuditedUnit, ok bool) {
	u = AuditedUnit{
		UnitID: r.UnitID, Property: r.Property, Occupancy: fleet.Occupancy(r.Occupancy), Result: fleet.AuditResult(r.Result),
		Reason: fleet.UnknownReason(r.Reason), SeenAt: utc(r.SeenAt), AuditedAt: utc(r.AuditedAt),
	}
	switch answered := deref(r.AuditID); {
	case answered == auditID:
		return u, true
	case canceled && answered < auditID:
		u.Result, u.Reason, u.AuditedAt = fleet.AuditUnknown, fleet.UnknownCanceled, nil
		return u, true
	}
	return u, false
}
