package pgtest_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/postgres/pgtest"
	"fleetd/migrations"
)

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	first, second := pgtest.Pool(t), pgtest.Pool(t)
	_, err := first.Exec(t.Context(), `INSERT INTO skills (skill_id) VALUES ('one')`)
	require.NoError(t, err)
	var n int
	require.NoError(t, second.QueryRow(t.Context(), `SELECT count(*) FROM skills`).Scan(&n))
	require.Zero(t, n)
}

func TestNewIsMigrated(t *testing.T) {
	t.Parallel()
	pending, err := migrations.Pending(t.Context(), pgtest.New(t))
	require.NoError(t, err)
	require.Zero(t, pending)
}

func TestEmptyIsNot(t *testing.T) {
	t.Parallel()
	pending, err := migrations.Pending(t.Context(), pgtest.Empty(t))
	require.NoError(t, err)
	require.Positive(t, pending)
}

func TestDatabaseIsDroppedAfterItsTest(t *testing.T) {
	t.Parallel()
	inner := &shortTest{TB: t}
	conn, err := pgx.Connect(t.Context(), pgtest.New(inner))
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) // open when the database is dropped
	var name string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name))
	inner.end()

	var exists bool
	require.NoError(t, pgtest.Pool(t).QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists))
	require.False(t, exists)
}

// shortTest is a test that ends before the one it stands in.
type shortTest struct {
	testing.TB
	cleanups []func()
}

func (s *shortTest) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *shortTest) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		conn, err := pgx.Connect(b.Context(), pgtest.New(b))
		require.NoError(b, err)
		require.NoError(b, conn.Close(context.WithoutCancel(b.Context())))
	}
}
