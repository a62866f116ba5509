package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	skillRoute    = "/accounts/acme/skills/amzn1.ask.skill.aaa"
	manifestRoute = skillRoute + "/stages/development/manifest"
	updateArgs    = "skill update amzn1.ask.skill.aaa --account acme -f testdata/skill.json"
)

func manifestFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "skill.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// updates are the answers of an API that takes a manifest.
func updates(t *testing.T) map[string][]reply {
	t.Helper()
	return map[string][]reply{
		"GET " + manifestRoute:          {ok(t, "manifest")},
		"PUT " + manifestRoute:          {ok(t, "skill_accepted")},
		"GET " + skillRoute + "/status": {ok(t, "skill_building"), ok(t, "skill_built")},
		"DELETE " + skillRoute:          {{status: http.StatusNoContent}},
		"POST /accounts/acme/skills":    {ok(t, "skill_created")},
		"GET /accounts/acme/skills":     {ok(t, "skills")},
	}
}

func TestAManifestIsWrittenAsFilesHaveIt(t *testing.T) {
	t.Parallel()
	f := newFake(t, updates(t))
	want := "{\n  \"manifest\": {\n    \"manifestVersion\": \"1.0\",\n    \"b\": 12345678901234567890,\n    \"a\": \"<&>\"\n  }\n}\n"
	stdout, _ := fleetctl(t, f, exitDone, "skill", "get", "amzn1.ask.skill.aaa", "--account", "acme")
	require.Equal(t, want, stdout, "every number as it came")

	path := filepath.Join(t.TempDir(), "skill.json")
	stdout, stderr := fleetctl(t, f, exitDone, "skill", "get", "amzn1.ask.skill.aaa", "--account", "acme", "-f", path)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "(entity tag t1)")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(text))

	stdout, _ = fleetctl(t, f, exitDone, "skill", "get", "amzn1.ask.skill.aaa", "--account", "acme", "-o", "json")
	require.Equal(t, ok(t, "manifest").body, stdout)
	_, stderr = fleetctl(t, f, exitError, "skill", "get", "amzn1.ask.skill.aaa", "--account", "acme", "-f", filepath.Join(path, "no"))
	require.Contains(t, stderr, "--file: ")
}

func TestWhatIsNoManifestIsNotSent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                      "it holds nothing",
		" \n":                                   "it holds nothing",
		"{\n  \"manifest\": {},\n":              "line 2, column 18: it is not JSON here",
		`{"manifest": {"a": 1},}`:               "line 1, column 23: it is not JSON here",
		`{"a": 1} {}`:                           "line 1, column 10: it is not JSON here",
		`[1]`:                                   "it must hold a JSON object",
		`{}`:                                    "with something in it",
		`{"manifest": {}}`:                      "with something in it",
		`{"manifest": "x"}`:                     "with something in it",
		strings.Repeat(" ", maxManifest) + "{}": "is it the right file?",
	} {
		f := newFake(t, updates(t))
		_, stderr := fleetctl(t, f, exitError, "skill", "create", "--account", "acme", "-f", manifestFile(t, text))
		require.Contains(t, stderr, want, "%.40s", text)
		require.Contains(t, stderr, "skill.json: ")
		require.Empty(t, f.seen())
	}
}

