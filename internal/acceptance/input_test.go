package acceptance_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/simulator"
)

// state is all that an operator can see: what a mistake must not change.
func (w *world) state() string {
	w.t.Helper()
	var all strings.Builder
	for _, args := range [][]string{
		{"account", "list", "-o", "json"},
		{"unit", "export", "--account", "acme"},
		{"rollout", "list", "-o", "json"},
		{"log", "-o", "json"},
	} {
		all.WriteString(w.must(args...))
	}
	tokens, err := w.up().api.ListTokens(w.t.Context(), client.ListTokensParams{})
	require.NoError(w.t, err)
	for _, token := range tokens.Value.Items { // but not when one was last used
		_, _ = fmt.Fprintln(&all, token.Name, token.Role, token.State)
	}
	return all.String()
}

// refusal is a command line that must be refused, and what must be said of it.
type refusal struct {
	name string
	args []string
	code int
	says []string // what, where and how to mend it, on stderr
}

// refused sees that a command line is refused as it must be.
func (w *world) refused(c refusal) {
	w.t.Helper()
	r := w.ctl(c.args...)
	require.Equal(w.t, c.code, r.code, "%s: fleetctl %s: %s%s", c.name, strings.Join(c.args, " "), r.stdout, r.stderr)
	require.Empty(w.t, r.stdout, "%s: data only on stdout", c.name)
	require.True(w.t, strings.HasPrefix(r.stderr, "error: "), "%s: %s", c.name, r.stderr)
	for _, text := range c.says {
		require.Contains(w.t, r.stderr, text, c.name)
	}
}

// TestBadCommands gives fleetctl everything that people get wrong.
func TestBadCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 30, Seed: 51})
	f := w.serve()
	w.settle("100")
	before := w.state()

	plan := func(flags ...string) []string {
		return append([]string{"rollout", "plan", "enable", "--account", "acme", "--skill", "s"}, flags...)
	}
	create := func(flags ...string) []string {
		return append([]string{"rollout", "create", "enable", "--account", "acme", "--skill", "s", "--yes"}, flags...)
	}
	csv := func(name, text string) []string {
		return []string{"unit", "import", w.file(name, text), "--account", "acme", "--prune"}
	}
	many := manyRows(t, w, size(50_000, 1_000_000))
	secret, refresh := w.file("acme.secret", "x"), w.file("acme.refresh", "y")
	account := func(flags ...string) []string {
		return append([]string{
			"account", "create", "beta", "--client-id", "c", "--client-secret-file", secret, "--refresh-token-file", refresh,
		}, flags...)
	}
	for _, c := range []refusal{
		{"a column is missing", csv("a.csv", "unit_id,name\nu1,x\n"), 1, []string{"property", "nothing was imported"}},
		{"a column is there twice", csv("b.csv", "unit_id,property,property\nu1,p,p\n"), 1, []string{"property", "twice"}},
		{"a column nobody knows", csv("c.csv", "unit_id,property,colour\nu1,p,red\n"), 1, []string{"colour", "occupancy"}},
		{"a unit is there twice", csv("d.csv", "property,unit_id\np,u1\np,u2\nq,u1\n"), 1, []string{"line 4, column 2 (unit_id)", "line 2"}},
		{"a bad ID", csv("e.csv", "unit_id,property\nu 1,p\n"), 1, []string{"line 2, column 1 (unit_id)"}},
		{"no ID", csv("f.csv", "unit_id,property\n,p\n"), 1, []string{"line 2, column 1 (unit_id)"}},
		{"a wrong occupancy", csv("g.csv", "unit_id,property,occupancy\nu1,p,empty\n"), 1, []string{"line 2, column 3 (occupancy)", "vacant, occupied or linked", `"empty"`}},
		{"not CSV at all", csv("h.csv", "\x7fELF\x00\x01\x02\n\xff\xfe"), 1, []string{"h.csv", "nothing was imported"}},
		{"a header alone", csv("i.csv", "unit_id,property\n"), 1, []string{"i.csv"}},
		{"an empty file", csv("j.csv", ""), 1, []string{"j.csv"}},
		{"many rows and one bad line", []string{"unit", "import", many, "--account", "acme"}, 1, []string{"column 3 (occupancy)", "nothing was imported"}},
		{"no such file", []string{"unit", "import", "no-such.csv", "--account", "acme"}, 1, []string{"no-such.csv"}},
		{"no such account", []string{"unit", "import", w.file("k.csv", "unit_id,property\nu1,p\n"), "--account", "nobody"}, 1, []string{"nobody", "fleetctl account list"}},

		{"a selector that matches nothing, planned", plan("--select", "property=nowhere"), 1, []string{"property=nowhere", "no"}},
		{"a selector that matches nothing", create("--select", "property=nowhere"), 1, []string{"property=nowhere"}},
		{"a selector that cannot be read", create("--select", "property"), 2, []string{"--select"}},
		{"no selector", create(), 2, []string{"--select"}},
		{"a stage that does not exist", create("--select", "all", "--stage", "prod"), 2, []string{"prod", "development", "certification", "live"}},
		{"a window that never opens", create("--select", "all", "--window", "22:00-22:00"), 2, []string{"--window", "22:00"}},
		{"a window that is none", create("--select", "all", "--window", "night"), 2, []string{"--window", "night"}},
		{"a time zone that is none", create("--select", "all", "--window", "22:00-23:00", "--timezone", "Mars/Olympus"), 2, []string{"Mars/Olympus"}},
		{"a wave of nothing", create("--select", "all", "--wave", "0"), 2, []string{"--wave"}},
		{"a tolerance that is none", create("--select", "all", "--max-failures", "some"), 2, []string{"--max-failures", "some"}},
		{"an action that is none", []string{"rollout", "create", "toggle", "--account", "acme", "--skill", "s", "--select", "all", "--yes"}, 2, []string{"toggle", "enable"}},
		{"no skill", []string{"rollout", "create", "enable", "--account", "acme", "--select", "all", "--yes"}, 2, []string{"--skill"}},
		{"a flag that is none", create("--select", "all", "--fast"), 2, []string{"--fast"}},
		{"no such rollout", []string{"rollout", "pause", "ro-nothing"}, 1, []string{"ro-nothing"}},

		{"a rate of 0", []string{"account", "set", "acme", "--rate", "0"}, 2, []string{"--rate", "0"}},
		{"a rate below 0", []string{"account", "set", "acme", "--rate", "-5"}, 2, []string{"rate"}},
		{"a new account with a rate of 0", account("--rate", "0"), 2, []string{"--rate"}},
		{"a region that is none", account("--region", "moon"), 2, []string{"moon", "na", "eu", "fe"}},
		{"an address that is none", account("--api-url", "ftp://x"), 1, []string{"api_url", "https"}},
		{"no credential", []string{"account", "create", "beta", "--client-id", "c"}, 2, []string{"--client-secret-file"}},
	} {
		w.refused(c)
		require.Equal(t, before, w.state(), "%s: it changed something", c.name)
	}
	w.refusesStrangers(create("--select", "all"))
	w.takesGoodFiles()

	require.Zero(t, f.stop(t))
	r := runProgram(t, cleanEnviron("FLEETCTL_TOKEN="+w.token), nil, w.programs.fleetctl, "--server", f.url, "account", "list")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, f.url)
	require.Contains(t, r.stderr, "fleetd serve")
}

