package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/inventory"
)

// stageBatch is how many rows one COPY carries. Between two of them no statement
// runs and no snapshot is open, however slowly the file comes.
const stageBatch = 10_000

// stagedColumns are the columns of the temporary table that a file is read into.
var stagedColumns = []string{"line", "unit_id", "property", "name", "occupancy", "labels"}

// unitImport is one import on its way: a connection of its own, whose end also ends
// its lock and its temporary table.
type unitImport struct {
	store     *Store
	conn      *pgx.Conn
	accountID int64
	params    ImportParams
	by        fleet.Actor
	once      Idempotency
	hash      hash.Hash // of the call and the file; nil without a key
	rows      *inventory.Reader
	result    ImportResult
}

// ImportUnits makes an account's units those of a CSV file (see package inventory):
// new ones are added, known ones changed, removed ones restored and, with
// params.Prune, those the file does not name removed. It is all or nothing, and one
// import of an account runs at a time. Memory does not grow with the file.
//
// A repeated call with the same key and file returns the first result, and true. A
// dry run keeps no key.
func (s *Store) ImportUnits(ctx context.Context, account string, csv io.Reader, p ImportParams, by fleet.Actor, once Idempotency) (result ImportResult, again bool, err error) {
	id, err := accountID(ctx, s.pool, account)
	if err != nil {
		return result, false, mapError(err)
	}
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig.Copy())
	if err != nil {
		return result, false, mapError(fmt.Errorf("import units: %w", err))
	}
	defer closeImport(ctx, conn)
	if p.DryRun {
		once = Idempotency{}
	}
	imp := &unitImport{
		store: s, conn: conn, accountID: id, params: p, by: by, once: once,
		result: ImportResult{Account: account, DryRun: p.DryRun},
	}
	if once.Key != "" {
		imp.hash = sha256.New()
		_, _ = imp.hash.Write(once.Hash) // A hash takes everything.
		csv = io.TeeReader(csv, imp.hash)
	}
	imp.rows = inventory.NewReader(csv)
	if err := imp.stage(ctx); err != nil {
		return result, false, mapError(fmt.Errorf("import units: %w", err))
	}
	again, err = imp.merge(ctx)
	if err != nil {
		return result, false, mapError(fmt.Errorf("import units: %w", err))
	}
	return imp.result, again, nil
}

// closeImport ends the import's lock and its connection. The lock goes first: the
// server notices a closed connection only after a while, and the next import would
// be refused meanwhile.
func closeImport(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, "SELECT pg_advisory_unlock_all()") // Closing does the same, later.
	_ = conn.Close(ctx)
}

const closeTimeout = 5 * time.Second

