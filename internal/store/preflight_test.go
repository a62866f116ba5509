package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

// checked is a report of an enable at live.
func checked(at time.Time, change ...func(*preflight.Report)) preflight.Report {
	r := preflight.Judge(
		preflight.Params{Account: "acme", Action: fleet.ActionEnable, SkillID: testSkill, Stage: fleet.StageLive, LinkMode: fleet.LinkNone},
		preflight.Facts{Build: preflight.Know(preflight.Build{Status: "FAILED"})})
	r.CheckedAt, r.Why = at, preflight.WhyPlan
	for _, f := range change {
		f(&r)
	}
	return r
}

func TestCountriesOfAnAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := plainAccount("acme")
	p.Countries = []string{"us", "CA", "US"}
	a, _, err := f.CreateAccount(t.Context(), p, f.by, store.Idempotency{})
	require.NoError(t, err)
	require.Equal(t, []string{"CA", "US"}, a.Countries)

	_, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{Countries: []string{"UK"}}, f.by)
	require.ErrorContains(t, err, "the United Kingdom is GB")
	a, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{Rate: new("7")}, f.by)
	require.NoError(t, err)
	require.Equal(t, []string{"CA", "US"}, a.Countries, "what is not named stays")
	a, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{Countries: []string{"jp"}}, f.by)
	require.NoError(t, err)
	require.Equal(t, []string{"JP"}, a.Countries)
	a, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{Countries: []string{}}, f.by)
	require.NoError(t, err)
	require.Equal(t, []string{}, a.Countries)
	require.Equal(t, []string{}, f.account(t, "birch").Countries)
}

func TestTheLatestPreflightIsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	f.account(t, "birch")
	now := time.Now().UTC().Truncate(time.Millisecond)
	none, err := f.Preflights(t.Context(), "acme", testSkill)
	require.NoError(t, err)
	require.Equal(t, []preflight.Report{}, none)

	first, second := checked(now), checked(now.Add(time.Second), func(r *preflight.Report) { r.Why = preflight.WhyCheck })
	require.NoError(t, f.SavePreflight(t.Context(), first))
	require.NoError(t, f.SavePreflight(t.Context(), second))
	require.NoError(t, f.SavePreflight(t.Context(), first), "one that was slow to be written")
	off := checked(now, func(r *preflight.Report) { r.Action = fleet.ActionDisable })
	require.NoError(t, f.SavePreflight(t.Context(), off))
	require.NoError(t, f.SavePreflight(t.Context(), checked(now, func(r *preflight.Report) { r.Account = "birch" })))
	require.NoError(t, f.SavePreflight(t.Context(), checked(now, func(r *preflight.Report) { r.Account = "gone" })), "nobody's")

	got, err := f.Preflights(t.Context(), "acme", testSkill)
	require.NoError(t, err)
	require.Equal(t, []preflight.Report{off, second}, got)
	_, err = f.Preflights(t.Context(), "nobody", testSkill)
	require.ErrorContains(t, err, `"nobody"`)
	require.Equal(t, 3, f.count(t, "SELECT count(*) FROM preflights"))
	require.NoError(t, f.DeleteAccount(t.Context(), "birch", false, "", f.by))
	require.Equal(t, 2, f.count(t, "SELECT count(*) FROM preflights"), "they go with their account")
}

func TestAnAccountLinkIsSeen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, homes(3)...)
	require.NoError(t, err)
	f.account(t, "birch")
	seen := func(account, skill string) bool {
		yes, err := f.LinkSeen(t.Context(), account, skill)
		require.NoError(t, err)
		return yes
	}
	f.see(t, "u00001", testSkill, fleet.StatusEnabled, fleet.StageLive)
	require.False(t, seen("acme", testSkill), "no link")
	_, err = f.pool.Exec(t.Context(), "UPDATE observed SET account_link = 'LINKED'")
	require.NoError(t, err)
	require.True(t, seen("acme", testSkill))
	require.False(t, seen("acme", skillB), "of another skill")
	require.False(t, seen("birch", testSkill), "of another account")
	require.False(t, seen("nobody", testSkill))
	_, err = f.pool.Exec(t.Context(), "UPDATE units SET removed_at = now()")
	require.NoError(t, err)
	require.False(t, seen("acme", testSkill), "in homes that are gone")
}

