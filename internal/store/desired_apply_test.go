package store_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
	"fleetd/internal/store"
)

const mapleAndAll = `
  - select: property=maple
    skills:
      a: live
      b: disabled
  - select: all
    skills: {c: certification}
`

func TestApplyMakesADocumentTheWholeDesiredState(t *testing.T) {
	t.Parallel()
	f := newHomes(t)

	plan, err := f.apply(t, mapleAndAll)
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Enable: 9, Disable: 3}, plan.Counts)
	require.Equal(t, []store.DesiredEntry{{Line: 5, Selector: "property=maple", Units: 3}, {Line: 9, Selector: "all", Units: 6}}, plan.Entries)
	require.Equal(t, []store.DesiredSkill{
		{SkillID: "a", DesiredCounts: store.DesiredCounts{Enable: 3}},
		{SkillID: "b", DesiredCounts: store.DesiredCounts{Disable: 3}},
		{SkillID: "c", DesiredCounts: store.DesiredCounts{Enable: 6}},
	}, plan.Skills)
	live, off, cert := fleet.DesiredState("live"), fleet.StateDisabled, fleet.DesiredState("certification")
	require.Equal(t, []store.DesiredGroup{
		{SkillID: "a", To: &live, Line: 7, Selector: "property=maple", Units: 3},
		{SkillID: "b", To: &off, Line: 8, Selector: "property=maple", Units: 3},
		{SkillID: "c", To: &cert, Line: 10, Selector: "all", Units: 6},
	}, plan.Groups)
	require.Empty(t, plan.Refusal)
	require.NotEmpty(t, plan.ID)
	require.Equal(t, []string{
		"u1/a=live", "u1/b=disabled", "u1/c=certification", "u2/a=live", "u2/b=disabled", "u2/c=certification",
		"u3/a=live", "u3/b=disabled", "u3/c=certification", "u4/c=certification", "u5/c=certification", "u6/c=certification",
	}, f.desired(t))
	require.Equal(t, []string{"a", "b", "c"}, f.managed(t))
	require.Equal(t, 12, f.count(t, "SELECT count(*) FROM desired_history"))

	plan, err = f.apply(t, `
  - select: unit in (u1,u2)
    skills: {a: certification, b: live}
  - select: all
    skills: {c: certification}
`)
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Stage: 2, Enable: 2, Remove: 2, Unchanged: 6}, plan.Counts)
	last := plan.Groups[1]
	require.Equal(t, store.DesiredGroup{SkillID: "a", From: &live, Units: 1}, last, "what is taken away comes last, and no entry says so")
	require.Equal(t, []string{
		"u1/a=certification", "u1/b=live", "u1/c=certification", "u2/a=certification", "u2/b=live", "u2/c=certification",
		"u3/c=certification", "u4/c=certification", "u5/c=certification", "u6/c=certification",
	}, f.desired(t))
	require.Equal(t, 18, f.count(t, "SELECT count(*) FROM desired_history"))
	require.Equal(t, 2, f.count(t, "SELECT count(*) FROM desired_history WHERE stage IS NULL"))
}

func TestApplyOfWhatIsDesiredWritesNothing(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	first, err := f.apply(t, mapleAndAll)
	require.NoError(t, err)
	before := f.count(t, "SELECT sum(xmin::text::bigint)::bigint FROM desired")

	plan, err := f.apply(t, mapleAndAll)

	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Unchanged: 12}, plan.Counts)
	require.Empty(t, plan.ID)
	require.Empty(t, plan.Groups)
	require.NotEqual(t, first.Fingerprint, plan.Fingerprint)
	require.Equal(t, before, f.count(t, "SELECT sum(xmin::text::bigint)::bigint FROM desired"))
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM desired_changes"))
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM log_entries"))
}

