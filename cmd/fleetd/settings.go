package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
)

// settings are the flags of the commands that open the database.
type settings struct {
	app       app.Config
	logLevel  string
	logFormat string
}

func (s *settings) databaseFlags(f *pflag.FlagSet) {
	f.StringVar(&s.app.DatabaseURL, "database-url", "", "Postgres to work with, such as postgres://user@host/db (empty: a private one in --data-dir)")
	f.StringVar(&s.app.DataDir, "data-dir", app.DefaultDataDir, "folder of the private Postgres and of a key that was not named")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
}

// config is the settings checked, with a logger that writes to w.
func (s *settings) config(w io.Writer) (app.Config, error) {
	var level slog.Level
	switch s.logLevel {
	case "debug", "info", "warn", "error":
		_ = level.UnmarshalText([]byte(s.logLevel)) // one of the four always parses
	default:
		return app.Config{}, fleet.Invalidf("--log-level", "%q is no level: use debug, info, warn or error", s.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	cfg := s.app
	cfg.Version = version()
	switch s.logFormat {
	case "text":
		cfg.Logger = slog.New(slog.NewTextHandler(w, opts))
	case "json":
		cfg.Logger = slog.New(slog.NewJSONHandler(w, opts))
	default:
		return app.Config{}, fleet.Invalidf("--log-format", "%q is no format: use text or json", s.logFormat)
	}
	return cfg, cfg.Default().Validate()
}

// environmentName is the name behind a flag: --data-dir is FLEETD_DATA_DIR.
func environmentName(flag string) string {
	return "FLEETD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that were not given from their environment names.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		value, ok := lookup(environmentName(f.Name))
		if err != nil || f.Changed || !ok || f.Name == "help" {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil {
			err = &usageError{fmt.Errorf("%s: %w", environmentName(f.Name), setErr)}
		}
	})
	return err
}
