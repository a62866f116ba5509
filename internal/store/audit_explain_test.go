package store_test

import (
	"context"
	"fmt"
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

// listener remembers the statements that were sent, each once, the largest call of it.
type listener struct {
	mu  sync.Mutex
	got map[string]pgx.TraceQueryStartData
}

func (l *listener) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, _, _ := strings.Cut(q.SQL, "\n")
	if strings.HasPrefix(name, "-- name: ") {
		l.got[name] = q
	}
	return ctx
}

func (l *listener) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// What an audit asks for a group of units grows neither with the fleet, nor with the
// skills on other homes, nor with the rollouts and audits of years past; nor does what is
// asked about a unit, about a skill that may be new, or by a scrape.
func TestAuditsWalkNoFleet(t *testing.T) {
	t.Parallel()
	const units, group = 40_000, 100
	pool := pgtest.Pool(t)
	for _, sql := range []string{
		`INSERT INTO accounts (name, api_url, token_url) VALUES ('acme', 'x', 'x')`,
		`INSERT INTO budgets (account_id, rate) SELECT id, 10 FROM accounts`,
		`INSERT INTO skills (skill_id) SELECT 'skill-' || n FROM generate_series(1, 4) AS n`,
		`INSERT INTO managed_skills SELECT 1, id FROM skills`,
		fmt.Sprintf(`INSERT INTO units (account_id, unit_id, property) SELECT 1, 'home-' || n, 'p' || n / 500 FROM generate_series(1, %d) AS n`, units),
		`INSERT INTO desired_changes (key, account_id, source, actor) VALUES ('dc-1', 1, 'adopt', 'ann')`,
		`INSERT INTO desired (unit_id, skill_id, stage, change_id, changed_at)
			SELECT units.id, skills.id, 'live', 1, now() - interval '1 year' FROM units, skills`,
		`INSERT INTO observed (unit_id, skill_id, status, stage, observed_at, changed_at)
			SELECT unit_id, skill_id, 'ENABLED', 'live', now() - interval '1 day', now() - interval '1 day' FROM desired`,
		`INSERT INTO skills (skill_id) VALUES ('skill-5')`, // seen, and that is all
		`INSERT INTO observed (unit_id, skill_id, status, stage, observed_at, changed_at)
			SELECT units.id, skills.id, 'ENABLED', 'live', now() - interval '1 day', now() - interval '1 day'
			FROM units, skills WHERE skills.skill_id = 'skill-5'`,
		`INSERT INTO audits (key, account_id, state, selector, units, n_in_sync, created_by, ended_at)
			SELECT 'au-' || n, 1, 'succeeded', CASE WHEN n % 2 = 0 THEN 'all' ELSE 'unit=home-1' END, 1, 1, 'x', now() - n * interval '1 day'
			FROM generate_series(1, 3000) AS n`,
		`INSERT INTO unit_sights (unit_id, account_id, seen_at, audit_id, audited_at, result)
			SELECT id, 1, now() - interval '1 day', 0, now() - interval '1 day', 'in_sync' FROM units`,
		`INSERT INTO rollouts (key, account_id, action, skill_id, stage, state, selector, targets, wave_ends, max_failures, verify_timeout_ms,
				price_requests, price_minutes, created_by, n_succeeded, n_failed, ended_at)
			SELECT 'ro-' || n, 1, 'enable', 1 + n % 4, 'live', CASE WHEN n = 8 THEN 'running' ELSE 'succeeded' END, 'all', 40000, '{40000}', 0, 1, 1, 1, 'x',
				39000, 1000, CASE WHEN n < 8 THEN now() - interval '1 day' END
			FROM generate_series(1, 8) AS n`,
		`INSERT INTO targets (rollout_id, seq, unit_id, state, odd, reason, ended_at)
			SELECT rollouts.id, units.id, units.id, CASE WHEN units.id % 40 = 0 THEN 'failed' ELSE 'succeeded' END::target_state,
				CASE WHEN units.id % 40 = 0 THEN 'failed'::target_state END, CASE WHEN units.id % 40 = 0 THEN 'forbidden' ELSE '' END, now() - interval '1 day'
			FROM rollouts, units`,
		`INSERT INTO drifts (key, account_id, unit_id, property, skill_id, kind, desired_stage, status, first_seen_at, cause, opened_by)
			SELECT 'dr-' || id, 1, id, property, 2, 'missing', 'live', 'ABSENT', now() - interval '1 day', 'unknown', 1 FROM units WHERE id % 10 = 0`,
		`ANALYZE`,
	} {
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	conf := pool.Config()
	heard := &listener{got: map[string]pgx.TraceQueryStartData{}}
	conf.ConnConfig.Tracer = heard
	conf.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan" // as fleetd has it
	traced, err := pgxpool.NewWithConfig(t.Context(), conf)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	w := &night{fixture: fixture{Store: store.New(traced, nil), pool: pool, by: fleet.Actor{Name: "ann", Role: fleet.RoleAdmin}}}

	began := time.Now()
	id := w.begin(t).ID
	require.Less(t, time.Since(began), time.Minute)
	for range 3 {
		w.tick(t, id, group)
		refs := w.take()
		require.Len(t, refs, group)
		loaded, err := w.LoadAuditUnits(t.Context(), refs)
		require.NoError(t, err)
		require.Len(t, loaded, group)
		var sights []store.AuditSight
		for i, target := range loaded {
			shown := sight{"skill-1": on, "skill-2": on, "skill-3": on, "skill-4": on, fmt.Sprintf("new-%d", i): on}
			delete(shown, fmt.Sprintf("skill-%d", 1+i%6))
			sights = append(sights, look(target, shown, ""))
		}
		require.NoError(t, w.RecordAuditUnits(t.Context(), sights))
		_, err = w.SweepAudit(t.Context(), w.auditRow(t, id), "account_1", w.enqueue)
		require.NoError(t, err)
	}
	for _, f := range []store.AuditUnitFilter{{}, {Result: fleet.AuditDrifted}, {Result: fleet.AuditInSync}} {
		items, _, err := w.ListAuditUnits(t.Context(), id, f)
		require.NoError(t, err)
		require.NotEmpty(t, items)
	}
	_, err = w.DueSlots(t.Context(), time.Now(), store.AuditDefault{Cron: "0 2 * * *"})
	require.NoError(t, err)

	_, err = w.Metrics(t.Context())
	require.NoError(t, err)
	unit, err := w.Unit(t.Context(), "home-777", "acme")
	require.NoError(t, err)
	require.Len(t, unit.Desired, 4)
	unmet, err := w.NewSkills(t.Context(), "acme", []string{"skill-1", "skill-6", "skill-5"})
	require.NoError(t, err)
	require.Equal(t, []string{"skill-6"}, unmet)

	// Four hundred look-ups by key are the most that any of them needs.
	const most = 3000
	for _, name := range []string{
		"AuditUnitLoad", "AuditUnitFacts", "AuditUnitDesired", "AuditUnitObserved", "AuditUnitFindings", "AuditRollouts", "AuditUnitTargets",
		"AuditLastTargets", "AuditSkillGone", "AuditRecordSights", "AuditRecordObserved", "AuditDriftResolve", "AuditDriftOpen",
		"AuditChunks", "AuditUnanswered", "AuditUnitsOdd", "AuditUnitsOf", "AuditSlots",
		"AuditLastEnded", "UnitDesired", "UnitObserved", "UnitRollouts", "SkillsMet", "SkillMetOnUnit",
	} {
		var statement pgx.TraceQueryStartData
		for line, q := range heard.got {
			if strings.HasPrefix(line, "-- name: "+name+" ") {
				statement = q
			}
		}
		require.NotEmpty(t, statement.SQL, "%s was not asked", name)
		blocks, plan := explainedIn(t, pool, statement)
		require.Less(t, blocks, most, "%s:\n%s", name, plan)
		if name == "SkillMetOnUnit" {
			continue // it walks the units, but only as far as the first that has it
		}
		for _, table := range []string{"units", "targets", "desired", "observed", "unit_sights", "drifts"} {
			require.NotContains(t, plan, "Seq Scan on "+table+" ", name)
		}
	}
}

// explainedIn explains a statement, which may write, and leaves nothing of it.
func explainedIn(t *testing.T, pool *pgxpool.Pool, q pgx.TraceQueryStartData) (blocks int, plan string) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, BUFFERS) "+q.SQL, q.Args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, line := range lines {
		var hit, read int
		if _, found, ok := strings.Cut(line, "Buffers: shared "); ok && found != "" {
			for word := range strings.FieldsSeq(found) {
				_, _ = fmt.Sscanf(word, "hit=%d", &hit)
				_, _ = fmt.Sscanf(word, "read=%d", &read)
			}
			blocks = max(blocks, hit+read)
		}
	}
	return blocks, strings.Join(lines, "\n")
}
