package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
)

// rollback is what a rollback needs to know of the rollout that it takes back.
type rollback struct {
	id      int64
	action  fleet.Action
	stage   fleet.Stage
	unknown int // targets whose state before was never seen
}

// readRollback reads the rollout that p takes back and completes p: account, skill,
// and for action and stage those of most homes.
func readRollback(ctx context.Context, tx pgx.Tx, p *RolloutParams) (rollback, error) {
	var r rollback
	if p.ObservationAny || p.ObservationMaxAge != 0 {
		return r, fleet.Invalidf("observation-max-age", "a rollback always reads before it writes, or it could undo what others did since: leave it out")
	}
	var ended bool
	err := tx.QueryRow(ctx, `
		SELECT r.id, r.action, r.stage, r.ended_at IS NOT NULL, a.name, k.skill_id
		FROM rollouts AS r
		JOIN accounts AS a ON a.id = r.account_id
		JOIN skills AS k ON k.id = r.skill_id
		WHERE r.key = $1`, p.RollbackOf).Scan(&r.id, &r.action, &r.stage, &ended, &p.Account, &p.SkillID)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, noRollout(p.RollbackOf)
	}
	if err != nil {
		return r, fmt.Errorf("read rollout %s: %w", p.RollbackOf, err)
	}
	if !ended {
		return r, fleet.Conflictf("rollout %s has not ended: wait for it (`fleetctl rollout watch %s`) or cancel it, then roll it back",
			p.RollbackOf, p.RollbackOf)
	}
	if err := pickRestored(ctx, tx, r, *p); err != nil {
		return r, err
	}
	var want *string
	err = tx.QueryRow(ctx, `
		SELECT
			(SELECT want_stage FROM picked GROUP BY want_stage ORDER BY count(*) DESC, want_stage LIMIT 1),
			(SELECT count(*) FROM targets WHERE rollout_id = $1 AND state = 'succeeded') - (SELECT count(*) FROM picked)`,
		r.id).Scan(&want, &r.unknown)
	if err != nil {
		return r, fmt.Errorf("look at what is put back: %w", err)
	}
	if want == nil {
		return r, fleet.Conflictf("rollout %s has nothing to put back: no target of it succeeded whose state before is known", p.RollbackOf)
	}
	p.Action, p.Stage = fleet.ActionDisable, r.stage
	if *want != "" {
		p.Action, p.Stage = fleet.ActionEnable, fleet.Stage(*want)
	}
	p.Origin, p.Selector = fleet.OriginRollback, "rollback of "+p.RollbackOf
	_, err = tx.Exec(ctx, "UPDATE picked SET want_stage = NULL WHERE want_stage = $1", *want)
	if err != nil {
		return r, fmt.Errorf("look at what is put back: %w", err)
	}
	return r, nil
}

// pickRestored fills "picked" with the succeeded targets of a rollout, in its order,
// each with the state to put back and the one that the rollout left. A state before
// that was on its way counts as where it went; one that nobody documented, or that
// was never seen, cannot be put back.
func pickRestored(ctx context.Context, tx pgx.Tx, r rollback, p RolloutParams) error {
	if err := makePicked(ctx, tx); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO picked (seq, unit_id, property, class, want_stage, only_if)
		SELECT
			row_number() OVER (ORDER BY t.seq),
			u.id,
			u.property,
			CASE WHEN u.occupancy <> 'vacant' AND NOT $2::boolean THEN 'occupied' ELSE 'read' END,
			was.stage,
			t.after
		FROM targets AS t
		JOIN units AS u ON u.id = t.unit_id
		CROSS JOIN LATERAL (
			SELECT CASE
				WHEN t.before ->> 'status' IN ('ENABLED', 'ENABLING', 'DISABLING_FAILED') THEN coalesce(nullif(t.before ->> 'stage', ''), $3)
				WHEN t.before ->> 'status' IN ('ABSENT', 'DISABLED', 'NO_ASSOCIATION', 'DISABLING', 'ENABLING_FAILED') THEN ''
			END AS stage
		) AS was
		WHERE t.rollout_id = $1
			AND t.state = 'succeeded'
			AND t.after IS NOT NULL
			AND was.stage IS NOT NULL
			AND u.removed_at IS NULL`, r.id, p.IncludeOccupied, string(r.stage))
	if err != nil {
		return fmt.Errorf("pick what is put back: %w", err)
	}
	if _, err := tx.Exec(ctx, "ANALYZE picked"); err != nil {
		return fmt.Errorf("pick what is put back: %w", err)
	}
	return nil
}
