package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
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

// What an event does is done before a newer one of its kind takes its place: the newer
// one, which may want the contrary, comes after it and not in the middle.
func TestANewerEventWaitsForWhatIsBeingDone(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 20)
	r := m.create(t)
	m.pause(t, r.ID)
	m.rule(t, fleet.EventResumeRollout, r.ID)
	older, _ := m.receiveOne(t, m.published(t, 1, 10))
	work, _, err := m.ClaimEvent(t.Context(), older)
	require.NoError(t, err)
	newer, newerKey := m.receiveOne(t, m.published(t, 2, 20))
	hold, err := m.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = hold.Rollback(context.WithoutCancel(t.Context())) })
	_, err = hold.Exec(t.Context(), "SELECT FROM rollouts WHERE key = $1 FOR UPDATE", r.ID)
	require.NoError(t, err)
	waiting := func(n int) {
		t.Helper()
		const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
		require.Eventually(t, func() bool { return m.count(t, waits) == n }, 20*time.Second, 10*time.Millisecond)
	}
	ended := make(chan error, 2)
	go func() {
		_, err := m.ActOnEvent(t.Context(), older, work.Actions[0].Seq, store.EventFinding{Preflight: resuming("", m.by).Preflight})
		ended <- err
	}()
	waiting(1)
	go func() {
		_, _, err := m.ClaimEvent(t.Context(), newer)
		ended <- err
	}()
	waiting(2)
	require.Equal(t, fleet.EventReceived, m.event(t, newerKey).Disposition)

	require.NoError(t, hold.Rollback(t.Context()))

	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.Equal(t, fleet.RolloutRunning, m.state(t, r.ID))
	require.Equal(t, fleet.EventActing, m.event(t, newerKey).Disposition)
}
