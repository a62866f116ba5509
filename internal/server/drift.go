package server

import (
	"context"
	"net/http"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

// DriftStore is what the drift operations need.
type DriftStore interface {
	ListDrift(ctx context.Context, f store.DriftFilter, after store.DriftCursor, limit int) ([]store.Drift, store.DriftCursor, error)
	SummarizeDrift(ctx context.Context, f store.DriftFilter, by []store.DriftBy) (store.DriftSummary, error)
	IgnoreDrift(ctx context.Context, p store.IgnoreParams, by fleet.Actor) (store.DriftIgnoring, error)
	RepairChanges(ctx context.Context, p store.RepairParams) ([]store.RepairChange, error)
	RepairMade(ctx context.Context, by fleet.Actor, once store.Idempotency) (bool, error)
	UnignoreDrift(ctx context.Context, p store.UnignoreParams, by fleet.Actor) (store.DriftUnignoring, error)
	PlanRepair(ctx context.Context, p store.RepairParams) (store.Repair, error)
	RepairDrift(ctx context.Context, p store.RepairParams, by fleet.Actor, once store.Idempotency) (store.Repair, bool, error)
}

// DriftQuery is the filter of lists of drift.
type DriftQuery struct {
	Account  string `query:"account" maxLength:"63" doc:"Only this account's."`
	Kind     string `query:"kind" enum:"missing,unexpected,wrong_stage,not_linked,stuck_enabling" doc:"Only findings of this kind."`
	Property string `query:"property" maxLength:"255" doc:"Only those of this property."`
	Cause    string `query:"cause" enum:"write_failed,changed_outside,occupied,unit_new,unit_reset,skill_withdrawn,desired_changed,unknown" doc:"Only those of this cause."`
	SkillID  string `query:"skill_id" maxLength:"255" doc:"Only those of this skill."`
	UnitID   string `query:"unit_id" maxLength:"255" doc:"Only those of this unit."`
	Ignored  string `query:"ignored" enum:"false,true,any" default:"false" doc:"Those that count, those that are ignored now, or both."`
}

func (q DriftQuery) filter() store.DriftFilter {
	return store.DriftFilter{
		Account: q.Account, Kind: fleet.DriftKind(q.Kind), Property: q.Property, Cause: fleet.DriftCause(q.Cause),
		SkillID: q.SkillID, UnitID: q.UnitID, Ignored: store.DriftIgnored(q.Ignored),
	}
}

// DriftSelection is the filter of what is done to drift.
type DriftSelection struct {
	IDs      []string `json:"ids,omitempty" maxItems:"10000" doc:"The findings by ID; all must be open."`
	Account  string   `json:"account,omitempty" maxLength:"63"`
	Kind     string   `json:"kind,omitempty" enum:"missing,unexpected,wrong_stage,not_linked,stuck_enabling"`
	Property string   `json:"property,omitempty" maxLength:"255"`
	Cause    string   `json:"cause,omitempty" enum:"write_failed,changed_outside,occupied,unit_new,unit_reset,skill_withdrawn,desired_changed,unknown"`
	SkillID  string   `json:"skill_id,omitempty" maxLength:"255"`
	UnitID   string   `json:"unit_id,omitempty" maxLength:"255"`
}

func (d DriftSelection) filter() store.DriftFilter {
	return store.DriftFilter{
		Account: d.Account, Kind: fleet.DriftKind(d.Kind), Property: d.Property, Cause: fleet.DriftCause(d.Cause),
		SkillID: d.SkillID, UnitID: d.UnitID, IDs: d.IDs,
	}
}

// ignoreBody is the body of ignoreDrift.
type ignoreBody struct {
	DriftSelection

	Ignored string    `json:"ignored,omitempty" enum:"false,true,any" doc:"Only, or also, those that are ignored already."`
	Until   time.Time `json:"until" doc:"When they count again; a time to come."`
	Reason  string    `json:"reason" minLength:"1" maxLength:"1000" doc:"Why they are no concern."`
}

// unignoreBody is the body of unignoreDrift.
type unignoreBody struct {
	DriftSelection

	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why they count again, for the log."`
}

// repairBody is the body of repairDrift. The guardrails are those of each rollout that
// is made.
type repairBody struct {
	DriftSelection
	Guardrails
	ObservationAge

	DryRun bool `json:"dry_run,omitempty" doc:"Show the plans; create nothing."`
	Force  bool `json:"force,omitempty" doc:"Make them in spite of failed checks; needs a reason."`
}

func (b *repairBody) params() (store.RepairParams, error) {
	p := store.RepairParams{Filter: b.filter()}
	var err error
	if p.Guardrails, err = b.Guardrails.params(); err == nil {
		err = b.set(&p.Guardrails)
	}
	return p, err
}

type driftListOut struct{ Body *list[store.Drift] }

type driftSummaryOut struct{ Body store.DriftSummary }

type driftIgnoringOut struct{ Body store.DriftIgnoring }

type driftUnignoringOut struct{ Body store.DriftUnignoring }

type repairOut struct {
	Replay

	Status int
	Body   store.Repair
}

func (s *server) registerDrift() {
	const tag = "drift"
	register(s, operation{
		id: "listDrift", method: http.MethodGet, path: "/drift", tag: tag, role: fleet.RoleViewer,
		summary: "List open findings in the order they were opened in, account by account",
		text:    "Ignored findings are left out unless ignored says otherwise.",
	}, s.listDrift)
	register(s, operation{
		id: "summarizeDrift", method: http.MethodGet, path: "/drift/summary", tag: tag, role: fleet.RoleViewer,
		summary: "Group open findings, the largest group first",
	}, s.summarizeDrift)
	register(s, operation{
		id: "ignoreDrift", method: http.MethodPost, path: "/drift/ignore", tag: tag, role: fleet.RoleOperator,
		summary: "Leave findings out of account until a time to come",
		text:    "They stay on record, with who said so and why, and count again when the time has passed. Findings that match nothing are an error.",
	}, s.ignoreDrift)
	register(s, operation{
		id: "unignoreDrift", method: http.MethodPost, path: "/drift/unignore", tag: tag, role: fleet.RoleOperator,
		summary: "Have ignored findings count again now",
		text:    "Those of the selection that are ignored; others stay as they are. When none is, that is an error.",
	}, s.unignoreDrift)
	register(s, operation{
		id: "repairDrift", method: http.MethodPost, path: "/drift/repair", tag: tag, role: fleet.RoleOperator, timeout: rolloutTimeout,
		summary: "Make the rollouts that put findings right, or show their plans",
		text: "One rollout for each skill, action and stage, all or none. Left alone, and counted in skipped, are homes that are not vacant, " +
			"that the last audit could not see whole or that a rollout of the skill has. A failed check of a skill refuses all, unless force is given. " +
			"The status is 201 when rollouts were created.",
	}, s.repairDrift)
}

func (s *server) listDrift(ctx context.Context, in *struct {
	Paging
	DriftQuery
},
) (*driftListOut, error) {
	after, err := decodeCursor[store.DriftCursor](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Drift.ListDrift(ctx, in.filter(), after, in.Limit)
	if err != nil {
		return nil, err
	}
	return &driftListOut{Body: newList(items, next)}, nil
}

func (s *server) summarizeDrift(ctx context.Context, in *struct {
	DriftQuery

	By []string `query:"by" maxItems:"5" enum:"account,cause,property,kind,skill_id" doc:"What findings are told apart by; cause, property and kind when not given."`
},
) (*driftSummaryOut, error) {
	var by []store.DriftBy
	for _, b := range in.By {
		by = append(by, store.DriftBy(b))
	}
	summary, err := s.cfg.Drift.SummarizeDrift(ctx, in.filter(), by)
	if err != nil {
		return nil, err
	}
	return &driftSummaryOut{Body: summary}, nil
}

func (s *server) ignoreDrift(ctx context.Context, in *struct{ Body ignoreBody }) (*driftIgnoringOut, error) {
	p := store.IgnoreParams{Filter: in.Body.filter(), Until: in.Body.Until, Reason: in.Body.Reason}
	p.Filter.Ignored = store.DriftIgnored(in.Body.Ignored)
	ignoring, err := s.cfg.Drift.IgnoreDrift(ctx, p, actor(ctx))
	if err != nil {
		return nil, err
	}
	return &driftIgnoringOut{Body: ignoring}, nil
}

func (s *server) unignoreDrift(ctx context.Context, in *struct{ Body unignoreBody }) (*driftUnignoringOut, error) {
	p := store.UnignoreParams{Filter: in.Body.filter(), Reason: in.Body.Reason}
	unignoring, err := s.cfg.Drift.UnignoreDrift(ctx, p, actor(ctx))
	if err != nil {
		return nil, err
	}
	return &driftUnignoringOut{Body: unignoring}, nil
}

func (s *server) repairDrift(ctx context.Context, in *struct {
	Creating

	Body repairBody
},
) (*repairOut, error) {
	p, err := in.Body.params()
	if err != nil {
		return nil, err
	}
	if in.Body.DryRun {
		if p.Preflights, err = s.preflightRepair(ctx, p, nil); err != nil {
			return nil, err
		}
		repair, err := s.cfg.Drift.PlanRepair(ctx, p)
		if err != nil {
			return nil, err
		}
		return &repairOut{Status: http.StatusOK, Body: repair}, nil
	}
	once, err := in.idempotency("repairDrift", in.Body)
	if err != nil {
		return nil, err
	}
	made, err := s.cfg.Drift.RepairMade(ctx, actor(ctx), once)
	if err != nil {
		return nil, err
	}
	if !made {
		if p.Preflights, err = s.preflightRepair(ctx, p, &gate{force: in.Body.Force, reason: in.Body.Reason, paused: in.Body.Paused}); err != nil {
			return nil, err
		}
	}
	repair, again, err := s.cfg.Drift.RepairDrift(ctx, p, actor(ctx), once)
	if err != nil {
		return nil, err
	}
	out := &repairOut{Replay: replayed(again), Status: http.StatusOK, Body: repair}
	if len(repair.Rollouts) > 0 {
		out.Status = http.StatusCreated
	}
	return out, nil
}

// preflightRepair checks what a repair would make; where g is nil, it refuses nothing.
func (s *server) preflightRepair(ctx context.Context, p store.RepairParams, g *gate) (map[store.RepairChange]*preflight.Report, error) {
	changes, err := s.cfg.Drift.RepairChanges(ctx, p)
	if err != nil {
		return nil, err
	}
	queries := make([]preflight.Query, len(changes))
	for i, c := range changes {
		queries[i] = preflight.Query{Account: c.Account, Action: c.Action, SkillID: c.SkillID, Stage: c.Stage, Why: preflight.WhyRepair}
	}
	var reports []preflight.Report
	if g != nil {
		reports, err = s.preflight(ctx, *g, queries...)
	} else {
		reports, err = s.cfg.Preflights.Preflight(ctx, queries...)
	}
	if err != nil {
		return nil, err
	}
	out := make(map[store.RepairChange]*preflight.Report, len(changes))
	for i, c := range changes {
		out[c] = &reports[i]
	}
	return out, nil
}
