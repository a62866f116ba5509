package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func driftRoutes(t *testing.T, list, summary string) map[string][]reply {
	t.Helper()
	return map[string][]reply{"GET /drift": {ok(t, list)}, "GET /drift/summary": {ok(t, summary)}}
}

func TestDriftListIsGroupsAndFindings(t *testing.T) {
	t.Parallel()
	for _, format := range formats() {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, driftRoutes(t, "drift", "drift_summary"))
			stdout, _ := fleetctl(t, f, exitDone, "drift", "list", "-o", format)
			if format == formatJSON || format == formatCSV {
				require.Zero(t, f.count(http.MethodGet, "/drift/summary"), "programs get the findings alone")
			}
			if format == formatJSON {
				require.Equal(t, ok(t, "drift").body, stdout, "JSON is the API's own")
				return
			}
			golden(t, "drift_list."+format, stdout)
		})
	}
}

func TestDriftListSendsItsFilters(t *testing.T) {
	t.Parallel()
	f := newFake(t, driftRoutes(t, "drift", "drift_summary_two"))
	stdout, _ := fleetctl(t, f, exitDone, "drift", "list", "--account", "acme", "--kind", "missing", "--property", "maple-court",
		"--cause", "changed_outside", "--skill", "s1", "--unit", "u1", "--ignored", "--limit", "10")
	const filter = "account=acme&cause=changed_outside&ignored=true"
	const rest = "&property=maple-court&skill_id=s1&unit_id=u1"
	require.Equal(t, strings.Replace(filter, "&cause", "&by=account%2Ccause%2Cproperty&cause", 1)+"&kind=missing"+rest, f.seen()[0].query)
	require.Equal(t, filter+"&kind=missing&limit=10"+rest, f.seen()[1].query)
	require.Contains(t, stdout, "50% changed_outside at maple-court of acme since 02:10:00 UTC (1 finding)\n"+
		"50% changed_outside at maple-court of other since", "where there are several accounts, groups name them")
}

func TestDriftListExitCode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		list, summary string
		args          []string
		code          int
	}{
		"drift":                            {"drift", "drift_summary", []string{"--exit-code"}, exitDifference},
		"drift for a program":              {"drift", "drift_summary", []string{"--exit-code", "-o", "json"}, exitDifference},
		"drift, and nobody asked":          {"drift", "drift_summary", nil, exitDone},
		"no drift":                         {"drift_none", "drift_summary_none", []string{"--exit-code"}, exitDone},
		"no drift that is not ignored":     {"drift", "drift_summary_none", []string{"--exit-code", "--ignored", "-o", "csv"}, exitDone},
		"drift beside what is ignored too": {"drift_none", "drift_summary", []string{"--exit-code", "--ignored", "-o", "csv"}, exitDifference},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, driftRoutes(t, tc.list, tc.summary))
			_, stderr := fleetctl(t, f, tc.code, append([]string{"drift", "list"}, tc.args...)...)
			require.NotContains(t, stderr, "error")
			if tc.args != nil {
				require.Contains(t, f.last().query, "ignored=false", "what is ignored does not count")
			}
		})
	}
	_, stderr := fleetctl(t, newFake(t, driftRoutes(t, "drift_none", "drift_summary_none")), exitDone, "drift", "list")
	require.Equal(t, "No drift.\n", stderr)
}

func TestDriftIgnoreSendsWhatIsMeant(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /drift/ignore": {ok(t, "drift_ignored")}})
	fleetctl(t, f, exitDone, "drift", "ignore", "dr-1", "dr-2", "--until", "2026-12-24T07:00:00+01:00", "--reason", "renovation")
	require.JSONEq(t, `{"ids":["dr-1","dr-2"],"until":"2026-12-24T06:00:00Z","reason":"renovation"}`, f.last().body)
	fleetctl(t, f, exitDone, "drift", "ignore", "--account", "acme", "--kind", "missing", "--cause", "occupied", "--until", "2026-12-24", "--reason", "renovation")
	require.JSONEq(t, `{"account":"acme","kind":"missing","cause":"occupied","until":"2026-12-24T00:00:00Z","reason":"renovation"}`, f.last().body)
}

