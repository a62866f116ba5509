package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// file writes a file of a test and returns its path.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestErrorsOfTheServer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		body   string
		code   int
		want   string
	}{
		"not found": {404, `{"title":"Not Found","detail":"there is no account acme"}`, exitError, "error: there is no account acme\n"},
		"forbidden": {403, `{"title":"Forbidden","detail":"this call needs the role admin"}`, exitDenied, "error: this call needs the role admin\n"},
		"one fault with a place": {
			422, `{"title":"x","detail":"matches nothing","errors":[{"location":"selector","message":"matches nothing"}]}`, exitError,
			"error: selector: matches nothing\n",
		},
		"several faults": {
			422, `{"title":"x","detail":"2 rows are bad","errors":[{"location":"line 3, column 2 (property)","message":"is empty"},{"location":"line 9","message":"no such occupancy","value":"gone"}]}`,
			exitError, "error: 2 rows are bad\n  line 3, column 2 (property): is empty\n  line 9: no such occupancy (got \"gone\")\n",
		},
		"a failure of fleetd": {500, `{"title":"x","detail":"something went wrong","request_id":"R7"}`, exitError, "error: something went wrong (request_id R7)\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]reply{"GET /accounts/acme": {problem(tt.status, tt.body)}})
			stdout, stderr := fleetctl(t, f, tt.code, "account", "show", "acme")
			require.Empty(t, stdout)
			require.Equal(t, tt.want, stderr)
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /accounts": {ok(t, "accounts")}})
	t.Run("a wrong one", func(t *testing.T) {
		t.Parallel()
		_, stderr := fleetctl(t, f, exitDenied, "account", "list", "--token", "bad-token")
		require.Contains(t, stderr, "this token is not known")
		require.Contains(t, stderr, "fleetd token create")
		require.NotContains(t, stderr, "bad-token")
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		c := newConsole(t, f)
		delete(c.env, "FLEETCTL_TOKEN")
		require.Equal(t, exitDenied, c.do(t, "account", "list"))
		require.Contains(t, c.err.String(), "no token for fleetd at "+f.srv.URL)
		require.Contains(t, c.err.String(), "fleetd token create")
	})
}

func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	f.srv.Close()
	_, stderr := fleetctl(t, f, exitError, "account", "list")
	require.Contains(t, stderr, "cannot reach fleetd at "+f.srv.URL+": nothing listens there")
	require.Contains(t, stderr, "fleetd serve")
}

func TestAccountCreateSendsSecretsFromFiles(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /accounts": {ok(t, "account")}})
	c := newConsole(t, f)
	c.stdin = strings.NewReader("s3cret\r\n")
	code := c.do(t, "account", "create", "acme", "--client-id", "id", "--client-secret-file", "-", "--refresh-token-file", file(t, "refresh\n"),
		"--api-url", "http://127.0.0.1:1", "--rate", "auto", "--burst", "3", "--link-mode", "codes", "--code-url", "http://c", "--redirect-uri", "http://a", "--redirect-uri", "http://b", "--idempotency-key", "k1")
	require.Equal(t, exitDone, code, c.err)
	require.Equal(t, "account acme created\n", c.out.String())
	require.NotContains(t, c.out.String()+c.err.String(), "s3cret")
	call := f.last()
	require.Equal(t, "k1", call.key)
	require.JSONEq(t, `{"name":"acme","client_id":"id","client_secret":"s3cret","refresh_token":"refresh","api_url":"http://127.0.0.1:1","rate":"auto","burst":3,
		"link_mode":"codes","code_url":"http://c","redirect_uris":["http://a","http://b"]}`, call.body)
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ secret, refresh, want string }{
		"missing":    {"/does/not/exist", "-", "--client-secret-file: open /does/not/exist"},
		"empty":      {file(t, " \n"), "-", "holds nothing"},
		"two lines":  {file(t, "canary-1\ncanary-2\n"), "-", "more than one line"},
		"too large":  {file(t, strings.Repeat("canary", 20000)), "-", "larger than 64 KiB"},
		"a folder":   {t.TempDir(), "-", "is a folder"},
		"both stdin": {"-", "-", "--client-secret-file and --refresh-token-file cannot both read stdin"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, nil)
			c := newConsole(t, f)
			c.stdin = strings.NewReader("x")
			require.NotEqual(t, exitDone, c.do(t, "account", "create", "a", "--client-id", "i", "--client-secret-file", tt.secret, "--refresh-token-file", tt.refresh))
			require.Contains(t, c.err.String(), tt.want)
			require.NotContains(t, c.err.String(), "canary")
			require.Empty(t, f.seen())
		})
	}
}

func TestAccountSetSendsOnlyWhatIsNamed(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"PATCH /accounts/acme": {ok(t, "account")}})
	fleetctl(t, f, exitDone, "account", "set", "acme", "--rate", "50", "--redirect-uri", "", "--reason", "why")
	require.JSONEq(t, `{"rate":"50","redirect_uris":[],"reason":"why"}`, f.last().body)
	fleetctl(t, f, exitDone, "account", "set", "acme", "--refresh-token-file", file(t, "new"))
	require.JSONEq(t, `{"refresh_token":"new"}`, f.last().body)
}

