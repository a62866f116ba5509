package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func createArgs(more ...string) []string {
	return append([]string{"rollout", "create", "enable", "--account", "acme", "--skill", "s1", "--select", "all"}, more...)
}

func TestRolloutCreateSendsEveryGuardrail(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /rollouts": {ok(t, "rollout")}, "POST /rollouts/plan": {ok(t, "plan")}})
	stdout, stderr := fleetctl(t, f, exitDone, createArgs("--stage", "certification", "--canary", "5", "--wave", "10", "--wave", "20%", "--soak", "10m",
		"--max-failures", "1%", "--window", "22:00-06:00", "--timezone", "Europe/Berlin", "--start-at", "2026-03-02T01:00:00+01:00", "--verify-timeout", "5m",
		"--include-occupied", "--observation-max-age", "any", "--weight", "2", "--reason", "ticket", "--yes", "--idempotency-key", "k9")...)
	require.Equal(t, "rollout r7k2 created\n", stdout)
	require.Contains(t, stderr, "Plan: 4,950 to change, 50 to leave as they are.", "the plan is shown first")
	require.Contains(t, stderr, "Watch it: fleetctl rollout watch r7k2")
	const body = `{"account":"acme","action":"enable","skill_id":"s1","stage":"certification","selector":"all","canary":5,"waves":["10","20%"],"soak":"10m",
		"max_failures":"1%","window":"22:00-06:00","timezone":"Europe/Berlin","start_at":"2026-03-02T01:00:00+01:00","verify_timeout":"5m",
		"include_occupied":true,"observation_max_age":"any","weight":2,"reason":"ticket"}`
	require.JSONEq(t, body, f.last().body)
	require.JSONEq(t, body, f.seen()[0].body, "the plan is of the same rollout")
	require.Equal(t, "k9", f.last().key)
}

func TestRolloutCreateAsks(t *testing.T) {
	t.Parallel()
	for typed, created := range map[string]bool{"y\n": true, "yes\n": true, "n\n": false, "\n": false, "": false, "yesterday\n": false} {
		t.Run(strings.TrimSpace(typed), func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{"POST /rollouts": {ok(t, "rollout")}, "POST /rollouts/plan": {ok(t, "plan")}})
			c := newConsole(t, f)
			c.env["NO_COLOR"] = "1"
			c.onTerminal(typed)
			code := c.do(t, createArgs()...)
			require.Contains(t, c.err.String(), "Enable s1 in 4,950 homes? [y/N] ")
			if created {
				require.Equal(t, exitDone, code)
				require.Equal(t, 1, f.count(http.MethodPost, "/rollouts"))
				return
			}
			require.Equal(t, exitError, code)
			require.Contains(t, c.err.String(), "nothing was done")
			require.Zero(t, f.count(http.MethodPost, "/rollouts"))
		})
	}
}

// A lost answer is asked for again, with the same key.
func TestRolloutCreateRepeatsALostAnswerWithItsKey(t *testing.T) {
	t.Parallel()
	lost := reply{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
	f := newFake(t, map[string][]reply{"POST /rollouts": {lost, lost, ok(t, "rollout")}})
	stdout, stderr := fleetctl(t, f, exitDone, createArgs("--yes", "-o", "json")...)
	require.Equal(t, ok(t, "rollout").body, stdout)
	require.Contains(t, stderr, "asking again with the same key")
	calls := f.seen()
	require.Len(t, calls, 3)
	require.NotEmpty(t, calls[0].key)
	require.Equal(t, calls[0].key, calls[1].key)
	require.Equal(t, calls[0].key, calls[2].key)

	f = newFake(t, map[string][]reply{"POST /rollouts": {lost}})
	_, stderr = fleetctl(t, f, exitError, createArgs("--yes", "-o", "json")...)
	require.Contains(t, stderr, "repeat the command with --idempotency-key "+f.last().key)
}

func TestRolloutCreateConflict(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{
		"POST /rollouts/plan": {ok(t, "plan")},
		"POST /rollouts":      {problem(http.StatusConflict, `{"title":"Conflict","detail":"rollout r1 works on this skill of 3 of these units; wait for it or cancel it"}`)},
	})
	_, stderr := fleetctl(t, f, exitError, createArgs("--yes")...)
	require.Contains(t, stderr, "error: rollout r1 works on this skill")
}

// A plan that cannot be made, because the first call with the same key stands in its
// way, does not keep --yes from the answer of that call.
func TestRolloutCreateAgainWithItsKey(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{
		"POST /rollouts/plan": {problem(http.StatusConflict, `{"title":"Conflict","detail":"rollout r7k2 works on this skill"}`)},
		"POST /rollouts":      {ok(t, "rollout")},
	})
	stdout, _ := fleetctl(t, f, exitDone, createArgs("--yes", "--idempotency-key", "k1")...)
	require.Equal(t, "rollout r7k2 created\n", stdout)
	c := newConsole(t, f)
	c.onTerminal("y\n")
	require.Equal(t, exitError, c.do(t, createArgs()...))
	require.Contains(t, c.err.String(), "rollout r7k2 works on this skill")
}

