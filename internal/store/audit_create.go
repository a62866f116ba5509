package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// chunkSize is how many units a row of audit_chunks holds; AuditUnitsOf knows it too.
const chunkSize = 200

// CreateAudit makes an audit with all its units in one transaction. An account has
// one at a time: a second is a conflict that names the first. replayed says that
// the idempotency key was used before: the audit is the one made then.
func (s *Store) CreateAudit(
	ctx context.Context, p AuditParams, actor fleet.Actor, idem Idempotency,
) (a Audit, replayed bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		a, replayed, err = createAuditIn(ctx, tx, p, actor, idem)
		return err
	})
	return a, replayed, err
}

func createAuditIn(ctx context.Context, tx pgx.Tx, p AuditParams, actor fleet.Actor, idem Idempotency) (a Audit, replayed bool, err error) {
	key, err := claimIdempotency(ctx, tx, actor, idem)
	if err != nil {
		return a, false, err
	}
	if replayed = key != ""; !replayed {
		if key, err = requestAudit(ctx, tx, p, actor); err != nil {
			return a, false, err
		}
		if err := keepIdempotency(ctx, tx, actor, idem, key); err != nil {
			return a, false, err
		}
	}
	a, err = auditByKey(ctx, db.New(tx), key)
	return a, replayed, err
}

func requestAudit(ctx context.Context, tx pgx.Tx, p AuditParams, actor fleet.Actor) (key string, err error) {
	d := auditDraft{account: p.Account, units: p.UnitIDs, actor: actor, reason: p.Reason}
	switch {
	case p.Selector != "" && len(p.UnitIDs) > 0:
		return "", fleet.Invalidf("select", "a selector and a units file exclude each other; use one")
	case p.Selector == "" && len(p.UnitIDs) == 0:
		return "", fleet.Invalidf("select", "which units? Use --select (all, property=..., label=...) or --units-file")
	case p.Selector != "":
		if d.selector, err = fleet.ParseSelector(p.Selector); err != nil {
			return "", err
		}
	}
	if d.accountID, err = accountID(ctx, tx, p.Account); err != nil {
		return "", err
	}
	if err := refuseSecondAudit(ctx, tx, d); err != nil {
		return "", err
	}
	n, key, err := d.insert(ctx, tx)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", fleet.Invalidf("select", "the selector %q matches no unit of account %s; `fleetctl unit list --account %s` shows what there is",
			d.selectorText(), p.Account, p.Account)
	}
	return key, nil
}

// refuseSecondAudit waits for audits of the account that are being made.
func refuseSecondAudit(ctx context.Context, tx pgx.Tx, d auditDraft) error {
	q := db.New(tx)
	if err := q.AuditCreationLock(ctx, d.accountID); err != nil {
		return fmt.Errorf("lock audit creation: %w", err)
	}
	other, err := q.AuditUnderWay(ctx, d.accountID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an audit under way: %w", err)
	}
	return fleet.Conflictf("audit %s of account %s is under way (%s); wait for it (`fleetctl audit watch %s`) or cancel it",
		other.Key, d.account, other.State, other.Key)
}

// auditDraft is an audit that is about to be made.
type auditDraft struct {
	account   string
	accountID int64
	selector  fleet.Selector
	units     []string // by name, instead of selector
	slot      *time.Time
	zone      string // of slot
	repair    bool
	ceiling   int
	actor     fleet.Actor
	reason    string
}

func (d auditDraft) selectorText() string {
	if len(d.units) > 0 {
		return fmt.Sprintf("units file (%d units)", len(d.units))
	}
	return d.selector.String()
}

