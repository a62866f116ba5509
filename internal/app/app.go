// Package app builds fleetd out of its parts and runs it: database, keys, work,
// HTTP API, in that order, and stops them in reverse. Tests embed it on port 0.
package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"fleetd/internal/fleet"
	"fleetd/internal/jobs"
	"fleetd/internal/lwa"
	"fleetd/internal/preflight"
	"fleetd/internal/ratelimit"
	"fleetd/internal/remote"
	"fleetd/internal/server"
	"fleetd/internal/store"
	"fleetd/migrations"
)

// App is a running fleetd.
type App struct {
	cfg      Config
	listener net.Listener
	database *Database
	pool     *pgxpool.Pool
	ledger   *pgxpool.Pool
	budgets  *pgxpool.Pool
	store    *store.Store
	runner   *jobs.Runner
	http     *http.Server
	failed   chan error
	ready    chan struct{} // closed while stopping: not ready any more
}

// Start builds everything and begins to work. ctx is that of the start; Stop ends
// what it began. When it fails, whatever it had begun is ended.
func Start(ctx context.Context, cfg Config) (_ *App, err error) {
	cfg = cfg.Default()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	verifier, err := cfg.verifier()
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, failed: make(chan error, 1), ready: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close(context.WithoutCancel(ctx)))
		}
	}()
	lc := net.ListenConfig{}
	if a.listener, err = lc.Listen(ctx, "tcp", cfg.Listen); err != nil {
		return nil, &fleet.Error{
			Code: fleet.CodeUnavailable, Field: "--listen", Err: err,
			Message: fmt.Sprintf("cannot listen on %s: stop what does, or use another address", cfg.Listen),
		}
	}
	if a.database, err = OpenDatabase(ctx, cfg); err != nil {
		return nil, err
	}
	if err = a.database.Migrate(ctx, cfg.NoMigrate); err != nil {
		return nil, err
	}
	if err = a.openStore(ctx); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	if err = a.startWork(ctx, registry); err != nil {
		return nil, err
	}
	handler, err := server.New(server.Config{ //nolint:contextcheck // Each request brings its own.
		Accounts: a.store, Credentials: a.store, Units: a.store, Rollouts: a.store, Desired: a.store, Audits: a.store, Drift: a.store, Tokens: a.store, Log: a.store,
		Events: a.store, Hooks: a.store, Verifier: verifier, EnqueueEvent: a.runner.EnqueueEvent,
		Checker: a.runner, APIs: a.runner.Accounts, Preflights: a.runner, Checks: a.store, Calls: a.store, Catalog: a.runner.Accounts, Logger: cfg.Logger, Registry: registry, Ready: a.isReady, Stopping: a.ready, Version: cfg.Version,
		AuditDefault: a.cfg.auditDefault(),
	})
	if err != nil {
		return nil, err
	}
	a.serve(handler)
	return a, nil
}

func (a *App) openStore(ctx context.Context) error {
	keys, err := loadKeys(a.cfg)
	if err != nil {
		return err
	}
	// A plan kept from when a table was small is ruinous once it holds a million
	// rows; planning anew costs a fraction of a millisecond a group.
	if a.pool, err = a.database.Pool(ctx, "fleetd", 24, map[string]string{"plan_cache_mode": "force_custom_plan"}); err != nil {
		return err
	}
	if a.ledger, err = a.database.Pool(ctx, "fleetd ledger", 4, store.LedgerSettings()); err != nil {
		return err
	}
	// What a budget reserves is worth a few hundred milliseconds: its commits need
	// not wait for the disk.
	if a.budgets, err = a.database.Pool(ctx, "fleetd budgets", 4, map[string]string{"synchronous_commit": "off"}); err != nil {
		return err
	}
	a.store = store.New(a.pool, keys).WithLedger(a.ledger)
	return a.store.CheckKeys(ctx)
}

