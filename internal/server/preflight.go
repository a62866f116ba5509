package server

import (
	"context"
	"errors"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

// Preflights checks what stands in the way of a skill, reading only. What an API did not
// answer is not_checked and no error.
type Preflights interface {
	Preflight(ctx context.Context, queries ...preflight.Query) ([]preflight.Report, error)
}

// PreflightStore is what the check operations need.
type PreflightStore interface {
	Preflights(ctx context.Context, account, skillID string) ([]preflight.Report, error)
}

// checkBody is the body of checkSkill.
type checkBody struct {
	Action string `json:"action,omitempty" enum:"enable,disable" doc:"What shall be done; enable when not given."`
	Stage  string `json:"stage,omitempty" enum:"development,certification,live" doc:"live when not given."`
}

type preflightOut struct{ Body preflight.Report }

type preflightListOut struct{ Body *list[preflight.Report] }

func (s *server) registerPreflights() {
	const (
		tag  = "skills"
		path = "/accounts/{name}/skills/{skill_id}/check"
	)
	register(s, operation{
		id: "checkSkill", method: http.MethodPost, path: path, tag: tag, role: fleet.RoleViewer,
		summary: "Check what stands in the way of rolling a skill out",
		text: "The checks that are made before every rollout: reads of the skill manifest and skill enablement APIs with the account's developer " +
			"credential. What could not be told is not_checked, with why, and without that credential everything is. Takes 8 seconds at most.",
	}, s.checkSkill)
	register(s, operation{
		id: "listSkillChecks", method: http.MethodGet, path: path, tag: tag, role: fleet.RoleViewer,
		summary: "Show what the latest checks of a skill saw, without checking anew",
		text: "One for each stage and action that was asked about, by anybody and anything. They are few, so they come in one page. " +
			"Each is kept for 90 days.",
	}, s.listSkillChecks)
}

func (s *server) checkSkill(ctx context.Context, in *struct {
	AccountName

	SkillID string `path:"skill_id" minLength:"1" maxLength:"255" doc:"The skill's ID."`
	Body    *checkBody
},
) (*preflightOut, error) {
	if !fleet.ValidSkillID(in.SkillID) {
		return nil, fleet.Invalidf("skill_id", "%q is no skill ID: it has 1 to 255 characters without spaces, such as amzn1.ask.skill.0f4a...", in.SkillID)
	}
	q := preflight.Query{Account: in.Name, SkillID: in.SkillID, Action: fleet.ActionEnable, Stage: fleet.StageLive, Why: preflight.WhyCheck}
	if in.Body != nil && in.Body.Action != "" {
		q.Action = fleet.Action(in.Body.Action)
	}
	if in.Body != nil && in.Body.Stage != "" {
		q.Stage = fleet.Stage(in.Body.Stage)
	}
	reports, err := s.cfg.Preflights.Preflight(ctx, q)
	if err != nil {
		return nil, err
	}
	return &preflightOut{Body: reports[0]}, nil
}

func (s *server) listSkillChecks(ctx context.Context, in *struct {
	AccountName

	SkillID string `path:"skill_id" minLength:"1" maxLength:"255" doc:"The skill's ID."`
},
) (*preflightListOut, error) {
	items, err := s.cfg.Checks.Preflights(ctx, in.Name, in.SkillID)
	if err != nil {
		return nil, err
	}
	return &preflightListOut{Body: newList(items, "")}, nil
}

// gate is how a caller bears checks that fail.
type gate struct {
	force  bool
	reason string
	// paused says that nothing begins now: what fails is shown and kept, and refuses
	// nothing, for the checks are made anew when it begins.
	paused bool
}

// check refuses a force that does not say why.
func (g gate) check() error {
	if g.force && g.reason == "" {
		return fleet.Invalidf("reason", "say why: what is done in spite of a failed check needs a reason")
	}
	return nil
}

// preflight checks changes before anything is written. A failed check is a conflict that
// lists what failed, unless the gate bears it.
func (s *server) preflight(ctx context.Context, g gate, queries ...preflight.Query) ([]preflight.Report, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	reports, err := s.cfg.Preflights.Preflight(ctx, queries...)
	if err != nil {
		return nil, err
	}
	if g.force {
		preflight.Force(reports)
	}
	if err := preflight.Refusal(reports...); err != nil && !g.paused {
		return nil, err
	}
	return reports, nil
}

// withFailed adds to a conflict that leaves no plan to show the checks that failed: whoever
// mends the one thing must know of the other.
func (s *server) withFailed(ctx context.Context, err error, q preflight.Query) error {
	known := new(fleet.Error)
	if !errors.As(err, &known) || known.Code != fleet.CodeConflict {
		return err
	}
	reports, checkErr := s.cfg.Preflights.Preflight(ctx, q)
	if checkErr != nil || len(reports[0].Failed()) == 0 {
		return err
	}
	both := *known
	both.Message += "; besides, the skill fails its checks"
	for _, c := range reports[0].Failed() {
		both.Details = append(both.Details, fleet.Detail{Location: string(c.Name), Message: c.Message})
	}
	return &both
}

// resumeBody is the body of resumeRollout.
type resumeBody struct {
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
	Force  bool   `json:"force,omitempty" doc:"Begin in spite of failed checks; needs a reason."`
}

// resumeRollout asks the APIs only for a rollout that the store will not let begin
// unchecked: outside of the transaction that decides, which has the last word.
func (s *server) resumeRollout(ctx context.Context, in *struct {
	RolloutID

	Body *resumeBody
},
) (*rolloutOut, error) {
	p := store.ResumeParams{Actor: actor(ctx)}
	g := gate{}
	if in.Body != nil {
		p.Reason, g = in.Body.Reason, gate{force: in.Body.Force, reason: in.Body.Reason}
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	r, err := s.cfg.Rollouts.ResumeRollout(ctx, in.ID, p)
	if unchecked := new(store.UncheckedError); errors.As(err, &unchecked) {
		unchecked.Query.Why = preflight.WhyResume
		reports, err := s.cfg.Preflights.Preflight(ctx, unchecked.Query)
		if err != nil {
			return nil, err
		}
		if g.force {
			preflight.Force(reports)
		}
		p.Preflight = &reports[0]
		return rolloutAnswer(s.cfg.Rollouts.ResumeRollout(ctx, in.ID, p))
	}
	return rolloutAnswer(r, err)
}
