package rollout

import (
	"math"
	"time"
)

// PriceInput is the requests a rollout will send when nothing fails: one per
// unit that is read first, one per unit that may be written to (those that are
// read first count in both).
type PriceInput struct {
	Read  int
	Write int
}

// Price is what a rollout costs.
type Price struct {
	Requests int64
	Minutes  float64 // at the rate it was asked for, rounded up to a hundredth; 0 when that is unknown
}

// PriceOf prices a rollout at rate requests a second (0: unknown). It leaves out
// what cannot be known before: the reads of units that answer ENABLING, of lost
// answers, and the few requests for access tokens.
func PriceOf(in PriceInput, rate float64) Price {
	p := Price{Requests: int64(in.Read) + int64(in.Write)}
	if rate > 0 {
		const hundredths = 100
		p.Minutes = math.Ceil(float64(p.Requests)/rate/60*hundredths) / hundredths
	}
	return p
}

// ETAInput is how far a rollout has come.
type ETAInput struct {
	Remaining int           // targets without an outcome
	Ended     int           // targets with one that cost requests
	Requests  int64         // spent so far
	Rate      float64       // requests a second it may expect from now on
	Wait      time.Duration // known waiting ahead: soaks, window, start
}

// ETA is when a rollout is likely to end: half and nine tenths of the time it
// has ended by then.
type ETA struct {
	P50 time.Time
	P90 time.Time
}

// EstimateEnd says when a rollout is likely to end, and false when that cannot be
// told (no rate). The requests a target takes are those seen so far, leaning on
// one a target while few have ended. P90 is a margin, not a measured quantile: a
// tenth for a rate that moves, and up to four tenths more while little was seen.
func EstimateEnd(in ETAInput, now time.Time) (ETA, bool) {
	if in.Remaining <= 0 {
		return ETA{P50: now, P90: now}, true
	}
	if !(in.Rate > 0) || math.IsInf(in.Rate, 1) {
		return ETA{}, false
	}
	const lean = 10 // targets' worth of belief in one request each
	perTarget := (float64(in.Requests) + lean) / (float64(max(0, in.Ended)) + lean)
	work := float64(in.Remaining) * perTarget / in.Rate
	margin := 0.1 + 0.4/math.Sqrt(1+float64(max(0, in.Ended))/lean)
	return ETA{
		P50: now.Add(in.Wait + seconds(work)),
		P90: now.Add(in.Wait + seconds(work*(1+margin)+1)),
	}, true
}

// seconds is s as a duration, at most ten years: a far end stays a valid time.
func seconds(s float64) time.Duration {
	const most = 10 * 365 * 24 * 3600
	return time.Duration(min(s, most) * float64(time.Second))
}
