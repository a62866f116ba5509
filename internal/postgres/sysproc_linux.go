package postgres

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// endWithParent makes the kernel send the child a signal when the thread that
// started it ends. SIGINT is Postgres' fast shutdown: sessions end, everything is
// written, and the next start needs no recovery.
func endWithParent(attr *syscall.SysProcAttr) {
	attr.Pdeathsig = syscall.SIGINT
}

// isPostgres reports whether the process pid is a PostgreSQL server. Process IDs
// come again soon in a container, so a left-over pid file may well name some other
// process, or a thread of this one.
func isPostgres(pid int) bool {
	comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return !os.IsNotExist(err)
	}
	name := strings.TrimSpace(string(comm))
	return name == "postgres" || name == "postmaster"
}
