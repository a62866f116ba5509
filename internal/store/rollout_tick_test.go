package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestWavesSoakAndFollowEachOther(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	r := y.create(t, func(p *store.RolloutParams) { p.Canary, p.Waves, p.Soak = 3, []string{"25%"}, time.Hour })
	require.Equal(t, store.Wave{Index: 1, Of: 3}, r.Wave)
	require.Nil(t, r.StartedAt)
	for wave, ends := range []int{3, 8, 20} {
		got := y.tick(t, r.ID, 50)
		require.Equal(t, fleet.RolloutRunning, got.State)
		jobs := y.take()
		for _, c := range jobs {
			require.LessOrEqual(t, int(c.Seq), ends)
		}
		require.Zero(t, y.tick(t, r.ID, 50).Released, "nothing of the next wave")
		claimed, err := y.ClaimTargets(t.Context(), y.process, jobs)
		require.NoError(t, err)
		for _, c := range claimed {
			y.record(t, succeed(c))
		}
		y.tick(t, r.ID, 50)
		r = y.whole(t, r.ID)
		require.NotNil(t, r.StartedAt)
		require.Equal(t, ends, r.Counts.Succeeded)
		require.Equal(t, wave+1, r.Wave.Index)
		if wave < 2 {
			require.Equal(t, fleet.RolloutWaiting, r.State)
			require.Contains(t, r.StateReason, "soaking until")
			y.set(t, "UPDATE rollouts SET soak_until = now() WHERE key = $1", r.ID)
			y.tick(t, r.ID, 0) // the wave turns
		}
	}
	require.Equal(t, fleet.RolloutSucceeded, r.State)
	require.NotNil(t, r.EndedAt)
	require.Equal(t, store.TickResult{}, y.tick(t, r.ID, 50), "an ended rollout is left alone")
	got, err := y.TickRollout(t.Context(), 4711, store.TickParams{})
	require.NoError(t, err)
	require.Equal(t, store.TickResult{}, got, "and so is none")
}

func TestStartAtComes(t *testing.T) {
	t.Parallel()
	y := newYard(t, 10)
	y.observe(t, "u.id % 2 = 0", fleet.StatusEnabled, time.Minute)
	y.set(t, "UPDATE units SET occupancy = 'occupied' WHERE unit_id = 'u00000'")
	r := y.create(t, func(p *store.RolloutParams) { p.StartAt = time.Now().Add(time.Hour) })
	require.Equal(t, fleet.RolloutScheduled, r.State)
	require.Equal(t, fleet.Counts{Pending: 9, Skipped: 1}, r.Counts, "what is in state now may not be then")
	require.Zero(t, y.tick(t, r.ID, 50).Released)
	r = y.whole(t, r.ID)
	require.Equal(t, fleet.RolloutScheduled, r.State)
	require.Contains(t, r.StateReason, "starts at")
	require.NotNil(t, r.ETA)
	require.True(t, r.ETA.P50.After(time.Now().Add(50*time.Minute)))
	y.pause(t, r.ID)
	require.Equal(t, fleet.RolloutScheduled, y.resume(t, r.ID).State, "a resume does not begin it early")

	y.set(t, "UPDATE rollouts SET start_at = now()")
	y.set(t, "UPDATE units SET occupancy = 'linked' WHERE unit_id = 'u00001'") // moved in since
	require.Equal(t, 9, y.tick(t, r.ID, 50).Released)
	r = y.whole(t, r.ID)
	require.Equal(t, fleet.RolloutRunning, r.State)
	require.Equal(t, fleet.Counts{Queued: 8, Skipped: 2}, r.Counts)
	require.Len(t, y.take(), 8, "an occupied home costs no job")
	m, err := y.Metrics(t.Context())
	require.NoError(t, err)
	require.Len(t, m.Targets, 1)
	require.EqualValues(t, 2, m.Targets[0].N, "both are counted: at the start and at their turn")
}

// windowAt is a window of two hours whose middle is some hours from now in UTC.
func windowAt(hours int) string {
	at := time.Now().UTC().Add(time.Duration(hours) * time.Hour)
	return fmt.Sprintf("%s-%s", at.Add(-time.Hour).Format("15:04"), at.Add(time.Hour).Format("15:04"))
}

func TestAWindowHoldsARollout(t *testing.T) {
	t.Parallel()
	y := newYard(t, 10)
	r := y.create(t, func(p *store.RolloutParams) { p.Window, p.Timezone = windowAt(0), "UTC" })
	require.Equal(t, 4, y.tick(t, r.ID, 4).Released)
	in12 := time.Now().UTC().Add(12 * time.Hour)
	shut := in12.Hour()*60 + in12.Minute()
	y.set(t, "UPDATE rollouts SET window_start = $1, window_end = $2", shut, (shut+10)%1440) // it shuts

	y.tick(t, r.ID, 4)

	r = y.whole(t, r.ID)
	require.Equal(t, fleet.RolloutWaiting, r.State)
	require.Contains(t, r.StateReason, "outside its window until")
	require.Equal(t, fleet.Counts{Pending: 10}, r.Counts, "what was released and not begun is taken back")

	// Twelve hours west that hour is now.
	y.set(t, "UPDATE rollouts SET timezone = 'Etc/GMT+12', window_start = $1, window_end = $2", (shut+1380)%1440, (shut+60)%1440)
	require.Positive(t, y.tick(t, r.ID, 4).Released)
}

