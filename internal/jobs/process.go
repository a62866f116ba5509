package jobs

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"fleetd/internal/store"
)

// thisProcess names this process so that a neighbor can see when it is gone.
// Linux tells all that it takes; elsewhere Place stays empty and a process that
// died is noticed by its silence alone.
func thisProcess(name string) store.Process {
	p := store.Process{Name: name, PID: os.Getpid()}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return p
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return p
	}
	started, ok := pidStarted(p.PID)
	if !ok {
		return p
	}
	p.Place, p.Started = strings.TrimSpace(string(boot))+" "+namespace, started
	return p
}

// processGone reports whether a process of this place is gone for certain: its PID
// is not there, or was given to another.
func processGone(pid int, started string) bool {
	if pid <= 0 || started == "" {
		return false
	}
	if now, ok := pidStarted(pid); ok {
		return now != started
	}
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// pidStarted is field 22 of /proc/PID/stat: clock ticks from boot to the start of
// the process (proc(5)). A zombie has ended, so it counts as gone.
func pidStarted(pid int) (string, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	// The second field is the command in parentheses and may hold anything.
	_, rest, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", false
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "ended", true
	}
	return fields[19], true
}