// What cannot be planned is not made behind the back of the one who cannot see the plan.
func TestRolloutCreateMakesNothingThatCannotBePlanned(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"rollout": createArgs("--yes"),
		"repair":  {"drift", "repair", "--account", "acme", "--yes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{
				"POST /rollouts/plan": {problem(http.StatusServiceUnavailable, `{"title":"Service Unavailable","detail":"the database is busy"}`)},
				"POST /rollouts":      {ok(t, "rollout")},
				"POST /drift/repair":  {problem(http.StatusServiceUnavailable, `{"title":"Service Unavailable","detail":"the database is busy"}`), ok(t, "repair_plan")},
			})
			stdout, stderr := fleetctl(t, f, exitError, args...)
			require.Empty(t, stdout)
			require.Contains(t, stderr, "error: the database is busy")
			require.Len(t, f.seen(), 1, "the plan was asked for, and nothing else")
		})
	}
}

// Checks that fail are listed on stderr, each with how to mend it, whatever the output; and
// stdout stays empty.
func TestRolloutCreateShowsTheChecksThatFailed(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"table", "wide", "json", "csv"} {
		t.Run(output, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{
				"POST /rollouts/plan": {ok(t, "plan")},
				"POST /rollouts": {problem(http.StatusConflict, `{"title":"Conflict","code":"conflict","detail":"2 checks of skill s1 failed",
					"errors":[{"location":"publication","message":"it is HIDDEN: have it shown"},{"location":"countries","message":"not in US: add it"}]}`)},
			})
			stdout, stderr := fleetctl(t, f, exitError, createArgs("--yes", "-o", output)...)
			require.Empty(t, stdout)
			require.Contains(t, stderr, "error: 2 checks of skill s1 failed\n  publication: it is HIDDEN: have it shown\n  countries: not in US: add it\n")
		})
	}
}

func TestRolloutPlanDetailedExitCode(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /rollouts/plan": {ok(t, "plan"), ok(t, "plan_nothing")}})
	args := []string{"rollout", "plan", "enable", "--account", "acme", "--skill", "s1", "--select", "all", "--detailed-exitcode"}
	_, stderr := fleetctl(t, f, exitDifference, args...)
	require.Empty(t, stderr)
	fleetctl(t, f, exitDone, args...)
	require.Zero(t, f.count(http.MethodPost, "/rollouts"))
}

func TestUnitsFile(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		content string
		want    string // JSON, or an error
	}{
		"one a line":           {"u1\nu2\n\n u3 \n", `["u1","u2","u3"]`},
		"CRLF and BOM":         {"\ufeffu1\r\nu2", `["u1","u2"]`},
		"CSV":                  {"name,unit_id\n\"a,b\",u1\nc,u2\n", `["u1","u2"]`},
		"CSV of one column":    {"unit_id\nu1\nu2\n", `["u1","u2"]`},
		"CSV with BOM":         {"\ufeff\"unit_id\",x\nu1,2\n", `["u1"]`},
		"nothing":              {"\n \n", "it lists no units"},
		"CSV without rows":     {"unit_id\n", "it lists no units"},
		"CSV without column":   {"id,name\nu1,x\n", `no column unit_id (the columns are "id, name")`},
		"CSV with an empty ID": {"unit_id,x\nu1,2\n,3\n", "line 3, column 1 (unit_id) is empty"},
		"broken CSV":           {"unit_id,x\nu1\n", "wrong number of fields"},
		"not a text":           {"u1\n" + strings.Repeat("x", 70000), "is it a list of unit IDs?"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{"POST /rollouts/plan": {ok(t, "plan")}})
			c := newConsole(t, f)
			path := file(t, tt.content)
			code := c.do(t, "rollout", "plan", "disable", "--account", "acme", "--skill", "s1", "--units-file", path)
			if strings.HasPrefix(tt.want, "[") {
				require.Equal(t, exitDone, code, c.err)
				require.JSONEq(t, `{"account":"acme","action":"disable","skill_id":"s1","stage":"live","unit_ids":`+tt.want+`}`, f.last().body)
				return
			}
			require.Equal(t, exitError, code)
			require.Contains(t, c.err.String(), "--units-file "+path)
			require.Contains(t, c.err.String(), tt.want)
			require.Empty(t, f.seen())
		})
	}
}

func TestRolloutActs(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{
		"POST /rollouts/r7k2/retry":  {ok(t, "rollout")},
		"POST /rollouts/r7k2/cancel": {ok(t, "rollout_canceled")},
		"POST /rollouts/r7k2/pause":  {ok(t, "rollout_paused")},
	})
	fleetctl(t, f, exitDone, "rollout", "retry", "r7k2", "--only", "server_error", "--only", "transport_error", "--reason", "fixed")
	require.JSONEq(t, `{"reasons":["server_error","transport_error"],"reason":"fixed"}`, f.last().body)
	fleetctl(t, f, exitDone, "rollout", "pause", "r7k2", "--reason", "dinner")
	require.JSONEq(t, `{"reason":"dinner"}`, f.last().body)

	c := newConsole(t, f)
	c.onTerminal("n\n")
	require.Equal(t, exitError, c.do(t, "rollout", "cancel", "r7k2"))
	require.Zero(t, f.count(http.MethodPost, "/rollouts/r7k2/cancel"))
	fleetctl(t, f, exitDone, "rollout", "cancel", "r7k2")
	require.Equal(t, 1, f.count(http.MethodPost, "/rollouts/r7k2/cancel"))
}
