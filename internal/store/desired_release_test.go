package store_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// newRelease makes acme with six homes and a rollout of the skill a to all of them.
func newRelease(t *testing.T) (f fixture, key string, row int64) {
	t.Helper()
	f = newHomes(t)
	p := plainRollout()
	p.SkillID, p.Reason = "a", "winter"
	r, _, err := f.CreateRollout(t.Context(), p, fleet.Actor{Name: "bob", Role: fleet.RoleOperator}, store.Idempotency{})
	require.NoError(t, err)
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT id FROM rollouts WHERE key = $1", r.ID).Scan(&row))
	return f, r.ID, row
}

func TestReleaseSetsWhatIsDesiredUnderOneChange(t *testing.T) {
	t.Parallel()
	f, key, row := newRelease(t)
	_, err := f.apply(t, "- {select: unit=u2, skills: {a: live}}\n- {select: unit=u3, skills: {a: disabled, b: live}}")
	require.NoError(t, err)
	before := f.count(t, "SELECT desired.xmin::text::bigint FROM desired JOIN units ON units.id = desired.unit_id WHERE units.unit_id = 'u2'")

	n, err := f.release(t, row, "live", "u1", "u2")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = f.release(t, row, "live", "u3", "u4")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = f.release(t, row, "live", "u3", "u4")
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = f.release(t, row, "live")
	require.NoError(t, err)
	require.Zero(t, n)

	require.Equal(t, []string{"u1/a=live", "u2/a=live", "u3/a=live", "u3/b=live", "u4/a=live"}, f.desired(t))
	require.Equal(t, []string{"a", "b"}, f.managed(t))
	require.Equal(t, before, f.count(t, "SELECT desired.xmin::text::bigint FROM desired JOIN units ON units.id = desired.unit_id WHERE units.unit_id = 'u2'"),
		"what was so already is not written again")
	require.Zero(t, f.count(t, "SELECT desired.xmax::text::bigint FROM desired JOIN units ON units.id = desired.unit_id WHERE units.unit_id = 'u2'"), "nor locked")
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM desired_changes WHERE rollout_id = $1", row))
	items, _, err := f.DesiredHistory(t.Context(), store.HistoryFilter{UnitID: "u3", SkillID: "a"})
	require.NoError(t, err)
	require.Len(t, items, 2)
	require.Equal(t, fleet.DesiredByRollout, items[0].Source)
	require.Equal(t, "bob", items[0].Actor)
	require.Equal(t, "winter", items[0].Reason)
	require.Equal(t, key, items[0].Rollout)
	list, _, err := f.ListDesired(t.Context(), "acme", store.DesiredFilter{UnitID: "u1"})
	require.NoError(t, err)
	require.Equal(t, key, list[0].Rollout)
}

// A rollback puts back what was there, which differs from home to home.
func TestReleaseTakesAStageForEachUnit(t *testing.T) {
	t.Parallel()
	f, _, row := newRelease(t)
	require.NoError(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		n, err := store.ReleaseDesired(t.Context(), tx, row, []int64{1, 2, 3}, []string{"", "live", "development"})
		require.Equal(t, 3, n)
		return err
	}))
	require.Equal(t, []string{"u1/a=disabled", "u2/a=live", "u3/a=development"}, f.desired(t))
	err := pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := store.ReleaseDesired(t.Context(), tx, row, []int64{1, 2}, []string{""})
		return err
	})
	require.ErrorContains(t, err, "2 units have 1 stages")
}

// A tick does not wait for an apply, and an apply waits for no more than a tick.
func TestReleaseDoesNotWaitForAnApply(t *testing.T) {
	t.Parallel()
	f, _, row := newRelease(t)
	tx, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended('fleetd desired state', id)) FROM accounts")
	require.NoError(t, err)

	_, err = f.release(t, row, "live", "u1")
	require.ErrorIs(t, err, store.ErrDesiredBusy)
	f.nothingDesired(t)
	require.NoError(t, tx.Rollback(t.Context()))

	_, err = f.release(t, row, "live", "u1")
	require.NoError(t, err)
	require.Equal(t, []string{"u1/a=live"}, f.desired(t))
}

// Rollouts release while documents are applied: nothing deadlocks, and in the end the
// history says what is there.
func TestReleasesAndAppliesAtOnce(t *testing.T) {
	t.Parallel()
	f, _, row := newRelease(t)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 12 {
				state := []string{"live", "certification"}[(worker+i)%2]
				if worker < 2 {
					_, err := f.apply(t, "- {select: all, skills: {a: "+state+", b: live}}")
					require.NoError(t, err)
					continue
				}
				_, err := f.release(t, row, state, "u1", "u2", "u3", "u4", "u5", "u6")
				if err != nil {
					require.ErrorIs(t, err, store.ErrDesiredBusy)
				}
			}
		})
	}
	group.Wait()
	f.historyIsTrue(t)
}

