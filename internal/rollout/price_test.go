package rollout_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/rollout"
)

func TestPriceOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, rollout.Price{Requests: 5150, Minutes: 8.59}, rollout.PriceOf(rollout.PriceInput{Read: 150, Write: 5000}, 10))
	require.Equal(t, rollout.Price{Requests: 1, Minutes: 0.01}, rollout.PriceOf(rollout.PriceInput{Write: 1}, 200))
	require.Equal(t, rollout.Price{Requests: 7}, rollout.PriceOf(rollout.PriceInput{Read: 3, Write: 4}, 0), "no rate, no minutes")
	require.Equal(t, rollout.Price{}, rollout.PriceOf(rollout.PriceInput{}, 10))
}

func TestEstimateEnd(t *testing.T) {
	t.Parallel()
	in := rollout.ETAInput{Remaining: 600, Ended: 400, Requests: 400, Rate: 10}
	got, ok := rollout.EstimateEnd(in, noon)
	require.True(t, ok)
	require.Equal(t, noon.Add(time.Minute), got.P50)
	require.True(t, got.P90.After(got.P50))

	in.Requests = 800 // two requests a target
	slower, ok := rollout.EstimateEnd(in, noon)
	require.True(t, ok)
	require.InDelta(t, 118, slower.P50.Sub(noon).Seconds(), 2)

	in.Wait = time.Hour
	later, ok := rollout.EstimateEnd(in, noon)
	require.True(t, ok)
	require.Equal(t, slower.P50.Add(time.Hour), later.P50)

	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		_, ok = rollout.EstimateEnd(rollout.ETAInput{Remaining: 1, Rate: rate}, noon)
		require.False(t, ok, "%v requests a second", rate)
	}
	done, ok := rollout.EstimateEnd(rollout.ETAInput{Ended: 5}, noon)
	require.True(t, ok)
	require.Equal(t, rollout.ETA{P50: noon, P90: noon}, done)
}

// TestEstimateEndProperty proves that an estimate never lies in the past, that P90
// is never before P50, and that more work never ends sooner.
func TestEstimateEndProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rollout.ETAInput{
			Remaining: rapid.IntRange(1, 2_000_000).Draw(t, "remaining"),
			Ended:     rapid.IntRange(0, 2_000_000).Draw(t, "ended"),
			Requests:  rapid.Int64Range(0, 5_000_000).Draw(t, "requests"),
			Rate:      rapid.Float64Range(1e-6, 1e6).Draw(t, "rate"),
		}
		got, ok := rollout.EstimateEnd(in, noon)
		require.True(t, ok)
		require.False(t, got.P50.Before(noon))
		require.False(t, got.P90.Before(got.P50))
		in.Remaining++
		more, ok := rollout.EstimateEnd(in, noon)
		require.True(t, ok)
		require.False(t, more.P50.Before(got.P50))
	})
}
