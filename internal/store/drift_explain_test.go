package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/store"
)

// reader remembers the last statement that was sent.
type reader struct {
	mu   sync.Mutex
	last pgx.TraceQueryStartData
}

func (r *reader) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = q
	return ctx
}

func (r *reader) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// fillDrift makes units with open findings on some, and thrice as many findings that
// are resolved. In each hundred open ones, 94 are changed outside.
func fillDrift(tb testing.TB, pool *pgxpool.Pool, units, open int) {
	tb.Helper()
	for _, sql := range []string{
		`INSERT INTO accounts (name, api_url, token_url) VALUES ('acme', 'x', 'x'), ('other', 'x', 'x')`,
		`INSERT INTO budgets (account_id, rate) SELECT id, 10 FROM accounts`,
		`INSERT INTO skills (skill_id) SELECT 'amzn1.ask.skill.' || n FROM generate_series(1, 10) AS n`,
		fmt.Sprintf(`INSERT INTO units (account_id, unit_id, property)
			SELECT 1 + (n %% 7 = 0)::int, 'amzn1.alexa.unit.did.' || lpad(n::text, 100, '0'), 'p' || n / 500 FROM generate_series(1, %d) AS n`, units),
		fmt.Sprintf(`INSERT INTO drifts (key, account_id, unit_id, property, skill_id, kind, desired_stage, status, first_seen_at, cause, opened_by, resolved_at)
			SELECT 'dr-' || n || '-' || r, account_id, id, property, 1 + n %% 10, CASE WHEN n %% 50 = 0 THEN 'not_linked' ELSE 'missing' END, 'live', 'ABSENT',
				now() - n * interval '1 second', CASE WHEN n %% 100 < 94 THEN 'changed_outside' ELSE 'write_failed' END, 1,
				CASE WHEN r < 3 THEN now() END
			FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM units WHERE id %% %d = 0) AS u, generate_series(0, 3) AS r
			ORDER BY r, n`, units/open),
		`INSERT INTO unit_sights (unit_id, account_id, seen_at, result) SELECT unit_id, account_id, now(), 'drifted' FROM drifts WHERE resolved_at IS NULL`,
		`ANALYZE`,
	} {
		_, err := pool.Exec(tb.Context(), sql)
		require.NoError(tb, err)
	}
}

// driftFilters are what a person asks, each with the answer it must have.
func driftFilters() map[string]store.DriftFilter {
	return map[string]store.DriftFilter{
		"all":                      {},
		"an account":               {Account: "other"},
		"a property":               {Property: "p17"},
		"a property of an account": {Account: "acme", Property: "p17"},
		"a kind":                   {Kind: fleet.DriftNotLinked},
		"a kind that nothing has":  {Kind: fleet.DriftUnexpected},
		"a cause":                  {Cause: fleet.CauseWriteFailed},
		"a skill":                  {SkillID: "amzn1.ask.skill.7"},
		"a skill of an account":    {SkillID: "amzn1.ask.skill.7", Account: "other"},
		"a unit":                   {UnitID: fmt.Sprintf("amzn1.alexa.unit.did.%0100d", 40)},
	}
}

// The first page of any one filter reads a few hundred blocks, whatever the fleet,
// its drift and the drift of years past: pages are found by index, in order.
func TestAPageOfDriftReadsLittle(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	fillDrift(t, pool, 100_000, 20_000)
	conf := pool.Config()
	last := &reader{}
	conf.ConnConfig.Tracer = last
	conf.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan" // as fleetd has it
	traced, err := pgxpool.NewWithConfig(t.Context(), conf)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	s := store.New(traced, nil)
	for name, filter := range driftFilters() {
		for _, after := range []store.DriftCursor{{}, {Account: 1, ID: 70_000}} {
			items, _, err := s.ListDrift(t.Context(), filter, after, 100)
			require.NoError(t, err)
			if after.ID == 0 && filter.Kind != fleet.DriftUnexpected {
				require.NotEmpty(t, items, name)
			}
			blocks, plan := explained(t, pool, last.last)
			require.Less(t, blocks, 1500, "%s after %v:\n%s", name, after, plan)
		}
	}
}

