package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// Metrics is what a scrape shows of the database.
type Metrics struct {
	Targets  []db.TargetTotalsRow
	Rollouts []StateCount
	Open     []AccountStateCount
	Queue    []QueueCount
	Drift    []DriftCount
}

// StateCount counts rollouts in a state.
type StateCount struct {
	State string
	N     int64
}

// AccountStateCount counts targets of an account's open rollouts in a state.
type AccountStateCount struct {
	Account string
	State   string
	N       int64
}

// QueueCount counts River jobs of a queue in a state.
type QueueCount struct {
	Queue string
	State string
	N     int64
}

// Metrics reads what a scrape shows. What it costs grows with rollouts and
// accounts, not with their targets. Every rollout state is in it, also at zero.
func (s *Store) Metrics(ctx context.Context) (Metrics, error) {
	var m Metrics
	q := s.q()
	var err error
	if m.Targets, err = q.TargetTotals(ctx); err != nil {
		return m, mapError(fmt.Errorf("read outcome totals: %w", err))
	}
	states, err := q.RolloutStates(ctx)
	if err != nil {
		return m, mapError(fmt.Errorf("count rollouts: %w", err))
	}
	byState := map[string]int64{}
	for _, r := range states {
		byState[r.State] = r.N
	}
	for _, state := range fleet.RolloutStates() {
		m.Rollouts = append(m.Rollouts, StateCount{State: string(state), N: byState[string(state)]})
	}
	open, err := q.RolloutTargetCounts(ctx)
	if err != nil {
		return m, mapError(fmt.Errorf("count targets: %w", err))
	}
	for _, r := range open {
		for _, c := range []StateCount{
			{State: string(fleet.TargetPending), N: r.Pending},
			{State: string(fleet.TargetQueued), N: r.Queued},
			{State: string(fleet.TargetRunning), N: r.Running},
			{State: string(fleet.TargetVerifying), N: r.Verifying},
			{State: string(fleet.TargetSucceeded), N: r.Succeeded},
			{State: string(fleet.TargetFailed), N: r.Failed},
			{State: string(fleet.TargetSkipped), N: r.Skipped},
			{State: string(fleet.TargetCanceled), N: r.Canceled},
		} {
			m.Open = append(m.Open, AccountStateCount{Account: r.Account, State: c.State, N: c.N})
		}
	}
	if m.Drift, err = s.DriftCounts(ctx); err != nil {
		return m, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT queue, state::text, count(*)
		FROM river_job
		WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled')
		GROUP BY queue, state`)
	if err != nil {
		return m, mapError(fmt.Errorf("count jobs: %w", err))
	}
	if m.Queue, err = pgx.CollectRows(rows, pgx.RowToStructByPos[QueueCount]); err != nil {
		return m, mapError(fmt.Errorf("count jobs: %w", err))
	}
	return m, nil
}
