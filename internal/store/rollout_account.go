package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// draftedAccount is what a plan needs to know of its account.
type draftedAccount struct {
	id        int64
	linkMode  fleet.LinkMode
	rate      float64
	protected []string
}

func draftAccount(ctx context.Context, tx pgx.Tx, p RolloutParams) (draftedAccount, error) {
	var a draftedAccount
	var mode string
	err := tx.QueryRow(ctx, `
		SELECT accounts.id, accounts.link_mode, accounts.protected_skills, budgets.rate
		FROM accounts
		JOIN budgets ON budgets.account_id = accounts.id AND budgets.kind = 'enterprise'
		WHERE accounts.name = $1`, p.Account).Scan(&a.id, &mode, &a.protected, &a.rate)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, noAccount(p.Account)
	}
	if err != nil {
		return a, fmt.Errorf("read account: %w", err)
	}
	a.linkMode = fleet.LinkMode(mode)
	if slices.Contains(a.protected, p.SkillID) || fleet.ProtectedSkill(p.SkillID) {
		return a, &fleet.Error{
			Code: fleet.CodeConflict, Field: "skill",
			Message: fmt.Sprintf("%s is a protected skill (a subscription, or one that account %s protects): rollouts of it are refused (%s)",
				p.SkillID, p.Account, fleet.ReasonProtectedSkill),
		}
	}
	return a, nil
}

// refuseOverlap names the open rollouts of the same skill that hold picked units.
func refuseOverlap(ctx context.Context, tx pgx.Tx, acc draftedAccount, skill int32, skillID string) error {
	rows, err := tx.Query(ctx, `
		SELECT rollouts.key, rollouts.state, count(*)
		FROM rollouts
		JOIN targets ON targets.rollout_id = rollouts.id
		JOIN picked ON picked.unit_id = targets.unit_id
		WHERE rollouts.account_id = $1 AND rollouts.skill_id = $2 AND rollouts.ended_at IS NULL
		GROUP BY rollouts.id
		ORDER BY rollouts.id
		LIMIT 3`, acc.id, skill)
	if err != nil {
		return fmt.Errorf("look for overlapping rollouts: %w", err)
	}
	var others []db.RolloutOverlapsRow
	var o db.RolloutOverlapsRow
	if _, err := pgx.ForEachRow(rows, []any{&o.Key, &o.State, &o.Units}, func() error { others = append(others, o); return nil }); err != nil {
		return fmt.Errorf("look for overlapping rollouts: %w", err)
	}
	return overlapError(others, skillID)
}

func overlapError(others []db.RolloutOverlapsRow, skillID string) error {
	if len(others) == 0 {
		return nil
	}
	var names []string
	for _, o := range others {
		names = append(names, fmt.Sprintf("%s (%s) has %d of these units", o.Key, o.State, o.Units))
	}
	return fleet.Conflictf("another rollout of skill %s is under way: %s; wait for it (`fleetctl rollout watch %s`), cancel it, or select other units",
		skillID, strings.Join(names, "; "), others[0].Key)
}