// What was checked is evidence: it stays with the rollout, and the log says what it was
// forced past.
func TestARolloutKeepsWhatWasChecked(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	r := checked(time.Now().UTC().Truncate(time.Millisecond), func(r *preflight.Report) { r.Forced, r.Why = true, preflight.WhyCreate })
	made := y.create(t, func(p *store.RolloutParams) { p.Preflight = &r })
	require.Equal(t, &r, made.Preflight)
	got, err := y.Rollout(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, &r, got.Preflight)
	list, _, err := y.ListRollouts(t.Context(), store.RolloutFilter{})
	require.NoError(t, err)
	require.Nil(t, list[0].Preflight, "lists are short")
	log, _, err := y.ListLog(t.Context(), store.LogFilter{Action: "rollout.create"})
	require.NoError(t, err)
	require.Equal(t, "fail", log[0].Detail["preflight"])
	require.Equal(t, []any{"manifest_build"}, log[0].Detail["forced_past"])

	_, err = y.CancelRollout(t.Context(), made.ID, "", y.by)
	require.NoError(t, err)
	require.Nil(t, y.create(t).Preflight, "nothing was checked")
	log, _, err = y.ListLog(t.Context(), store.LogFilter{Action: "rollout.create"})
	require.NoError(t, err)
	require.NotContains(t, log[0].Detail, "preflight")
}

// resuming resumes with nothing in the way, of what began and of what did not.
func resuming(reason string, by fleet.Actor) store.ResumeParams {
	return store.ResumeParams{Reason: reason, Actor: by, Preflight: &preflight.Report{Result: preflight.NotChecked}}
}

// A rollout that is made paused is prepared: nothing of it is released, and nothing is
// taken as known that may be old by the time it is resumed.
func TestARolloutIsMadePaused(t *testing.T) {
	t.Parallel()
	y := newYard(t, 6)
	y.see(t, "u00001", testSkill, fleet.StatusEnabled, fleet.StageLive)
	made := y.create(t, func(p *store.RolloutParams) { p.Paused = true })
	require.Equal(t, fleet.RolloutPaused, made.State)
	require.Equal(t, "created paused by "+y.by.Name, made.StateReason)
	require.Equal(t, 6, made.Counts.Pending)
	require.Nil(t, made.StartedAt)
	y.tick(t, made.ID, 100)
	require.Empty(t, y.take())
	got, err := y.Rollout(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutPaused, got.State)

	got, err = y.ResumeRollout(t.Context(), made.ID, resuming("published", y.by))
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutRunning, got.State)
	y.tick(t, made.ID, 100)
	require.Len(t, y.take(), 6)
}

func TestARolloutThatIsPausedAndScheduledWaitsForBoth(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	made := y.create(t, func(p *store.RolloutParams) { p.Paused, p.StartAt = true, time.Now().Add(time.Hour) })
	require.Equal(t, fleet.RolloutPaused, made.State)
	got, err := y.ResumeRollout(t.Context(), made.ID, resuming("", y.by))
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutScheduled, got.State)
	y.tick(t, made.ID, 100)
	require.Empty(t, y.take())
}

// What was prepared begins on what was checked for its beginning, and on nothing older.
func TestAPreparedRolloutIsCheckedWhenItBegins(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	failed := checked(time.Now().UTC().Truncate(time.Millisecond))
	made := y.create(t, func(p *store.RolloutParams) { p.Paused, p.Preflight = true, &failed })
	require.Equal(t, &failed, made.Preflight, "kept as it is: nobody forced anything")
	resume := func(report *preflight.Report) (store.Rollout, error) {
		return y.ResumeRollout(t.Context(), made.ID, store.ResumeParams{Reason: "go", Actor: y.by, Preflight: report})
	}

	_, err := resume(nil)
	unchecked := new(store.UncheckedError)
	require.ErrorAs(t, err, &unchecked)
	require.Equal(t, preflight.Query{Account: "acme", Action: fleet.ActionEnable, SkillID: testSkill, Stage: fleet.StageLive}, unchecked.Query)
	again := checked(failed.CheckedAt.Add(time.Minute), func(r *preflight.Report) { r.Why = preflight.WhyResume })
	_, err = resume(&again)
	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
	require.Equal(t, "manifest_build", asFleet(t, err).Details[0].Location)
	got, err := y.Rollout(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutPaused, got.State)
	require.Equal(t, &failed, got.Preflight)
	log, _, err := y.ListLog(t.Context(), store.LogFilter{Action: "rollout.resume"})
	require.NoError(t, err)
	require.Empty(t, log)

	again.Forced = true
	got, err = resume(&again)
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutRunning, got.State)
	require.Equal(t, &again, got.Preflight, "what it began on")
	log, _, err = y.ListLog(t.Context(), store.LogFilter{Action: "rollout.resume"})
	require.NoError(t, err)
	require.Equal(t, []any{"manifest_build"}, log[0].Detail["forced_past"])

	// A second one who comes late, with a failure of his own, changes nothing and is not refused.
	late := again
	late.Forced = false
	got, err = resume(&late)
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutRunning, got.State)
	require.Equal(t, &again, got.Preflight)

	y.tick(t, made.ID, 100)
	_, err = y.PauseRollout(t.Context(), made.ID, "", y.by)
	require.NoError(t, err)
	got, err = resume(nil)
	require.NoError(t, err, "what has begun is not checked")
	require.Equal(t, fleet.RolloutRunning, got.State)
}

