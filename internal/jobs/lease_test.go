package jobs

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

func newTestLease(t *testing.T, w *world) *Lease {
	t.Helper()
	l, err := NewLease(t.Context(), w.store, "me", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return l
}

// touch makes the lease as old as a test needs it, whatever time the test takes.
func (l *Lease) touch(ago time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = time.Now().Add(-ago)
}

func TestLeaseLetsWritesOfRunningRolloutsLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	running := w.create(func(p *store.RolloutParams) { p.SkillID = "running" })
	paused := w.create(func(p *store.RolloutParams) { p.SkillID = "paused" })
	_, err := w.store.PauseRollout(t.Context(), paused.ID, "", w.by)
	require.NoError(t, err)
	scheduled := w.create(func(p *store.RolloutParams) { p.SkillID, p.StartAt = "later", time.Now().Add(time.Hour) })
	l := newTestLease(t, w)

	require.NoError(t, l.MayWrite(t.Context(), w.rowID(running.ID)))
	require.Equal(t, ErrHeld, l.MayWrite(t.Context(), w.rowID(paused.ID)))
	require.Equal(t, ErrHeld, l.MayWrite(t.Context(), w.rowID(scheduled.ID)))
	require.Equal(t, ErrHeld, l.MayWrite(t.Context(), 12345), "no such rollout")
	require.Len(t, l.Open(), 3)
	require.Equal(t, store.OpenRollout{
		ID: w.rowID(running.ID), Key: running.ID, AccountID: w.accountID("acme"), State: fleet.RolloutRunning, Weight: 1,
	}, l.Open()[0])

	{ // One made since is looked for.
		fresh := w.create(func(p *store.RolloutParams) { p.SkillID = "fresh" })
		l.touch(-time.Minute)
		require.NoError(t, l.MayWrite(t.Context(), w.rowID(fresh.ID)))
	}
	{ // What was seen counts while the lease lasts, and no longer.
		_, err := w.store.PauseRollout(t.Context(), running.ID, "", w.by)
		require.NoError(t, err)
		l.touch(-time.Minute)
		require.NoError(t, l.MayWrite(t.Context(), w.rowID(running.ID)), "nobody told this process yet")
		l.touch(leaseLength)
		require.Equal(t, ErrHeld, l.MayWrite(t.Context(), w.rowID(running.ID)))
		require.Less(t, leaseLength, time.Second, "promise 8")
	}
	{ // An ended rollout is not open.
		_, err := w.store.CancelRollout(t.Context(), paused.ID, "", w.by)
		require.NoError(t, err)
		l.touch(leaseLength)
		require.Equal(t, ErrHeld, l.MayWrite(t.Context(), w.rowID(paused.ID)))
		require.Len(t, l.Open(), 3)
	}
}

func TestLeaseEndsWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	id := w.rowID(w.create().ID)
	l := newTestLease(t, w)
	w.pool.Close()

	l.touch(-time.Minute)
	require.NoError(t, l.MayWrite(t.Context(), id), "the lease lasts a moment")
	l.touch(leaseLength)
	require.ErrorIs(t, l.MayWrite(t.Context(), id), ErrHeld)
	require.Error(t, l.renew(t.Context()))
	require.ErrorIs(t, l.MayWrite(t.Context(), id), ErrHeld, "a look that failed renews nothing")
}

func TestLeaseOfAForgottenProcessIsTakenAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	l := newTestLease(t, w)
	before := l.ProcessID()
	require.EqualValues(t, 1, w.exec("DELETE FROM processes"))

	require.NoError(t, l.renew(t.Context()))

	require.NotEqual(t, before, l.ProcessID(), "what the old one had is adopted by others")
	require.NoError(t, l.Close(t.Context()))
	require.Zero(t, w.exec("DELETE FROM processes"), "a process that stops in good order leaves no row")
}

func TestLeaseIsRenewedByTheClockAndWhenPoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	l := newTestLease(t, w)
	seen := make(chan struct{}, 100)
	l.onSeen = func() { seen <- struct{}{} }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	<-seen
	<-seen // nobody poked
	r := w.create()
	l.Poke()
	require.Eventually(t, func() bool { return len(l.Open()) == 1 }, waitAtMost, pollEvery)
	require.Equal(t, w.rowID(r.ID), l.Open()[0].ID)
	cancel()
	<-done
}
