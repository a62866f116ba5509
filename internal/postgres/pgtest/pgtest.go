// Package pgtest gives each test a database of its own on a real Postgres, never a
// skip.
//
// The server is the first of these that there is:
//
//   - the one at FLEET_TEST_DATABASE_URL, whose role must be able to create
//     databases and roles;
//   - one in Docker, by testcontainers-go, where a Docker daemon answers; the image
//     is FLEET_TEST_POSTGRES_IMAGE or postgres:17-alpine;
//   - a private one from the installed binaries (package postgres), one a test
//     binary, which ends with the binary and leaves nothing behind.
//
// The first database of a server is migrated and kept as a template; each test gets
// a copy of it in some tens of milliseconds, which is dropped after it. The copy of
// a failed test stays for a look where the server outlives the tests.
package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of database/sql, which pgtestdb speaks
	"github.com/peterldowns/pgtestdb"

	"fleetd/migrations"
)

// urlVar names the environment variable with the address of a server to use.
const urlVar = "FLEET_TEST_DATABASE_URL"

// New makes a migrated database for tb alone and returns its URL. It is dropped
// when tb ends, connections or not.
func New(tb testing.TB) string {
	tb.Helper()
	return create(tb, migrator{})
}

// Empty makes a database without any schema for tb alone and returns its URL.
func Empty(tb testing.TB) string {
	tb.Helper()
	return create(tb, pgtestdb.NoopMigrator{})
}

// Pool makes a migrated database for tb alone and returns a pool on it, which is
// closed when tb ends.
func Pool(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(context.WithoutCancel(tb.Context()), New(tb))
	if err != nil {
		tb.Fatalf("pgtest: open a pool: %v", err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

func create(tb testing.TB, m pgtestdb.Migrator) string {
	tb.Helper()
	conf, err := server()
	if err != nil {
		tb.Fatalf("pgtest: tests need a Postgres server, and none could be had: %v", err)
	}
	return pgtestdb.Custom(tb, conf, m).URL()
}

// server finds or starts the server, once a test binary.
var server = sync.OnceValues(func() (pgtestdb.Config, error) {
	address, err := address(context.Background())
	if err != nil {
		return pgtestdb.Config{}, err
	}
	return config(address)
})

// address is the URL of the server to use.
func address(ctx context.Context) (string, error) {
	if address := os.Getenv(urlVar); address != "" {
		return address, nil
	}
	var dockerErr error
	if dockerAnswers(ctx) {
		address, err := startContainer(ctx)
		if err == nil {
			return address, nil
		}
		// No image and no registry, most likely; the installed binaries may do.
		dockerErr = fmt.Errorf("in Docker: %w", err)
	}
	address, err := startPrivate(ctx)
	if err != nil {
		return "", errors.Join(fmt.Errorf("from the installed binaries: %w", err), dockerErr)
	}
	return address, nil
}

// config splits a URL the way pgtestdb wants it. Its parts stay escaped, because
// pgtestdb puts them together again as they are. A host in the query, as URLs of Unix
// sockets have it, wins over the empty one before it.
func config(address string) (pgtestdb.Config, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || len(u.Path) < 2 {
		return pgtestdb.Config{}, fmt.Errorf("%s must be a URL such as postgres://user:password@localhost:5432/postgres", urlVar)
	}
	password, _ := u.User.Password()
	port := u.Port()
	if port == "" {
		port = "5432"
	}
	return pgtestdb.Config{
		DriverName: "pgx",
		Host:       u.Hostname(), Port: port,
		User: escape(u.User.Username()), Password: escape(password),
		Database: u.EscapedPath()[1:], Options: u.RawQuery,
		ForceTerminateConnections: true, // a killed process' connections end a moment after it
	}, nil
}

// escape makes text fit for any part of a URL.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// migrator migrates the template that the databases of tests are copied from.
type migrator struct{}

// Hash names the template.
func (migrator) Hash() (string, error) { return migrations.Fingerprint() }

// Migrate brings an empty template to the newest schema.
func (migrator) Migrate(ctx context.Context, _ *sql.DB, template pgtestdb.Config) error {
	return migrations.Up(ctx, template.URL())
}
