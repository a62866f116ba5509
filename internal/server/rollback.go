package server

import (
	"context"
	"net/http"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

// rollbackBody is the body of planRollback and rollbackRollout: the guardrails of the
// rollout that takes another back.
type rollbackBody struct {
	Canary          int        `json:"canary,omitempty" minimum:"0" doc:"As of a rollout; so are all that follow."`
	Waves           []string   `json:"waves,omitempty"`
	Soak            string     `json:"soak,omitempty"`
	MaxFailures     string     `json:"max_failures,omitempty"`
	Window          string     `json:"window,omitempty"`
	Timezone        string     `json:"timezone,omitempty"`
	StartAt         *time.Time `json:"start_at,omitempty"`
	VerifyTimeout   string     `json:"verify_timeout,omitempty"`
	IncludeOccupied bool       `json:"include_occupied,omitempty"`
	Weight          int        `json:"weight,omitempty" minimum:"1"`
	Paused          bool       `json:"paused,omitempty"`
	Reason          string     `json:"reason,omitempty" maxLength:"1000"`
}

func (b *rollbackBody) params(id string) (store.RolloutParams, error) {
	if b == nil {
		b = &rollbackBody{}
	}
	how := rolloutRequest{
		Canary: b.Canary, Waves: b.Waves, Soak: b.Soak, MaxFailures: b.MaxFailures, Window: b.Window, Timezone: b.Timezone,
		StartAt: b.StartAt, VerifyTimeout: b.VerifyTimeout, IncludeOccupied: b.IncludeOccupied, Weight: b.Weight, Reason: b.Reason,
	}
	p, err := how.guardrails()
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
	p.Paused = in.Body != nil && in.Body.Paused
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
	reports[0].Forced = len(reports[0].Failed()) > 0
	return reports, nil
}
