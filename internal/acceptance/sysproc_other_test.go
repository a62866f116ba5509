//go:build unix && !linux

package acceptance_test

import "syscall"

// childAttr is without a parent-death signal, which only Linux has.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
