package ratelimit

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/remote"
)

func TestA503IsAFaultUntilThereAreMany(t *testing.T) {
	t.Parallel()
	known := Row{Rate: 98.5, Burst: 1, Learnt: Learnt{Ceiling: 100, Confirmations: 2, HoldUntil: epoch.Add(time.Minute)}}
	overload := func(at time.Time) Refusal { return Refusal{SentAt: at, SeenAt: at, Overload: true} }
	t.Run("alone it blocks and teaches nothing", func(t *testing.T) {
		t.Parallel()
		r := known
		Count(&r, epoch, 1, 1)
		require.True(t, Throttle(&r, epoch, overload(epoch), 0))
		require.Equal(t, epoch.Add(firstPause/2), r.BlockedUntil)
		require.Equal(t, 1, r.Refusals)
		require.InEpsilon(t, known.Rate, r.Rate, 0)
		require.Equal(t, known.Learnt.HoldUntil, r.Learnt.HoldUntil)
		require.InEpsilon(t, 100, r.Learnt.Ceiling, 0)
	})
	t.Run("with Retry-After it means the rate", func(t *testing.T) {
		t.Parallel()
		r, refusal := known, overload(epoch)
		refusal.Until = epoch.Add(time.Second)
		require.True(t, Throttle(&r, epoch, refusal, 0))
		require.Less(t, r.Rate, 95.0)
	})
	t.Run("a 429 means it always", func(t *testing.T) {
		t.Parallel()
		r, refusal := known, overload(epoch)
		refusal.Overload = false
		Count(&r, epoch, 1, 0)
		require.True(t, Throttle(&r, epoch, refusal, 0))
		require.Less(t, r.Rate, 95.0)
	})
	t.Run("several at once are a sign", func(t *testing.T) {
		t.Parallel()
		r := known
		Count(&r, epoch, 50, 4)
		require.True(t, Throttle(&r, epoch, overload(epoch), 0))
		require.Less(t, r.Rate, 95.0)
	})
	t.Run("several among many are none", func(t *testing.T) {
		t.Parallel()
		r := known
		Count(&r, epoch, 1000, 20)
		require.True(t, Throttle(&r, epoch, overload(epoch), 0))
		require.InEpsilon(t, known.Rate, r.Rate, 0)
	})
	t.Run("what is long ago is forgotten", func(t *testing.T) {
		t.Parallel()
		r := known
		Count(&r, epoch, 50, 4)
		now := epoch.Add(30 * time.Second)
		Count(&r, now, 1, 1)
		require.True(t, Throttle(&r, now, overload(now), 0))
		require.InEpsilon(t, known.Rate, r.Rate, 0)
	})
	t.Run("a fixed rate counts nothing", func(t *testing.T) {
		t.Parallel()
		r := fixedRow(40, 1)
		Count(&r, epoch, 50, 50)
		require.Equal(t, Learnt{}, r.Learnt)
	})
}

// One request in a hundred is answered 503 for no reason of the rate, on top of a true
// limit with 429s.
func TestAutoIsNotFooledByStray503s(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]Row{
		"cold":  {Rate: startRate, Burst: 1},
		"known": {Rate: 190, Burst: 1, Learnt: Learnt{Ceiling: 195, Confirmations: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, row: row}
				server := newBucket(200, 20, false, latency)
				server.stray = 0.01
				run(t, server, 2*minute, 22, newBudget(t, store, 1))
				late, refused := server.share(minute, 2*minute)
				t.Logf("%.3f of the limit, %.2f%% refused, %d strays, rate %.1f", late, refused*100, server.strays, store.read().Rate)
				require.Greater(t, server.strays, 150)
				require.GreaterOrEqual(t, store.read().Rate, 0.9*200)
				require.GreaterOrEqual(t, late, 0.75, "each costs its pause and no more")
				require.LessOrEqual(t, refused, 0.01)
			})
		})
	}
}

// An API that says 503, without Retry-After, where others say 429.
func TestAutoLearnsFromAnAPIThatSays503(t *testing.T) {
	t.Parallel()
	for name, burst := range map[string]float64{"small bucket": 0.1, "large bucket": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, row: Row{Rate: startRate, Burst: 1}}
				server := newBucket(200, 200*burst, false, latency)
				server.overload = true
				run(t, server, 2*minute, 22, newBudget(t, store, 1))
				goodput, refused := server.share(minute, 2*minute)
				t.Logf("%.3f of the limit, %.2f%% refused, rate %.1f", goodput, refused*100, store.read().Rate)
				require.GreaterOrEqual(t, goodput, 0.85)
				require.LessOrEqual(t, refused, 0.06)
				require.LessOrEqual(t, store.read().Rate, 400.0, "it does not climb on")
			})
		})
	}
}

// The log says that an account is throttled, and that it is no longer, once each.
func TestRefusalsAreOneLineNotMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		store := &fakeStore{trip: time.Millisecond, row: fixedRow(100, 5)}
		b := New(Config{Store: store, Account: "acme", Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		defer b.Close()
		work := func(d time.Duration, refuseEvery int) {
			for end, i := time.Now().Add(d), 1; time.Now().Before(end); i++ {
				slot, err := b.Take(t.Context(), remote.ClassRollout)
				require.NoError(t, err)
				refused := refuseEvery > 0 && i%refuseEvery == 0
				b.Done(t.Context(), slot, remote.Answer{Throttled: refused, Success: !refused})
				require.NoError(t, pass(t.Context(), 10*time.Millisecond))
			}
		}
		count := func(what string) int {
			b.mu.Lock()
			defer b.mu.Unlock()
			return strings.Count(log.String(), what)
		}
		const throttled, free, each = `level=INFO msg="account throttled`, `level=INFO msg="account no longer throttled" account=acme`, "level=DEBUG"

		work(time.Minute, 50)
		require.Equal(t, 1, count(throttled))
		require.Zero(t, count(free))
		refusals := count(each)
		require.Greater(t, refusals, 50, "each is there for who looks for it")
		work(time.Minute, 0)
		require.Equal(t, 1, count(throttled))
		require.Equal(t, 1, count(free))
		work(5*time.Minute, 700) // one in seven seconds
		require.LessOrEqual(t, count("level=INFO"), 4)
		require.Greater(t, count(each), refusals+30)
		require.Equal(t, count("level=INFO")+count(each), count("level="))
	})
}
