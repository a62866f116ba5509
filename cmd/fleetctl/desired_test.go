package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet/document"
)

const fleetFile = "testdata/fleet.yaml"

// A dry run shows the plan on stdout, in every format, and its exit code tells.
func TestDesiredDryRun(t *testing.T) {
	t.Parallel()
	for _, format := range formats() {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{"POST /desired/apply": {ok(t, "desired_plan")}})
			stdout, _ := fleetctl(t, f, exitDifference, "desired", "apply", "-f", fleetFile, "--dry-run", "-o", format)
			require.Len(t, f.seen(), 1)
			require.Contains(t, f.last().body, `"dry_run":true`)
			if format == formatJSON {
				require.Equal(t, ok(t, "desired_plan").body, stdout)
				return
			}
			golden(t, "desired_plan."+format, stdout)
		})
	}
}

func TestDesiredApplySendsTheFileWithItsLines(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /desired/apply": {ok(t, "desired_applied")}})
	c := newConsole(t, f)
	text, err := os.ReadFile(fleetFile)
	require.NoError(t, err)
	c.stdin = strings.NewReader(string(text))
	code := c.do(t, "desired", "apply", "-f", "-", "--account", "acme", "--yes", "--allow-empty", "--reason", "why", "--idempotency-key", "k1")
	require.Equal(t, exitDone, code, c.err)
	require.Equal(t, "k1", f.last().key)
	require.JSONEq(t, `{"account":"acme","allow_empty":true,"reason":"why","document":{"version":1,"account":"acme","desired":[
		{"select":"property=maple-court","line":4,"column":13,"skills":[
			{"skill_id":"amzn1.ask.skill.aaa","state":"live","line":6,"column":7},
			{"skill_id":"amzn1.ask.skill.bbb","state":"disabled","line":7,"column":7}]}]}}`, f.last().body)
	require.Contains(t, c.err.String(), "Nothing was sent to the homes")
}

// On a terminal the plan is shown and agreed to, and nothing else is done.
func TestDesiredApplyAsks(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		typed string
		code  int
		calls int
	}{
		"yes":     {"y\n", exitDone, 2},
		"no":      {"n\n", exitError, 1},
		"nothing": {"", exitError, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{"POST /desired/apply": {ok(t, "desired_plan"), ok(t, "desired_applied")}})
			c := newConsole(t, f)
			c.onTerminal(tt.typed)
			require.Equal(t, tt.code, c.do(t, "desired", "apply", "-f", fleetFile), c.err)
			require.Contains(t, c.err.String(), "Make this what is desired in account acme? [y/N]")
			calls := f.seen()
			require.Len(t, calls, tt.calls)
			require.Contains(t, calls[0].body, `"dry_run":true`)
			if tt.calls == 1 {
				require.Contains(t, c.err.String(), "nothing was done")
				require.Empty(t, c.out.String())
				return
			}
			require.Contains(t, calls[1].body, `"expect":"f1"`)
			require.NotContains(t, calls[1].body, "dry_run")
			require.NotEmpty(t, calls[1].key)
			require.Equal(t, "Changed what is desired in account acme (de-k2r7): 1,200 to enable, 3 to disable, 40 to change stage, 2 to remove, 6 unchanged.\n", c.out.String())
		})
	}
}

func TestDesiredApplyWithoutChangesDoesNotAsk(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /desired/apply": {ok(t, "desired_nothing")}})
	c := newConsole(t, f)
	c.onTerminal("")
	require.Equal(t, exitDone, c.do(t, "desired", "apply", "-f", fleetFile), c.err)
	require.Equal(t, "No changes: 1,206 unchanged.\n", c.out.String())
	require.Len(t, f.seen(), 1)
}

// What the server would refuse is told after the plan, before anybody is asked.
func TestDesiredApplyRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /desired/apply": {ok(t, "desired_refused")}})
	c := newConsole(t, f)
	c.onTerminal("y\n")
	require.Equal(t, exitError, c.do(t, "desired", "apply", "-f", fleetFile, "--no-color"))
	require.Contains(t, c.err.String(), "error: the document would take away 2 of the 3 desired states of account acme, more than half; look; nothing was changed")
	require.Len(t, f.seen(), 1)

	_, stderr := fleetctl(t, f, exitDifference, "desired", "apply", "-f", fleetFile, "--dry-run")
	require.Contains(t, stderr, "It would be refused: the document would take away")
	_, stderr = fleetctl(t, f, exitDifference, "desired", "apply", "-f", fleetFile, "--dry-run", "--allow-empty")
	require.Empty(t, stderr)
}

