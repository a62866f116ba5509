package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/store"
)

// variables is an environment of nothing else.
func variables(values map[string]string) environment {
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

// fleetd runs one command line.
func fleetd(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = exec(t.Context(), variables(env), strings.NewReader(""), &out, &errs, args)
	return code, out.String(), errs.String()
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	type env = map[string]string
	serve := []string{"serve", "--database-url", "postgres://127.0.0.1:1/x"}
	for name, c := range map[string]struct {
		env  env
		args []string
		want string
	}{
		"no command":                {nil, nil, "a command is needed"},
		"a group without a command": {nil, []string{"migrate"}, "a command is needed"},
		"an unknown command":        {nil, []string{"server"}, `unknown command "server"`},
		"an argument":               {nil, []string{"version", "x"}, "unknown command"},
		"an unknown flag":           {nil, []string{"serve", "--bogus"}, "unknown flag: --bogus"},
		"a flag without its value":  {nil, []string{"serve", "--listen"}, "flag needs an argument: --listen"},
		"words for a number":        {nil, append(serve, "--max-in-flight", "many"), `--max-in-flight: "many" is no whole number: use one such as 1000`},
		"a number beyond numbers":   {nil, append(serve, "--max-in-flight", "99999999999999999999"), `--max-in-flight: "99999999999999999999" is out of range`},
		"a number that is too big":  {nil, append(serve, "--max-in-flight", "10001"), "--max-in-flight: 10001 is out of range: use 1 to 10000"},
		"a number of nothing":       {nil, append(serve, "--max-in-flight", "0"), "--max-in-flight: 0 is out of range: use 1 to 10000"},
		"words for a duration":      {nil, append(serve, "--shutdown-timeout", "20"), `--shutdown-timeout: "20" is no duration: use one such as 30s or 2h`},
		"a negative duration":       {nil, append(serve, "--shutdown-timeout=-1s"), "--shutdown-timeout: -1s is negative"},
		"words for yes or no":       {nil, append(serve, "--migrate=maybe"), `--migrate: "maybe" is neither true nor false`},
		"an unknown log level":      {nil, append(serve, "--log-level", "loud"), `--log-level: "loud" is no level: use debug, info, warn or error`},
		"an unknown log format":     {nil, append(serve, "--log-format", "xml"), `--log-format: "xml" is no format: use text or json`},
		"an address that is none":   {nil, append(serve, "--listen", "8080"), `--listen: "8080" is no address`},
		"a database that is none":   {nil, []string{"serve", "--database-url", "postgres://u:hunter2@h:port/x"}, "--database-url: it cannot be read"},

		"a variable for a number":            {env{"FLEETD_MAX_IN_FLIGHT": "many"}, serve, `FLEETD_MAX_IN_FLIGHT: "many" is no whole number: use one such as 1000`},
		"a variable for a duration":          {env{"FLEETD_SHUTDOWN_TIMEOUT": "soon"}, serve, `FLEETD_SHUTDOWN_TIMEOUT: "soon" is no duration: use one such as 30s or 2h`},
		"a variable for yes or no":           {env{"FLEETD_MIGRATE": "maybe"}, serve, `FLEETD_MIGRATE: "maybe" is neither true nor false`},
		"a variable beyond numbers":          {env{"FLEETD_MAX_IN_FLIGHT": "99999999999999999999"}, serve, `FLEETD_MAX_IN_FLIGHT: "99999999999999999999" is out of range`},
		"a variable that is too big":         {env{"FLEETD_MAX_IN_FLIGHT": "10001"}, serve, "FLEETD_MAX_IN_FLIGHT: 10001 is out of range: use 1 to 10000"},
		"a variable of an unknown log level": {env{"FLEETD_LOG_LEVEL": "loud"}, serve, `FLEETD_LOG_LEVEL: "loud" is no level`},
		"a variable of no database":          {env{"FLEETD_DATABASE_URL": "postgres://u:hunter2@h:port/x"}, []string{"serve"}, "FLEETD_DATABASE_URL: it cannot be read"},

		"a token of nobody":         {nil, []string{"token", "create", "--role", "admin"}, "--name is required"},
		"a token without a role":    {nil, []string{"token", "create", "--name", "x"}, `--role: "" is no role: use viewer, operator or admin`},
		"a token of the past":       {nil, []string{"token", "create", "--name", "x", "--role", "viewer", "--ttl=-1h"}, "--ttl: -1h0m0s is negative"},
		"a migration that is none":  {nil, []string{"migrate", "down", "--to=-1", "--yes"}, "--to: -1 is no migration: use 0 or more"},
		"a migration that is words": {nil, []string{"migrate", "down", "--to", "first"}, `--to: "first" is no whole number: use one such as 0`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := fleetd(t, c.env, c.args...)
			require.Equal(t, exitUsage, code, stderr)
			require.Contains(t, stderr, "error: ")
			require.Contains(t, stderr, c.want)
			require.Contains(t, stderr, "--help'.")
			require.NotContains(t, stderr, "strconv")
			require.NotContains(t, stderr, "hunter2")
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := fleetd(t, nil, "version")
	require.Zero(t, code)
	require.Regexp(t, `^fleetd dev\S* \(go1\.\S+ \w+/\w+\)\n$`, stdout)
	require.Empty(t, stderr)
}

// A refusal comes before anything is made or started.
func TestMigrateDownWantsAYesBeforeItStartsAnything(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	code, stdout, stderr := fleetd(t, nil, "migrate", "down", "--data-dir", dir)
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "say --yes when you mean it")
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestMigrateUpAndDown(t *testing.T) {
	t.Parallel()
	env := map[string]string{"FLEETD_DATABASE_URL": pgtest.Empty(t)}
	code, stdout, stderr := fleetd(t, env, "migrate", "status")
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^2 +fleet +no$`, stdout)

	code, stdout, stderr = fleetd(t, env, "migrate", "up")
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^2 +fleet +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`, stdout)
	require.NotRegexp(t, `(?m) no$`, stdout)

	code, stdout, stderr = fleetd(t, env, "migrate", "down", "--to", "1", "--yes")
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^2 +fleet +no$`, stdout)
	require.NotRegexp(t, `(?m)^1 +river +no$`, stdout)

	code, _, stderr = fleetd(t, env, "serve", "--migrate=false", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "run `fleetd migrate up`")
}

// The token stands alone on stdout, works, and is made once a name.
func TestTokenCreate(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	env := map[string]string{"FLEETD_DATABASE_URL": pool.Config().ConnString()}
	args := []string{"token", "create", "--name", "alice", "--role", "operator"}

	code, stdout, stderr := fleetd(t, env, args...)

	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	require.Regexp(t, `^\S+\n$`, stdout)
	who, err := store.New(pool, nil).Authenticate(t.Context(), strings.TrimSpace(stdout))
	require.NoError(t, err)
	require.Equal(t, fleet.Actor{Name: "alice", Role: fleet.RoleOperator}, who)

	code, stdout, stderr = fleetd(t, env, args...)
	require.Equal(t, exitError, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "a token of this name is in use")
}

func TestADatabaseThatIsAwayIsAnErrorWithoutItsPassword(t *testing.T) {
	t.Parallel()
	code, _, stderr := fleetd(t, map[string]string{"FLEETD_DATABASE_URL": "postgres://u:hunter2@127.0.0.1:1/x"}, "migrate", "status")
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, `FLEETD_DATABASE_URL: database "x" at 127.0.0.1:1 as user "u" cannot be used`)
	require.NotContains(t, stderr, "hunter2")
}

// It serves until it is told to stop, and stops in good order.
func TestServe(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &watched{until: "serving", seen: make(chan struct{})}
	env := variables(map[string]string{
		"FLEETD_LISTEN": "127.0.0.1:0", "FLEETD_LOG_FORMAT": "json", "FLEETD_DATABASE_URL": pgtest.New(t), "FLEETD_DATA_DIR": t.TempDir(),
	})
	code := make(chan int, 1)
	go func() { code <- exec(ctx, env, strings.NewReader(""), log, log, []string{"serve"}) }()
	select {
	case <-log.seen:
	case got := <-code:
		t.Fatalf("ended with %d: %s", got, log)
	}
	cancel()
	require.Zero(t, <-code, log)
	require.Contains(t, log.String(), `"url":"http://127.0.0.1:`)
	require.Contains(t, log.String(), `"msg":"stopped"`)
}
