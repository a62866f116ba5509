package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet/document"
	"fleetd/internal/store"
)

func TestExportIsShort(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	const head = "# What should be on the homes. Look: fleetctl desired apply -f FILE --dry-run\nversion: 1\naccount: acme\n"
	require.Equal(t, head+"desired: []\n", f.export(t))
	for _, tc := range []struct{ applied, exported string }{
		{"- {select: property=maple, skills: {a: live, b: disabled}}", `
  - select: property=maple
    skills:
      a: live
      b: disabled
`},
		{"- {select: all, skills: {a: live}}", `
  - select: property in (elm,maple,oak)
    skills:
      a: live
`},
		{ // most of maple has b as well, and one home of oak has c
			"- {select: all, skills: {a: live}}\n- {select: 'unit in (u1,u3)', skills: {b: live}}\n- {select: unit=u5, skills: {c: live}}", `
  - select: property in (elm,maple,oak)
    skills:
      a: live
  - select: property=maple,unit!=u2
    skills:
      b: live
  - select: unit=u5
    skills:
      c: live
`},
		{"- {select: 'unit in (u1,u4)', skills: {b: live}}\n- {select: 'unit in (u2)', skills: {b: disabled}}\n- {select: 'unit in (u3,u6)', skills: {c: development}}", `
  - select: property=elm
    skills:
      c: development
  - select: unit=u2
    skills:
      b: disabled
  - select: unit in (u1,u4)
    skills:
      b: live
  - select: unit=u3
    skills:
      c: development
`},
	} {
		_, err := f.apply(t, tc.applied, allowEmpty)
		require.NoError(t, err)
		require.Equal(t, head+"desired:"+tc.exported, f.export(t))
	}
	_, err := f.apply(t, "  []", allowEmpty)
	require.NoError(t, err)
	require.Equal(t, head+"desired: []\n", f.export(t))
}

func TestExportStopsWhenItsReaderDoes(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	_, err := f.apply(t, mapleAndAll)
	require.NoError(t, err)
	gone := errors.New("the reader is gone")

	err = f.ExportDesired(t.Context(), "acme", func(document.Entry) error { return gone })

	require.ErrorIs(t, err, gone)
	require.ErrorContains(t, f.ExportDesired(t.Context(), "nobody", nil), "there is no account")
}

// TestExportThenApplyIsNoChangeProperty proves, for states as ragged as they come and
// names as odd, that applying an export changes nothing, that it makes the same state
// of an empty one, and that no unit is in two entries that speak of one skill.
func TestExportThenApplyIsNoChangeProperty(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	odd := []string{"a", "b c", `q"uo\te`, "x,y", "(p)", "é=日", "'", "all", "true", "-", "#"}
	rapid.Check(t, func(rt *rapid.T) {
		for _, sql := range []string{"desired", "desired_history", "desired_changes", "managed_skills", "units"} {
			_, err := f.pool.Exec(t.Context(), "DELETE FROM "+sql)
			require.NoError(rt, err)
		}
		skills := []string{"s1", "s2", "true", "s:4"}
		states := []string{"", "live", "development", "disabled"}
		for i := range rapid.IntRange(1, 30).Draw(rt, "units") {
			property := rapid.SampledFrom(odd[:rapid.IntRange(1, 4).Draw(rt, "properties")]).Draw(rt, "property")
			_, err := f.pool.Exec(t.Context(), `
				INSERT INTO units (account_id, unit_id, property, removed_at)
				SELECT id, $1, $2, CASE WHEN $3 THEN now() END FROM accounts`,
				fmt.Sprint(rapid.SampledFrom(odd).Draw(rt, "name"), i), property, rapid.IntRange(0, 9).Draw(rt, "removed") == 0)
			require.NoError(rt, err)
		}
		same := rapid.Bool().Draw(rt, "mostly the same")
		for _, skill := range skills {
			usual := rapid.SampledFrom(states).Draw(rt, "usual")
			rows, err := f.pool.Query(t.Context(), "SELECT unit_id FROM units ORDER BY id")
			require.NoError(rt, err)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(rt, err)
			byState := map[string][]string{}
			for _, id := range ids {
				state := usual
				if !same || rapid.IntRange(0, 5).Draw(rt, "odd one") == 0 {
					state = rapid.SampledFrom(states).Draw(rt, "state")
				}
				byState[state] = append(byState[state], id)
			}
			for state, ids := range byState {
				f.force(rt, skill, state, ids)
			}
		}
		_, err := f.pool.Exec(t.Context(), "DELETE FROM desired USING units WHERE units.id = desired.unit_id AND units.removed_at IS NOT NULL AND units.id % 2 = 0")
		require.NoError(rt, err)
		before := f.present(rt)
		text := f.export(rt)

		doc, err := document.Parse([]byte(text))
		require.NoError(rt, err, text)
		plan, _, err := f.ApplyDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: *doc}, f.by, store.Idempotency{})
		require.NoError(rt, err, text)
		require.Zero(rt, plan.Counts.Changes(), text)
		require.Equal(rt, before, f.present(rt), text)
		require.Equal(rt, text, f.export(rt))
		sum := 0
		for _, e := range plan.Entries {
			for i := range doc.Entries {
				if doc.Entries[i].Line == e.Line {
					sum += e.Units * len(doc.Entries[i].Skills)
				}
			}
		}
		require.Equal(rt, plan.Counts.Unchanged, sum, "no pair stands in two entries:\n%s", text)

		_, err = f.pool.Exec(t.Context(), "DELETE FROM desired USING units WHERE units.id = desired.unit_id AND units.removed_at IS NULL")
		require.NoError(rt, err)
		_, _, err = f.ApplyDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: *doc}, f.by, store.Idempotency{})
		require.NoError(rt, err)
		require.Equal(rt, before, f.present(rt), text)
	})
}

