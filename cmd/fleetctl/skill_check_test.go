package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
)

const checkPath = "/accounts/acme/skills/amzn1.ask.skill.x/check"

func TestSkillCheckExitCodes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file string
		args string
		code int
		says string
	}{
		"pass":              {"preflight_pass", "", exitDone, ""},
		"pass, exit code":   {"preflight_pass", "--exit-code", exitDone, ""},
		"warn":              {"preflight_warn", "", exitDone, ""},
		"warn, exit code":   {"preflight_warn", "--exit-code", exitDifference, ""},
		"fail":              {"preflight", "", exitError, "error: enable of skill amzn1.ask.skill.x at stage live: a check failed"},
		"fail, exit code":   {"preflight", "--exit-code", exitError, "a check failed"},
		"fail, JSON":        {"preflight", "-o json", exitError, "a check failed"},
		"nothing was asked": {"preflight_none", "--exit-code", exitDone, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{"POST " + checkPath: {ok(t, c.file)}})
			_, stderr := fleetctl(t, f, c.code, append(strings.Fields("skill check amzn1.ask.skill.x --account acme"), strings.Fields(c.args)...)...)
			require.Contains(t, stderr, c.says)
			require.JSONEq(t, `{"stage":"live","action":"enable"}`, f.last().body)
		})
	}
}

func TestSkillCheckSaysWhatIsAsked(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST " + checkPath: {ok(t, "preflight_pass")}})
	fleetctl(t, f, exitDone, "skill", "check", "amzn1.ask.skill.x", "--account", "acme", "--stage", "development", "--action", "disable")
	require.JSONEq(t, `{"stage":"development","action":"disable"}`, f.last().body)
	for args, says := range map[string]string{
		"skill check amzn1.ask.skill.x":                              "--account is missing",
		"skill check --account acme":                                 "SKILL is missing",
		"skill check amzn1.ask.skill.x --account acme --stage beta":  "is not one of development, certification, live",
		"skill check amzn1.ask.skill.x --account acme --action look": "is not one of enable, disable",
	} {
		_, stderr := fleetctl(t, f, exitUsage, strings.Fields(args)...)
		require.Contains(t, stderr, says)
	}
}

// Without a credential a line says so, and not seven.
func TestWhereNothingWasAskedALineSaysSo(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST " + checkPath: {ok(t, "preflight_none")}, "POST /rollouts/plan": {ok(t, "plan")}})
	stdout, _ := fleetctl(t, f, exitDone, "skill", "check", "amzn1.ask.skill.x", "--account", "acme")
	require.Equal(t, 1, strings.Count(stdout, "\n"), stdout)
	stdout, _ = fleetctl(t, f, exitDone, "rollout", "plan", "enable", "--account", "acme", "--skill", "amzn1.ask.skill.x", "--select", "all")
	require.Equal(t, 1, strings.Count(stdout, "developer credential"), stdout)
}

// What one thing keeps from being told is one line of a plan, and a plan that will be
// refused says so.
func TestAPlanGroupsWhatWasNotChecked(t *testing.T) {
	t.Parallel()
	text := preflightText(&client.Preflight{Result: "fail", Checks: []client.PreflightCheck{
		{Name: "skill_exists", Result: "fail", Message: "there is none"},
		{Name: "stage_exists", Result: "not_checked", Message: "the skill does not exist"},
		{Name: "publication", Result: "not_checked", Message: "the skill does not exist"},
		{Name: "countries", Result: "not_checked", Message: "nobody said"},
		{Name: "developer_enablement", Result: "pass", Message: "fine"},
		{Name: "account_linking", Result: "pass", Message: "as well"},
	}})
	require.Equal(t, `fail skill_exists: there is none
not checked stage_exists, publication: the skill does not exist
not checked countries: nobody said
pass developer_enablement, account_linking`, text)
}

func TestSkillCheckShowsTheLast(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET " + checkPath: {ok(t, "preflights")}})
	stdout, _ := fleetctl(t, f, exitError, "skill", "check", "amzn1.ask.skill.x", "--account", "acme", "--last")
	golden(t, "skill_check_last.table", stdout)
	stdout, _ = fleetctl(t, f, exitDone, "skill", "check", "amzn1.ask.skill.x", "--account", "acme", "--last", "--action", "disable", "-o", "csv")
	golden(t, "skill_check_last.csv", stdout)
	_, _ = fleetctl(t, f, exitDifference, "skill", "check", "amzn1.ask.skill.x", "--account", "acme", "--last", "--action", "disable", "--exit-code")
	none := newFake(t, map[string][]reply{"GET " + checkPath: {{status: http.StatusOK, body: `{"items":[],"next_cursor":""}`}}})
	_, stderr := fleetctl(t, none, exitDone, "skill", "check", "amzn1.ask.skill.x", "--account", "acme", "--last")
	require.Contains(t, stderr, "Nothing was checked")
}

