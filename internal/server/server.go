package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// Config is what the API stands on. Every field is required unless it says otherwise.
type Config struct {
	Accounts    AccountStore
	Credentials CredentialStore
	Units       UnitStore
	Rollouts    RolloutStore
	Desired     DesiredStore
	Audits      AuditStore
	Drift       DriftStore
	Tokens      TokenStore
	Log         LogStore
	Checker     AccountChecker
	APIs        APIs
	Preflights  Preflights
	Checks      PreflightStore
	Events      EventStore
	Hooks       HookStore
	// Verifier judges what comes to the event hooks, and EnqueueEvent gives an event its job.
	Verifier     MessageVerifier
	EnqueueEvent store.EventEnqueue
	Calls        CallStore

	// Logger gets one line for each request that changed something or failed.
	Logger *slog.Logger
	// Registry is what /metrics shows.
	Registry *prometheus.Registry
	// Ready says whether requests can be served now: the database answers and its
	// schema is this program's. Nil: always ready.
	Ready func(context.Context) error
	// Stopping is closed when the process stops: whoever waits for something is told how
	// it stands. Nil: never.
	Stopping <-chan struct{}
	// Catalog tells of skills that fleetd has not met yet; nil: nobody can tell.
	Catalog SkillCatalog
	// AuditDefault is the schedule of accounts that have none of their own.
	AuditDefault store.AuditDefault
	// Version is what /api/v1/version says.
	Version string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// The bounds of what one client may make the server hold.
const (
	headerTimeout = 10 * time.Second // for the whole header of a request
	idleTimeout   = 2 * time.Minute  // between two requests of one connection
	stallTimeout  = 30 * time.Second // for any one read of a body or write of an answer
	readyTimeout  = 2 * time.Second
	maxHeader     = 64 << 10 // bytes

	maxBody      = 1 << 20  // bytes of JSON
	maxBodyUnits = 64 << 20 // bytes of JSON that names units one by one

	callTimeout    = 30 * time.Second // for an ordinary call
	listTimeout    = time.Minute      // for a list that takes many requests of an API
	rolloutTimeout = 5 * time.Minute  // for a plan or a rollout over a million units
)

// server is the handlers and what they share.
type server struct {
	cfg Config
	api huma.API
}

// New makes the handler of everything fleetd serves over HTTP but the dashboard. It
// fails only when cfg is not whole.
func New(cfg Config) (http.Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	s := newServer(cfg, mux)
	spec, err := s.spec()
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(spec) // The client has gone when this fails.
	})
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("POST "+store.EventHookPath("{account}"), newHooks(s.cfg))
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{Registry: cfg.Registry}))
	return s.outer(mux), nil
}

// HTTPServer makes the http.Server that serves h: bounded in header, in idle time
// and in the time one read or write may take, and not in how long an export lasts.
func HTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

func (c *Config) validate() error {
	switch {
	case c.Accounts == nil, c.Credentials == nil, c.Units == nil, c.Rollouts == nil, c.Desired == nil, c.Audits == nil, c.Drift == nil, c.Tokens == nil, c.Log == nil, c.Checker == nil, c.APIs == nil, c.Preflights == nil, c.Checks == nil, c.Calls == nil,
		c.Events == nil, c.Hooks == nil, c.Verifier == nil, c.EnqueueEvent == nil:
		return errors.New("server: a store, the account checker, the clients of the APIs or what event hooks need is missing from the configuration")
	case c.Logger == nil:
		return errors.New("server: the configuration has no logger")
	case c.Registry == nil:
		return errors.New("server: the configuration has no metrics registry")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	return nil
}

// newServer registers every operation of the API on mux.
func newServer(cfg Config, mux humago.Mux) *server {
	s := &server{cfg: cfg}
	s.api = humago.New(mux, apiConfig(cfg.Version))
	s.registerAccounts()
	s.registerCredentials()
	s.registerPreflights()
	s.registerUnits()
	s.registerRollouts()
	s.registerRollbacks()
	s.registerAudits()
	s.registerDrift()
	s.registerDesired()
	s.registerEvents()
	s.registerSkills()
	s.registerEnablement()
	s.registerSubscribers()
	s.registerTokens()
	s.registerLog()
	s.registerVersion()
	return s
}

// healthz says that the process runs; nothing it depends on is asked.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // The client has gone when this fails.
}

// readyz says whether requests can be served now.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.cfg.Ready(ctx); err != nil {
		if known := new(fleet.Error); !errors.As(err, &known) {
			err = &fleet.Error{Code: fleet.CodeUnavailable, Message: "fleetd cannot serve requests yet; its log says why", Err: err}
		}
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.Any("error", err))
		p := problemOf(r.Context(), err)
		p.Status, p.Title = http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable)
		writeProblem(w, p)
		return
	}
	s.healthz(w, r)
}
