package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
	"fleetd/internal/store"
)

// parse reads the desired part of a document of account acme.
func parse(t require.TestingT, desired string) document.Document {
	d, err := document.Parse([]byte("version: 1\naccount: acme\ndesired:\n" + desired))
	require.NoError(t, err)
	return *d
}

// apply makes a document what is desired.
func (f fixture) apply(t *testing.T, desired string, change ...func(*store.DesiredApplyParams)) (store.DesiredPlan, error) {
	t.Helper()
	p := store.DesiredApplyParams{AllowNew: anySkill, Document: parse(t, desired), Reason: "ticket 7"}
	for _, c := range change {
		c(&p)
	}
	plan, again, err := f.ApplyDesired(t.Context(), p, f.by, store.Idempotency{})
	require.False(t, again)
	return plan, err
}

// anySkill lets tests name skills that nobody met.
var anySkill = []string{store.AnySkill}

func allowEmpty(p *store.DesiredApplyParams) { p.AllowEmpty = true }

// desired is all that is desired in acme: "u1/a=live".
func (f fixture) desired(t require.TestingT) []string {
	rows, err := f.pool.Query(context.Background(), `
		SELECT units.unit_id || '/' || skills.skill_id || '=' || coalesce(nullif(desired.stage, ''), 'disabled')
		FROM desired
		JOIN units ON units.id = desired.unit_id
		JOIN skills ON skills.id = desired.skill_id
		ORDER BY 1`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

func (f fixture) managed(t *testing.T) []string {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT skills.skill_id FROM managed_skills JOIN skills ON skills.id = managed_skills.skill_id ORDER BY 1`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

// nothingDesired fails if anything that belongs to the desired state is there.
func (f fixture) nothingDesired(t *testing.T) {
	t.Helper()
	for _, table := range []string{"desired", "desired_history", "desired_changes", "managed_skills"} {
		require.Zero(t, f.count(t, "SELECT count(*) FROM "+table), table)
	}
}

// newHomes makes acme with six homes: u1 to u3 in maple, u4 and u5 in oak, u6 alone in
// elm; u2 is occupied.
func newHomes(t *testing.T) fixture {
	t.Helper()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{},
		"u1,maple,,,floor=1", "u2,maple,,occupied,floor=2", "u3,maple,,,floor=2", "u4,oak,,,floor=1", "u5,oak,,,floor=2", "u6,elm,,,")
	require.NoError(t, err)
	_, err = f.pool.Exec(t.Context(), "DELETE FROM log_entries")
	require.NoError(t, err)
	return f
}

// see says that the API showed a skill on a unit so.
func (f fixture) see(t *testing.T, unit, skill string, status fleet.Status, stage fleet.Stage) {
	t.Helper()
	_, err := f.pool.Exec(t.Context(), `
		WITH s AS (
			INSERT INTO skills (skill_id) VALUES ($2) ON CONFLICT (skill_id) DO UPDATE SET skill_id = excluded.skill_id RETURNING id
		)
		INSERT INTO observed (unit_id, skill_id, status, stage, observed_at, changed_at)
		SELECT units.id, s.id, $3, $4, now() - interval '1 hour', now() - interval '1 hour' FROM units, s WHERE units.unit_id = $1`,
		unit, skill, string(status), string(stage))
	require.NoError(t, err)
}

// seeWhole says that all enablements of units were listed.
func (f fixture) seeWhole(t *testing.T, units ...string) {
	t.Helper()
	_, err := f.pool.Exec(t.Context(), `
		INSERT INTO unit_sights (unit_id, account_id, seen_at) SELECT id, account_id, now() FROM units WHERE unit_id = ANY ($1)`, units)
	require.NoError(t, err)
}

// export is the document of what is desired in acme.
func (f fixture) export(t require.TestingT) string {
	var b strings.Builder
	w := document.NewWriter(&b, "acme")
	require.NoError(t, f.ExportDesired(context.Background(), "acme", w.Entry))
	require.NoError(t, w.Close())
	return b.String()
}

// release sets what is desired for units of a rollout, as a tick does.
func (f fixture) release(t *testing.T, rollout int64, stage string, units ...string) (n int, err error) {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), "SELECT id FROM units WHERE unit_id = ANY ($1) ORDER BY id", units)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	stages := make([]string, len(ids))
	for i := range stages {
		stages[i] = stage
	}
	err = pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		n, err = store.ReleaseDesired(t.Context(), tx, rollout, ids, stages)
		return err
	})
	return n, err
}

// bulk makes acme with many units, ten a property, without a file.
func (f fixture) bulk(tb testing.TB, units int) {
	tb.Helper()
	_, err := f.pool.Exec(tb.Context(), fmt.Sprintf(`
		INSERT INTO units (account_id, unit_id, property, labels)
		SELECT accounts.id, 'amzn1.alexa.unit.did.' || lpad(n::text, 80, '0'), 'property-' || lpad((n / 500)::text, 4, '0'), '{"floor": "1"}'
		FROM accounts, generate_series(1, %d) AS n WHERE accounts.name = 'acme' ORDER BY n`, units))
	require.NoError(tb, err)
	_, err = f.pool.Exec(tb.Context(), "ANALYZE units")
	require.NoError(tb, err)
}

// soon is long enough for a busy machine.
const soon = 20 * time.Second
