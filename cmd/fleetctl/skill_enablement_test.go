package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const customerSkill = "/accounts/acme/customer/skills/s1/enablement"

func TestSkillCustomerEnableSendsSecretsFromFiles(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST " + customerSkill: {ok(t, "customer_enablement")}})
	c := newConsole(t, f)
	c.stdin = strings.NewReader("c4nary-code\r\n")
	args := strings.Fields("skill customer enable s1 --stage live --account acme --redirect-uri https://x.example/cb --reason why --auth-code-file - --code-verifier-file")
	require.Equal(t, exitDone, c.do(t, append(args, file(t, "c4nary-verifier\n"))...), c.err)
	require.JSONEq(t, `{"stage":"live","redirect_uri":"https://x.example/cb","auth_code":"c4nary-code","code_verifier":"c4nary-verifier","reason":"why"}`, f.last().body)
	require.NotContains(t, c.out.String()+c.err.String(), "c4nary")

	fleetctl(t, f, exitDone, strings.Fields("skill customer enable s1 --stage development --account acme")...)
	require.JSONEq(t, `{"stage":"development"}`, f.last().body, "without a code nothing is linked")
}

// customerAnswer is an enablement of s1 for the customer.
func customerAnswer(status, link string) reply {
	return reply{status: 200, body: `{"skill_id":"s1","status":"` + status + `","stage":"live","account_link":"` + link + `","user_id":"","endpoint":"","observed_at":"2026-03-01T11:59:00Z"}`}
}

// The API answers 201 and 200 whatever became of the change: the exit code is that of
// what it says.
func TestSkillCustomerJudgesWhatTheAPISays(t *testing.T) {
	t.Parallel()
	const look = "fleetctl skill customer status s1 --account acme"
	for _, tt := range []struct {
		verb, status, link string
		linking            bool
		code               int
		says               string
	}{
		{"enable", "ENABLED", "", false, exitDone, ""},
		{"enable", "ENABLED", "NOT_LINKED", false, exitDone, ""},
		{"enable", "ENABLED", "LINKED", true, exitDone, ""},
		{"enable", "ENABLED", "", true, exitDone, "does not say whether the account is linked; look again with: " + look},
		{"enable", "ENABLED", "NOT_LINKED", true, exitError, "skill s1 is enabled and its account link is NOT_LINKED: get another auth code"},
		{"enable", "ENABLING", "NOT_LINKED", true, exitDone, "It is being enabled; see what becomes of it with: " + look},
		{"enable", "ENABLING_FAILED", "", false, exitError, "skill s1 is not enabled: the API answered ENABLING_FAILED; look again with: " + look},
		{"enable", "ABSENT", "", false, exitError, "is not enabled: the API answered ABSENT"},
		{"enable", "DISABLED", "", false, exitError, "is not enabled: the API answered DISABLED"},
		{"enable", "FUTURE", "LINKED", true, exitError, "is not enabled: the API answered FUTURE"},
		{"disable", "ABSENT", "", false, exitDone, ""},
		{"disable", "DISABLED", "", false, exitDone, ""},
		{"disable", "DISABLING", "", false, exitDone, "It is being disabled; see what becomes of it with: " + look},
		{"disable", "DISABLING_FAILED", "", false, exitError, "skill s1 is not disabled: the API answered DISABLING_FAILED"},
		{"disable", "ENABLED", "LINKED", false, exitError, "is not disabled: the API answered ENABLED"},
		{"disable", "FUTURE", "", false, exitError, "is not disabled: the API answered FUTURE"},
	} {
		answer := customerAnswer(tt.status, tt.link)
		f := newFake(t, map[string][]reply{"POST " + customerSkill: {answer}, "DELETE " + customerSkill: {answer}})
		args := strings.Fields("skill customer " + tt.verb + " s1 --account acme -o json")
		if tt.verb == "enable" {
			args = append(args, "--stage", "live")
		}
		if tt.linking {
			args = append(args, "--redirect-uri", "https://x.example/cb", "--auth-code-file", file(t, "code"))
		}
		stdout, stderr := fleetctl(t, f, tt.code, args...)
		require.JSONEq(t, answer.body, stdout, "the record is printed whatever it says")
		require.Contains(t, stderr, tt.says)
		require.Equal(t, tt.says == "", stderr == "", stderr)
	}
}

func TestSkillCustomerEnableReadsNoSecretWhenTheCommandIsNotRight(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	for args, want := range map[string]string{
		"--stage live --auth-code-file -":             "--redirect-uri is missing",
		"--stage live --redirect-uri https://x":       "--auth-code-file is missing",
		"--stage live --code-verifier-file -":         "--auth-code-file is missing",
		"--redirect-uri https://x --auth-code-file -": "--stage is missing",
		"--stage certification":                       "is not one of development, live",
		"--stage live --redirect-uri https://x --auth-code-file - --code-verifier-file - --server http://": "", // the address is looked at first
	} {
		c := newConsole(t, f)
		c.stdin = strings.NewReader("canary")
		require.Equal(t, exitUsage, c.do(t, append(strings.Fields("skill customer enable s1 --account acme"), strings.Fields(args)...)...), args)
		require.Contains(t, c.err.String(), want)
		require.NotContains(t, c.err.String(), "canary")
	}
	require.Empty(t, f.seen())
}

