package jobs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

const (
	waitAtMost = 60 * time.Second // of a machine that has much else to do
	pollEvery  = 20 * time.Millisecond
	skill      = "amzn1.ask.skill.test"
)

// world is a database, a simulated API with its homes imported, and an account.
type world struct {
	t     *testing.T
	pool  *pgxpool.Pool
	store *store.Store
	sim   *simulator.Simulator
	url   string
	by    fleet.Actor
	names atomic.Int32
}

// newWorld makes a world. A zero config of the simulator has 60 homes.
func newWorld(t *testing.T, cfg simulator.Config, change ...func(*store.AccountParams)) *world {
	t.Helper()
	w := newStore(t)
	if cfg.Units == 0 {
		cfg.Units = 60
	}
	cfg.Properties = 3
	w.sim = simulator.New(cfg)
	server := httptest.NewServer(w.sim)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.account("acme", change...)
	var csv bytes.Buffer
	require.NoError(t, w.sim.WriteInventory(&csv))
	_, _, err := w.store.ImportUnits(t.Context(), "acme", &csv, store.ImportParams{}, w.by, store.Idempotency{})
	require.NoError(t, err)
	return w
}

func newStore(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, by: fleet.Actor{Name: "ann", Role: fleet.RoleAdmin}, url: "http://127.0.0.1:1"}
	conf, err := pgxpool.ParseConfig(pgtest.New(t))
	require.NoError(t, err)
	conf.MaxConns = 12
	w.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), conf)
	require.NoError(t, err)
	t.Cleanup(w.pool.Close)
	keys, err := store.NewKeys(bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	w.store = store.New(w.pool, keys)
	return w
}

func (w *world) account(name string, change ...func(*store.AccountParams)) {
	w.t.Helper()
	p := store.AccountParams{
		Name: name, ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret,
		RefreshToken: simulator.DefaultRefreshToken, APIURL: w.url, TokenURL: w.url + "/auth/o2/token", Rate: "1000", Burst: 50,
	}
	for _, f := range change {
		f(&p)
	}
	_, _, err := w.store.CreateAccount(w.t.Context(), p, w.by, store.Idempotency{})
	require.NoError(w.t, err)
}

// runner makes a runner of a process of its own. The test stops it at its end,
// where it has not been stopped before.
func (w *world) runner(change ...func(*RunnerConfig)) *Runner {
	w.t.Helper()
	name := fmt.Sprintf("process-%d", w.names.Add(1))
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	cfg := RunnerConfig{
		Store: w.store, Pool: w.pool, ProcessName: name, MaxInFlight: 16, Logger: log,
		Accounts: AccountsConfig{Store: w.store, BudgetPool: w.pool, MaxInFlight: 16, Logger: log, UserAgent: name},
	}
	for _, f := range change {
		f(&cfg)
	}
	r, err := NewRunner(w.t.Context(), cfg)
	require.NoError(w.t, err)
	return r
}

func (w *world) start() *Runner {
	w.t.Helper()
	r := w.runner()
	require.NoError(w.t, r.Start(w.t.Context()))
	w.t.Cleanup(func() { w.stop(r) })
	return r
}

// stop stops a runner in good order.
func (w *world) stop(r *Runner) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), waitAtMost)
	defer cancel()
	require.NoError(w.t, r.Stop(ctx))
}

func (w *world) create(change ...func(*store.RolloutParams)) store.Rollout {
	w.t.Helper()
	p := store.RolloutParams{Account: "acme", Action: fleet.ActionEnable, SkillID: skill, Selector: "all"}
	for _, f := range change {
		f(&p)
	}
	r, _, err := w.store.CreateRollout(w.t.Context(), p, w.by, store.Idempotency{})
	require.NoError(w.t, err)
	return r
}

func (w *world) rollout(id string) store.Rollout {
	w.t.Helper()
	r, err := w.store.Rollout(w.t.Context(), id)
	require.NoError(w.t, err)
	require.Equal(w.t, r.Targets, r.Counts.Sum(), "counts are conserved")
	return r
}

// until waits until the rollout is as it should be.
func (w *world) until(id, what string, ok func(store.Rollout) bool) store.Rollout {
	w.t.Helper()
	var r store.Rollout
	require.Eventually(w.t, func() bool {
		r = w.rollout(id)
		return ok(r)
	}, waitAtMost, pollEvery, "%s, not %s", what, &r)
	return r
}

func (w *world) untilState(id string, state fleet.RolloutState) store.Rollout {
	w.t.Helper()
	return w.until(id, string(state), func(r store.Rollout) bool { return r.State == state })
}

func (w *world) targets(id string) []store.Target {
	w.t.Helper()
	targets, next, err := w.store.ListTargets(w.t.Context(), id, store.TargetFilter{Limit: store.MaxLimit})
	require.NoError(w.t, err)
	require.Zero(w.t, next)
	return targets
}

// rowID is the row of a rollout.
func (w *world) rowID(id string) (row int64) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), "SELECT id FROM rollouts WHERE key = $1", id).Scan(&row))
	return row
}

func (w *world) accountID(name string) (id int64) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), "SELECT id FROM accounts WHERE name = $1", name).Scan(&id))
	return id
}

func (w *world) exec(sql string, args ...any) int64 {
	w.t.Helper()
	tag, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
	return tag.RowsAffected()
}

// requireTrue compares every outcome with the true state of its home.
func (w *world) requireTrue(id string, action fleet.Action) map[fleet.Reason]int {
	w.t.Helper()
	reasons := map[fleet.Reason]int{}
	for _, target := range w.targets(id) {
		truth := w.sim.State(target.UnitID, skill)
		on := truth.Status == fleet.StatusEnabled && truth.Stage == fleet.StageLive
		reasons[target.Reason]++
		switch {
		case target.State == fleet.TargetSucceeded, target.Reason == fleet.ReasonAlreadyInState:
			require.Equal(w.t, action == fleet.ActionEnable, on, "%s %s: %s", target.State, target.Reason, truth.Status)
		case target.Reason == fleet.ReasonOccupied:
			require.Zero(w.t, truth.Writes, "an occupied home was written to")
		case target.State == fleet.TargetFailed:
			require.False(w.t, on, "failed with %s, and enabled (%s)", target.Reason, truth.Class)
			require.NotEmpty(w.t, target.Message)
		default:
			require.Fail(w.t, "no end", "%+v", target)
		}
		require.True(w.t, target.Attempts > 0 || target.State == fleet.TargetSkipped, "an outcome without an attempt")
	}
	return reasons
}

// requireNoDoubleWrite fails when a home was written to twice without a read in
// between, in all that the API saw.
func (w *world) requireNoDoubleWrite() {
	w.t.Helper()
	require.Zero(w.t, w.sim.Stats().DoubleWrites, "written twice without a read in between")
}
