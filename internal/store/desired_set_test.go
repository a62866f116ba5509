package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func (f fixture) setDesired(t *testing.T, p store.DesiredSetParams) (store.DesiredPlan, error) {
	t.Helper()
	p.Account = "acme"
	plan, _, err := f.SetDesired(t.Context(), p, f.by, store.Idempotency{})
	return plan, err
}

func TestSetChangesOneSkillOfSomeUnits(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	_, err := f.apply(t, "- {select: property=oak, skills: {a: live, b: live}}")
	require.NoError(t, err)

	plan, err := f.setDesired(t, store.DesiredSetParams{AllowNew: anySkill, Selector: "floor=2", SkillID: "a", State: fleet.StateDisabled, Reason: "moving"})

	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Disable: 3}, plan.Counts)
	require.Equal(t, fleet.DesiredBySet, plan.Source)
	require.Equal(t, []string{"u2/a=disabled", "u3/a=disabled", "u4/a=live", "u4/b=live", "u5/a=disabled", "u5/b=live"}, f.desired(t),
		"an occupied home takes part, and others stay as they are")
	plan, err = f.setDesired(t, store.DesiredSetParams{AllowNew: anySkill, UnitIDs: []string{"u5", "u1"}, SkillID: "a", State: "live"})
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Enable: 2}, plan.Counts)
	require.Equal(t, "units file (2 units)", plan.Groups[0].Selector)
	plan, err = f.setDesired(t, store.DesiredSetParams{AllowNew: anySkill, Selector: "unit in (u1,u4,u5,u2)", SkillID: "a", State: "certification", DryRun: true})
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Stage: 3, Enable: 1}, plan.Counts)
	require.Contains(t, f.desired(t), "u1/a=live", "a dry run changes nothing")

	items, _, err := f.DesiredHistory(t.Context(), store.HistoryFilter{UnitID: "u5", SkillID: "a"})
	require.NoError(t, err)
	require.Len(t, items, 3)
	require.Equal(t, fleet.StateDisabled, *items[1].State)
	require.Equal(t, "moving", items[1].Reason)
	require.Equal(t, "floor=2", items[1].Selector)
	require.Equal(t, fleet.DesiredBySet, items[1].Source)
	entries, _, err := f.ListLog(t.Context(), store.LogFilter{Action: "desired.set"})
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Equal(t, "disabled", entries[1].Detail["state"])
	require.Equal(t, "floor=2", entries[1].Detail["selector"])
}

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	_, err := f.pool.Exec(t.Context(), "UPDATE accounts SET protected_skills = '{mine}'")
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		p     store.DesiredSetParams
		field string
		code  fleet.Code
	}{
		"no units":           {store.DesiredSetParams{AllowNew: anySkill, SkillID: "a", State: "live"}, "select", fleet.CodeInvalid},
		"units twice":        {store.DesiredSetParams{AllowNew: anySkill, Selector: "all", UnitIDs: []string{"u1"}, SkillID: "a", State: "live"}, "select", fleet.CodeInvalid},
		"a bad selector":     {store.DesiredSetParams{AllowNew: anySkill, Selector: "x", SkillID: "a", State: "live"}, "select", fleet.CodeInvalid},
		"an empty selection": {store.DesiredSetParams{AllowNew: anySkill, Selector: "floor=9", SkillID: "a", State: "live"}, "select", fleet.CodeInvalid},
		"unknown units":      {store.DesiredSetParams{AllowNew: anySkill, UnitIDs: []string{"u1", "u9", "u1"}, SkillID: "a", State: "live"}, "units-file", fleet.CodeInvalid},
		"no skill":           {store.DesiredSetParams{AllowNew: anySkill, Selector: "all", State: "live"}, "skill", fleet.CodeInvalid},
		"no state":           {store.DesiredSetParams{AllowNew: anySkill, Selector: "all", SkillID: "a"}, "state", fleet.CodeInvalid},
		"an unknown stage":   {store.DesiredSetParams{AllowNew: anySkill, Selector: "all", SkillID: "a", State: "prod"}, "state", fleet.CodeInvalid},
		"a protected skill":  {store.DesiredSetParams{AllowNew: anySkill, Selector: "all", SkillID: fleet.ProtectedSkills()[0], State: fleet.StateDisabled}, "skill", fleet.CodeConflict},
		"the account's own":  {store.DesiredSetParams{AllowNew: anySkill, Selector: "all", SkillID: "mine", State: "live"}, "skill", fleet.CodeConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := f.setDesired(t, tc.p)
			e := asFleet(t, err)
			require.Equal(t, tc.code, e.Code)
			require.Equal(t, tc.field, e.Field)
			f.nothingDesired(t)
		})
	}
}

func (f fixture) adopt(t *testing.T, p store.DesiredAdoptParams) (store.DesiredPlan, error) {
	t.Helper()
	p.Account = "acme"
	plan, _, err := f.AdoptDesired(t.Context(), p, f.by, store.Idempotency{})
	return plan, err
}

