package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/rollout"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempt, most := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second,
		5: 16 * time.Second, 6: 30 * time.Second, 1000: 30 * time.Second,
	} {
		require.Equal(t, most/2, rollout.Backoff(attempt, 0), "attempt %d", attempt)
		require.Equal(t, most, rollout.Backoff(attempt, 1), "attempt %d", attempt)
	}
	require.Equal(t, time.Second/2, rollout.Backoff(1, -3), "jitter out of range")
	require.Equal(t, time.Second, rollout.Backoff(1, 3), "jitter out of range")
}

// TestBackoffProperty proves that the wait stays in its upper half and never
// shrinks with more attempts or more jitter.
func TestBackoffProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		attempt := rapid.IntRange(1, 100).Draw(t, "attempt")
		jitter := rapid.Float64Range(0, 1).Draw(t, "jitter")
		got := rollout.Backoff(attempt, jitter)
		require.GreaterOrEqual(t, got, time.Second/2)
		require.LessOrEqual(t, got, 30*time.Second)
		require.GreaterOrEqual(t, rollout.Backoff(attempt+1, jitter), got)
		require.GreaterOrEqual(t, 2*rollout.Backoff(attempt, 0), got)
	})
}

func TestVerifyDelay(t *testing.T) {
	t.Parallel()
	for n, want := range []int{1, 1, 2, 4, 8, 16, 30, 30, 30} {
		require.Equal(t, time.Duration(want)*time.Second, rollout.VerifyDelay(n), "after %d reads", n)
	}
}