// What is wrong with a file is told without asking the server; what only the server
// can see looks the same.
func TestDesiredApplyNamesLines(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /desired/apply": {problem(422, `{"title":"x","detail":"1 thing is wrong with the document",
		"errors":[{"location":"line 4, column 13","message":"the selector matches no unit of account acme","value":"property=maple-court"}]}`)}})
	bad := file(t, "version: 1\naccount: acme\ndesired:\n  - select: floor\n    skills:\n      a: prod\n")
	_, stderr := fleetctl(t, f, exitError, "desired", "apply", "-f", bad, "--yes")
	require.Contains(t, stderr, bad+": 2 things are wrong with the document: mend them and apply it again, nothing was changed\n"+
		"  line 4, column 13: the selector is wrong: at position 6: the selector ends after the key floor")
	require.Contains(t, stderr, "\n  line 6, column 10: this is no state of a skill")
	_, stderr = fleetctl(t, f, exitError, "desired", "apply", "-f", file(t, "a:\n\tb\n"), "--yes")
	require.Contains(t, stderr, "line 2: this is no YAML: found")
	require.Empty(t, f.seen())

	_, stderr = fleetctl(t, f, exitError, "desired", "apply", "-f", fleetFile, "--yes")
	require.Contains(t, stderr, fleetFile+": 1 thing is wrong with the document\n  line 4, column 13: the selector matches no unit of account acme (got \"property=maple-court\")")
}

func TestDesiredApplyOfAWrongFile(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no such file":    {[]string{"-f", "/does/not/exist.yaml"}, exitError, "--file: open /does/not/exist.yaml"},
		"a folder":        {[]string{"-f", t.TempDir()}, exitError, "is a folder"},
		"no account":      {[]string{"-f", file(t, "version: 1\ndesired: []\n")}, exitUsage, "names no account"},
		"another account": {[]string{"-f", fleetFile, "--account", "other"}, exitError, `testdata/fleet.yaml: line 2, column 10: the file is about account "acme", and --account says "other"`},
		"too long":        {[]string{"-f", file(t, "#"+strings.Repeat("x", document.MaxBytes))}, exitError, "longer than 1024 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, stderr := fleetctl(t, f, tt.code, append([]string{"desired", "apply", "--yes"}, tt.args...)...)
			require.Contains(t, stderr, tt.want)
		})
	}
	c := newConsole(t, f)
	c.stdin = brokenReader{}
	require.Equal(t, exitError, c.do(t, "desired", "apply", "-f", "-", "--yes"))
	require.Contains(t, c.err.String(), "stdin: read the document: the disk is gone")
	require.Empty(t, f.seen())
}

func TestDesiredSetAndAdoptSend(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /desired": {ok(t, "desired_set")}, "POST /desired/adopt": {ok(t, "desired_adopted")}})
	fleetctl(t, f, exitDone, "desired", "set", "certification", "--account", "acme", "--skill", "s", "--units-file", file(t, "u1\nu2\n"), "--yes", "--reason", "why")
	require.JSONEq(t, `{"account":"acme","skill_id":"s","state":"certification","unit_ids":["u1","u2"],"reason":"why"}`, f.last().body)
	fleetctl(t, f, exitDone, "desired", "adopt", "--account", "acme", "--select", "all", "--skill", "a", "--skill", "b", "--disabled", "--yes")
	require.JSONEq(t, `{"account":"acme","selector":"all","skills":["a","b"],"disabled":true}`, f.last().body)
	_, stderr := fleetctl(t, f, exitError, "desired", "set", "live", "--account", "acme", "--skill", "s", "--units-file", file(t, ""), "--yes")
	require.Contains(t, stderr, "it lists no units")
}

// A change whose answer is lost is asked for again, with the same key.
func TestDesiredChangeIsMadeOnce(t *testing.T) {
	t.Parallel()
	lost := reply{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
	f := newFake(t, map[string][]reply{"POST /desired/adopt": {lost, ok(t, "desired_adopted")}})
	fleetctl(t, f, exitDone, "desired", "adopt", "--account", "acme", "--select", "all", "--yes")
	calls := f.seen()
	require.Len(t, calls, 2)
	require.NotEmpty(t, calls[0].key)
	require.Equal(t, calls[0].key, calls[1].key)

	f = newFake(t, map[string][]reply{"POST /desired/adopt": {lost}})
	_, stderr := fleetctl(t, f, exitError, "desired", "adopt", "--account", "acme", "--select", "all", "--yes", "--idempotency-key", "k7")
	require.Contains(t, stderr, "It is not known whether the change was made: repeat the command with --idempotency-key k7")
}

func TestDesiredExport(t *testing.T) {
	t.Parallel()
	const text = "version: 1\naccount: acme\ndesired: []\n"
	send := func(text string) reply {
		return reply{next: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = io.WriteString(w, text)
		}}
	}
	long := "#" + strings.Repeat("x", document.MaxBytes)
	f := newFake(t, map[string][]reply{"GET /desired/export": {send(text), send(text), send(long)}})
	stdout, _ := fleetctl(t, f, exitDone, "desired", "export", "--account", "acme")
	require.Equal(t, text, stdout)
	require.Equal(t, "account=acme", f.last().query)
	path := filepath.Join(t.TempDir(), "fleet.yaml")
	stdout, _ = fleetctl(t, f, exitDone, "desired", "export", "--account", "acme", "-f", path)
	require.Empty(t, stdout)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(b))
	stdout, stderr := fleetctl(t, f, exitDone, "desired", "export", "--account", "acme")
	require.Equal(t, long, stdout)
	require.Contains(t, stderr, "The document has 1024 KiB and apply reads 1024")
	_, stderr = fleetctl(t, f, exitError, "desired", "export", "--account", "acme", "-f", t.TempDir())
	require.Contains(t, stderr, "--file: ")
}