func TestDriftIgnoreAsksAboutFilters(t *testing.T) {
	t.Parallel()
	for typed, done := range map[string]bool{"y\n": true, "n\n": false} {
		f := newFake(t, map[string][]reply{"POST /drift/ignore": {ok(t, "drift_ignored")}, "GET /drift/summary": {ok(t, "drift_summary")}})
		c := newConsole(t, f)
		c.onTerminal(typed)
		code := c.do(t, "drift", "ignore", "--account", "acme", "--until", "2026-12-24", "--reason", "x")
		require.Contains(t, c.err.String(), "Ignore 400 findings until 2026-12-24 00:00 UTC? [y/N] ")
		require.Equal(t, done, code == exitDone)
		require.Equal(t, done, f.count(http.MethodPost, "/drift/ignore") == 1)
	}
}

func TestDriftUnignoreSendsWhatIsMeant(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /drift/unignore": {ok(t, "drift_unignored")}})
	stdout, _ := fleetctl(t, f, exitDone, "drift", "unignore", "dr-1", "dr-2")
	require.JSONEq(t, `{"ids":["dr-1","dr-2"]}`, f.last().body)
	require.Equal(t, "2 findings no longer ignored\n", stdout)
	fleetctl(t, f, exitDone, "drift", "unignore", "--account", "acme", "--kind", "missing", "--property", "oak", "--cause", "occupied",
		"--skill", "s1", "--unit", "u1", "--reason", "moved out")
	require.JSONEq(t, `{"account":"acme","kind":"missing","property":"oak","cause":"occupied","skill_id":"s1","unit_id":"u1","reason":"moved out"}`, f.last().body)
}

func TestDriftUnignoreAsksAboutFilters(t *testing.T) {
	t.Parallel()
	for typed, done := range map[string]bool{"y\n": true, "n\n": false} {
		f := newFake(t, map[string][]reply{"POST /drift/unignore": {ok(t, "drift_unignored")}, "GET /drift/summary": {ok(t, "drift_summary")}})
		c := newConsole(t, f)
		c.onTerminal(typed)
		code := c.do(t, "drift", "unignore", "--account", "acme")
		require.Contains(t, f.seen()[0].query, "ignored=true")
		require.Contains(t, c.err.String(), "Have 400 findings count again? [y/N] ")
		require.Equal(t, done, code == exitDone)
		require.Equal(t, done, f.count(http.MethodPost, "/drift/unignore") == 1)
	}
}

func TestDriftRepairSendsEveryGuardrail(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /drift/repair": {ok(t, "repair_plan"), ok(t, "repair")}})
	stdout, stderr := fleetctl(t, f, exitDone, "drift", "repair", "--account", "acme", "--kind", "missing", "--property", "maple-court",
		"--cause", "changed_outside", "--skill", "s1", "--unit", "u1", "--canary", "5", "--wave", "10", "--wave", "20%", "--soak", "10m",
		"--max-failures", "1%", "--window", "22:00-06:00", "--timezone", "Europe/Berlin", "--start-at", "2026-03-02T01:00:00+01:00", "--verify-timeout", "5m",
		"--observation-max-age", "any", "--weight", "2", "--reason", "ticket", "--yes", "--idempotency-key", "k9")
	golden(t, "drift_repair.table", stdout)
	require.Contains(t, stderr, "Repair: 400 of 404 findings, by 2 rollouts; left alone: 3 occupied, 1 in_flight.", "the plan is shown first")
	const body = `{"account":"acme","kind":"missing","property":"maple-court","cause":"changed_outside","skill_id":"s1","unit_id":"u1",
		"canary":5,"waves":["10","20%"],"soak":"10m","max_failures":"1%","window":"22:00-06:00","timezone":"Europe/Berlin",
		"start_at":"2026-03-02T01:00:00+01:00","verify_timeout":"5m","observation_max_age":"any","weight":2,"reason":"ticket"}`
	require.JSONEq(t, body, f.last().body)
	require.JSONEq(t, `{"dry_run":true,`+body[1:], f.seen()[0].body, "the plan is of the same repair")
	require.Equal(t, "k9", f.last().key)
	require.Empty(t, f.seen()[0].key)

	f = newFake(t, map[string][]reply{"POST /drift/repair": {ok(t, "repair")}})
	stdout, _ = fleetctl(t, f, exitDone, "drift", "repair", "--yes", "-o", "json")
	require.Equal(t, ok(t, "repair").body, stdout)
	require.Len(t, f.seen(), 1, "nobody looks at the plan")
	stdout, _ = fleetctl(t, f, exitDone, "drift", "repair", "--yes", "-o", "csv")
	require.Equal(t, 3, strings.Count(stdout, "\n"))
}

