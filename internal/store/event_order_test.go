package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Who follows events by number misses none: one that was begun later waits until the
// one before it is committed, so that no number shows up after a larger one.
func TestEventsAreNumberedInTheOrderOfTheirCommits(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 0)
	first, second := m.published(t, 1, 0), m.published(t, 2, 1)
	begun, held := make(chan struct{}), make(chan struct{})
	commit := sync.OnceFunc(func() { close(held) })
	t.Cleanup(commit) // a test that fails leaves nobody waiting
	ended := make(chan error, 2)
	go func() {
		_, _, err := m.ReceiveEvent(t.Context(), first, func(context.Context, pgx.Tx, int64) error {
			close(begun)
			<-held
			return nil
		})
		ended <- err
	}()
	<-begun
	go func() {
		_, _, err := m.ReceiveEvent(t.Context(), second, func(context.Context, pgx.Tx, int64) error { return nil })
		ended <- err
	}()
	waits := "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database " +
		"WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
	require.Eventually(t, func() bool { return m.count(t, waits) == 1 }, 20*time.Second, 10*time.Millisecond, "the second waits for its turn")
	require.Zero(t, m.count(t, "SELECT count(*) FROM events"))

	commit()

	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.Equal(t, 1, m.count(t, "SELECT count(*) FROM events AS a JOIN events AS b ON b.id > a.id WHERE a.message_id = 'message-1' AND b.message_id = 'message-2'"))
}
