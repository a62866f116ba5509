package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// program is a server under measurement.
type program struct {
	cmd  *exec.Cmd
	wait func() error
	log  *os.File
}

// spawn starts a command that ends with this process, however that ends (Linux). wait
// is called once. The parent-death signal comes when the thread that started the child
// ends, so the thread is kept for as long as the child lives.
func spawn(cmd *exec.Cmd) (wait func() error, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	endWithParent(cmd.SysProcAttr)
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() error { return <-ended }, nil
}

// start runs a server of ours and waits until url answers.
func (b *bench) start(ctx context.Context, url, name string, args ...string) (*program, error) {
	log, err := os.Create(filepath.Join(b.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, name), args...) //nolint:gosec // Our own programs.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	wait, err := spawn(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s (make build makes it): %w", name, errors.Join(err, log.Close()))
	}
	p := &program{cmd: cmd, wait: wait, log: log}
	for began := time.Now(); time.Since(began) < time.Minute; {
		if b.answers(ctx, url) {
			return p, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	return nil, errors.Join(fmt.Errorf("%s is not ready after a minute: %s", name, text), p.stop())
}

func (b *bench) answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (p *program) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return errors.Join(p.wait(), p.log.Close())
}

// peak is the most memory the program had so far, in MiB (Linux only).
func (p *program) peak() float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kb / 1024
		}
	}
	return 0
}

// cpu is the processor time the program has used.
func (p *program) cpu() time.Duration {
	s, _ := processStat(p.cmd.Process.Pid)
	return s.own
}

// finished is what a command that ended used.
type finished struct {
	stdout string
	wall   time.Duration
	peak   float64 // MiB
}

// ctl runs fleetctl.
func (b *bench) ctl(ctx context.Context, args ...string) (finished, error) {
	return b.command(ctx, "fleetctl", args...)
}

func (b *bench) command(ctx context.Context, name string, args ...string) (finished, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, name), args...) //nolint:gosec // Our own programs.
	cmd.Env = append(os.Environ(), "FLEETCTL_SERVER="+b.url, "FLEETCTL_TOKEN="+b.token)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	wait, err := spawn(cmd)
	if err == nil {
		err = wait()
	}
	done := finished{stdout: strings.TrimSpace(out.String()), wall: time.Since(began)}
	if err != nil {
		return done, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, errs.String())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		done.peak = float64(usage.Maxrss) / 1024
	}
	return done, nil
}