func TestAccountCheckFails(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /accounts/acme/check": {ok(t, "check_bad")}})
	stdout, stderr := fleetctl(t, f, exitError, "account", "check", "acme")
	require.Contains(t, stdout, "FAILED: the refresh token was refused")
	require.Contains(t, stderr, "error: account acme does not work")
}

func TestDeleteAsksOnATerminalOnly(t *testing.T) {
	t.Parallel()
	gone := reply{next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }}
	f := newFake(t, map[string][]reply{"DELETE /accounts/acme": {gone}})
	tests := map[string]struct {
		typed string
		tty   bool
		args  []string
		code  int
	}{
		"no":           {"n\n", true, nil, exitError},
		"nothing":      {"", true, nil, exitError},
		"yes":          {"YES\n", true, nil, exitDone},
		"--yes":        {"", true, []string{"--yes"}, exitDone},
		"off terminal": {"", false, nil, exitDone},
		"with units":   {"y\n", true, []string{"--delete-units"}, exitDone},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, f)
			if tt.tty {
				c.onTerminal(tt.typed)
			}
			require.Equal(t, tt.code, c.do(t, append([]string{"account", "delete", "acme"}, tt.args...)...))
			require.Equal(t, tt.code == exitDone, c.out.String() == "account acme deleted\n")
			require.Equal(t, name == "with units", strings.Contains(c.err.String(), "Delete account acme, its credentials and its units?"))
		})
	}
}

func TestListsFollowPages(t *testing.T) {
	t.Parallel()
	item := func(i int) string { return fmt.Sprintf(`{"name":"a%d","role": "viewer"}`, i) } // the blank shows that bytes are kept
	pages := func() map[string][]reply {
		return map[string][]reply{"GET /tokens": {
			{status: 200, body: `{"items":[` + item(1) + "," + item(2) + `],"next_cursor":"c2"}`},
			{status: 200, body: `{"items":[],"next_cursor":"c3"}`},
			{status: 200, body: `{"items":[` + item(3) + `],"next_cursor":""}`},
		}}
	}
	f := newFake(t, pages())
	stdout, _ := fleetctl(t, f, exitDone, "token", "list", "-o", "json")
	require.Equal(t, `{"items":[`+item(1)+","+item(2)+","+item(3)+`],"next_cursor":""}`+"\n", stdout)
	calls := f.seen()
	require.Len(t, calls, 3)
	require.Equal(t, "limit=1000", calls[0].query)
	require.Equal(t, "cursor=c2&limit=1000", calls[1].query)

	stdout, _ = fleetctl(t, newFake(t, pages()), exitDone, "token", "list")
	require.Equal(t, 4, strings.Count(stdout, "\n"), stdout)
	require.Equal(t, 1, strings.Count(stdout, "NAME"))

	f = newFake(t, pages())
	stdout, _ = fleetctl(t, f, exitDone, "token", "list", "-o", "json", "--limit", "2", "--cursor", "c1")
	require.Contains(t, stdout, `"next_cursor":"c2"`, "a list that was cut says where to go on")
	require.Equal(t, "cursor=c1&limit=2", f.last().query)

	stuck := newFake(t, map[string][]reply{"GET /tokens": {{status: 200, body: `{"items":[],"next_cursor":"same"}`}}})
	_, stderr := fleetctl(t, stuck, exitError, "token", "list")
	require.Contains(t, stderr, "repeats the cursor")
}

func TestEmptyLists(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /accounts": {{status: 200, body: `{"items":[],"next_cursor":""}`}}})
	stdout, stderr := fleetctl(t, f, exitDone, "account", "list")
	require.Empty(t, stdout)
	require.Contains(t, stderr, "No accounts.")
	stdout, _ = fleetctl(t, f, exitDone, "account", "list", "-o", "csv")
	require.Equal(t, 1, strings.Count(stdout, "\n"), "the header only")
}

func TestUnitImport(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /accounts/acme/units/import": {ok(t, "import")}})
	const csv = "unit_id,property\nu1,p\n"
	stdout, stderr := fleetctl(t, f, exitDone, "unit", "import", file(t, csv), "--account", "acme", "--prune", "--reason", "new list")
	golden(t, "unit_import.table", stdout)
	require.Empty(t, stderr, "no progress off a terminal")
	require.Equal(t, csv, f.last().body)
	require.Equal(t, "prune=true&reason=new+list", f.last().query)
	require.NotEmpty(t, f.last().key)

	c := newConsole(t, f)
	c.stdin = strings.NewReader(csv)
	require.Equal(t, exitDone, c.do(t, "unit", "import", "-", "--account", "acme", "--dry-run", "-o", "json"))
	require.Equal(t, ok(t, "import").body, c.out.String())
	require.Equal(t, "dry_run=true", f.last().query)
}

