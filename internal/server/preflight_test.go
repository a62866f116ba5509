package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

const hidden = "amzn1.ask.skill.hidden"

// withHomes is a server with an account and two homes.
func withHomes(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.must(t, http.StatusCreated, "admin", "/accounts", `{"name": "acme", "client_id": "c", "client_secret": "s", "refresh_token": "r"}`)
	a := f.call(t, "operator", http.MethodPost, "/api/v1/accounts/acme/units/import", strings.NewReader("unit_id,property\nu1,p\nu2,p\n"), "Content-Type", "text/csv")
	require.Equal(t, http.StatusOK, a.status, a.body)
	return f
}

// must posts and wants a status.
func (f *fixture) must(t *testing.T, status int, as, path, body string, header ...string) string {
	t.Helper()
	a := f.call(t, as, http.MethodPost, "/api/v1"+path, strings.NewReader(body), header...)
	require.Equal(t, status, a.status, a.body)
	return a.body
}

func rollout(t *testing.T, body string) (r store.Rollout) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(body), &r))
	return r
}

// What can be no skill ID is a mistake of the caller, and not a check that was not made.
func TestACheckOfWhatIsNoSkill(t *testing.T) {
	t.Parallel()
	f := withHomes(t)
	require.Contains(t, f.must(t, http.StatusUnprocessableEntity, "viewer", "/accounts/acme/skills/x%20y/check", `{}`), "is no skill ID")
	require.Zero(t, f.asked.Load())
}

// A call that is repeated has the first call's answer, whatever became of the skill, and
// nothing is asked for it.
func TestARepeatedCreationIsNotCheckedAgain(t *testing.T) {
	t.Parallel()
	f := withHomes(t)
	body := `{"account": "acme", "action": "enable", "skill_id": "amzn1.ask.skill.sound", "selector": "all"}`
	first := rollout(t, f.must(t, http.StatusCreated, "operator", "/rollouts", body, "Idempotency-Key", "k"))
	require.Equal(t, preflight.Pass, first.Preflight.Result)
	require.False(t, first.Preflight.Forced)
	asked := f.asked.Load()
	again := rollout(t, f.must(t, http.StatusCreated, "operator", "/rollouts", body, "Idempotency-Key", "k"))
	require.Equal(t, first.ID, again.ID)
	require.Equal(t, asked, f.asked.Load())
}

// Where force is not needed it changes nothing, and the evidence says so.
func TestForceThatIsNotNeeded(t *testing.T) {
	t.Parallel()
	f := withHomes(t)
	body := `{"account": "acme", "action": "enable", "skill_id": "amzn1.ask.skill.sound", "selector": "all", "force": true, "reason": "sure"}`
	require.False(t, rollout(t, f.must(t, http.StatusCreated, "operator", "/rollouts", body)).Preflight.Forced)
}

// What is prepared may fail its checks for now. They are made anew when it begins, and
// then they stop it as they stop any creation.
func TestWhatIsPreparedIsCheckedWhenItBegins(t *testing.T) {
	t.Parallel()
	f := withHomes(t)
	plain := `{"account": "acme", "action": "enable", "skill_id": "` + hidden + `", "selector": "all"`
	refusal := f.must(t, http.StatusConflict, "operator", "/rollouts", plain+`}`)
	made := rollout(t, f.must(t, http.StatusCreated, "operator", "/rollouts", plain+`, "paused": true}`))
	require.Equal(t, preflight.Fail, made.Preflight.Result)
	require.False(t, made.Preflight.Forced)
	require.Equal(t, preflight.WhyCreate, made.Preflight.Why)

	resume := "/rollouts/" + made.ID + "/resume"
	again := f.must(t, http.StatusConflict, "operator", resume, `{}`)
	const first, last = `"detail":`, `"request_id":`
	said := func(body string) string { return body[strings.Index(body, first):strings.Index(body, last)] }
	require.Equal(t, said(refusal), said(again), "it says the same")
	require.Contains(t, again, `"location":"publication"`)
	require.Contains(t, f.must(t, http.StatusUnprocessableEntity, "operator", resume, `{"force": true}`), `"location":"reason"`)
	f.must(t, http.StatusForbidden, "viewer", resume, `{}`)
	got, err := f.store.Rollout(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, "paused", string(got.State))

	began := rollout(t, f.must(t, http.StatusOK, "operator", resume, `{"force": true, "reason": "shown at noon"}`))
	require.Equal(t, "running", string(began.State))
	require.True(t, began.Preflight.Forced)
	require.Equal(t, preflight.WhyResume, began.Preflight.Why)
	asked := f.asked.Load()
	f.must(t, http.StatusOK, "operator", resume, `{}`)
	require.Equal(t, asked, f.asked.Load(), "it runs: there is nothing to check")
}

// Where there is no plan to show, for another rollout has the homes, what fails is told too.
func TestARefusedPlanSaysWhatFails(t *testing.T) {
	t.Parallel()
	f := withHomes(t)
	change := func(skill string) string {
		return `{"account": "acme", "action": "enable", "skill_id": "` + skill + `", "selector": "all", "paused": true}`
	}
	for skill, failed := range map[string]bool{hidden: true, "amzn1.ask.skill.sound": false} {
		made := rollout(t, f.must(t, http.StatusCreated, "operator", "/rollouts", change(skill)))
		problem := f.must(t, http.StatusConflict, "viewer", "/rollouts/plan", change(skill))
		require.Contains(t, problem, made.ID+" (paused) has 2 of these units")
		require.Equal(t, failed, strings.Contains(problem, "besides, the skill fails its checks"), problem)
		require.Equal(t, failed, strings.Contains(problem, `"location":"publication"`), problem)
	}
}

