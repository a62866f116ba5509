package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres"
	"fleetd/internal/store"
	"fleetd/migrations"
)

// connectTimeout bounds the first connection to a database that does not answer.
const connectTimeout = 10 * time.Second

// Database is the database a command works with: the one that was named, or the
// private one, started for as long as the command runs.
type Database struct {
	URL     string
	private *postgres.Server
}

// OpenDatabase finds the database of a config and sees that it answers.
func OpenDatabase(ctx context.Context, cfg Config) (*Database, error) {
	d := &Database{URL: cfg.DatabaseURL}
	if cfg.DatabaseURL == "" {
		server, err := postgres.Start(ctx, postgres.Config{DataDir: cfg.DataDir, Logger: cfg.Logger})
		if err != nil {
			return nil, fmt.Errorf("start the private Postgres in %s (name another with --data-dir, or a database with --database-url): %w", cfg.DataDir, err)
		}
		d.private, d.URL = server, server.URL()
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	pool, err := pgxpool.New(ctx, d.URL)
	if err == nil {
		err = pool.Ping(ctx)
		pool.Close()
	}
	if err != nil {
		return nil, errors.Join(databaseError(cfg.DatabaseURL, err), d.Close(context.WithoutCancel(ctx)))
	}
	return d, nil
}

// Migrate brings the schema up to date, or with check only says whether it is.
func (d *Database) Migrate(ctx context.Context, check bool) error {
	if !check {
		return migrations.Up(ctx, d.URL)
	}
	n, err := migrations.Pending(ctx, d.URL)
	if err != nil {
		return err
	}
	if n > 0 {
		return &fleet.Error{
			Code: fleet.CodeConflict, Field: "--migrate",
			Message: fmt.Sprintf("the database is old: %d migrations are missing; run `fleetd migrate up`, or start without --migrate=false", n),
		}
	}
	return nil
}

// Pool opens a pool of connections. settings are run-time parameters of Postgres.
func (d *Database) Pool(ctx context.Context, name string, most int32, settings map[string]string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(d.URL)
	if err != nil {
		return nil, databaseError(d.URL, err)
	}
	cfg.MaxConns = most
	cfg.ConnConfig.RuntimeParams["application_name"] = name
	maps.Copy(cfg.ConnConfig.RuntimeParams, settings)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, databaseError(d.URL, err)
	}
	return pool, nil
}

// Close ends the private Postgres, if it was started here.
func (d *Database) Close(ctx context.Context) error {
	if d.private == nil {
		return nil
	}
	return d.private.Stop(ctx)
}

// loadKeys reads the encryption key. One that was not named is made on first use.
func loadKeys(cfg Config) (*store.Keys, error) {
	file := cfg.keyFile()
	if cfg.EncryptionKeyFile == "" {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
				return nil, fmt.Errorf("make the data folder (--data-dir): %w", err)
			}
			keys, err := store.GenerateKeyFile(file)
			if err == nil || !errors.Is(err, os.ErrExist) {
				return keys, err
			}
		}
	}
	return store.LoadKeys(file)
}
