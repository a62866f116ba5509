package store_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/store"
)

// BenchmarkApplyDesired applies a document of five skills to 100,000 units: what is new,
// the same again, a change of every pair, and a plan. It reports the seconds of each.
func BenchmarkApplyDesired(b *testing.B) {
	f := benchFixture(b, 100_000)
	for b.Loop() {
		f.step(b, "first", fiveSkills("live"), 500_000)
		f.step(b, "again", fiveSkills("live"), 0)
		f.step(b, "change", fiveSkills("certification"), 500_000)
		f.step(b, "one-skill", fiveSkills("certification")[:1], 400_000)
		f.step(b, "empty", nil, 100_000)
	}
}

// BenchmarkDesiredSizes fills the tables of desired and observed state for 200,000 units
// of ten skills and reports the bytes per row, indexes included; then it lists, exports
// and releases.
func BenchmarkDesiredSizes(b *testing.B) {
	const units, skills = 200_000, 10
	f := benchFixture(b, units)
	for b.Loop() {
		f.step(b, "first", skillsOf(skills, "live"), units*skills)
		f.exec(b, `INSERT INTO observed SELECT d.unit_id, d.skill_id, 'ENABLED', 'live', 'LINKED', now(), now() FROM desired AS d ORDER BY 1, 2`)
		f.exec(b, `INSERT INTO unit_sights (unit_id, account_id, seen_at, audit_id, audited_at, result) SELECT id, account_id, now(), 1, now(), 'in_sync' FROM units ORDER BY id`)
		f.exec(b, "ANALYZE")
		for table, rows := range map[string]int{"desired": units * skills, "desired_history": units * skills, "observed": units * skills, "unit_sights": units, "units": units} {
			var size int64
			require.NoError(b, f.pool.QueryRow(b.Context(), "SELECT pg_total_relation_size($1::regclass)", table).Scan(&size))
			b.ReportMetric(float64(size)/float64(rows), table+"-B/row")
		}
		f.step(b, "again", skillsOf(skills, "live"), 0)
		f.timed(b, "list", func() {
			items, _, err := f.ListDesired(b.Context(), "acme", store.DesiredFilter{})
			require.NoError(b, err)
			require.Len(b, items, store.DefaultLimit)
		})
		f.timed(b, "list-of-a-skill", func() {
			items, _, err := f.ListDesired(b.Context(), "acme", store.DesiredFilter{SkillID: "amzn1.ask.skill.bench-7"})
			require.NoError(b, err)
			require.Len(b, items, store.DefaultLimit)
		})
		f.timed(b, "history", func() {
			items, _, err := f.DesiredHistory(b.Context(), store.HistoryFilter{UnitID: "amzn1.alexa.unit.did." + fmt.Sprintf("%080d", units/2)})
			require.NoError(b, err)
			require.NotEmpty(b, items)
		})
		f.timed(b, "export", func() {
			entries := 0
			require.NoError(b, f.ExportDesired(b.Context(), "acme", func(document.Entry) error { entries++; return nil }))
			require.Less(b, entries, 10)
		})
		f.releases(b)
	}
}

// releases releases 2,000 units, of which the desired state is new and then the same.
func (f fixture) releases(b *testing.B) {
	b.Helper()
	p := plainRollout()
	p.SkillID, p.Selector = "amzn1.ask.skill.rollout", "property=property-0001"
	r, _, err := f.CreateRollout(b.Context(), p, f.by, store.Idempotency{})
	require.NoError(b, err)
	var row int64
	require.NoError(b, f.pool.QueryRow(b.Context(), "SELECT id FROM rollouts WHERE key = $1", r.ID).Scan(&row))
	rows, err := f.pool.Query(b.Context(), "SELECT id FROM units ORDER BY id LIMIT 2000 OFFSET 50000")
	require.NoError(b, err)
	units, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(b, err)
	stages := make([]string, len(units))
	for _, name := range []string{"release-2000", "release-2000-same"} {
		f.timed(b, name, func() {
			require.NoError(b, pgx.BeginFunc(b.Context(), f.pool, func(tx pgx.Tx) error {
				_, err := store.ReleaseDesired(b.Context(), tx, row, units, stages)
				return err
			}))
		})
	}
}

func benchFixture(b *testing.B, units int) fixture {
	b.Helper()
	pool := pgtest.Pool(b)
	keys, err := store.NewKeys(make([]byte, 32))
	require.NoError(b, err)
	f := fixture{Store: store.New(pool, keys), pool: pool, by: fleet.Actor{Name: "bench", Role: fleet.RoleAdmin}}
	_, _, err = f.CreateAccount(b.Context(), plainAccount("acme"), f.by, store.Idempotency{})
	require.NoError(b, err)
	f.bulk(b, units)
	return f
}

func (f fixture) exec(b *testing.B, sql string) {
	b.Helper()
	_, err := f.pool.Exec(b.Context(), sql)
	require.NoError(b, err)
}

func (f fixture) timed(b *testing.B, name string, do func()) {
	b.Helper()
	before := b.Elapsed()
	do()
	b.ReportMetric((b.Elapsed() - before).Seconds(), name+"-s")
}

func fiveSkills(state fleet.DesiredState) []document.Skill { return skillsOf(5, state) }

func skillsOf(n int, state fleet.DesiredState) []document.Skill {
	skills := make([]document.Skill, n)
	for i := range skills {
		skills[i] = document.Skill{SkillID: fmt.Sprintf("amzn1.ask.skill.bench-%d", i), State: state}
	}
	return skills
}

// step applies skills to all units and expects so many changes.
func (f fixture) step(b *testing.B, name string, skills []document.Skill, changes int) {
	b.Helper()
	doc := document.Document{Version: document.Version, Account: "acme"}
	if len(skills) > 0 {
		doc.Entries = []document.Entry{{Select: "all", Skills: skills}}
	}
	f.timed(b, name, func() {
		plan, _, err := f.ApplyDesired(b.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: doc, AllowEmpty: true}, f.by, store.Idempotency{})
		require.NoError(b, err)
		require.Equal(b, changes, plan.Counts.Changes())
	})
}
