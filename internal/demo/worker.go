package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// worker is a fleetd that runs as a child process.
type worker struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and err is set
	err  error
}

// startWorker starts a command line. The child is in a process group of its own, so
// that a Ctrl-C in the terminal reaches the demo alone, which then ends the child in
// good order; and the kernel ends it when the demo is killed, where it can (Linux).
func startWorker(argv []string, log *os.File) (*worker, error) {
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // the program that runs, and stop ends it
	cmd.Env = environment(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(cmd.SysProcAttr)
	w := &worker{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The parent-death signal comes when the thread ends that started the child: it
		// is kept for as long as the child lives, and ends with this goroutine.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		w.err = cmd.Wait()
		close(w.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	return w, nil
}

// environment is ours without settings of fleetd: the demo configures its worker.
func environment(env []string) []string {
	var kept []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "FLEETD_") {
			kept = append(kept, kv)
		}
	}
	return kept
}

func (w *worker) pid() int { return w.cmd.Process.Pid }

// kill ends the worker as kill -9 does, and returns when it is gone.
func (w *worker) kill() {
	_ = w.cmd.Process.Kill() // it has ended, then
	<-w.done
}

// stop ends the worker in good order, and by force when ctx ends first.
func (w *worker) stop(ctx context.Context) {
	if err := w.cmd.Process.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
		<-w.done
		return
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		w.kill()
	}
}

// ended reports whether the worker has ended.
func (w *worker) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}
