package ratelimit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/remote"
)

func TestAdvance(t *testing.T) {
	t.Parallel()
	// climb advances in steps of 100 ms for d and returns the time after it.
	climb := func(r *Row, from time.Time, d time.Duration) time.Time {
		end := from.Add(d)
		for ; from.Before(end); from = from.Add(100 * time.Millisecond) {
			Advance(r, from, true, 0.5)
		}
		return from
	}
	at := func(t time.Time) Refusal { return Refusal{SentAt: t, SeenAt: t} }

	t.Run("doubles every second until refused", func(t *testing.T) {
		t.Parallel()
		r := Row{Rate: startRate}
		now := climb(&r, epoch, 3100*time.Millisecond)
		require.InEpsilon(t, 80, r.Rate, 0.01)
		require.True(t, Throttle(&r, now, at(now), 0))
		require.InEpsilon(t, 0.7*80, r.Learnt.Ceiling, 0.01)
		require.InEpsilon(t, 0.6*80, r.Rate, 0.01)
	})
	t.Run("grows only under demand", func(t *testing.T) {
		t.Parallel()
		r := Row{Rate: startRate}
		for i := range 100 {
			Advance(&r, epoch.Add(time.Duration(i)*time.Second), false, 0.5)
		}
		require.InEpsilon(t, startRate, r.Rate, 0)
		Advance(&r, epoch, true, 0.5)
		Advance(&r, epoch.Add(time.Hour), true, 0.5)
		require.LessOrEqual(t, r.Rate, 2*startRate, "an hour without demand is no hour of growth")
	})
	t.Run("recovers, holds and probes", func(t *testing.T) {
		t.Parallel()
		r := Row{Rate: 100, Learnt: Learnt{Ceiling: 100, AdvancedAt: epoch}}
		require.True(t, Throttle(&r, epoch, at(epoch), 0))
		require.InEpsilon(t, 94, r.Rate, 1e-9)
		require.Equal(t, 1, r.Learnt.Confirmations)
		now := climb(&r, epoch, time.Second)
		require.InEpsilon(t, 98.5, r.Rate, 1e-9)
		now = climb(&r, now, 15*time.Second)
		require.InEpsilon(t, 98.5, r.Rate, 1e-9, "20 s of hold after one confirmation")
		climb(&r, now, 15*time.Second)
		require.Greater(t, r.Rate, 103.0)
		require.Less(t, r.Rate, 125.0)
	})
	t.Run("a refusal far from the ceiling moves it", func(t *testing.T) {
		t.Parallel()
		r := Row{Rate: 150, Learnt: Learnt{Ceiling: 100, Confirmations: 3}}
		require.True(t, Throttle(&r, epoch, at(epoch), 0))
		require.Zero(t, r.Learnt.Confirmations)
		require.InEpsilon(t, 150, r.Learnt.Ceiling, 1e-9)
	})
	t.Run("a refusal right after a block cuts deep", func(t *testing.T) {
		t.Parallel()
		r := Row{Rate: 90, Learnt: Learnt{Ceiling: 100, Confirmations: 3}, BlockedUntil: epoch}
		require.True(t, Throttle(&r, epoch.Add(time.Second), at(epoch.Add(time.Second)), 0))
		require.InEpsilon(t, 63, r.Rate, 1e-9)
		require.InEpsilon(t, 100, r.Learnt.Ceiling, 1e-9)
		require.Zero(t, r.Learnt.Confirmations)
	})
	t.Run("a known ceiling is where it starts again", func(t *testing.T) {
		t.Parallel()
		r := Row{Rate: 120, Learnt: Learnt{Ceiling: 100, HoldUntil: epoch, ProbeSeconds: 9, AdvancedAt: epoch}}
		Advance(&r, epoch.Add(time.Hour), true, 0.5)
		require.InEpsilon(t, 97, r.Rate, 1e-9)
	})
	t.Run("a fixed rate is what the operator set", func(t *testing.T) {
		t.Parallel()
		r := Row{RateLimit: 40, Rate: 7}
		Advance(&r, epoch, true, 0.5)
		require.InEpsilon(t, 40, r.Rate, 0)
		Throttle(&r, epoch, at(epoch), 0)
		require.InEpsilon(t, 40, r.Rate, 0)
		require.Equal(t, Learnt{}, r.Learnt)
	})
	t.Run("stays a rate whatever happens", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			r := Row{Rate: rapid.Float64().Draw(t, "rate"), Learnt: Learnt{Ceiling: rapid.Float64().Draw(t, "ceiling")}}
			now := epoch
			for range rapid.IntRange(1, 100).Draw(t, "steps") {
				now = now.Add(time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "pass")))
				if rapid.Bool().Draw(t, "refused") {
					Throttle(&r, now, at(now), rapid.Float64Range(0, 0.999).Draw(t, "jitter"))
				} else {
					Advance(&r, now, rapid.Bool().Draw(t, "demand"), rapid.Float64Range(0, 0.999).Draw(t, "jitter"))
				}
				require.GreaterOrEqual(t, r.Rate, minRate)
				require.LessOrEqual(t, r.Rate, maxAutoRate)
				require.LessOrEqual(t, r.BlockedUntil.Sub(now), maxPause)
			}
		})
	})
}

