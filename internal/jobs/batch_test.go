package jobs

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// echo is a flush that answers each item with its double and notes the groups.
type echo struct {
	mu     sync.Mutex
	groups [][]int
	pause  time.Duration // a group takes
	err    error
}

func (e *echo) flush(_ context.Context, items []int) ([]int, error) {
	e.mu.Lock()
	e.groups = append(e.groups, items)
	e.mu.Unlock()
	time.Sleep(e.pause) // of the bubble's clock
	if e.err != nil {
		return nil, e.err
	}
	out := make([]int, len(items))
	for i, n := range items {
		out[i] = 2 * n
	}
	return out, nil
}

func (e *echo) written() [][]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.groups
}

func TestBatcherGroupsWhatComesWhileItWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &echo{pause: time.Second}
		b := newBatcher(4, e.flush)
		ctx, cancel := context.WithCancel(t.Context())
		go b.run(ctx)
		var wg sync.WaitGroup
		call := func(n int) {
			wg.Go(func() {
				got, err := b.do(ctx, n)
				require.NoError(t, err)
				require.Equal(t, 2*n, got)
			})
			synctest.Wait()
		}
		for n := range 8 { // the first goes alone, the others gather, four at most
			call(n)
		}
		wg.Wait()
		require.Equal(t, [][]int{{0}, {1, 2, 3, 4}, {5, 6, 7}}, e.written())
		began := time.Now()
		call(8) // a lone call waits for nobody
		wg.Wait()
		require.Equal(t, time.Second, time.Since(began))
		cancel()
	})
}

func TestBatcherTellsEverybodyOfAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &echo{pause: time.Second, err: errors.New("the database is away")}
		b := newBatcher(10, e.flush)
		ctx, cancel := context.WithCancel(t.Context())
		go b.run(ctx)
		var wg sync.WaitGroup
		var failed atomic.Int32
		for n := range 5 {
			wg.Go(func() {
				_, err := b.do(ctx, n)
				require.ErrorIs(t, err, e.err)
				failed.Add(1)
			})
		}
		wg.Wait()
		require.EqualValues(t, 5, failed.Load())
		cancel()
	})
}

func TestBatcherLetsACallerGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &echo{pause: time.Minute}
		b := newBatcher(1, e.flush)
		run, stop := context.WithCancel(t.Context())
		go b.run(run)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for n := range 3 { // being written, waiting for its group, and for room in the queue
			wg.Go(func() {
				_, err := b.do(ctx, n)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
			synctest.Wait()
		}
		wg.Wait()
		time.Sleep(time.Hour)
		require.Equal(t, [][]int{{0}, {1}}, e.written(), "what was handed over is written all the same")
		stop()
	})
}

func TestBatcherStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &echo{pause: time.Second}
		b := newBatcher(1, e.flush)
		ctx, stop := context.WithCancel(t.Context())
		go b.run(ctx)
		var wg sync.WaitGroup
		errs := make([]error, 3)
		for n := range errs {
			wg.Go(func() { _, errs[n] = b.do(t.Context(), n) })
			synctest.Wait()
		}
		stop() // while the first is being written
		wg.Wait()
		require.NoError(t, errs[0], "a group under way is finished, and its callers hear of it")
		for _, err := range errs[1:] { // whether another group was begun is left to chance
			require.True(t, err == nil || errors.Is(err, errStopped), "%v", err)
		}
		_, err := b.do(t.Context(), 9)
		require.Equal(t, errStopped, err)
	})
}

// Callers, groups and the end in every order, for the race detector.
func TestBatcherUnderLoad(t *testing.T) {
	t.Parallel()
	for range 50 {
		var written atomic.Int64
		b := newBatcher(7, func(_ context.Context, items []int) ([]int, error) {
			written.Add(int64(len(items)))
			return items, nil
		})
		ctx, stop := context.WithCancel(t.Context())
		var running, callers sync.WaitGroup
		running.Go(func() { b.run(ctx) })
		var answered atomic.Int64
		for n := range 40 {
			callers.Go(func() {
				got, err := b.do(t.Context(), n)
				if err == nil {
					require.Equal(t, n, got)
					if answered.Add(1) == 25 {
						stop()
					}
					return
				}
				require.ErrorIs(t, err, errStopped)
			})
		}
		callers.Wait()
		stop()
		running.Wait()
		require.GreaterOrEqual(t, answered.Load(), int64(25))
		require.GreaterOrEqual(t, written.Load(), answered.Load())
	}
}
