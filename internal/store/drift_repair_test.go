package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

const skillB = "amzn1.ask.skill.b"

// repairs asks for the repair of what a filter picks, with guardrails that let it all through.
func repairs(filter store.DriftFilter) store.RepairParams {
	return store.RepairParams{Filter: filter, Guardrails: store.RolloutParams{MaxFailures: "100%", Reason: "night shift"}}
}

// sorts is a small fleet with a finding of every kind, and of every reason to leave
// one alone.
func sorts(t *testing.T) *yard {
	t.Helper()
	y := &yard{fixture: newDrifted(t, 20)}
	y.found(t, missing("u1"))
	y.found(t, missing("u2"))
	y.found(t, finding{unit: "u3", kind: fleet.DriftWrongStage, desired: new("live"), status: fleet.StatusEnabled, stage: "development"})
	y.found(t, finding{unit: "u4", kind: fleet.DriftNotLinked, desired: new("live"), status: fleet.StatusEnabled, stage: "live"})
	y.found(t, finding{unit: "u5", kind: fleet.DriftStuckEnabling, desired: new("development"), status: fleet.StatusEnabling, stage: "development"})
	y.found(t, finding{unit: "u6", kind: fleet.DriftUnexpected, desired: new(""), status: fleet.StatusEnabled, stage: "live"})
	y.found(t, finding{unit: "u7", kind: fleet.DriftUnexpected, status: fleet.StatusEnabled, stage: "live"})
	y.found(t, finding{unit: "u8", kind: fleet.DriftUnexpected, status: fleet.StatusEnabled, stage: "development"})
	y.found(t, finding{unit: "u1", skill: skillB, kind: fleet.DriftMissing, desired: new("live")})

	y.found(t, missing("u11")) // occupied
	y.found(t, missing("u12")) // unknown
	y.found(t, missing("u13")) // in flight
	y.found(t, finding{unit: "u14", skill: "amzn1.ask.skill.mine", kind: fleet.DriftMissing, desired: new("live")})
	y.found(t, finding{unit: "u15", kind: fleet.DriftUnexpected, status: fleet.StatusEnabled}) // at no stage
	y.found(t, missing("u16"))                                                                 // ignored
	y.found(t, missing("u17"))                                                                 // no longer desired
	y.set(t, "UPDATE units SET occupancy = 'linked' WHERE unit_id = 'u11'")
	y.set(t, "UPDATE unit_sights SET result = 'unknown' FROM units WHERE units.id = unit_sights.unit_id AND units.unit_id = 'u12'")
	y.create(t, func(p *store.RolloutParams) { p.Selector, p.UnitIDs = "", []string{"u13"} })
	_, err := y.SetAccount(t.Context(), "acme", store.AccountPatch{ProtectedSkills: []string{"amzn1.ask.skill.mine"}}, y.by)
	require.NoError(t, err)
	y.set(t, "UPDATE drifts SET ignored_until = now() + interval '1 hour' FROM units WHERE units.id = drifts.unit_id AND units.unit_id = 'u16'")
	y.set(t, "UPDATE desired SET stage = '' FROM units WHERE units.id = desired.unit_id AND units.unit_id = 'u17'")
	return y
}

func (f fixture) unitsOf(t *testing.T, rollout string) (units []string) {
	t.Helper()
	targets, _, err := f.ListTargets(t.Context(), rollout, store.TargetFilter{Limit: store.MaxLimit})
	require.NoError(t, err)
	for _, target := range targets {
		units = append(units, target.UnitID)
	}
	return units
}

