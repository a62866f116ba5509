package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// exportPage is how many units one query of an export reads: no snapshot stays
// open while a slow reader reads.
const exportPage = 5000

// ListUnits lists the units of an account that are not removed, by property. next
// is the cursor of the next page, zero after the last.
func (s *Store) ListUnits(ctx context.Context, account string, f UnitFilter) (units []Unit, next UnitCursor, err error) {
	sel, err := parseSelector(f.Selector)
	if err != nil {
		return nil, next, err
	}
	id, err := accountID(ctx, s.pool, account)
	if err != nil {
		return nil, next, mapError(err)
	}
	return s.unitPage(ctx, account, id, sel, f.After, pageLimit(f.Limit))
}

// ExportUnits calls each with every unit that a selector picks, by property. Units
// that change meanwhile are seen as they were or as they are, each at most once.
func (s *Store) ExportUnits(ctx context.Context, account, selector string, each func(Unit) error) error {
	sel, err := parseSelector(selector)
	if err != nil {
		return err
	}
	id, err := accountID(ctx, s.pool, account)
	if err != nil {
		return mapError(err)
	}
	var after UnitCursor
	for {
		units, next, err := s.unitPage(ctx, account, id, sel, after, exportPage)
		if err != nil {
			return err
		}
		for _, u := range units {
			if err := each(u); err != nil {
				return err
			}
		}
		if next == (UnitCursor{}) {
			return nil
		}
		after = next
	}
}

// parseSelector reads a selector; empty picks all.
func parseSelector(text string) (fleet.Selector, error) {
	if strings.TrimSpace(text) == "" {
		return fleet.Selector{}, nil
	}
	return fleet.ParseSelector(text)
}

// unitPage reads one page in the order of units_property_idx, which serves any
// page of any size of account in the same time unless the selector is rare.
func (s *Store) unitPage(ctx context.Context, account string, id int64, sel fleet.Selector, after UnitCursor, limit int) ([]Unit, UnitCursor, error) {
	args := []any{id, after.Property, after.ID, limit + 1}
	where, args := selectorSQL(sel, args)
	rows, err := s.pool.Query(ctx, `
		SELECT u.id, u.unit_id, u.property, u.name, u.occupancy, u.labels, u.created_at, u.updated_at
		FROM units AS u
		WHERE u.account_id = $1
			AND u.removed_at IS NULL
			AND (u.property, u.id) > ($2::text, $3::bigint)
			AND `+where+`
		ORDER BY u.property, u.id
		LIMIT $4`, args...)
	if err != nil {
		return nil, UnitCursor{}, mapError(fmt.Errorf("list units: %w", err))
	}
	type place struct {
		Unit

		id int64
	}
	places, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (place, error) {
		p := place{Unit: Unit{Account: account}}
		err := row.Scan(&p.id, &p.UnitID, &p.Property, &p.Name, &p.Occupancy, &p.Labels, &p.CreatedAt, &p.UpdatedAt)
		p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
		return p, err
	})
	if err != nil {
		return nil, UnitCursor{}, mapError(fmt.Errorf("list units: %w", err))
	}
	places, next := page(places, limit, func(p place) UnitCursor { return UnitCursor{Property: p.Property, ID: p.id} })
	units := make([]Unit, len(places))
	for i, p := range places {
		units[i] = p.Unit
	}
	return units, next, nil
}

// Unit finds a unit by its ID, what should be and what was seen on it, and its latest
// rollouts. Unit
// IDs are not unique across accounts: when several have one of this ID, account
// must say whose is meant.
func (s *Store) Unit(ctx context.Context, unitID, account string) (UnitDetail, error) {
	var detail UnitDetail
	err := s.inSnapshot(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		rows, err := q.UnitsByID(ctx, db.UnitsByIDParams{UnitID: unitID, Account: account})
		if err != nil {
			return fmt.Errorf("find unit: %w", err)
		}
		if err := oneUnit(rows, unitID); err != nil {
			return err
		}
		u := rows[0].Unit
		detail.Unit = Unit{
			Account: rows[0].Account, UnitID: u.UnitID, Property: u.Property, Name: u.Name, Occupancy: fleet.Occupancy(u.Occupancy),
			Labels: map[string]string{}, CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(), RemovedAt: utc(u.RemovedAt),
		}
		if err := decodeLabels(u.Labels, &detail.Labels); err != nil {
			return err
		}
		return readUnitHistory(ctx, q, u.ID, &detail)
	})
	if err != nil {
		return UnitDetail{}, err
	}
	return detail, nil
}

func oneUnit(rows []db.UnitsByIDRow, unitID string) error {
	switch len(rows) {
	case 0:
		return &fleet.Error{
			Code: fleet.CodeNotFound, Field: "unit_id",
			Message: fmt.Sprintf("there is no unit %.255q; `fleetctl unit list` shows an account's units", unitID),
		}
	case 1:
		return nil
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Account
	}
	return fleet.Conflictf("several accounts have a unit of this ID (%s); say which with account=NAME", strings.Join(names, ", "))
}

func readUnitHistory(ctx context.Context, q *db.Queries, unit int64, detail *UnitDetail) error {
	wanted, err := q.UnitDesired(ctx, unit)
	if err != nil {
		return fmt.Errorf("read what is desired on the unit: %w", err)
	}
	detail.Desired = make([]UnitDesired, len(wanted))
	for i, d := range wanted {
		detail.Desired[i] = UnitDesired{
			SkillID: d.SkillID, State: fleet.DesiredStateOf(fleet.Stage(d.Stage)), Source: fleet.DesiredSource(d.Source),
			Actor: d.Actor, Rollout: d.Rollout, ChangedAt: d.ChangedAt.UTC(),
		}
	}
	seen, err := q.UnitObserved(ctx, unit)
	if err != nil {
		return fmt.Errorf("read what was seen on the unit: %w", err)
	}
	detail.Observed = make([]UnitSkill, len(seen))
	for i, o := range seen {
		detail.Observed[i] = UnitSkill{
			SkillID: o.SkillID, Status: fleet.Status(o.Status), Stage: fleet.Stage(o.Stage), AccountLink: fleet.LinkStatus(o.AccountLink),
			ObservedAt: o.ObservedAt.UTC(), ChangedAt: o.ChangedAt.UTC(),
		}
	}
	rollouts, err := q.UnitRollouts(ctx, unit)
	if err != nil {
		return fmt.Errorf("read the rollouts of the unit: %w", err)
	}
	detail.Rollouts = make([]UnitRollout, len(rollouts))
	for i, r := range rollouts {
		detail.Rollouts[i] = UnitRollout{
			ID: r.Key, Action: fleet.Action(r.Action), SkillID: r.SkillID, Stage: fleet.Stage(r.Stage),
			State: r.State, Reason: fleet.Reason(r.Reason), EndedAt: utc(r.EndedAt),
		}
	}
	return nil
}