// historyIsTrue fails unless the last value in the history of every pair is the one
// that is desired, and every skill with one is managed.
func (f fixture) historyIsTrue(t require.TestingT) {
	var wrong int
	err := f.pool.QueryRow(context.Background(), `
		SELECT count(*)
		FROM (
			SELECT DISTINCT ON (unit_id, skill_id) unit_id, skill_id, stage, change_id, changed_at
			FROM desired_history
			ORDER BY unit_id, skill_id, changed_at DESC, change_id DESC
		) AS h
		FULL JOIN desired AS d USING (unit_id, skill_id)
		WHERE h.stage IS DISTINCT FROM d.stage
			OR (d.unit_id IS NOT NULL AND (h.change_id <> d.change_id OR h.changed_at <> d.changed_at))`).Scan(&wrong)
	require.NoError(t, err)
	require.Zero(t, wrong, "the history ends with what is desired")
	err = f.pool.QueryRow(context.Background(), `
		SELECT count(*)
		FROM (SELECT DISTINCT u.account_id, d.skill_id FROM desired AS d JOIN units AS u ON u.id = d.unit_id) AS d
		FULL JOIN managed_skills AS m USING (account_id, skill_id)
		WHERE d.skill_id IS NULL OR m.skill_id IS NULL`).Scan(&wrong)
	require.NoError(t, err)
	require.Zero(t, wrong, "a skill is managed when something is desired of it")
}

// statements is every statement that a pool sent.
type statements struct {
	mu   sync.Mutex
	seen []pgx.TraceQueryStartData
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasPrefix(q.SQL, "begin") && !strings.HasPrefix(q.SQL, "commit") {
		s.seen = append(s.seen, q)
	}
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// traced is the fixture with a pool whose statements are seen.
func (f fixture) traced(t *testing.T) (fixture, *statements) {
	t.Helper()
	seen := &statements{}
	conf := f.pool.Config()
	conf.ConnConfig.Tracer = seen
	conf.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), conf)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return fixture{Store: store.New(pool, testKeys(t, 1)), pool: pool, by: f.by}, seen
}

// plan is how Postgres answers a statement.
func (f fixture) explain(t *testing.T, q pgx.TraceQueryStartData) string {
	t.Helper()
	tx, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
	rows, err := tx.Query(t.Context(), "EXPLAIN "+q.SQL, q.Args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// Releasing 2,000 homes is two statements, and neither walks what is desired of the
// others: with statistics that know of nothing, and with ones that do.
func TestReleaseIsTwoStatementsThatWalkNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	f.bulk(t, 40_000)
	_, err := f.apply(t, "- {select: property=property-0001, skills: {b: live, c: live, d: live}}")
	require.NoError(t, err)
	_, err = f.pool.Exec(t.Context(), `
		INSERT INTO desired SELECT units.id, skills.id, 'live', 1, now() FROM units, skills WHERE skills.skill_id IN ('b', 'c', 'd')
		ON CONFLICT DO NOTHING`)
	require.NoError(t, err)
	p := plainRollout()
	p.SkillID = "a"
	r, _, err := f.CreateRollout(t.Context(), p, f.by, store.Idempotency{})
	require.NoError(t, err)
	var row int64
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT id FROM rollouts WHERE key = $1", r.ID).Scan(&row))
	for _, tc := range []struct{ name, prepare string }{{"just loaded", "SELECT 1"}, {"analyzed", "ANALYZE"}} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := f.pool.Exec(t.Context(), tc.prepare)
			require.NoError(t, err)
			g, seen := f.traced(t)
			units, stages := make([]int64, 2000), make([]string, 2000)
			for i := range units {
				units[i], stages[i] = int64(i+1), "live"
			}
			require.NoError(t, pgx.BeginFunc(t.Context(), g.pool, func(tx pgx.Tx) error {
				_, err := store.ReleaseDesired(t.Context(), tx, row, units, stages)
				return err
			}))
			require.Len(t, seen.seen, 2)
			for _, q := range seen.seen {
				plan := f.explain(t, q)
				for _, table := range []string{"desired", "desired_history", "targets", "units"} {
					require.NotContains(t, plan, "Seq Scan on "+table+" ", plan)
				}
			}
		})
	}
}