func TestPlanChangesNothing(t *testing.T) {
	t.Parallel()
	f := newHomes(t)

	plan, err := f.PlanDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Account: "acme", Document: parse(t, mapleAndAll)})

	require.NoError(t, err)
	require.True(t, plan.DryRun)
	require.Equal(t, 12, plan.Counts.Changes())
	f.nothingDesired(t)
	require.Zero(t, f.count(t, "SELECT count(*) FROM log_entries"))

	applied, err := f.apply(t, mapleAndAll, func(p *store.DesiredApplyParams) { p.Expect = plan.Fingerprint })
	require.NoError(t, err)
	plan.DryRun, plan.ID = false, applied.ID
	require.Equal(t, plan, applied, "the plan is what happens")
}

func TestApplyDoesOnlyWhatWasShown(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	plan, err := f.PlanDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: parse(t, mapleAndAll)})
	require.NoError(t, err)
	// As many units as before, and other ones.
	_, err = f.pool.Exec(t.Context(), "UPDATE units SET property = CASE property WHEN 'maple' THEN 'oak' ELSE 'maple' END WHERE unit_id IN ('u1', 'u4')")
	require.NoError(t, err)

	_, err = f.apply(t, mapleAndAll, func(p *store.DesiredApplyParams) { p.Expect = plan.Fingerprint })

	e := asFleet(t, err)
	require.Equal(t, fleet.CodeConflict, e.Code)
	require.Contains(t, e.Message, "look at the plan again")
	f.nothingDesired(t)
}

func TestApplyIsLoggedAndKept(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	plan, err := f.apply(t, mapleAndAll)
	require.NoError(t, err)

	entries, _, err := f.ListLog(t.Context(), store.LogFilter{})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "desired.apply", entries[0].Action)
	require.Equal(t, "account/acme", entries[0].Object)
	require.Equal(t, "ann", entries[0].Actor)
	require.Equal(t, "ticket 7", entries[0].Reason)
	require.Equal(t, plan.ID, entries[0].Detail["change"])

	items, next, err := f.DesiredHistory(t.Context(), store.HistoryFilter{UnitID: "u1", SkillID: "a"})
	require.NoError(t, err)
	require.Zero(t, next)
	require.Len(t, items, 1)
	require.Equal(t, fleet.DesiredState("live"), *items[0].State)
	require.Equal(t, fleet.DesiredByApply, items[0].Source)
	require.Equal(t, "ann", items[0].Actor)
	require.Equal(t, "ticket 7", items[0].Reason)
}

// Each mistake is told with its place, and changes nothing.
func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	_, err := f.apply(t, mapleAndAll)
	require.NoError(t, err)
	_, err = f.pool.Exec(t.Context(), "UPDATE accounts SET protected_skills = '{mine}'")
	require.NoError(t, err)
	before, history := f.desired(t), f.count(t, "SELECT count(*) FROM desired_history")
	for name, tc := range map[string]struct {
		desired string
		where   []string
		says    []string
	}{
		"an entry that picks nothing": {
			"- {select: property=nowhere, skills: {a: live}}\n- {select: all, skills: {a: live}}\n- {select: 'floor=9', skills: {b: live}}\n",
			[]string{"line 4, column 12", "line 6, column 12"},
			[]string{"matches no unit of account acme"},
		},
		"entries that disagree": {
			"- select: property=maple\n  skills: {a: live}\n- select: floor=2\n  skills:\n    a: disabled\n    b: live\n",
			[]string{"line 8, column 5"},
			[]string{"a is to be disabled here and live at line 5, column 12, and 2 units are picked by both entries: u2, u3;"},
		},
		"entries that disagree on one unit": {
			"- {select: unit=u1, skills: {a: live}}\n- {select: all, skills: {a: certification}}\n",
			[]string{"line 5, column 26"},
			[]string{"1 unit is picked by both entries: u1;"},
		},
		"entries that disagree on many": {
			"- {select: all, skills: {a: live}}\n- {select: all, skills: {a: certification}}\n- {select: all, skills: {a: disabled}}\n",
			[]string{"line 5, column 26"},
			[]string{"6 units are picked by both entries: u1, u2, u3, u4, u5 and 1 more"},
		},
		"the account's protected skill": {"- {select: all, skills: {mine: live}}\n", []string{"line 4, column 26"}, []string{"protected skill"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := f.apply(t, tc.desired, allowEmpty)
			e := asFleet(t, err)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.Equal(t, "file", e.Field)
			var where []string
			for _, d := range e.Details {
				where = append(where, d.Location)
			}
			require.Equal(t, tc.where, where)
			for _, s := range tc.says {
				require.Contains(t, e.Details[0].Message, s)
			}
			require.Equal(t, before, f.desired(t))
			require.Equal(t, history, f.count(t, "SELECT count(*) FROM desired_history"))
		})
	}
}