func TestSkillCustomerDisableAsksOnATerminalOnly(t *testing.T) {
	t.Parallel()
	for typed, code := range map[string]int{"n\n": exitError, "y\n": exitDone} {
		f := newFake(t, map[string][]reply{"DELETE " + customerSkill: {customerAnswer("ABSENT", "")}})
		c := newConsole(t, f)
		c.onTerminal(typed)
		require.Equal(t, code, c.do(t, strings.Fields("skill customer disable s1 --account acme")...))
		require.Contains(t, c.err.String(), "unlink the accounts? [y/N]")
		require.Equal(t, code == exitDone, len(f.seen()) == 1)
	}
	f := newFake(t, map[string][]reply{"DELETE " + customerSkill: {customerAnswer("ABSENT", "")}})
	fleetctl(t, f, exitDone, strings.Fields("skill customer disable s1 --account acme --reason left")...)
	require.Equal(t, "reason=left", f.last().query)
}

func TestSkillEnablementSaysWhetherItIsEnabled(t *testing.T) {
	t.Parallel()
	const path = "/accounts/acme/skills/s1/stages/live/enablement"
	on := `{"skill_id":"s1","stage":"live","enabled":true}`
	off := `{"skill_id":"s1","stage":"live","enabled":false}`
	f := newFake(t, map[string][]reply{
		"GET " + path: {{status: 200, body: on}, {status: 200, body: off}}, "PUT " + path: {{status: 200, body: on}}, "DELETE " + path: {{status: 200, body: off}},
	})
	for _, tt := range [][2]string{
		{"enablement", "skill s1 is enabled at live for the developer of account acme\n"},
		{"enablement", "skill s1 is not enabled at live for the developer of account acme\n"},
		{"enable", "skill s1 enabled at live for the developer of account acme\n"},
		{"disable", "skill s1 disabled at live for the developer of account acme\n"},
	} {
		stdout, _ := fleetctl(t, f, exitDone, "skill", tt[0], "s1", "--stage", "live", "--account", "acme")
		require.Equal(t, tt[1], stdout)
	}
	stdout, _ := fleetctl(t, f, exitDone, strings.Fields("skill enablement s1 --stage live --account acme -o csv")...)
	require.Equal(t, "skill_id,stage,enabled\ns1,live,false\n", stdout)
	asked := len(f.seen())
	for args, want := range map[string]string{
		"enable s1 --account acme":                  "--stage is missing",
		"disable s1 --stage live":                   "--account is missing",
		"enablement s1 --stage beta --account acme": "is not one of development, live",
		"enable --stage live --account acme":        "SKILL is missing",
		"enable .. --stage live --account acme":     "is not a skill ID",
		"customer status .. --account acme":         "is not a skill ID",
		"customer endpoint":                         "--account is missing",
		"customer enable s1 --stage live":           "--account is missing",
		"customer endpoint s1 --account acme":       "unknown command",
	} {
		_, stderr := fleetctl(t, f, exitUsage, append([]string{"skill"}, strings.Fields(args)...)...)
		require.Contains(t, stderr, want, args)
	}
	require.Len(t, f.seen(), asked)
}

func TestAWriteWhoseAnswerIsLostIsNotSaidToHaveMissedFleetd(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"DELETE /accounts/acme/skills/s1": {{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}}})
	_, stderr := fleetctl(t, f, exitError, strings.Fields("skill delete s1 --account acme --yes")...)
	require.Equal(t, "error: no answer from fleetd at "+f.srv.URL+": EOF\nWhether it was done is not known: look before you do it again.\n", stderr)
	require.Equal(t, 1, f.count("DELETE", "/accounts/acme/skills/s1"))
}

func TestAReadWhoseAnswerIsLostHasNothingToLookAfter(t *testing.T) {
	t.Parallel()
	lost := []reply{{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}}
	f := newFake(t, map[string][]reply{"POST /rollouts/plan": lost, "POST /accounts/acme/skills/s1/check": lost})
	for _, args := range []string{"rollout plan enable --account acme --skill s1 --select all", "skill check s1 --account acme"} {
		_, stderr := fleetctl(t, f, exitError, strings.Fields(args)...)
		require.Contains(t, stderr, "error: cannot reach fleetd at "+f.srv.URL+": EOF\n", args)
		require.NotContains(t, stderr, "Whether it was done", args)
	}
}