// blocking is an API that refuses to make anything of a hidden skill.
func blocking(t *testing.T) *fake {
	t.Helper()
	refusal := problem(http.StatusConflict, `{"title":"Conflict","status":409,"code":"conflict",
		"detail":"2 checks of skill amzn1.ask.skill.x failed, so homes would fail, and nothing was done: mend it, or go on all the same with --force and a --reason",
		"errors":[{"location":"publication","message":"it is HIDDEN"},{"location":"countries","message":"it is not distributed in CA"}]}`)
	return newFake(t, map[string][]reply{"POST /rollouts/plan": {ok(t, "plan_blocked")}, "POST /rollouts": {refusal}, "POST /drift/repair": {refusal}})
}

const createX = "rollout create enable --account acme --skill amzn1.ask.skill.x --select all"

func TestAFailedCheckStopsCreate(t *testing.T) {
	t.Parallel()
	f := blocking(t)
	_, stderr := fleetctl(t, f, exitError, strings.Fields(createX+" --yes")...)
	require.Contains(t, stderr, "fail publication: it is HIDDEN", "the plan")
	require.Contains(t, stderr, "error: 2 checks of skill amzn1.ask.skill.x failed")
	require.Contains(t, stderr, "  publication: it is HIDDEN\n  countries: it is not distributed in CA\n")

	c := newConsole(t, f)
	c.onTerminal("") // nobody is asked for what will be refused
	require.Equal(t, exitError, c.do(t, strings.Fields(createX)...))
	require.NotContains(t, c.err.String(), "[y/N]")
	require.Contains(t, c.err.String(), "2 checks of skill")
}

func TestForceNeedsAReasonAndIsSent(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /rollouts/plan": {ok(t, "plan_blocked")}, "POST /rollouts": {ok(t, "rollout_forced")}})
	for _, args := range []string{createX + " --yes --force", "drift repair --account acme --force"} {
		_, stderr := fleetctl(t, f, exitUsage, strings.Fields(args)...)
		require.Contains(t, stderr, "--force needs --reason")
	}
	fleetctl(t, f, exitDone, append(strings.Fields(createX), "--yes", "--force", "--reason", "it is shown at noon")...)
	require.Contains(t, f.last().body, `"force":true`)
	c := newConsole(t, f)
	c.onTerminal("n\n")
	require.Equal(t, exitError, c.do(t, append(strings.Fields(createX), "--force", "--reason", "sure")...))
	require.Contains(t, c.err.String(), "Enable amzn1.ask.skill.x in", "what is forced is asked for")
}

func TestARolloutIsPrepared(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /rollouts/plan": {ok(t, "plan")}, "POST /rollouts": {ok(t, "rollout_paused")}})
	stdout, stderr := fleetctl(t, f, exitDone, strings.Fields(createX+" --yes --paused")...)
	require.Contains(t, f.last().body, `"paused":true`)
	require.Contains(t, stdout, "created, paused")
	require.Contains(t, stderr, "Begin: fleetctl rollout resume r7k2")
	for _, args := range []string{createX + " --yes", "rollout rollback r7k2 --yes", "drift repair --account acme --yes"} {
		_, stderr := fleetctl(t, f, exitUsage, strings.Fields(args+" --paused --watch")...)
		require.Contains(t, stderr, "--paused and --watch exclude each other")
	}
}

func TestCountriesOfAnAccountAreChecked(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"PATCH /accounts/acme": {ok(t, "account")}})
	fleetctl(t, f, exitDone, "account", "set", "acme", "--country", "us", "--country", "CA")
	require.JSONEq(t, `{"countries":["us","CA"]}`, f.last().body)
	fleetctl(t, f, exitDone, "account", "set", "acme", "--country", "")
	require.JSONEq(t, `{"countries":[]}`, f.last().body)
	for _, code := range []string{"UK", "USA"} {
		_, stderr := fleetctl(t, f, exitUsage, "account", "set", "acme", "--country", code)
		require.Contains(t, stderr, "--country: ")
	}
	require.Len(t, f.seen(), 2)
}
