package server

import (
	"context"
	"io"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// AuditStore is what the audit operations need.
type AuditStore interface {
	CreateAudit(ctx context.Context, p store.AuditParams, by fleet.Actor, once store.Idempotency) (store.Audit, bool, error)
	Audit(ctx context.Context, id string) (store.Audit, error)
	ListAudits(ctx context.Context, f store.AuditFilter) ([]store.Audit, int64, error)
	ListAuditUnits(ctx context.Context, id string, f store.AuditUnitFilter) ([]store.AuditedUnit, int64, error)
	CancelAudit(ctx context.Context, id, reason string, by fleet.Actor) (store.Audit, error)
	AuditSchedule(ctx context.Context, account string, standard store.AuditDefault) (store.AuditSchedule, error)
	SetAuditSchedule(ctx context.Context, p store.AuditScheduleParams, by fleet.Actor) (store.AuditSchedule, error)
	DeleteAuditSchedule(ctx context.Context, account, reason string, by fleet.Actor) error
}

// auditRequest is what AuditBody holds. Its tags are for the OpenAPI document: params
// does the checking, because huma does not see the body.
type auditRequest struct {
	Account  string   `json:"account" doc:"The account whose units are audited."`
	Selector string   `json:"selector,omitempty" doc:"Which units: all, or key=value, key!=value, key in (a,b), has(key), with commas between."`
	UnitIDs  []string `json:"unit_ids,omitempty" doc:"The units by ID; instead of selector."`
	Reason   string   `json:"reason,omitempty" doc:"Why, for the log."`
}

// AuditBody is the body of createAudit. It may name a million units, so it is decoded
// as it comes.
type AuditBody struct{ request auditRequest }

// Resolve decodes the body.
func (b *AuditBody) Resolve(hctx huma.Context) []error {
	return resolveJSON(hctx, maxBodyUnits, func(r io.Reader) (err error) {
		b.request.UnitIDs, err = decodeWithUnits(r, &b.request)
		return err
	})
}

func (r *auditRequest) params() (store.AuditParams, error) {
	p := store.AuditParams{Account: r.Account, Selector: r.Selector, UnitIDs: r.UnitIDs, Reason: r.Reason}
	switch {
	case p.Account == "":
		return p, fleet.Invalidf("account", "name the account whose units are to be audited")
	case p.Selector == "" && len(p.UnitIDs) == 0:
		return p, fleet.Invalidf("selector", "say which units: a selector (all, property=maple-court) or unit_ids")
	case p.Selector != "" && len(p.UnitIDs) > 0:
		return p, fleet.Invalidf("selector", "give a selector or unit_ids, not both")
	case len(p.Reason) > maxReason:
		return p, fleet.Invalidf("reason", "the reason is longer than %d characters", maxReason)
	}
	return p, nil
}

// AuditID is the audit in the path.
type AuditID struct {
	ID string `path:"id" maxLength:"100" doc:"The audit's ID."`
}

type auditOut struct{ Body store.Audit }

type auditCreated struct {
	Replay

	Body store.Audit
}

type auditListOut struct{ Body *list[store.Audit] }

type auditedUnitListOut struct{ Body *list[store.AuditedUnit] }

type auditScheduleOut struct{ Body store.AuditSchedule }

func (s *server) registerAudits() {
	const tag = "audits"
	register(s, operation{
		id: "createAudit", method: http.MethodPost, path: "/audits", tag: tag, role: fleet.RoleOperator, status: http.StatusCreated,
		timeout: rolloutTimeout,
		summary: "Audit units: list what is enabled on each and compare it with what is desired",
		text: "It only reads. An account has one audit at a time: another is refused with the code conflict. " +
			"A selector that matches nothing is an error.",
	}, s.createAudit)
	register(s, operation{
		id: "listAudits", method: http.MethodGet, path: "/audits", tag: tag, role: fleet.RoleViewer,
		summary: "List audits, newest first",
	}, s.listAudits)
	register(s, operation{
		id: "getAudit", method: http.MethodGet, path: "/audits/{id}", tag: tag, role: fleet.RoleViewer,
		summary: "Show an audit",
	}, s.getAudit)
	register(s, operation{
		id: "listAuditUnits", method: http.MethodGet, path: "/audits/{id}/units", tag: tag, role: fleet.RoleViewer,
		summary: "List what an audit said of its units",
		text: "A unit stands in the list of the last audit that answered for it, and in no other. A page may hold fewer items than " +
			"its limit and not be the last: go on until next_cursor is empty.",
	}, s.listAuditUnits)
	register(s, operation{
		id: "cancelAudit", method: http.MethodPost, path: "/audits/{id}/cancel", tag: tag, role: fleet.RoleOperator,
		summary: "Cancel an audit",
		text:    "It ends at once. Units that it had not come to are unknown, with the reason canceled.",
	}, s.cancelAudit)
	register(s, operation{
		id: "getAuditSchedule", method: http.MethodGet, path: "/accounts/{name}/audit-schedule", tag: tag, role: fleet.RoleViewer,
		summary: "Show when an account is audited by itself",
		text:    "Its own schedule, or fleetd's, which default says.",
	}, s.getAuditSchedule)
	register(s, operation{
		id: "setAuditSchedule", method: http.MethodPut, path: "/accounts/{name}/audit-schedule", tag: tag, role: fleet.RoleOperator,
		summary: "Give an account an audit schedule of its own",
		text: "Each slot is one audit, whatever number of fleetd processes run; after an absence the latest that was missed is caught up. " +
			"A slot in an hour that the clocks skip comes when they have; one in an hour that they repeat comes the first time.",
	}, s.setAuditSchedule)
	register(s, operation{
		id: "deleteAuditSchedule", method: http.MethodDelete, path: "/accounts/{name}/audit-schedule", tag: tag, role: fleet.RoleOperator,
		status:  http.StatusNoContent,
		summary: "Take an account's own audit schedule away: fleetd's holds again",
	}, s.deleteAuditSchedule)
	describeBodies[auditRequest](s, "AuditRequest", "/api/v1/audits")
}

func (s *server) createAudit(ctx context.Context, in *struct {
	Creating

	JSON AuditBody
},
) (*auditCreated, error) {
	request := in.JSON.request
	p, err := request.params()
	if err != nil {
		return nil, err
	}
	request.UnitIDs = nil
	once, err := in.idempotency("createAudit", request, units(p.UnitIDs))
	if err != nil {
		return nil, err
	}
	audit, again, err := s.cfg.Audits.CreateAudit(ctx, p, actor(ctx), once)
	if err != nil {
		return nil, err
	}
	return &auditCreated{Replay: replayed(again), Body: audit}, nil
}

func (s *server) listAudits(ctx context.Context, in *struct {
	Paging

	Account string `query:"account" maxLength:"63" doc:"Only this account's."`
	State   string `query:"state" enum:"running,waiting,succeeded,completed_with_unknown,canceled" doc:"Only those in this state."`
	Active  bool   `query:"active" doc:"Only those that have not ended."`
},
) (*auditListOut, error) {
	before, err := decodeCursor[int64](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Audits.ListAudits(ctx, store.AuditFilter{
		Account: in.Account, State: fleet.AuditState(in.State), Active: in.Active, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return &auditListOut{Body: newList(items, next)}, nil
}

func (s *server) getAudit(ctx context.Context, in *struct{ AuditID }) (*auditOut, error) {
	return auditAnswer(s.cfg.Audits.Audit(ctx, in.ID))
}

func (s *server) listAuditUnits(ctx context.Context, in *struct {
	AuditID
	Paging

	Result string `query:"result" enum:"in_sync,drifted,unknown" doc:"Only those with this result."`
	Reason string `query:"reason" maxLength:"100" doc:"Only those that are unknown for this reason."`
},
) (*auditedUnitListOut, error) {
	after, err := decodeCursor[int64](in.Cursor)
	if err != nil {
		return nil, err
	}
	f := store.AuditUnitFilter{Result: fleet.AuditResult(in.Result), Reason: fleet.UnknownReason(in.Reason), After: after, Limit: in.Limit}
	switch {
	case f.Reason != "" && !slices.Contains(fleet.UnknownReasons(), f.Reason):
		return nil, fleet.Invalidf("reason", "%q is not a reason; the reasons are %v", cut(in.Reason), fleet.UnknownReasons())
	case f.Reason != "" && f.Result != "" && f.Result != fleet.AuditUnknown:
		return nil, fleet.Invalidf("reason", "only units that are unknown have a reason; leave result out, or ask for unknown")
	}
	items, next, err := s.cfg.Audits.ListAuditUnits(ctx, in.ID, f)
	if err != nil {
		return nil, err
	}
	return &auditedUnitListOut{Body: newList(items, next)}, nil
}

func (s *server) cancelAudit(ctx context.Context, in *struct {
	AuditID

	Body *reasonBody
},
) (*auditOut, error) {
	return auditAnswer(s.cfg.Audits.CancelAudit(ctx, in.ID, in.Body.text(), actor(ctx)))
}

func auditAnswer(a store.Audit, err error) (*auditOut, error) {
	if err != nil {
		return nil, err
	}
	return &auditOut{Body: a}, nil
}

func (s *server) getAuditSchedule(ctx context.Context, in *struct{ AccountName }) (*auditScheduleOut, error) {
	return scheduleAnswer(s.cfg.Audits.AuditSchedule(ctx, in.Name, s.cfg.AuditDefault))
}

// auditScheduleSet is the body of setAuditSchedule.
type auditScheduleSet struct {
	Cron          string `json:"cron" maxLength:"200" doc:"Minute, hour, day of month, month, day of week (0 is Sunday): 0 2 * * *. Empty: no audits, whatever fleetd's own schedule is."`
	Timezone      string `json:"timezone,omitempty" maxLength:"200" doc:"An IANA name; UTC when not given."`
	Selector      string `json:"selector,omitempty" maxLength:"10000" doc:"Which units; all when not given."`
	Repair        bool   `json:"repair,omitempty" doc:"Repair what the audit finds, once it has ended."`
	RepairCeiling int    `json:"repair_ceiling,omitempty" minimum:"0" doc:"Above so many findings the repair only alarms. Needed with repair."`
	Reason        string `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

func (s *server) setAuditSchedule(ctx context.Context, in *struct {
	AccountName

	Body auditScheduleSet
},
) (*auditScheduleOut, error) {
	b := in.Body
	return scheduleAnswer(s.cfg.Audits.SetAuditSchedule(ctx, store.AuditScheduleParams{
		Account: in.Name, Cron: b.Cron, Timezone: b.Timezone, Selector: b.Selector, Repair: b.Repair, RepairCeiling: b.RepairCeiling,
		Reason: b.Reason,
	}, actor(ctx)))
}

func (s *server) deleteAuditSchedule(ctx context.Context, in *struct {
	AccountName

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*struct{}, error) {
	return nil, s.cfg.Audits.DeleteAuditSchedule(ctx, in.Name, in.Reason, actor(ctx))
}

func scheduleAnswer(a store.AuditSchedule, err error) (*auditScheduleOut, error) {
	if err != nil {
		return nil, err
	}
	return &auditScheduleOut{Body: a}, nil
}
