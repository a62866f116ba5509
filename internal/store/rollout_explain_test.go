package store_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// spy remembers the statements that the store sends, by the names sqlc gives them.
type spy struct {
	mu   sync.Mutex
	seen map[string]pgx.TraceQueryStartData // since the last look
	all  map[string]bool
}

func (s *spy) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := ""
	if rest, ok := strings.CutPrefix(q.SQL, "-- name: "); ok {
		name, _, _ = strings.Cut(rest, " ")
	} else if strings.Contains(q.SQL, "recorded AS") {
		name = "TargetRecord"
	}
	if strings.HasPrefix(name, "Target") || strings.HasPrefix(name, "RolloutOverlaps") {
		s.seen[name] = q
	}
	return ctx
}

func (s *spy) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take returns what was seen, and forgets it.
func (s *spy) take() map[string]pgx.TraceQueryStartData {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	for name := range seen {
		s.all[name] = true
	}
	s.seen = map[string]pgx.TraceQueryStartData{}
	return seen
}

// walks is the index that a statement must use, where any other would be the whole
// of a rollout.
var walks = map[string]string{
	"TargetDue": "targets_due_idx", "TargetListOdd": "targets_odd_idx", "TargetListOpen": "targets_due_idx", "TargetRetry": "targets_odd_idx",
}

// No statement of a running rollout walks the table of targets, or a whole rollout:
// the cost per target does not grow with the fleet, or with past rollouts
// (promise 12). On a table just loaded and on one that was analyzed.
func TestNoStatementWalksAllTargets(t *testing.T) {
	t.Parallel()
	y := newYard(t, 0)
	y.set(t, `INSERT INTO units (account_id, unit_id, property)
		SELECT id, 'u' || n, 'p' || n % 100 FROM accounts, generate_series(1, 100000) AS n`)
	y.set(t, "ANALYZE units")
	few := func(skill string) func(*store.RolloutParams) {
		return func(p *store.RolloutParams) {
			p.SkillID, p.Selector = skill, "property in (p1,p2,p3,p4,p5,p6,p7,p8,p9,p10)"
		}
	}
	work := y.create(t, few("work"))
	y.flood(t, work.ID, 100_000)
	watch := &spy{seen: map[string]pgx.TraceQueryStartData{}, all: map[string]bool{}}
	conf := y.pool.Config()
	conf.ConnConfig.Tracer = watch
	conf.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan" // as fleetd has it
	pool, err := pgxpool.NewWithConfig(t.Context(), conf)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	plain := y.Store
	y.Store = store.New(pool, testKeys(t, 1))

	for _, stage := range []string{"as loaded", "analyzed"} {
		if stage == "analyzed" {
			y.set(t, "ANALYZE targets")
		}
		watch.take()
		y.tick(t, work.ID, 10)
		y.tick(t, work.ID, 20)
		claimed := y.claim(t)
		require.Len(t, claimed, 20)
		var records []store.TargetRecord
		for i, c := range claimed {
			switch {
			case i < 5:
				records = append(records, ended(c, fleet.TargetFailed, fleet.ReasonForbidden))
			case i < 10:
				r := ended(c, fleet.TargetVerifying, "")
				r.NextAt, r.VerifyBy = time.Now(), time.Now()
				records = append(records, r)
			default:
				records = append(records, succeed(c))
			}
		}
		y.record(t, records...)
		_, err := y.DueTargets(t.Context(), 100, y.enqueue)
		require.NoError(t, err)
		_, err = y.AdoptOrphans(t.Context())
		require.NoError(t, err)
		for _, state := range fleet.TargetStates() {
			if stage == "as loaded" && state == fleet.TargetSucceeded { // most are: no index lists them
				continue
			}
			y.targets(t, work.ID, store.TargetFilter{State: state, Limit: 100})
			y.explain(t, watch, stage, "list "+string(state))
		}
		y.targets(t, work.ID, store.TargetFilter{Limit: 100})
		y.pause(t, work.ID)
		y.resume(t, work.ID)
		_, err = y.RetryRollout(t.Context(), work.ID, store.RetryParams{Actor: y.by})
		require.NoError(t, err)
		y.explain(t, watch, stage, "work")
		seen := watch.all
		for _, name := range []string{"TargetPick", "TargetQueue", "TargetClaim", "TargetRecord", "TargetDue", "TargetOutstanding", "TargetRecall", "TargetRetry", "TargetList", "TargetListOdd", "TargetListOpen", "TargetFirstOpen"} {
			require.Contains(t, seen, name)
		}
		require.NoError(t, second(plain.Rollout(t.Context(), work.ID)))
	}

	// A retry of an ended rollout, the end of a long one, and homes by time zone.
	old := y.create(t, few("old"))
	y.set(t, "UPDATE targets SET state = 'failed', odd = 'failed' WHERE rollout_id = $1", y.row(t, old.ID))
	y.set(t, "UPDATE rollouts SET n_failed = targets, n_pending = 0, state = 'completed_with_failures', ended_at = now() WHERE key = $1", old.ID)
	_, err = y.RetryRollout(t.Context(), old.ID, store.RetryParams{Actor: y.by})
	require.NoError(t, err)
	y.cancel(t, old.ID)
	night := y.create(t, few("night"), func(p *store.RolloutParams) { p.Window = windowAt(0) })
	y.tick(t, night.ID, 20)
	y.explain(t, watch, "later", "rare")
	for _, name := range []string{"RolloutOverlaps", "TargetFailedUnits", "TargetCancel", "TargetPickInZones"} {
		require.Contains(t, watch.all, name)
	}
}

