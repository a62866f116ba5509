package ratelimit

import (
	"math"
	"time"
)

const (
	// leaseLength is how much of the budget one lease takes at most: what a crash
	// loses, and how long the processes take turns.
	leaseLength = 100 * time.Millisecond
	// horizon is how far ahead a lease may begin. It leaves room for the leases of
	// two other processes between two of one's own.
	horizon = 200 * time.Millisecond
	// prefetchAhead bounds slots reserved without a waiter: only those that are due
	// about now, so that they take nothing that somebody is waiting for.
	prefetchAhead = 25 * time.Millisecond
	// keepUnused ends a lease whose slots the tolerance would allow for longer: a
	// process that has not looked at the row for a while must look again.
	keepUnused = 250 * time.Millisecond
	// slack is how late a slot may be used when the burst allows less: timers of an
	// idle process are about 1 ms coarse and the database is a round trip away.
	slack = 5 * time.Millisecond
	// largeBurst is where a burst begins to be large, in slots.
	largeBurst = 32
	// maxTolerance keeps the arithmetic of absurd bursts within a time.Duration.
	maxTolerance = time.Hour

	firstPause  = 100 * time.Millisecond
	maxPause    = 30 * time.Second
	maxRetry    = 24 * time.Hour // a longer Retry-After is taken for a mistake
	outage      = 3              // blocks without a success in between that are taken for one
	minRate     = 0.1            // requests a second an auto budget never goes below
	maxAutoRate = 1e6
	startRate   = 10.0 // where an auto budget starts that knows nothing
)

// Row is one budget as Postgres keeps it (table budgets). All times are the
// database's. Every change is made by the functions below, under the row's lock.
type Row struct {
	RateLimit    float64   // requests a second the operator set; 0: auto
	Burst        int       // requests that may leave at once
	Rate         float64   // requests a second sent at now
	TAT          time.Time // start of the next slot that nobody has reserved
	BlockedUntil time.Time // no slot starts before; zero: never blocked
	BlockedAt    time.Time // when the last block began
	Refusals     int       // blocks in a row without a success in between
	Learnt       Learnt    // what an auto budget knows
}

// Demand is what a process asks of the row.
type Demand struct {
	Waiting  int // slots that somebody is waiting for
	Prefetch int // slots that are likely to be wanted soon
}

// Grant is a run of slots: slot i starts at First + i*Interval, counted from
// the database's now, and may be used for Life after its start but not after Until.
type Grant struct {
	First    time.Duration
	Interval time.Duration
	Life     time.Duration
	Until    time.Duration
	N        int
	Start    time.Time     // of slot 0, on the database's clock
	End      time.Time     // the row's TAT after the grant
	Retry    time.Duration // N == 0 though somebody waits: when asking again is worth it
}

// Auto says whether the budget finds out its rate while sending.
func (r *Row) Auto() bool { return r.RateLimit <= 0 }

// settle makes the rate one that can be computed with.
func (r *Row) settle() {
	switch {
	case !r.Auto():
		r.Rate = r.RateLimit
	case r.Rate > 0:
		r.Rate = min(max(r.Rate, minRate), maxAutoRate)
	default: // never set, or not a number
		r.Rate = startRate
	}
	r.Burst = max(r.Burst, 1)
}

// interval is the time between two slots, rounded up: never too fast.
func (r *Row) interval() time.Duration {
	ns := math.Ceil(float64(time.Second) / r.Rate)
	return time.Duration(min(max(ns, 1), float64(maxTolerance)))
}

// tolerance is how long after its start a slot may be used. A known limit is kept
// to the letter: never more than one interval above the burst. A limit still to be
// found out allows the slack whatever the rate.
func (r *Row) tolerance() time.Duration {
	interval := r.interval()
	tolerance := time.Duration(min(float64(r.Burst-1)*float64(interval), float64(maxTolerance)))
	if r.Auto() {
		return max(tolerance, slack)
	}
	return max(tolerance, min(slack, interval))
}

