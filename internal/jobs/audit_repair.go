package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// RepairAfterAudit repairs what an audit of a schedule found, where the schedule asks
// for it: never what is unexpected on a unit without a desired state of its own, and
// nothing at all above the schedule's ceiling, when a person has to look: logger warns.
func RepairAfterAudit(st *store.Store, logger *slog.Logger) AuditRepairFunc {
	return func(ctx context.Context, a store.Audit) (string, error) {
		p := store.RepairParams{
			Filter:     store.DriftFilter{Account: a.Account},
			Guardrails: store.RolloutParams{Reason: "automatic repair after audit " + a.ID},
			OwnOnly:    true,
			Ceiling:    a.RepairCeiling,
		}
		// Called again after a crash, it finds the repair made.
		once := store.Idempotency{Key: "repair after " + a.ID, Hash: []byte(a.ID)}
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
