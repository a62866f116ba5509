package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// Units are released in order, never more than the horizon are under way, and every
// one of them has its answer in the end.
func TestAnAuditReleasesWhatTheHorizonAllows(t *testing.T) {
	t.Parallel()
	w := newNight(t, 450) // three chunks, the last not full
	a := w.begin(t)
	require.Equal(t, fleet.AuditRunning, a.State)
	require.Equal(t, 450, a.Units)
	require.Zero(t, a.Coverage)

	released := map[int64]bool{}
	underWay := []store.AuditRef{}
	for round := 0; len(released) < 450; round++ {
		got := w.tick(t, a.ID, 130)
		require.Equal(t, min(130-len(underWay), 450-len(released)), got.Released)
		for _, ref := range w.take() {
			require.False(t, released[ref.Unit], "a second job")
			released[ref.Unit] = true
			underWay = append(underWay, ref)
		}
		require.LessOrEqual(t, len(underWay), 130)
		loaded, err := w.LoadAuditUnits(t.Context(), underWay[:len(underWay)/2+1])
		require.NoError(t, err)
		var sights []store.AuditSight
		for _, target := range loaded {
			sights = append(sights, look(target, nil, ""))
		}
		require.NoError(t, w.RecordAuditUnits(t.Context(), sights))
		underWay = underWay[len(underWay)/2+1:]
		require.Less(t, round, 100)
	}
	require.Zero(t, w.tick(t, a.ID, 1000).Released)
	a = w.audit(t, a.ID)
	require.NotNil(t, a.StartedAt)
	require.Equal(t, 450-len(underWay), a.InSync)

	loaded, err := w.LoadAuditUnits(t.Context(), underWay)
	require.NoError(t, err)
	for _, target := range loaded {
		require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{look(target, nil, "")}))
	}
	got := w.tick(t, a.ID, 1000)
	require.True(t, got.Changed)
	require.Equal(t, fleet.AuditSucceeded, got.State)
	a = w.audit(t, a.ID)
	require.NotNil(t, a.EndedAt)
	require.InDelta(t, 1, a.Coverage, 0)
	require.EqualValues(t, 900, a.Requests)
	require.EqualValues(t, 450, a.Pages)
	require.EqualValues(t, 450, a.Throttled)
}

// A record that comes twice, late, or of an audit that has ended changes nothing.
func TestAuditRecordsAreFinal(t *testing.T) {
	t.Parallel()
	w := newNight(t, 3)
	w.want(t, testSkill, "live")
	a := w.begin(t)
	w.tick(t, a.ID, 10)
	refs := w.take()
	loaded, err := w.LoadAuditUnits(t.Context(), refs)
	require.NoError(t, err)
	require.Len(t, loaded, 3)
	first := look(loaded[0], sight{testSkill: on}, "")
	require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{first, first}))
	require.Equal(t, 1, w.audit(t, a.ID).InSync)

	{ // Twice: a job run again finds the answer, and one that did not is not heard.
		again, err := w.LoadAuditUnits(t.Context(), refs)
		require.NoError(t, err)
		require.Len(t, again, 2)
		require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{look(loaded[0], nil, ""), look(loaded[0], nil, fleet.UnknownForbidden)}))
		got := w.audit(t, a.ID)
		require.Equal(t, 1, got.InSync)
		require.Equal(t, 1, got.Answered())
		require.Zero(t, got.Drift)
		require.EqualValues(t, 8, got.Requests, "what was sent was sent")
	}
	{ // The cost of a try that decided nothing.
		cost := store.AuditSight{AuditRef: loaded[1].AuditRef, Began: loaded[1].Began, Requests: 3, Throttled: 2}
		require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{cost}))
		got := w.audit(t, a.ID)
		require.Equal(t, 1, got.Answered())
		require.EqualValues(t, 11, got.Requests)
	}
	canceled, err := w.CancelAudit(t.Context(), a.ID, "enough", w.by)
	require.NoError(t, err)
	require.Equal(t, fleet.AuditCanceled, canceled.State)
	require.NotNil(t, canceled.EndedAt)
	require.Equal(t, map[fleet.UnknownReason]int{fleet.UnknownCanceled: 2}, canceled.UnknownReasons)
	require.Equal(t, 3, canceled.Answered())
	require.InDelta(t, 1.0/3, canceled.Coverage, 1e-9)
	{ // Late.
		require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{look(loaded[1], nil, "")}))
		again, err := w.LoadAuditUnits(t.Context(), refs)
		require.NoError(t, err)
		require.Empty(t, again)
		require.Equal(t, canceled, w.audit(t, a.ID))
		require.Empty(t, w.drift(t, store.DriftFilter{}))
		require.Empty(t, w.tick(t, a.ID, 10).State)
	}
	_, err = w.CancelAudit(t.Context(), w.run(t, every(sight{testSkill: on})).ID, "", w.by)
	require.ErrorContains(t, err, "there is nothing to cancel")
}

