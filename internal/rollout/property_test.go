package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
)

// model is a rollout as the store would keep it: it does what Decide says, lets
// targets end as they like and lets people interfere.
type model struct {
	t        require.TestingT
	now      time.Time
	targets  []fleet.TargetState // seq - 1
	failed   int                 // since the last acknowledgement
	lastEnd  time.Time           // of a target
	snapshot rollout.Snapshot
	ended    bool
}

func newModel(t *rapid.T) *model {
	n := rapid.IntRange(1, 60).Draw(t, "targets")
	sizes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rollout.Size {
		if rapid.Bool().Draw(t, "share") {
			return rollout.Size{Percent: float64(rapid.IntRange(1, 100).Draw(t, "percent"))}
		}
		return rollout.Size{N: rapid.IntRange(1, 30).Draw(t, "n")}
	}), 0, 4).Draw(t, "waves")
	ends, err := rollout.Waves(n, rapid.IntRange(0, 5).Draw(t, "canary"), sizes)
	require.NoError(t, err)
	m := &model{t: t, now: noon, targets: make([]fleet.TargetState, n)}
	for i := range m.targets {
		// Occupied homes are skipped when the rollout is made, anywhere in it.
		m.targets[i] = rapid.SampledFrom([]fleet.TargetState{fleet.TargetPending, fleet.TargetPending, fleet.TargetSkipped}).Draw(t, "born")
	}
	m.snapshot = rollout.Snapshot{
		State:       fleet.RolloutScheduled,
		MaxFailures: rapid.IntRange(0, 6).Draw(t, "max failures"),
		WaveEnds:    ends,
		Soak:        time.Duration(rapid.IntRange(0, 2).Draw(t, "soak")) * time.Minute,
		StartAt:     noon.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "start")) * time.Minute),
		WindowOpen:  true,
		Horizon:     rapid.IntRange(1, 12).Draw(t, "horizon"),
	}
	return m
}

// look fills in what the store would read.
func (m *model) look() rollout.Snapshot {
	var c fleet.Counts
	s := m.snapshot
	s.PendingInWave = false
	for i, state := range m.targets {
		switch state {
		case fleet.TargetPending:
			c.Pending++
			s.PendingInWave = s.PendingInWave || i+1 <= s.WaveEnds[s.WaveIndex]
		case fleet.TargetQueued:
			c.Queued++
		case fleet.TargetRunning:
			c.Running++
		case fleet.TargetVerifying:
			c.Verifying++
		case fleet.TargetSucceeded:
			c.Succeeded++
		case fleet.TargetFailed:
			c.Failed++
		case fleet.TargetSkipped:
			c.Skipped++
		case fleet.TargetCanceled:
			c.Canceled++
		}
	}
	s.Counts = c
	return s
}

// tick decides and does, and then checks that a second look changes nothing.
func (m *model) tick() {
	for looks := 0; ; looks++ {
		require.LessOrEqual(m.t, looks, len(m.snapshot.WaveEnds)+1, "Decide asks again without end")
		s := m.look()
		d := rollout.Decide(s, m.now)
		m.apply(s, d)
		if d.Again {
			require.Zero(m.t, d.Release)
			require.Greater(m.t, d.WaveIndex, s.WaveIndex)
		} else if !d.Recall {
			break
		}
	}
	s := m.look()
	d := rollout.Decide(s, m.now)
	require.Equal(m.t, s.State, d.State, "the state is not stable")
	require.Equal(m.t, s.StateReason, d.Reason)
	require.Equal(m.t, s.SoakUntil, d.SoakUntil)
	require.Equal(m.t, s.WaveIndex, d.WaveIndex)
	require.Zero(m.t, d.Release, "a second look releases more")
	require.False(m.t, d.Recall)
	require.False(m.t, d.Again)
	require.Equal(m.t, m.ended, d.Ended)
}

