package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// newShift is a yard at night: rollouts and audits of the same homes.
func newShift(t *testing.T, n int) (*yard, *night) {
	t.Helper()
	y := newYard(t, n)
	return y, &night{fixture: y.fixture}
}

// What a rollout has to do with is no drift, from its creation on until a list began
// after its end; and what may have changed since a page was read is not put on record.
func TestRolloutsInFlightAreNoDrift(t *testing.T) {
	t.Parallel()
	y, w := newShift(t, 1)
	w.exec(t, "INSERT INTO skills (skill_id) VALUES ($1)", testSkill)
	w.exec(t, "INSERT INTO managed_skills SELECT accounts.id, skills.id FROM accounts, skills")
	unit := w.unitNames(t)[0]

	require.Equal(t, 1, w.run(t, every(sight{testSkill: on})).Drifted, "nothing wants it")
	require.Equal(t, store.AuditDrift{Resolved: 1}, w.run(t, every(nil)).Drift)

	{ // Pending: the rollout is about to say what is desired. Nothing was written yet, so the sight stands.
		r := y.create(t, func(p *store.RolloutParams) { p.StartAt = time.Now().Add(time.Hour) })
		a := w.run(t, every(sight{testSkill: on}))
		require.Equal(t, 1, a.InSync)
		require.Zero(t, a.Drift)
		o, _, ok := w.observation(t, unit, testSkill)
		require.True(t, ok)
		require.Equal(t, fleet.StatusEnabled, o.Status)
		_, err := w.CancelRollout(t.Context(), r.ID, "", w.by)
		require.NoError(t, err)
	}
	require.Equal(t, store.AuditDrift{}, w.run(t, every(nil)).Drift)
	r := y.create(t, func(p *store.RolloutParams) { p.ObservationAny = true })
	y.tick(t, r.ID, 1)
	{ // Queued.
		a := w.run(t, every(nil))
		require.Equal(t, 1, a.InSync)
		require.Zero(t, a.Drift)
	}
	{ // Recalled by a pause: what is desired is what this rollout is still to write.
		_, err := w.PauseRollout(t.Context(), r.ID, "", w.by)
		require.NoError(t, err)
		a := w.run(t, every(nil))
		require.Equal(t, 1, a.InSync)
		require.Zero(t, a.Drift)
		_, err = w.ResumeRollout(t.Context(), r.ID, resuming("", w.by))
		require.NoError(t, err)
		y.take()
		y.tick(t, r.ID, 1)
	}
	claimed := y.claim(t)
	require.Len(t, claimed, 1)
	{ // Running: a write may come after the page was read.
		a := w.run(t, every(sight{testSkill: on}))
		require.Equal(t, 1, a.InSync)
		o, _, ok := w.observation(t, unit, testSkill)
		require.True(t, ok)
		require.Empty(t, o.Status, "nothing is known of it until somebody looks")
	}
	{ // Ended after the list began.
		a := w.begin(t)
		w.tick(t, a.ID, 1)
		loaded, err := w.LoadAuditUnits(t.Context(), w.take())
		require.NoError(t, err)
		y.record(t, ended(claimed[0], fleet.TargetSucceeded, ""))
		y.tick(t, r.ID, 1)
		require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{look(loaded[0], nil, "")}))
		require.Equal(t, 1, w.audit(t, a.ID).InSync)
		w.tick(t, a.ID, 1)
		o, _, _ := w.observation(t, unit, testSkill)
		require.Equal(t, fleet.StatusEnabled, o.Status, "what was proven stays")
	}
	require.Equal(t, fleet.RolloutSucceeded, y.whole(t, r.ID).State)

	// From now on it counts, and our own records say when it was good.
	w.want(t, testSkill, "live")
	require.Equal(t, store.AuditDrift{Opened: 1}, w.run(t, every(nil)).Drift)
	f := w.found1(t)
	require.Equal(t, fleet.DriftMissing, f.Kind)
	require.Equal(t, fleet.CauseChangedOutside, f.Cause)
	require.Contains(t, f.CauseDetail, r.ID)
	require.NotNil(t, f.LastGoodAt)
}

