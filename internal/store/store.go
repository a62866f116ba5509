package store

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// DefaultLimit and MaxLimit bound how many items one page of a list holds.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Store is the database, seen as what fleetd does with it. It is safe for
// concurrent use and holds no state of its own.
type Store struct {
	pool   *pgxpool.Pool
	ledger *pgxpool.Pool
	keys   *Keys
}

// New makes a store over a pool. keys seals the secrets of accounts and may be
// nil where none is touched (fleetd token create).
func New(pool *pgxpool.Pool, keys *Keys) *Store {
	return &Store{pool: pool, ledger: pool, keys: keys}
}

// LedgerSettings are the settings of the connections of WithLedger's pool. Their
// planner does without nested loops and walks: with statistics that are behind, and
// they always are behind a running rollout, it took a group of hundreds for a single
// row and compared every claim with every target under way. What is left to it is the
// same plan for a table of any size, so that it is made once and kept: to make it anew
// cost a sixth of what the ledger costs.
func LedgerSettings() map[string]string {
	return map[string]string{"plan_cache_mode": "force_generic_plan", "enable_nestloop": "off", "enable_seqscan": "off"}
}

// WithLedger makes claims and records run on a pool of their own, whose connections
// have LedgerSettings. It returns s.
func (s *Store) WithLedger(pool *pgxpool.Pool) *Store {
	s.ledger = pool
	return s
}

// Pool is the pool the store stands on, for River and for metrics.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// querier is what a pool, a connection and a transaction have in common.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return mapError(fmt.Errorf("ping the database: %w", err))
	}
	return nil
}

// inTx runs f in one read-committed transaction and commits when f returned no
// error. Errors of Postgres come back mapped: see mapError.
func (s *Store) inTx(ctx context.Context, f func(tx pgx.Tx) error) error {
	return mapError(pgx.BeginFunc(ctx, s.pool, f))
}

// inSnapshot runs f in a read-only transaction in which every query sees the
// same moment. Keep it short: an open snapshot holds back vacuum for everybody.
func (s *Store) inSnapshot(ctx context.Context, f func(tx pgx.Tx) error) error {
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return mapError(pgx.BeginTxFunc(ctx, s.pool, opts, f))
}

// constraintMessages turns the name of a broken constraint into what a person is
// told. The schema is the last validator; most mistakes are caught before it.
var constraintMessages = map[string]fleet.Error{
	"accounts_name_key": {
		Code: fleet.CodeConflict, Field: "name", Message: "an account of this name exists already; choose another name or change it with `fleetctl account set`",
	},
	"accounts_name_check": {
		Code: fleet.CodeInvalid, Field: "name", Message: accountNameRule,
	},
	"accounts_link_mode_check": {
		Code: fleet.CodeInvalid, Field: "link_mode", Message: "the link mode must be none, delegated or codes",
	},
	"credentials_kind_check": {
		Code: fleet.CodeInvalid, Field: "kind", Message: "the kind of a credential must be enterprise, developer or customer",
	},
	"credentials_vendor_id_check": {
		Code: fleet.CodeInvalid, Field: "vendor_id", Message: "a developer credential needs a vendor ID, and no other has one",
	},
	"budgets_rate_limit_check": {
		Code: fleet.CodeInvalid, Field: "rate", Message: "the rate must be auto or a number above 0",
	},
	"budgets_rate_check": {
		Code: fleet.CodeInvalid, Field: "rate", Message: "the rate must be auto or a number above 0",
	},
	"budgets_burst_check": {
		Code: fleet.CodeInvalid, Field: "burst", Message: "the burst must be 1 or more",
	},
	"tokens_live_name_key": {
		Code: fleet.CodeConflict, Field: "name", Message: "a token of this name is in use; choose another name or revoke that one first",
	},
	"tokens_name_check": {
		Code: fleet.CodeInvalid, Field: "name", Message: "a token needs a name",
	},
	"tokens_role_check": {
		Code: fleet.CodeInvalid, Field: "role", Message: "the role must be viewer, operator or admin",
	},
	"units_occupancy_check": {
		Code: fleet.CodeInvalid, Field: "occupancy", Message: "the occupancy must be vacant, occupied or linked",
	},
	"units_unit_id_key": {
		Code: fleet.CodeConflict, Field: "unit_id", Message: "the account has a unit of this ID already",
	},
	"rollouts_action_check": {
		Code: fleet.CodeInvalid, Field: "action", Message: "the action must be enable or disable",
	},
	"rollouts_stage_check": {
		Code: fleet.CodeInvalid, Field: "stage", Message: "the stage must be development, certification or live",
	},
	"rollouts_targets_check": {
		Code: fleet.CodeInvalid, Field: "selector", Message: "the selector matches no unit; nothing was created",
	},
	"rollouts_weight_check": {
		Code: fleet.CodeInvalid, Field: "weight", Message: "the weight must be 1 or more",
	},
}

// mapError turns what Postgres said into a *fleet.Error where a person can do
// something about it: a broken constraint by its name, and a database that cannot
// be worked with just now. Every other error passes through as it is.
func mapError(err error) error {
	if err == nil {
		return nil
	}
	if known := new(fleet.Error); errors.As(err, &known) {
		return err
	}
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
		if e, ok := constraintMessages[pgErr.ConstraintName]; ok {
			e.Err = err
			return &e
		}
		if unavailable(pgErr.Code) {
			return &fleet.Error{Code: fleet.CodeUnavailable, Message: "the database is busy or stopping; try again in a moment", Err: err}
		}
		return err
	}
	connectErr := new(pgconn.ConnectError)
	netErr := net.Error(nil)
	if errors.As(err, &connectErr) || (errors.As(err, &netErr) && !errors.Is(err, context.DeadlineExceeded)) {
		return &fleet.Error{Code: fleet.CodeUnavailable, Message: "the database does not answer; try again in a moment", Err: err}
	}
	return err
}

// unavailable reports whether a SQLSTATE passes by itself: connection exceptions,
// insufficient resources, operator intervention, deadlocks and serialization.
func unavailable(sqlState string) bool {
	switch sqlState {
	case "40001", "40P01", "55P03":
		return true
	case "57014": // query canceled: the caller went away or its time was up
		return false
	}
	if len(sqlState) < 2 {
		return false
	}
	switch sqlState[:2] {
	case "08", "53", "57":
		return true
	}
	return false
}

// pageLimit is the number of items of one page: the default for zero, never more
// than MaxLimit.
func pageLimit(limit int) int {
	if limit <= 0 {
		return DefaultLimit
	}
	return min(limit, MaxLimit)
}

// page cuts rows, of which one more than limit was asked for, to a page and tells
// the cursor that the next page starts after; zero when there is none.
func page[T, C any](rows []T, limit int, cursor func(T) C) (items []T, next C) {
	if len(rows) <= limit {
		return rows, next
	}
	rows = rows[:limit]
	return rows, cursor(rows[limit-1])
}

// accountNameRule is what a name of an account looks like.
const accountNameRule = "an account name has 1 to 63 lower-case letters, digits and hyphens, and neither starts nor ends with a hyphen"

// accountID finds an account by name. The row is not locked.
func accountID(ctx context.Context, q querier, name string) (int64, error) {
	id, err := db.New(q).AccountID(ctx, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, noAccount(name)
	}
	if err != nil {
		return 0, fmt.Errorf("find account %q: %w", name, err)
	}
	return id, nil
}

func noAccount(name string) error {
	return &fleet.Error{
		Code: fleet.CodeNotFound, Field: "account",
		Message: fmt.Sprintf("there is no account %q; `fleetctl account list` shows them all", name),
	}
}
