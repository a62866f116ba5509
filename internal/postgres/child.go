package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// child is a server that this process started.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and err is set
	err  error
}

// spawn starts cmd and waits for it on an operating system thread of its own. The
// parent-death signal is sent when the thread that started the child ends, not the
// process, and Go ends idle threads: so the thread is kept for as long as the child
// lives, and thrown away with it.
func spawn(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		endWithParent(cmd.SysProcAttr)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

// end shuts the server down: fast (sessions are ended, everything is written) until
// ctx ends, then at once (the next start recovers), and as a last resort by force.
func (c *child) end(ctx context.Context) error {
	if c.signal(syscall.SIGINT) && c.wait(ctx) {
		return nil
	}
	for _, sig := range []os.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		if !c.signal(sig) {
			break
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		ended := c.wait(last)
		cancel()
		if ended {
			return fmt.Errorf("PostgreSQL did not shut down in time and was ended; its next start recovers the data: %w", context.Cause(ctx))
		}
	}
	<-c.done
	return nil
}

// signal reports whether the process was there to be told.
func (c *child) signal(sig os.Signal) bool {
	return !errors.Is(c.cmd.Process.Signal(sig), os.ErrProcessDone)
}

// wait reports whether the process ended before ctx did.
func (c *child) wait(ctx context.Context) bool {
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// ended reports whether the process has ended.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
