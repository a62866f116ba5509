package ratelimit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestClockIsNeverEarly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		offset := time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "offset"))
		drift := float64(rapid.IntRange(-50, 50).Draw(t, "drift")) * 1e-6
		local := func(at time.Time) time.Time {
			return at.Add(offset + time.Duration(drift*float64(at.Sub(epoch))))
		}
		const drifted = 100 * time.Microsecond // since the last update, a second ago at most
		var c clock
		require.False(t, c.ready())
		now, best := epoch, time.Hour
		for range rapid.IntRange(1, 50).Draw(t, "updates") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "pass")))
			there := time.Duration(rapid.Int64Range(0, 1e8).Draw(t, "there"))
			back := time.Duration(rapid.Int64Range(0, 1e8).Draw(t, "back"))
			c.observe(local(now), local(now.Add(there+back)), now.Add(there))
			now = now.Add(there + back)
			best = min(best, there+back)

			require.False(t, c.toLocal(now).Before(local(now).Add(-drifted)), "a slot would start early")
			require.False(t, c.toRemote(local(now)).Before(now.Add(-drifted)))
			require.LessOrEqual(t, c.toLocal(now).Sub(local(now)), c.error()+drifted)
			require.LessOrEqual(t, c.error(), best+20*time.Millisecond, "slow answers do no harm")
		}
	})
}

func TestClockStep(t *testing.T) {
	t.Parallel()
	var c clock
	c.observe(epoch, epoch.Add(time.Millisecond), epoch)
	after := epoch.Add(time.Minute)
	c.observe(after, after.Add(time.Millisecond), after.Add(-time.Hour)) // a failover to a wrong clock
	require.InDelta(t, float64(time.Millisecond), float64(c.error()), float64(time.Microsecond))
	require.InDelta(t, 0, float64(c.toLocal(after.Add(-time.Hour)).Sub(after)), float64(2*time.Millisecond))
}
