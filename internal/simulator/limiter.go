package simulator

import (
	"math"
	"strconv"
	"time"
)

// bucket is an exact token bucket that starts full.
type bucket struct {
	limit  Limit
	tokens float64
	at     time.Duration
}

func newBucket(l Limit, now time.Duration) bucket {
	l = l.withDefaults()
	return bucket{limit: l, tokens: float64(l.Burst), at: now}
}

// take takes a token, or says how long there will be none.
func (b *bucket) take(now time.Duration) (wait time.Duration, ok bool) {
	if b.limit.RPS == 0 {
		return 0, true
	}
	b.fill(now)
	// Time is in whole nanoseconds: a token that is a billionth short is there.
	if b.tokens >= 1-1e-9 {
		b.tokens = max(0, b.tokens-1)
		return 0, true
	}
	return time.Duration(math.Ceil((1 - b.tokens) / b.limit.RPS * float64(time.Second))), false
}

func (b *bucket) fill(now time.Duration) {
	b.tokens = min(float64(b.limit.Burst), b.tokens+(now-b.at).Seconds()*b.limit.RPS)
	b.at = now
}

// set moves the limit. Tokens that were gathered stay, as far as they fit; a
// limit where there was none starts with a full bucket.
func (b *bucket) set(l Limit, now time.Duration) {
	if b.limit.RPS == 0 {
		*b = newBucket(l, now)
		return
	}
	b.fill(now)
	b.limit = l.withDefaults()
	b.tokens = min(b.tokens, float64(b.limit.Burst))
}

// retryAfter is the header of a 429 when there will be a token after wait.
func (s *Simulator) retryAfter(wait, now time.Duration) string {
	switch s.cfg.RetryAfter {
	case RetryAfterSeconds:
		return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
	case RetryAfterDate:
		return s.wall(now + wait + time.Second - 1).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	case RetryAfterNone:
	}
	return ""
}
