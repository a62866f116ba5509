package server

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
	"fleetd/internal/store"
)

// DesiredStore is what the operations about desired state need.
type DesiredStore interface {
	ListDesired(ctx context.Context, account string, f store.DesiredFilter) ([]store.DesiredItem, store.DesiredCursor, error)
	DesiredHistory(ctx context.Context, f store.HistoryFilter) ([]store.DesiredChange, store.HistoryCursor, error)
	ExportDesired(ctx context.Context, account string, each func(document.Entry) error) error
	SetDesired(ctx context.Context, p store.DesiredSetParams, by fleet.Actor, once store.Idempotency) (store.DesiredPlan, bool, error)
	PlanDesired(ctx context.Context, p store.DesiredApplyParams) (store.DesiredPlan, error)
	ApplyDesired(ctx context.Context, p store.DesiredApplyParams, by fleet.Actor, once store.Idempotency) (store.DesiredPlan, bool, error)
	NewSkills(ctx context.Context, account string, skillIDs []string) ([]string, error)
	AdoptDesired(ctx context.Context, p store.DesiredAdoptParams, by fleet.Actor, once store.Idempotency) (store.DesiredPlan, bool, error)
}

// SkillCatalog tells which skills there are that fleetd has not met yet, as the skill
// manifest API does for an account with a developer credential.
type SkillCatalog interface {
	// ExistingSkills lists those of some skills that are known to exist.
	ExistingSkills(ctx context.Context, account string, skillIDs []string) ([]string, error)
}

const yamlType = "application/yaml"

// maxBodyDocument is how long a document may be as JSON: one of document.MaxBytes, every
// skill with its line and column, is several times as long.
const maxBodyDocument = 12 * document.MaxBytes

type desiredListOut struct{ Body *list[store.DesiredItem] }

type desiredHistoryOut struct{ Body *list[store.DesiredChange] }

type desiredPlanOut struct {
	Replay

	Body store.DesiredPlan
}

// desiredSetRequest is what DesiredSetBody holds.
type desiredSetRequest struct {
	Account  string   `json:"account" doc:"The account to work for."`
	SkillID  string   `json:"skill_id" doc:"The skill."`
	State    string   `json:"state" enum:"development,certification,live,disabled" doc:"The stage it should be enabled at, or disabled."`
	Selector string   `json:"selector,omitempty" doc:"Which units: all, or key=value, key!=value, key in (a,b), has(key), with commas between."`
	UnitIDs  []string `json:"unit_ids,omitempty" doc:"The units by ID; instead of selector."`
	AllowNew []string `json:"allow_new_skills,omitempty" doc:"Skills that may be new to the account; all: every one. Others must have been met there: seen on a home, desired, or in a rollout."`
	DryRun   bool     `json:"dry_run,omitempty" doc:"Show what would change, and change nothing."`
	Expect   string   `json:"expect,omitempty" doc:"The fingerprint of the plan that was agreed to: when anything else would change, nothing does."`
	Reason   string   `json:"reason,omitempty" doc:"Why, for the log."`
}

// DesiredSetBody is the body of setDesired. It may name a million units.
type DesiredSetBody struct{ request desiredSetRequest }

// Resolve decodes the body.
func (b *DesiredSetBody) Resolve(hctx huma.Context) []error {
	return resolveJSON(hctx, maxBodyUnits, func(r io.Reader) (err error) {
		b.request.UnitIDs, err = decodeWithUnits(r, &b.request)
		return err
	})
}

// desiredApplyRequest is what DesiredApplyBody holds.
type desiredApplyRequest struct {
	Account    string            `json:"account,omitempty" doc:"The account, unless the document names it; where both do, they must agree."`
	Document   document.Document `json:"document" doc:"What should be where: fleet.yaml as JSON. It is the whole desired state of the account."`
	DryRun     bool              `json:"dry_run,omitempty" doc:"Show what would change, and change nothing."`
	AllowEmpty bool              `json:"allow_empty,omitempty" doc:"Also take away more than half of what is desired, or all of it."`
	AllowNew   []string          `json:"allow_new_skills,omitempty" doc:"Skills that may be new to the account; all: every one. Others must have been met there: seen on a home, desired, or in a rollout."`
	Expect     string            `json:"expect,omitempty" doc:"The fingerprint of the plan that was agreed to: when anything else would change, nothing does."`
	Reason     string            `json:"reason,omitempty" doc:"Why, for the log."`
}

// DesiredApplyBody is the body of applyDesired. The document's own check says what is
// wrong with it, by lines of the file.
type DesiredApplyBody struct{ request desiredApplyRequest }

// Resolve decodes the body.
func (b *DesiredApplyBody) Resolve(hctx huma.Context) []error {
	return resolveJSON(hctx, maxBodyDocument, func(r io.Reader) error {
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return unmarshal(text, &b.request)
	})
}

