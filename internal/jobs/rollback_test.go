package jobs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

// rollback makes the rollout that takes another back.
func (w *world) rollback(id string, change ...func(*store.RolloutParams)) store.Rollout {
	w.t.Helper()
	p := store.RolloutParams{RollbackOf: id}
	for _, f := range change {
		f(&p)
	}
	r, _, err := w.store.CreateRollout(w.t.Context(), p, w.by, store.Idempotency{})
	require.NoError(w.t, err)
	return r
}

// A rollback puts back what each home had, which differs from home to home, and
// leaves alone what somebody changed since. Taken back itself, the rollout stands again.
func TestARollbackPutsBackWhatWasThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 40})
	var homes []string
	for n, u := range w.units() {
		homes = append(homes, u)
		if n%4 == 0 { // there before, at another stage
			require.NoError(t, w.sim.ChangeUnit(u, simulator.Change{Action: simulator.ChangeEnable, SkillID: skill, Stage: fleet.StageDevelopment}))
		}
	}
	w.start()
	first := w.create(noLimit)
	require.Equal(t, 40, w.untilState(first.ID, fleet.RolloutSucceeded).Counts.Succeeded)

	for _, u := range homes[:5] { // by somebody else
		require.NoError(t, w.sim.ChangeUnit(u, simulator.Change{Action: simulator.ChangeEnable, SkillID: skill, Stage: fleet.StageCertification}))
	}
	// Put back by hand, which is a change like any: this rollback has nothing to do there.
	require.NoError(t, w.sim.ChangeUnit(homes[5], simulator.Change{Action: simulator.ChangeDisable, SkillID: skill}))
	require.NoError(t, w.sim.ChangeUnit(homes[8], simulator.Change{Action: simulator.ChangeEnable, SkillID: skill, Stage: fleet.StageDevelopment}))
	back := w.rollback(first.ID, noLimit)
	require.Equal(t, first.ID, back.RollbackOf)
	require.Equal(t, fleet.OriginRollback, back.Origin)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM log_entries
		WHERE action = 'rollout.create' AND detail ->> 'origin' = 'rollback' AND detail ->> 'rollback_of' = '`+first.ID+`'`))
	require.Equal(t, fleet.ActionDisable, back.Action, "what most homes are in for")
	require.Equal(t, int64(80), back.Price.Requests, "a read and a write each")
	done := w.untilState(back.ID, fleet.RolloutSucceeded)
	require.Equal(t, fleet.Counts{Succeeded: 33, Skipped: 7}, done.Counts)
	for n, u := range homes {
		truth := w.sim.State(u, skill)
		switch {
		case n < 5:
			require.Equal(t, fleet.StageCertification, truth.Stage, "changed since, and left alone")
		case n%4 == 0:
			require.Equal(t, fleet.StageDevelopment, truth.Stage)
		default:
			require.Equal(t, fleet.StatusAbsent, truth.Status)
		}
	}
	reasons := map[fleet.Reason]int{}
	for _, target := range w.targets(back.ID) {
		reasons[target.Reason]++
	}
	require.Equal(t, map[fleet.Reason]int{"": 33, fleet.ReasonChangedSince: 7}, reasons)
	require.Equal(t, 10, w.count("SELECT count(*) FROM desired WHERE stage = 'development'"), "what was there is what is desired, also where somebody changed it")
	require.Equal(t, 30, w.count("SELECT count(*) FROM desired WHERE stage = ''"))

	again := w.rollback(back.ID, noLimit)
	require.Equal(t, fleet.Counts{Succeeded: 33}, w.untilState(again.ID, fleet.RolloutSucceeded).Counts)
	for n, u := range homes {
		if n <= 5 || n == 8 {
			continue
		}
		require.Equal(t, fleet.StageLive, w.sim.State(u, skill).Stage)
	}
	w.requireNoDoubleWrite()
}

// A home is put back only where it still is as the rollout left it, whatever it is now.
func TestAnAttemptToPutBack(t *testing.T) {
	t.Parallel()
	at := func(status fleet.Status, stage fleet.Stage) *fleet.Observation {
		return &fleet.Observation{Status: status, Stage: stage}
	}
	// What is put back, and what the rollout left.
	development := func(t *store.ClaimedTarget) {
		t.WantStage, t.OnlyIf = new(fleet.StageDevelopment), at(isEnabled, fleet.StageLive)
	}
	nothing := func(t *store.ClaimedTarget) {
		t.WantStage, t.OnlyIf = new(fleet.Stage("")), at(isEnabled, fleet.StageLive)
	}
	live := func(t *store.ClaimedTarget) {
		t.WantStage, t.OnlyIf = new(fleet.StageLive), at(fleet.StatusDisabled, "")
	}
	died := func(t *store.ClaimedTarget) { t.Prior = fleet.TargetRunning }
	inDevelopment, inCertification := record(200, isEnabled, fleet.StageDevelopment, ""), record(200, isEnabled, fleet.StageCertification, "")
	changed := func(requests, writes int, now fleet.Status) outcome {
		o := outcome{state: fleet.TargetSkipped, reason: fleet.ReasonChangedSince, attempts: 1, requests: requests, writes: writes, after: now}
		if writes == 0 {
			o.before = now
		}
		return o
	}
	done := func(requests, writes int, before, after fleet.Status) outcome {
		return outcome{state: fleet.TargetSucceeded, attempts: 1, requests: requests, writes: writes, before: before, after: after}
	}
	runSituations(t, map[string]*situation{
		"as it was left: written":               {target: development, steps: stepsOf{"GET", enabled, "POST", inDevelopment}, want: done(2, 1, isEnabled, isEnabled)},
		"as it was left, the stage is not told": {target: nothing, steps: stepsOf{"GET", record(200, isEnabled, "", ""), "DELETE", gone}, want: done(2, 1, isEnabled, isAbsent)},
		"gone, by another word":                 {target: live, steps: stepsOf{"GET", absent, "POST", created}, want: done(2, 1, isAbsent, isEnabled)},
		"changed to something else":             {target: development, steps: stepsOf{"GET", inCertification}, want: changed(1, 0, isEnabled)},
		"put back by hand, to a stage":          {target: development, steps: stepsOf{"GET", inDevelopment}, want: changed(1, 0, isEnabled)},
		"put back by hand, to nothing":          {target: nothing, steps: stepsOf{"GET", absent}, want: changed(1, 0, isAbsent)},
		"put back by hand, from nothing":        {target: live, steps: stepsOf{"GET", enabled}, want: changed(1, 0, isEnabled)},
		"occupied comes first": {
			target: both(development, occupied),
			want:   outcome{state: fleet.TargetSkipped, reason: fleet.ReasonOccupied, attempts: 1},
		},
		"the process died, and it is as it was left": {
			target: both(development, died), steps: stepsOf{"GET", enabled, "POST", inDevelopment}, want: done(2, 2, "", isEnabled),
		},
		"the process died, and it is put back": {
			target: both(development, died), steps: stepsOf{"GET", inDevelopment}, want: done(1, 1, "", isEnabled),
		},
		"the process died, and somebody changed it": {
			target: both(development, died), steps: stepsOf{"GET", inCertification}, want: changed(1, 1, isEnabled),
		},
		"the process died, and our disable failed": {
			target: both(nothing, died), steps: stepsOf{"GET", record(200, fleet.StatusDisablingFailed, fleet.StageLive, ""), "DELETE", gone},
			want: done(2, 2, "", isAbsent),
		},
	})
}

func TestARollbackThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 10})
	create := func(p store.RolloutParams) error {
		_, _, err := w.store.CreateRollout(t.Context(), p, w.by, store.Idempotency{})
		return err
	}
	require.ErrorContains(t, create(store.RolloutParams{RollbackOf: "ro-nothere"}), "there is no rollout")
	blind := w.create(func(p *store.RolloutParams) { p.ObservationAny, p.MaxFailures = true, "100%" })
	require.ErrorContains(t, create(store.RolloutParams{RollbackOf: blind.ID}), "has not ended")
	w.start()
	w.untilState(blind.ID, fleet.RolloutSucceeded)
	require.ErrorContains(t, create(store.RolloutParams{RollbackOf: blind.ID}), "nothing to put back")
	require.ErrorContains(t, create(store.RolloutParams{RollbackOf: blind.ID, ObservationAny: true}), "always reads")
	require.Equal(t, 1, w.count("SELECT count(*) FROM rollouts"), "nothing was made")
}

// units lists the homes in the order of the inventory.
func (w *world) units() []string {
	w.t.Helper()
	units, _, err := w.store.ListUnits(w.t.Context(), "acme", store.UnitFilter{Limit: store.MaxLimit})
	require.NoError(w.t, err)
	ids := make([]string, len(units))
	for i, u := range units {
		ids[i] = u.UnitID
	}
	return ids
}