func TestRepairMakesARolloutForEachSkillActionAndStage(t *testing.T) {
	t.Parallel()
	y := sorts(t)
	before := y.count(t, "SELECT count(*) FROM rollouts")

	plan, err := y.PlanRepair(t.Context(), repairs(store.DriftFilter{}))
	require.NoError(t, err)
	require.Equal(t, before, y.count(t, "SELECT count(*) FROM rollouts"), "a plan leaves nothing behind")
	got, again, err := y.RepairDrift(t.Context(), repairs(store.DriftFilter{}), y.by, store.Idempotency{})
	require.NoError(t, err)
	require.False(t, again)

	skipped := []store.RepairSkipped{
		{Reason: store.RepairOccupied, Count: 1},
		{Reason: store.RepairUnknown, Count: 1},
		{Reason: store.RepairInFlight, Count: 1},
		{Reason: store.RepairProtected, Count: 1},
		{Reason: store.RepairNoAction, Count: 2},
	}
	require.Equal(t, 15, got.Findings)
	require.Equal(t, 9, got.Targets)
	require.Equal(t, skipped, got.Skipped)
	require.Len(t, got.Rollouts, 5)
	for i, want := range []struct {
		skill  string
		action fleet.Action
		stage  fleet.Stage
		units  []string
	}{
		{skillB, fleet.ActionEnable, fleet.StageLive, []string{"u1"}},
		{testSkill, fleet.ActionDisable, fleet.StageDevelopment, []string{"u8"}},
		{testSkill, fleet.ActionDisable, fleet.StageLive, []string{"u6", "u7"}},
		{testSkill, fleet.ActionEnable, fleet.StageDevelopment, []string{"u5"}},
		{testSkill, fleet.ActionEnable, fleet.StageLive, []string{"u1", "u2", "u3", "u4"}},
	} {
		r := got.Rollouts[i]
		require.Equal(t, []any{want.skill, want.action, want.stage, want.units}, []any{r.SkillID, r.Action, r.Stage, y.unitsOf(t, r.ID)})
		require.Equal(t, fleet.OriginRepair, r.Origin)
		require.Equal(t, "night shift", r.Reason)
		require.Equal(t, "ann", r.CreatedBy)
		require.Equal(t, fmt.Sprintf("drift (%d findings)", r.Targets), r.Selector)
		require.Equal(t, []any{r.SkillID, r.Action, r.Stage, r.Targets, r.Price}, []any{
			plan.Plans[i].SkillID, plan.Plans[i].Action, plan.Plans[i].Stage, plan.Plans[i].Targets, plan.Plans[i].Price,
		}, "the plan is what is created")
	}
	require.Equal(t, []any{true, 15, 9, skipped, 0}, []any{plan.DryRun, plan.Findings, plan.Targets, plan.Skipped, len(plan.Rollouts)})
	require.Equal(t, 1, y.count(t, `SELECT count(*) FROM log_entries WHERE action = 'drift.repair' AND reason = 'night shift'
		AND detail ->> 'targets' = '9' AND jsonb_array_length(detail -> 'rollouts') = 5`))
	require.Equal(t, 5, y.count(t, "SELECT count(*) FROM log_entries WHERE action = 'rollout.create' AND reason = 'night shift'"))

	t.Run("a second repair leaves what is under way alone", func(t *testing.T) {
		got, _, err := y.RepairDrift(t.Context(), repairs(store.DriftFilter{}), y.by, store.Idempotency{})
		require.NoError(t, err)
		require.Zero(t, got.Targets)
		require.Empty(t, got.Rollouts)
		require.Contains(t, got.Skipped, store.RepairSkipped{Reason: store.RepairInFlight, Count: 10})
	})
	t.Run("what has ended stands in nobody's way", func(t *testing.T) {
		y.set(t, "UPDATE rollouts SET ended_at = now(), state = 'canceled' WHERE skill_id = (SELECT id FROM skills WHERE skill_id = $1)", testSkill)
		got, err := y.PlanRepair(t.Context(), repairs(store.DriftFilter{}))
		require.NoError(t, err)
		require.Equal(t, 9, got.Targets, "u13 can be repaired by now, and the other skill is still under way")
		require.Contains(t, got.Skipped, store.RepairSkipped{Reason: store.RepairInFlight, Count: 1})
	})
}

func TestRepairTakesWhatIsDesiredAndSeenNow(t *testing.T) {
	t.Parallel()
	y := &yard{fixture: newDrifted(t, 4)}
	y.found(t, missing("u1"))
	y.found(t, finding{unit: "u2", kind: fleet.DriftUnexpected, status: fleet.StatusEnabled, stage: "live"})
	y.set(t, "UPDATE desired SET stage = 'development'")
	y.set(t, "UPDATE observed SET stage = 'certification' WHERE status = 'ENABLED'")

	got, err := y.PlanRepair(t.Context(), repairs(store.DriftFilter{}))

	require.NoError(t, err)
	require.Len(t, got.Plans, 2)
	require.Equal(t, []any{fleet.ActionDisable, fleet.StageCertification}, []any{got.Plans[0].Action, got.Plans[0].Stage})
	require.Equal(t, []any{fleet.ActionEnable, fleet.StageDevelopment}, []any{got.Plans[1].Action, got.Plans[1].Stage})
}

