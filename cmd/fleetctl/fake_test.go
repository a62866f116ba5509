package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// noon is when every test of this package takes place.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// reply is one answer of the fake API.
type reply struct {
	status int
	body   string
	next   func(w http.ResponseWriter, r *http.Request) // instead of status and body
}

// ok answers with a file of testdata/api.
func ok(t *testing.T, name string) reply {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "api", name+".json"))
	require.NoError(t, err)
	return reply{status: http.StatusOK, body: string(b)}
}

// problem answers with a problem document.
func problem(status int, body string) reply { return reply{status: status, body: body} }

// call is one call that the fake API got.
type call struct {
	method, path, query, body, key string
}

// fake is an API that says what it is told to, in order; the last answer of a
// route stays.
type fake struct {
	t      *testing.T
	srv    *httptest.Server
	mu     sync.Mutex
	routes map[string][]reply
	calls  []call
}

// newFake starts an API with answers by "METHOD /path".
func newFake(t *testing.T, routes map[string][]reply) *fake {
	t.Helper()
	f := &fake{t: t, routes: routes}
	f.srv = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.srv.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer good-token" {
		f.write(w, problem(http.StatusUnauthorized, `{"title":"Unauthorized","status":401,"code":"unauthenticated","detail":"this token is not known"}`))
		return
	}
	body, _ := io.ReadAll(r.Body)
	route := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1")
	f.mu.Lock()
	f.calls = append(f.calls, call{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Get("Idempotency-Key")})
	replies := f.routes[route]
	if len(replies) > 1 {
		f.routes[route] = replies[1:]
	}
	f.mu.Unlock()
	if len(replies) == 0 {
		f.write(w, problem(http.StatusNotFound, `{"title":"Not Found","status":404,"code":"not_found","detail":"there is no `+route+`"}`))
		return
	}
	if replies[0].next != nil {
		replies[0].next(w, r)
		return
	}
	f.write(w, replies[0])
}

func (f *fake) write(w http.ResponseWriter, r reply) {
	kind := "application/json"
	if r.status >= http.StatusBadRequest {
		kind = "application/problem+json"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body)
}

// count is how many calls of a route there were.
func (f *fake) count(method, path string) int {
	n := 0
	for _, c := range f.seen() {
		if c.method == method && c.path == "/api/v1"+path {
			n++
		}
	}
	return n
}

func (f *fake) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

// last is the last call.
func (f *fake) last() call {
	calls := f.seen()
	require.NotEmpty(f.t, calls)
	return calls[len(calls)-1]
}

// console is a program under test and what it printed.
type console struct {
	*program

	out, err *lockedBuffer
	env      map[string]string
}

// newConsole makes a program that talks to the fake, off a terminal.
func newConsole(t *testing.T, f *fake) *console {
	t.Helper()
	c := &console{
		out: &lockedBuffer{}, err: &lockedBuffer{},
		env: map[string]string{"FLEETCTL_TOKEN": "good-token", "FLEETCTL_CONFIG": filepath.Join(t.TempDir(), "none.json")},
	}
	if f != nil {
		c.env["FLEETCTL_SERVER"] = f.srv.URL
	}
	c.program = newProgram(strings.NewReader(""), c.out, c.err)
	c.getenv = func(k string) string { return c.env[k] }
	c.now = func() time.Time { return noon }
	c.terminal = func(any) bool { return false }
	c.pollInterval = time.Millisecond
	return c
}

// onTerminal makes stdin and stderr a terminal, with a person who types.
func (c *console) onTerminal(typed string) {
	c.stdin = strings.NewReader(typed)
	c.terminal = func(s any) bool { return s == any(c.stdin) || s == any(c.err) }
}

func (c *console) do(t *testing.T, args ...string) int {
	t.Helper()
	return c.run(t.Context(), args)
}

// fleetctl runs one command line against a fake and expects an exit code.
func fleetctl(t *testing.T, f *fake, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	c := newConsole(t, f)
	got := c.do(t, args...)
	require.Equal(t, code, got, "exit code; stderr:\n%s", c.err)
	return c.out.String(), c.err.String()
}

// golden compares text with a file of testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// lockedBuffer is a buffer that a progress bar may write to from elsewhere.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// background runs a command line until stop is called, which returns its exit code.
func (c *console) background(t *testing.T, args ...string) (interrupt func(), wait func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- c.run(ctx, args) }()
	return cancel, func() int { return <-code }
}
