package store

import (
	"context"
	"fmt"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store/db"
)

// ResumeParams says how a rollout is resumed.
type ResumeParams struct {
	Reason string
	Actor  fleet.Actor
	// Preflight is what was checked for this beginning, of a rollout that never began.
	Preflight *preflight.Report
}

// UncheckedError says that a rollout never began and that what stands in the way of its
// skill was not checked for this beginning: ask Query, which lacks its Why, and come again
// with the report.
type UncheckedError struct{ Query preflight.Query }

// Error is for logs: whoever resumes checks, and comes again.
func (e *UncheckedError) Error() string {
	return fmt.Sprintf("the beginning of a rollout that is to %s skill %s was not checked", e.Query.Action, e.Query.SkillID)
}

// ResumeRollout sets a paused or halted rollout going again. Failures so far are
// acknowledged: only new ones count toward the threshold. One that never began is a
// *UncheckedError without p.Preflight, and a conflict where that has a failed check which
// was not forced.
func (s *Store) ResumeRollout(ctx context.Context, id string, p ResumeParams) (Rollout, error) {
	return s.changeRollout(ctx, id, "rollout.resume", p.Reason, p.Actor, resumeRollout(p.Preflight))
}

func resumeRollout(report *preflight.Report) rolloutChange {
	return func(ctx context.Context, q *db.Queries, r *db.Rollout, detail map[string]any) error {
		switch state := fleet.RolloutState(r.State); state {
		case fleet.RolloutPaused, fleet.RolloutHalted:
			if err := begin(ctx, q, r, report, detail); err != nil {
				return err
			}
			r.Acknowledged = r.NFailed
			r.State, r.StateReason = string(fleet.RolloutRunning), ""
			if r.StartAt != nil && r.StartedAt == nil {
				r.State = string(fleet.RolloutScheduled)
			}
			return nil
		case fleet.RolloutScheduled, fleet.RolloutRunning, fleet.RolloutWaiting:
			return nil
		case fleet.RolloutSucceeded, fleet.RolloutCompletedWithFailures, fleet.RolloutCanceled:
			return endedError(r, "resume")
		default:
			return endedError(r, "resume")
		}
	}
}

// startRollout begins a rollout that has not begun: one that was made paused, or one
// that waits for its time, which counts no more.
func startRollout(report *preflight.Report) rolloutChange {
	return func(ctx context.Context, q *db.Queries, r *db.Rollout, detail map[string]any) error {
		switch state := fleet.RolloutState(r.State); state {
		case fleet.RolloutPaused, fleet.RolloutScheduled:
			if r.StartedAt != nil {
				return fleet.Conflictf("rollout %s has begun and was paused by a person since: there is nothing to start; resume it", r.Key)
			}
			if err := begin(ctx, q, r, report, detail); err != nil {
				return err
			}
			if err := q.EventRolloutNow(ctx, r.ID); err != nil {
				return fmt.Errorf("start rollout %s now: %w", r.Key, err)
			}
			r.StartAt, r.State, r.StateReason = nil, string(fleet.RolloutRunning), ""
			return nil
		case fleet.RolloutRunning, fleet.RolloutWaiting:
			return nil
		case fleet.RolloutHalted:
			return fleet.Conflictf("rollout %s is halted (%s): it is not started over that; look, and resume it", r.Key, r.StateReason)
		case fleet.RolloutSucceeded, fleet.RolloutCompletedWithFailures, fleet.RolloutCanceled:
			return endedError(r, "start")
		default:
			return endedError(r, "start")
		}
	}
}

// begin decides whether a locked rollout may go on: one that never began, only on what was
// checked for this beginning, which then stands in place of what was checked at its
// creation. Nothing stops a rollback, and nothing is asked of what has begun.
func begin(ctx context.Context, q *db.Queries, r *db.Rollout, report *preflight.Report, detail map[string]any) error {
	if r.StartedAt != nil || r.RollbackOf != nil {
		return nil
	}
	if report == nil {
		of, err := rolloutByKey(ctx, q, r.Key)
		if err != nil {
			return err
		}
		return &UncheckedError{Query: preflight.Query{Account: of.Account, Action: of.Action, SkillID: of.SkillID, Stage: of.Stage}}
	}
	if err := preflight.Refusal(*report); err != nil {
		return err
	}
	logPreflight(detail, report)
	return keepPreflight(ctx, q, r.ID, report)
}
