package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// ListDesired lists what is desired on the units of an account, by property and in the
// order of import. next is the cursor of the next page, zero after the last.
func (s *Store) ListDesired(ctx context.Context, account string, f DesiredFilter) (items []DesiredItem, next DesiredCursor, err error) {
	id, err := accountID(ctx, s.pool, account)
	if err != nil {
		return nil, next, mapError(err)
	}
	limit := pageLimit(f.Limit)
	p := db.DesiredListParams{
		AccountID: id, UnitID: f.UnitID, Property: f.Property,
		AfterProperty: f.After.Property, AfterUnit: f.After.Unit, AfterSkill: f.After.Skill,
		MaxRows: int32(limit + 1), //nolint:gosec // pageLimit bounds it.
	}
	if f.SkillID != "" {
		p.Skill, err = s.q().ManagedSkill(ctx, db.ManagedSkillParams{AccountID: id, SkillID: f.SkillID})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, next, nil // Nothing is desired of it, and the whole account need not be walked to see it.
		}
		if err != nil {
			return nil, next, mapError(fmt.Errorf("find skill: %w", err))
		}
	}
	rows, err := s.q().DesiredList(ctx, p)
	if err != nil {
		return nil, next, mapError(fmt.Errorf("list desired states: %w", err))
	}
	rows, next = page(rows, limit, func(r db.DesiredListRow) DesiredCursor {
		return DesiredCursor{Property: r.Property, Unit: r.Unit, Skill: r.Skill}
	})
	for _, r := range rows {
		items = append(items, DesiredItem{
			Account: account, UnitID: r.UnitID, Property: r.Property, SkillID: r.SkillID,
			State: fleet.DesiredStateOf(fleet.Stage(r.Stage)), Source: fleet.DesiredSource(r.Source), Actor: r.Actor,
			Rollout: r.Rollout, ChangedAt: r.ChangedAt.UTC(),
		})
	}
	return items, next, nil
}

// DesiredHistory lists what was ever desired on a unit, newest first. next is the
// cursor of the next page, zero after the last.
func (s *Store) DesiredHistory(ctx context.Context, f HistoryFilter) (items []DesiredChange, next HistoryCursor, err error) {
	units, err := s.q().UnitsByID(ctx, db.UnitsByIDParams{UnitID: f.UnitID, Account: f.Account})
	if err != nil {
		return nil, next, mapError(fmt.Errorf("find unit: %w", err))
	}
	if err := oneUnit(units, f.UnitID); err != nil {
		return nil, next, err
	}
	limit := pageLimit(f.Limit)
	p := db.DesiredHistoryOfParams{
		Unit: units[0].Unit.ID, SkillID: f.SkillID, MaxRows: int32(limit + 1), //nolint:gosec // pageLimit bounds it.
		BeforeAt: time.UnixMicro(f.Before.At), BeforeChange: f.Before.Change, BeforeSkill: f.Before.Skill,
	}
	if f.Before == (HistoryCursor{}) {
		p.BeforeAt, p.BeforeChange = endOfTime, math.MaxInt64
	}
	rows, err := s.q().DesiredHistoryOf(ctx, p)
	if err != nil {
		return nil, next, mapError(fmt.Errorf("list what was desired: %w", err))
	}
	rows, next = page(rows, limit, func(r db.DesiredHistoryOfRow) HistoryCursor {
		return HistoryCursor{At: r.ChangedAt.UnixMicro(), Change: r.ChangeID, Skill: r.Skill}
	})
	for _, r := range rows {
		items = append(items, DesiredChange{
			SkillID: r.SkillID, State: stateOf(r.Stage), ChangedAt: r.ChangedAt.UTC(), Source: fleet.DesiredSource(r.Source),
			Actor: r.Actor, Rollout: r.Rollout, Reason: r.Reason, Selector: r.Selector,
		})
	}
	return items, next, nil
}

// endOfTime is later than anything that was ever desired.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
