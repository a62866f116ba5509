package acceptance_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/simulator"
)

const skillMain = "amzn1.ask.skill.main"

// world is one simulated API, one database, and the fleetds that work for it.
type world struct {
	t        *testing.T
	programs programs
	sim      *simulator.Simulator
	simURL   string
	wire     *wire
	database string // URL; empty: a private one in dataDir
	dir      string // files of the test
	dataDir  string
	token    string
	fleetds  []*fleetd

	mu   sync.Mutex
	said strings.Builder // all that fleetctl ever said
	// expectErrors lets fleetd log errors: the test takes something away from it.
	expectErrors bool
}

// fleetd is one `fleetd serve`.
type fleetd struct {
	*process

	url string
	api *client.Client
}

// newWorld makes a world on a database of its own.
func newWorld(t *testing.T, cfg simulator.Config) *world {
	t.Helper()
	return newWorldOn(t, cfg, pgtest.New(t))
}

// newWorldOn makes a world on a database; "" is a private one.
func newWorldOn(t *testing.T, cfg simulator.Config, database string) *world {
	t.Helper()
	built, err := build()
	require.NoError(t, err)
	w := &world{t: t, programs: built, sim: simulator.New(cfg), database: database, dir: t.TempDir()}
	w.dataDir = filepath.Join(w.dir, "data")
	// A private Postgres of root's runs as another user, who has to get there.
	require.NoError(t, os.Chmod(filepath.Dir(w.dir), 0o711))
	w.wire = &wire{next: w.sim}
	server := httptest.NewServer(w.wire)
	t.Cleanup(server.Close)
	w.simURL = server.URL
	t.Cleanup(w.checkLogs)
	return w
}

// checkLogs sees that no fleetd ever panicked, raced or logged an error.
func (w *world) checkLogs() {
	for _, f := range w.fleetds {
		log := f.stderr.String()
		for _, bad := range []string{"DATA RACE", "panic", "goroutine "} {
			require.NotContains(w.t, log, bad)
		}
		if !w.expectErrors {
			require.NotContains(w.t, log, "level=ERROR")
		}
	}
}

// databaseFlags are the flags of the world's database.
func (w *world) databaseFlags() []string {
	flags := []string{"--data-dir", w.dataDir}
	if w.database != "" {
		flags = append(flags, "--database-url", w.database)
	}
	return flags
}

// serve starts a fleetd and waits until it serves.
func (w *world) serve(flags ...string) *fleetd {
	w.t.Helper()
	args := append(append([]string{"serve", "--listen", "127.0.0.1:0"}, w.databaseFlags()...), flags...)
	f := &fleetd{process: spawn(w.t, cleanEnviron(), w.programs.fleetd, args...)}
	f.url = awaitServing(w.t, f.process)
	if w.token == "" {
		w.token = w.makeToken("root", "admin")
	}
	var err error
	f.api, err = client.New(client.Config{Server: f.url, Token: w.token, UserAgent: "acceptance"})
	require.NoError(w.t, err)
	w.t.Cleanup(f.api.Close)
	w.fleetds = append(w.fleetds, f)
	return f
}

func (w *world) makeToken(name, role string) string {
	w.t.Helper()
	r := runProgram(w.t, cleanEnviron(), nil, w.programs.fleetd,
		append([]string{"token", "create", "--name", name, "--role", role}, w.databaseFlags()...)...)
	require.Zero(w.t, r.code, r.stderr)
	return strings.TrimSpace(r.stdout)
}

// up is the last fleetd that still runs.
func (w *world) up() *fleetd {
	w.t.Helper()
	for _, f := range slices.Backward(w.fleetds) {
		if !f.ended() {
			return f
		}
	}
	w.t.Fatal("no fleetd runs")
	return nil
}

// ctl runs fleetctl.
func (w *world) ctl(args ...string) result {
	w.t.Helper()
	return w.ctlAs(w.token, args...)
}

func (w *world) ctlAs(token string, args ...string) result {
	w.t.Helper()
	r := runProgram(w.t, cleanEnviron(
		"FLEETCTL_SERVER="+w.up().url, "FLEETCTL_TOKEN="+token, "FLEETCTL_CONFIG="+filepath.Join(w.dir, "contexts.json"),
	), nil, w.programs.fleetctl, args...)
	w.mu.Lock()
	w.said.WriteString(r.stdout + r.stderr)
	w.mu.Unlock()
	return r
}

// must runs fleetctl, which must succeed, and returns what it printed.
func (w *world) must(args ...string) string {
	w.t.Helper()
	r := w.ctl(args...)
	require.Zero(w.t, r.code, "fleetctl %s: %s", strings.Join(args, " "), r.stderr)
	return r.stdout
}