// Reserve takes slots for d out of the row, in order, none before the end of a block. Beyond
// what is due it grants at most leaseLength of the rate (but one slot always), nothing that
// begins beyond the horizon, and prefetches only what is due about now.
func Reserve(row *Row, now time.Time, d Demand) Grant {
	row.settle()
	interval, tolerance := row.interval(), row.tolerance()
	// A part of the tolerance is kept for the way from here to the wire.
	life := tolerance - min(slack, tolerance/8)
	// The first slot must outlive the way back from the database.
	back := life - min(2*slack, life/2)

	// A lease is short, but what is due already belongs to whoever asks first.
	most := max(1, int(row.Rate*leaseLength.Seconds()))
	if idle := now.Sub(latest(now.Add(-back), row.TAT, row.BlockedUntil)); idle > 0 {
		most += int(idle / interval)
	}
	want := min(max(d.Waiting, 0)+max(d.Prefetch, 0), most)
	if want == 0 {
		return Grant{}
	}
	// Idle time is credit for a burst. A large one is not used up at once but as far as
	// the demand needs, down to half: slots that start later live longer, and so need
	// fewer leases. The slack of a budget without a burst is for lateness alone.
	credit := back
	switch {
	case row.Burst == 1:
		credit = 0
	case int(back/interval) > largeBurst:
		credit = min(max(spanOf(want-1, interval), back/2), back)
	}
	start := latest(now.Add(-credit), row.TAT, row.BlockedUntil)
	first := start.Sub(now)
	n := min(want, max(d.Waiting, 0))
	if first >= horizon {
		if n == 0 {
			return Grant{}
		}
		return Grant{Retry: first - horizon + time.Millisecond}
	}
	if first <= prefetchAhead {
		n = max(n, min(want, int((prefetchAhead-first)/interval)+1))
	}
	if n == 0 {
		return Grant{}
	}
	row.TAT = roundUp(start.Add(spanOf(n, interval)))
	return Grant{
		First: first, Interval: interval, Life: life, N: n, Start: start, End: row.TAT,
		Until: max(first+spanOf(n-1, interval), 0) + keepUnused,
	}
}

// Unused is the end of a lease that nobody used.
type Unused struct {
	From     time.Time     // when its first slot starts
	End      time.Time     // Grant.End
	Interval time.Duration // Grant.Interval
}

// Refund gives back the unused end of a lease: the row's next slot is again the one that
// starts at u.From. It does so only if the lease was the last one, and if a limit was not raised
// since: the time given back would hold more slots than were taken.
func Refund(row *Row, u Unused) bool {
	row.settle()
	if !row.TAT.Equal(u.End) || !u.From.Before(u.End) {
		return false
	}
	if !row.Auto() && row.interval() < u.Interval {
		return false
	}
	row.TAT = roundUp(u.From)
	return true
}

// Refusal is one 429, or an overload 503, as the row needs to know it.
type Refusal struct {
	SentAt   time.Time // when the request left
	SeenAt   time.Time // the row's time when the sender last looked at it
	Until    time.Time // what Retry-After asked for; zero: nothing
	Overload bool      // a 503
}

// Throttle records a refusal and says whether it was news. Several refusals of one
// burst are one signal: those of requests that left before the last block ended, or
// whose sender did not know of it yet, only prolong it, if their Retry-After says so.
// jitter is in [0, 1).
func Throttle(row *Row, now time.Time, r Refusal, jitter float64) bool {
	row.settle()
	until := r.Until
	if limit := now.Add(maxRetry); until.After(limit) {
		until = limit
	}
	if r.SentAt.Before(row.BlockedUntil) || row.BlockedAt.After(r.SeenAt) {
		if until.After(row.BlockedUntil) {
			row.BlockedUntil = roundUp(until)
		}
		return false
	}
	// When nothing at all is let in, block after block, the rate is not the reason: the
	// pause grows, and the rate must not be lost to an outage. Nor to a fault: a 503
	// here and there says nothing of the rate, unless it names a time to wait.
	if row.Auto() && row.Refusals < outage && (!r.Overload || !r.Until.IsZero() || row.Learnt.overloaded()) {
		row.refused(r.SentAt)
	}
	if !until.After(now) {
		// Equal jitter: half of the pause is certain, so that it cannot collapse to nothing.
		pause := min(firstPause<<min(row.Refusals, 16), maxPause)
		until = now.Add(pause/2 + time.Duration(jitter*float64(pause/2)))
	}
	row.Refusals++
	row.BlockedAt = now
	row.BlockedUntil = roundUp(until)
	return true
}

// Succeeded records that a request which left at sentAt was not refused: if that was
// after the last block, the next pause starts small again.
func Succeeded(row *Row, sentAt time.Time) {
	if row.Refusals > 0 && !sentAt.Before(row.BlockedUntil) {
		row.Refusals = 0
	}
}

func spanOf(n int, interval time.Duration) time.Duration {
	return time.Duration(n) * interval
}

func latest(t time.Time, others ...time.Time) time.Time {
	for _, o := range others {
		if o.After(t) {
			t = o
		}
	}
	return t
}

// roundUp gives a time as Postgres keeps it, in microseconds, never an earlier one.
func roundUp(t time.Time) time.Time {
	if down := t.Truncate(time.Microsecond); down.Before(t) {
		return down.Add(time.Microsecond)
	}
	return t
}
