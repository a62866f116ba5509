package rollout

import (
	"fmt"
	"math"
	"time"

	"fleetd/internal/fleet"
)

// Snapshot is a rollout as it stands, read in one transaction. Decide needs
// nothing else but the time.
type Snapshot struct {
	State       fleet.RolloutState
	StateReason string // the text that stands beside State; Decide keeps it where it keeps the state
	Counts      fleet.Counts

	// Acknowledged is how many of Counts.Failed a person has accepted. A resume
	// and a retry both set it to the failed targets that are left.
	Acknowledged int
	MaxFailures  int // failures that are tolerated; one more halts

	WaveEnds      []int // the last seq of each wave, ascending, as Waves made them
	WaveIndex     int   // from 0
	WaveWorked    bool  // something was released in this pass over the wave
	PendingInWave bool  // some pending target has a seq <= WaveEnds[WaveIndex]

	SoakUntil time.Time     // zero: the wave's soak has not begun
	Soak      time.Duration // between waves that did something

	StartAt        time.Time // zero: at once
	WindowOpen     bool      // true also when there is no window
	WindowNextOpen time.Time // for the text only; zero: unknown

	AccountBlocked string // why the account cannot work now; empty: it can
	Horizon        int    // how many targets may be outstanding, see Horizon
}

// Decision is what to do about a Snapshot. State, Reason, WaveIndex, WaveWorked
// and SoakUntil are the whole new values, also where nothing changes.
type Decision struct {
	State      fleet.RolloutState
	Reason     string // for people: "soaking until 12:00 UTC"; empty while running
	Release    int    // pending targets of wave WaveIndex (seq <= its end) to queue, lowest seq first
	WaveIndex  int
	WaveWorked bool
	SoakUntil  time.Time // zero: no soak is under way
	Recall     bool      // queued targets go back to pending
	Ended      bool      // no target will change any more: set ended_at
	// Again asks for another look at once: the wave has just advanced, and only
	// the caller can see whether the next one has pending targets.
	Again bool
}

// Failures is how many failed targets count toward the threshold.
func Failures(c fleet.Counts, acknowledged int) int { return max(0, c.Failed-acknowledged) }

// Horizon is how many targets of one rollout may be outstanding: one second of
// its share of the account's rate (requests a second), so that pausing recalls
// little and a worker never idles; at least 4, at most four times maxInFlight.
func Horizon(rate, share float64, maxInFlight int) int {
	const seconds = 1.0
	most := max(4, maxInFlight*4)
	want := math.Ceil(rate * share * seconds)
	if math.IsNaN(want) || want < 4 {
		return 4
	}
	if want > float64(most) {
		return most
	}
	return int(want)
}

// Decide says what follows from s at the time now. One call reaches a decision
// that stays the same until something happens, save where it answers Again (or
// Recall, which may leave a wave done that had queued targets of a later one).
//
// The bound on failures: what is outstanding could all fail, so at any time
// failures + outstanding <= MaxFailures + 1, and release shrinks toward one at a
// time as the threshold comes near. The target that breaks it is the last one,
// so a halted rollout has at most MaxFailures + 1 failures since the last
// acknowledgement.
//
// A rollout with no target left ends, even where it is paused or its last failure
// broke the threshold: there is nothing left to hold back.
func Decide(s Snapshot, now time.Time) Decision {
	d := Decision{
		State: s.State, Reason: s.StateReason,
		WaveIndex: s.WaveIndex, WaveWorked: s.WaveWorked, SoakUntil: s.SoakUntil,
	}
	drained := s.Counts.Pending == 0 && s.Counts.Outstanding() == 0

	switch s.State {
	case fleet.RolloutSucceeded, fleet.RolloutCompletedWithFailures, fleet.RolloutCanceled:
		d.Ended = drained // a canceled rollout still proves what was in flight
		return d
	case fleet.RolloutScheduled, fleet.RolloutRunning, fleet.RolloutWaiting, fleet.RolloutPaused, fleet.RolloutHalted:
	default: // a state of a newer version: leave it alone
		return d
	}

	if drained {
		d.State, d.Reason = outcome(s.Counts), ""
		d.SoakUntil, d.Ended = time.Time{}, true
		return d
	}
	if s.State == fleet.RolloutPaused || s.State == fleet.RolloutHalted {
		d.Recall = s.Counts.Queued > 0
		return d
	}
	if failures := Failures(s.Counts, s.Acknowledged); failures > s.MaxFailures {
		d.State = fleet.RolloutHalted
		d.Reason = fmt.Sprintf("%d failures, %d allowed", failures, s.MaxFailures)
		d.Recall = s.Counts.Queued > 0
		return d
	}

	d.Again = d.turnWave(s, now)
	d.State, d.Reason = gate(s, d.SoakUntil, now)
	switch {
	case d.State != fleet.RolloutRunning:
		d.Recall = s.Counts.Queued > 0
	case s.PendingInWave:
		d.Release = Room(s)
		d.WaveWorked = d.WaveWorked || d.Release > 0
	}
	return d
}