// refusesStrangers sees that who is not known, or not allowed, is told so.
func (w *world) refusesStrangers(change []string) {
	w.t.Helper()
	viewer := w.makeToken("viewer", "viewer")
	for token, args := range map[string][]string{
		"":           {"account", "list"},
		"nonsense":   {"account", "list"},
		viewer:       change,
		viewer + "x": {"account", "list"},
	} {
		r := w.ctlAs(token, args...)
		require.Equal(w.t, 4, r.code, r.stderr)
		require.Contains(w.t, r.stderr, "token")
		require.NotContains(w.t, r.stderr, "nonsense")
		require.NotContains(w.t, r.stderr, viewer)
	}
}

// takesGoodFiles imports CSV of every kind that programs write.
func (w *world) takesGoodFiles() {
	w.t.Helper()
	row := "unit_id,property,name,occupancy,labels\n" + "u1,p,\"a, b\",vacant,k=v\n" + "u2,p,c,,\n"
	for name, text := range map[string]string{
		"plain": row, "with BOM": "\ufeff" + row, "with CRLF": strings.ReplaceAll(row, "\n", "\r\n"),
		"with both": "\ufeff" + strings.ReplaceAll(row, "\n", "\r\n"), "without a last line end": strings.TrimSuffix(row, "\n"),
	} {
		account := "csv-" + strings.ReplaceAll(strings.ToLower(name), " ", "-")
		w.account(account, defaultClient)
		require.Contains(w.t, w.must("unit", "import", w.file("good.csv", text), "--account", account), "2 added", name)
		require.Contains(w.t, w.must("unit", "export", "--account", account), `u1,p,"a, b",vacant,k=v`, name)
	}
}

// manyRows writes n good rows and one bad one in their middle.
func manyRows(t *testing.T, w *world, n int) string {
	t.Helper()
	path := w.file("many.csv", "")
	file, err := os.Create(path)
	require.NoError(t, err)
	out := bufio.NewWriter(file)
	_, _ = out.WriteString("unit_id,property,occupancy\n") // the flush has the error
	for i := range n {
		if i == n/2 {
			_, _ = out.WriteString("amzn1.alexa.unit.did.bad,p,gone\n")
		}
		_, _ = fmt.Fprintf(out, "amzn1.alexa.unit.did.%040d,property-%d,vacant\n", i, i%50)
	}
	require.NoError(t, out.Flush())
	require.NoError(t, file.Close())
	return path
}

