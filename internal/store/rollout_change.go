package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

const (
	// cancelChunk is how many pending targets one transaction cancels: the
	// rollout's row is locked for no longer than that takes.
	cancelChunk = 20_000
	// cancelWait is how long the caller of a cancel waits for the backlog to follow.
	cancelWait = 2 * time.Second
)

// PauseRollout stops a rollout: no write leaves later than a second after this
// returns, in any process. What was sent is still proven. Pausing a paused rollout
// changes nothing.
func (s *Store) PauseRollout(ctx context.Context, id, reason string, actor fleet.Actor) (Rollout, error) {
	return s.changeRollout(ctx, id, "rollout.pause", reason, actor, func(ctx context.Context, q *db.Queries, r *db.Rollout, _ map[string]any) error {
		switch state := fleet.RolloutState(r.State); state {
		case fleet.RolloutPaused:
			return nil
		case fleet.RolloutScheduled, fleet.RolloutRunning, fleet.RolloutWaiting, fleet.RolloutHalted:
			r.State, r.StateReason = string(fleet.RolloutPaused), "paused by "+actor.Name
			return recall(ctx, q, r)
		case fleet.RolloutSucceeded, fleet.RolloutCompletedWithFailures, fleet.RolloutCanceled:
			return endedError(r, "pause")
		default:
			return endedError(r, "pause")
		}
	})
}

// rolloutChange alters the row of a locked rollout; detail is what the log says of it.
type rolloutChange func(ctx context.Context, q *db.Queries, r *db.Rollout, detail map[string]any) error

// haltRollout stops a rollout as a guardrail does, for a reason of its own.
func haltRollout(reason string) rolloutChange {
	return func(ctx context.Context, q *db.Queries, r *db.Rollout, _ map[string]any) error {
		switch state := fleet.RolloutState(r.State); state {
		case fleet.RolloutScheduled, fleet.RolloutRunning, fleet.RolloutWaiting:
			r.State, r.StateReason = string(fleet.RolloutHalted), reason
			return recall(ctx, q, r)
		case fleet.RolloutPaused, fleet.RolloutHalted, fleet.RolloutSucceeded, fleet.RolloutCompletedWithFailures, fleet.RolloutCanceled:
			return nil
		default:
			return nil
		}
	}
}

// CancelRollout ends a rollout: what has not started is canceled, what was sent is
// proven and keeps its outcome. The state is canceled at once; ended_at is set
// when the last target has ended.
func (s *Store) CancelRollout(ctx context.Context, id, reason string, actor fleet.Actor) (Rollout, error) {
	out, err := s.changeRollout(ctx, id, "rollout.cancel", reason, actor, func(ctx context.Context, q *db.Queries, r *db.Rollout, _ map[string]any) error {
		switch state := fleet.RolloutState(r.State); state {
		case fleet.RolloutCanceled:
			return nil
		case fleet.RolloutScheduled, fleet.RolloutRunning, fleet.RolloutWaiting, fleet.RolloutPaused, fleet.RolloutHalted:
			r.State, r.StateReason, r.SoakUntil = string(fleet.RolloutCanceled), "canceled by "+actor.Name, nil
			return recall(ctx, q, r)
		case fleet.RolloutSucceeded, fleet.RolloutCompletedWithFailures:
			return endedError(r, "cancel")
		default:
			return endedError(r, "cancel")
		}
	})
	if err != nil {
		return out, err
	}
	// Writes have stopped. The backlog follows in chunks: most are gone before the
	// answer, and the control loop sees to a long one.
	for began, n := time.Now(), cancelChunk; n > 0 && time.Since(began) < cancelWait; {
		if n, err = s.CancelPending(ctx, id); err != nil {
			return out, err
		}
	}
	return s.Rollout(ctx, id)
}

// CancelPending cancels one chunk of the backlog of a canceled rollout, and ends
// the rollout with its last target. It returns how many targets it canceled.
func (s *Store) CancelPending(ctx context.Context, id string) (int, error) {
	canceled := 0
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		row, err := lockRollout(ctx, q, id)
		if err != nil || fleet.RolloutState(row.State) != fleet.RolloutCanceled || row.EndedAt != nil {
			return err
		}
		canceled, err = cancelChunkOf(ctx, q, &row)
		return err
	})
	return canceled, err
}

// cancelChunkOf cancels a chunk of a locked rollout and saves its row.
func cancelChunkOf(ctx context.Context, q *db.Queries, row *db.Rollout) (int, error) {
	chunk, err := q.TargetCancel(ctx, db.TargetCancelParams{RolloutID: row.ID, NextSeq: row.NextSeq, MaxRows: cancelChunk})
	if err != nil {
		return 0, fmt.Errorf("cancel targets: %w", err)
	}
	n := int(chunk.N)
	moveCounts(row, fleet.TargetPending, fleet.TargetCanceled, n)
	row.NextSeq = max(row.NextSeq, chunk.Last+1)
	sums := totals{}
	sums.addN(row.AccountID, fleet.Action(row.Action), fleet.TargetCanceled, "", n)
	if err := sums.apply(ctx, q); err != nil {
		return 0, err
	}
	counts := countsOf(*row)
	return n, saveRollout(ctx, q, *row, counts.Pending == 0 && counts.Outstanding() == 0)
}