// adoptable is six homes of which u1 to u3 were seen whole: u1 and u2 have a, u2 has b
// at another stage, and more that tells nothing.
func adoptable(t *testing.T) fixture {
	t.Helper()
	f := newHomes(t)
	f.seeWhole(t, "u1", "u2", "u3")
	f.see(t, "u1", "a", fleet.StatusEnabled, fleet.StageLive)
	f.see(t, "u2", "a", fleet.StatusEnabled, fleet.StageLive)
	f.see(t, "u2", "b", fleet.StatusEnabled, fleet.StageDevelopment)
	f.see(t, "u3", "a", "", "")                         // a write in doubt
	f.see(t, "u3", "b", fleet.StatusEnabling, "live")   // on its way
	f.see(t, "u3", "c", fleet.StatusDisabled, "")       // not enabled
	f.see(t, "u4", "a", fleet.StatusEnabled, "live")    // known, though never seen whole
	f.see(t, "u5", "a", fleet.StatusEnabled, "")        // enabled at no stage that is known
	f.see(t, "u6", "a", fleet.StatusAbsent, "")         // not enabled
	f.see(t, "u1", "mine", fleet.StatusEnabled, "live") // protected by the account
	f.see(t, "u1", fleet.ProtectedSkills()[0], fleet.StatusEnabled, "live")
	_, err := f.pool.Exec(t.Context(), "UPDATE accounts SET protected_skills = '{mine}'")
	require.NoError(t, err)
	return f
}

func TestAdoptTakesWhatIsEnabled(t *testing.T) {
	t.Parallel()
	f := adoptable(t)

	plan, err := f.adopt(t, store.DesiredAdoptParams{Selector: "all", Reason: "first audit"})

	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Enable: 4}, plan.Counts)
	require.Equal(t, 3, plan.NeverSeen)
	require.Equal(t, 2, plan.UnknownSeen)
	require.Equal(t, []string{"u1/a=live", "u2/a=live", "u2/b=development", "u4/a=live"}, f.desired(t))
	require.Equal(t, []string{"a", "b"}, f.managed(t))
	plan, err = f.adopt(t, store.DesiredAdoptParams{Selector: "all"})
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Unchanged: 4}, plan.Counts)
	require.Empty(t, plan.ID)
	entries, _, err := f.ListLog(t.Context(), store.LogFilter{})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "desired.adopt", entries[0].Action)
	require.Equal(t, "first audit", entries[0].Reason)
}

func TestAdoptTakesSomeSkillsOfSomeUnits(t *testing.T) {
	t.Parallel()
	f := adoptable(t)

	plan, err := f.adopt(t, store.DesiredAdoptParams{Selector: "property=maple", Skills: []string{"b", "never-seen"}})

	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Enable: 1}, plan.Counts)
	require.Zero(t, plan.NeverSeen)
	require.Zero(t, plan.UnknownSeen)
	require.Equal(t, []string{"u2/b=development"}, f.desired(t))
	_, err = f.adopt(t, store.DesiredAdoptParams{Selector: "all", Skills: []string{"mine"}})
	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
	_, err = f.adopt(t, store.DesiredAdoptParams{Selector: "all", Skills: []string{"a b"}})
	require.Equal(t, "skill", asFleet(t, err).Field)
	_, err = f.adopt(t, store.DesiredAdoptParams{Selector: "floor=9"})
	require.Equal(t, "select", asFleet(t, err).Field)
	_, err = f.adopt(t, store.DesiredAdoptParams{})
	require.Equal(t, "select", asFleet(t, err).Field)
}

// What should be enabled and was seen not to be stays so unless that is asked for, and
// what was not seen stays in any case.
func TestAdoptTakesWhatIsNotEnabledWhenAsked(t *testing.T) {
	t.Parallel()
	f := adoptable(t)
	_, err := f.apply(t, "- {select: all, skills: {a: live, b: live, c: live}}")
	require.NoError(t, err)

	plan, err := f.adopt(t, store.DesiredAdoptParams{Selector: "all", DryRun: true})
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Stage: 1, Unchanged: 3}, plan.Counts)

	plan, err = f.adopt(t, store.DesiredAdoptParams{Selector: "all", Disabled: true})
	require.NoError(t, err)
	require.Equal(t, store.DesiredCounts{Stage: 1, Disable: 5, Unchanged: 3}, plan.Counts)
	require.Equal(t, []string{
		"u1/a=live", "u1/b=disabled", "u1/c=disabled", // seen whole, and not there
		"u2/a=live", "u2/b=development", "u2/c=disabled",
		"u3/a=live", "u3/b=live", "u3/c=disabled", // in doubt and on its way; disabled
		"u4/a=live", "u4/b=live", "u4/c=live", // never seen whole
		"u5/a=live", "u5/b=live", "u5/c=live",
		"u6/a=disabled", "u6/b=live", "u6/c=live", // one answer said so
	}, f.desired(t))
}
