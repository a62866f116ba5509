package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fleetd/internal/fleet"
	"fleetd/internal/ratelimit"
	"fleetd/internal/store/db"
)

// BudgetRow is the row of one budget, for the limiter.
type BudgetRow struct {
	pool      *pgxpool.Pool
	accountID int64
	kind      string
}

// BudgetRow returns the budget of an account's credential. Its updates run on a pool
// of their own, whose commits need not wait for the disk: a crash of Postgres
// itself may forget a few hundred milliseconds of slots, nothing else.
func (s *Store) BudgetRow(pool *pgxpool.Pool, accountID int64, kind string) *BudgetRow {
	return &BudgetRow{pool: pool, accountID: accountID, kind: kind}
}

// Update locks the row, hands it to change with the time of the database, and
// writes it back where it changed.
func (b *BudgetRow) Update(ctx context.Context, change func(row *ratelimit.Row, now time.Time)) (ratelimit.Row, time.Time, error) {
	var row ratelimit.Row
	var now time.Time
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		q := db.New(tx)
		got, err := q.BudgetLock(ctx, db.BudgetLockParams{AccountID: b.accountID, Kind: b.kind})
		if errors.Is(err, pgx.ErrNoRows) {
			return &fleet.Error{Code: fleet.CodeNotFound, Message: "the account is gone", Err: err}
		}
		if err != nil {
			return fmt.Errorf("lock budget: %w", err)
		}
		if now, err = q.BudgetNow(ctx); err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		if row, err = decodeBudget(got); err != nil {
			return err
		}
		was := row
		if change(&row, now); row == was {
			return nil
		}
		return b.save(ctx, q, was, row)
	})
	return row, now, mapError(err)
}

func decodeBudget(b db.Budget) (ratelimit.Row, error) {
	row := ratelimit.Row{
		RateLimit: b.RateLimit, Burst: int(b.Burst), Rate: b.Rate, TAT: b.Tat,
		BlockedUntil: b.BlockedUntil, BlockedAt: b.BlockedAt, Refusals: int(b.Refusals),
	}
	if err := json.Unmarshal(b.Learnt, &row.Learnt); err != nil {
		return row, fmt.Errorf("decode what the budget learnt: %w", err)
	}
	return row, nil
}

func (b *BudgetRow) save(ctx context.Context, q *db.Queries, was, row ratelimit.Row) error {
	learnt, err := json.Marshal(row.Learnt)
	if err != nil {
		return fmt.Errorf("encode what the budget learnt: %w", err)
	}
	err = q.BudgetSave(ctx, db.BudgetSaveParams{
		AccountID: b.accountID, Kind: b.kind, Rate: row.Rate, Tat: row.TAT, BlockedUntil: row.BlockedUntil,
		BlockedAt: row.BlockedAt, Refusals: int32(row.Refusals), Learnt: learnt, //nolint:gosec // Refusals in a row are few.
	})
	if err != nil {
		return fmt.Errorf("save budget: %w", err)
	}
	if !row.BlockedUntil.After(was.BlockedUntil) {
		return nil
	}
	// The other processes stop too.
	if err := q.BudgetNotify(ctx, db.BudgetNotifyParams{AccountID: b.accountID, Kind: b.kind}); err != nil {
		return fmt.Errorf("tell of the block: %w", err)
	}
	return nil
}
