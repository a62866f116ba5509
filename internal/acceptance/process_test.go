package acceptance_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// output collects what a process says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// tail is the end of it, for the log of a failed test.
func (o *output) tail() string {
	lines := strings.Split(strings.TrimSpace(o.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// process is a program that runs in the background.
type process struct {
	cmd    *exec.Cmd
	stderr *output
	done   chan struct{} // closed when it has ended and code is set
	code   int           // -1: ended by a signal
}

// spawn starts a program, which is ended at the latest when the test ends: in good
// order where it can, so that nothing of it (a private Postgres) is still at work
// on the files of the test.
func spawn(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), stderr: &output{}, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr, p.cmd.SysProcAttr, p.cmd.WaitDelay = env, p.stderr, childAttr(), 5*time.Second
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the parent-death signal comes when this thread ends: see package demo
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	require.NoError(t, <-started)
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.done:
		case <-time.After(15 * time.Second):
			p.kill()
		}
		if t.Failed() {
			t.Logf("%s said last:\n%s", strings.Join(args, " "), p.stderr.tail())
		}
	})
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends it as kill -9 does and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// stop asks it to end in good order and returns its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		t.Fatal("the process did not end after SIGTERM")
	}
	return p.code
}

// result is what came of a program that ran to its end.
type result struct {
	code           int
	stdout, stderr string
}

// runProgram runs a program to its end.
func runProgram(t *testing.T, env []string, stdin io.Reader, name string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		exit := (*exec.ExitError)(nil)
		require.ErrorAs(t, err, &exit)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// cleanEnviron is the environment without settings of fleetd and fleetctl, plus more.
func cleanEnviron(more ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "FLEETD_") && !strings.HasPrefix(kv, "FLEETCTL_") {
			env = append(env, kv)
		}
	}
	return append(env, more...)
}

var servingAt = regexp.MustCompile(`msg"?[=:]"?serving"? .*?url=(\S+)|"msg":"serving","url":"([^"]+)"`)

// awaitServing waits until a fleetd serves and returns its URL.
func awaitServing(t *testing.T, p *process) string {
	t.Helper()
	url := ""
	eventually(t, 90*time.Second, "fleetd serves", func() bool {
		if m := servingAt.FindStringSubmatch(p.stderr.String()); m != nil {
			url = m[1] + m[2]
		} else if p.ended() {
			t.Fatalf("fleetd ended with code %d instead of serving: %s", p.code, p.stderr.tail())
		}
		return url != ""
	})
	return url
}

// eventually looks at a condition every few milliseconds until it holds.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, errors.Join(t.Context().Err()))
		case <-deadline.C:
			t.Fatalf("not within %v: %s", limit, what)
		case <-tick.C:
		}
	}
}
