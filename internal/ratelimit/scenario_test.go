package ratelimit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	minute  = time.Minute
	latency = 20 * time.Millisecond
)

func TestFixedUsesTheLimitAndNoMore(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{5, 50, 200, 1000} {
		for _, burst := range []float64{0.1, 1} {
			t.Run(fmt.Sprintf("rate %v burst %v s", rate, burst), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					own := max(1, int(rate*0.05+0.999))
					store := &fakeStore{trip: time.Millisecond, row: Row{RateLimit: rate, Burst: own, Rate: rate}}
					server := newBucket(rate, max(2, rate*burst), true, latency)
					run(t, server, minute/2, int(rate*0.04)+10, newBudget(t, store, 1))
					goodput, refused := server.share(0, minute/2)
					t.Logf("goodput %.3f refused %.4f updates/s %.1f", goodput, refused, float64(store.count())/30)
					require.GreaterOrEqual(t, goodput, 0.99)
					require.Zero(t, refused)
					require.LessOrEqual(t, excess(rel(server.sent), rate), float64(own)+1.001)
				})
			})
		}
	}
}

// rel moves times to where excess expects them.
func rel(times []time.Time) []time.Time {
	out := make([]time.Time, len(times))
	for i, t := range times {
		out[i] = epoch.Add(t.Sub(times[0]))
	}
	return out
}

func TestProcessesShareOneRow(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: 2 * time.Millisecond, offset: -7 * time.Second, row: Row{RateLimit: 100, Burst: 5, Rate: 100}}
				server := newBucket(100, 6, true, latency)
				var budgets []*Budget
				for i := range n {
					budgets = append(budgets, newBudget(t, store, uint64(i)))
				}
				run(t, server, minute, 20, budgets...)
				goodput, refused := server.share(0, minute)
				t.Logf("goodput %.3f refused %.4f updates/s %.1f excess %.2f", goodput, refused, float64(store.count())/60, excess(rel(server.sent), 100))
				require.GreaterOrEqual(t, goodput, 0.97)
				require.Zero(t, refused)
				require.LessOrEqual(t, excess(rel(server.sent), 100), 6.001)
			})
		})
	}
}

func TestAutoFindsTheLimit(t *testing.T) {
	t.Parallel()
	// What measurements.md section 3.1 reports of climb and hold, less its noise.
	for _, c := range []struct {
		rate, burst float64
		retryAfter  bool
		whole, last float64
	}{
		{50, 0.1, true, 0.85, 0.88},
		{50, 0.1, false, 0.93, 0.97},
		{50, 1, true, 0.90, 0.95},
		{50, 1, false, 0.90, 0.95},
		{200, 0.1, true, 0.83, 0.88},
		{200, 0.1, false, 0.91, 0.97},
		{200, 1, true, 0.90, 0.95},
		{200, 1, false, 0.90, 0.95},
		{1000, 0.1, true, 0.79, 0.88},
		{1000, 0.1, false, 0.87, 0.97},
		{1000, 1, true, 0.87, 0.95},
		{1000, 1, false, 0.87, 0.95},
	} {
		t.Run(fmt.Sprintf("rate %v burst %v s Retry-After %v", c.rate, c.burst, c.retryAfter), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, row: Row{Rate: startRate, Burst: 1}}
				server := newBucket(c.rate, c.rate*c.burst, c.retryAfter, latency)
				b := newBudget(t, store, 1)
				run(t, server, minute, int(c.rate*0.06)+10, b)
				goodput, refused := server.share(0, minute)
				late, lateRefused := server.share(15*time.Second, minute)
				t.Logf("whole %.3f/%.2f%% last %.3f/%.2f%% updates/s %.1f ceiling %.1f", goodput, refused*100, late, lateRefused*100,
					float64(store.count())/60, store.read().Learnt.Ceiling)
				require.GreaterOrEqual(t, goodput, c.whole)
				require.GreaterOrEqual(t, late, c.last)
				require.LessOrEqual(t, refused, 0.01)
			})
		})
	}
}
