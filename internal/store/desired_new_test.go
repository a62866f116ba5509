package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// known lets only these skills be new.
func known(skills ...string) func(*store.DesiredApplyParams) {
	return func(p *store.DesiredApplyParams) { p.AllowNew = skills }
}

func TestApplyRefusesSkillsThatTheAccountNeverMet(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	w := &night{fixture: y.fixture}
	unit := w.unitNames(t)[0]
	y.create(t) // a rollout of testSkill, that released nothing yet
	w.exec(t, "INSERT INTO skills (skill_id) VALUES ('seen'), ('elsewhere')")
	w.exec(t, `INSERT INTO observed (unit_id, skill_id, status, stage, observed_at, changed_at)
		SELECT units.id, skills.id, 'ENABLED', 'live', now(), now() FROM units, skills WHERE units.unit_id = $1 AND skills.skill_id = 'seen'`, unit)
	w.account(t, "other")
	_, err := w.load(t, "other", store.ImportParams{}, "u1,oak,,vacant,")
	require.NoError(t, err)
	_, _, err = w.SetDesired(t.Context(), store.DesiredSetParams{
		AllowNew: []string{"elsewhere"}, Account: "other", Selector: "all", SkillID: "elsewhere", State: "live",
	}, w.by, store.Idempotency{})
	require.NoError(t, err)
	_, err = w.apply(t, "  - select: all\n    skills: {desired: disabled}\n", known("desired"))
	require.NoError(t, err)
	before := w.desired(t)

	const file = `  - select: all
    skills:
      desired: disabled
      seen: live
      sen: live
      elsewhere: live
  - select: unit=` + "nobody" + `
    skills:
      sen: live
`
	_, err = w.apply(t, file, known())

	bad := asFleet(t, err)
	require.Equal(t, fleet.CodeInvalid, bad.Code)
	require.Equal(t, "file", bad.Field)
	require.Contains(t, bad.Message, "2 things are wrong with the document: mend them and apply it again, nothing was changed")
	require.Len(t, bad.Details, 2)
	require.Equal(t, fleet.Detail{
		Location: "line 8, column 7", Value: "sen",
		Message: "account acme never met the skill sen (it stands in 2 entries): no audit, write or read saw it, nothing was ever desired of it, " +
			"and no rollout was of it; mend the ID or, if the skill is new, say so (--allow-new-skill sen, or allow_new_skills)",
	}, bad.Details[0])
	require.Equal(t, "line 9, column 7", bad.Details[1].Location, "what another account met is new to this one")
	_, err = w.PlanDesired(t.Context(), store.DesiredApplyParams{Document: parse(t, file)})
	require.Equal(t, bad.Details, asFleet(t, err).Details, "a plan says the same")
	require.Equal(t, before, w.desired(t), "nothing was changed")
	require.Zero(t, w.count(t, "SELECT count(*) FROM skills WHERE skill_id = 'sen'"))

	_, err = w.apply(t, "  - select: all\n    skills:\n      desired: disabled\n      seen: live\n      new: live\n      "+testSkill+": live\n", known("new", "not named"))
	require.NoError(t, err)
	_, err = w.apply(t, "  - select: all\n    skills:\n      new: development\n      seen: live\n      "+testSkill+": live\n", known())
	require.NoError(t, err, "it has been met now")
	_, err = w.apply(t, "  - select: all\n    skills: {seen: live}\n", known(), allowEmpty)
	require.NoError(t, err)
	_, err = w.apply(t, "  - select: all\n    skills: {seen: live, new: live}\n", known())
	require.NoError(t, err, "also when it was taken away meanwhile")

	unmet, err := w.NewSkills(t.Context(), "acme", []string{"sen", "new", "seen", "elsewhere", "sen"})
	require.NoError(t, err)
	require.Equal(t, []string{"sen", "elsewhere"}, unmet)
	_, err = w.NewSkills(t.Context(), "nobody", []string{"sen"})
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

// What nothing is desired of any more is no drift, and a repair leaves it alone.
func TestWhatIsManagedNoMoreHasNoDrift(t *testing.T) {
	t.Parallel()
	w := newNight(t, 4)
	_, err := w.apply(t, "  - select: unit=home-1\n    skills: {a: live, b: live}\n")
	require.NoError(t, err)
	w.run(t, every(sight{"a": on, "b": on}))
	require.Len(t, w.drift(t, store.DriftFilter{}), 6, "unexpected on the three homes that nothing is said about")
	repair, err := w.PlanRepair(t.Context(), store.RepairParams{})
	require.NoError(t, err)
	require.Equal(t, 6, repair.Targets)

	_, err = w.apply(t, "  - select: unit=home-1\n    skills: {b: live}\n", allowEmpty)

	require.NoError(t, err)
	for _, d := range w.drift(t, store.DriftFilter{}) {
		require.Equal(t, "b", d.SkillID)
	}
	repair, err = w.PlanRepair(t.Context(), store.RepairParams{})
	require.NoError(t, err)
	require.Equal(t, 3, repair.Targets)
	require.Equal(t, 3, w.run(t, every(sight{"a": on, "b": on})).Drifted)
}

// An account that has met no skill has nothing to tell a typing error by.
func TestTheFirstSkillsOfAnAccount(t *testing.T) {
	t.Parallel()
	w := newNight(t, 1)
	_, err := w.apply(t, "  - select: all\n    skills: {a: live, b: live}\n", known())
	require.NoError(t, err)
	set := store.DesiredSetParams{Account: "acme", Selector: "all", SkillID: "c", State: "live"}
	_, _, err = w.SetDesired(t.Context(), set, w.by, store.Idempotency{})
	require.Equal(t, "skill", asFleet(t, err).Field)
	require.Contains(t, asFleet(t, err).Message, "account acme never met the skill c: no audit, write or read saw it")
	set.State = "disabled"
	_, _, err = w.SetDesired(t.Context(), set, w.by, store.Idempotency{})
	require.NoError(t, err, "a ban is sound before the skill is seen anywhere")
	set.State = "live"
	_, _, err = w.SetDesired(t.Context(), set, w.by, store.Idempotency{})
	require.NoError(t, err, "it has been met now")
	require.Equal(t, 1, w.run(t, every(sight{"a": on, "b": on, "c": on, "d": on})).InSync)
	set.SkillID = "d"
	_, _, err = w.SetDesired(t.Context(), set, w.by, store.Idempotency{})
	require.NoError(t, err, "an audit saw it")
	_, err = w.apply(t, "  - select: all\n    skills: {a: live, b: live, c: live, d: live, e: live}\n", known(store.AnySkill))
	require.NoError(t, err)
}