func TestAutoTenMinutes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		burst      float64
		retryAfter bool
		whole      float64
	}{{0.1, true, 0.95}, {0.1, false, 0.97}, {1, true, 0.97}, {1, false, 0.97}} {
		t.Run(fmt.Sprintf("burst %v s Retry-After %v", c.burst, c.retryAfter), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, row: Row{Rate: startRate, Burst: 1}}
				server := newBucket(50, 50*c.burst, c.retryAfter, latency)
				run(t, server, 10*minute, 13, newBudget(t, store, 1))
				whole, refused := server.share(0, 10*minute)
				last, lastRefused := server.share(150*time.Second, 10*minute)
				t.Logf("whole %.3f/%.2f%% last %.3f/%.2f%%", whole, refused*100, last, lastRefused*100)
				require.GreaterOrEqual(t, whole, c.whole)
				require.GreaterOrEqual(t, last, 0.96)
				require.LessOrEqual(t, refused, 0.003)
			})
		})
	}
}

func TestAutoSharedByTwoProcesses(t *testing.T) {
	t.Parallel()
	for _, retryAfter := range []bool{true, false} {
		t.Run(fmt.Sprintf("Retry-After %v", retryAfter), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, row: Row{Rate: startRate, Burst: 1}}
				server := newBucket(200, 20, retryAfter, latency)
				one, two := newBudget(t, store, 1), newBudget(t, store, 2)
				run(t, server, minute, 20, one, two)
				whole, refused := server.share(0, minute)
				last, lastRefused := server.share(15*time.Second, minute)
				t.Logf("whole %.3f/%.2f%% last %.3f/%.2f%%", whole, refused*100, last, lastRefused*100)
				require.GreaterOrEqual(t, whole, 0.76)
				require.GreaterOrEqual(t, last, 0.84)
				require.LessOrEqual(t, refused, 0.005)
			})
		})
	}
}

func TestAutoFollowsALimitThatMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: time.Millisecond, row: Row{Rate: startRate, Burst: 1}}
		server := newBucket(50, 5, true, latency)
		b := newBudget(t, store, 1)
		move := func(rate float64) {
			server.mu.Lock()
			defer server.mu.Unlock()
			server.rate, server.burst = rate, rate/10
		}
		time.AfterFunc(200*time.Second, func() { move(25) })
		time.AfterFunc(400*time.Second, func() { move(50) })
		run(t, server, 10*minute, 12, b)
		goodput, refused := server.share(0, 10*minute)
		t.Logf("%.3f of 50/s all along, %.2f%% refused", goodput, refused*100)
		require.GreaterOrEqual(t, goodput, 0.60, "0.64-0.68 measured with holds of up to 5 minutes; ideal is 0.83")
		require.LessOrEqual(t, refused, 0.01)
	})
}

func TestOutageOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]Row{
		"fixed": fixedRow(200, 10),
		"auto":  {Rate: 194, Burst: 1, Learnt: Learnt{Ceiling: 200, Confirmations: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, row: row}
				b := newBudget(t, store, 1)
				server := newBucket(200, 20, false, latency)
				server.rate, server.burst, server.tokens = 1e-6, 0, 0 // refuses everything
				ctx := t.Context()
				for range 20 {
					go worker(ctx, b, server, remote.ClassRollout)
				}
				require.NoError(t, pass(ctx, 10*minute))
				down := len(server.sent)
				server.mu.Lock()
				server.rate, server.burst = 200, 20
				server.mu.Unlock()
				require.NoError(t, pass(ctx, 2*minute))
				server.mu.Lock()
				defer server.mu.Unlock()
				t.Logf("%d requests in 10 minutes of outage, %d accepted in the 2 minutes after", down, len(server.accepted))
				require.Less(t, down, 400, "it asks less and less")
				require.Greater(t, len(server.accepted), 15_000, "and comes back")
				require.Zero(t, store.read().Refusals)
			})
		})
	}
}

func TestFixedAboveTheTrueLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{trip: time.Millisecond, row: fixedRow(220, 11)}
		server := newBucket(200, 20, true, latency)
		run(t, server, minute, 20, newBudget(t, store, 1))
		goodput, refused := server.share(0, minute)
		t.Logf("%.3f/%.2f%%", goodput, refused*100)
		require.GreaterOrEqual(t, goodput, 0.5, "0.56 measured: a wrong rate costs a Retry-After each time")
		require.LessOrEqual(t, refused, 0.02)
	})
}