func TestOneAuditOfAnAccountAtATime(t *testing.T) {
	t.Parallel()
	w := newNight(t, 2)
	a := w.begin(t)
	_, _, err := w.CreateAudit(t.Context(), store.AuditParams{Account: "acme", UnitIDs: []string{"home-1"}}, w.by, store.Idempotency{})
	var conflict *fleet.Error
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, fleet.CodeConflict, conflict.Code)
	require.ErrorContains(t, err, a.ID)

	w.account(t, "birch")
	_, err = w.load(t, "birch", store.ImportParams{}, "b1,elm-row,,vacant,")
	require.NoError(t, err)
	other := w.begin(t, func(p *store.AuditParams) { p.Account = "birch" })
	open, err := w.OpenAudits(t.Context())
	require.NoError(t, err)
	require.Len(t, open, 2)
	_, err = w.CancelAudit(t.Context(), a.ID, "", w.by)
	require.NoError(t, err)
	_, err = w.CancelAudit(t.Context(), other.ID, "", w.by)
	require.NoError(t, err)
	w.run(t, every(nil), func(p *store.AuditParams) { p.Selector, p.UnitIDs = "", []string{"home-2"} })
	items, next, err := w.ListAudits(t.Context(), store.AuditFilter{Account: "acme", Limit: 1})
	require.NoError(t, err)
	require.Len(t, items, 1)
	require.Equal(t, "units file (1 units)", items[0].Selector)
	items, next, err = w.ListAudits(t.Context(), store.AuditFilter{Account: "acme", Before: next})
	require.NoError(t, err)
	require.Zero(t, next)
	require.Equal(t, a.ID, items[0].ID)
}

// An account that cannot work keeps its audit waiting, and a unit that was taken out
// of the inventory has its answer all the same.
func TestAnAuditWaitsForItsAccount(t *testing.T) {
	t.Parallel()
	w := newNight(t, 5)
	a := w.begin(t)
	row := w.auditRow(t, a.ID)
	got, err := w.TickAudit(t.Context(), row, store.AuditTick{Horizon: 2, AccountBlocked: "unauthorized: invalid_grant", Enqueue: w.enqueue})
	require.NoError(t, err)
	require.Equal(t, store.AuditTickResult{State: fleet.AuditWaiting, Changed: true}, got)
	require.Equal(t, "unauthorized: invalid_grant", w.audit(t, a.ID).StateReason)
	got, err = w.TickAudit(t.Context(), row, store.AuditTick{Horizon: 2, AccountBlocked: "unauthorized: invalid_grant", Enqueue: w.enqueue})
	require.NoError(t, err)
	require.False(t, got.Changed)
	require.Empty(t, w.take())

	w.tick(t, a.ID, 10)
	require.Equal(t, fleet.AuditRunning, w.audit(t, a.ID).State)
	require.Empty(t, w.audit(t, a.ID).StateReason)
	w.exec(t, "UPDATE units SET removed_at = now() WHERE unit_id = 'home-3'")
	loaded, err := w.LoadAuditUnits(t.Context(), w.take())
	require.NoError(t, err)
	require.Len(t, loaded, 5)
	for _, target := range loaded {
		require.Equal(t, target.UnitID == "home-3", target.Removed)
	}
}

// Deleting an account takes along what was seen of it.
func TestDeletingAnAccountForgetsItsAudits(t *testing.T) {
	t.Parallel()
	w := newNight(t, 3)
	w.run(t, every(sight{testSkill: on}))
	w.begin(t)
	require.NoError(t, w.DeleteAccount(t.Context(), "acme", true, "", w.by))
	for _, table := range []string{"audits", "audit_chunks", "unit_sights", "drifts"} {
		require.Zero(t, w.count(t, "SELECT count(*) FROM "+table), table)
	}
}