// turnWave begins the soak of a wave that is done, or leaves the wave when it
// needs none or has had it. It reports whether the wave advanced.
func (d *Decision) turnWave(s Snapshot, now time.Time) bool {
	if s.PendingInWave || s.Counts.Outstanding() > 0 {
		d.SoakUntil = time.Time{} // a retry put work back into a soaking wave
		return false
	}
	if s.WaveIndex >= len(s.WaveEnds)-1 {
		return false
	}
	if s.WaveWorked && s.Soak > 0 {
		if d.SoakUntil.IsZero() {
			d.SoakUntil = now.Add(s.Soak)
		}
		if now.Before(d.SoakUntil) {
			return false
		}
	}
	d.WaveIndex++
	d.WaveWorked, d.SoakUntil = false, time.Time{}
	return true
}

// gate says whether a rollout that has work left may do it now.
func gate(s Snapshot, soakUntil, now time.Time) (fleet.RolloutState, string) {
	switch {
	case now.Before(s.StartAt):
		return fleet.RolloutScheduled, "starts at " + clock(s.StartAt.UTC(), now)
	case s.AccountBlocked != "":
		return fleet.RolloutWaiting, s.AccountBlocked
	case !s.WindowOpen && s.WindowNextOpen.IsZero():
		return fleet.RolloutWaiting, "outside its window"
	case !s.WindowOpen:
		return fleet.RolloutWaiting, "outside its window until " + clock(s.WindowNextOpen, now)
	case now.Before(soakUntil):
		return fleet.RolloutWaiting, "soaking until " + clock(soakUntil.UTC(), now)
	}
	return fleet.RolloutRunning, ""
}

// Room is how many targets may join those that are outstanding, while the rollout runs.
func Room(s Snapshot) int {
	outstanding := s.Counts.Outstanding()
	tolerated := s.MaxFailures + 1 - Failures(s.Counts, s.Acknowledged) - outstanding
	return max(0, min(s.Counts.Pending, s.Horizon-outstanding, tolerated))
}

// outcome is the end of a rollout that nobody canceled.
func outcome(c fleet.Counts) fleet.RolloutState {
	if c.Failed == 0 && c.Canceled == 0 {
		return fleet.RolloutSucceeded
	}
	return fleet.RolloutCompletedWithFailures
}

// clock writes t in its own zone: seconds when it is minutes away, the date when
// it is not today.
func clock(t, now time.Time) string {
	layout := "15:04 MST"
	if t.Sub(now) < 10*time.Minute {
		layout = "15:04:05 MST"
	}
	if t.Format(time.DateOnly) != now.In(t.Location()).Format(time.DateOnly) {
		layout = time.DateOnly + " " + layout
	}
	return t.Format(layout)
}