func (w *night) unitNames(t *testing.T) (names []string) {
	t.Helper()
	rows, err := w.pool.Query(t.Context(), "SELECT unit_id FROM units ORDER BY id")
	require.NoError(t, err)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	return names
}

// A change of what is desired while the list is read is compared the next time.
func TestDesiredChangesInFlight(t *testing.T) {
	t.Parallel()
	w := newNight(t, 2)
	w.want(t, testSkill, "live")
	w.want(t, "other", "live")
	w.run(t, every(sight{testSkill: on, "other": on}))
	a := w.begin(t)
	w.tick(t, a.ID, 2)
	loaded, err := w.LoadAuditUnits(t.Context(), w.take())
	require.NoError(t, err)
	_, _, err = w.SetDesired(t.Context(), store.DesiredSetParams{
		AllowNew: anySkill, Account: "acme", Selector: "all", SkillID: testSkill, State: "disabled",
	}, w.by, store.Idempotency{})
	require.NoError(t, err)
	var sights []store.AuditSight
	for _, target := range loaded {
		sights = append(sights, look(target, sight{testSkill: on, "other": on}, ""))
	}
	require.NoError(t, w.RecordAuditUnits(t.Context(), sights))
	require.Equal(t, 2, w.audit(t, a.ID).InSync)
	w.tick(t, a.ID, 2)

	next := w.run(t, every(sight{testSkill: on, "other": on}))
	require.Equal(t, 2, next.Drifted)
	for _, f := range w.drift(t, store.DriftFilter{}) {
		require.Equal(t, fleet.DriftUnexpected, f.Kind)
		require.Equal(t, fleet.CauseDesiredChanged, f.Cause, f.CauseDetail)
	}
}

