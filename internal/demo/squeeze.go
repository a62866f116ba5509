package demo

import (
	"fmt"
	"time"

	"fleetd/internal/client"
	"fleetd/internal/simulator"
)

// squeezeFor is how long the API allows only half.
const squeezeFor = 3 * time.Second

// squeeze is the time in which the API allows only half of what fleetd was told.
type squeeze struct {
	over    bool
	began   time.Time // zero: not yet
	before  simulator.Limit
	refused uint64 // before it began
	err     error
}

// step begins the squeeze when three homes of ten are done, and ends it in time.
func (q *squeeze) step(sim *simulator.Simulator, now time.Time, r client.Rollout, say display) error {
	stats := sim.Stats()
	switch {
	case q.over:
	case q.began.IsZero() && 10*ended(r.Counts) >= 3*r.Targets:
		q.began, q.before, q.refused = now, stats.Limit, stats.Refused
		q.err = sim.SetLimit(simulator.Limit{RPS: q.before.RPS / 2, Burst: q.before.Burst})
		say.note(fmt.Sprintf("The API now allows only %.0f requests a second, for %s, and tells nobody.", q.before.RPS/2, seconds(squeezeFor)))
	case !q.began.IsZero() && now.Sub(q.began) >= squeezeFor:
		q.over = true
		q.err = sim.SetLimit(q.before)
		say.note(fmt.Sprintf("It allows %.0f again. Meanwhile %s answered 429, with a Retry-After.",
			q.before.RPS, things(stats.Refused-q.refused, "request")))
	}
	return q.err
}