func (a *App) startWork(ctx context.Context, registry *prometheus.Registry) error {
	name, err := processName()
	if err != nil {
		return err
	}
	a.runner, err = jobs.NewRunner(ctx, jobs.RunnerConfig{
		Store: a.store, Pool: a.pool, ProcessName: name, MaxInFlight: a.cfg.MaxInFlight, Logger: a.cfg.Logger,
		Audits: a.cfg.auditDefault(), Repair: jobs.RepairAfterAudit(a.store, a.preflight, a.cfg.Logger),
		Accounts: jobs.AccountsConfig{
			Store: a.store, BudgetPool: a.budgets, MaxInFlight: a.cfg.MaxInFlight, Logger: a.cfg.Logger,
			Remote: remote.NewMetrics(registry), Tokens: lwa.NewMetrics(registry), Budgets: ratelimit.NewMetrics(registry),
			UserAgent: "fleetd/" + a.cfg.Version,
		},
	})
	if err != nil {
		return err
	}
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newPoolCollector(a.pool),
		newFleetCollector(a.store, a.cfg.Logger),
	)
	return a.runner.Start(ctx)
}

// preflight checks with the runner that is made after what asks.
func (a *App) preflight(ctx context.Context, queries ...preflight.Query) ([]preflight.Report, error) {
	return a.runner.Preflight(ctx, queries...)
}

func (a *App) serve(handler http.Handler) {
	a.http = server.HTTPServer(handler, a.cfg.Logger)
	go func() {
		if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- fmt.Errorf("serve HTTP on %s: %w", a.cfg.Listen, err)
		}
	}()
}

// Addr is the address that the HTTP API listens on.
func (a *App) Addr() string { return a.listener.Addr().String() }

// URL is the base URL of the HTTP API.
func (a *App) URL() string { return "http://" + a.Addr() }

// Store is the store, for commands and tests that run in the same process.
func (a *App) Store() *store.Store { return a.store }

// DatabaseURL is the address of the database.
func (a *App) DatabaseURL() string { return a.database.URL }

// Wait returns when ctx ends, or an error when a part fails before.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.failed:
		return err
	}
}

// Stop ends everything in good order: requests under way are answered, jobs under
// way finish or can be taken up again, and nothing recorded is lost.
func (a *App) Stop(ctx context.Context) error {
	close(a.ready)
	return a.close(ctx)
}

func (a *App) close(ctx context.Context) error {
	soft, cancel := context.WithTimeout(ctx, a.cfg.ShutdownTimeout)
	defer cancel()
	var errs []error
	if a.http != nil {
		if err := a.http.Shutdown(soft); err != nil {
			errs = append(errs, fmt.Errorf("stop the HTTP API: %w", err), a.http.Close())
		}
	} else if a.listener != nil {
		errs = append(errs, a.listener.Close())
	}
	if a.runner != nil {
		if err := a.runner.Stop(soft); err != nil {
			errs = append(errs, fmt.Errorf("stop the work: %w", err))
		}
	}
	for _, pool := range []*pgxpool.Pool{a.pool, a.ledger, a.budgets} {
		if pool != nil {
			pool.Close()
		}
	}
	if a.database != nil {
		if err := a.database.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop the private Postgres: %w", err))
		}
	}
	return errors.Join(errs...)
}

// isReady says whether requests can be served: the database answers and has this
// program's schema, and the process is not stopping.
func (a *App) isReady(ctx context.Context) error {
	select {
	case <-a.ready:
		return errors.New("stopping")
	default:
	}
	if err := a.store.Ping(ctx); err != nil {
		return err
	}
	if n, err := migrations.Pending(ctx, a.database.URL); err != nil || n > 0 {
		return errors.Join(err, fmt.Errorf("%d migrations are missing", n))
	}
	return nil
}

// processName is unique among processes, and tells people where one runs.
func processName() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	b := make([]byte, 6)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("name the process: %w", err)
	}
	return fmt.Sprintf("%.40s-%d-%s", host, os.Getpid(), hex.EncodeToString(b)), nil
}
