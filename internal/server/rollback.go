package server

import (
	"context"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

// rollbackBody is the body of planRollback and rollbackRollout: the guardrails of the
// rollout that takes another back.
type rollbackBody struct {
	Guardrails

	IncludeOccupied bool `json:"include_occupied,omitempty" doc:"Write to occupied and linked homes as well."`
}

func (b *rollbackBody) params(id string) (store.RolloutParams, error) {
	if b == nil {
		b = &rollbackBody{}
	}
	p, err := b.Guardrails.params()
	p.RollbackOf, p.IncludeOccupied = id, b.IncludeOccupied
	return p, err
}

func (s *server) registerRollbacks() {
	const tag = "rollouts"
	register(s, operation{
		id: "planRollback", method: http.MethodPost, path: "/rollouts/{id}/rollback/plan", tag: tag, role: fleet.RoleViewer,
		timeout: rolloutTimeout,
		summary: "Show what a rollback would do and cost",
		text:    "Nothing is created and nothing is sent.",
	}, s.planRollback)
	register(s, operation{
		id: "rollbackRollout", method: http.MethodPost, path: "/rollouts/{id}/rollback", tag: tag, role: fleet.RoleOperator,
		status: http.StatusCreated, timeout: rolloutTimeout,
		summary: "Put back what each succeeded target of an ended rollout had before, by a rollout of its own",
		text: "Each home is read first and is written to only where it still is as that rollout left it; others are skipped with the reason " +
			"changed_since. Homes whose state before is not known are left out. What stands in the way of the skill is checked, and stops no rollback.",
	}, s.rollbackRollout)
}

func (s *server) planRollback(ctx context.Context, in *struct {
	RolloutID

	Body *rollbackBody
},
) (*planOut, error) {
	p, err := in.Body.params(in.ID)
	if err != nil {
		return nil, err
	}
	plan, err := s.cfg.Rollouts.PlanRollout(ctx, p)
	if err != nil {
		return nil, err
	}
	return s.planned(ctx, plan, preflight.WhyRollback)
}

func (s *server) rollbackRollout(ctx context.Context, in *struct {
	Creating
	RolloutID

	Body *rollbackBody
},
) (*rolloutCreated, error) {
	p, err := in.Body.params(in.ID)
	if err != nil {
		return nil, err
	}
	once, err := in.idempotency("rollbackRollout", in.Body, in.ID)
	if err != nil {
		return nil, err
	}
	return s.create(ctx, p, once, func() ([]preflight.Report, error) { return s.preflightRollback(ctx, in.ID) })
}

// preflightRollback checks what a rollback does in most homes: the opposite of what it
// takes back. It refuses nothing, for going back must not wait until the skill is mended;
// homes in which it fails count toward its max_failures.
func (s *server) preflightRollback(ctx context.Context, id string) ([]preflight.Report, error) {
	of, err := s.cfg.Rollouts.Rollout(ctx, id)
	if err != nil {
		return nil, err
	}
	action := fleet.ActionDisable
	if of.Action == fleet.ActionDisable {
		action = fleet.ActionEnable
	}
	reports, err := s.cfg.Preflights.Preflight(ctx, preflight.Query{
		Account: of.Account, Action: action, SkillID: of.SkillID, Stage: of.Stage, Why: preflight.WhyRollback,
	})
	if err != nil {
		return nil, err
	}
	preflight.Force(reports)
	return reports, nil
}
