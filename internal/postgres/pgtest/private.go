package pgtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"fleetd/internal/postgres"
)

// janitor waits for its standard input to end, which is when the test binary does,
// however it does; then it ends the server, should that still run, and removes its
// folder. A test binary has no hook of its own for that: TestMain belongs to the
// package under test, and is not asked when a test panics or times out.
const janitor = `
cat >/dev/null
pid=$(head -n 1 "$1/postgres/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
i=0
while [ -e "$1/postgres/data/postmaster.pid" ] && [ $i -lt 100 ]; do
	sleep 0.1
	i=$((i + 1))
done
rm -rf "$1"
`

// open is kept open until the end of this process closes it.
var open []io.Closer

// startPrivate starts a private server for this test binary. Each has its own: they
// run side by side, and one that all share would end with whichever started it.
func startPrivate(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "fleetd-pgtest-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the test database: %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", janitor, "sh", dir) //nolint:noctx // it outlives every context of a test
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}    // a Ctrl-C is for the tests
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("start the janitor of the test database: %w", err)
	}
	open = append(open, stdin)
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start the janitor of the test database: %w", err)
	}
	server, err := postgres.Start(ctx, postgres.Config{DataDir: dir, Ephemeral: true})
	if err != nil {
		return "", err
	}
	return server.URL(), nil
}