// Where nothing can be asked, what is prepared begins.
func TestWhatCannotBeCheckedBegins(t *testing.T) {
	t.Parallel()
	f := withHomes(t)
	made := rollout(t, f.must(t, http.StatusCreated, "operator", "/rollouts", `{"account": "acme", "action": "enable", "skill_id": "any", "selector": "all", "paused": true}`))
	began := rollout(t, f.must(t, http.StatusOK, "operator", "/rollouts/"+made.ID+"/resume", `{}`))
	require.Equal(t, "running", string(began.State))
	require.Equal(t, preflight.NotChecked, began.Preflight.Result)
}

// Disabling a hidden skill is not stopped, and neither is going back to having it: the
// check that fails is kept as evidence.
func TestARollbackIsNotStopped(t *testing.T) {
	t.Parallel()
	f := withHomes(t)
	off := rollout(t, f.must(t, http.StatusCreated, "operator", "/rollouts", `{"account": "acme", "action": "disable", "skill_id": "`+hidden+`", "selector": "all"}`))
	require.Equal(t, preflight.Warn, off.Preflight.Result)
	_, err := f.pool.Exec(t.Context(), `
		UPDATE targets SET state = 'succeeded', before = '{"status": "ENABLED", "stage": "live"}', after = '{"status": "ABSENT"}', ended_at = now()`)
	require.NoError(t, err)
	_, err = f.pool.Exec(t.Context(), "UPDATE rollouts SET state = 'succeeded', n_pending = 0, n_succeeded = targets, ended_at = now()")
	require.NoError(t, err)

	var plan store.Plan
	require.NoError(t, json.Unmarshal([]byte(f.must(t, http.StatusOK, "viewer", "/rollouts/"+off.ID+"/rollback/plan", `{}`)), &plan))
	require.Equal(t, preflight.Fail, plan.Preflight.Result)
	require.Equal(t, preflight.WhyRollback, plan.Preflight.Why)
	back := rollout(t, f.must(t, http.StatusCreated, "operator", "/rollouts/"+off.ID+"/rollback", `{"paused": true}`))
	require.Equal(t, preflight.Fail, back.Preflight.Result)
	require.True(t, back.Preflight.Forced)
	require.Equal(t, "paused", string(back.State))
	asked := f.asked.Load()
	f.must(t, http.StatusOK, "operator", "/rollouts/"+back.ID+"/resume", `{}`)
	require.Equal(t, asked, f.asked.Load(), "nor when it begins")
}

// A repair that a person asks for is checked as a rollout is: one skill that fails refuses
// it all, until it is forced.
func TestARepairIsChecked(t *testing.T) {
	t.Parallel()
	f := withHomes(t)
	for _, sql := range []string{
		"INSERT INTO skills (skill_id) VALUES ('" + hidden + "'), ('amzn1.ask.skill.sound')",
		"INSERT INTO desired (unit_id, skill_id, stage, change_id, changed_at) SELECT units.id, skills.id, 'live', 1, now() FROM units, skills",
		"INSERT INTO unit_sights (unit_id, account_id, seen_at, result) SELECT id, account_id, now(), 'drifted' FROM units",
		`INSERT INTO drifts (key, account_id, unit_id, property, skill_id, kind, desired_stage, status, first_seen_at, cause, opened_by)
			SELECT 'dr-' || units.id || '-' || skills.id, account_id, units.id, property, skills.id, 'missing', 'live', 'ABSENT', now(), 'unknown', 1 FROM units, skills`,
	} {
		_, err := f.pool.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
	var repair store.Repair
	require.NoError(t, json.Unmarshal([]byte(f.must(t, http.StatusOK, "operator", "/drift/repair", `{"account": "acme", "dry_run": true}`)), &repair))
	require.Len(t, repair.Plans, 2)
	require.Equal(t, preflight.Fail, repair.Plans[0].Preflight.Result)
	require.Equal(t, preflight.WhyRepair, repair.Plans[0].Preflight.Why)
	require.Equal(t, preflight.Pass, repair.Plans[1].Preflight.Result)

	problem := f.must(t, http.StatusConflict, "operator", "/drift/repair", `{"account": "acme"}`)
	require.Contains(t, problem, "2 checks of skill "+hidden+" failed")
	require.Contains(t, problem, `"location":"publication"`)
	require.JSONEq(t, `{"items":[],"next_cursor":""}`, f.call(t, "viewer", http.MethodGet, "/api/v1/rollouts", nil).body)
	require.Contains(t, f.must(t, http.StatusUnprocessableEntity, "operator", "/drift/repair", `{"account": "acme", "force": true}`), `"location":"reason"`)

	body := `{"account": "acme", "force": true, "reason": "sure"}`
	require.NoError(t, json.Unmarshal([]byte(f.must(t, http.StatusCreated, "operator", "/drift/repair", body, "Idempotency-Key", "k")), &repair))
	require.Len(t, repair.Rollouts, 2)
	require.True(t, repair.Rollouts[0].Preflight.Forced)
	require.False(t, repair.Rollouts[1].Preflight.Forced)
	asked := f.asked.Load()
	f.must(t, http.StatusCreated, "operator", "/drift/repair", body, "Idempotency-Key", "k")
	require.Equal(t, asked, f.asked.Load(), "what was repaired is not checked again")
}
