package ratelimit

import (
	"math"
	"time"
)

// The constants of climb and hold, as measured (shared/measurements.md, section 5).
const (
	slowStart    = 2.0   // the rate doubles every second until the first refusal
	firstCeiling = 0.7   // of the rate at the first refusal: a full bucket let it overshoot
	firstRate    = 0.6   // likewise
	cut          = 0.94  // of the rate that was refused
	deepCut      = 0.7   // when refused again right after a block
	hold         = 0.985 // of the ceiling: where the rate rests
	resume       = 0.97  // of the ceiling: where it starts again after idle time
	recovery     = 1.15  // a second, back to the hold
	confirms     = 0.05  // a refusal this near to the ceiling confirms it

	probeStart  = 0.005 // a second
	probeMax    = 0.08  // a second
	probeDouble = 5.0   // seconds until the probe grows twice as fast

	soon       = 1500 * time.Millisecond // after a block: the cut was not deep enough
	firstHold  = 10 * time.Second
	maxHold    = 5 * time.Minute
	maxConfirm = 8 // firstHold << 8 is beyond maxHold
	maxStep    = 500 * time.Millisecond
	idleAfter  = time.Minute

	// An API may say 503 where it means 429, and any API says it now and then for
	// reasons of its own. So many, and such a share of the requests of late, are no
	// accident.
	overloads     = 4
	overloadShare = 0.04
	lately        = 10 * time.Second // what was counted fades by half in 7 s
)

// Learnt is what an auto budget found out; stored as JSON in the row.
type Learnt struct {
	// Ceiling is the rate that was refused last, requests a second; 0: never refused.
	Ceiling float64 `json:"ceiling,omitempty"`
	// Confirmations counts refusals in a row that came at about the ceiling; each
	// doubles the time until the next probe.
	Confirmations int `json:"confirmations,omitempty"`
	// HoldUntil ends the rest below the ceiling; zero while the rate climbs back to it.
	HoldUntil time.Time `json:"hold_until,omitzero"`
	// ProbeSeconds is how long the running probe has lasted, counted under demand.
	ProbeSeconds float64 `json:"probe_seconds,omitempty"`
	// AdvancedAt is when the rate was last brought forward.
	AdvancedAt time.Time `json:"advanced_at,omitzero"`
	// Asked is how many requests were answered lately, and Overloads how many of them
	// with 503, both as of CountedAt.
	Asked     float64   `json:"asked,omitempty"`
	Overloads float64   `json:"overloads,omitempty"`
	CountedAt time.Time `json:"counted_at,omitzero"`
}

// Count adds to an auto budget's row how many requests of a process were answered
// since its last update, and how many of them with 503.
func Count(row *Row, now time.Time, asked, overloads int) {
	if !row.Auto() || asked == 0 {
		return
	}
	l := &row.Learnt
	fade := math.Exp(-max(now.Sub(l.CountedAt), 0).Seconds() / lately.Seconds())
	l.Asked, l.Overloads = l.Asked*fade+float64(asked), l.Overloads*fade+float64(overloads)
	l.CountedAt = now
}

// overloaded says that the 503s of late are too many for faults.
func (l *Learnt) overloaded() bool {
	return l.Overloads >= overloads && l.Overloads >= overloadShare*l.Asked
}

// refused lowers the rate after a refusal that is news. sentAt is when the request left.
func (r *Row) refused(sentAt time.Time) {
	l := &r.Learnt
	l.HoldUntil, l.ProbeSeconds = time.Time{}, 0
	switch {
	case l.Ceiling <= 0:
		l.Ceiling, r.Rate, l.Confirmations = firstCeiling*r.Rate, firstRate*r.Rate, 0
	case sentAt.Sub(r.BlockedUntil) < soon && r.Rate < hold*l.Ceiling:
		r.Rate *= deepCut
		l.Confirmations = 0
	default:
		if math.Abs(r.Rate-l.Ceiling) < confirms*l.Ceiling {
			l.Confirmations = min(l.Confirmations+1, maxConfirm)
		} else {
			l.Confirmations = 0
		}
		l.Ceiling, r.Rate = r.Rate, cut*r.Rate
	}
	r.settle()
}

// Advance brings an auto budget's rate forward to now. It grows only under demand, that is
// while somebody waits: a rate that nobody uses proves nothing. jitter, in [0, 1), spreads
// the probes of budgets that were refused together. A fixed budget's rate is the limit.
func Advance(row *Row, now time.Time, demand bool, jitter float64) {
	row.settle()
	if !row.Auto() || !demand {
		return
	}
	l := &row.Learnt
	gap := now.Sub(l.AdvancedAt)
	known := !l.AdvancedAt.IsZero()
	l.AdvancedAt = now
	if known && gap > idleAfter && l.Ceiling > 0 {
		row.Rate = min(row.Rate, resume*l.Ceiling)
		l.HoldUntil, l.ProbeSeconds = time.Time{}, 0
		row.settle()
		return
	}
	if !known || gap <= 0 || now.Before(row.BlockedUntil) {
		return
	}
	dt := min(gap, maxStep).Seconds()
	switch {
	case l.Ceiling <= 0:
		row.Rate *= math.Pow(slowStart, dt)
	case l.HoldUntil.IsZero():
		if rest := hold * l.Ceiling; row.Rate < rest {
			row.Rate = min(row.Rate*math.Pow(recovery, dt), rest)
		}
		if row.Rate >= hold*l.Ceiling {
			rest := min(firstHold<<l.Confirmations, maxHold)
			l.HoldUntil = now.Add(time.Duration((0.85 + 0.3*jitter) * float64(rest))).Round(time.Microsecond)
		}
	case !now.Before(l.HoldUntil):
		pace := min(probeStart*math.Pow(2, l.ProbeSeconds/probeDouble), probeMax)
		row.Rate *= 1 + pace*dt
		l.ProbeSeconds += dt
	}
	row.settle()
}
