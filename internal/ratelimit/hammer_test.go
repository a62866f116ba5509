package ratelimit

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/remote"
)

// TestHammer has many callers come, wait, give up and be refused at once, in two
// processes, over a database that comes and goes. Nothing hangs, nothing leaks (the bubble
// would say so), no slot leaves in a block that its process knows of, and the limit holds.
func TestHammer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: 3 * time.Millisecond, offset: -time.Minute, row: fixedRow(300, 15)}
		budgets := []*Budget{newBudget(t, store, 1), newBudget(t, store, 2)}
		store.notify(budgets...)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()

		var mu sync.Mutex
		var sent []time.Time
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 7))
				b := budgets[i%2]
				for ctx.Err() == nil {
					mine, done := context.WithTimeout(ctx, time.Duration(1+r.IntN(2000))*time.Millisecond)
					slot, err := b.Take(mine, remote.Class(r.IntN(classes)))
					done()
					var blocked *remote.BudgetError
					switch {
					case err == nil:
						mu.Lock()
						sent = append(sent, time.Now())
						mu.Unlock()
						_ = pass(ctx, time.Duration(r.IntN(50))*time.Millisecond)
						answer := remote.Answer{Success: true}
						if r.IntN(500) == 0 {
							answer = remote.Answer{Throttled: true, HasRetryAfter: r.IntN(2) == 0, RetryAfter: 300 * time.Millisecond}
						}
						b.Done(ctx, slot, answer)
					case errors.As(err, &blocked):
						_ = pass(ctx, time.Until(blocked.Until))
					}
				}
			})
		}
		wg.Go(func() {
			for i := 0; pass(ctx, 700*time.Millisecond) == nil; i++ {
				switch i % 4 {
				case 0:
					store.fail(errAway)
				case 1:
					store.fail(nil)
				default:
					budgets[i%2].Invalidate()
				}
			}
		})
		wg.Wait()
		require.Greater(t, len(sent), 1000)
		require.LessOrEqual(t, excess(rel(sent), 300), 16.001)
	})
}

func TestQueueIsFairInOrder(t *testing.T) {
	t.Parallel()
	var q queue
	var waiters []*waiter
	for i := range 40 {
		w := &waiter{class: remote.Class(i % classes)}
		waiters = append(waiters, w)
		q.push(w)
	}
	q.remove(waiters[4])
	last := map[remote.Class]int{}
	for i := 0; q.len() > 0; i++ {
		w := q.pop()
		require.Nil(t, w.elem)
		require.NotSame(t, waiters[4], w)
		at := 0
		for waiters[at] != w {
			at++
		}
		require.Greater(t, at+1, last[w.class], "in order within the class")
		last[w.class] = at + 1
		if i == 15 {
			require.Len(t, last, classes, "every class has had a turn")
		}
	}
	require.Nil(t, q.pop())
}

// Of each class those go first that go on with something, and both kinds in order.
func TestWhatIsBegunGoesFirst(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var waiting []*waiter // as they came
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch {
			case len(waiting) > 0 && rapid.Bool().Draw(t, "leave"):
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "who")
				q.remove(waiting[i])
				waiting = append(waiting[:i], waiting[i+1:]...)
			default:
				w := &waiter{class: remote.Class(rapid.IntRange(0, classes-1).Draw(t, "class")), begun: rapid.Bool().Draw(t, "begun")}
				q.push(w)
				waiting = append(waiting, w)
			}
		}
		require.Equal(t, len(waiting), q.len())
		for len(waiting) > 0 {
			got := q.pop()
			want := -1
			for i, w := range waiting {
				if w.class == got.class && (want < 0 || w.begun && !waiting[want].begun) {
					want = i
				}
			}
			require.Same(t, waiting[want], got)
			waiting = append(waiting[:want], waiting[want+1:]...)
		}
		require.Nil(t, q.pop())
	})
}
