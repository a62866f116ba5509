package ratelimit

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/remote"
)

func TestRefusalStopsEveryWorkerOfEveryProcess(t *testing.T) {
	t.Parallel()
	for name, notified := range map[string]bool{"notified": true, "notices lost": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, offset: time.Hour, row: fixedRow(200, 10)}
				one, two := newBudget(t, store, 1), newBudget(t, store, 2)
				if notified {
					store.notify(one, two)
				}
				server := newBucket(1e9, 1e9, false, latency)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() { worker(ctx, one, server, remote.ClassRollout) })
					wg.Go(func() { worker(ctx, two, server, remote.ClassRollout) })
				}
				require.NoError(t, pass(ctx, 5*time.Second))
				synctest.Wait()
				refused := time.Now()
				one.Done(ctx, remote.Slot{SentAt: refused.Add(-latency)},
					remote.Answer{Throttled: true, HasRetryAfter: true, RetryAfter: 3 * time.Second})
				require.NoError(t, pass(ctx, 10*time.Second))
				cancel()
				wg.Wait()

				// What was on the wire may arrive; without notice the other process finds out when
				// the slots it holds run out.
				grace := 15 * time.Millisecond
				if !notified {
					grace += leaseLength + lead
				}
				after := 0
				for _, at := range server.sent {
					require.False(t, at.After(refused.Add(grace)) && at.Before(refused.Add(3*time.Second)),
						"sent %s after the refusal", at.Sub(refused))
					if at.After(refused.Add(3 * time.Second)) {
						after++
					}
				}
				require.InDelta(t, 7*200, after, 30, "full speed after the block")
			})
		})
	}
}

func TestRefusalVoidsSlotsOnTheirWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: 40 * time.Millisecond, row: fixedRow(1000, 50)}
		b := newBudget(t, store, 1)
		require.NoError(t, pass(t.Context(), time.Second))
		waiting := take(t.Context(), b, remote.ClassRollout)
		require.NoError(t, pass(t.Context(), 30*time.Millisecond)) // the grant is made, not here yet
		require.Equal(t, 2, store.count())
		b.Done(t.Context(), remote.Slot{SentAt: time.Now()},
			remote.Answer{Throttled: true, HasRetryAfter: true, RetryAfter: time.Second})
		began := time.Now()
		got := <-waiting
		require.NoError(t, got.err)
		require.GreaterOrEqual(t, got.at.Sub(began), time.Second)
		require.Less(t, got.at.Sub(began), 1200*time.Millisecond)
	})
}

func TestBlockedBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, &fakeStore{trip: time.Millisecond, row: fixedRow(0.01, 1)}, 1)
		first, err := b.Take(t.Context(), remote.ClassRollout)
		require.NoError(t, err)

		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		soon, later := take(short, b, remote.ClassRollout), take(t.Context(), b, remote.ClassRollout)
		synctest.Wait()
		began := time.Now()
		b.Done(t.Context(), first, remote.Answer{Throttled: true, HasRetryAfter: true, RetryAfter: 5 * time.Minute})

		got := <-soon
		var blocked *remote.BudgetError
		require.ErrorAs(t, got.err, &blocked)
		require.Equal(t, began, got.at, "a waiter is told at once")
		require.InDelta(t, 300, blocked.Until.Sub(began).Seconds(), 0.1)

		_, err = b.Take(short, remote.ClassInteractive)
		require.ErrorAs(t, err, &blocked)
		require.Equal(t, began, time.Now(), "and so is who comes later")
		require.InDelta(t, 300, b.BlockedUntil().Sub(began).Seconds(), 0.1)

		got = <-later
		require.NoError(t, got.err)
		require.InDelta(t, 300, got.at.Sub(began).Seconds(), 0.1)
	})
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: time.Millisecond, row: fixedRow(100, 5)}
		var log strings.Builder
		b := New(Config{Store: store, Account: "acme", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer b.Close()
		_, err := b.Take(t.Context(), remote.ClassRollout)
		require.NoError(t, err)

		store.fail(errAway)
		require.NoError(t, pass(t.Context(), time.Second)) // what was reserved is lost
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err = b.Take(ctx, remote.ClassRollout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errAway)
		require.Equal(t, time.Minute, time.Since(began))
		require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), "an outage is one line:\n%s", log.String())

		waiting := take(t.Context(), b, remote.ClassRollout)
		synctest.Wait()
		store.fail(nil)
		got := <-waiting
		require.NoError(t, got.err)
		require.Contains(t, log.String(), "updated again")
	})
}

func TestRefusalReachesTheRowThroughAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: time.Millisecond, row: fixedRow(100, 5)}
		b := newBudget(t, store, 1)
		slot, err := b.Take(t.Context(), remote.ClassRollout)
		require.NoError(t, err)
		store.fail(errAway)
		b.Done(t.Context(), slot, remote.Answer{Throttled: true, HasRetryAfter: true, RetryAfter: time.Minute})
		require.NoError(t, pass(t.Context(), 10*time.Second))
		store.fail(nil)
		require.NoError(t, pass(t.Context(), 5*time.Second))
		require.Equal(t, 1, store.read().Refusals)
		require.InDelta(t, 60, store.read().BlockedUntil.Sub(slot.SentAt).Seconds(), 0.1)
	})
}

func TestOperatorChangesTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: time.Millisecond, row: fixedRow(1, 1)}
		b := newBudget(t, store, 1)
		slot, err := b.Take(t.Context(), remote.ClassRollout)
		require.NoError(t, err)
		b.Done(t.Context(), slot, remote.Answer{Throttled: true, HasRetryAfter: true, RetryAfter: time.Hour})
		waiting := take(t.Context(), b, remote.ClassRollout)
		require.NoError(t, pass(t.Context(), time.Minute))
		require.NotZero(t, b.BlockedUntil())

		store.set(func(r *Row) { r.RateLimit, r.Burst, r.BlockedUntil, r.Refusals = 500, 25, time.Time{}, 0 })
		began := time.Now()
		b.Invalidate()
		got := <-waiting
		require.NoError(t, got.err)
		require.Less(t, got.at.Sub(began), 50*time.Millisecond)
		require.InEpsilon(t, 500, b.Rate(), 0)
		require.Zero(t, b.BlockedUntil())
	})
}

func TestLostNoticeIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: time.Millisecond, row: fixedRow(10, 1)}
		store.row.BlockedUntil = time.Now().Add(time.Hour)
		b := newBudget(t, store, 1)
		waiting := take(t.Context(), b, remote.ClassRollout)
		require.NoError(t, pass(t.Context(), time.Minute))
		require.LessOrEqual(t, store.count(), 63, "a blocked process looks once a second")
		store.set(func(r *Row) { r.BlockedUntil = time.Time{} })
		began := time.Now()
		require.NoError(t, (<-waiting).err)
		require.Less(t, time.Since(began), lookAgain+50*time.Millisecond)
	})
}

func TestIdleBudgetLeavesTheRowAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: time.Millisecond, row: fixedRow(100, 5)}
		b := newBudget(t, store, 1)
		server := newBucket(1e9, 1e9, false, latency)
		run(t, server, 5*time.Second, 30, b)
		require.NoError(t, pass(t.Context(), time.Second))
		before := store.count()
		require.NoError(t, pass(t.Context(), time.Hour))
		require.Equal(t, before, store.count())
	})
}

func TestRowUpdatesAreAmortized(t *testing.T) {
	t.Parallel()
	for name, workers := range map[string]int{"one worker": 1, "a hundred": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, row: fixedRow(1e6, 50_000)}
				b := newBudget(t, store, 1)
				server := newBucket(1e9, 1e9, false, 2*time.Millisecond)
				run(t, server, 5*time.Second, workers, b)
				t.Logf("%d requests, %d updates", len(server.sent), store.count())
				require.GreaterOrEqual(t, len(server.sent), int(0.9*5*500*float64(workers)))
				require.LessOrEqual(t, store.count(), 5*51)
			})
		})
	}
}

func TestSurvivorTakesTheWholeRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: time.Millisecond, row: fixedRow(200, 10)}
		one, two := newBudget(t, store, 1), newBudget(t, store, 2)
		server := newBucket(200, 20, true, latency)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { worker(ctx, one, server, remote.ClassRollout) })
			wg.Go(func() { worker(ctx, two, server, remote.ClassRollout) })
		}
		require.NoError(t, pass(ctx, 15*time.Second))
		two.Close()
		wg.Wait()
		second, _ := server.share(15*time.Second, 16*time.Second)
		require.GreaterOrEqual(t, second, 0.75, "a crash loses a lease or two")
		rest, refused := server.share(16*time.Second, 30*time.Second)
		require.GreaterOrEqual(t, rest, 0.99)
		require.Zero(t, refused)
	})
}
