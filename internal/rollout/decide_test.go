package rollout_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
)

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// running is a rollout of 100 targets in waves of 10, 50 and 40 that may work.
func running(change func(*rollout.Snapshot)) rollout.Snapshot {
	s := rollout.Snapshot{
		State: fleet.RolloutRunning, Counts: fleet.Counts{Pending: 100}, MaxFailures: 5,
		WaveEnds: []int{10, 60, 100}, PendingInWave: true, WindowOpen: true, Horizon: 20,
	}
	change(&s)
	return s
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		snapshot rollout.Snapshot
		want     rollout.Decision
	}{
		"a new rollout starts and releases in one call": {
			running(func(s *rollout.Snapshot) { s.State = fleet.RolloutScheduled }),
			rollout.Decision{State: fleet.RolloutRunning, Release: 6, WaveWorked: true},
		},
		"release leaves room for one failure more than allowed": {
			running(func(s *rollout.Snapshot) {
				s.Counts = fleet.Counts{Pending: 94, Failed: 3, Running: 1, Verifying: 1, Queued: 1}
				s.WaveWorked = true
			}),
			rollout.Decision{State: fleet.RolloutRunning, Release: 0, WaveWorked: true},
		},
		"release stays within the horizon": {
			running(func(s *rollout.Snapshot) {
				s.MaxFailures = 50
				s.Counts = fleet.Counts{Pending: 95, Running: 5}
			}),
			rollout.Decision{State: fleet.RolloutRunning, Release: 15, WaveWorked: true},
		},
		"release stays within what is pending": {
			running(func(s *rollout.Snapshot) {
				s.MaxFailures = 50
				s.Counts = fleet.Counts{Pending: 3, Succeeded: 97}
			}),
			rollout.Decision{State: fleet.RolloutRunning, Release: 3, WaveWorked: true},
		},
		"a start to come schedules": {
			running(func(s *rollout.Snapshot) { s.StartAt = noon.Add(24 * time.Hour) }),
			rollout.Decision{State: fleet.RolloutScheduled, Reason: "starts at 2026-03-11 12:00 UTC"},
		},
		"a closed window waits and recalls": {
			running(func(s *rollout.Snapshot) {
				s.WindowOpen, s.WindowNextOpen = false, noon.Add(10*time.Hour)
				s.Counts = fleet.Counts{Pending: 98, Queued: 1, Running: 1}
			}),
			rollout.Decision{State: fleet.RolloutWaiting, Reason: "outside its window until 22:00 UTC", Recall: true},
		},
		"a blocked account waits and says why": {
			running(func(s *rollout.Snapshot) { s.AccountBlocked = "account acme is not authorized" }),
			rollout.Decision{State: fleet.RolloutWaiting, Reason: "account acme is not authorized"},
		},
		"a waiting rollout runs when nothing holds it": {
			running(func(s *rollout.Snapshot) { s.State, s.StateReason = fleet.RolloutWaiting, "outside its window" }),
			rollout.Decision{State: fleet.RolloutRunning, Release: 6, WaveWorked: true},
		},
		"one failure more than allowed halts and recalls": {
			running(func(s *rollout.Snapshot) {
				s.MaxFailures = 10
				s.Counts = fleet.Counts{Pending: 88, Failed: 11, Queued: 1}
			}),
			rollout.Decision{State: fleet.RolloutHalted, Reason: "11 failures, 10 allowed", Recall: true},
		},
		"acknowledged failures do not count": {
			running(func(s *rollout.Snapshot) {
				s.MaxFailures, s.Acknowledged = 10, 11
				s.Counts = fleet.Counts{Pending: 89, Failed: 11}
			}),
			rollout.Decision{State: fleet.RolloutRunning, Release: 11, WaveWorked: true},
		},
		"a wave with work in flight is not done": {
			running(func(s *rollout.Snapshot) {
				s.PendingInWave, s.WaveWorked = false, true
				s.Counts = fleet.Counts{Pending: 90, Verifying: 1, Succeeded: 9}
			}),
			rollout.Decision{State: fleet.RolloutRunning, WaveWorked: true},
		},
		"a wave that is done advances and asks again": {
			running(func(s *rollout.Snapshot) {
				s.PendingInWave, s.WaveWorked = false, true
				s.Counts = fleet.Counts{Pending: 90, Succeeded: 10}
			}),
			rollout.Decision{State: fleet.RolloutRunning, WaveIndex: 1, Again: true},
		},
		"a wave that is done soaks": {
			running(func(s *rollout.Snapshot) {
				s.PendingInWave, s.WaveWorked, s.Soak = false, true, time.Hour
				s.Counts = fleet.Counts{Pending: 90, Succeeded: 10}
			}),
			rollout.Decision{State: fleet.RolloutWaiting, Reason: "soaking until 13:00 UTC", WaveWorked: true, SoakUntil: noon.Add(time.Hour)},
		},
		"a soak that has passed advances": {
			running(func(s *rollout.Snapshot) {
				s.State, s.SoakUntil = fleet.RolloutWaiting, noon
				s.PendingInWave, s.WaveWorked, s.Soak = false, true, time.Hour
				s.Counts = fleet.Counts{Pending: 90, Succeeded: 10}
			}),
			rollout.Decision{State: fleet.RolloutRunning, WaveIndex: 1, Again: true},
		},
		"a soak begins when the wave is done, not when the window opens": {
			running(func(s *rollout.Snapshot) {
				s.WindowOpen = false
				s.PendingInWave, s.WaveWorked, s.Soak = false, true, time.Hour
				s.Counts = fleet.Counts{Pending: 90, Succeeded: 10}
			}),
			rollout.Decision{State: fleet.RolloutWaiting, Reason: "outside its window", WaveWorked: true, SoakUntil: noon.Add(time.Hour)},
		},
		"a wave that released nothing is not soaked": {
			running(func(s *rollout.Snapshot) {
				s.PendingInWave, s.Soak = false, time.Hour
				s.Counts = fleet.Counts{Pending: 1, Succeeded: 99}
			}),
			rollout.Decision{State: fleet.RolloutRunning, WaveIndex: 1, Again: true},
		},
		"work put back into a soaking wave goes first": {
			running(func(s *rollout.Snapshot) {
				s.State, s.SoakUntil = fleet.RolloutWaiting, noon.Add(time.Minute)
				s.WaveWorked, s.Soak = true, time.Hour
				s.Counts = fleet.Counts{Pending: 91, Succeeded: 9}
			}),
			rollout.Decision{State: fleet.RolloutRunning, Release: 6, WaveWorked: true},
		},
		"nothing left and nothing failed succeeds, without a soak": {
			running(func(s *rollout.Snapshot) {
				s.WaveIndex, s.WaveWorked, s.PendingInWave, s.Soak = 2, true, false, time.Hour
				s.Counts = fleet.Counts{Succeeded: 90, Skipped: 10}
			}),
			rollout.Decision{State: fleet.RolloutSucceeded, WaveIndex: 2, WaveWorked: true, Ended: true},
		},
		"nothing left and some failed completes, even past the threshold": {
			running(func(s *rollout.Snapshot) {
				s.WaveIndex, s.PendingInWave = 2, false
				s.Counts = fleet.Counts{Succeeded: 94, Failed: 6}
			}),
			rollout.Decision{State: fleet.RolloutCompletedWithFailures, WaveIndex: 2, Ended: true},
		},
		"nothing left and some canceled completes": {
			running(func(s *rollout.Snapshot) {
				s.WaveIndex, s.PendingInWave = 2, false
				s.Counts = fleet.Counts{Succeeded: 99, Canceled: 1}
			}),
			rollout.Decision{State: fleet.RolloutCompletedWithFailures, WaveIndex: 2, Ended: true},
		},
		"a snapshot that contradicts itself goes nowhere beyond the last wave": {
			running(func(s *rollout.Snapshot) {
				s.WaveIndex, s.PendingInWave = 2, false
				s.Counts = fleet.Counts{Pending: 1, Succeeded: 99}
			}),
			rollout.Decision{State: fleet.RolloutRunning, WaveIndex: 2},
		},
		"a paused rollout keeps its reason and recalls": {
			running(func(s *rollout.Snapshot) {
				s.State, s.StateReason = fleet.RolloutPaused, "by ada"
				s.Counts = fleet.Counts{Pending: 99, Queued: 1}
			}),
			rollout.Decision{State: fleet.RolloutPaused, Reason: "by ada", Recall: true},
		},
		"a paused rollout ends with its last target": {
			running(func(s *rollout.Snapshot) {
				s.State, s.StateReason, s.PendingInWave = fleet.RolloutPaused, "by ada", false
				s.Counts = fleet.Counts{Succeeded: 100}
			}),
			rollout.Decision{State: fleet.RolloutSucceeded, Ended: true},
		},
		"a halted rollout ends when what was in flight has": {
			running(func(s *rollout.Snapshot) {
				s.State, s.StateReason, s.PendingInWave = fleet.RolloutHalted, "3 failures, 2 allowed", false
				s.Counts = fleet.Counts{Succeeded: 97, Failed: 3}
			}),
			rollout.Decision{State: fleet.RolloutCompletedWithFailures, Ended: true},
		},
		"a halted rollout stays halted until somebody resumes": {
			running(func(s *rollout.Snapshot) { s.State, s.StateReason = fleet.RolloutHalted, "11 failures, 10 allowed" }),
			rollout.Decision{State: fleet.RolloutHalted, Reason: "11 failures, 10 allowed"},
		},
		"a canceled rollout with work in flight has not ended": {
			running(func(s *rollout.Snapshot) {
				s.State = fleet.RolloutCanceled
				s.Counts = fleet.Counts{Canceled: 99, Verifying: 1}
			}),
			rollout.Decision{State: fleet.RolloutCanceled},
		},
		"a canceled rollout never releases, and ends when drained": {
			running(func(s *rollout.Snapshot) {
				s.State = fleet.RolloutCanceled
				s.Counts = fleet.Counts{Canceled: 99, Succeeded: 1}
			}),
			rollout.Decision{State: fleet.RolloutCanceled, Ended: true},
		},
		"a state of a newer version is left alone": {
			running(func(s *rollout.Snapshot) { s.State, s.StateReason = "dreaming", "of sheep" }),
			rollout.Decision{State: "dreaming", Reason: "of sheep"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, rollout.Decide(tc.snapshot, noon))
		})
	}
}