func TestUnitImportFailures(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"POST /accounts/acme/units/import": {problem(422, `{"title":"x","detail":"101 rows are bad; the first 100 follow",
		"errors":[{"location":"line 3, column 2 (property)","message":"is empty"},{"location":"line 4","message":"doubled"}]}`)}})
	_, stderr := fleetctl(t, f, exitError, "unit", "import", file(t, "unit_id,property\n"), "--account", "acme")
	require.Contains(t, stderr, "101 rows are bad; the first 100 follow; nothing was imported\n  line 3, column 2 (property): is empty\n  line 4: doubled\n")

	_, stderr = fleetctl(t, f, exitError, "unit", "import", "/does/not/exist.csv", "--account", "acme")
	require.Contains(t, stderr, "open /does/not/exist.csv")

	c := newConsole(t, f)
	c.stdin = io.MultiReader(strings.NewReader("unit_id"), brokenReader{})
	require.Equal(t, exitError, c.do(t, "unit", "import", "-", "--account", "acme"))
	require.Contains(t, c.err.String(), "read stdin: the disk is gone; nothing was imported")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, fmt.Errorf("the disk is gone") }

// An import is never held in memory: 192 MiB pass through a few.
func TestUnitImportStreams(t *testing.T) { //nolint:paralleltest // It counts what the whole process allocates.
	const size = 192 << 20
	got := make(chan int64, 1)
	f := newFake(t, nil)
	f.srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got <- n
		f.write(w, ok(t, "import"))
	})
	c := newConsole(t, f)
	c.stdin = io.LimitReader(rows{}, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.Equal(t, exitDone, c.do(t, "unit", "import", "-", "--account", "acme"))
	runtime.ReadMemStats(&after)
	require.EqualValues(t, size, <-got)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
}

// rows is CSV without end.
type rows struct{}

func (rows) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		n += copy(b[n:], "u1,maple-court,1A,vacant,floor=1\n")
	}
	return len(b), nil
}

func TestUnitExport(t *testing.T) {
	t.Parallel()
	const csv = "unit_id,property,name,occupancy,labels\nu1,p,,vacant,\n"
	send := reply{next: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/csv")
		_, _ = io.WriteString(w, csv)
	}}
	cutOff := reply{next: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, csv)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}}
	f := newFake(t, map[string][]reply{"GET /accounts/acme/units/export": {send, send, cutOff}})
	stdout, _ := fleetctl(t, f, exitDone, "unit", "export", "--account", "acme", "--select", "property=p")
	require.Equal(t, csv, stdout)
	require.Equal(t, "select=property%3Dp", f.last().query)

	path := filepath.Join(t.TempDir(), "out.csv")
	stdout, _ = fleetctl(t, f, exitDone, "unit", "export", "--account", "acme", "-f", path)
	require.Empty(t, stdout)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, csv, string(b))

	_, stderr := fleetctl(t, f, exitError, "unit", "export", "--account", "acme")
	require.Contains(t, stderr, "the export broke off, what was written is not whole")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /version": {{status: 200, body: `{"version":"v9","go_version":"go1.26"}`}}})
	stdout, _ := fleetctl(t, f, exitDone, "version")
	require.Contains(t, stdout, "fleetctl devel (go1.")
	require.Contains(t, stdout, "fleetd   v9 at "+f.srv.URL)
	stdout, _ = fleetctl(t, f, exitDone, "version", "-o", "json")
	require.Contains(t, stdout, `"server_version":"v9"`)
	f.srv.Close()
	stdout, stderr := fleetctl(t, f, exitDone, "version")
	require.NotContains(t, stdout, "fleetd ")
	require.Empty(t, stderr)
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /accounts": {ok(t, "accounts")}, "GET /rollouts": {ok(t, "rollouts")}})
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		stdout, _ := fleetctl(t, nil, exitDone, "completion", shell)
		require.Contains(t, stdout, "fleetctl")
	}
	for _, tt := range []struct{ args, want string }{
		{"account show ", "acme\nzenith\n"},
		{"account credential set ", "acme\nzenith\n"},
		{"account credential list ", "acme\nzenith\n"},
		{"account credential delete acme --kind ", "enterprise\ndeveloper\ncustomer\n"},
		{"rollout plan enable --account ", "acme\nzenith\n"},
		{"rollout watch ", "r7k2\trunning, enable amzn1.ask.skill.x\n"},
		{"rollout list --state ", "scheduled\nrunning\n"},
		{"rollout plan enable --stage ", "development\ncertification\nlive\n"},
		{"account list -o ", "table\njson\ncsv\nwide\n"},
	} {
		args := strings.Split(tt.args, " ")
		stdout, _ := fleetctl(t, f, exitDone, append([]string{"__complete"}, args...)...)
		require.Contains(t, stdout, tt.want)
	}
}
