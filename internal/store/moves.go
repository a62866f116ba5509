package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// moves adds up how targets moved between states, so that the counters of a
// rollout change once in a transaction, however many of its targets did.
type moves map[int64]*db.RolloutAddCountsParams

func (m moves) of(rolloutID int64) *db.RolloutAddCountsParams {
	p := m[rolloutID]
	if p == nil {
		p = &db.RolloutAddCountsParams{ID: rolloutID}
		m[rolloutID] = p
	}
	return p
}

func (m moves) add(rolloutID int64, from, to fleet.TargetState) { m.addN(rolloutID, from, to, 1) }

func (m moves) addN(rolloutID int64, from, to fleet.TargetState, n int) {
	if from == to || n == 0 {
		return
	}
	p := m.of(rolloutID)
	*counter(p, from) -= int32(n) //nolint:gosec // Bounded by the targets of one rollout.
	*counter(p, to) += int32(n)   //nolint:gosec // Likewise.
}

// apply writes the sums, rollouts in the order that locks are taken in.
func (m moves) apply(ctx context.Context, q *db.Queries) error {
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if err := q.RolloutAddCounts(ctx, *m[id]); err != nil {
			return fmt.Errorf("count targets of rollout %d: %w", id, err)
		}
	}
	return nil
}

func counter(p *db.RolloutAddCountsParams, s fleet.TargetState) *int32 {
	switch s {
	case fleet.TargetPending:
		return &p.Pending
	case fleet.TargetQueued:
		return &p.Queued
	case fleet.TargetRunning:
		return &p.Running
	case fleet.TargetVerifying:
		return &p.Verifying
	case fleet.TargetSucceeded:
		return &p.Succeeded
	case fleet.TargetFailed:
		return &p.Failed
	case fleet.TargetSkipped:
		return &p.Skipped
	case fleet.TargetCanceled:
		return &p.Canceled
	}
	panic(fmt.Sprintf("store: unknown target state %q", s))
}

// totals adds up outcomes for the counters that outlive a restart.
type totals map[db.TargetTotalsAddParams]int64

func (t totals) addN(accountID int64, action fleet.Action, state fleet.TargetState, reason fleet.Reason, n int) {
	if n > 0 {
		t[db.TargetTotalsAddParams{AccountID: accountID, Action: string(action), State: string(state), Reason: string(reason)}] += int64(n)
	}
}

// apply writes the sums in one order everywhere, so that no two processes wait
// for each other.
func (t totals) apply(ctx context.Context, q *db.Queries) error {
	keys := slices.SortedFunc(maps.Keys(t), func(a, b db.TargetTotalsAddParams) int {
		return cmp.Or(cmp.Compare(a.AccountID, b.AccountID), cmp.Compare(a.Action, b.Action),
			cmp.Compare(a.State, b.State), cmp.Compare(a.Reason, b.Reason))
	})
	for _, k := range keys {
		n := t[k]
		k.N = n
		if err := q.TargetTotalsAdd(ctx, k); err != nil {
			return fmt.Errorf("add outcome totals: %w", err)
		}
	}
	return nil
}
