package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"fleetd/internal/apis"
	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
	"fleetd/internal/store"
)

// APIs gives the clients that an account's credentials open beside unit management.
// An account without the credential is a conflict that says how to set it.
type APIs interface {
	Developer(ctx context.Context, account string) (*apis.Developer, error)
	Customer(ctx context.Context, account string) (*apis.Customer, error)
}

// recordTimeout bounds how long a write that was done waits to be logged.
const recordTimeout = 5 * time.Second

// writing is the context of a write to an API. It goes on when the client goes away:
// a write that is broken off is a write in doubt.
func writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
}

// record logs a write to an API that was done, or may have been, and returns err. A
// write that the API refused is not logged. The log and the API share no transaction:
// where the log cannot be written, the entry goes to the process's own, and the caller
// is told what the API did.
func (s *server) record(ctx context.Context, action, object, reason string, detail map[string]any, err error) error {
	var api *remote.Error
	inDoubt := errors.As(err, &api) && api.MaybeSent()
	if err != nil && !inDoubt {
		return err
	}
	if inDoubt {
		detail = maps.Clone(detail)
		if detail == nil {
			detail = map[string]any{}
		}
		detail["outcome"] = string(fleet.CodeInDoubt)
	}
	by := actor(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	failed := s.cfg.Log.Record(ctx, store.LogEntry{
		Actor: by.Name, Role: string(by.Role), Action: action, Object: object, Reason: reason, Detail: detail,
	})
	if failed != nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "a write to an API was not recorded in the log",
			slog.String("request_id", requestID(ctx)), slog.String("actor", by.Name), slog.String("action", action),
			slog.String("object", object), slog.String("reason", reason), slog.Any("error", failed))
	}
	return err
}

// CallStore remembers the creating calls of APIs by their Idempotency-Key.
type CallStore interface {
	BeginCall(ctx context.Context, by fleet.Actor, k store.Idempotency) (object string, err error)
	EndCall(ctx context.Context, by fleet.Actor, k store.Idempotency, object string) error
}

// createOnce makes a call that creates something through an API, once for each
// Idempotency-Key, and returns the ID of what it created; again says that an earlier
// call did. A call whose end is not known keeps its key, so that none repeats it.
func (s *server) createOnce(ctx context.Context, once store.Idempotency, create func() (id string, err error)) (id string, again bool, err error) {
	by := actor(ctx)
	if id, err = s.cfg.Calls.BeginCall(ctx, by, once); err != nil || id != "" {
		return id, err == nil, err
	}
	id, err = create()
	var api *remote.Error
	if errors.As(err, &api) && api.MaybeSent() {
		return "", false, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if failed := s.cfg.Calls.EndCall(ctx, by, once, id); failed != nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the end of a call to an API was not recorded",
			slog.String("request_id", requestID(ctx)), slog.String("created", id), slog.Any("error", failed))
	}
	return id, false, err
}

// apiError finds the error of an API call, nil where fleetd's own judgment stands
// before it: an error of fleet that wraps it, or that stopped it before it was sent.
func apiError(err error) *remote.Error {
	var (
		e     *remote.Error
		known *fleet.Error
	)
	switch {
	case !errors.As(err, &e):
		return nil
	case !errors.As(err, &known), errors.Is(e.Err, remote.ErrUnreadable):
		return e
	case e.Refused, errors.Is(known, e):
		return nil
	}
	return e
}

// fill makes the problem of a failed API call. Statuses that mean the same here stay;
// a refusal of fleetd's own credential is a conflict, for the caller's is in order.
func (p *Problem) fill(e *remote.Error) {
	p.Detail = e.Error()
	switch {
	case e.MaybeSent():
		p.Status, p.Code = http.StatusBadGateway, fleet.CodeInDoubt
	case refusedCredential(e):
		p.Status, p.Code = http.StatusConflict, fleet.CodeConflict
	case e.Throttled():
		p.Status, p.Code, p.retryAfter = http.StatusServiceUnavailable, fleet.CodeUnavailable, max(e.RetryAfter, time.Second)
		p.Detail = later(p.Detail)
	case e.Temporary():
		p.Status, p.Code, p.retryAfter = http.StatusServiceUnavailable, fleet.CodeUnavailable, e.RetryAfter
		p.Detail = later(p.Detail)
	case e.Status == http.StatusBadRequest, e.Status == http.StatusUnprocessableEntity, e.Status == http.StatusRequestEntityTooLarge:
		p.Status, p.Code = http.StatusUnprocessableEntity, fleet.CodeInvalid
	case e.Status == http.StatusNotFound:
		p.Status, p.Code = http.StatusNotFound, fleet.CodeNotFound
	case e.Status == http.StatusPreconditionFailed:
		p.Status, p.Code = http.StatusPreconditionFailed, fleet.CodeConflict
	case e.Status == 0:
		p.Status, p.Code, p.Detail = http.StatusInternalServerError, fleet.CodeInternal, internalDetail
	default: // 401, 403, 409, and what else it said of the state of things
		p.Status, p.Code = http.StatusConflict, fleet.CodeConflict
	}
	p.Errors = spoken(e)
	p.Title = http.StatusText(p.Status)
}

// later says that the call may go well later, where that is not said.
func later(detail string) string {
	if strings.Contains(detail, "try again") {
		return detail
	}
	return detail + "; try again later"
}

// spoken is what the API said, in its own words. Those of the residential API are, by
// its terms, for the log alone.
func spoken(e *remote.Error) []ProblemDetail {
	if e.API == residential.API {
		return nil
	}
	said := []string{e.Detail}
	if len(e.Violations) > 0 {
		said = e.Violations
		if !strings.Contains(strings.Join(said, "\n"), e.Message) { // else it is the first of them
			said = append([]string{e.Message}, said...)
		}
	}
	var all []ProblemDetail
	for _, words := range said {
		if words != "" && !e.HTML {
			all = append(all, ProblemDetail{Message: words})
		}
	}
	return all
}

// refusedCredential reports whether Login with Amazon gave no token for good.
func refusedCredential(e *remote.Error) bool {
	var refused *lwa.UnauthorizedError
	return errors.As(e, &refused)
}
