package server

import (
	"context"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// LogStore is what the log operation needs, and what writes to an API are recorded in.
type LogStore interface {
	ListLog(ctx context.Context, f store.LogFilter) ([]store.LogEntry, int64, error)
	Record(ctx context.Context, e store.LogEntry) error
}

type logListOut struct{ Body *list[store.LogEntry] }

func (s *server) registerLog() {
	register(s, operation{
		id: "listLog", method: http.MethodGet, path: "/log", tag: "log", role: fleet.RoleViewer,
		summary: "List who did what and why, newest first",
	}, s.listLog)
}

func (s *server) listLog(ctx context.Context, in *struct {
	Paging

	Actor  string `query:"actor" maxLength:"100" doc:"Only what this token did."`
	Action string `query:"action" maxLength:"100" doc:"Only this: rollout.pause."`
	Object string `query:"object" maxLength:"300" doc:"Only what was done to this: rollout/ID, account/NAME."`
},
) (*logListOut, error) {
	before, err := decodeCursor[int64](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Log.ListLog(ctx, store.LogFilter{
		Actor: in.Actor, Action: in.Action, Object: in.Object, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return &logListOut{Body: newList(items, next)}, nil
}