// Texts must not change from tick to tick without need, or every tick is a write.
func TestDecideReasonTimes(t *testing.T) {
	t.Parallel()
	soaking := func(until time.Time) string {
		return rollout.Decide(running(func(s *rollout.Snapshot) {
			s.SoakUntil, s.Soak = until, time.Hour
			s.PendingInWave, s.WaveWorked = false, true
			s.Counts = fleet.Counts{Pending: 90, Succeeded: 10}
		}), noon).Reason
	}
	require.Equal(t, "soaking until 12:00:30 UTC", soaking(noon.Add(30*time.Second)))
	require.Equal(t, "soaking until 12:45 UTC", soaking(noon.Add(45*time.Minute)))
	require.Equal(t, "soaking until 2026-03-11 11:00 UTC", soaking(noon.Add(23*time.Hour)))
	require.Equal(t, "soaking until 12:45 UTC", soaking(noon.Add(45*time.Minute).In(time.FixedZone("far", 3600))))
}

func TestFailures(t *testing.T) {
	t.Parallel()
	require.Equal(t, 4, rollout.Failures(fleet.Counts{Failed: 7}, 3))
	require.Equal(t, 0, rollout.Failures(fleet.Counts{Failed: 1}, 3), "a retry may leave fewer than were acknowledged")
}

func TestHorizon(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rate, share float64
		inFlight    int
		want        int
	}{
		"a second of the account's rate": {200, 1, 1000, 200},
		"a second of the share":          {200, 0.25, 1000, 50},
		"a part of one is one":           {10, 0.55, 1000, 6},
		"at least four":                  {0.5, 1, 1000, 4},
		"at most four in flight each":    {200, 1, 10, 40},
		"no rate":                        {0, 1, 10, 4},
		"no number":                      {math.NaN(), 1, 10, 4},
		"no limit":                       {math.Inf(1), 1, 10, 40},
		"no workers":                     {100, 1, 0, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, rollout.Horizon(tc.rate, tc.share, tc.inFlight))
		})
	}
}
