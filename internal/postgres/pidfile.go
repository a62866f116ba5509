package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// postmaster is what a running server says of itself in postmaster.pid; see
// "miscinit.h" in the source of PostgreSQL for the lines.
type postmaster struct {
	pid    int
	socket string // the folder of its Unix socket
	ready  bool   // it takes connections
}

// readPostmaster reads the pid file of the cluster in dir. ok is false when no
// server runs there: there is no such file, or it was left behind by one that was
// killed.
func readPostmaster(dir string) (pm postmaster, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if os.IsNotExist(err) {
		return pm, false, nil
	}
	if err != nil {
		return pm, false, fmt.Errorf("see whether PostgreSQL runs: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	pm.pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return pm, false, nil //nolint:nilerr // cut short by a full disk or a crash; Postgres says what it thinks of it
	}
	if len(lines) > 4 {
		pm.socket = lines[4]
	}
	if len(lines) > 7 {
		pm.ready = strings.TrimSpace(lines[7]) == "ready"
	}
	return pm, alive(pm.pid), nil
}

// alive reports whether pid is a running PostgreSQL server.
func alive(pid int) bool {
	pid = max(pid, -pid) // a single-user server writes its ID negative
	if pid == 0 {
		return false
	}
	err := syscall.Kill(pid, 0)
	if err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	return isPostgres(pid)
}

// dropStalePidFile removes a pid file that names a process which is not a server.
// Postgres would do so itself, except where some other process has that ID by now.
// The caller holds the lock and has found no server.
func dropStalePidFile(dir string) error {
	err := os.Remove(filepath.Join(dir, "postmaster.pid"))
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the left-over postmaster.pid: %w", err)
	}
	return nil
}
