package store

import (
	"context"
	"fmt"
	"time"

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
	Audits   []AuditMetrics
}

// AuditMetrics is the last audit of an account that came to its end.
type AuditMetrics struct {
	Account     string
	Units       map[fleet.AuditResult]int // every result is in it
	Coverage    float64
	LastSuccess time.Time // when one last saw every unit; zero: none did
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
	audits, err := q.AuditLastEnded(ctx)
	if err != nil {
		return m, mapError(fmt.Errorf("read the last audits: %w", err))
	}
	for _, r := range audits {
		m.Audits = append(m.Audits, AuditMetrics{
			Account: r.Account, Coverage: coverage(r.Units, r.NInSync+r.NDrifted), LastSuccess: deref(r.LastSuccess),
			Units: map[fleet.AuditResult]int{
				fleet.AuditInSync: int(r.NInSync), fleet.AuditDrifted: int(r.NDrifted), fleet.AuditUnknown: int(r.NUnknown),
			},
		})
	}
	return m, nil
}