func TestAutomaticRepairTakesOnlyItsOwnBelowACeiling(t *testing.T) {
	t.Parallel()
	y := sorts(t)
	p := repairs(store.DriftFilter{Account: "acme"})
	p.OwnOnly, p.Ceiling = true, 14

	_, _, err := y.RepairDrift(t.Context(), p, y.by, store.Idempotency{})
	require.ErrorIs(t, err, store.ErrAboveCeiling)
	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
	require.Equal(t, 1, y.count(t, "SELECT count(*) FROM rollouts"))

	p.Ceiling = 15
	got, _, err := y.RepairDrift(t.Context(), p, y.by, store.Idempotency{})
	require.NoError(t, err)
	require.Contains(t, got.Skipped, store.RepairSkipped{Reason: store.RepairNotDesired, Count: 3})
	for _, r := range got.Rollouts {
		require.NotContains(t, y.unitsOf(t, r.ID), "u7")
	}
}

func TestRepairIsAllOrNothing(t *testing.T) {
	t.Parallel()
	y := sorts(t)
	before := y.count(t, "SELECT count(*) FROM rollouts")
	logged := y.count(t, "SELECT count(*) FROM log_entries")
	for name, tc := range map[string]struct {
		change func(*store.RepairParams)
		says   string
	}{
		"a wave that is none":        {func(p *store.RepairParams) { p.Guardrails.Waves = []string{"some"} }, "some"},
		"occupied homes":             {func(p *store.RepairParams) { p.Guardrails.IncludeOccupied = true }, "never writes"},
		"a filter of nothing":        {func(p *store.RepairParams) { p.Filter.Property = "elsewhere" }, "no open finding matches property=elsewhere"},
		"an unknown kind":            {func(p *store.RepairParams) { p.Filter.Kind = "lost" }, "no kind of drift"},
		"an ID that is no finding":   {func(p *store.RepairParams) { p.Filter.IDs = []string{"dr-0"} }, "no open findings"},
		"a stage in the way of none": {func(p *store.RepairParams) { p.Guardrails.Weight = 5000 }, "weight"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := repairs(store.DriftFilter{})
			tc.change(&p)
			for _, err := range []error{second(y.PlanRepair(t.Context(), p)), third(y.RepairDrift(t.Context(), p, y.by, store.Idempotency{Key: "k" + name, Hash: []byte("h")}))} {
				require.Contains(t, asFleet(t, err).Error(), tc.says)
			}
			require.Equal(t, before, y.count(t, "SELECT count(*) FROM rollouts"))
			require.Equal(t, logged, y.count(t, "SELECT count(*) FROM log_entries"))
		})
	}
}

func TestARepeatedRepairIsTheFirst(t *testing.T) {
	t.Parallel()
	y := sorts(t)
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	first, again, err := y.RepairDrift(t.Context(), repairs(store.DriftFilter{}), y.by, once)
	require.NoError(t, err)
	require.False(t, again)
	n := y.count(t, "SELECT count(*) FROM rollouts")

	got, again, err := y.RepairDrift(t.Context(), repairs(store.DriftFilter{}), y.by, once)

	require.NoError(t, err)
	require.True(t, again)
	require.Equal(t, n, y.count(t, "SELECT count(*) FROM rollouts"))
	require.Equal(t, []any{first.Findings, first.Targets, first.Skipped}, []any{got.Findings, got.Targets, got.Skipped})
	require.Len(t, got.Rollouts, len(first.Rollouts))
	for i := range got.Rollouts {
		require.Equal(t, first.Rollouts[i].ID, got.Rollouts[i].ID)
	}

	_, _, err = y.RepairDrift(t.Context(), repairs(store.DriftFilter{}), y.by, store.Idempotency{Key: "none", Hash: []byte("h")})
	require.NoError(t, err)
	got, again, err = y.RepairDrift(t.Context(), repairs(store.DriftFilter{}), y.by, store.Idempotency{Key: "none", Hash: []byte("h")})
	require.NoError(t, err)
	require.True(t, again, "also where there was nothing to repair")
	require.Empty(t, got.Rollouts)
}