func TestASkillIsCreated(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"as skill.json has it": `{"manifest": {"b": 1.50, "a": 12345678901234567890}}`,
		"alone":                `{"b": 1.50, "a": 12345678901234567890}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, updates(t))
			stdout, stderr := fleetctl(t, f, exitDone, "skill", "create", "--account", "acme", "-f", manifestFile(t, text), "--reason", "pilot")
			require.Equal(t, "skill amzn1.ask.skill.aaa created\n", stdout)
			require.Contains(t, stderr, "fleetctl skill status amzn1.ask.skill.aaa --account acme --wait")
			require.Equal(t, `{"manifest":{"b":1.50,"a":12345678901234567890},"reason":"pilot"}`, f.last().body) //nolint:testifylint // to the letter
			require.NotEmpty(t, f.last().key)
		})
	}
	c := newConsole(t, newFake(t, updates(t)))
	c.stdin = strings.NewReader(`{"a":1}`)
	require.Equal(t, exitDone, c.do(t, "skill", "create", "--account", "acme", "-f", "-", "--wait", "-o", "json"), c.err)
	require.Equal(t, ok(t, "skill_built").body, c.out.String(), "how it ended")

	f := newFake(t, map[string][]reply{"POST /accounts/acme/skills": {problem(422, `{"title":"x","detail":"mend it","errors":[{"message":"no icon"},{"message":"no name"}]}`)}})
	_, stderr := fleetctl(t, f, exitError, "skill", "create", "--account", "acme", "-f", "testdata/skill.json")
	require.Contains(t, stderr, "testdata/skill.json: mend it\n  no icon\n  no name\n")
}

// Its answer may be lost on the way: it is asked for again, with the same key.
func TestASkillIsCreatedOnce(t *testing.T) {
	t.Parallel()
	lost := reply{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
	f := newFake(t, map[string][]reply{"POST /accounts/acme/skills": {lost, ok(t, "skill_created")}})
	fleetctl(t, f, exitDone, "skill", "create", "--account", "acme", "-f", "testdata/skill.json")
	calls := f.seen()
	require.Len(t, calls, 2)
	require.Equal(t, calls[0].key, calls[1].key)
}

func TestAnUpdateIsShownBeforeItIsMade(t *testing.T) {
	t.Parallel()
	const shown = "--- amzn1.ask.skill.aaa (development, as it stands)\n+++ testdata/skill.json\n@@ -1,5 +1,5 @@\n {\n" +
		"   \"a\": \"<&>\",\n-  \"b\": 12345678901234567890,\n+  \"b\": 12345678901234567891,\n   \"manifestVersion\": \"1.0\"\n }\n"
	const sent = `{"etag":"t1","manifest":{"a":"\u003c\u0026\u003e","b":12345678901234567891,"manifestVersion":"1.0"}}`
	t.Run("a script says yes", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, updates(t))
		stdout, stderr := fleetctl(t, f, exitDone, strings.Fields(updateArgs+" --yes")...)
		require.Contains(t, stderr, shown)
		require.Equal(t, "the new manifest of skill amzn1.ask.skill.aaa at stage development is taken\n", stdout)
		require.Equal(t, sent, f.last().body) //nolint:testifylint // to the letter
	})
	for typed, code := range map[string]int{"y\n": exitDone, "n\n": exitError, "": exitError} {
		t.Run("a person types "+typed, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, updates(t))
			c := newConsole(t, f)
			c.onTerminal(typed)
			require.Equal(t, code, c.do(t, strings.Fields(updateArgs+" --no-color")...))
			require.Contains(t, c.err.String(), shown+"Replace the manifest of skill amzn1.ask.skill.aaa at stage development? [y/N]")
			require.Equal(t, code == exitDone, f.count("PUT", manifestRoute) == 1)
		})
	}
	t.Run("dry run", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, updates(t))
		stdout, stderr := fleetctl(t, f, exitDifference, strings.Fields(updateArgs+" --dry-run")...)
		require.Equal(t, shown, stdout)
		require.Empty(t, stderr)
		require.Len(t, f.seen(), 1)
	})
	t.Run("nothing changes", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, updates(t))
		file := manifestFile(t, `{"manifestVersion":"1.0","a":"\u003c&>","b":12345678901234567890}`)
		stdout, stderr := fleetctl(t, f, exitDone, "skill", "update", "amzn1.ask.skill.aaa", "--account", "acme", "-f", file, "--yes")
		require.Contains(t, stdout, "No changes: ")
		require.Zero(t, f.count("PUT", manifestRoute))
		require.Empty(t, stderr)

		routes := updates(t)
		routes["GET "+skillRoute+"/status"] = []reply{ok(t, "skill_failed")}
		f = newFake(t, routes)
		_, stderr = fleetctl(t, f, exitDone, "skill", "update", "amzn1.ask.skill.aaa", "--account", "acme", "-f", file, "--yes")
		require.Contains(t, stderr, "add --force to have it built anew")
		require.Zero(t, f.count("PUT", manifestRoute))
	})
	t.Run("for programs", func(t *testing.T) {
		t.Parallel()
		type compared struct {
			SkillID, Stage, ETag, Diff string
			Changed                    bool
		}
		read := func(code int, args ...string) (c compared) {
			stdout, _ := fleetctl(t, newFake(t, updates(t)), code, append(args, "-o", "json")...)
			require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(stdout, "skill_id", "skillid")), &c), stdout)
			return c
		}
		require.Equal(t, compared{"amzn1.ask.skill.aaa", "development", "t1", shown, true}, read(exitDifference, strings.Fields(updateArgs+" --dry-run")...))
		same := manifestFile(t, `{"manifestVersion":"1.0","a":"\u003c&>","b":12345678901234567890}`)
		for _, how := range []string{"--dry-run", "--yes"} {
			got := read(exitDone, "skill", "update", "amzn1.ask.skill.aaa", "--account", "acme", "-f", same, how)
			require.Equal(t, compared{"amzn1.ask.skill.aaa", "development", "t1", "", false}, got)
		}
		_, stderr := fleetctl(t, newFake(t, nil), exitUsage, strings.Fields(updateArgs+" --dry-run -o csv")...)
		require.Contains(t, stderr, "a difference has no CSV")
	})
	t.Run("in color", func(t *testing.T) {
		t.Parallel()
		c := newConsole(t, newFake(t, updates(t)))
		c.onTerminal("y\n")
		require.Equal(t, exitDone, c.do(t, strings.Fields(updateArgs)...))
		require.Contains(t, c.err.String(), "\x1b[32m+  \"b\": 12345678901234567891,\x1b[0m\n")
	})
}

// What the API sends cannot steer the terminal that shows the difference.
func TestADifferenceIsSafeToShow(t *testing.T) {
	t.Parallel()
	routes := updates(t)
	routes["GET "+manifestRoute] = []reply{{status: 200, body: `{"skill_id":"s","stage":"development","etag":"t","manifest":{"a":"\u202e\u009b31m"}}`}}
	stdout, _ := fleetctl(t, newFake(t, routes), exitDifference, strings.Fields(updateArgs+" --dry-run")...)
	require.NotContains(t, stdout, "\u202e")
	require.NotContains(t, stdout, "\u009b")
}

func TestAStaleEntityTag(t *testing.T) {
	t.Parallel()
	routes := updates(t)
	routes["PUT "+manifestRoute] = []reply{problem(http.StatusPreconditionFailed, `{"title":"x","status":412,"code":"conflict","detail":"stale"}`)}
	f := newFake(t, routes)
	_, stderr := fleetctl(t, f, exitError, strings.Fields(updateArgs+" --yes --wait")...)
	require.Contains(t, stderr, `was changed since it was read: the entity tag "t1" is stale; nothing was changed. Get it (fleetctl skill get amzn1.ask.skill.aaa --account acme --stage development)`)
	require.Equal(t, 1, f.count("PUT", manifestRoute))
	require.Zero(t, f.count("GET", skillRoute+"/status"))

	f = newFake(t, updates(t))
	_, stderr = fleetctl(t, f, exitError, strings.Fields(updateArgs+" --yes --etag t0")...)
	require.Contains(t, stderr, `the entity tag "t0" is stale: the manifest of skill amzn1.ask.skill.aaa at stage development has "t1" by now; nothing was changed`)
	require.Zero(t, f.count("PUT", manifestRoute))

	fleetctl(t, f, exitDone, strings.Fields(updateArgs+" --yes --etag t1")...)
	require.Equal(t, 1, f.count("PUT", manifestRoute))
}

func TestAManifestThatCannotBeCompared(t *testing.T) {
	t.Parallel()
	routes := updates(t)
	routes["GET "+manifestRoute] = []reply{problem(http.StatusConflict, `{"title":"x","status":409,"code":"conflict","detail":"its build failed"}`)}
	f := newFake(t, routes)
	_, stderr := fleetctl(t, f, exitError, strings.Fields(updateArgs+" --yes")...)
	require.Contains(t, stderr, "its build failed")
	require.Zero(t, f.count("PUT", manifestRoute))

	fleetctl(t, f, exitDone, strings.Fields(updateArgs+" --yes --force")...)
	require.Equal(t, 1, f.count("GET", manifestRoute))
	require.NotContains(t, f.last().body, "etag")

	routes = updates(t)
	routes["GET "+manifestRoute] = []reply{{status: 200, body: `{"skill_id":"s","stage":"development","etag":"","manifest":{"a":1}}`}}
	f = newFake(t, routes)
	_, stderr = fleetctl(t, f, exitDone, strings.Fields(updateArgs+" --yes")...)
	require.Contains(t, stderr, "The API gave no entity tag")
	require.NotContains(t, f.last().body, "etag")
}

func TestWaitingForABuild(t *testing.T) {
	t.Parallel()
	unwell := problem(http.StatusServiceUnavailable, `{"title":"x","status":503,"code":"unavailable","detail":"later"}`)
	gone := reply{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
	const status = "skill status amzn1.ask.skill.aaa --account acme --wait"
	tests := map[string]struct {
		args           string
		looks          []reply
		code           int
		stdout, stderr string
	}{
		"it succeeds":              {args: status, looks: []reply{ok(t, "skill_building"), ok(t, "skill_built")}, stdout: "SUCCEEDED", stderr: "Waiting for the build"},
		"it fails":                 {args: status, looks: []reply{ok(t, "skill_building"), ok(t, "skill_failed")}, code: exitShort, stdout: "error: manifest: give an icon\ufffd[31m (NO_ICON)\n", stderr: "is FAILED"},
		"in JSON":                  {args: status + " -o json", looks: []reply{ok(t, "skill_failed")}, code: exitShort, stdout: ok(t, "skill_failed").body},
		"after an update":          {args: updateArgs + " --yes --wait", looks: []reply{ok(t, "skill_built")}, stdout: "SUCCEEDED"},
		"it is throttled":          {args: status, looks: []reply{unwell, unwell, unwell, unwell, ok(t, "skill_built")}, stdout: "SUCCEEDED"},
		"it is throttled for good": {args: status, looks: []reply{unwell}, code: exitError, stderr: "it goes on; follow it with: fleetctl skill status amzn1.ask.skill.aaa --account acme --wait\nerror: later"},
		"fleetd starts again":      {args: status, looks: []reply{gone, gone, gone, gone, gone, gone, ok(t, "skill_built")}, stdout: "SUCCEEDED", stderr: "asking on"},
		"fleetd stays away": {
			args: status + " --timeout 200ms", looks: []reply{gone}, code: exitRunning, stderr: "it goes on; follow it with",
		},
		"it is deleted": {args: status, looks: []reply{ok(t, "skill_building"), problem(404, `{"title":"x","detail":"gone"}`)}, code: exitError, stderr: "gone"},
		"it takes too long": {
			args: status + " --timeout 50ms", looks: []reply{ok(t, "skill_building")}, code: exitRunning,
			stderr: "has not ended after 50ms: it goes on; follow it with: fleetctl skill status amzn1.ask.skill.aaa --account acme --wait",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			routes := updates(t)
			routes["GET "+skillRoute+"/status"] = tt.looks
			f := newFake(t, routes)
			stdout, stderr := fleetctl(t, f, tt.code, strings.Fields(tt.args)...)
			require.Contains(t, stdout, tt.stdout)
			require.Contains(t, stderr, tt.stderr)
			query := "wait=20"
			if strings.HasPrefix(tt.args, "skill update") {
				query = "etag=t1&wait=20" // an end from before the update is not its end
			}
			require.Equal(t, query, f.last().query)
		})
	}
}

func TestASkillWithoutAStatus(t *testing.T) {
	t.Parallel()
	none := reply{status: 200, body: `{"skill_id":"amzn1.ask.skill.aaa","at":"2026-03-01T12:00:00Z","ended":false}` + "\n"}
	f := newFake(t, map[string][]reply{"GET " + skillRoute + "/status": {none}})
	stdout, stderr := fleetctl(t, f, exitDone, "skill", "status", "amzn1.ask.skill.aaa", "--account", "acme")
	require.Empty(t, stdout)
	require.Equal(t, "No status.\n", stderr)
	stdout, _ = fleetctl(t, f, exitDone, "skill", "status", "amzn1.ask.skill.aaa", "--account", "acme", "-o", "json")
	require.Equal(t, none.body, stdout)
}

func TestWaitingIsInterrupted(t *testing.T) {
	t.Parallel()
	looked := make(chan struct{}, 1)
	f := newFake(t, map[string][]reply{"GET " + skillRoute + "/status": {{next: func(_ http.ResponseWriter, r *http.Request) {
		looked <- struct{}{}
		<-r.Context().Done()
	}}}})
	c := newConsole(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-looked; cancel() }()
	require.Equal(t, exitInterrupted, c.run(ctx, strings.Fields("skill status amzn1.ask.skill.aaa --account acme --wait")))
	require.Contains(t, c.err.String(), "it goes on; follow it with")
}

func TestASkillIsDeleted(t *testing.T) {
	t.Parallel()
	for typed, code := range map[string]int{"y\n": exitDone, "n\n": exitError} {
		f := newFake(t, updates(t))
		c := newConsole(t, f)
		c.onTerminal(typed)
		require.Equal(t, code, c.do(t, strings.Fields("skill delete amzn1.ask.skill.aaa --account acme --reason retired")...))
		require.Contains(t, c.err.String(), "Delete skill amzn1.ask.skill.aaa for good")
		require.Equal(t, code == exitDone, f.count("DELETE", skillRoute) == 1)
		if code == exitDone {
			require.Equal(t, "reason=retired", f.last().query)
			require.Equal(t, "skill amzn1.ask.skill.aaa deleted\n", c.out.String())
		}
	}
}

func TestSkillsByName(t *testing.T) {
	t.Parallel()
	f := newFake(t, updates(t))
	fleetctl(t, f, exitDone, "skill", "list", "--account", "acme", "--skill", "a,b", "--skill", "c")
	require.Equal(t, "skill_id=a%2Cb&skill_id=c", f.last().query)
	list := newFake(t, map[string][]reply{"GET /accounts/acme/skills": {ok(t, "skills")}})
	_, stderr := fleetctl(t, list, exitDone, "skill", "list", "--account", "acme", "--skill", "amzn1.ask.skill.aaa", "--skill", "amzn1.ask.skill.aab", "-o", "json")
	require.Equal(t, "Not among the skills of the account's vendor: amzn1.ask.skill.aab\n", stderr)
	fleetctl(t, f, exitDone, strings.Fields("skill status amzn1.ask.skill.aaa --account acme --resource manifest --resource interactionModel")...)
	require.Equal(t, "resource=manifest&resource=interactionModel", f.last().query)
}
