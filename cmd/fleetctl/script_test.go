package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/simulator"
	"fleetd/internal/simulator/topic"
	"fleetd/internal/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fleetctl": main})
}

// testServer is a fleetd that scripts talk to.
type testServer struct {
	url   string
	admin string // a token of the role admin
	pool  *pgxpool.Pool
}

// startServer starts the real fleetd on a database of its own. It believes what the
// authority of a simulator signs.
func startServer(t *testing.T, sim *simulator.Simulator, simURL string, log io.Writer) testServer {
	t.Helper()
	dir := t.TempDir()
	ca, rec := filepath.Join(dir, "ca.pem"), httptest.NewRecorder()
	sim.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, topic.Path+"ca.pem", http.NoBody))
	require.NoError(t, os.WriteFile(ca, rec.Body.Bytes(), 0o600))
	a, err := app.Start(t.Context(), app.Config{
		DatabaseURL: pgtest.New(t), DataDir: dir, Listen: "127.0.0.1:0", Version: "v0-test", ShutdownTimeout: 10 * time.Second,
		SNSCertOrigin: simURL, SNSCAFile: ca, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Stop(context.WithoutCancel(t.Context()))) })
	_, secret, err := a.Store().CreateToken(t.Context(), store.TokenParams{Name: "root", Role: fleet.RoleAdmin},
		fleet.Actor{Name: "test", Role: fleet.RoleAdmin}, store.Idempotency{})
	require.NoError(t, err)
	return testServer{url: a.URL(), admin: secret, pool: a.Store().Pool()}
}

// world is what a script's sim.json may say of the API that fleetd talks to.
type world struct {
	Units     int     `json:"units"`
	Occupied  int     `json:"occupied"`
	FailEvery int     `json:"fail_every"`
	RPS       float64 `json:"rps"`
	Forbidden int     `json:"forbidden"` // of the first homes every operation is answered 403
}

// TestScripts runs testdata/script against a real fleetd and a simulator of the
// API, one of each for every script: they read like a manual.
//
// A script finds FLEETCTL_SERVER and FLEETCTL_TOKEN set, SIM (the simulator's
// address), homes.csv (its inventory), the files secret and refresh, and fleetd.log
// (all that fleetd logs).
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				Setup:               func(env *testscript.Env) error { return setUp(t, env) },
				Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "sql": sql, "sim": sim, "fetch": fetch, "let": let, "until": until},
			})
		})
	}
}

func setUp(t *testing.T, env *testscript.Env) error {
	t.Helper()
	w := world{Units: 60, RPS: 0}
	if b, err := os.ReadFile(filepath.Join(env.WorkDir, "sim.json")); err == nil {
		if err := json.Unmarshal(b, &w); err != nil {
			return err
		}
	}
	sim := simulator.New(simulator.Config{Units: w.Units, Properties: 3, Occupied: w.Occupied, FailEvery: w.FailEvery, RPS: w.RPS, Seed: 1})
	for i := range w.Forbidden {
		if err := sim.ChangeUnit(sim.UnitID(i), simulator.Change{Action: simulator.ChangeForbid}); err != nil {
			return err
		}
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Close(); srv.Close() })
	log, err := os.Create(filepath.Join(env.WorkDir, "fleetd.log"))
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = log.Close() })
	server := startServer(t, sim, srv.URL, log)
	env.Setenv("FLEETCTL_SERVER", server.url)
	env.Setenv("FLEETCTL_TOKEN", server.admin)
	env.Setenv("FLEETCTL_CONFIG", filepath.Join(env.WorkDir, "contexts.json"))
	env.Setenv("SIM", srv.URL)
	env.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector's second at the end of each command is most of a script
	env.Values[poolKey{}] = server.pool
	homes, err := os.Create(filepath.Join(env.WorkDir, "homes.csv"))
	if err != nil {
		return err
	}
	return errors.Join(
		sim.WriteInventory(homes), homes.Close(),
		os.WriteFile(filepath.Join(env.WorkDir, "secret"), []byte(simulator.DefaultClientSecret+"\n"), 0o600),
		os.WriteFile(filepath.Join(env.WorkDir, "refresh"), []byte(simulator.DefaultRefreshToken+"\n"), 0o600),
		os.WriteFile(filepath.Join(env.WorkDir, "token"), []byte(server.admin+"\n"), 0o600),
	)
}

// poolKey is where a script finds the database.
type poolKey struct{}

// sql does to the database what no command can: sql FILE.
func sql(ts *testscript.TestScript, neg bool, args []string) {
	pool, ok := ts.Value(poolKey{}).(*pgxpool.Pool)
	if neg || len(args) != 1 || !ok {
		ts.Fatalf("usage: sql FILE")
	}
	_, err := pool.Exec(context.Background(), ts.ReadFile(args[0]))
	ts.Check(err)
}

// sim changes the world behind fleetd's back, and keeps the answer where a file is
// named: sim CONTROL JSON [FILE].
func sim(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: sim CONTROL JSON [FILE]")
	}
	res, err := http.Post(ts.Getenv("SIM")+"/_sim/"+args[0], "application/json", strings.NewReader(args[1]))
	ts.Check(err)
	defer func() { _ = res.Body.Close() }()
	keep(ts, res, args[2:])
}

// fetch keeps a page: fetch URL FILE.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch URL FILE")
	}
	res, err := http.Get(args[0])
	ts.Check(err)
	defer func() { _ = res.Body.Close() }()
	keep(ts, res, args[1:])
}

// keep wants an answer to be 200, and writes its body to the file that is named, if any.
func keep(ts *testscript.TestScript, res *http.Response, file []string) {
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s", res.Status, text)
	}
	if len(file) == 0 {
		ts.Logf("%s", text)
		return
	}
	ts.Check(os.WriteFile(ts.MkAbs(file[0]), text, 0o600))
}

// let sets a variable to what the brackets of a pattern hold in what was printed
// last, to stdout or else to stderr: let NAME PATTERN.
func let(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: let NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	for _, stream := range []string{"stdout", "stderr"} {
		if m := pattern.FindStringSubmatch(ts.ReadFile(stream)); len(m) == 2 {
			ts.Setenv(args[0], m[1])
			return
		}
	}
	ts.Fatalf("nothing that was printed matches %s", args[1])
}

// exits runs a command and wants an exit code: exits 4 fleetctl account list.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGS...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*osexec.ExitError](err)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// until runs a command again and again until what it prints matches: until PATTERN
// COMMAND [ARGS...].
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND [ARGS...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); err == nil && pattern.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("it never said %s", args[0])
		}
	}
}