// flood makes the targets of past rollouts, all ended, and most of this one's.
func (y *yard) flood(t *testing.T, key string, n int) {
	t.Helper()
	y.set(t, fmt.Sprintf(`
		WITH past AS (
			INSERT INTO rollouts (key, account_id, action, skill_id, stage, state, selector, targets, wave_ends, max_failures,
				verify_timeout_ms, price_requests, price_minutes, created_by, n_succeeded, ended_at)
			SELECT 'ro-past', account_id, action, skill_id, stage, 'succeeded', selector, %[1]d, '{%[1]d}', 0, 1, 1, 1, 'x', %[1]d, now()
			FROM rollouts WHERE key = $1
			RETURNING id
		)
		INSERT INTO targets (rollout_id, seq, unit_id, state, ended_at)
		SELECT past.id, units.id, units.id, 'succeeded', now() FROM past, units`, n), key)
	y.set(t, "UPDATE targets SET state = 'succeeded' WHERE rollout_id = $1 AND seq <= 8000", y.row(t, key))
	y.set(t, "UPDATE rollouts SET n_succeeded = 8000, n_pending = n_pending - 8000, next_seq = 8001, open_from = 8001, open_to = 8001 WHERE key = $1", key)
}

// onLedger are the statements that claims and records send.
var onLedger = []string{"TargetClaim", "TargetRecord", "TargetSights"}

// explain looks at the plan of every statement that was sent.
func (y *yard) explain(t *testing.T, watch *spy, stage, doing string) {
	t.Helper()
	for name, q := range watch.take() {
		var plan string
		if slices.Contains(onLedger, name) {
			plan = y.kept(t, q)
			require.NotContains(t, plan, "Seq Scan on units", "%s, %s, %s:\n%s", stage, doing, name, plan)
		} else {
			plan = y.plan(t, y.pool, "EXPLAIN "+q.SQL, q.Args...)
		}
		require.NotContains(t, plan, "Seq Scan on targets", "%s, %s, %s:\n%s", stage, doing, name, plan)
		require.Contains(t, plan, walks[name], "%s, %s, %s:\n%s", stage, doing, name, plan)
	}
}

func (y *yard) plan(t *testing.T, db interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, sql string, args ...any,
) string {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// kept is the plan that a connection of the ledger makes once and keeps.
func (y *yard) kept(t *testing.T, q pgx.TraceQueryStartData) string {
	t.Helper()
	conf := y.pool.Config().ConnConfig
	maps.Copy(conf.RuntimeParams, store.LedgerSettings())
	conn, err := pgx.ConnectConfig(t.Context(), conf)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	_, err = conn.Exec(t.Context(), "PREPARE kept AS "+q.SQL)
	require.NoError(t, err)
	return y.plan(t, conn, "EXPLAIN EXECUTE kept ("+strings.TrimSuffix(strings.Repeat("NULL, ", len(q.Args)), ", ")+")", pgx.QueryExecModeSimpleProtocol)
}

// Claims and records run on connections of their own, whose plans are made once and kept,
// and nothing else does.
func TestClaimsAndRecordsKeepTheirPlans(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	pools := map[string]*pgxpool.Pool{}
	spies := map[string]*spy{}
	for name, settings := range map[string]map[string]string{"plain": {"plan_cache_mode": "force_custom_plan"}, "ledger": store.LedgerSettings()} {
		spies[name] = &spy{seen: map[string]pgx.TraceQueryStartData{}, all: map[string]bool{}}
		conf := y.pool.Config()
		maps.Copy(conf.ConnConfig.RuntimeParams, settings)
		conf.ConnConfig.Tracer, conf.MaxConns = spies[name], 1
		pool, err := pgxpool.NewWithConfig(t.Context(), conf)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		pools[name] = pool
	}
	y.Store = store.New(pools["plain"], testKeys(t, 1)).WithLedger(pools["ledger"])
	r := y.create(t)
	for range 3 {
		y.tick(t, r.ID, 5)
		for _, c := range y.claim(t) {
			y.record(t, succeed(c))
		}
	}
	for name, want := range map[string]bool{"plain": false, "ledger": true} {
		spies[name].take()
		for _, statement := range onLedger {
			require.Equal(t, want, spies[name].all[statement], "%s on %s", statement, name)
		}
	}
	require.NotContains(t, spies["ledger"].all, "TargetPick")

	var kept, made int
	err := pools["ledger"].QueryRow(t.Context(), "SELECT count(*) FILTER (WHERE generic_plans > 1), sum(custom_plans) FROM pg_prepared_statements").Scan(&kept, &made)
	require.NoError(t, err)
	require.GreaterOrEqual(t, kept, len(onLedger))
	require.Zero(t, made, "none is made anew")
	for _, off := range []string{"enable_nestloop", "enable_seqscan"} {
		var value string
		require.NoError(t, pools["ledger"].QueryRow(t.Context(), "SELECT current_setting($1)", off).Scan(&value))
		require.Equal(t, "off", value)
	}
}