// Why a home differs is joined from our own records.
func TestCauses(t *testing.T) {
	t.Parallel()
	both := sight{testSkill: on, "other": on}
	tests := map[string]struct {
		before func(t *testing.T, y *yard, w *night)
		shown  sight
		cause  fleet.DriftCause
		says   string
		good   bool
	}{
		"changed outside": {
			before: func(t *testing.T, _ *yard, w *night) { t.Helper(); w.run(t, every(both)) },
			shown:  sight{"other": on}, cause: fleet.CauseChangedOutside, says: "last seen as desired at", good: true,
		},
		"reset": {
			before: func(t *testing.T, _ *yard, w *night) { t.Helper(); w.run(t, every(both)) },
			shown:  nil, cause: fleet.CauseUnitReset, says: "vanished from the home at once", good: true,
		},
		"occupied": {
			before: func(t *testing.T, _ *yard, w *night) {
				t.Helper()
				w.run(t, every(both))
				w.exec(t, "UPDATE units SET occupancy = 'occupied'")
			},
			shown: sight{"other": on}, cause: fleet.CauseOccupied, says: "the home is occupied", good: true,
		},
		"never audited": {shown: sight{"other": on}, cause: fleet.CauseUnitNew, says: "never audited"},
		"unknown": {
			before: func(t *testing.T, _ *yard, w *night) {
				t.Helper()
				w.run(t, func(string) (sight, fleet.UnknownReason) { return nil, fleet.UnknownForbidden })
			},
			shown: sight{"other": on}, cause: fleet.CauseUnknown, says: "no record of ours says why",
		},
		"our write failed": {
			before: func(t *testing.T, y *yard, w *night) {
				t.Helper()
				w.run(t, every(both))
				r := y.create(t, func(p *store.RolloutParams) { p.ObservationMaxAge = time.Nanosecond })
				y.work(t, r.ID, func(c store.ClaimedTarget) store.TargetRecord {
					return ended(c, fleet.TargetFailed, fleet.ReasonEnablingFailed)
				})
			},
			shown: sight{"other": on}, cause: fleet.CauseWriteFailed, says: "enabling_failed", good: true,
		},
		"the API does not know the skill": {
			before: func(t *testing.T, y *yard, w *night) {
				t.Helper()
				w.run(t, every(both))
				r := y.create(t, func(p *store.RolloutParams) { p.ObservationMaxAge = time.Nanosecond })
				y.work(t, r.ID, func(c store.ClaimedTarget) store.TargetRecord {
					return ended(c, fleet.TargetFailed, fleet.ReasonSkillNotFound)
				})
			},
			shown: sight{"other": on}, cause: fleet.CauseSkillWithdrawn, says: "no such skill", good: true,
		},
		"proven by a rollout": {
			before: func(t *testing.T, y *yard, w *night) {
				t.Helper()
				w.run(t, every(sight{"other": on}))
				r := y.create(t, func(p *store.RolloutParams) { p.ObservationAny = true })
				y.work(t, r.ID, func(c store.ClaimedTarget) store.TargetRecord { return ended(c, fleet.TargetSucceeded, "") })
			},
			shown: sight{"other": on}, cause: fleet.CauseChangedOutside, says: "proved it at", good: true,
		},
		"desired by hand since": {
			before: func(t *testing.T, _ *yard, w *night) {
				t.Helper()
				w.run(t, every(sight{"other": on}))
				w.exec(t, "DELETE FROM desired WHERE skill_id = (SELECT id FROM skills WHERE skill_id = $1)", testSkill)
				w.exec(t, "DELETE FROM drifts")
				_, _, err := w.SetDesired(t.Context(), store.DesiredSetParams{AllowNew: anySkill, Account: "acme", Selector: "all", SkillID: testSkill, State: "live"}, w.by, store.Idempotency{})
				require.NoError(t, err)
			},
			shown: sight{"other": on}, cause: fleet.CauseDesiredChanged, says: "by set",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y, w := newShift(t, 1)
			w.want(t, testSkill, "live")
			w.want(t, "other", "live")
			w.exec(t, "UPDATE desired_changes SET source = 'rollout'")
			if tt.before != nil {
				tt.before(t, y, w)
			}
			w.exec(t, "DELETE FROM drifts")
			a := w.run(t, every(tt.shown))
			require.Equal(t, 1, a.Drifted)
			for _, f := range w.drift(t, store.DriftFilter{}) {
				require.Equal(t, fleet.DriftMissing, f.Kind)
				require.Equal(t, tt.cause, f.Cause, f.CauseDetail)
				require.Contains(t, f.CauseDetail, tt.says)
				require.Equal(t, tt.good, f.LastGoodAt != nil)
			}
		})
	}
}

// A skill that nearly every home lost was withdrawn, which only the end of an audit can
// tell; fewer homes, or a smaller share, say nothing.
func TestAWithdrawnSkill(t *testing.T) {
	t.Parallel()
	w := newNight(t, 40)
	for _, skill := range []string{"gone", "half", "kept"} {
		w.want(t, skill, "live")
	}
	w.run(t, every(sight{"gone": on, "half": on, "kept": on}))
	w.exec(t, "UPDATE units SET occupancy = 'linked' WHERE unit_id = 'home-40'")
	a := w.run(t, func(unit string) (sight, fleet.UnknownReason) {
		switch {
		case unit == "home-1":
			return sight{"gone": on, "half": on, "kept": on}, ""
		case len(unit) == len("home-1"):
			return sight{"half": on, "kept": on}, ""
		}
		return sight{"kept": on}, ""
	})
	require.Equal(t, 39, a.Drifted)
	causes := map[string]map[fleet.DriftCause]int{}
	for _, f := range w.drift(t, store.DriftFilter{}) {
		if causes[f.SkillID] == nil {
			causes[f.SkillID] = map[fleet.DriftCause]int{}
		}
		causes[f.SkillID][f.Cause]++
	}
	require.Equal(t, map[string]map[fleet.DriftCause]int{
		"gone": {fleet.CauseSkillWithdrawn: 38, fleet.CauseOccupied: 1},
		"half": {fleet.CauseChangedOutside: 30, fleet.CauseOccupied: 1},
	}, causes)
}