func TestApplyRefusesAWrongAccount(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	f.account(t, "other")
	d := parse(t, mapleAndAll)
	for account, says := range map[string]string{"other": "must be the same", "acme": ""} {
		_, err := f.PlanDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Account: account, Document: d})
		if says == "" {
			require.NoError(t, err)
			continue
		}
		require.Contains(t, asFleet(t, err).Message, says)
	}
	d.Account = ""
	_, err := f.PlanDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: d})
	require.Equal(t, "account", asFleet(t, err).Field)
	_, err = f.PlanDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: d, Account: "nobody"})
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
	_, err = f.PlanDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Account: "acme", Document: document.Document{Version: 7}})
	require.Equal(t, "version", asFleet(t, err).Details[0].Location)
}

func TestEntriesThatOverlapAndAgreeAreFine(t *testing.T) {
	t.Parallel()
	f := newHomes(t)

	plan, err := f.apply(t, "- {select: property=maple, skills: {a: live, b: live}}\n- {select: floor=2, skills: {a: live}}\n- {select: all, skills: {a: live, c: live}}\n")

	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Enable: 15}, plan.Counts)
	require.Equal(t, []int{3, 1, 2, 3, 6}, func() (n []int) {
		for _, g := range plan.Groups {
			n = append(n, g.Units)
		}
		return n
	}(), "a pair counts for the first entry that names it")
	plan, err = f.apply(t, "- {select: all, skills: {a: live, c: live}}\n- {select: property=maple, skills: {a: live, b: live}}\n")
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Unchanged: 15}, plan.Counts)
}

func TestApplyDoesNotEmptyByMistake(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	plan, err := f.apply(t, "  []")
	require.NoError(t, err, "there is nothing to lose")
	require.Zero(t, plan.Counts)
	_, err = f.apply(t, mapleAndAll)
	require.NoError(t, err)
	for desired, says := range map[string]string{
		"  []": "would leave nothing of the 12 desired states",
		"- {select: property=maple, skills: {a: live}}":          "would take away 9 of the 12 desired states of account acme, more than half",
		"- {select: property=elm, skills: {d: live, e: live}}\n": "would take away 12 of the 12",
	} {
		_, err := f.apply(t, desired)
		e := asFleet(t, err)
		require.Equal(t, fleet.CodeConflict, e.Code)
		require.Contains(t, e.Message, says)
		plan, err := f.PlanDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: parse(t, desired)})
		require.NoError(t, err, "a plan shows it")
		require.Equal(t, e.Message, plan.Refusal)
	}
	require.Len(t, f.desired(t), 12)

	_, err = f.apply(t, "- {select: all, skills: {c: certification}}")
	require.NoError(t, err, "half of it may go")
	require.Len(t, f.desired(t), 6)
	require.Equal(t, []string{"c"}, f.managed(t), "a skill of which nothing is desired is managed no more")

	plan, err = f.apply(t, "  []", allowEmpty)
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Remove: 6}, plan.Counts)
	require.Equal(t, []string{"c"}, plan.Unmanaged)
	require.Empty(t, f.desired(t))
	require.Empty(t, f.managed(t))
	items, _, err := f.DesiredHistory(t.Context(), store.HistoryFilter{UnitID: "u1", SkillID: "c"})
	require.NoError(t, err)
	require.Len(t, items, 2)
	require.Nil(t, items[0].State, "that it was taken away is history too")
}