// RetryRollout sends the failed targets of a rollout again, in place: waves and
// thresholds stay, and failures so far are acknowledged.
func (s *Store) RetryRollout(ctx context.Context, id string, p RetryParams) (Rollout, error) {
	reasons := make([]string, len(p.Reasons))
	for i, r := range p.Reasons {
		reasons[i] = string(r)
	}
	return s.changeRollout(ctx, id, "rollout.retry", p.Reason, p.Actor, func(ctx context.Context, q *db.Queries, r *db.Rollout, _ map[string]any) error {
		if fleet.RolloutState(r.State) == fleet.RolloutCanceled {
			return endedError(r, "retry")
		}
		if r.EndedAt != nil {
			if err := refuseRetryOverlap(ctx, q, r, reasons); err != nil {
				return err
			}
		}
		retried, err := q.TargetRetry(ctx, db.TargetRetryParams{RolloutID: r.ID, Reasons: reasons})
		if err != nil {
			return fmt.Errorf("retry targets: %w", err)
		}
		if retried.N == 0 {
			return fleet.Conflictf("rollout %s has no failed target to retry%s; `fleetctl rollout targets %s --state failed` shows them",
				r.Key, ofReasons(reasons), r.Key)
		}
		moveCounts(r, fleet.TargetFailed, fleet.TargetPending, int(retried.N))
		reopen(r, retried.First)
		r.Acknowledged = r.NFailed
		r.WaveIndex, r.WaveWorked, r.SoakUntil = 0, false, nil
		if state := fleet.RolloutState(r.State); state.Ended() || state == fleet.RolloutHalted {
			r.State, r.StateReason = string(fleet.RolloutRunning), ""
		}
		return nil
	})
}

func ofReasons(reasons []string) string {
	if len(reasons) == 0 {
		return ""
	}
	return fmt.Sprintf(" with reason %v", reasons)
}

// refuseRetryOverlap keeps a rollout that had ended from taking up units that
// another rollout has by now.
func refuseRetryOverlap(ctx context.Context, q *db.Queries, r *db.Rollout, reasons []string) error {
	if err := q.RolloutCreationLock(ctx, r.AccountID); err != nil {
		return fmt.Errorf("lock rollout creation: %w", err)
	}
	units, err := q.TargetFailedUnits(ctx, db.TargetFailedUnitsParams{RolloutID: r.ID, Reasons: reasons})
	if err != nil {
		return fmt.Errorf("read failed units: %w", err)
	}
	others, err := q.RolloutOverlaps(ctx, db.RolloutOverlapsParams{
		AccountID: r.AccountID, SkillID: r.SkillID, ExceptID: r.ID, UnitIds: units,
	})
	if err != nil {
		return fmt.Errorf("look for overlapping rollouts: %w", err)
	}
	return overlapError(others, "of "+r.Key)
}

// changeRollout locks a rollout, lets change alter its row, and writes state, log
// and notification in one transaction.
func (s *Store) changeRollout(
	ctx context.Context, id, action, reason string, actor fleet.Actor, change rolloutChange,
) (out Rollout, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		out, err = changeRolloutIn(ctx, tx, id, action, reason, actor, change)
		return err
	})
	return out, err
}

func changeRolloutIn(
	ctx context.Context, tx pgx.Tx, id, action, reason string, actor fleet.Actor, change rolloutChange,
) (Rollout, error) {
	q := db.New(tx)
	row, err := lockRollout(ctx, q, id)
	if err != nil {
		return Rollout{}, err
	}
	before, detail := row, map[string]any{}
	if err := change(ctx, q, &row, detail); err != nil {
		return Rollout{}, err
	}
	ended := fleet.RolloutState(row.State).Ended() && row.EndedAt != nil
	if err := saveRollout(ctx, q, row, ended); err != nil {
		return Rollout{}, err
	}
	detail["from"], detail["to"] = before.State, row.State
	if n := row.Acknowledged - before.Acknowledged; n > 0 {
		detail["failures_acknowledged"] = n
	}
	if err := addLog(ctx, tx, logEntry{Actor: actor, Action: action, Object: "rollout/" + id, Reason: reason, Detail: detail}); err != nil {
		return Rollout{}, err
	}
	if err := q.RolloutNotify(ctx, strconv.FormatInt(row.ID, 10)); err != nil {
		return Rollout{}, fmt.Errorf("tell of the change: %w", err)
	}
	return rolloutByKey(ctx, q, id)
}

func lockRollout(ctx context.Context, q *db.Queries, key string) (db.Rollout, error) {
	r, err := q.RolloutLockKey(ctx, key)
	if errors.Is(err, pgx.ErrNoRows) {
		return db.Rollout{}, noRollout(key)
	}
	if err != nil {
		return db.Rollout{}, fmt.Errorf("lock rollout %s: %w", key, err)
	}
	return r.Rollout, nil
}

// recall takes back what a locked rollout released and did not begin. The River jobs
// find nothing to do when their turn comes.
func recall(ctx context.Context, q *db.Queries, row *db.Rollout) error {
	back, err := q.TargetRecall(ctx, db.TargetRecallParams{RolloutID: row.ID, OpenFrom: row.OpenFrom, OpenTo: row.OpenTo})
	if err != nil {
		return fmt.Errorf("recall targets: %w", err)
	}
	if back.N > 0 {
		moveCounts(row, fleet.TargetQueued, fleet.TargetPending, int(back.N))
		reopen(row, back.First)
	}
	return nil
}

func endedError(r *db.Rollout, verb string) error {
	return fleet.Conflictf("rollout %s is %s: there is nothing to %s", r.Key, r.State, verb)
}
