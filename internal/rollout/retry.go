package rollout

import "time"

const (
	firstDelay = time.Second
	mostDelay  = 30 * time.Second
)

// Backoff is how long a target waits after its attempt-th failed attempt (from
// 1) before the next: one second doubling to 30, of which the upper half is
// spread by jitter in [0, 1), so that targets that failed together come back
// apart.
func Backoff(attempt int, jitter float64) time.Duration {
	d := doubled(attempt - 1)
	return d/2 + time.Duration(min(1, max(0, jitter))*float64(d/2))
}

// VerifyDelay is how long a verifying target waits before its next read, after n
// reads: 1 s, 1 s, 2 s, 4 s and so on to 30 s. Most enablements settle within a
// second or two; the growth keeps one that sticks from eating the budget.
func VerifyDelay(n int) time.Duration { return doubled(n - 1) }

// doubled is firstDelay doubled n times, at most mostDelay.
func doubled(n int) time.Duration {
	const enough = 5 // 32 s
	if n >= enough {
		return mostDelay
	}
	return min(mostDelay, firstDelay<<max(0, n))
}
