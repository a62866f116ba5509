package ratelimit

import (
	"context"
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

// result is what a Take in the background came to.
type result struct {
	slot remote.Slot
	err  error
	at   time.Time
}

func take(ctx context.Context, b *Budget, class remote.Class) <-chan result {
	c := make(chan result, 1)
	go func() {
		slot, err := b.Take(ctx, class)
		c <- result{slot, err, time.Now()}
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
