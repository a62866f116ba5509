package main

import "syscall"

// endWithParent makes the kernel kill the child when the thread that started it
// ends. It is not asked politely: its database ends at the same moment.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
