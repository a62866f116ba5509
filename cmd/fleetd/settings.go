package main

import (
	"errors"
	"io"
	"log/slog"
	"strconv"
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

// variable marks the flags whose value came from the environment.
const variable = "environment"

// fromEnvironment sets the flags that were not given from their environment names. An
// empty variable is one that is not set.
func fromEnvironment(flags *pflag.FlagSet, env environment) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := environmentName(f.Name)
		value, _ := env(name)
		if err != nil || f.Changed || value == "" || f.Name == "help" {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil {
			err = &usageError{valueError(name, f, value, setErr)}
			return
		}
		err = flags.SetAnnotation(f.Name, variable, []string{name})
	})
	return err
}

// nameVariable makes an error about a flag one about the variable behind it, where
// that is what the value came from.
func nameVariable(flags *pflag.FlagSet, e *fleet.Error) {
	name, isFlag := strings.CutPrefix(e.Field, "--")
	if f := flags.Lookup(name); isFlag && f != nil && len(f.Annotations[variable]) > 0 {
		e.Field = environmentName(name)
	}
}

// plainFlagError says what is expected where a flag cannot take its value.
func plainFlagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	f := invalid.GetFlag()
	return valueError("--"+f.Name, f, invalid.GetValue(), err)
}

// valueError is about a value that is not of the flag's type; where names the flag or
// the variable.
func valueError(where string, f *pflag.Flag, value string, err error) error {
	switch kind := f.Value.Type(); {
	case errors.Is(err, strconv.ErrRange):
		return fleet.Invalidf(where, "%.60q is out of range", value)
	case kind == "bool":
		return fleet.Invalidf(where, "%.60q is neither true nor false", value)
	case kind == "duration":
		return fleet.Invalidf(where, "%.60q is no duration: use one such as 30s or 2h", value)
	case strings.HasPrefix(kind, "int"):
		return fleet.Invalidf(where, "%.60q is no whole number: use one such as %s", value, f.DefValue)
	}
	return fleet.Invalidf(where, "%.60q cannot be used: %s", value, f.Usage)
}
