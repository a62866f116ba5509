package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
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
		text:    "One for each stage and action that was asked about, by anybody and anything. They are few, so they come in one page.",
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

// force is how a caller says that a failed check is known of.
type force struct {
	yes    bool
	reason string
}

// check refuses a force that does not say why.
func (f force) check() error {
	if f.yes && f.reason == "" {
		return fleet.Invalidf("reason", "say why: what is done in spite of a failed check needs a reason")
	}
	return nil
}

// preflight checks changes before anything is written. A failed check is a conflict that
// lists what failed, unless it is forced: then the report says so.
func (s *server) preflight(ctx context.Context, f force, queries ...preflight.Query) ([]preflight.Report, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	reports, err := s.cfg.Preflights.Preflight(ctx, queries...)
	if err != nil {
		return nil, err
	}
	var bad []preflight.Report
	for i := range reports {
		if len(reports[i].Failed()) > 0 {
			bad = append(bad, reports[i])
			reports[i].Forced = f.yes
		}
	}
	if len(bad) > 0 && !f.yes {
		return nil, checksFailed(bad)
	}
	return reports, nil
}

// checksFailed is the conflict of checks that failed.
func checksFailed(reports []preflight.Report) error {
	e := &fleet.Error{Code: fleet.CodeConflict}
	skills := []string{}
	for _, r := range reports {
		if !slices.Contains(skills, r.SkillID) {
			skills = append(skills, r.SkillID)
		}
		for _, c := range r.Failed() {
			e.Details = append(e.Details, fleet.Detail{Location: string(c.Name), Message: c.Message})
		}
	}
	what := "a check"
	if n := len(e.Details); n > 1 {
		what = fmt.Sprintf("%d checks", n)
	}
	e.Message = fmt.Sprintf("%s of skill %s failed, so homes would fail, and nothing was done: mend it, or go on all the same with --force and a --reason",
		what, strings.Join(skills, ", "))
	return e
}