func (m *model) apply(s rollout.Snapshot, d rollout.Decision) {
	if d.Release > 0 {
		require.Equal(m.t, fleet.RolloutRunning, d.State, "only a running rollout releases")
		require.False(m.t, d.Recall)
		require.Empty(m.t, s.AccountBlocked)
		require.True(m.t, s.WindowOpen)
		require.False(m.t, m.now.Before(s.StartAt))
	}
	m.snapshot.State, m.snapshot.StateReason = d.State, d.Reason
	m.snapshot.WaveIndex, m.snapshot.WaveWorked, m.snapshot.SoakUntil = d.WaveIndex, d.WaveWorked, d.SoakUntil
	if d.Recall {
		m.move(fleet.TargetQueued, fleet.TargetPending)
	}
	if d.Ended {
		require.True(m.t, d.State.Ended())
		require.Zero(m.t, s.Counts.Pending+s.Counts.Outstanding())
		m.ended = true
	}
	left := d.Release
	for i := range m.targets[:s.WaveEnds[d.WaveIndex]] {
		if left > 0 && m.targets[i] == fleet.TargetPending {
			m.release(i)
			left--
		}
	}
	c := m.look().Counts
	require.Equal(m.t, len(m.targets), c.Sum(), "a target was lost")
	if d.Release > 0 {
		require.LessOrEqual(m.t, c.Outstanding(), s.Horizon)
		require.LessOrEqual(m.t, m.failed+c.Outstanding(), s.MaxFailures+1, "too many could still fail")
	}
}

// release queues target i and checks that its wave may begin.
func (m *model) release(i int) {
	if w := m.snapshot.WaveIndex; w > 0 {
		for j := range m.snapshot.WaveEnds[w-1] {
			require.True(m.t, m.targets[j].Ended(), "seq %d of an earlier wave has not ended when seq %d of wave %d is released", j+1, i+1, w)
		}
	}
	m.targets[i] = fleet.TargetQueued
}

// move puts every target of one state into another and says how many there were.
func (m *model) move(from, to fleet.TargetState) (n int) {
	for i, state := range m.targets {
		if state == from {
			m.targets[i] = to
			n++
		}
	}
	return n
}

// step moves one outstanding target a step toward its end, and reports whether there was one.
func (m *model) step(t *rapid.T) bool {
	var out []int
	for i, state := range m.targets {
		if !state.Ended() && state != fleet.TargetPending {
			out = append(out, i)
		}
	}
	if len(out) == 0 {
		return false
	}
	i := rapid.SampledFrom(out).Draw(t, "target")
	next := map[fleet.TargetState][]fleet.TargetState{
		fleet.TargetQueued:    {fleet.TargetRunning, fleet.TargetSkipped},
		fleet.TargetRunning:   {fleet.TargetVerifying, fleet.TargetSucceeded, fleet.TargetFailed, fleet.TargetSkipped},
		fleet.TargetVerifying: {fleet.TargetSucceeded, fleet.TargetFailed},
	}[m.targets[i]]
	m.targets[i] = rapid.SampledFrom(next).Draw(t, "to")
	if m.targets[i].Ended() {
		m.lastEnd = m.now
	}
	if m.targets[i] == fleet.TargetFailed {
		m.failed++
	}
	require.LessOrEqual(m.t, m.failed, m.snapshot.MaxFailures+1, "failures went past the threshold")
	return true
}

// acknowledge is what a resume and a retry do to the threshold.
func (m *model) acknowledge() {
	m.failed = 0
	m.snapshot.Acknowledged = m.look().Counts.Failed
}

func (m *model) resume() {
	if m.snapshot.State == fleet.RolloutPaused || m.snapshot.State == fleet.RolloutHalted {
		m.acknowledge()
		m.snapshot.State, m.snapshot.StateReason = fleet.RolloutRunning, ""
	}
}

