package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/schedule"
	"fleetd/internal/store/db"
)

// AuditDefault is fleetd's own schedule, for accounts that have none.
type AuditDefault struct {
	Cron     string // empty: no audits
	Timezone string
}

// Now is the time of the database, which slots go by.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.q().DatabaseNow(ctx)
	if err != nil {
		return now, mapError(fmt.Errorf("ask the database for the time: %w", err))
	}
	return now, nil
}

// AuditSchedule reads the schedule of an account: its own, or fleetd's.
func (s *Store) AuditSchedule(ctx context.Context, account string, standard AuditDefault) (AuditSchedule, error) {
	id, err := accountID(ctx, s.pool, account)
	if err != nil {
		return AuditSchedule{}, err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return AuditSchedule{}, err
	}
	out := AuditSchedule{Account: account, Cron: standard.Cron, Timezone: standard.Timezone, Selector: "all", Default: true}
	r, err := s.q().AuditScheduleGet(ctx, id)
	switch {
	case err == nil:
		out = AuditSchedule{
			Account: account, Cron: r.AuditSchedule.Cron, Timezone: r.AuditSchedule.Timezone, Selector: r.AuditSchedule.Selector,
			Repair: r.AuditSchedule.Repair, RepairCeiling: int(r.AuditSchedule.RepairCeiling), UpdatedAt: utc(&r.AuditSchedule.UpdatedAt),
		}
	case !errors.Is(err, pgx.ErrNoRows):
		return out, mapError(fmt.Errorf("read the audit schedule of account %s: %w", account, err))
	}
	if out.Timezone == "" {
		out.Timezone = "UTC"
	}
	if out.Cron == "" {
		return out, nil
	}
	parsed, err := schedule.Parse(out.Cron, out.Timezone)
	if err != nil {
		return out, err
	}
	if _, at := parsed.Next(now); !at.IsZero() {
		out.NextAt = utc(&at)
	}
	return out, nil
}

// SetAuditSchedule gives an account a schedule of its own. Slots before a change of
// the cron expression or the time zone are not caught up.
func (s *Store) SetAuditSchedule(ctx context.Context, p AuditScheduleParams, actor fleet.Actor) (AuditSchedule, error) {
	if p.Timezone == "" {
		p.Timezone = "UTC"
	}
	if p.Selector == "" {
		p.Selector = "all"
	}
	if p.Cron != "" {
		parsed, err := schedule.Parse(p.Cron, p.Timezone)
		if err != nil {
			return AuditSchedule{}, err
		}
		p.Cron = parsed.String()
	} else if _, err := schedule.Parse("0 0 * * *", p.Timezone); err != nil {
		return AuditSchedule{}, err
	}
	selector, err := fleet.ParseSelector(p.Selector)
	if err != nil {
		return AuditSchedule{}, err
	}
	switch {
	case p.RepairCeiling < 0 || p.RepairCeiling > 1_000_000_000:
		return AuditSchedule{}, fleet.Invalidf("repair_ceiling", "%d is no ceiling; use a number of findings from 1 on", p.RepairCeiling)
	case p.Repair && p.RepairCeiling == 0:
		return AuditSchedule{}, fleet.Invalidf("repair_ceiling", "an automatic repair needs a ceiling: above how many findings does it only alarm?")
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		id, err := accountID(ctx, tx, p.Account)
		if err != nil {
			return err
		}
		err = db.New(tx).AuditScheduleSet(ctx, db.AuditScheduleSetParams{
			AccountID: id, Cron: p.Cron, Timezone: p.Timezone, Selector: selector.String(), Repair: p.Repair,
			RepairCeiling: int32(p.RepairCeiling), //nolint:gosec // Checked above.
		})
		if err != nil {
			return fmt.Errorf("set the audit schedule: %w", err)
		}
		return addLog(ctx, tx, logEntry{
			Actor: actor, Action: "audit.schedule.set", Object: "account/" + p.Account, Reason: p.Reason,
			Detail: map[string]any{
				"cron": p.Cron, "timezone": p.Timezone, "selector": selector.String(), "repair": p.Repair, "repair_ceiling": p.RepairCeiling,
			},
		})
	})
	if err != nil {
		return AuditSchedule{}, err
	}
	return s.AuditSchedule(ctx, p.Account, AuditDefault{})
}

// DeleteAuditSchedule takes an account's own schedule away: fleetd's holds again.
func (s *Store) DeleteAuditSchedule(ctx context.Context, account, reason string, actor fleet.Actor) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		id, err := accountID(ctx, tx, account)
		if err != nil {
			return err
		}
		n, err := db.New(tx).AuditScheduleDelete(ctx, id)
		if err != nil {
			return fmt.Errorf("delete the audit schedule: %w", err)
		}
		if n == 0 {
			return fleet.NotFoundf("account %s has no audit schedule of its own: fleetd's holds for it", account)
		}
		return addLog(ctx, tx, logEntry{Actor: actor, Action: "audit.schedule.delete", Object: "account/" + account, Reason: reason})
	})
}

// DueSlot is a slot that has come and was not taken.
type DueSlot struct {
	SlotParams

	Behind error // the schedule that cannot be read; then there is no slot
}

// DueSlots lists the slots that are due at now: one of an account at most, the latest.
// An account whose audit is under way has none until that has ended. Of a new schedule
// no slot before it was made is due.
func (s *Store) DueSlots(ctx context.Context, now time.Time, standard AuditDefault) ([]DueSlot, error) {
	q := s.q()
	rows, err := q.AuditSlots(ctx)
	if err != nil {
		return nil, mapError(fmt.Errorf("read audit schedules: %w", err))
	}
	known := time.Time{}
	if standard.Cron != "" {
		known, err = q.AuditDefaultSince(ctx, "audit_schedule "+standard.Cron+" "+standard.Timezone)
		if errors.Is(err, pgx.ErrNoRows) { // another process writes it down at this moment
			known, err = now, nil
		}
		if err != nil {
			return nil, mapError(fmt.Errorf("read since when there is a schedule: %w", err))
		}
	}
	var due []DueSlot
	for _, r := range rows {
		p := SlotParams{AccountID: r.AccountID, Account: r.Account, Timezone: standard.Timezone, Selector: "all"}
		cron, since := standard.Cron, known
		if r.Cron != nil {
			cron, since = *r.Cron, deref(r.UpdatedAt)
			p.Timezone, p.Selector, p.Repair, p.RepairCeiling = deref(r.Timezone), deref(r.Selector), deref(r.Repair), int(deref(r.RepairCeiling))
		}
		if cron == "" || r.UnderWay {
			continue
		}
		parsed, err := schedule.Parse(cron, p.Timezone)
		if err != nil {
			due = append(due, DueSlot{SlotParams: p, Behind: err})
			continue
		}
		if r.AccountCreatedAt.After(since) {
			since = r.AccountCreatedAt
		}
		after := parsed.Wall(since)
		if p.Timezone = parsed.Zone(); r.LastTimezone == p.Timezone && deref(r.LastSlot).After(after) {
			after = *r.LastSlot
		}
		if slot, ok := parsed.Due(after, now); ok {
			p.Slot = slot
			due = append(due, DueSlot{SlotParams: p})
		}
	}
	return due, nil
}
