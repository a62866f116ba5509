package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"fleetd/internal/fleet"
)

type requestIDKey struct{}

// requestID names the request in the log and in problem documents.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// outer is what happens to every request: it gets an ID, its reads and writes may
// not stall, a panic becomes a 500, and what no route takes becomes a problem
// document. Requests that change something, or fail, leave a line in the log.
func (s *server) outer(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := s.cfg.Now()
		id := rand.Text()
		ctx := context.WithValue(r.Context(), requestIDKey{}, id)
		r = r.WithContext(ctx)
		w := &writer{ResponseWriter: rw, control: http.NewResponseController(rw)}
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &reader{body: r.Body, control: w.control}
		}
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares the value itself.
					panic(v)
				}
				s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "request panicked",
					slog.String("request_id", id), slog.String("panic", fmt.Sprintf("%.500v", v)), slog.String("stack", string(debug.Stack())))
				if w.status == 0 {
					writeProblem(w, problemOf(ctx, &fleet.Error{Code: fleet.CodeInternal}))
				}
			}
			s.logRequest(ctx, r, w, s.cfg.Now().Sub(start))
		}()
		handler, pattern := mux.Handler(r)
		if pattern == "" {
			s.noRoute(w, r, handler)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *server) logRequest(ctx context.Context, r *http.Request, w *writer, took time.Duration) {
	level := slog.LevelDebug
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		level = slog.LevelInfo
	}
	s.cfg.Logger.LogAttrs(ctx, level, "request",
		slog.String("request_id", requestID(ctx)),
		slog.String("method", r.Method),
		slog.String("route", r.Pattern),
		slog.Int("status", w.status),
		slog.Duration("took", took))
}

// noRoute answers what the mux has no route for: 404, or 405 with the methods
// that would do.
func (s *server) noRoute(w http.ResponseWriter, r *http.Request, refusal http.Handler) {
	probe := &probe{header: http.Header{}}
	refusal.ServeHTTP(probe, r)
	p := &Problem{
		Type: "about:blank", Status: http.StatusNotFound, Code: fleet.CodeNotFound, RequestID: requestID(r.Context()),
		Detail: "there is nothing at this path; /openapi.json lists what there is",
	}
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.header.Get("Allow")
		w.Header().Set("Allow", allow)
		p.Status, p.Code = http.StatusMethodNotAllowed, fleet.CodeInvalid
		p.Detail = "this path does not take " + r.Method + "; it takes " + allow
	}
	p.Title = http.StatusText(p.Status)
	writeProblem(w, p)
}

// probe is a ResponseWriter that keeps the status and the header only.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
func (p *probe) WriteHeader(status int)      { p.status = status }

// writer remembers the status and gives each write its own deadline, so that an
// export may last as long as somebody reads it, and no longer.
type writer struct {
	http.ResponseWriter

	control *http.ResponseController
	status  int
}

// WriteHeader remembers the status.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends b within stallTimeout.
func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	// Test recorders have no deadlines, and need none.
	_ = w.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// reader gives each read of a body its own deadline and takes it back, so that a
// stalled upload ends and a long handler after a short body does not: net/http
// cancels the context of a request whose connection passes a read deadline.
type reader struct {
	body    io.ReadCloser
	control *http.ResponseController
	until   time.Time // of the body as a whole; zero: no bound
}

// Read reads within stallTimeout.
func (r *reader) Read(b []byte) (int, error) {
	// Test recorders have no deadlines, and need none.
	deadline := time.Now().Add(stallTimeout)
	if !r.until.IsZero() && r.until.Before(deadline) {
		deadline = r.until
	}
	_ = r.control.SetReadDeadline(deadline)
	n, err := r.body.Read(b)
	_ = r.control.SetReadDeadline(time.Time{})
	return n, err //nolint:wrapcheck // io.EOF must stay io.EOF.
}

// Close closes the body.
func (r *reader) Close() error { return r.body.Close() }
