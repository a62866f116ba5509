package app_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/store"
)

func config(t *testing.T) app.Config {
	t.Helper()
	return app.Config{DatabaseURL: pgtest.New(t), DataDir: t.TempDir(), Listen: "127.0.0.1:0", ShutdownTimeout: 10 * time.Second}
}

func start(t *testing.T, cfg app.Config) *app.App {
	t.Helper()
	a, err := app.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Stop(context.WithoutCancel(t.Context()))) })
	return a
}

// refused starts what cannot start, and returns what a person is told.
func refused(t *testing.T, cfg app.Config) *fleet.Error {
	t.Helper()
	a, err := app.Start(t.Context(), cfg)
	require.Nil(t, a)
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	return e
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(text)
}

func TestStartServesAndStopEndsIt(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	a, err := app.Start(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, "http://"+a.Addr(), a.URL())
	require.Equal(t, cfg.DatabaseURL, a.DatabaseURL())
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json"} {
		status, body := get(t, a.URL()+path)
		require.Equal(t, http.StatusOK, status, "%s: %s", path, body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, a.Wait(ctx))

	require.NoError(t, a.Stop(t.Context()))

	dialer := net.Dialer{}
	_, err = dialer.DialContext(t.Context(), "tcp", a.Addr())
	require.Error(t, err, "nothing listens any more")
	file, err := os.Stat(filepath.Join(cfg.DataDir, "encryption.key"))
	require.NoError(t, err, "a key was made, and is kept for the next start")
	require.Equal(t, os.FileMode(0o600), file.Mode().Perm())
	start(t, cfg)
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	t.Run("an address in use", func(t *testing.T) {
		t.Parallel()
		cfg := config(t)
		taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer taken.Close()
		cfg.Listen = taken.Addr().String()
		e := refused(t, cfg)
		require.Equal(t, "--listen", e.Field)
		require.Contains(t, e.Message, "cannot listen on "+cfg.Listen)
	})
	t.Run("a database that is away", func(t *testing.T) {
		t.Parallel()
		cfg := config(t)
		cfg.DatabaseURL = "postgres://u:hunter2@127.0.0.1:1/x"
		e := refused(t, cfg)
		require.Equal(t, fleet.CodeUnavailable, e.Code)
		require.Contains(t, e.Message, `database "x" at 127.0.0.1:1 as user "u" cannot be used`)
		require.NotContains(t, e.Error(), "hunter2")
	})
	t.Run("an old database that it may not migrate", func(t *testing.T) {
		t.Parallel()
		cfg := config(t)
		cfg.DatabaseURL, cfg.NoMigrate = pgtest.Empty(t), true
		e := refused(t, cfg)
		require.Equal(t, fleet.CodeConflict, e.Code)
		require.Contains(t, e.Message, "fleetd migrate up")
	})
	t.Run("another key than the database's", func(t *testing.T) {
		t.Parallel()
		cfg := config(t)
		start(t, cfg)
		cfg.DataDir = t.TempDir()
		e := refused(t, cfg)
		require.Contains(t, e.Error(), "key")
	})
	t.Run("a named key that is not there", func(t *testing.T) {
		t.Parallel()
		cfg := config(t)
		cfg.EncryptionKeyFile = filepath.Join(t.TempDir(), "none")
		a, err := app.Start(t.Context(), cfg)
		require.Nil(t, a)
		require.ErrorContains(t, err, cfg.EncryptionKeyFile)
	})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, app.Config{}.Default().Validate())
	for name, c := range map[string]struct {
		change func(*app.Config)
		field  string
	}{
		"a listen address without a port": {func(c *app.Config) { c.Listen = "localhost" }, "--listen"},
		"too many at once":                {func(c *app.Config) { c.MaxInFlight = 10_001 }, "--max-in-flight"},
		"fewer than one at once":          {func(c *app.Config) { c.MaxInFlight = -1 }, "--max-in-flight"},
		"a negative timeout":              {func(c *app.Config) { c.ShutdownTimeout = -1 }, "--shutdown-timeout"},
		"a database that is none":         {func(c *app.Config) { c.DatabaseURL = "postgres://u:hunter2@h:port/x" }, "--database-url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := app.Config{}.Default()
			c.change(&cfg)
			err := cfg.Validate()
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.Equal(t, c.field, e.Field)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// What can be watched is there from the first scrape, at zero: an alert on a metric
// that is not there stays silent.
func TestMetricsAreThereAtZero(t *testing.T) {
	t.Parallel()
	a := start(t, config(t))
	by := fleet.Actor{Name: "ann", Role: fleet.RoleAdmin}
	for _, name := range []string{"acme", "zenith"} {
		_, _, err := a.Store().CreateAccount(t.Context(), store.AccountParams{
			Name: name, ClientID: "c", ClientSecret: "s", RefreshToken: "r", APIURL: "http://127.0.0.1:1", TokenURL: "http://127.0.0.1:1/token",
		}, by, store.Idempotency{})
		require.NoError(t, err)
	}
	values := scrape(t, a)
	for _, account := range []string{"acme", "zenith"} {
		for _, state := range fleet.TargetStates() {
			require.Contains(t, values, `fleet_rollout_targets{account="`+account+`",state="`+string(state)+`"}`)
		}
	}
	for _, queue := range []string{"account_1", "account_2"} {
		for _, state := range store.OpenJobStates() {
			require.Contains(t, values, `fleet_queue_jobs{queue="`+queue+`",state="`+state+`"}`)
		}
	}
	for _, state := range fleet.RolloutStates() {
		require.Contains(t, values, `fleet_rollouts{state="`+string(state)+`"}`)
	}
	for series, v := range values {
		require.Zero(t, v, series)
	}
	n := len(values)
	require.Equal(t, 2*len(fleet.TargetStates())+2*len(store.OpenJobStates())+len(fleet.RolloutStates()), n, "and nothing else")

	// A rollout adds values and no series; its account, when it is deleted, takes its own away.
	_, _, err := a.Store().ImportUnits(t.Context(), "acme", bytes.NewReader([]byte("unit_id,property\nu1,p\nu2,p\n")), store.ImportParams{}, by, store.Idempotency{})
	require.NoError(t, err)
	_, _, err = a.Store().CreateRollout(t.Context(), store.RolloutParams{
		Account: "acme", Action: fleet.ActionEnable, SkillID: "amzn1.ask.skill.x", Selector: "all", StartAt: time.Now().Add(time.Hour),
	}, by, store.Idempotency{})
	require.NoError(t, err)
	require.NoError(t, a.Store().DeleteAccount(t.Context(), "zenith", false, "", by))
	values = scrape(t, a)
	require.InDelta(t, 2, values[`fleet_rollout_targets{account="acme",state="pending"}`], 0)
	require.InDelta(t, 1, values[`fleet_rollouts{state="scheduled"}`], 0)
	require.Len(t, values, n-len(fleet.TargetStates())-len(store.OpenJobStates()))
}

// scrape returns what /metrics shows of rollouts and queues, by series.
func scrape(t *testing.T, a *app.App) map[string]float64 {
	t.Helper()
	status, body := get(t, a.URL()+"/metrics")
	require.Equal(t, http.StatusOK, status, body)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	require.NoError(t, err)
	values := map[string]float64{}
	for _, name := range []string{"fleet_rollout_targets", "fleet_queue_jobs", "fleet_rollouts"} {
		require.Contains(t, families, name)
		for _, m := range families[name].GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+`="`+l.GetValue()+`"`)
			}
			values[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue()
		}
	}
	return values
}