// present is what is desired on units of the inventory.
func (f fixture) present(t require.TestingT) (all []string) {
	for after := (store.DesiredCursor{}); ; {
		items, next, err := f.ListDesired(context.Background(), "acme", store.DesiredFilter{After: after})
		require.NoError(t, err)
		for _, i := range items {
			all = append(all, fmt.Sprintf("%s/%s=%s", i.UnitID, i.SkillID, i.State))
		}
		if after = next; next == (store.DesiredCursor{}) {
			return all
		}
	}
}

// force writes what is desired past everything that guards it.
func (f fixture) force(t *rapid.T, skill, state string, units []string) {
	if state == "" {
		return
	}
	_, err := f.pool.Exec(context.Background(), `
		WITH s AS (
			INSERT INTO skills (skill_id) VALUES ($1) ON CONFLICT (skill_id) DO UPDATE SET skill_id = excluded.skill_id RETURNING id
		), c AS (
			INSERT INTO desired_changes (key, account_id, source, actor) SELECT gen_random_uuid()::text, id, 'set', 'test' FROM accounts RETURNING id
		), m AS (
			INSERT INTO managed_skills SELECT accounts.id, s.id FROM accounts, s ON CONFLICT DO NOTHING
		)
		INSERT INTO desired SELECT units.id, s.id, $2, c.id, now() FROM units, s, c WHERE units.unit_id = ANY ($3)`,
		skill, strings.TrimPrefix(state, "disabled"), units)
	require.NoError(t, err)
}

// A property of which all units differ from each other in what they have, and units
// whose names are long: the selectors stay readable.
func TestExportOfManyOddUnitsKeepsItsSelectorsShort(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	f.bulk(t, 3000)
	_, err := f.pool.Exec(t.Context(), "UPDATE units SET property = 'one'")
	require.NoError(t, err)
	var ids []string
	for i := 1; i <= 3000; i += 2 {
		ids = append(ids, "amzn1.alexa.unit.did."+fmt.Sprintf("%080d", i))
	}
	_, err = f.setDesired(t, store.DesiredSetParams{AllowNew: anySkill, Selector: "all", SkillID: "a", State: "live"})
	require.NoError(t, err)
	_, err = f.setDesired(t, store.DesiredSetParams{AllowNew: anySkill, UnitIDs: ids, SkillID: "b", State: "live"})
	require.NoError(t, err)

	text := f.export(t)

	doc, err := document.Parse([]byte(text))
	require.NoError(t, err)
	require.Equal(t, "property=one", doc.Entries[0].Select)
	require.Len(t, doc.Entries, 1+(1500*104+32767)/32768)
	for _, e := range doc.Entries {
		require.Less(t, len(e.Select), 33<<10)
	}
	plan, err := f.PlanDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: *doc})
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Unchanged: 4500}, plan.Counts)
}