// file writes a file and returns its path.
func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	require.NoError(w.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// account makes an account of the simulator's LWA client.
func (w *world) account(name string, as simulator.Account, flags ...string) {
	w.t.Helper()
	w.must(append([]string{
		"account", "create", name, "--client-id", as.ClientID,
		"--client-secret-file", w.file(name+".secret", as.ClientSecret+"\n"),
		"--refresh-token-file", w.file(name+".refresh", as.RefreshToken+"\n"),
		"--api-url", w.simURL, "--token-url", w.simURL + "/auth/o2/token",
	}, flags...)...)
}

// defaultClient is the LWA client that a simulator has by default.
var defaultClient = simulator.Account{
	ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret, RefreshToken: simulator.DefaultRefreshToken,
}

// settle makes the account acme with a rate and imports every home.
func (w *world) settle(rate string, flags ...string) {
	w.t.Helper()
	w.account("acme", defaultClient, append([]string{"--rate", rate}, flags...)...)
	w.importHomes("acme")
}

func (w *world) importHomes(account string) {
	w.t.Helper()
	var homes bytes.Buffer
	require.NoError(w.t, w.sim.WriteInventory(&homes))
	w.must("unit", "import", w.file("homes.csv", homes.String()), "--account", account)
}

// create makes a rollout over all homes and returns its ID.
func (w *world) create(action, account, skill string, flags ...string) string {
	w.t.Helper()
	out := w.must(append([]string{
		"rollout", "create", action, "--account", account, "--skill", skill, "--select", "all", "--yes", "-o", "json",
	}, flags...)...)
	var r client.Rollout
	require.NoError(w.t, json.Unmarshal([]byte(out), &r))
	return r.ID
}

// plan prices the same rollout.
func (w *world) plan(action, account, skill string, flags ...string) client.Plan {
	w.t.Helper()
	out := w.must(append([]string{
		"rollout", "plan", action, "--account", account, "--skill", skill, "--select", "all", "-o", "json",
	}, flags...)...)
	var p client.Plan
	require.NoError(w.t, json.Unmarshal([]byte(out), &p))
	return p
}

// look reads a rollout and sees that its counts are whole.
func (w *world) look(id string) client.Rollout {
	w.t.Helper()
	got, err := w.up().api.GetRollout(w.t.Context(), id)
	require.NoError(w.t, err)
	w.whole(got.Value)
	return got.Value
}

func (w *world) whole(r client.Rollout) {
	w.t.Helper()
	c := r.Counts
	sum := c.Pending + c.Queued + c.Running + c.Verifying + c.Succeeded + c.Failed + c.Skipped + c.Canceled
	require.Equal(w.t, r.Targets, sum, "counts of %s: %+v", r.State, c)
}

// await looks at a rollout until it is as wanted.
func (w *world) await(id string, limit time.Duration, what string, holds func(client.Rollout) bool) client.Rollout {
	w.t.Helper()
	var r client.Rollout
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("rollout %s was last seen %s (%s): %+v", r.ID, r.State, r.StateReason, r.Counts)
		}
	})
	eventually(w.t, limit, what, func() bool {
		r = w.look(id)
		return holds(r)
	})
	return r
}

func (w *world) awaitEnd(id string, limit time.Duration) client.Rollout {
	w.t.Helper()
	return w.await(id, limit, "the rollout ends", func(r client.Rollout) bool { return r.EndedAt != nil })
}

func (w *world) awaitState(id string, limit time.Duration, state fleet.RolloutState) client.Rollout {
	w.t.Helper()
	return w.await(id, limit, "the rollout is "+string(state), func(r client.Rollout) bool { return r.State == string(state) })
}

// ended is how many targets have ended.
func ended(r client.Rollout) int64 {
	return r.Counts.Succeeded + r.Counts.Failed + r.Counts.Skipped + r.Counts.Canceled
}

// targets lists every target of a rollout.
func (w *world) targets(id string) []client.Target {
	w.t.Helper()
	var all []client.Target
	limit, cursor := int64(500), ""
	for {
		params := client.ListTargetsParams{Limit: &limit}
		if cursor != "" {
			params.Cursor = &cursor
		}
		page, err := w.up().api.ListTargets(w.t.Context(), id, params)
		require.NoError(w.t, err)
		all = append(all, page.Value.Items...)
		if cursor = page.Value.NextCursor; cursor == "" {
			return all
		}
	}
}

// wire is the way to the simulator, and keeps the secrets that it gives out.
type wire struct {
	next http.Handler

	mu     sync.Mutex
	tokens []string // access and refresh tokens
	codes  []string // authorization codes
}

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	token, code := strings.HasPrefix(r.URL.Path, "/auth/"), r.URL.Path == "/_sim/codes"
	if !token && !code {
		w.next.ServeHTTP(rw, r)
		return
	}
	rec := httptest.NewRecorder()
	w.next.ServeHTTP(rec, r)
	var answer map[string]any
	_ = json.Unmarshal(rec.Body.Bytes(), &answer) // an error page holds no secret
	w.mu.Lock()
	for name, kept := range map[string]*[]string{"access_token": &w.tokens, "refresh_token": &w.tokens, "code": &w.codes} {
		if secret, ok := answer[name].(string); ok {
			*kept = append(*kept, secret)
		}
	}
	w.mu.Unlock()
	maps.Copy(rw.Header(), rec.Header())
	rw.WriteHeader(rec.Code)
	_, _ = rw.Write(rec.Body.Bytes())
}

// secrets are all that were given out.
func (w *wire) secrets() (tokens, codes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.tokens...), append([]string{}, w.codes...)
}
