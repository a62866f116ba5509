package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// mergeUnits adds, changes, restores and prunes. The import lock keeps other
// imports out, and nothing else adds units, so looking before writing is safe; it is
// also far cheaper than ON CONFLICT, which locks every row it leaves as it is.
func (imp *unitImport) mergeUnits(ctx context.Context, tx pgx.Tx) error {
	// Two hash joins over a million IDs are what this memory is for.
	if _, err := tx.Exec(ctx, "SET LOCAL work_mem = '64MB'"); err != nil {
		return fmt.Errorf("set up the merge: %w", err)
	}
	r := &imp.result
	live, err := imp.liveBefore(ctx, tx)
	if err != nil {
		return err
	}
	err = tx.QueryRow(ctx, `
		WITH old AS (
			SELECT u.id, u.removed_at IS NOT NULL AS was_removed, s.property, s.name, s.occupancy, s.labels
			FROM staged AS s
			JOIN units AS u ON u.account_id = $1 AND u.unit_id = s.unit_id
			WHERE u.removed_at IS NOT NULL
				OR (u.property, u.name, u.occupancy, u.labels) IS DISTINCT FROM (s.property, s.name, s.occupancy, s.labels)
		), done AS (
			UPDATE units
			SET
				property = old.property,
				name = old.name,
				occupancy = old.occupancy,
				labels = old.labels,
				updated_at = now(),
				removed_at = NULL
			FROM old
			WHERE units.id = old.id
			RETURNING old.was_removed
		)
		SELECT count(*) FILTER (WHERE was_removed), count(*) FILTER (WHERE NOT was_removed)
		FROM done`, imp.accountID).Scan(&r.Restored, &r.Changed)
	if err != nil {
		return fmt.Errorf("change units: %w", err)
	}
	// The order of lines becomes the order of IDs, which is the order rollouts go in.
	added, err := tx.Exec(ctx, `
		INSERT INTO units (account_id, unit_id, property, name, occupancy, labels)
		SELECT $1, s.unit_id, s.property, s.name, s.occupancy, s.labels
		FROM staged AS s
		WHERE NOT EXISTS (SELECT 1 FROM units AS u WHERE u.account_id = $1 AND u.unit_id = s.unit_id)
		ORDER BY s.line`, imp.accountID)
	if err != nil {
		return fmt.Errorf("add units: %w", err)
	}
	r.Added = int(added.RowsAffected())
	r.Unchanged = r.Rows - r.Added - r.Changed - r.Restored
	if imp.params.Prune {
		return imp.prune(ctx, tx, live)
	}
	return nil
}

// carryDrift keeps the open findings of the account as its units are now: they name
// the property that the unit is in, and a unit that is no longer there has none. From
// here to the end no audit opens one, so it comes last.
func (imp *unitImport) carryDrift(ctx context.Context, tx pgx.Tx) error {
	q := db.New(tx)
	if imp.result.Changed+imp.result.Restored+imp.result.Removed > 0 {
		if err := q.DriftLock(ctx, imp.accountID); err != nil {
			return fmt.Errorf("lock findings: %w", err)
		}
	}
	if imp.result.Changed+imp.result.Restored > 0 {
		if err := q.DriftCarryProperties(ctx, imp.accountID); err != nil {
			return fmt.Errorf("carry properties to findings: %w", err)
		}
	}
	if imp.result.Removed > 0 {
		if err := q.DriftResolveRemoved(ctx, imp.accountID); err != nil {
			return fmt.Errorf("resolve findings of removed units: %w", err)
		}
	}
	return nil
}

// liveBefore counts the units there were, for prune.
func (imp *unitImport) liveBefore(ctx context.Context, tx pgx.Tx) (live int, err error) {
	if !imp.params.Prune {
		return 0, nil
	}
	err = tx.QueryRow(ctx, `SELECT count(*) FROM units WHERE account_id = $1 AND removed_at IS NULL`, imp.accountID).Scan(&live)
	if err != nil {
		return 0, fmt.Errorf("count units: %w", err)
	}
	return live, nil
}