// TestDecideProperties proves, for rollouts of any waves, tolerance, soak and
// horizon, with targets that end as they like and people, windows and accounts
// that interfere at any time:
//
//   - counts are conserved;
//   - failures since the last acknowledgement never exceed MaxFailures + 1, and
//     after each release neither do failures and targets in flight together;
//   - outstanding targets never exceed the horizon after a release;
//   - nothing is released of a wave before every target of the waves before it
//     has ended, nor before start_at, outside the window, for a blocked account,
//     or in any state but running;
//   - a second look at the same time changes nothing;
//   - left alone and resumed when halted, it always ends: whenever nothing is in
//     flight it is waiting for a known time, halted, or ended.
func TestDecideProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		unlessEnded := func(do func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				if !m.snapshot.State.Ended() {
					do(t)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"tick": func(*rapid.T) { m.tick() },
			"step": func(t *rapid.T) { m.step(t) },
			"work": func(t *rapid.T) {
				m.tick()
				for range rapid.IntRange(1, 8).Draw(t, "steps") {
					m.step(t)
				}
			},
			"time passes": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
			},
			"pause":   unlessEnded(func(*rapid.T) { m.snapshot.State, m.snapshot.StateReason = fleet.RolloutPaused, "by ada" }),
			"resume":  func(*rapid.T) { m.resume() },
			"window":  func(*rapid.T) { m.snapshot.WindowOpen = !m.snapshot.WindowOpen },
			"account": func(*rapid.T) { m.snapshot.AccountBlocked = map[string]string{"": "no key"}[m.snapshot.AccountBlocked] },
			"horizon": func(t *rapid.T) { m.snapshot.Horizon = rapid.IntRange(1, 12).Draw(t, "horizon") },
			"crash":   func(*rapid.T) { m.move(fleet.TargetRunning, fleet.TargetVerifying) },
			"retry": func(*rapid.T) {
				if m.snapshot.State == fleet.RolloutCanceled || m.move(fleet.TargetFailed, fleet.TargetPending) == 0 {
					return
				}
				m.acknowledge()
				m.ended = false
				m.snapshot.State, m.snapshot.StateReason = fleet.RolloutRunning, ""
				m.snapshot.WaveIndex, m.snapshot.WaveWorked, m.snapshot.SoakUntil = 0, false, time.Time{}
			},
			"cancel": unlessEnded(func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
					m.move(fleet.TargetPending, fleet.TargetCanceled)
					m.move(fleet.TargetQueued, fleet.TargetCanceled)
					m.snapshot.State, m.snapshot.StateReason = fleet.RolloutCanceled, "by ada"
				}
			}),
		})
		m.finish(t)
	})
}

// finish leaves the rollout alone until it ends.
func (m *model) finish(t *rapid.T) {
	m.snapshot.WindowOpen, m.snapshot.AccountBlocked = true, ""
	for range 10 * (len(m.targets) + len(m.snapshot.WaveEnds) + 1) {
		m.resume()
		m.tick()
		if m.ended {
			require.True(m.t, m.snapshot.State.Ended())
			return
		}
		if m.step(t) {
			continue
		}
		switch m.snapshot.State {
		case fleet.RolloutScheduled:
			require.True(m.t, m.now.Before(m.snapshot.StartAt))
			m.now = m.snapshot.StartAt
		case fleet.RolloutWaiting:
			require.False(m.t, m.snapshot.SoakUntil.IsZero())
			m.now = m.snapshot.SoakUntil
		case fleet.RolloutHalted:
		case fleet.RolloutRunning, fleet.RolloutPaused, fleet.RolloutSucceeded, fleet.RolloutCompletedWithFailures, fleet.RolloutCanceled:
			require.Fail(m.t, "stuck", "%+v", m.look())
		}
	}
	require.Fail(m.t, "does not end", "%+v", m.look())
}

// TestSoakProperty proves that a wave that did something is followed by its whole
// soak: no target of the next one is released sooner than Soak after the last end.
func TestSoakProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		m.snapshot.MaxFailures = len(m.targets)
		m.snapshot.Soak = time.Minute
		m.now = m.snapshot.StartAt
		for !m.ended {
			before, worked := m.snapshot.WaveIndex, m.snapshot.WaveWorked
			m.tick()
			if worked && m.snapshot.WaveIndex != before {
				require.GreaterOrEqual(t, m.now.Sub(m.lastEnd), time.Minute)
			}
			if !m.step(t) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
			}
		}
	})
}