func TestDriftRepairAsks(t *testing.T) {
	t.Parallel()
	for typed, done := range map[string]bool{"yes\n": true, "\n": false} {
		f := newFake(t, map[string][]reply{"POST /drift/repair": {ok(t, "repair_plan"), ok(t, "repair")}})
		c := newConsole(t, f)
		c.onTerminal(typed)
		code := c.do(t, "drift", "repair", "--account", "acme")
		require.Contains(t, c.err.String(), "Repair 400 findings by 2 rollouts? [y/N] ")
		require.Equal(t, done, code == exitDone)
		require.Equal(t, done, f.count(http.MethodPost, "/drift/repair") == 2)
	}
	f := newFake(t, map[string][]reply{"POST /drift/repair": {ok(t, "repair_nothing")}})
	c := newConsole(t, f)
	c.onTerminal("")
	require.Equal(t, exitDone, c.do(t, "drift", "repair", "--account", "acme"))
	require.NotContains(t, c.err.String(), "y/N", "there is nothing to ask about")
	require.Equal(t, "Nothing to repair in 4 findings; left alone: 3 occupied, 1 in_flight.\n", c.out.String())
}

func TestDriftRepairWatchesEveryRollout(t *testing.T) {
	t.Parallel()
	routes := map[string][]reply{
		"POST /drift/repair": {ok(t, "repair")}, "GET /accounts/acme": {ok(t, "account")},
		"GET /rollouts/r7k2": {ok(t, "rollout_failed")}, "GET /rollouts/r7k3": {ok(t, "rollout"), ok(t, "rollout_succeeded")},
	}
	f := newFake(t, routes)
	stdout, stderr := fleetctl(t, f, exitShort, "drift", "repair", "--yes", "--watch")
	require.Contains(t, stderr, "rollout r7k2 created\nrollout r7k3 created\n")
	require.Contains(t, stdout, "completed_with_failures")
	require.Contains(t, stdout, "succeeded")
	require.Equal(t, 2, f.count(http.MethodGet, "/rollouts/r7k3"), "a failure of one keeps nobody from the others")
}

func TestDriftRepairRepeatsALostAnswerWithItsKey(t *testing.T) {
	t.Parallel()
	lost := reply{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
	f := newFake(t, map[string][]reply{"POST /drift/repair": {lost, ok(t, "repair")}})
	fleetctl(t, f, exitDone, "drift", "repair", "--yes", "-o", "json")
	require.Equal(t, f.seen()[0].key, f.seen()[1].key)
	require.NotEmpty(t, f.seen()[0].key)

	f = newFake(t, map[string][]reply{"POST /drift/repair": {problem(http.StatusUnprocessableEntity,
		`{"title":"Unprocessable Entity","status":422,"code":"invalid","detail":"no open finding matches kind=missing, so nothing was changed"}`)}})
	_, stderr := fleetctl(t, f, exitError, "drift", "repair", "--yes", "--kind", "missing")
	require.Equal(t, "error: no open finding matches kind=missing, so nothing was changed\n", stderr)
}
