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

// Process says which process this is. Place, PID and Started together name one
// operating system process; Place is empty where that cannot be told.
type Process struct {
	Name    string // unique among the processes of one database
	Place   string // machine, boot and PID namespace
	PID     int
	Started string // when the PID came into use, in the words of the operating system
}

// RegisterProcess makes a process known and returns its row.
func (s *Store) RegisterProcess(ctx context.Context, p Process) (int64, error) {
	id, err := s.q().ProcessRegister(ctx, db.ProcessRegisterParams{
		Name: p.Name, Place: p.Place, Pid: int32(p.PID), PidStarted: p.Started, //nolint:gosec // A PID fits.
	})
	if err != nil {
		return 0, mapError(fmt.Errorf("register process: %w", err))
	}
	return id, nil
}

// ForgetGone takes the processes of this place off the list that are gone for
// certain, so that their targets need not wait until they were silent for long.
// gone tells of a PID and when it came into use.
func (s *Store) ForgetGone(ctx context.Context, self int64, place string, gone func(pid int, started string) bool) error {
	if place == "" {
		return nil
	}
	q := s.q()
	rows, err := q.ProcessNeighbors(ctx, db.ProcessNeighborsParams{Place: place, ID: self})
	if err != nil {
		return mapError(fmt.Errorf("list processes: %w", err))
	}
	for _, r := range rows {
		if !gone(int(r.Pid), r.PidStarted) {
			continue
		}
		if err := q.ProcessDelete(ctx, r.ID); err != nil {
			return mapError(fmt.Errorf("forget process: %w", err))
		}
	}
	return nil
}

// OpenRollout is a rollout that has not ended, as every process keeps it in mind.
type OpenRollout struct {
	ID        int64
	Key       string // its public ID
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
		open[i] = OpenRollout{ID: r.ID, Key: r.Key, AccountID: r.AccountID, State: fleet.RolloutState(r.State), Weight: int(r.Weight)}
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
