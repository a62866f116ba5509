package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestReadPostmaster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, ok, err := readPostmaster(dir)
	require.NoError(t, err)
	require.False(t, ok, "no file, no server")

	file := filepath.Join(dir, "postmaster.pid")
	for text, want := range map[string]postmaster{
		fmt.Sprintf("%d\n/data\n1763765000\n5432\n/run\n\n  1  2\nready   \n", os.Getpid()): {pid: os.Getpid(), socket: "/run", ready: true},
		fmt.Sprintf("%d\n/data\n1763765000\n5432\n/run\n\n  1  2\nstarting\n", os.Getpid()): {pid: os.Getpid(), socket: "/run"},
		fmt.Sprintf("%d\n", os.Getpid()): {pid: os.Getpid()},
		"":                               {},
		"rubbish":                        {},
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		pm, _, err := readPostmaster(dir)
		require.NoError(t, err)
		require.Equal(t, want, pm, text)
	}
}

func TestAlive(t *testing.T) {
	t.Parallel()
	require.False(t, alive(0))
	require.False(t, alive(1<<22+1), "no process has an ID that large")
	if isPostgres(os.Getpid()) {
		return // not Linux: a process ID is all there is to go by
	}
	require.False(t, alive(os.Getpid()), "this is no server")
}

func TestSocketURL(t *testing.T) {
	t.Parallel()
	const dir = "/a dir/with&odd?#%/letters"
	cfg, err := pgx.ParseConfig(socketURL(dir, databaseName))
	require.NoError(t, err)
	require.Equal(t, dir, cfg.Host)
	require.EqualValues(t, 5432, cfg.Port)
	require.Equal(t, "fleetd", cfg.User)
	require.Equal(t, "fleetd", cfg.Database)
	require.Empty(t, cfg.Password)
}

func TestReuseOfASocketFolder(t *testing.T) {
	t.Parallel()
	s := &Server{}
	dir, err := os.MkdirTemp("", "fleetd-test-") //nolint:usetesting // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })

	own := filepath.Join(dir, "own")
	require.True(t, s.reuse(own), "one that is gone is made again")
	require.True(t, s.reuse(own), "one that is ours is taken")

	require.NoError(t, os.Chmod(own, 0o755))
	require.False(t, s.reuse(own), "others could put a socket of theirs there")

	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(dir, link))
	require.False(t, s.reuse(link), "a link leads anywhere")
	require.False(t, s.reuse("relative"))
	require.False(t, s.reuse("/"+strings.Repeat("x", maxSocketDir)))
	require.False(t, s.reuse(""))
}

func TestBlockedAt(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "fleetd-test-") //nolint:usetesting // its parents are open to all, those of t.TempDir are not
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	inner := filepath.Join(dir, "outer", "inner")
	require.NoError(t, os.MkdirAll(inner, 0o711))
	require.NoError(t, os.Chmod(dir, 0o711))

	stranger := &account{name: "stranger", uid: 1<<31 - 7, gid: 1<<31 - 7}
	require.Empty(t, stranger.blockedAt(inner))
	require.NoError(t, os.Chmod(filepath.Dir(inner), 0o750))
	require.Equal(t, filepath.Dir(inner), stranger.blockedAt(inner))
}

func TestEnvironmentSteersNothing(t *testing.T) {
	t.Setenv("PGDATA", "/elsewhere")
	t.Setenv("PGOPTIONS", "-c fsync=off")
	t.Setenv("LANG", "xx_XX")
	for _, kv := range environment() {
		name, value, _ := strings.Cut(kv, "=")
		require.False(t, strings.HasPrefix(name, "PG"), kv)
		require.True(t, name != "LC_ALL" || value == "C", kv)
		require.NotEqual(t, "LANG", name)
	}
}

func TestLastLines(t *testing.T) {
	t.Parallel()
	require.Equal(t, "b | c", lastLines([]byte("a\nb\nc\n"), 2))
	require.Equal(t, "a", lastLines([]byte("a"), 2))
	require.Empty(t, lastLines(nil, 2))
}
