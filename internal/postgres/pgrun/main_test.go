package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	t.Setenv(urlVar, "")
	dir, err := os.MkdirTemp("", "fleetd-test-") //nolint:usetesting // t.TempDir is closed to the user that the server runs as under root
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })

	var stdout, stderr strings.Builder
	script := `echo "$` + urlVar + `" && test -S "$1/postgres/run/.s.PGSQL.5432" && exit 7`
	code := run(t.Context(), nil, &stdout, &stderr, []string{"-data-dir", dir, "sh", "-c", script, "sh", dir})
	require.Equal(t, 7, code, stderr.String())
	require.Contains(t, stdout.String(), "postgres://fleetd@/fleetd?host=")
	require.NoFileExists(t, filepath.Join(dir, "postgres/data/postmaster.pid"), "the server must have ended")
}

func TestRunOnANamedDatabase(t *testing.T) {
	t.Setenv(urlVar, "postgres://named")
	dir := t.TempDir()
	var stdout, stderr strings.Builder
	code := run(t.Context(), nil, &stdout, &stderr, []string{"-data-dir", dir, "sh", "-c", `echo "$` + urlVar + `"`})
	require.Zero(t, code, stderr.String())
	require.Equal(t, "postgres://named\n", stdout.String())
	require.NoDirExists(t, filepath.Join(dir, "postgres"))
}

func TestRunErrors(t *testing.T) {
	t.Setenv(urlVar, "postgres://named")
	var stdout, stderr strings.Builder
	require.Equal(t, 2, run(t.Context(), nil, &stdout, &stderr, nil))
	require.Contains(t, stderr.String(), "usage")
	require.Equal(t, 1, run(t.Context(), nil, &stdout, &stderr, []string{"no-such-command-7c1d"}))
}
