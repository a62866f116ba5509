package store_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/store"
)

// fixture is a store on a database of its own, with one admin.
type fixture struct {
	*store.Store

	pool *pgxpool.Pool
	by   fleet.Actor
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	pool := pgtest.Pool(t)
	return fixture{Store: store.New(pool, testKeys(t, 1)), pool: pool, by: fleet.Actor{Name: "ann", Role: fleet.RoleAdmin}}
}

func testKeys(t *testing.T, seed byte) *store.Keys {
	t.Helper()
	keys, err := store.NewKeys(bytes.Repeat([]byte{seed}, 32))
	require.NoError(t, err)
	return keys
}

// account creates an account that is as plain as one can be.
func (f fixture) account(t *testing.T, name string) store.Account {
	t.Helper()
	a, again, err := f.CreateAccount(t.Context(), plainAccount(name), f.by, store.Idempotency{})
	require.NoError(t, err)
	require.False(t, again)
	return a
}

func plainAccount(name string) store.AccountParams {
	return store.AccountParams{Name: name, ClientID: "client-" + name, ClientSecret: "secret-" + name, RefreshToken: "Atzr|" + name}
}

func (f fixture) accountID(t *testing.T, name string) int64 {
	t.Helper()
	var id int64
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT id FROM accounts WHERE name = $1", name).Scan(&id))
	return id
}

// load imports a CSV, given without its header.
func (f fixture) load(t *testing.T, account string, p store.ImportParams, lines ...string) (store.ImportResult, error) {
	t.Helper()
	r, _, err := f.ImportUnits(t.Context(), account, csvOf(lines...), p, f.by, store.Idempotency{})
	return r, err
}

func csvOf(lines ...string) *strings.Reader {
	return strings.NewReader("unit_id,property,name,occupancy,labels\n" + strings.Join(lines, "\n") + "\n")
}

func (f fixture) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, f.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// asFleet is what a person is told of an error.
func asFleet(t *testing.T, err error) *fleet.Error {
	t.Helper()
	var e *fleet.Error
	require.ErrorAs(t, err, &e, "%v", err)
	return e
}

func homes(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("u%05d,maple-%d,Home %d,vacant,floor=%d", i, i%7, i, i%3)
	}
	return lines
}