// Accounts do not touch each other's units, however alike these are called.
func TestApplyTouchesItsAccountOnly(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	f.account(t, "other")
	_, err := f.load(t, "other", store.ImportParams{}, "u1,maple,,,")
	require.NoError(t, err)
	other := document.Document{Version: 1, Account: "other", Entries: parse(t, "- {select: unit=u1, skills: {a: live}}").Entries}
	_, _, err = f.ApplyDesired(t.Context(), store.DesiredApplyParams{AllowNew: anySkill, Document: other}, f.by, store.Idempotency{})
	require.NoError(t, err)
	require.Len(t, f.desired(t), 1)

	_, err = f.apply(t, mapleAndAll)
	require.NoError(t, err)
	require.Len(t, f.desired(t), 13)
	_, err = f.apply(t, "  []", allowEmpty)
	require.NoError(t, err)
	require.Equal(t, []string{"u1/a=live"}, f.desired(t))
	require.Equal(t, []string{"a"}, f.managed(t))
}

// What is desired of a unit that left the inventory is neither shown nor counted. It
// is there again when the unit is, unless the skill was given up meanwhile.
func TestRemovedUnitsTakeNoPart(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	_, err := f.apply(t, "- {select: all, skills: {a: live}}\n- {select: unit=u6, skills: {b: live}}")
	require.NoError(t, err)
	_, err = f.pool.Exec(t.Context(), "UPDATE units SET removed_at = now() WHERE unit_id = 'u6'")
	require.NoError(t, err)

	plan, err := f.apply(t, "- {select: all, skills: {a: live}}")
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Unchanged: 5}, plan.Counts)
	require.Equal(t, []string{"b"}, plan.Unmanaged)
	require.Equal(t, []string{"u1/a=live", "u2/a=live", "u3/a=live", "u4/a=live", "u5/a=live", "u6/a=live"}, f.desired(t))
	require.Equal(t, []string{"a"}, f.managed(t))
	items, _, err := f.ListDesired(t.Context(), "acme", store.DesiredFilter{})
	require.NoError(t, err)
	require.Len(t, items, 5)
	require.NotContains(t, f.export(t), "u6")
}

func TestApplyWithAKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	p := store.DesiredApplyParams{AllowNew: anySkill, Document: parse(t, mapleAndAll)}
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	first, again, err := f.ApplyDesired(t.Context(), p, f.by, once)
	require.NoError(t, err)
	require.False(t, again)
	second, again, err := f.ApplyDesired(t.Context(), p, f.by, once)
	require.NoError(t, err)
	require.True(t, again)
	require.Equal(t, first, second)
	_, _, err = f.ApplyDesired(t.Context(), p, f.by, store.Idempotency{Key: "k", Hash: []byte("other")})
	require.Equal(t, "Idempotency-Key", asFleet(t, err).Field)
}

// Thousands of entries are a few statements.
func TestApplyOfManyEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	f.bulk(t, 5000)
	var b strings.Builder
	for i := 1; i <= 5000; i++ {
		b.WriteString("- {select: unit=amzn1.alexa.unit.did." + strings.Repeat("0", 80-len(strconv.Itoa(i))) + strconv.Itoa(i) + ", skills: {a: live}}\n")
	}
	plan, err := f.apply(t, b.String())
	require.NoError(t, err)
	require.Equal(t, 5000, plan.Counts.Enable)
	require.Len(t, plan.Groups, 1000)
	require.Equal(t, 4000, plan.MoreGroups)
}

func TestDeletingAnAccountTakesWhatIsDesiredAlong(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	_, err := f.apply(t, mapleAndAll)
	require.NoError(t, err)

	require.NoError(t, f.DeleteAccount(t.Context(), "acme", true, "", f.by))

	f.nothingDesired(t)
}
