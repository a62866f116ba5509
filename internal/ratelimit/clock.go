package ratelimit

import "time"

// clockDrift is how far two clocks may drift apart, 100 ppm: ten times what a bad
// quartz does.
const clockDrift = 1e-4

// clock translates between the process's clock and the database's. Every update gives
// bounds: the database read its clock somewhere between question and answer. The bounds
// of several updates are intersected, so that one slow answer does no harm. It counts on the
// monotonic clock of the process; a step of the database's clock starts it afresh.
type clock struct {
	local, remote time.Time     // the anchor: two readings of the first update
	low, high     time.Duration // the database is this much further from its anchor than we from ours
	at            time.Time     // when the bounds were last brought forward
}

func (c *clock) ready() bool { return !c.local.IsZero() }

// observe takes in that the database's clock read remote between before and after.
func (c *clock) observe(before, after, remote time.Time) {
	if !c.ready() {
		c.local, c.remote, c.at = after, remote, after
		c.low, c.high = 0, after.Sub(before)
		return
	}
	elapsed := remote.Sub(c.remote)
	trip := time.Duration(clockDrift * float64(after.Sub(before)))
	low, high := elapsed-after.Sub(c.local)-trip, elapsed-before.Sub(c.local)+trip
	drift := time.Duration(clockDrift * float64(after.Sub(c.at)))
	c.at = after
	c.low, c.high = max(c.low-drift, low), min(c.high+drift, high)
	if c.low > c.high {
		c.low, c.high = low, high
	}
}

// error is how far a translated time may be off.
func (c *clock) error() time.Duration { return c.high - c.low }

// toLocal gives the latest moment of the process's clock at which it can be t there.
func (c *clock) toLocal(t time.Time) time.Time { return c.local.Add(t.Sub(c.remote) - c.low) }

// toRemote gives the latest moment it can be there when it is t here.
func (c *clock) toRemote(t time.Time) time.Time { return c.remote.Add(t.Sub(c.local) + c.high) }
