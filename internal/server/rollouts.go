package server

import (
	"context"
	"net/http"
	"slices"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

// RolloutStore is what the rollout operations need.
type RolloutStore interface {
	PlanRollout(ctx context.Context, p store.RolloutParams) (store.Plan, error)
	CreateRollout(ctx context.Context, p store.RolloutParams, by fleet.Actor, once store.Idempotency) (store.Rollout, bool, error)
	CreatedRollout(ctx context.Context, by fleet.Actor, once store.Idempotency) (store.Rollout, bool, error)
	Rollout(ctx context.Context, id string) (store.Rollout, error)
	ListRollouts(ctx context.Context, f store.RolloutFilter) ([]store.Rollout, int64, error)
	ListTargets(ctx context.Context, id string, f store.TargetFilter) ([]store.Target, int, error)
	PauseRollout(ctx context.Context, id, reason string, by fleet.Actor) (store.Rollout, error)
	ResumeRollout(ctx context.Context, id string, p store.ResumeParams) (store.Rollout, error)
	CancelRollout(ctx context.Context, id, reason string, by fleet.Actor) (store.Rollout, error)
	RetryRollout(ctx context.Context, id string, p store.RetryParams) (store.Rollout, error)
}

// rolloutRequest is what RolloutBody holds. Its tags are for the OpenAPI document:
// params does the checking, because huma does not see the body.
type rolloutRequest struct {
	Account  string   `json:"account" doc:"The account to work for."`
	Action   string   `json:"action" enum:"enable,disable"`
	SkillID  string   `json:"skill_id" doc:"The skill to enable or disable."`
	Stage    string   `json:"stage,omitempty" enum:"development,certification,live" doc:"live when not given."`
	Selector string   `json:"selector,omitempty" doc:"Which units: all, or key=value, key!=value, key in (a,b), has(key), with commas between."`
	UnitIDs  []string `json:"unit_ids,omitempty" doc:"The units by ID, in this order; instead of selector."`
	Guardrails
	ObservationAge

	IncludeOccupied bool `json:"include_occupied,omitempty" doc:"Write to occupied and linked homes as well."`
	Force           bool `json:"force,omitempty" doc:"Make it in spite of failed checks; needs a reason."`
}

// RolloutID is the rollout in the path.
type RolloutID struct {
	ID string `path:"id" maxLength:"100" doc:"The rollout's ID."`
}

type rolloutOut struct{ Body store.Rollout }

type rolloutCreated struct {
	Replay

	Body store.Rollout
}

type planOut struct{ Body store.Plan }

type rolloutListOut struct{ Body *list[store.Rollout] }

type targetListOut struct{ Body *list[store.Target] }

func (s *server) registerRollouts() {
	const tag = "rollouts"
	register(s, operation{
		id: "planRollout", method: http.MethodPost, path: "/rollouts/plan", tag: tag, role: fleet.RoleViewer,
		timeout: rolloutTimeout,
		summary: "Show what a rollout would do and cost",
		text: "Nothing is created and no home is asked or written to. What stands in the way of the skill is checked, with the account's developer credential, " +
			"and shown in preflight. A selector that matches nothing is an error.",
	}, s.planRollout)
	register(s, operation{
		id: "createRollout", method: http.MethodPost, path: "/rollouts", tag: tag, role: fleet.RoleOperator, status: http.StatusCreated,
		timeout: rolloutTimeout,
		summary: "Create a rollout, which starts at once unless start_at says when or it is paused",
		text: "Refused with the code conflict while another rollout works on the same skill of one of the units, and when a check of the skill fails: " +
			"errors lists the checks, and force goes on in spite of them. One that is made paused is not refused for them: they are made anew when it " +
			"begins. What was checked is kept in preflight.",
	}, s.createRollout)
	register(s, operation{
		id: "listRollouts", method: http.MethodGet, path: "/rollouts", tag: tag, role: fleet.RoleViewer,
		summary: "List rollouts, newest first",
	}, s.listRollouts)
	register(s, operation{
		id: "getRollout", method: http.MethodGet, path: "/rollouts/{id}", tag: tag, role: fleet.RoleViewer,
		summary: "Show a rollout",
	}, s.getRollout)
	register(s, operation{
		id: "listTargets", method: http.MethodGet, path: "/rollouts/{id}/targets", tag: tag, role: fleet.RoleViewer,
		summary: "List the targets of a rollout in the order they go",
	}, s.listTargets)
	register(s, operation{
		id: "pauseRollout", method: http.MethodPost, path: "/rollouts/{id}/pause", tag: tag, role: fleet.RoleOperator,
		summary: "Pause a rollout",
		text:    "No new write leaves later than one second after the answer. Writes in flight are seen to their end.",
	}, s.pauseRollout)
	register(s, operation{
		id: "resumeRollout", method: http.MethodPost, path: "/rollouts/{id}/resume", tag: tag, role: fleet.RoleOperator,
		timeout: rolloutTimeout,
		summary: "Resume a paused or halted rollout",
		text: "The failures so far are acknowledged: they no longer count toward max_failures. One that never began is checked first, as at its creation: " +
			"a check that fails refuses it with the code conflict, unless force goes on in spite of it. What was checked is kept in preflight.",
	}, s.resumeRollout)
	register(s, operation{
		id: "cancelRollout", method: http.MethodPost, path: "/rollouts/{id}/cancel", tag: tag, role: fleet.RoleOperator,
		summary: "Cancel a rollout",
		text:    "What has not been written to is canceled; writes in flight are seen to their end.",
	}, s.cancelRollout)
	register(s, operation{
		id: "retryRollout", method: http.MethodPost, path: "/rollouts/{id}/retry", tag: tag, role: fleet.RoleOperator, timeout: rolloutTimeout,
		summary: "Send the failed targets of a rollout again",
		text:    "In place: waves and thresholds stay.",
	}, s.retryRollout)
	s.describeRolloutBodies()
}

// params checks what the types of JSON do not say and makes the store's input.
func (r *rolloutRequest) params() (store.RolloutParams, error) {
	p, err := r.Guardrails.params()
	if err == nil {
		err = r.set(&p)
	}
	p.IncludeOccupied = r.IncludeOccupied
	p.Account, p.Action, p.SkillID, p.Stage = r.Account, fleet.Action(r.Action), r.SkillID, fleet.Stage(r.Stage)
	p.Selector, p.UnitIDs = r.Selector, r.UnitIDs
	switch {
	case p.Account == "":
		return p, fleet.Invalidf("account", "name the account to work for")
	case p.Action != fleet.ActionEnable && p.Action != fleet.ActionDisable:
		return p, fleet.Invalidf("action", "%q is not an action; use enable or disable", cut(r.Action))
	case p.SkillID == "" || len(p.SkillID) > maxSkillID:
		return p, fleet.Invalidf("skill_id", "name the skill by its ID, of 1 to %d characters", maxSkillID)
	case p.Selector == "" && len(p.UnitIDs) == 0:
		return p, fleet.Invalidf("selector", "say which units: a selector (all, property=maple-court) or unit_ids")
	case p.Selector != "" && len(p.UnitIDs) > 0:
		return p, fleet.Invalidf("selector", "give a selector or unit_ids, not both")
	}
	if p.Stage == "" {
		p.Stage = fleet.StageLive
	}
	if !slices.Contains(fleet.Stages(), p.Stage) {
		return p, fleet.Invalidf("stage", "%q is not a stage; use development, certification or live", cut(r.Stage))
	}
	return p, err
}

const (
	maxSkillID = 255
	maxReason  = 1000
)

func (s *server) planRollout(ctx context.Context, in *struct{ JSON RolloutBody }) (*planOut, error) {
	p, err := in.JSON.request.params()
	if err != nil {
		return nil, err
	}
	plan, err := s.cfg.Rollouts.PlanRollout(ctx, p)
	if err != nil {
		return nil, s.withFailed(ctx, err, preflight.Query{Account: p.Account, Action: p.Action, SkillID: p.SkillID, Stage: p.Stage, Why: preflight.WhyPlan})
	}
	return s.planned(ctx, plan, preflight.WhyPlan)
}

// planned completes a plan with what stands in the way of its skill.
func (s *server) planned(ctx context.Context, plan store.Plan, why preflight.Why) (*planOut, error) {
	reports, err := s.cfg.Preflights.Preflight(ctx, preflight.Query{
		Account: plan.Account, Action: plan.Action, SkillID: plan.SkillID, Stage: plan.Stage, Why: why,
	})
	if err != nil {
		return nil, err
	}
	plan.Preflight = &reports[0]
	if plan.Waves == nil {
		plan.Waves = []store.PlanWave{}
	}
	if plan.Properties == nil {
		plan.Properties = []store.PlanProperty{}
	}
	if plan.Warnings == nil {
		plan.Warnings = []string{}
	}
	return &planOut{Body: plan}, nil
}

func (s *server) createRollout(ctx context.Context, in *struct {
	Creating

	JSON RolloutBody
},
) (*rolloutCreated, error) {
	request := in.JSON.request
	p, err := request.params()
	if err != nil {
		return nil, err
	}
	request.UnitIDs = nil
	once, err := in.idempotency("createRollout", request, units(p.UnitIDs))
	if err != nil {
		return nil, err
	}
	return s.create(ctx, p, once, func() ([]preflight.Report, error) {
		return s.preflight(ctx, gate{force: request.Force, reason: request.Reason, paused: request.Paused}, preflight.Query{
			Account: p.Account, Action: p.Action, SkillID: p.SkillID, Stage: p.Stage, Why: preflight.WhyCreate,
		})
	})
}

// create makes a rollout after check, which a repeated call does without: it has the first
// call's answer, whatever has become of the skill.
func (s *server) create(
	ctx context.Context, p store.RolloutParams, once store.Idempotency, check func() ([]preflight.Report, error),
) (*rolloutCreated, error) {
	rollout, again, err := s.cfg.Rollouts.CreatedRollout(ctx, actor(ctx), once)
	if err != nil {
		return nil, err
	}
	if !again {
		reports, err := check()
		if err != nil {
			return nil, err
		}
		p.Preflight = &reports[0]
		if rollout, again, err = s.cfg.Rollouts.CreateRollout(ctx, p, actor(ctx), once); err != nil {
			return nil, err
		}
	}
	return &rolloutCreated{Replay: replayed(again), Body: rollout}, nil
}

func (s *server) listRollouts(ctx context.Context, in *struct {
	Paging

	Account string `query:"account" maxLength:"63" doc:"Only this account's."`
	State   string `query:"state" enum:"scheduled,running,paused,halted,waiting,succeeded,completed_with_failures,canceled" doc:"Only those in this state."`
	Active  bool   `query:"active" doc:"Only those that have not ended."`
},
) (*rolloutListOut, error) {
	before, err := decodeCursor[int64](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Rollouts.ListRollouts(ctx, store.RolloutFilter{
		Account: in.Account, State: fleet.RolloutState(in.State), Active: in.Active, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return &rolloutListOut{Body: newList(items, next)}, nil
}

func (s *server) getRollout(ctx context.Context, in *struct{ RolloutID }) (*rolloutOut, error) {
	return rolloutAnswer(s.cfg.Rollouts.Rollout(ctx, in.ID))
}

func (s *server) listTargets(ctx context.Context, in *struct {
	RolloutID
	Paging

	State    string `query:"state" enum:"pending,queued,running,verifying,succeeded,failed,skipped,canceled" doc:"Only those in this state."`
	Reason   string `query:"reason" maxLength:"100" doc:"Only those that failed or were skipped for this reason."`
	Property string `query:"property" maxLength:"255" doc:"Only those of this property."`
},
) (*targetListOut, error) {
	after, err := decodeCursor[int](in.Cursor)
	if err != nil {
		return nil, err
	}
	if err := knownReason("reason", in.Reason, append(fleet.FailReasons(), fleet.SkipReasons()...)); err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Rollouts.ListTargets(ctx, in.ID, store.TargetFilter{
		State: fleet.TargetState(in.State), Reason: fleet.Reason(in.Reason), Property: in.Property, After: after, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return &targetListOut{Body: newList(items, next)}, nil
}

// rolloutAct is the input of a change to a running rollout.
type rolloutAct struct {
	RolloutID

	Body *reasonBody
}

func (s *server) pauseRollout(ctx context.Context, in *rolloutAct) (*rolloutOut, error) {
	return rolloutAnswer(s.cfg.Rollouts.PauseRollout(ctx, in.ID, in.Body.text(), actor(ctx)))
}

func (s *server) cancelRollout(ctx context.Context, in *rolloutAct) (*rolloutOut, error) {
	return rolloutAnswer(s.cfg.Rollouts.CancelRollout(ctx, in.ID, in.Body.text(), actor(ctx)))
}

// retryBody is the body of retryRollout.
type retryBody struct {
	Reasons []string `json:"reasons,omitempty" maxItems:"20" doc:"Only targets that failed for one of these; every reason when not given."`
	Reason  string   `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

func (s *server) retryRollout(ctx context.Context, in *struct {
	RolloutID

	Body *retryBody
},
) (*rolloutOut, error) {
	p := store.RetryParams{Actor: actor(ctx)}
	if in.Body != nil {
		p.Reason = in.Body.Reason
		for _, r := range in.Body.Reasons {
			if err := knownReason("reasons", r, fleet.FailReasons()); err != nil {
				return nil, err
			}
			p.Reasons = append(p.Reasons, fleet.Reason(r))
		}
	}
	return rolloutAnswer(s.cfg.Rollouts.RetryRollout(ctx, in.ID, p))
}

func rolloutAnswer(r store.Rollout, err error) (*rolloutOut, error) {
	if err != nil {
		return nil, err
	}
	return &rolloutOut{Body: r}, nil
}

// knownReason refuses what no target can fail or be skipped for: a filter with a
// typing mistake must not look like an empty answer.
func knownReason(field, reason string, known []fleet.Reason) error {
	if reason == "" || slices.Contains(known, fleet.Reason(reason)) {
		return nil
	}
	return fleet.Invalidf(field, "%q is not a reason; the reasons are %v", cut(reason), known)
}