// stage reads the whole file into a temporary table. Once a row is bad the rest is
// read only to find what else is.
func (imp *unitImport) stage(ctx context.Context) error {
	if err := imp.lock(ctx); err != nil {
		return err
	}
	_, err := imp.conn.Exec(ctx, `
		CREATE TEMPORARY TABLE staged (
			line integer NOT NULL, unit_id text NOT NULL, property text NOT NULL,
			name text NOT NULL, occupancy text NOT NULL, labels jsonb NOT NULL
		)`)
	if err != nil {
		return fmt.Errorf("make the staging table: %w", err)
	}
	batch := make([][]any, 0, stageBatch)
	for {
		row, err := imp.rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return readError(ctx, err)
		}
		imp.result.Rows++
		if imp.rows.Errors().Total() > 0 {
			continue
		}
		labels, err := encodeLabels(row.Labels)
		if err != nil {
			return err
		}
		batch = append(batch, []any{row.Line, row.UnitID, row.Property, row.Name, string(row.Occupancy), labels})
		if len(batch) == stageBatch {
			if err := imp.copy(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := imp.copy(ctx, batch); err != nil {
		return err
	}
	if _, err := imp.conn.Exec(ctx, "ANALYZE staged"); err != nil {
		return fmt.Errorf("analyze the staging table: %w", err)
	}
	return imp.refuseDoubled(ctx)
}

func (imp *unitImport) copy(ctx context.Context, batch [][]any) error {
	_, err := imp.conn.CopyFrom(ctx, pgx.Identifier{"staged"}, stagedColumns, pgx.CopyFromRows(batch))
	if err != nil {
		return fmt.Errorf("copy rows: %w", err)
	}
	return nil
}

// lock keeps a second import of the same account out: the two would not see each
// other's units.
func (imp *unitImport) lock(ctx context.Context) error {
	var locked bool
	err := imp.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('fleetd unit import', $1))`, imp.accountID).Scan(&locked)
	if err != nil {
		return fmt.Errorf("take the import lock: %w", err)
	}
	if !locked {
		return fleet.Conflictf("another import of account %s is running; wait for it to end and send the file again", imp.result.Account)
	}
	return nil
}

// readError tells a file that is wrong from one that did not come whole.
func readError(ctx context.Context, err error) error {
	if known := new(fleet.Error); errors.As(err, &known) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("read the file: %w", cause)
	}
	return &fleet.Error{Code: fleet.CodeUnavailable, Message: "the file did not arrive whole, so nothing was changed; send it again", Err: err}
}

// doubledUnits finds every row whose unit stands on an earlier line as well.
const doubledUnits = `
WITH doubled AS (
	SELECT unit_id, min(line) AS first
	FROM staged
	GROUP BY unit_id
	HAVING count(*) > 1
)
SELECT staged.line, doubled.first, staged.unit_id
FROM staged
JOIN doubled ON doubled.unit_id = staged.unit_id AND doubled.first < staged.line
ORDER BY staged.line`

// refuseDoubled names every row whose unit stands on an earlier line as well.
func (imp *unitImport) refuseDoubled(ctx context.Context) error {
	rows, err := imp.conn.Query(ctx, doubledUnits)
	if err != nil {
		return fmt.Errorf("look for doubled units: %w", err)
	}
	bad := imp.rows.Errors()
	var line, first int
	var unitID string
	_, err = pgx.ForEachRow(rows, []any{&line, &first, &unitID}, func() error {
		bad.Add(line, imp.rows.UnitIDColumn(), "unit_id", fmt.Sprintf("the unit of this line stands on line %d already: leave one of the two out", first), unitID)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for doubled units: %w", err)
	}
	return bad.Err()
}

// errDryRun rolls a dry run back.
var errDryRun = errors.New("dry run")

// merge makes the units those of the staging table, in one transaction.
func (imp *unitImport) merge(ctx context.Context) (again bool, err error) {
	once := imp.once
	if imp.hash != nil {
		once.Hash = imp.hash.Sum(nil)
	}
	err = pgx.BeginFunc(ctx, imp.conn, func(tx pgx.Tx) error {
		kept, err := claimIdempotency(ctx, tx, imp.by, once)
		if err != nil {
			return err
		}
		if kept != "" {
			again = true
			if err := json.Unmarshal([]byte(kept), &imp.result); err != nil {
				return fmt.Errorf("decode the first result: %w", err)
			}
			return nil
		}
		for _, step := range []func(context.Context, pgx.Tx) error{
			imp.mergeUnits, imp.refuseMixedZones, imp.mergeProperties, imp.analyze, imp.carryDrift,
		} {
			if err := step(ctx, tx); err != nil {
				return err
			}
		}
		if imp.params.DryRun {
			return errDryRun
		}
		return imp.record(ctx, tx, once)
	})
	if errors.Is(err, errDryRun) {
		return false, nil
	}
	return again, err
}

// record writes the import into the log and its result behind its key.
func (imp *unitImport) record(ctx context.Context, tx pgx.Tx, once Idempotency) error {
	r := imp.result
	err := addLog(ctx, tx, logEntry{
		Actor: imp.by, Action: "unit.import", Object: "account/" + r.Account, Reason: imp.params.Reason,
		Detail: map[string]any{
			"rows": r.Rows, "added": r.Added, "changed": r.Changed, "unchanged": r.Unchanged,
			"restored": r.Restored, "removed": r.Removed, "prune": imp.params.Prune,
		},
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	return keepIdempotency(ctx, tx, imp.by, once, string(text))
}
