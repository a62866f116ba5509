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

// A rollout's row is locked, changed in memory, and saved once, so that counts and
// bounds move together with the targets however many of them do.

// moveCounts says that n targets of a locked rollout went from one state to another.
func moveCounts(r *db.Rollout, from, to fleet.TargetState, n int) {
	*counter(r, from) -= int32(n) //nolint:gosec // Bounded by the targets of one rollout.
	*counter(r, to) += int32(n)   //nolint:gosec // Likewise.
}

// reopen says that targets from seq on may be pending again.
func reopen(r *db.Rollout, seq int32) { r.NextSeq = min(r.NextSeq, seq) }

func counter(r *db.Rollout, s fleet.TargetState) *int32 {
	switch s {
	case fleet.TargetPending:
		return &r.NPending
	case fleet.TargetQueued:
		return &r.NQueued
	case fleet.TargetRunning:
		return &r.NRunning
	case fleet.TargetVerifying:
		return &r.NVerifying
	case fleet.TargetSucceeded:
		return &r.NSucceeded
	case fleet.TargetFailed:
		return &r.NFailed
	case fleet.TargetSkipped:
		return &r.NSkipped
	case fleet.TargetCanceled:
		return &r.NCanceled
	}
	panic(fmt.Sprintf("store: unknown target state %q", s))
}

// saved is what saveRollout writes, for telling whether there is anything to write.
func saved(r db.Rollout, ended bool) db.RolloutSaveParams {
	return db.RolloutSaveParams{
		ID: r.ID, State: r.State, StateReason: r.StateReason, WaveIndex: r.WaveIndex, WaveWorked: r.WaveWorked,
		SoakUntil: r.SoakUntil, Acknowledged: r.Acknowledged, NextSeq: r.NextSeq, OpenFrom: r.OpenFrom, OpenTo: r.OpenTo,
		NPending: r.NPending, NQueued: r.NQueued, NRunning: r.NRunning, NVerifying: r.NVerifying,
		NSucceeded: r.NSucceeded, NFailed: r.NFailed, NSkipped: r.NSkipped, NCanceled: r.NCanceled,
		Started: fleet.RolloutState(r.State) == fleet.RolloutRunning, Ended: ended,
	}
}

func saveRollout(ctx context.Context, q *db.Queries, r db.Rollout, ended bool) error {
	if err := q.RolloutSave(ctx, saved(r, ended)); err != nil {
		return fmt.Errorf("save rollout %s: %w", r.Key, err)
	}
	return nil
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
