package store

import (
	"context"
	"errors"
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
	Open     []AccountStateCount // of every account in every state
	Queue    []QueueCount        // only where there are jobs
	Accounts []int64             // the ID of every account
	Audits   []AuditMetrics
	Drift    []DriftCount // of every account and kind
	Events   []EventTotal
}

// AuditMetrics is the last audit of an account that came to its end: of all its units, or
// of its schedule. One that somebody made of a few homes says nothing of the account, and
// stands in only until there is another.
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

// OpenJobStates are the states of River jobs that have not ended.
func OpenJobStates() []string {
	return []string{"available", "pending", "retryable", "running", "scheduled"}
}

// Metrics reads what a scrape shows. What it costs grows with rollouts and
// accounts, not with their targets. Every rollout state is in it, and every target
// state of each account, also at zero.
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
	if err := errors.Join(m.readOpen(ctx, q), m.readAudits(ctx, q)); err != nil {
		return m, mapError(err)
	}
	if m.Drift, err = s.DriftCounts(ctx); err != nil {
		return m, err
	}
	if m.Events, err = s.EventTotals(ctx); err != nil {
		return m, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT queue, state::text, count(*)
		FROM river_job
		WHERE state = ANY ($1::text[]::river_job_state[])
		GROUP BY queue, state`, OpenJobStates())
	if err != nil {
		return m, mapError(fmt.Errorf("count jobs: %w", err))
	}
	if m.Queue, err = pgx.CollectRows(rows, pgx.RowToStructByPos[QueueCount]); err != nil {
		return m, mapError(fmt.Errorf("count jobs: %w", err))
	}
	return m, nil
}

// readOpen reads the accounts and the targets of their open rollouts.
func (m *Metrics) readOpen(ctx context.Context, q *db.Queries) error {
	accounts, err := q.AccountNames(ctx)
	if err != nil {
		return fmt.Errorf("list accounts: %w", err)
	}
	open, err := q.RolloutTargetCounts(ctx)
	if err != nil {
		return fmt.Errorf("count targets: %w", err)
	}
	byAccount := map[string]db.RolloutTargetCountsRow{}
	for _, r := range open {
		byAccount[r.Account] = r
	}
	for _, a := range accounts {
		m.Accounts = append(m.Accounts, a.ID)
		r := byAccount[a.Name] // all zero where nothing is open
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
			m.Open = append(m.Open, AccountStateCount{Account: a.Name, State: c.State, N: c.N})
		}
	}
	return nil
}

func (m *Metrics) readAudits(ctx context.Context, q *db.Queries) error {
	audits, err := q.AuditLastEnded(ctx)
	if err != nil {
		return fmt.Errorf("read the last audits: %w", err)
	}
	for _, r := range audits {
		m.Audits = append(m.Audits, AuditMetrics{
			Account: r.Account, Coverage: coverage(r.Units, r.NInSync+r.NDrifted), LastSuccess: deref(r.LastSuccess),
			Units: map[fleet.AuditResult]int{
				fleet.AuditInSync: int(r.NInSync), fleet.AuditDrifted: int(r.NDrifted), fleet.AuditUnknown: int(r.NUnknown),
			},
		})
	}
	return nil
}