// TestBadStart starts fleetd with everything wrong that can be.
func TestBadStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 20, Seed: 52})
	f := w.serve()
	w.settle("100")
	const free = "127.0.0.1:0"
	busy := strings.TrimPrefix(f.url, "http://")
	before := w.dump()

	const password = "Pa55wordCanary"
	on := func(listen, database string, more ...string) []string {
		return append([]string{"serve", "--listen", listen, "--data-dir", w.dataDir, "--database-url", database}, more...)
	}
	otherKey := w.file("other.key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
	missing := strings.Replace(w.database, "/testdb_", "/no_such_db_", 1)
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		says []string
	}{
		{"a database URL that is none", nil, on(free, "nonsense://u:"+password+"@h/d"), 2, []string{"--database-url", "postgres://user@host:5432/database"}},
		{"nobody at the database's address", nil, on(free, "postgres://u:"+password+"@127.0.0.1:1/d"), 1, []string{"--database-url", "127.0.0.1:1", "check the address"}},
		{"a host that is none", nil, on(free, "postgres://u:"+password+"@no-such-host.invalid/d"), 1, []string{"--database-url", "no-such-host.invalid"}},
		{"a database that is none", nil, on(free, missing), 1, []string{"--database-url", "no_such_db_"}},
		{"another key", nil, on(free, w.database, "--encryption-key-file", otherKey), 1, []string{"--encryption-key-file", "not the key"}},
		{"a key that is none", nil, on(free, w.database, "--encryption-key-file", w.file("bad.key", "secretish\n")), 1, []string{"bad.key", "32 random bytes in base64"}},
		{"no key file", nil, on(free, w.database, "--encryption-key-file", "no-such.key"), 1, []string{"--encryption-key-file", "no-such.key"}},
		{"a port that is taken", nil, on(busy, w.database), 1, []string{"--listen", busy, "use another address"}},
		{"an address that is none", nil, on("nowhere", w.database), 2, []string{"--listen", "host:port"}},
		{"a flag that is none", nil, on(free, w.database, "--fast"), 2, []string{"--fast", "--help"}},
		{"a level that is none", nil, on(free, w.database, "--log-level", "loud"), 2, []string{"--log-level", "debug, info, warn or error"}},
		{"a format that is none", nil, on(free, w.database, "--log-format", "xml"), 2, []string{"--log-format", "text or json"}},
		{"no work at once", nil, on(free, w.database, "--max-in-flight", "0"), 2, []string{"--max-in-flight", "1 to 10000"}},
		{"a schedule that never comes", nil, on(free, w.database, "--audit-schedule", "30 2 31 2 *"), 2, []string{"--audit-schedule", "never comes"}},
		{"a schedule with seconds", []string{"FLEETD_AUDIT_SCHEDULE=0 30 2 * * *"}, on(free, w.database), 2, []string{"FLEETD_AUDIT_SCHEDULE", "no seconds"}},
		{"a time zone that is none", nil, on(free, w.database, "--audit-schedule", "30 2 * * *", "--audit-timezone", "Mars/Olympus"), 2, []string{"--audit-timezone", "Mars/Olympus"}},
		{"a number that is none", []string{"FLEETD_MAX_IN_FLIGHT=many"}, on(free, w.database), 2, []string{"FLEETD_MAX_IN_FLIGHT", "many"}},
		{"a time that is none", []string{"FLEETD_SHUTDOWN_TIMEOUT=soon"}, on(free, w.database), 2, []string{"FLEETD_SHUTDOWN_TIMEOUT", "soon"}},
		{"an address in the environment that is none", []string{"FLEETD_LISTEN=nowhere"}, []string{"serve", "--database-url", w.database}, 2, []string{"nowhere", "host:port"}},
		{"a command that is none", nil, []string{"server"}, 2, []string{"server"}},
		{"a role that is none", nil, []string{"token", "create", "--name", "x", "--role", "king", "--database-url", w.database}, 2, []string{"--role", "viewer, operator or admin"}},
		{"an empty database and no migrating", nil, on(free, w.database, "--migrate=maybe"), 2, []string{"--migrate"}},
		{"a folder that cannot be made", nil, []string{"serve", "--listen", free, "--data-dir", "/dev/null/x"}, 1, []string{"--data-dir", "/dev/null/x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			r := runProgram(t, cleanEnviron(c.env...), nil, w.programs.fleetd, c.args...)
			require.Equal(t, c.code, r.code, r.stderr)
			require.Empty(t, r.stdout)
			require.Less(t, time.Since(began), 30*time.Second)
			require.Contains(t, r.stderr, "error: ")
			for _, text := range c.says {
				require.Contains(t, r.stderr, text)
			}
			for _, secret := range []string{password, "secretish", "goroutine ", "pgtdbpass"} {
				require.NotContains(t, r.stderr, secret)
			}
		})
	}
	t.Cleanup(func() { require.Equal(t, before, w.dump(), "a start that failed changed something") })
}
