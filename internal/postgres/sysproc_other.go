//go:build unix && !linux

package postgres

import "syscall"

// endWithParent does nothing: only Linux has a parent-death signal. A server whose
// starter was killed goes on here, and the next Start joins it.
func endWithParent(*syscall.SysProcAttr) {}

// isPostgres cannot look behind a process ID here and takes it for what it says.
func isPostgres(int) bool { return true }
