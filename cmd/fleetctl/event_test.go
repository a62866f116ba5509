package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEventListPicks(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /events": {ok(t, "events")}})
	fleetctl(t, f, exitDone, "event", "list", "--account", "acme", "--name", "SkillPublish", "--skill", "s", "--since", "ev-0", "--limit", "5")
	require.Equal(t, "account=acme&limit=5&name=SkillPublish&since=ev-0&skill_id=s", f.last().query)
}

func TestEventHookSetSendsWhatIsNamed(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:sns:us-east-1:123456789012:skill-events"
	f := newFake(t, map[string][]reply{"PUT /accounts/acme/event-hook": {ok(t, "event_hook")}})
	stdout, _ := fleetctl(t, f, exitDone, "event", "hook", "set", "--account", "acme", "--topic", arn)
	require.JSONEq(t, `{"topics":["`+arn+`"]}`, f.last().body, "a secret that is not named stays")
	require.Contains(t, stdout, "/hooks/sns/acme")
	fleetctl(t, f, exitDone, "event", "hook", "set", "--account", "acme", "--topic", arn, "--no-raw", "--reason", "why")
	require.JSONEq(t, `{"topics":["`+arn+`"],"raw_secret":"","reason":"why"}`, f.last().body)
	stdout, stderr := fleetctl(t, f, exitDone, "event", "hook", "set", "--account", "acme", "--topic", arn, "--raw-secret-file", file(t, "canary-secret\n"))
	require.JSONEq(t, `{"topics":["`+arn+`"],"raw_secret":"canary-secret"}`, f.last().body)
	require.NotContains(t, stdout+stderr, "canary")
}

func TestEventHookDelete(t *testing.T) {
	t.Parallel()
	gone := reply{next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }}
	f := newFake(t, map[string][]reply{"DELETE /accounts/acme/event-hook": {gone}, "DELETE /event-rules/4": {gone}})
	c := newConsole(t, f)
	c.onTerminal("n\n")
	require.Equal(t, exitError, c.do(t, "event", "hook", "delete", "--account", "acme"))
	require.Empty(t, f.seen())
	stdout, _ := fleetctl(t, f, exitDone, "event", "hook", "delete", "--account", "acme", "--reason", "moved")
	require.Equal(t, "account acme takes no more events\n", stdout)
	require.Equal(t, "reason=moved", f.last().query)
	c = newConsole(t, f)
	c.onTerminal("n\n")
	require.Equal(t, exitError, c.do(t, "event", "rule", "delete", "4"))
	require.Contains(t, c.err.String(), "Delete event rule 4? [y/N]")
	require.Zero(t, f.count(http.MethodDelete, "/event-rules/4"))
	stdout, _ = fleetctl(t, f, exitDone, "event", "rule", "delete", "4", "--yes")
	require.Equal(t, "rule 4 deleted\n", stdout)
}

func TestEventRuleCreateSendsWhatIsNamed(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /event-rules": {ok(t, "event_rule")}})
	fleetctl(t, f, exitDone, "event", "rule", "create", "--account", "acme", "--event", "ManifestUpdate", "--status", "any", "--skill", "s",
		"--action", "start_audit", "--select", "property=p", "--reason", "why", "--idempotency-key", "k1")
	require.Equal(t, "k1", f.last().key)
	require.JSONEq(t, `{"account":"acme","event":"ManifestUpdate","status":"any","skill_id":"s","action":"start_audit","argument":"property=p","reason":"why"}`, f.last().body)
	fleetctl(t, f, exitDone, "event", "rule", "create", "--account", "acme", "--action", "halt_rollouts")
	require.JSONEq(t, `{"account":"acme","action":"halt_rollouts"}`, f.last().body)
	require.NotEmpty(t, f.last().key)
}

func TestEventUsage(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	for args, want := range map[string]string{
		"event hook set":             "--account is missing",
		"event hook set --account a": "--topic is missing",
		"event hook set --account a --topic t --no-raw --raw-secret-file x": "exclude each other",
		"event hook show":                                                          "--account is missing",
		"event hook delete":                                                        "--account is missing",
		"event rule create":                                                        "--account is missing",
		"event rule create --account a":                                            "--action is missing",
		"event rule create --account a --action dance":                             "dance",
		"event rule create --account a --action resume_rollout":                    "--rollout is missing",
		"event rule create --account a --action halt_rollouts --rollout r":         "--rollout is for",
		"event rule create --account a --action halt_rollouts --select all":        "--select is for",
		"event rule create --account a --action start_audit --select property":     "--select",
		"event rule create --account a --action halt_rollouts --status MAYBE":      "MAYBE",
		"event rule create --account a --action halt_rollouts --event SkillVanish": "SkillVanish",
		"event rule delete":                                                        "ID is missing",
		"event show":                                                               "ID is missing",
		"event tail --last -1":                                                     "--last",
		"event tail -o csv":                                                        "event list",
		"event tial":                                                               "did you mean tail",
	} {
		_, stderr := fleetctl(t, f, exitUsage, strings.Fields(args)...)
		require.Contains(t, stderr, want, args)
	}
	require.Empty(t, f.seen())
}

