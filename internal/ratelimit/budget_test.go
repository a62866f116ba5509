package ratelimit

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"fleetd/internal/remote"
)

// taken is what a Take in the background came to.
type taken struct {
	slot remote.Slot
	err  error
	at   time.Time
}

func take(ctx context.Context, b *Budget, class remote.Class) <-chan taken {
	c := make(chan taken, 1)
	go func() {
		slot, err := b.Take(ctx, class)
		c <- taken{slot, err, time.Now()}
	}()
	return c
}

func fixedRow(rate float64, burst int) Row {
	return Row{RateLimit: rate, Rate: rate, Burst: burst}
}

func TestTakePacesAndBursts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, &fakeStore{trip: time.Millisecond, row: fixedRow(10, 4)}, 1)
		began := time.Now()
		var at []time.Duration
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 20 {
			wg.Go(func() {
				slot, err := b.Take(t.Context(), remote.ClassRollout)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					at = append(at, slot.SentAt.Sub(began))
				}
			})
		}
		wg.Wait()
		require.Len(t, at, 20)
		require.Less(t, at[2], 50*time.Millisecond, "idle time is a burst")
		require.InDelta(t, 1.7, at[19].Seconds(), 0.2, "and the rest comes at the rate")
		require.InEpsilon(t, 10, b.Rate(), 0)
		require.Zero(t, b.BlockedUntil())
	})
}

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

func TestCanceledWaiterLeavesItsSlot(t *testing.T) {
	t.Parallel()
	t.Run("in the queue", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(t, &fakeStore{trip: time.Millisecond, row: fixedRow(1, 1)}, 1)
			first, err := b.Take(t.Context(), remote.ClassRollout)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			gone, next := take(ctx, b, remote.ClassRollout), take(t.Context(), b, remote.ClassAudit)
			require.NoError(t, pass(t.Context(), 900*time.Millisecond))
			cancel()
			began := time.Now()
			got := <-gone
			require.ErrorIs(t, got.err, context.Canceled)
			require.Equal(t, began, got.at)
			got = <-next
			require.NoError(t, got.err)
			require.InDelta(t, 1, got.at.Sub(first.SentAt).Seconds(), 0.01)
		})
	})
	t.Run("in its hand", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(t, &fakeStore{trip: time.Millisecond, row: fixedRow(1, 1)}, 1)
			slot, err := b.Take(t.Context(), remote.ClassRollout)
			require.NoError(t, err)
			next := take(t.Context(), b, remote.ClassAudit)
			synctest.Wait()
			w := &waiter{class: remote.ClassRollout, slot: slot, expires: time.Now().Add(time.Millisecond)}
			began := time.Now()
			require.ErrorIs(t, b.leave(w, context.Canceled), context.Canceled)
			got := <-next
			require.NoError(t, got.err)
			require.Equal(t, began, got.at)
		})
	})
	t.Run("already over", func(t *testing.T) {
		t.Parallel()
		b := newBudget(t, &fakeStore{row: fixedRow(1, 1)}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Take(ctx, remote.ClassRollout)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestClassesShareAndNoneStarves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, &fakeStore{trip: time.Millisecond, row: fixedRow(100, 5)}, 1)
		server := newBucket(1e9, 1e9, false, latency)
		counts := map[remote.Class]int{}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var mu sync.Mutex
		for _, class := range remote.Classes() {
			for range 30 {
				wg.Go(func() {
					for {
						slot, err := b.Take(ctx, class)
						if err != nil {
							return
						}
						mu.Lock()
						counts[class]++
						mu.Unlock()
						answer, _ := server.ask(ctx)
						b.Done(ctx, slot, answer)
					}
				})
			}
		}
		wg.Wait()
		require.InDelta(t, 800, counts[remote.ClassInteractive], 20)
		require.InDelta(t, 400, counts[remote.ClassVerify], 20)
		require.InDelta(t, 200, counts[remote.ClassRollout], 20)
		require.InDelta(t, 100, counts[remote.ClassAudit], 20)
	})
}

func TestSomebodyWaitingAlonePassesTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, &fakeStore{trip: time.Millisecond, row: fixedRow(50, 3)}, 1)
		server := newBucket(1e9, 1e9, false, latency)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { worker(ctx, b, server, remote.ClassAudit) })
		}
		for range 50 {
			require.NoError(t, pass(ctx, 300*time.Millisecond))
			began := time.Now()
			_, err := b.Take(ctx, remote.ClassInteractive)
			require.NoError(t, err)
			require.Less(t, time.Since(began), 60*time.Millisecond)
		}
		cancel()
		wg.Wait()
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

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, &fakeStore{trip: time.Second, row: fixedRow(0.001, 1)}, 1)
		waiting := take(t.Context(), b, remote.ClassRollout)
		synctest.Wait()
		b.Close()
		require.ErrorIs(t, (<-waiting).err, ErrClosed)
		_, err := b.Take(t.Context(), remote.ClassRollout)
		require.ErrorIs(t, err, ErrClosed)
		b.Done(t.Context(), remote.Slot{SentAt: time.Now()}, remote.Answer{Throttled: true})
		b.Invalidate()
		b.Close()
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		b := New(Config{Store: &fakeStore{row: fixedRow(40, 5)}, Account: "acme", Metrics: NewMetrics(reg)})
		defer b.Close()
		_, err := b.Take(t.Context(), remote.Class(99))
		require.NoError(t, err)
		require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP fleet_budget_rate Requests a second the account's budget allows at present, over all processes.
# TYPE fleet_budget_rate gauge
fleet_budget_rate{account="acme"} 40
`), "fleet_budget_rate"))
		n, err := testutil.GatherAndCount(reg, "fleet_budget_wait_seconds")
		require.NoError(t, err)
		require.Equal(t, classes, n, "one histogram a class, from the start")
	})
}