// Repairs at once, of one account and of all, neither stand in each other's way nor
// take up a unit twice.
func TestRepairsAtOnce(t *testing.T) {
	t.Parallel()
	y := sorts(t)
	targets := make(chan int)
	for i := range 6 {
		go func() {
			filter := store.DriftFilter{}
			if i%2 == 0 {
				filter.Account = "acme"
			}
			got, _, err := y.RepairDrift(t.Context(), repairs(filter), y.by, store.Idempotency{})
			if err != nil {
				t.Error(err)
			}
			targets <- got.Targets
		}()
	}
	sum := 0
	for range 6 {
		sum += <-targets
	}
	require.Equal(t, 9, sum)
	require.Zero(t, y.count(t, `SELECT count(*) FROM (SELECT 1 FROM targets JOIN rollouts ON rollouts.id = targets.rollout_id
		GROUP BY unit_id, skill_id HAVING count(*) > 1) AS twice`))
}

// Over random findings: targets and skipped sum to the findings, no target is
// occupied, unknown or in flight, and each finding is in one rollout at most.
func TestARepairAccountsForEveryFinding(t *testing.T) {
	t.Parallel()
	y := &yard{fixture: newDrifted(t, 40)}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n > 25 { // each is a few dozen statements: enough
			return
		}
		y.set(t, "DELETE FROM targets")
		y.set(t, "TRUNCATE desired, desired_history, desired_changes, managed_skills")
		y.set(t, "DELETE FROM rollouts")
		y.set(t, "DELETE FROM drifts")
		y.set(t, "DELETE FROM desired")
		y.set(t, "DELETE FROM observed")
		y.set(t, "DELETE FROM unit_sights")
		for i := range rapid.IntRange(1, 12).Draw(rt, "findings") {
			d := finding{
				unit: fmt.Sprintf("u%d", i+1), skill: rapid.SampledFrom([]string{testSkill, skillB}).Draw(rt, "skill"),
				kind: rapid.SampledFrom(fleet.DriftKinds()).Draw(rt, "kind"), status: fleet.StatusEnabled,
				stage: rapid.SampledFrom(append(fleet.Stages(), "")).Draw(rt, "stage"),
			}
			if d.kind != fleet.DriftUnexpected || rapid.Bool().Draw(rt, "own") {
				d.desired = new(rapid.SampledFrom([]string{"", "live", "development"}).Draw(rt, "desired"))
			}
			y.found(t, d)
		}
		y.set(t, "UPDATE units SET occupancy = CASE WHEN id % $1 = 0 THEN 'occupied' ELSE 'vacant' END", rapid.IntRange(2, 5).Draw(rt, "occupied"))
		y.set(t, "UPDATE unit_sights SET result = 'unknown' WHERE unit_id % $1 = 0", rapid.IntRange(2, 5).Draw(rt, "unknown"))

		got, _, err := y.RepairDrift(t.Context(), repairs(store.DriftFilter{}), y.by, store.Idempotency{})
		require.NoError(rt, err)

		sum := got.Targets
		for _, s := range got.Skipped {
			require.Positive(rt, s.Count)
			sum += s.Count
		}
		require.Equal(rt, got.Findings, sum)
		require.Equal(rt, got.Targets, y.count(t, "SELECT count(*) FROM targets"))
		require.Equal(rt, got.Targets, y.count(t, `SELECT count(*) FROM drifts JOIN rollouts ON rollouts.skill_id = drifts.skill_id
			JOIN targets ON targets.rollout_id = rollouts.id AND targets.unit_id = drifts.unit_id`))
		require.Zero(rt, y.count(t, `SELECT count(*) FROM targets JOIN units ON units.id = targets.unit_id
			JOIN unit_sights ON unit_sights.unit_id = units.id WHERE units.occupancy <> 'vacant' OR unit_sights.result = 'unknown'`))
	})
}

func TestARepairThatIsScheduledKeepsItsGuardrails(t *testing.T) {
	t.Parallel()
	y := &yard{fixture: newDrifted(t, 10)}
	for i := range 10 {
		y.found(t, missing(fmt.Sprintf("u%d", i+1)))
	}
	p := repairs(store.DriftFilter{})
	p.Guardrails.Canary, p.Guardrails.Waves, p.Guardrails.StartAt = 1, []string{"50%"}, time.Now().Add(time.Hour)

	got, _, err := y.RepairDrift(t.Context(), p, y.by, store.Idempotency{})

	require.NoError(t, err)
	require.Len(t, got.Rollouts, 1)
	require.Equal(t, fleet.RolloutScheduled, got.Rollouts[0].State)
	require.Equal(t, 3, got.Rollouts[0].Wave.Of)
}