// item is an event as the API gives it, oldest first by number.
func item(n int) string {
	return fmt.Sprintf(`{"id":"ev-%d", "account":"acme","name":"AlexaDevelopmentEvent.SkillPublish","status":"FAILED","skill_id":"s\u001b[31m",
		"received_at":"2026-03-01T12:00:0%dZ","disposition":"no_rule","actions":[]}`, n, n%10)
}

func items(next string, ns ...int) reply {
	list := make([]string, len(ns))
	for i, n := range ns {
		list[i] = item(n)
	}
	return reply{status: http.StatusOK, body: `{"items":[` + strings.Join(list, ",") + `],"next_cursor":"` + next + `"}`}
}

// The last events, oldest first, then those that come: each once, none left out,
// through an outage too, and Ctrl-C is a clean end.
func TestEventTail(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{"GET /events": {
				items("older", 2, 1), items(""), items("more", 3, 4), items("", 5),
				problem(http.StatusServiceUnavailable, `{"title":"x","status":503,"code":"unavailable","detail":"the database is away"}`),
				items("", 6), items(""),
			}})
			c := newConsole(t, f)
			interrupt, wait := c.background(t, "event", "tail", "--account", "acme", "-o", format)
			require.Eventually(t, func() bool { return f.count("GET", "/events") > 8 }, 20*time.Second, time.Millisecond)
			interrupt()
			require.Equal(t, exitDone, wait())

			lines := strings.Split(strings.TrimSuffix(c.out.String(), "\n"), "\n")
			require.Len(t, lines, 6, c.out.String())
			for i, line := range lines {
				if format == "json" {
					var e struct{ ID string }
					require.NoError(t, json.Unmarshal([]byte(line), &e))
					require.Equal(t, fmt.Sprintf("ev-%d", i+1), e.ID)
					continue
				}
				require.Contains(t, line, fmt.Sprintf("2026-03-01 12:00:0%d  ev-%d  acme  SkillPublish FAILED  s", i+1, i+1))
				require.Contains(t, line, "no_rule")
				require.NotContains(t, line, "\x1b")
			}
			require.Equal(t, 1, strings.Count(c.err.String(), "the database is away"), "an outage is told once")
			calls := f.seen()
			require.Equal(t, "account=acme&limit=10", calls[0].query)
			var since []string
			for _, call := range calls[1:8] {
				since = append(since, strings.TrimPrefix(call.query, "account=acme&limit=1000&since="))
			}
			require.Equal(t, []string{"ev-2", "ev-2", "ev-4", "ev-5", "ev-5", "ev-6", "ev-6"}, since)
		})
	}
}

func TestEventTailBeginsAndEnds(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /events": {items("older", 9), items("", 10)}})
	stdout, _ := fleetctl(t, f, exitDone, "event", "tail", "--last", "0", "--follow=false")
	require.Equal(t, 1, strings.Count(stdout, "\n"), "only what came since: %s", stdout)
	require.Equal(t, "limit=1000&since=ev-9", f.last().query)

	f = newFake(t, map[string][]reply{"GET /events": {items(""), items("", 1)}})
	stdout, _ = fleetctl(t, f, exitDone, "event", "tail", "--follow=false")
	require.Contains(t, stdout, "ev-1", "the first there ever was")
	require.Equal(t, "limit=1000&since=1970-01-01T00%3A00%3A00Z", f.last().query)

	f = newFake(t, map[string][]reply{"GET /events": {items("", 3)}})
	fleetctl(t, f, exitDone, "event", "tail", "--since", "2026-03-01T00:00:00Z", "--follow=false")
	require.Len(t, f.seen(), 1)

	_, stderr := fleetctl(t, newFake(t, map[string][]reply{"GET /events": {problem(422, `{"title":"x","detail":"no such place"}`)}}), exitError, "event", "tail", "--since", "x")
	require.Contains(t, stderr, "no such place", "what will not pass ends it")
}

func TestEventBodiesAreShownPlainly(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /events/ev-3": {ok(t, "event")}})
	stdout, _ := fleetctl(t, f, exitDone, "event", "show", "ev-3")
	require.Contains(t, stdout, `"note": "<b>`)
	require.False(t, bytes.Contains([]byte(stdout), []byte{0x1b}))
}