// insert writes the audit and freezes its units, and tells how many there are.
func (d auditDraft) insert(ctx context.Context, tx pgx.Tx) (units int, key string, err error) {
	q := db.New(tx)
	key = newKey("au-", 8)
	id, err := q.AuditInsert(ctx, db.AuditInsertParams{
		Key: key, AccountID: d.accountID, Selector: d.selectorText(), Slot: d.slot, SlotTimezone: d.zone,
		Repair: d.repair, RepairCeiling: int32(d.ceiling), CreatedBy: d.actor.Name, Reason: d.reason, //nolint:gosec // Checked when the schedule was set.
	})
	if err != nil {
		return 0, "", fmt.Errorf("insert audit: %w", err)
	}
	args := []any{id, d.accountID}
	where := "u.unit_id = ANY ($3::text[])"
	if len(d.units) > 0 {
		if err := checkUnitsFile(ctx, tx, RolloutParams{Account: d.account, UnitIDs: d.units}, d.accountID); err != nil {
			return 0, "", err
		}
		args = append(args, d.units)
	} else {
		where, args = selectorSQL(d.selector, args)
	}
	if err := tx.QueryRow(ctx, fmt.Sprintf(insertChunks, chunkSize, where), args...).Scan(&units); err != nil {
		return 0, "", fmt.Errorf("freeze the units of an audit: %w", err)
	}
	if err := q.AuditSetUnits(ctx, db.AuditSetUnitsParams{ID: id, Units: int32(units)}); err != nil { //nolint:gosec // A fleet has fewer than 2^31 homes.
		return 0, "", fmt.Errorf("count the units of an audit: %w", err)
	}
	err = addLog(ctx, tx, logEntry{
		Actor: d.actor, Action: "audit.create", Object: "audit/" + key, Reason: d.reason,
		Detail: map[string]any{"account": d.account, "selector": d.selectorText(), "units": units},
	})
	if err != nil {
		return 0, "", err
	}
	if err := q.AuditNotify(ctx); err != nil {
		return 0, "", fmt.Errorf("tell of the audit: %w", err)
	}
	return units, key, nil
}

// insertChunks freezes the units that an audit is to answer for.
const insertChunks = `
WITH frozen AS (
    INSERT INTO audit_chunks (audit_id, seq, units)
    SELECT
        $1,
        picked.chunk,
        array_agg(picked.id ORDER BY picked.id)
    FROM (
        SELECT
            u.id,
            (row_number() OVER (ORDER BY u.id) - 1) / %d + 1 AS chunk
        FROM units AS u
        WHERE u.account_id = $2 AND u.removed_at IS NULL AND (%s)
    ) AS picked
    GROUP BY picked.chunk
    ORDER BY picked.chunk
    RETURNING units
)
SELECT coalesce(sum(cardinality(units)), 0) FROM frozen`

// SlotParams asks for the audit of one slot of a schedule.
type SlotParams struct {
	AccountID     int64
	Account       string
	Slot          time.Time // of the wall clock, see internal/schedule
	Timezone      string
	Selector      string
	Repair        bool
	RepairCeiling int
}

// ClaimSlot makes the audit of a slot, unless the slot was taken before or an audit
// of the account is under way: then taken is false. Of any number of processes that
// claim a slot one takes it. A selector that matches no unit by now takes the slot
// with an audit that has ended.
func (s *Store) ClaimSlot(ctx context.Context, p SlotParams) (a Audit, taken bool, err error) {
	d := auditDraft{
		account: p.Account, accountID: p.AccountID, slot: &p.Slot, zone: p.Timezone, repair: p.Repair, ceiling: p.RepairCeiling,
		actor: fleet.Actor{Name: "schedule", Role: fleet.RoleOperator},
	}
	if d.selector, err = fleet.ParseSelector(p.Selector); err != nil {
		return a, false, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := refuseSecondAudit(ctx, tx, d); err != nil {
			return err
		}
		done, err := q.AuditSlotTaken(ctx, db.AuditSlotTakenParams{AccountID: p.AccountID, SlotTimezone: p.Timezone, Slot: p.Slot})
		if err != nil {
			return fmt.Errorf("look for the slot: %w", err)
		}
		if done {
			return nil
		}
		_, key, err := d.insert(ctx, tx)
		if err != nil {
			return err
		}
		taken = true
		a, err = auditByKey(ctx, q, key)
		return err
	})
	if conflict := new(fleet.Error); errors.As(err, &conflict) && conflict.Code == fleet.CodeConflict {
		return Audit{}, false, nil
	}
	return a, taken, err
}
