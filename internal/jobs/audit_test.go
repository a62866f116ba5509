package jobs

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

// want sets what is desired of a skill on every unit; an empty stage is disabled.
func (w *world) want(skill, stage string) {
	w.t.Helper()
	w.exec(`INSERT INTO skills (skill_id) VALUES ($1) ON CONFLICT DO NOTHING`, skill)
	w.exec(`
		INSERT INTO managed_skills (account_id, skill_id)
		SELECT accounts.id, skills.id FROM accounts, skills WHERE skills.skill_id = $1
		ON CONFLICT DO NOTHING`, skill)
	w.exec(`
		WITH change AS (
			INSERT INTO desired_changes (key, account_id, source, actor)
			SELECT 'dc-' || gen_random_uuid(), id, 'adopt', 'ann' FROM accounts WHERE name = 'acme' RETURNING id
		)
		INSERT INTO desired (unit_id, skill_id, stage, change_id, changed_at)
		SELECT units.id, skills.id, $2, change.id, now() FROM units, skills, change WHERE skills.skill_id = $1
		ON CONFLICT (unit_id, skill_id) DO UPDATE
		SET stage = excluded.stage, change_id = excluded.change_id, changed_at = excluded.changed_at`, skill, stage)
}

func (w *world) audit(change ...func(*store.AuditParams)) store.Audit {
	w.t.Helper()
	p := store.AuditParams{Account: "acme", Selector: "all"}
	for _, f := range change {
		f(&p)
	}
	a, _, err := w.store.CreateAudit(w.t.Context(), p, w.by, store.Idempotency{})
	require.NoError(w.t, err)
	return a
}

// untilAudited waits for the end of an audit; at every look its counts are whole.
func (w *world) untilAudited(id string) store.Audit {
	w.t.Helper()
	return w.untilAudit(id, "ended", func(a store.Audit) bool { return a.EndedAt != nil })
}

func (w *world) untilAudit(id, what string, ok func(store.Audit) bool) (a store.Audit) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		var err error
		a, err = w.store.Audit(w.t.Context(), id)
		require.NoError(w.t, err)
		require.LessOrEqual(w.t, a.Answered(), a.Units)
		sum := 0
		for _, n := range a.UnknownReasons {
			sum += n
		}
		require.Equal(w.t, a.Unknown, sum, "every unknown unit has a reason")
		return ok(a)
	}, 2*waitAtMost, pollEvery, "%s, not %+v", what, &a)
	return a
}

// finding is a row of drifts, as tests compare it.
type finding struct {
	Unit, Skill  string
	Kind         fleet.DriftKind
	Cause        fleet.DriftCause
	Detail       string
	First        time.Time
	Good         *time.Time
	Resolved     *time.Time
	Status       string
	DesiredStage *string
}

func (w *world) findings(where string) []finding {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `
		SELECT units.unit_id, skills.skill_id, kind, cause, cause_detail, first_seen_at, last_good_at, resolved_at, status, desired_stage
		FROM drifts JOIN units ON units.id = drifts.unit_id JOIN skills ON skills.id = drifts.skill_id
		WHERE `+where+` ORDER BY drifts.id`)
	require.NoError(w.t, err)
	defer rows.Close()
	var all []finding
	for rows.Next() {
		var f finding
		require.NoError(w.t, rows.Scan(&f.Unit, &f.Skill, &f.Kind, &f.Cause, &f.Detail, &f.First, &f.Good, &f.Resolved, &f.Status, &f.DesiredStage))
		all = append(all, f)
	}
	require.NoError(w.t, rows.Err())
	return all
}

// requireRead fails when anything but reads was sent.
func (w *world) requireRead() {
	w.t.Helper()
	require.Zero(w.t, w.sim.Stats().Writes, "an audit wrote")
}

func skillsNamed(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("amzn1.ask.skill.%02d", i)
	}
	return names
}

func enabledEverywhere(skills []string) []simulator.Enablement {
	var all []simulator.Enablement
	for _, s := range skills {
		all = append(all, simulator.Enablement{SkillID: s, Stage: fleet.StageLive})
	}
	return all
}

