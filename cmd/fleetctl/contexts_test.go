package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withContexts makes a console with a contexts file and no environment.
func withContexts(t *testing.T, f *fake) *console {
	t.Helper()
	c := newConsole(t, f)
	c.env = map[string]string{"FLEETCTL_CONFIG": filepath.Join(t.TempDir(), "deep", "contexts.json")}
	return c
}

// again runs another command line with the same surroundings.
func (c *console) again(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	next := newConsole(t, nil)
	next.env = c.env
	next.getenv = func(k string) string { return c.env[k] }
	next.stdin = strings.NewReader(stdin)
	code = next.do(t, args...)
	return code, next.out.String(), next.err.String()
}

func TestContexts(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /accounts": {ok(t, "accounts")}})
	c := withContexts(t, f)

	code, out, errs := c.again(t, "", "context", "list")
	require.Equal(t, exitDone, code)
	require.Empty(t, out)
	require.Contains(t, errs, "No contexts.")

	code, out, errs = c.again(t, "good-token\n", "context", "set", "prod", "--server", f.srv.URL, "--token-file", "-")
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "context prod set\n", out)
	info, err := os.Stat(c.env["FLEETCTL_CONFIG"])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	code, _, errs = c.again(t, "", "account", "list")
	require.Equal(t, exitDone, code, "the first context is the current one: %s", errs)

	code, _, errs = c.again(t, "", "context", "set", "other", "--server", "http://127.0.0.1:1")
	require.Equal(t, exitDone, code)
	require.Contains(t, errs, "no token yet")
	code, out, _ = c.again(t, "", "context", "list")
	require.Equal(t, exitDone, code)
	require.Equal(t, "CURRENT   NAME    SERVER"+strings.Repeat(" ", len(f.srv.URL)-3)+"TOKEN\n"+
		"          other   http://127.0.0.1:1\n*         prod    "+f.srv.URL+"   yes\n", strings.ReplaceAll(out, "http://127.0.0.1:1"+strings.Repeat(" ", max(0, len(f.srv.URL)-18)), "http://127.0.0.1:1"))
	_, out, _ = c.again(t, "", "context", "list", "-o", "json")
	require.Contains(t, out, `"name":"prod"`)
	require.NotContains(t, out, "good-token")

	code, _, errs = c.again(t, "", "account", "list", "--context", "other")
	require.Equal(t, exitDenied, code)
	require.Contains(t, errs, "no token for fleetd at http://127.0.0.1:1")
	code, _, _ = c.again(t, "", "context", "use", "other")
	require.Equal(t, exitDone, code)
	code, _, _ = c.again(t, "", "account", "list")
	require.Equal(t, exitDenied, code)
	code, _, _ = c.again(t, "", "account", "list", "--context", "prod")
	require.Equal(t, exitDone, code)

	code, _, errs = c.again(t, "", "context", "use", "nope")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "there are other, prod")
	code, _, _ = c.again(t, "", "context", "delete", "other")
	require.Equal(t, exitDone, code)
	code, _, errs = c.again(t, "", "context", "delete", "other")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "there are prod")
}

// A token goes to the server it was kept for, and to no other.
func TestContextTokenStaysWithItsServer(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /accounts": {ok(t, "accounts")}})
	c := withContexts(t, f)
	code, _, errs := c.again(t, "good-token", "context", "set", "prod", "--server", f.srv.URL, "--token-file", "-")
	require.Equal(t, exitDone, code, errs)

	other := newFake(t, nil)
	code, _, _ = c.again(t, "", "account", "list", "--server", other.srv.URL)
	require.Equal(t, exitDenied, code)
	c.env["FLEETCTL_SERVER"] = other.srv.URL
	code, _, _ = c.again(t, "", "account", "list")
	require.Equal(t, exitDenied, code)
	require.Empty(t, other.seen())

	code, _, _ = c.again(t, "", "account", "list", "--context", "prod")
	require.Equal(t, exitDone, code, "a context that is named goes before the environment")
	code, _, _ = c.again(t, "", "account", "list", "--server", f.srv.URL+"/")
	require.Equal(t, exitDone, code, "the same server by another flag")

	code, _, _ = c.again(t, "", "context", "set", "prod", "--server", other.srv.URL)
	require.Equal(t, exitDone, code)
	b, err := os.ReadFile(c.env["FLEETCTL_CONFIG"])
	require.NoError(t, err)
	require.NotContains(t, string(b), "good-token", "a context that moves loses its token")
}

func TestContextSetRefuses(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"context set x":                                "--server is missing",
		"context set x --server nonsense":              "is not an http:// or https:// URL",
		"context set x --server http://h --token t":    "--token is not kept",
		"context set x --server http://h --token-file": "flag needs an argument",
	} {
		c := withContexts(t, nil)
		code, _, errs := c.again(t, "", strings.Fields(args)...)
		require.Equal(t, exitUsage, code)
		require.Contains(t, errs, want)
		require.NoFileExists(t, c.env["FLEETCTL_CONFIG"])
	}
}

func TestContextsFileProblems(t *testing.T) {
	t.Parallel()
	c := withContexts(t, nil)
	c.env["FLEETCTL_CONFIG"] = file(t, "{")
	code, _, errs := c.again(t, "", "context", "list")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "mend it or delete it")

	open := filepath.Join(t.TempDir(), "open.json")
	require.NoError(t, os.WriteFile(open, []byte(`{"contexts":{"a":{"server":"http://h","token":"t"}}}`), 0o600))
	require.NoError(t, os.Chmod(open, 0o644))
	c.env["FLEETCTL_CONFIG"] = open
	code, _, errs = c.again(t, "", "context", "list")
	require.Equal(t, exitDone, code)
	require.Contains(t, errs, "chmod 600 "+open)
}

func TestContextsPath(t *testing.T) {
	t.Parallel()
	c := newConsole(t, nil)
	c.env = map[string]string{"XDG_CONFIG_HOME": "/cfg"}
	path, err := c.contextsPath()
	require.NoError(t, err)
	require.Equal(t, "/cfg/fleetctl/contexts.json", path)
}