// However many resume at once, with and without a failed check: it begins once, on one
// report that does not fail.
func TestResumesAtOnceBeginOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	made := y.create(t, func(p *store.RolloutParams) { p.Paused = true })
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		report := checked(time.Now().UTC().Truncate(time.Millisecond).Add(time.Duration(i)*time.Second), func(r *preflight.Report) {
			if r.Why = preflight.WhyResume; i%2 == 0 {
				r.Checks, r.Result = nil, preflight.NotChecked
			}
		})
		group.Go(func() {
			_, errs[i] = y.ResumeRollout(t.Context(), made.ID, store.ResumeParams{Actor: y.by, Preflight: &report})
		})
	}
	group.Wait()
	for i, err := range errs {
		if i%2 == 0 {
			require.NoError(t, err)
		} else if err != nil {
			require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
		}
	}
	got, err := y.Rollout(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutRunning, got.State)
	require.Empty(t, got.Preflight.Failed())
	log, _, err := y.ListLog(t.Context(), store.LogFilter{Action: "rollout.resume"})
	require.NoError(t, err)
	began := 0
	for _, e := range log {
		if e.Detail["from"] == "paused" {
			began++
		}
	}
	require.Equal(t, 1, began)
}

// A repeated call is known before anything is checked for it.
func TestARepeatedCreationIsFound(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	once := store.Idempotency{Key: "k", Hash: []byte("1")}
	_, found, err := y.CreatedRollout(t.Context(), y.by, once)
	require.NoError(t, err)
	require.False(t, found)
	made, _, err := y.CreateRollout(t.Context(), plainRollout(), y.by, once)
	require.NoError(t, err)
	got, found, err := y.CreatedRollout(t.Context(), y.by, once)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, made.ID, got.ID)
	_, _, err = y.CreatedRollout(t.Context(), y.by, store.Idempotency{Key: "k", Hash: []byte("2")})
	require.ErrorContains(t, err, "used before for another request")
	for name, once := range map[string]store.Idempotency{"another key": {Key: "l", Hash: []byte("1")}, "no key": {}} {
		_, found, err = y.CreatedRollout(t.Context(), y.by, once)
		require.NoError(t, err, name)
		require.False(t, found, name)
	}
	_, found, err = y.CreatedRollout(t.Context(), fleet.Actor{Name: "bob"}, once)
	require.NoError(t, err)
	require.False(t, found, "another's key")
}

// What a repair would make can be told before, and what was checked of it is kept.
func TestARepairKeepsWhatWasChecked(t *testing.T) {
	t.Parallel()
	y := sorts(t)
	p := repairs(store.DriftFilter{Account: "acme"})
	changes, err := y.RepairChanges(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, changes, 5)
	require.Contains(t, changes, store.RepairChange{Account: "acme", Action: fleet.ActionEnable, SkillID: skillB, Stage: fleet.StageLive})
	report := checked(time.Now().UTC().Truncate(time.Millisecond), func(r *preflight.Report) { r.Why, r.SkillID = preflight.WhyRepair, skillB })
	p.Preflights = map[store.RepairChange]*preflight.Report{changes[0]: &report}
	require.Equal(t, skillB, changes[0].SkillID)

	plan, err := y.PlanRepair(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, &report, plan.Plans[0].Preflight)
	once := store.Idempotency{Key: "k", Hash: []byte("1")}
	made, err := y.RepairMade(t.Context(), y.by, once)
	require.NoError(t, err)
	require.False(t, made)
	out, _, err := y.RepairDrift(t.Context(), p, y.by, once)
	require.NoError(t, err)
	require.Len(t, out.Rollouts, len(changes))
	require.Equal(t, &report, out.Rollouts[0].Preflight)
	require.Nil(t, out.Rollouts[1].Preflight)
	made, err = y.RepairMade(t.Context(), y.by, once)
	require.NoError(t, err)
	require.True(t, made)
}
