// Package migrations holds the database schema as numbered steps and walks a
// database up and down them.
//
// Each step is a SQL file embedded here (00002_fleet.sql and on) or a Go step for
// what is not ours to write as SQL: 00001 is River's own schema, by rivermigrate.
// A SQL step runs in one transaction with the row that records it. An advisory lock
// makes it safe for any number of processes to migrate one database at once: one
// works, the others wait and then find nothing to do.
//
// To add a step: a new file 0000N_words.sql with `-- +goose Up` and `-- +goose
// Down` parts. When River brings a new schema, TestRiverSchemaIsCurrent fails and
// says which Go step to add.
package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed *.sql
var files embed.FS

// Fingerprint changes whenever a step does. Test fixtures use it to know whether a
// database they migrated before still serves.
func Fingerprint() (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "river %d\n", riverVersion)
	entries, err := files.ReadDir(".")
	if err != nil {
		return "", fmt.Errorf("read the embedded migrations: %w", err)
	}
	for _, entry := range entries {
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			return "", fmt.Errorf("read the embedded migrations: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n%s", entry.Name(), len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// versionTable is where goose records what was applied.
const versionTable = "goose_db_version"

// Migration is one step and where a database stands with it.
type Migration struct {
	Version   int64
	Name      string // the file name without number and ending
	Applied   bool
	AppliedAt time.Time // UTC; zero when not applied
}

// NewerError says that a database was migrated by a newer fleetd than this one.
type NewerError struct {
	Database int64 // the newest step applied
	Binary   int64 // the newest step this program knows
}

// Error names both versions and the mend.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the database is at migration %d and this program knows only up to %d: "+
		"run the newer fleetd that migrated it, or have that one go down to %d first (`fleetd migrate down --to %d`)",
		e.Database, e.Binary, e.Binary, e.Binary)
}

// Up applies every step that the database at databaseURL lacks, in order. It
// returns *NewerError, having changed nothing, when the database is ahead.
func Up(ctx context.Context, databaseURL string) error {
	return run(ctx, databaseURL, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
}

// DownTo takes back every applied step above version, newest first; 0 takes back
// all of them, and all data with them. It returns *NewerError, having changed
// nothing, when the database is ahead of this program.
func DownTo(ctx context.Context, databaseURL string, version int64) error {
	if version < 0 {
		return fmt.Errorf("migrate down to %d: a version is 0 or more", version)
	}
	return run(ctx, databaseURL, func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, version)
		return err
	})
}

// Status lists every step this program knows, in order, and what the database has
// of it. It changes nothing. A database that is ahead is a *NewerError beside the
// full list.
func Status(ctx context.Context, databaseURL string) ([]Migration, error) {
	db, p, err := open(databaseURL)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	applied, err := appliedVersions(ctx, db)
	if err != nil {
		return nil, err
	}
	sources := p.ListSources()
	list := make([]Migration, 0, len(sources))
	for _, s := range sources {
		at, ok := applied[s.Version]
		list = append(list, Migration{Version: s.Version, Name: name(s.Path), Applied: ok, AppliedAt: at})
	}
	return list, newer(applied, sources)
}

// Pending counts the steps that Up would apply. It changes nothing, and returns
// *NewerError when the database is ahead.
func Pending(ctx context.Context, databaseURL string) (int, error) {
	list, err := Status(ctx, databaseURL)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, m := range list {
		if !m.Applied {
			n++
		}
	}
	return n, nil
}

// run opens the database and, under the lock, checks that it is not ahead and
// calls f.
func run(ctx context.Context, databaseURL string, f func(p *goose.Provider) error) error {
	db, p, err := open(databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	// The check stands before the lock: only a newer program can make the database
	// newer, and it would do so under its own lock a moment later just as well.
	applied, err := appliedVersions(ctx, db)
	if err != nil {
		return err
	}
	if err := newer(applied, p.ListSources()); err != nil {
		return err
	}
	if err := f(p); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// open makes a handle on the database, whose first query connects, and a provider
// that knows every step, SQL and Go.
func open(databaseURL string) (*sql.DB, *goose.Provider, error) {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, nil, fmt.Errorf("parse the database URL: %w", err) // pgx leaves the password out
	}
	cfg.MaxConns = 2
	// goose keeps its times without a zone; this makes them UTC whatever the server says.
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.RuntimeParams["application_name"] = "fleetd migrate"
	db := stdlib.OpenDB(*cfg.ConnConfig)
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithGoMigrations(riverMigration(cfg)),
		goose.WithSessionLocker(advisoryLock{}),
		goose.WithDisableGlobalRegistry(true),
	)
	if err != nil {
		_ = db.Close()
		return nil, nil, fmt.Errorf("read the embedded migrations: %w", err)
	}
	return db, p, nil
}

// appliedVersions reads what was applied and when, without making goose's table:
// looking changes nothing.
func appliedVersions(ctx context.Context, db *sql.DB) (map[int64]time.Time, error) {
	var exists bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, versionTable).Scan(&exists); err != nil {
		return nil, fmt.Errorf("read the applied migrations: %w", err)
	}
	applied := map[int64]time.Time{}
	if !exists {
		return applied, nil
	}
	rows, err := db.QueryContext(ctx, `
		SELECT version_id, max(tstamp) AT TIME ZONE 'UTC'
		FROM `+versionTable+`
		WHERE is_applied AND version_id > 0
		GROUP BY version_id`)
	if err != nil {
		return nil, fmt.Errorf("read the applied migrations: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var version int64
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, fmt.Errorf("read the applied migrations: %w", err)
		}
		applied[version] = at.UTC()
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the applied migrations: %w", err)
	}
	return applied, nil
}

// newer compares the newest applied step with the newest known one.
func newer(applied map[int64]time.Time, sources []*goose.Source) error {
	known := slices.MaxFunc(sources, func(a, b *goose.Source) int { return int(a.Version - b.Version) }).Version
	for version := range applied {
		if version > known {
			return &NewerError{Database: maxVersion(applied), Binary: known}
		}
	}
	return nil
}

func maxVersion(applied map[int64]time.Time) int64 {
	var newest int64
	for version := range applied {
		newest = max(newest, version)
	}
	return newest
}

// name is the words of a file name: "fleet" of "00002_fleet.sql". River's step has
// no file.
func name(file string) string {
	if file == "" {
		return "river"
	}
	base := path.Base(file)
	base = strings.TrimSuffix(base, path.Ext(base))
	if _, words, ok := strings.Cut(base, "_"); ok {
		return words
	}
	return base
}
