package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/app"
)

// watched is a log that a test reads while it is written, and that tells of a word.
type watched struct {
	until string
	seen  chan struct{}
	once  sync.Once
	mu    sync.Mutex
	text  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Contains(string(p), w.until) {
		w.once.Do(func() { close(w.seen) })
	}
	return w.text.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// served is the configuration that a command line comes to, and what its logger wrote.
func served(t *testing.T, env map[string]string, args ...string) (cfg app.Config, logged string) {
	t.Helper()
	var log bytes.Buffer
	root := newRoot(variables(env), func(ctx context.Context, c app.Config) error {
		cfg = c
		c.Logger.LogAttrs(ctx, slog.LevelDebug, "quiet")
		c.Logger.LogAttrs(ctx, slog.LevelWarn, "loud")
		return nil
	})
	root.SetErr(&log)
	root.SetArgs(append([]string{"serve"}, args...))
	require.NoError(t, root.ExecuteContext(t.Context()))
	return cfg, log.String()
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg, log := served(t, nil)
	cfg.Logger = nil
	require.Equal(t, app.Config{
		DataDir: ".data", Listen: "127.0.0.1:8080", MaxInFlight: 1000, AuditTimezone: "UTC", ShutdownTimeout: 20 * time.Second, Version: version(),
	}, cfg)
	require.Contains(t, log, "level=WARN msg=loud")
	require.NotContains(t, log, "quiet")
}

// A flag goes before its variable, and that before the default.
func TestFlagsGoBeforeTheEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"FLEETD_DATABASE_URL": "postgres://fleet@127.0.0.1:5432/fleet", "FLEETD_DATA_DIR": "/srv/fleet", "FLEETD_LISTEN": "127.0.0.1:9000",
		"FLEETD_ENCRYPTION_KEY_FILE": "/run/key", "FLEETD_MAX_IN_FLIGHT": "7", "FLEETD_MIGRATE": "false", "FLEETD_SHUTDOWN_TIMEOUT": "3s",
		"FLEETD_LOG_LEVEL": "debug", "FLEETD_LOG_FORMAT": "json", "FLEETD_HELP": "true", "FLEETD_UNKNOWN": "x",
	}
	want := app.Config{
		DatabaseURL: "postgres://fleet@127.0.0.1:5432/fleet", DataDir: "/srv/fleet", Listen: "127.0.0.1:9000",
		EncryptionKeyFile: "/run/key", MaxInFlight: 7, AuditTimezone: "UTC", NoMigrate: true, ShutdownTimeout: 3 * time.Second, Version: version(),
	}

	cfg, log := served(t, env)
	cfg.Logger = nil
	require.Equal(t, want, cfg)
	require.Contains(t, log, `"level":"DEBUG","msg":"quiet"`)

	cfg, log = served(t, env, "--listen", ":9001", "--max-in-flight=8", "--migrate", "--log-level=error", "--shutdown-timeout=1s")
	cfg.Logger = nil
	want.Listen, want.MaxInFlight, want.NoMigrate, want.ShutdownTimeout = ":9001", 8, false, time.Second
	require.Equal(t, want, cfg)
	require.Empty(t, log)
}

func TestAnEmptyVariableIsNotSet(t *testing.T) {
	t.Parallel()
	cfg, _ := served(t, map[string]string{"FLEETD_MAX_IN_FLIGHT": "", "FLEETD_LISTEN": "", "FLEETD_LOG_LEVEL": "", "FLEETD_MIGRATE": ""})
	require.Equal(t, 1000, cfg.MaxInFlight)
	require.Equal(t, "127.0.0.1:8080", cfg.Listen)
	require.False(t, cfg.NoMigrate)
}

// Help names every flag of the contract, and the program beside which it is not.
func TestHelpIsTheWholeSurface(t *testing.T) {
	t.Parallel()
	code, stdout, _ := fleetd(t, nil, "serve", "--help")
	require.Zero(t, code)
	for _, flag := range []string{
		"database-url", "data-dir", "listen", "encryption-key-file", "max-in-flight", "log-level", "log-format", "shutdown-timeout", "migrate",
	} {
		require.Contains(t, stdout, "--"+flag)
	}
	code, stdout, _ = fleetd(t, nil, "--help")
	require.Zero(t, code)
	require.Contains(t, stdout, "unrelated to Fleet Device Management")
	require.Contains(t, stdout, "FLEETD_DATA_DIR")
}