// desiredAdoptRequest is the body of adoptDesired.
type desiredAdoptRequest struct {
	Account  string   `json:"account" maxLength:"63" doc:"The account to work for."`
	Selector string   `json:"selector" minLength:"1" doc:"Which units: all, or key=value, key!=value, key in (a,b), has(key), with commas between."`
	Skills   []string `json:"skills,omitempty" maxItems:"1000" doc:"Only these skills; every one that is not protected when not given."`
	Disabled bool     `json:"disabled,omitempty" doc:"Also take what should be enabled and was seen not to be: it becomes disabled."`
	DryRun   bool     `json:"dry_run,omitempty" doc:"Show what would change, and change nothing."`
	Expect   string   `json:"expect,omitempty" doc:"The fingerprint of the plan that was agreed to: when anything else would change, nothing does."`
	Reason   string   `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

func (s *server) registerDesired() {
	const tag = "desired"
	register(s, operation{
		id: "listDesired", method: http.MethodGet, path: "/desired", tag: tag, role: fleet.RoleViewer,
		summary: "List what should be on an account's units, by property",
	}, s.listDesired)
	register(s, operation{
		id: "listDesiredHistory", method: http.MethodGet, path: "/desired/history", tag: tag, role: fleet.RoleViewer,
		summary: "List what ever should be on a unit, who said so and why, newest first",
	}, s.listDesiredHistory)
	register(s, operation{
		id: "exportDesired", method: http.MethodGet, path: "/desired/export", tag: tag, role: fleet.RoleViewer, timeout: -1,
		summary: "Export what should be on an account's units as fleet.yaml",
		text:    "In the form that fleetctl applies, of one moment, and as short as it can be said. Applying it changes nothing.",
		out: map[string]*huma.Response{"200": {
			Description: "The document.",
			Content:     map[string]*huma.MediaType{yamlType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
		}},
	}, s.exportDesired)
	register(s, operation{
		id: "setDesired", method: http.MethodPost, path: "/desired", tag: tag, role: fleet.RoleOperator, timeout: rolloutTimeout,
		summary: "Set what one skill should be on some units",
		text:    "Nothing is sent to the units: a rollout or a repair does that. Occupied homes take part, and are left alone by both.",
	}, s.setDesired)
	register(s, operation{
		id: "applyDesired", method: http.MethodPost, path: "/desired/apply", tag: tag, role: fleet.RoleOperator, timeout: rolloutTimeout,
		summary: "Make a document the whole desired state of an account",
		text: "What the document does not name is desired no more. All or nothing; errors name the lines of the file. " +
			"A skill that the account never met is refused unless allow_new_skills has it. " +
			"One that would take away more than half of what is desired is refused with the code conflict unless allow_empty.",
	}, s.applyDesired)
	register(s, operation{
		id: "adoptDesired", method: http.MethodPost, path: "/desired/adopt", tag: tag, role: fleet.RoleOperator, timeout: rolloutTimeout,
		summary: "Make what was last seen enabled on some units what should be",
		text:    "never_seen counts those of the units that were never seen whole: an audit sees them.",
	}, s.adoptDesired)
	describeBodies[desiredSetRequest](s, "DesiredSetRequest", "/api/v1/desired")
	describeBodies[desiredApplyRequest](s, "DesiredApplyRequest", "/api/v1/desired/apply")
}

func (s *server) listDesired(ctx context.Context, in *struct {
	Paging

	Account  string `query:"account" required:"true" minLength:"1" maxLength:"63" doc:"The account."`
	UnitID   string `query:"unit_id" maxLength:"255" doc:"Only on this unit."`
	Property string `query:"property" maxLength:"255" doc:"Only on units of this property."`
	SkillID  string `query:"skill_id" maxLength:"255" doc:"Only of this skill."`
},
) (*desiredListOut, error) {
	after, err := decodeCursor[store.DesiredCursor](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Desired.ListDesired(ctx, in.Account, store.DesiredFilter{
		UnitID: in.UnitID, Property: in.Property, SkillID: in.SkillID, After: after, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return &desiredListOut{Body: newList(items, next)}, nil
}

func (s *server) listDesiredHistory(ctx context.Context, in *struct {
	Paging

	Account string `query:"account" maxLength:"63" doc:"Needed only when several accounts have a unit of this ID."`
	UnitID  string `query:"unit_id" required:"true" minLength:"1" maxLength:"255" doc:"The unit."`
	SkillID string `query:"skill_id" maxLength:"255" doc:"Only of this skill."`
},
) (*desiredHistoryOut, error) {
	before, err := decodeCursor[store.HistoryCursor](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Desired.DesiredHistory(ctx, store.HistoryFilter{
		Account: in.Account, UnitID: in.UnitID, SkillID: in.SkillID, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return &desiredHistoryOut{Body: newList(items, next)}, nil
}

func (s *server) exportDesired(ctx context.Context, in *struct {
	Account string `query:"account" required:"true" minLength:"1" maxLength:"63" doc:"The account."`
},
) (*huma.StreamResponse, error) {
	// Errors that can be told are told before the first byte leaves.
	if _, _, err := s.cfg.Desired.ListDesired(ctx, in.Account, store.DesiredFilter{Limit: 1}); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		hctx.SetHeader("Content-Type", yamlType)
		hctx.SetHeader("Content-Disposition", `attachment; filename="fleet.yaml"`)
		w := document.NewWriter(hctx.BodyWriter(), in.Account)
		err := s.cfg.Desired.ExportDesired(ctx, in.Account, w.Entry)
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			// The status has left: cutting the connection is the only honest end.
			s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "export broke off",
				slog.String("request_id", requestID(ctx)), slog.Any("error", err))
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

func (s *server) setDesired(ctx context.Context, in *struct {
	Creating

	JSON DesiredSetBody
},
) (*desiredPlanOut, error) {
	request := in.JSON.request
	if err := checkReason(request.Reason); err != nil {
		return nil, err
	}
	p := store.DesiredSetParams{
		Account: request.Account, Selector: request.Selector, UnitIDs: request.UnitIDs, SkillID: request.SkillID,
		State: fleet.DesiredState(request.State), DryRun: request.DryRun, Expect: request.Expect, Reason: request.Reason,
	}
	var err error
	if p.AllowNew, err = s.allowNew(ctx, p.Account, request.AllowNew, []string{p.SkillID}); err != nil {
		return nil, err
	}
	request.UnitIDs = nil
	once, err := in.idempotency("setDesired", request, units(p.UnitIDs))
	if err != nil {
		return nil, err
	}
	return desiredAnswer(s.cfg.Desired.SetDesired(ctx, p, actor(ctx), once))
}

func (s *server) applyDesired(ctx context.Context, in *struct {
	Creating

	JSON DesiredApplyBody
},
) (*desiredPlanOut, error) {
	request := in.JSON.request
	if err := checkReason(request.Reason); err != nil {
		return nil, err
	}
	p := store.DesiredApplyParams{
		Account: request.Account, Document: request.Document, AllowEmpty: request.AllowEmpty, Expect: request.Expect, Reason: request.Reason,
	}
	var named []string
	for _, e := range p.Document.Entries {
		for _, skill := range e.Skills {
			named = append(named, skill.SkillID)
		}
	}
	var err error
	if p.AllowNew, err = s.allowNew(ctx, cmp.Or(p.Account, p.Document.Account), request.AllowNew, named); err != nil {
		return nil, err
	}
	if request.DryRun {
		plan, err := s.cfg.Desired.PlanDesired(ctx, p)
		return desiredAnswer(plan, false, err)
	}
	once, err := in.idempotency("applyDesired", request)
	if err != nil {
		return nil, err
	}
	return desiredAnswer(s.cfg.Desired.ApplyDesired(ctx, p, actor(ctx), once))
}

func (s *server) adoptDesired(ctx context.Context, in *struct {
	Creating

	Body desiredAdoptRequest
},
) (*desiredPlanOut, error) {
	p := store.DesiredAdoptParams{
		Account: in.Body.Account, Selector: in.Body.Selector, Skills: in.Body.Skills, Disabled: in.Body.Disabled,
		DryRun: in.Body.DryRun, Expect: in.Body.Expect, Reason: in.Body.Reason,
	}
	once, err := in.idempotency("adoptDesired", in.Body)
	if err != nil {
		return nil, err
	}
	return desiredAnswer(s.cfg.Desired.AdoptDesired(ctx, p, actor(ctx), once))
}

// mostLookedUp bounds how many skills of one request are looked up, some at a time, with
// a developer's budget.
const mostLookedUp = 100

// allowNew adds to the skills that may be new to an account those that exist, where
// somebody can tell. It asks between transactions, and for no skill that was met.
func (s *server) allowNew(ctx context.Context, account string, allowed, named []string) ([]string, error) {
	if s.cfg.Catalog == nil || account == "" {
		return allowed, nil
	}
	unmet, err := s.cfg.Desired.NewSkills(ctx, account, named)
	if err != nil || len(unmet) == 0 || len(unmet) > mostLookedUp {
		return allowed, err
	}
	exist, err := s.cfg.Catalog.ExistingSkills(ctx, account, unmet)
	if err != nil { // It cannot tell, so the person has to.
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "skills not looked up", slog.String("account", account), slog.Any("error", err))
		return allowed, nil
	}
	return append(slices.Clone(allowed), exist...), nil
}

func desiredAnswer(plan store.DesiredPlan, again bool, err error) (*desiredPlanOut, error) {
	if err != nil {
		return nil, err
	}
	return &desiredPlanOut{Replay: replayed(again), Body: plan}, nil
}

// checkReason bounds what a body that huma does not see says for the log.
func checkReason(reason string) error {
	if len(reason) > maxReason {
		return fleet.Invalidf("reason", "the reason is longer than %d characters", maxReason)
	}
	return nil
}