// prune removes the units that the file does not name, but never all there were:
// that is the file of another account far more often than an emptied one.
func (imp *unitImport) prune(ctx context.Context, tx pgx.Tx, live int) error {
	removed, err := tx.Exec(ctx, `
		UPDATE units AS u
		SET
			removed_at = now(),
			updated_at = now()
		WHERE u.account_id = $1
			AND u.removed_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM staged AS s WHERE s.unit_id = u.unit_id)`, imp.accountID)
	if err != nil {
		return fmt.Errorf("prune units: %w", err)
	}
	imp.result.Removed = int(removed.RowsAffected())
	if live > 0 && imp.result.Removed == live {
		return fleet.Conflictf("the file names none of the %d units that account %s has, and pruning would remove them all; look whether it is "+
			"the right file, and if it is, import it without prune first and with prune after that", live, imp.result.Account)
	}
	return nil
}

// refuseMixedZones keeps a property from having two time zones: its window opens
// once, not twice.
func (imp *unitImport) refuseMixedZones(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		SELECT u.property, min(u.labels ->> 'timezone'), max(u.labels ->> 'timezone')
		FROM units AS u
		WHERE u.account_id = $1
			AND u.removed_at IS NULL
			AND u.labels ? 'timezone'
		GROUP BY u.property
		HAVING min(u.labels ->> 'timezone') <> max(u.labels ->> 'timezone')
		ORDER BY u.property
		LIMIT 100`, imp.accountID)
	if err != nil {
		return fmt.Errorf("look for mixed time zones: %w", err)
	}
	type mixed struct{ property, one, other string }
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m mixed, err error) {
		err = row.Scan(&m.property, &m.one, &m.other)
		return m, err
	})
	if err != nil {
		return fmt.Errorf("look for mixed time zones: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	bad := fleet.Invalidf("timezone", "a property has one time zone, and %d would have two; give all units of a property the same label timezone", len(found))
	for _, m := range found {
		one, err := imp.where(ctx, tx, m.property, m.one)
		if err != nil {
			return err
		}
		other, err := imp.where(ctx, tx, m.property, m.other)
		if err != nil {
			return err
		}
		bad.Details = append(bad.Details, fleet.Detail{
			Location: one, Value: m.property,
			Message: fmt.Sprintf("the property %q has the time zone %s here and %s on %s", m.property, m.one, m.other, other),
		})
	}
	return bad
}

// where names a place that gives a property a time zone: a line of the file, or a
// unit that was there before.
func (imp *unitImport) where(ctx context.Context, tx pgx.Tx, property, zone string) (string, error) {
	var line int
	err := tx.QueryRow(ctx, `
		SELECT line
		FROM staged
		WHERE property = $1 AND labels ->> 'timezone' = $2
		ORDER BY line
		LIMIT 1`, property, zone).Scan(&line)
	if err == nil {
		return fmt.Sprintf("line %d", line), nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("find a time zone: %w", err)
	}
	var unitID string
	err = tx.QueryRow(ctx, `
		SELECT unit_id
		FROM units
		WHERE account_id = $1 AND property = $2 AND removed_at IS NULL AND labels ->> 'timezone' = $3
		ORDER BY id
		LIMIT 1`, imp.accountID, property, zone).Scan(&unitID)
	if err != nil {
		return "", fmt.Errorf("find a time zone: %w", err)
	}
	return "unit " + unitID + " (not in the file)", nil
}

// mergeProperties keeps the time zone of each property beside its units.
func (imp *unitImport) mergeProperties(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO properties (account_id, name, timezone)
		SELECT $1, u.property, coalesce(max(u.labels ->> 'timezone'), '')
		FROM units AS u
		WHERE u.account_id = $1 AND u.removed_at IS NULL
		GROUP BY u.property
		ON CONFLICT (account_id, name) DO UPDATE
		SET timezone = excluded.timezone
		WHERE properties.timezone <> excluded.timezone`, imp.accountID)
	if err != nil {
		return fmt.Errorf("merge properties: %w", err)
	}
	return nil
}

// analyzeFrom is how many new or changed rows make the planner's idea of a table too
// old to plan a rollout with; autovacuum would come a minute late.
const analyzeFrom = 1000

func (imp *unitImport) analyze(ctx context.Context, tx pgx.Tx) error {
	r := imp.result
	if imp.params.DryRun || r.Added+r.Changed+r.Restored+r.Removed < analyzeFrom {
		return nil
	}
	if _, err := tx.Exec(ctx, "ANALYZE units, properties"); err != nil {
		return fmt.Errorf("analyze units: %w", err)
	}
	return nil
}
