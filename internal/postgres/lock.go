package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// pollEvery is how often the things that cannot be waited for are looked at.
const pollEvery = 20 * time.Millisecond

// lock takes the lock of the folder, so that starters take turns, and returns what
// gives it back. The kernel gives it back for a process that dies.
func (s *Server) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(s.root, "lock")
	f, err := s.account.openFile(path, os.O_RDWR)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("the database folder %s belongs to another user: run fleetd as that user, or give another --data-dir: %w", s.root, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the lock of the database folder: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock the database folder (%s): %w", path, err)
		}
		if err := pause(ctx); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("wait for another process that starts the database (lock %s): %w", path, err)
		}
	}
}

// pause waits for one poll interval or until ctx ends.
func pause(ctx context.Context) error {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
