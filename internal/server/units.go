package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/inventory"
	"fleetd/internal/store"
)

// UnitStore is what the unit operations need.
type UnitStore interface {
	ImportUnits(ctx context.Context, account string, csv io.Reader, p store.ImportParams, by fleet.Actor, once store.Idempotency) (store.ImportResult, bool, error)
	ListUnits(ctx context.Context, account string, f store.UnitFilter) ([]store.Unit, store.UnitCursor, error)
	ExportUnits(ctx context.Context, account, selector string, each func(store.Unit) error) error
	Unit(ctx context.Context, unitID, account string) (store.UnitDetail, error)
}

const csvType = "text/csv"

type unitListOut struct{ Body *list[store.Unit] }

type unitOut struct{ Body store.UnitDetail }

type importOut struct {
	Replay

	Body store.ImportResult
}

// CSVBody is a request body that is read as it comes, never held.
type CSVBody struct{ reader io.Reader }

// Resolve keeps the body for the handler.
func (c *CSVBody) Resolve(hctx huma.Context) []error {
	c.reader = hctx.BodyReader()
	if kind, _, _ := strings.Cut(hctx.Header("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), csvType) {
		return []error{huma.NewErrorWithContext(hctx, http.StatusUnsupportedMediaType, "the body must be CSV: send the header Content-Type: text/csv")}
	}
	return nil
}

func (s *server) registerUnits() {
	const tag = "units"
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	register(s, operation{
		id: "importUnits", method: http.MethodPost, path: "/accounts/{name}/units/import", tag: tag, role: fleet.RoleOperator, timeout: -1,
		summary: "Import units from CSV",
		text: "Columns unit_id, property, name, occupancy and labels, by header name, in any order; the first two are required. " +
			"All or nothing: one bad row refuses the file, and errors names line and column of the first 100.",
		body: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{csvType: {Schema: binary}}},
	}, s.importUnits)
	register(s, operation{
		id: "listUnits", method: http.MethodGet, path: "/accounts/{name}/units", tag: tag, role: fleet.RoleViewer,
		summary: "List an account's units by property",
	}, s.listUnits)
	register(s, operation{
		id: "exportUnits", method: http.MethodGet, path: "/accounts/{name}/units/export", tag: tag, role: fleet.RoleViewer, timeout: -1,
		summary: "Export units as CSV",
		text:    "In the form that import reads, ordered by property. Each page of it is one moment of the inventory, the whole is not.",
		out: map[string]*huma.Response{"200": {
			Description: "The units.",
			Content:     map[string]*huma.MediaType{csvType: {Schema: binary}},
		}},
	}, s.exportUnits)
	register(s, operation{
		id: "getUnit", method: http.MethodGet, path: "/units/{unit_id}", tag: tag, role: fleet.RoleViewer,
		summary: "Show a unit, what should be and what was seen on it, and its latest rollouts",
	}, s.getUnit)
}

func (s *server) importUnits(ctx context.Context, in *struct {
	AccountName
	Creating

	CSV    CSVBody
	DryRun bool   `query:"dry_run" doc:"Check the file and count what it would change."`
	Prune  bool   `query:"prune" doc:"Remove the units that the file does not name."`
	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*importOut, error) {
	p := store.ImportParams{DryRun: in.DryRun, Prune: in.Prune, Reason: in.Reason}
	// The store adds the file to the hash: it is known only when it has been read.
	once, err := in.idempotency("importUnits", in.Name, p)
	if err != nil {
		return nil, err
	}
	result, again, err := s.cfg.Units.ImportUnits(ctx, in.Name, in.CSV.reader, p, actor(ctx), once)
	if err != nil {
		return nil, err
	}
	return &importOut{Replay: replayed(again), Body: result}, nil
}

func (s *server) listUnits(ctx context.Context, in *struct {
	AccountName
	Paging

	Select string `query:"select" maxLength:"10000" doc:"A selector, as in fleetctl's --select; all when not given."`
},
) (*unitListOut, error) {
	after, err := decodeCursor[store.UnitCursor](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Units.ListUnits(ctx, in.Name, store.UnitFilter{Selector: in.Select, After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return &unitListOut{Body: newList(items, next)}, nil
}

func (s *server) exportUnits(ctx context.Context, in *struct {
	AccountName

	Select string `query:"select" maxLength:"10000" doc:"A selector, as in fleetctl's --select; all when not given."`
},
) (*huma.StreamResponse, error) {
	// Errors that can be told are told before the first byte leaves.
	if _, _, err := s.cfg.Units.ListUnits(ctx, in.Name, store.UnitFilter{Selector: in.Select, Limit: 1}); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		hctx.SetHeader("Content-Type", csvType+"; charset=utf-8")
		hctx.SetHeader("Content-Disposition", `attachment; filename="units.csv"`)
		w := inventory.NewWriter(hctx.BodyWriter())
		err := s.cfg.Units.ExportUnits(ctx, in.Name, in.Select, func(u store.Unit) error {
			return w.Write(inventory.Row{
				UnitID: u.UnitID, Property: u.Property, Name: u.Name, Occupancy: u.Occupancy, Labels: u.Labels,
			})
		})
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			// The status has left: cutting the connection is the only honest end.
			s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "export broke off",
				slog.String("request_id", requestID(ctx)), slog.Any("error", err))
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

func (s *server) getUnit(ctx context.Context, in *struct {
	UnitID  string `path:"unit_id" maxLength:"255" doc:"The unit's ID."`
	Account string `query:"account" maxLength:"63" doc:"Needed only when several accounts have a unit of this ID."`
},
) (*unitOut, error) {
	unit, err := s.cfg.Units.Unit(ctx, in.UnitID, in.Account)
	if err != nil {
		return nil, err
	}
	return &unitOut{Body: unit}, nil
}