// Whatever becomes of the homes, and in whatever groups and order it is recorded: at
// every look the results sum to what was answered, unknown ones have reasons that sum
// to them, and in the end all have one; the list of units says the same.
func TestCoverageSumsToUnits(t *testing.T) {
	t.Parallel()
	w := newNight(t, 211)
	w.want(t, testSkill, "live")
	reasons := []fleet.UnknownReason{"", "", fleet.UnknownForbidden, fleet.UnknownServerError}
	shown := []sight{nil, {testSkill: on}, {testSkill: on, "other": on}, {testSkill: shows("PENDING_REVIEW", "live")}}
	rapid.Check(t, func(rt *rapid.T) {
		id := w.begin(t).ID
		want := map[fleet.AuditResult]int{}
		var jobs []store.AuditRef
		for !w.tick(t, id, rapid.IntRange(1, 250).Draw(rt, "horizon")).State.Ended() {
			jobs = append(jobs, w.take()...)
			if len(jobs) == 0 {
				rt.Fatal("nothing is under way, and it has not ended")
			}
			n := rapid.IntRange(1, len(jobs)).Draw(rt, "group")
			loaded, err := w.LoadAuditUnits(t.Context(), jobs[:n])
			require.NoError(t, err)
			jobs = jobs[n:]
			var sights []store.AuditSight
			for _, target := range loaded {
				i, reason := int(target.Unit)%len(shown), reasons[int(target.Unit/4)%len(reasons)]
				sights = append(sights, look(target, shown[i], reason))
				switch {
				case reason != "" || i == 3:
					want[fleet.AuditUnknown]++
				case i == 0:
					want[fleet.AuditDrifted]++
				default:
					want[fleet.AuditInSync]++
				}
			}
			require.NoError(t, w.RecordAuditUnits(t.Context(), sights))
			a := w.audit(t, id)
			sum := 0
			for _, n := range a.UnknownReasons {
				sum += n
			}
			if a.Unknown != sum || a.InSync != want[fleet.AuditInSync] || a.Drifted != want[fleet.AuditDrifted] || a.Unknown != want[fleet.AuditUnknown] {
				rt.Fatalf("%+v, want %v", a, want)
			}
		}
		a := w.audit(t, id)
		require.Equal(t, a.Units, a.Answered())
		require.InDelta(t, float64(a.InSync+a.Drifted)/float64(a.Units), a.Coverage, 1e-9)
		for _, result := range append(fleet.AuditResults(), "") {
			n, limit := 0, rapid.IntRange(1, 300).Draw(rt, "limit")
			for f := (store.AuditUnitFilter{Result: result, Limit: limit}); ; {
				items, next, err := w.ListAuditUnits(t.Context(), id, f)
				require.NoError(t, err)
				require.LessOrEqual(t, len(items), limit)
				n += len(items)
				if f.After = next; next == 0 {
					break
				}
			}
			if result == "" {
				require.Equal(t, a.Units, n)
			} else {
				require.Equal(t, want[result], n, result)
			}
		}
	})
}

// What one audit said of a unit, the next says anew: a unit stands in one list.
func TestTheListOfUnitsIsOfTheLastAudit(t *testing.T) {
	t.Parallel()
	w := newNight(t, 250)
	first := w.run(t, func(unit string) (sight, fleet.UnknownReason) {
		if unit == "home-7" {
			return nil, fleet.UnknownForbidden
		}
		return nil, ""
	})
	require.Equal(t, fleet.AuditCompletedWithUnknown, first.State)
	time0 := time.Now()
	second := w.run(t, every(nil), func(p *store.AuditParams) { p.Selector = "name!=x,unit in (home-7,home-8)" })
	units, _, err := w.ListAuditUnits(t.Context(), second.ID, store.AuditUnitFilter{})
	require.NoError(t, err)
	require.Len(t, units, 2)
	require.Equal(t, fleet.AuditInSync, units[0].Result)
	require.Empty(t, units[0].Reason)
	require.True(t, units[0].SeenAt.After(time0.Add(-time.Minute)))
	units, next, err := w.ListAuditUnits(t.Context(), first.ID, store.AuditUnitFilter{Limit: 1000})
	require.NoError(t, err)
	require.Zero(t, next)
	require.Len(t, units, 248)
	units, _, err = w.ListAuditUnits(t.Context(), first.ID, store.AuditUnitFilter{Reason: fleet.UnknownForbidden})
	require.NoError(t, err)
	require.Empty(t, units)
	_, _, err = w.ListAuditUnits(t.Context(), "au-nothing", store.AuditUnitFilter{})
	require.ErrorContains(t, err, "there is no audit")
}