// Resolving by rollout begins at the findings of its skill, and looks no other
// target up: a rollout of a whole fleet that put ten homes right costs ten.
func TestResolvingByRolloutWalksNoTargets(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	fillDrift(t, pool, 100_000, 200)
	for _, sql := range []string{
		`INSERT INTO rollouts (key, account_id, action, skill_id, stage, state, selector, targets, wave_ends, max_failures,
			verify_timeout_ms, price_requests, price_minutes, created_by, n_succeeded)
		SELECT 'ro-' || n, 1, 'enable', n, 'live', 'running', 'all', 100000, '{100000}', 0, 1, 1, 1, 'x', 100000 FROM generate_series(1, 4) AS n`,
		`INSERT INTO targets (rollout_id, seq, unit_id, state, ended_at) SELECT r.id, u.id, u.id, 'succeeded', now() FROM rollouts AS r, units AS u`,
		`ANALYZE targets, rollouts`,
	} {
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	conf := pool.Config()
	last := &reader{}
	conf.ConnConfig.Tracer = last
	traced, err := pgxpool.NewWithConfig(t.Context(), conf)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	tx, err := traced.Begin(t.Context())
	require.NoError(t, err)
	n, err := store.ResolveByRollout(t.Context(), tx, 2)
	statement := last.last
	require.NoError(t, err)
	require.Positive(t, n)
	require.NoError(t, tx.Rollback(t.Context()))

	blocks, plan := explained(t, pool, statement)

	require.Less(t, blocks, 5000, plan)
}

// explained runs a statement once more and says how many blocks it touched.
func explained(t *testing.T, pool *pgxpool.Pool, q pgx.TraceQueryStartData) (blocks int, plan string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+q.SQL, q.Args...).Scan(&plan))
	var doc []struct {
		Plan map[string]any `json:"Plan"` //nolint:tagliatelle // As Postgres spells it.
	}
	require.NoError(t, json.Unmarshal([]byte(plan), &doc))
	for _, name := range []string{"Shared Hit Blocks", "Shared Read Blocks"} {
		n, ok := doc[0].Plan[name].(float64)
		require.True(t, ok)
		blocks += int(n)
	}
	return blocks, plan
}

// BenchmarkListDrift asks for first pages and the summary of 50,000 open findings in
// a fleet of 1,000,000 units, with 150,000 findings resolved before. It reports the
// median of each in milliseconds, and that of the slowest filter as page-ms.
func BenchmarkListDrift(b *testing.B) {
	pool := pgtest.Pool(b)
	fillDrift(b, pool, 1_000_000, 50_000)
	s := store.New(pool, nil)
	took := map[string][]float64{}
	measure := func(name string, do func() error) {
		began := time.Now()
		require.NoError(b, do())
		took[name] = append(took[name], float64(time.Since(began).Microseconds())/1000)
	}
	var names []string
	for name := range driftFilters() {
		names = append(names, name)
	}
	slices.Sort(names)
	for b.Loop() {
		for _, name := range names {
			measure("page of "+name, func() error {
				_, _, err := s.ListDrift(b.Context(), driftFilters()[name], store.DriftCursor{}, 100)
				return err
			})
		}
		measure("summary", func() error { return second(s.SummarizeDrift(b.Context(), store.DriftFilter{}, nil)) })
		measure("counts", func() error { return second(s.DriftCounts(b.Context())) })
		measure("repair-plan", func() error {
			return second(s.PlanRepair(b.Context(), store.RepairParams{Filter: store.DriftFilter{Account: "acme"}}))
		})
	}
	page := 0.0
	for name, all := range took {
		slices.Sort(all)
		median := all[len(all)/2]
		if strings.HasPrefix(name, "page") {
			page = max(page, median)
		} else {
			b.ReportMetric(median, name+"-ms")
		}
	}
	b.ReportMetric(page, "page-ms")
}