// 400 homes of 27 skills, three pages each: of 40 that were changed outside exactly
// those are found, with kind and cause, at the price of the pages.
func TestAnAuditFindsWhatWasChangedOutside(t *testing.T) {
	t.Parallel()
	const homes, pages = 400, 3
	skills := skillsNamed(27)
	w := newWorld(t, simulator.Config{Units: homes, Enabled: enabledEverywhere(skills)})
	for _, s := range skills {
		w.want(s, "live")
	}
	w.want("amzn1.ask.skill.off", "")
	w.start()

	first := w.untilAudited(w.audit().ID)
	require.Equal(t, fleet.AuditSucceeded, first.State)
	require.Equal(t, homes, first.InSync)
	require.InDelta(t, 1, first.Coverage, 0)
	require.EqualValues(t, homes*pages, first.Pages)
	require.EqualValues(t, homes*pages, first.Requests)
	require.Zero(t, first.Drift)

	kinds := map[string]fleet.DriftKind{}
	change := func(home int, skill string, kind fleet.DriftKind, c simulator.Change) {
		c.SkillID = skill
		require.NoError(t, w.sim.ChangeUnit(w.sim.UnitID(home), c))
		kinds[w.sim.UnitID(home)+" "+skill] = kind
	}
	for i := range 10 {
		change(i, skills[i], fleet.DriftMissing, simulator.Change{Action: simulator.ChangeDisable})
		change(100+i, skills[i], fleet.DriftWrongStage, simulator.Change{Action: simulator.ChangeEnable, Stage: fleet.StageDevelopment})
		change(200+i, "amzn1.ask.skill.off", fleet.DriftUnexpected, simulator.Change{Action: simulator.ChangeEnable})
		change(300+i, skills[i], fleet.DriftStuckEnabling, simulator.Change{Action: simulator.ChangeEnable, Status: fleet.StatusEnablingFailed})
	}
	second := w.untilAudited(w.audit().ID)
	require.Equal(t, fleet.AuditSucceeded, second.State)
	require.Equal(t, 40, second.Drifted)
	require.Equal(t, homes-40, second.InSync)
	require.Equal(t, store.AuditDrift{Opened: 40}, second.Drift)
	require.EqualValues(t, homes*pages, second.Requests)
	found := map[string]fleet.DriftKind{}
	for _, f := range w.findings("resolved_at IS NULL") {
		found[f.Unit+" "+f.Skill] = f.Kind
		require.Equal(t, fleet.CauseChangedOutside, f.Cause, "%+v", f)
		require.NotNil(t, f.Good)
		require.True(t, f.Good.Before(f.First))
		require.False(t, f.Good.Before(first.CreatedAt))
		require.False(t, f.First.Before(second.CreatedAt))
	}
	require.Equal(t, kinds, found)

	// Nothing new: what is known stays as it is, and what was mended resolves.
	for i := range 10 {
		require.NoError(t, w.sim.ChangeUnit(w.sim.UnitID(i), simulator.Change{Action: simulator.ChangeEnable, SkillID: skills[i]}))
	}
	third := w.untilAudited(w.audit().ID)
	require.Equal(t, store.AuditDrift{Resolved: 10}, third.Drift)
	require.Len(t, w.findings("resolved_at IS NULL"), 30)
	for _, f := range w.findings("resolved_at IS NOT NULL") {
		require.Equal(t, fleet.DriftMissing, f.Kind)
		require.False(t, f.Resolved.Before(third.CreatedAt))
	}
	w.requireRead()

	units, next, err := w.store.ListAuditUnits(t.Context(), third.ID, store.AuditUnitFilter{Result: fleet.AuditDrifted, Limit: 1000})
	require.NoError(t, err)
	require.Zero(t, next)
	require.Len(t, units, 30)
	require.Len(t, slices.Collect(maps.Keys(kinds)), 40)
}

// At a high rate units share jobs. One that fails goes again in a job of its own, and
// none is listed again that has its answer.
func TestUnitsThatShareAJobAreRetriedAlone(t *testing.T) {
	t.Parallel()
	const homes = 300
	skills := skillsNamed(3)
	w := newWorld(t, simulator.Config{
		Units: homes, Enabled: enabledEverywhere(skills), Faults: simulator.Faults{ErrorBefore: 0.1, Throttle: 0.1},
	}, func(p *store.AccountParams) { p.Rate, p.Burst = "10000", 500 })
	for _, s := range skills {
		w.want(s, "live")
	}
	w.start()

	a := w.untilAudited(w.audit().ID)

	require.Equal(t, fleet.AuditSucceeded, a.State)
	require.Equal(t, homes, a.InSync)
	require.EqualValues(t, homes, a.Pages)
	stats := w.sim.Stats()
	require.EqualValues(t, homes, stats.ByOperation[simulator.OperationList]["200"])
	require.Positive(t, stats.Faults["error_before"])
	require.EqualValues(t, stats.Requests, a.Requests)
	var shared, alone int
	require.NoError(t, w.pool.QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE jsonb_array_length(args -> 'units') > 1), count(*) FILTER (WHERE args ? 'tried')
		FROM river_job WHERE kind = 'audit'`).Scan(&shared, &alone))
	require.Less(t, shared, homes/2)
	require.Positive(t, alone)
	w.requireRead()
}
