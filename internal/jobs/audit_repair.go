package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

// RepairAfterAudit repairs what an audit of a schedule found, where the schedule asks
// for it: never what is unexpected on a unit without a desired state of its own, and
// nothing at all above the schedule's ceiling, when a person has to look: logger warns.
//
// What stands in the way of the skills is checked before (check), and stops no repair:
// nobody is there to force it, homes that fail count toward max_failures, and what was
// checked stays with each rollout. logger warns of what failed.
func RepairAfterAudit(st *store.Store, check ChecksFunc, logger *slog.Logger) AuditRepairFunc {
	return func(ctx context.Context, a store.Audit) (string, error) {
		p := store.RepairParams{
			Filter:     store.DriftFilter{Account: a.Account},
			Guardrails: store.RolloutParams{Reason: "automatic repair after audit " + a.ID},
			OwnOnly:    true,
			Ceiling:    a.RepairCeiling,
		}
		// Called again after a crash, it finds the repair made.
		once := store.Idempotency{Key: "repair after " + a.ID, Hash: []byte(a.ID)}
		p.Preflights = preflightRepair(ctx, st, p, check, logger.With(slog.String("audit", a.ID)))
		made, _, err := st.RepairDrift(ctx, p, fleet.Actor{Name: "system", Role: fleet.RoleOperator}, once)
		switch {
		case errors.Is(err, store.ErrNoDrift):
			return "nothing to repair", nil
		case errors.Is(err, store.ErrAboveCeiling):
			logger.LogAttrs(ctx, slog.LevelWarn, "more drift than the ceiling of automatic repairs: nothing was repaired",
				slog.String("audit", a.ID), slog.String("account", a.Account), slog.Int("ceiling", a.RepairCeiling))
			return fmt.Sprintf("not repaired: more findings than the ceiling of %d", a.RepairCeiling), nil
		case err != nil:
			return "", err
		}
		return fmt.Sprintf("repair of %d of %d findings by %d rollouts", made.Targets, made.Findings, len(made.Rollouts)), nil
	}
}

// ChecksFunc checks what stands in the way of each change: Runner.Preflight.
type ChecksFunc func(ctx context.Context, queries ...preflight.Query) ([]preflight.Report, error)

// preflightRepair checks what a repair would make. What cannot be told is left out: the
// repair itself says what is wrong with it.
func preflightRepair(
	ctx context.Context, st *store.Store, p store.RepairParams, check ChecksFunc, logger *slog.Logger,
) map[store.RepairChange]*preflight.Report {
	changes, err := st.RepairChanges(ctx, p)
	if err != nil || len(changes) == 0 {
		return nil
	}
	queries := make([]preflight.Query, len(changes))
	for i, c := range changes {
		queries[i] = preflight.Query{Account: c.Account, Action: c.Action, SkillID: c.SkillID, Stage: c.Stage, Why: preflight.WhyRepair}
	}
	reports, err := check(ctx, queries...)
	if err != nil {
		logger.LogAttrs(ctx, slog.LevelWarn, "an automatic repair was not checked before", slog.Any("error", err))
		return nil
	}
	out := make(map[store.RepairChange]*preflight.Report, len(changes))
	for i, c := range changes {
		out[c] = &reports[i]
		for _, failed := range reports[i].Failed() {
			reports[i].Forced = true
			logger.LogAttrs(ctx, slog.LevelWarn, "an automatic repair goes on in spite of a failed check",
				slog.String("account", c.Account), slog.String("skill", c.SkillID), slog.String("check", string(failed.Name)), slog.String("message", failed.Message))
		}
	}
	return out
}