// Without a zone of its own a rollout's window is each property's: homes go when
// it is night where they are.
func TestAWindowIsThatOfEachProperty(t *testing.T) {
	t.Parallel()
	y := newYard(t, 0)
	_, err := y.load(t, "acme", store.ImportParams{},
		"a1,alpha,,,timezone=Etc/GMT-6", "b1,beta,,,", "c1,gamma,,,timezone=Etc/GMT+6", "b2,beta,,,", "a2,alpha,,,timezone=Etc/GMT-6")
	require.NoError(t, err)
	window := windowAt(0)
	r := y.create(t, func(p *store.RolloutParams) { p.Window, p.Waves = window, []string{"4"} })

	require.Equal(t, 2, y.tick(t, r.ID, 50).Released)
	require.Equal(t, []string{"b1", "b2"}, y.unitsIn(t, r.ID, fleet.TargetQueued), "UTC where no zone was given")
	y.record(t, succeed(y.claim(t)[0]))
	require.Equal(t, fleet.RolloutRunning, y.tick(t, r.ID, 50).State, "one is still under way")
	for _, c := range y.claimQueued(t, r.ID) {
		y.record(t, succeed(c))
	}
	y.tick(t, r.ID, 50)
	r = y.whole(t, r.ID)
	require.Equal(t, fleet.RolloutWaiting, r.State)
	require.Contains(t, r.StateReason, "outside its window "+window+" until ")
	require.Equal(t, 1, r.Wave.Index, "the first wave waits for the others, and with it the second")
	require.Zero(t, y.tick(t, r.ID, 50).Released)

	y.set(t, "UPDATE properties SET timezone = 'UTC' WHERE name = 'alpha'")
	require.Equal(t, 1, y.tick(t, r.ID, 50).Released, "a1; a2 is in the second wave")
	for _, c := range y.claim(t) {
		y.record(t, succeed(c))
	}
	require.Zero(t, y.tick(t, r.ID, 50).Released, "c1's night is later")
	y.set(t, "UPDATE properties SET timezone = ''")
	r = y.work(t, r.ID, succeed)
	require.Equal(t, fleet.RolloutSucceeded, r.State)
}

func (y *yard) unitsIn(t *testing.T, key string, state fleet.TargetState) (names []string) {
	t.Helper()
	for _, target := range y.targets(t, key, store.TargetFilter{State: state}) {
		names = append(names, target.UnitID)
	}
	return names
}

// claimQueued claims what is queued or was claimed by a job that is not known any more.
func (y *yard) claimQueued(t *testing.T, key string) []store.ClaimedTarget {
	t.Helper()
	_, err := y.AdoptOrphans(t.Context())
	require.NoError(t, err)
	_, err = y.DueTargets(t.Context(), 100, y.enqueue)
	require.NoError(t, err)
	return y.claim(t)
}

func TestABlockedAccountTakesBackItsTargets(t *testing.T) {
	t.Parallel()
	y := newYard(t, 10)
	r := y.create(t)
	id := y.row(t, r.ID)
	y.tick(t, r.ID, 4)
	got, err := y.TickRollout(t.Context(), id, store.TickParams{Horizon: 4, AccountBlocked: "set a new token", Enqueue: y.enqueue})
	require.NoError(t, err)
	require.True(t, got.Changed)
	r = y.whole(t, r.ID)
	require.Equal(t, "set a new token", r.StateReason)
	require.Equal(t, fleet.Counts{Pending: 10}, r.Counts)
	version := y.count(t, "SELECT xmin::text::bigint FROM rollouts")
	got, err = y.TickRollout(t.Context(), id, store.TickParams{Horizon: 4, AccountBlocked: "set a new token", Enqueue: y.enqueue})
	require.NoError(t, err)
	require.False(t, got.Changed)
	require.Equal(t, version, y.count(t, "SELECT xmin::text::bigint FROM rollouts"), "nothing new is not written down")
	require.Equal(t, 4, y.tick(t, r.ID, 4).Released)
}

// What cannot be enqueued is not released: both are one transaction.
func TestAReleaseWithoutJobsDidNotHappen(t *testing.T) {
	t.Parallel()
	y := newYard(t, 10)
	r := y.create(t)
	broken := errors.New("no room in River")
	_, err := y.TickRollout(t.Context(), y.row(t, r.ID), store.TickParams{
		Horizon: 4, Enqueue: func(context.Context, pgx.Tx, []store.TargetRef) error { return broken },
	})
	require.ErrorIs(t, err, broken)
	require.Equal(t, fleet.Counts{Pending: 10}, y.whole(t, r.ID).Counts)
}

// Near its tolerance a rollout releases ever fewer, so that a halt is never late.
func TestReleaseShrinksTowardTheTolerance(t *testing.T) {
	t.Parallel()
	y := newYard(t, 40)
	r := y.create(t, func(p *store.RolloutParams) { p.MaxFailures = "5" })
	require.Equal(t, 6, y.tick(t, r.ID, 50).Released)
	claimed := y.claim(t)
	for i, c := range claimed[:4] {
		y.record(t, ended(c, fleet.TargetFailed, fleet.ReasonForbidden))
		require.Zero(t, y.tick(t, r.ID, 50).Released, "%d failed, and the rest may", i+1)
	}
	y.record(t, succeed(claimed[4]))
	require.Equal(t, 1, y.tick(t, r.ID, 50).Released)
	y.record(t, ended(claimed[5], fleet.TargetFailed, fleet.ReasonForbidden))
	require.Zero(t, y.tick(t, r.ID, 50).Released)
	y.record(t, ended(y.claim(t)[0], fleet.TargetFailed, fleet.ReasonForbidden))
	got := y.tick(t, r.ID, 50)
	require.Equal(t, fleet.RolloutHalted, got.State)
	require.Equal(t, fleet.Counts{Pending: 33, Succeeded: 1, Failed: 6}, y.whole(t, r.ID).Counts)
}
