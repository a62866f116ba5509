package store

import (
	"context"
	"errors"
	"fmt"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// ErrProcessForgotten says that the process was away so long that the others
// forgot it: it must register anew.
var ErrProcessForgotten = errors.New("this process was not seen for so long that the others forgot it")

// RegisterProcess makes a process known, under a name that is unique in the
// fleet of processes, and returns its row.
func (s *Store) RegisterProcess(ctx context.Context, name string) (int64, error) {
	id, err := s.q().ProcessRegister(ctx, name)
	if err != nil {
		return 0, mapError(fmt.Errorf("register process: %w", err))
	}
	return id, nil
}

// OpenRollout is a rollout that has not ended, as every process keeps it in mind.
type OpenRollout struct {
	ID        int64
	AccountID int64
	State     fleet.RolloutState
	Weight    int
}

// Heartbeat says that the process lives and returns every open rollout, read
// after that. What it returns may be acted on for a short lease only.
func (s *Store) Heartbeat(ctx context.Context, processID int64) ([]OpenRollout, error) {
	n, err := s.q().ProcessSeen(ctx, processID)
	if err != nil {
		return nil, mapError(fmt.Errorf("heartbeat: %w", err))
	}
	if n == 0 {
		return nil, ErrProcessForgotten
	}
	rows, err := s.q().RolloutOpen(ctx)
	if err != nil {
		return nil, mapError(fmt.Errorf("read open rollouts: %w", err))
	}
	open := make([]OpenRollout, len(rows))
	for i, r := range rows {
		open[i] = OpenRollout{ID: r.ID, AccountID: r.AccountID, State: fleet.RolloutState(r.State), Weight: int(r.Weight)}
	}
	return open, nil
}

// ForgetProcess takes a process off the list when it stops in good order, and
// those that died long ago with it.
func (s *Store) ForgetProcess(ctx context.Context, processID int64) error {
	err := s.q().ProcessDelete(ctx, processID)
	if err == nil {
		err = s.q().ProcessDeleteDead(ctx)
	}
	if err != nil {
		return mapError(fmt.Errorf("forget process: %w", err))
	}
	return nil
}

func (s *Store) q() *db.Queries { return db.New(s.pool) }
