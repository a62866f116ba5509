package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/postgres"
)

// helperVar makes the test binary a process that keeps a private server in the
// folder it names, until its standard input ends or it is killed.
const helperVar = "FLEETD_TEST_POSTGRES_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperVar); dir != "" {
		os.Exit(helper(dir))
	}
	os.Exit(m.Run())
}

func helper(dir string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := postgres.Start(ctx, postgres.Config{DataDir: dir, Ephemeral: true})
	if err != nil {
		fmt.Fprintln(os.Stdout, "error:", err)
		return 1
	}
	fmt.Fprintf(os.Stdout, "%v %s\n", server.Owned(), server.URL())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if err := server.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stdout, "error:", err)
		return 1
	}
	return 0
}

// process is a helper process that runs.
type process struct {
	*exec.Cmd
	owned bool
	url   string
	stop  func() // asks it to stop and waits until it has
}

func startHelper(t *testing.T, dir string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), helperVar+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stop := sync.OnceFunc(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	owned, url, ok := strings.Cut(strings.TrimSpace(line), " ")
	require.True(t, ok, line)
	require.NotEqual(t, "error:", owned, url)
	return &process{Cmd: cmd, owned: owned == "true", url: url, stop: stop}
}

// tempDir is a folder that the server can get at when the tests run as root, which
// t.TempDir, closed to others, is not.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fleetd-test-") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func start(t *testing.T, dir string) *postgres.Server {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Config{DataDir: dir, Ephemeral: true, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	require.NoError(t, err)
	return server
}

func stop(t *testing.T, server *postgres.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	require.NoError(t, server.Stop(ctx))
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func query[T any](t *testing.T, url, sql string) (value T) {
	t.Helper()
	value, err := tryQuery[T](t.Context(), url, sql)
	require.NoError(t, err)
	return value
}

func tryQuery[T any](ctx context.Context, url, sql string) (value T, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return value, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return value, conn.QueryRow(ctx, sql).Scan(&value)
}

func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)

	server := start(t, dir)
	require.True(t, server.Owned())
	url := server.URL()
	execute(t, url, `CREATE TABLE kept AS SELECT 42 AS n`)
	require.Equal(t, "UTF8", query[string](t, url, `SHOW server_encoding`))
	require.Empty(t, query[string](t, url, `SHOW listen_addresses`))
	stop(t, server)
	_, err := tryQuery[int](t.Context(), url, `SELECT 1`)
	require.Error(t, err, "the server must be gone after Stop")

	server = start(t, dir)
	defer stop(t, server)
	require.Equal(t, url, server.URL())
	require.Equal(t, 42, query[int](t, server.URL(), `SELECT n FROM kept`))
}

func TestDurableByDefault(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start(t.Context(), postgres.Config{DataDir: tempDir(t)})
	require.NoError(t, err)
	defer stop(t, server)
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on", "max_connections": "100",
	} {
		require.Equal(t, want, query[string](t, server.URL(), `SHOW `+setting), setting)
	}
}

func TestSocketIsClosedToOthers(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	server := start(t, dir)
	defer stop(t, server)
	for _, name := range []string{"postgres/data", "postgres/run"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), name)
	}
}

func TestRunningServerIsJoined(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	owner := start(t, dir)
	defer stop(t, owner)

	other := startHelper(t, dir)
	require.False(t, other.owned)
	require.Equal(t, owner.URL(), other.url)
	other.stop()
	require.Equal(t, 1, query[int](t, owner.URL(), `SELECT 1`), "one that joined must not end the server")
}

func TestStartersTakeTurns(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	var servers [4]*postgres.Server
	var errs [4]error
	var group sync.WaitGroup
	for i := range servers {
		group.Go(func() {
			servers[i], errs[i] = postgres.Start(t.Context(), postgres.Config{DataDir: dir, Ephemeral: true})
		})
	}
	group.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	owners, owner := 0, 0
	for i, server := range servers {
		if server.Owned() {
			owners, owner = owners+1, i
		}
	}
	require.Equal(t, 1, owners)
	for i, server := range servers {
		if i != owner {
			stop(t, server)
		}
	}
	stop(t, servers[owner])
}

func TestKilledOwnerLosesNothing(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	owner := startHelper(t, dir)
	require.True(t, owner.owned)
	execute(t, owner.url, `CREATE TABLE kept AS SELECT 42 AS n`)
	pid := postmasterPID(t, dir)

	require.NoError(t, owner.Process.Kill())
	server := start(t, dir) // at once: the old server may be ending still
	defer stop(t, server)
	require.True(t, server.Owned())
	require.NotEqual(t, pid, postmasterPID(t, dir))
	require.Equal(t, owner.url, server.URL())
	require.Equal(t, 42, query[int](t, server.URL(), `SELECT n FROM kept`))
}

func TestServerEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	owner := startHelper(t, dir)
	require.NoError(t, owner.Process.Kill())
	require.Eventually(t, func() bool {
		_, err := tryQuery[int](t.Context(), owner.url, `SELECT 1`)
		_, gone := os.Stat(filepath.Join(dir, "postgres/data/postmaster.pid"))
		return err != nil && errors.Is(gone, os.ErrNotExist)
	}, time.Minute, 20*time.Millisecond)
}

func TestKilledServerIsStartedAgain(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	server, err := postgres.Start(t.Context(), postgres.Config{DataDir: dir}) // durable: SIGQUIT writes nothing out
	require.NoError(t, err)
	defer stop(t, server)
	execute(t, server.URL(), `CREATE TABLE kept AS SELECT 42 AS n`)
	pid := postmasterPID(t, dir)
	require.NoError(t, syscall.Kill(pid, syscall.SIGQUIT))
	require.Eventually(t, func() bool {
		n, err := tryQuery[int](t.Context(), server.URL(), `SELECT n FROM kept`)
		return err == nil && n == 42
	}, time.Minute, 20*time.Millisecond)
	require.NotEqual(t, pid, postmasterPID(t, dir))
}

func TestOneThatJoinedTakesOver(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, owner *process){
		"stopped": func(_ *testing.T, owner *process) { owner.stop() },
		"killed":  func(t *testing.T, owner *process) { t.Helper(); require.NoError(t, owner.Process.Kill()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			owner := startHelper(t, dir)
			server := start(t, dir)
			defer stop(t, server)
			require.False(t, server.Owned())
			execute(t, server.URL(), `CREATE TABLE kept AS SELECT 42 AS n`)

			end(t, owner)
			require.Eventually(t, server.Owned, time.Minute, 20*time.Millisecond)
			require.Equal(t, owner.url, server.URL())
			require.Equal(t, 42, query[int](t, server.URL(), `SELECT n FROM kept`))
		})
	}
}

func TestLongPathGetsAShortSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), strings.Repeat("long-name-", 12), "data, with a comma")
	server := start(t, dir)
	url := server.URL()
	require.NotContains(t, url, "long-name")
	stop(t, server)

	server = start(t, dir)
	require.Equal(t, url, server.URL(), "the URL must last")
	require.Equal(t, 1, query[int](t, server.URL(), `SELECT 1`))
	stop(t, server)
}

func TestLeftOverPidFileOfAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	stop(t, start(t, dir))
	// What a container finds that was killed and started again: the ID in the file
	// is that of some other process now.
	pidFile := filepath.Join(dir, "postgres/data/postmaster.pid")
	text := fmt.Sprintf("%d\n%s\n1\n5432\n/nowhere\n\n  1  1\nready   \n", os.Getpid(), filepath.Join(dir, "postgres/data"))
	require.NoError(t, os.WriteFile(pidFile, []byte(text), 0o600))
	server := start(t, dir)
	defer stop(t, server)
	require.Equal(t, 1, query[int](t, server.URL(), `SELECT 1`))
}

func TestHalfMadeDatabaseIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	half := filepath.Join(dir, "postgres/init-123")
	require.NoError(t, os.MkdirAll(half, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600))
	server := start(t, dir)
	defer stop(t, server)
	require.NoDirExists(t, half)
}

func TestFolderOfAnotherMajorVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	data := filepath.Join(dir, "postgres/data")
	require.NoError(t, os.MkdirAll(data, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("9\n"), 0o600))

	_, err := postgres.Start(t.Context(), postgres.Config{DataDir: dir})
	var versionErr *postgres.VersionError
	require.ErrorAs(t, err, &versionErr)
	require.Equal(t, 9, versionErr.Major)
	require.ErrorContains(t, err, data)
	require.ErrorContains(t, err, "PostgreSQL 9")
	require.ErrorContains(t, err, versionErr.Found)
	require.ErrorContains(t, err, "pg_upgrade")
	entries, err := os.ReadDir(data)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing may be changed")
}

func TestFolderThatIsNoDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	precious := filepath.Join(dir, "postgres/data/precious.txt")
	require.NoError(t, os.MkdirAll(filepath.Dir(precious), 0o700))
	require.NoError(t, os.WriteFile(precious, []byte("mine"), 0o600))
	_, err := postgres.Start(t.Context(), postgres.Config{DataDir: dir, Ephemeral: true})
	require.ErrorContains(t, err, "move it away")
	require.FileExists(t, precious)
}

func TestDataDirIsRequired(t *testing.T) {
	t.Parallel()
	_, err := postgres.Start(t.Context(), postgres.Config{})
	require.ErrorContains(t, err, "--data-dir")
}

func postmasterPID(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "postgres/data/postmaster.pid"))
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscan(string(text), &pid)
	require.NoError(t, err)
	return pid
}
