package acceptance_test

import "syscall"

// childAttr makes the kernel end a child when the thread that started it ends, so
// that a test binary that panics leaves nothing behind.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
