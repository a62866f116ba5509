package store_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/ratelimit"
	"fleetd/internal/store"
)

func TestAProcessLivesWhileItSaysSo(t *testing.T) {
	t.Parallel()
	y := newYard(t, 6)
	running := y.create(t, func(p *store.RolloutParams) { p.SkillID, p.Weight = "a", 3 })
	scheduled := y.create(t, func(p *store.RolloutParams) { p.SkillID, p.StartAt = "b", time.Now().Add(time.Hour) })
	y.cancel(t, y.create(t, func(p *store.RolloutParams) { p.SkillID = "c" }).ID)
	y.set(t, "UPDATE processes SET seen_at = now() - interval '9 seconds'")

	open, err := y.Heartbeat(t.Context(), y.process)

	require.NoError(t, err)
	require.Equal(t, []store.OpenRollout{
		{ID: y.row(t, running.ID), Key: running.ID, AccountID: y.accountID(t, "acme"), State: fleet.RolloutRunning, Weight: 3},
		{ID: y.row(t, scheduled.ID), Key: scheduled.ID, AccountID: y.accountID(t, "acme"), State: fleet.RolloutScheduled, Weight: 1},
	}, open, "ended ones are not open")
	require.Equal(t, 1, y.count(t, "SELECT count(*) FROM processes WHERE seen_at > now() - interval '5 seconds'"))

	_, err = y.RegisterProcess(t.Context(), store.Process{Name: "long dead"})
	require.NoError(t, err)
	y.set(t, "UPDATE processes SET seen_at = now() - interval '2 hours' WHERE name = 'long dead'")
	require.NoError(t, y.ForgetProcess(t.Context(), y.process))
	require.Zero(t, y.count(t, "SELECT count(*) FROM processes"), "it, and what died long ago")
	_, err = y.Heartbeat(t.Context(), y.process)
	require.ErrorIs(t, err, store.ErrProcessForgotten)
}

func TestNeighborsThatAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	y := newYard(t, 0)
	register := func(name, place string, pid int) int64 {
		id, err := y.RegisterProcess(t.Context(), store.Process{Name: name, Place: place, PID: pid, Started: "s" + name})
		require.NoError(t, err)
		return id
	}
	me := register("me", "here", 1)
	register("gone", "here", 2)
	register("alive", "here", 3)
	register("elsewhere", "there", 2)
	asked := map[int]string{}

	require.NoError(t, y.ForgetGone(t.Context(), me, "here", func(pid int, started string) bool {
		asked[pid] = started
		return pid == 2
	}))

	require.Equal(t, map[int]string{2: "sgone", 3: "salive"}, asked, "it does not ask about itself, or about other machines")
	require.Zero(t, y.count(t, "SELECT count(*) FROM processes WHERE name = 'gone'"))
	require.Equal(t, 4, y.count(t, "SELECT count(*) FROM processes"))
	require.NoError(t, y.ForgetGone(t.Context(), me, "", func(int, string) bool { panic("of what place?") }))
	require.Equal(t, me, register("me", "here", 1), "a name is registered once")
}

func TestABudgetRowIsChangedUnderItsLock(t *testing.T) {
	t.Parallel()
	y := newYard(t, 0)
	id := y.accountID(t, "acme")
	b := y.BudgetRow(y.pool, id, "enterprise")
	first, now, err := b.Update(t.Context(), func(*ratelimit.Row, time.Time) {})
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), now, time.Minute, "the clock of the database")
	require.Zero(t, first.RateLimit)
	require.Equal(t, 5, first.Burst)
	version := y.count(t, "SELECT xmin::text::bigint FROM budgets")

	got, _, err := b.Update(t.Context(), func(*ratelimit.Row, time.Time) {})
	require.NoError(t, err)
	require.Equal(t, first, got)
	require.Equal(t, version, y.count(t, "SELECT xmin::text::bigint FROM budgets"), "what did not change is not written")

	until := now.Add(time.Minute).Truncate(time.Microsecond)
	want, _, err := b.Update(t.Context(), func(row *ratelimit.Row, now time.Time) {
		row.Rate, row.TAT, row.BlockedUntil, row.BlockedAt, row.Refusals = 17.5, now.Truncate(time.Microsecond), until, now.Truncate(time.Microsecond), 3
		row.Learnt.Ceiling = 20
	})
	require.NoError(t, err)
	got, _, err = b.Update(t.Context(), func(*ratelimit.Row, time.Time) {})
	require.NoError(t, err)
	require.InDelta(t, 17.5, got.Rate, 0)
	require.True(t, got.BlockedUntil.Equal(until))
	require.True(t, got.TAT.Equal(want.TAT))
	require.Equal(t, 3, got.Refusals)
	require.InDelta(t, 20, got.Learnt.Ceiling, 0)

	_, _, err = y.BudgetRow(y.pool, 4711, "enterprise").Update(t.Context(), func(*ratelimit.Row, time.Time) {})
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

// Processes that change a row at once do so one after the other, each by a clock
// that was read after it had the lock.
func TestABudgetRowIsChangedByOneAtATime(t *testing.T) {
	t.Parallel()
	y := newYard(t, 0)
	b := y.BudgetRow(y.pool, y.accountID(t, "acme"), "enterprise")
	const each = 25
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				_, _, err = b.Update(t.Context(), func(row *ratelimit.Row, now time.Time) {
					row.Refusals++
					if now.Before(row.TAT) {
						row.Rate = -1 // breaks budgets_rate_check
					}
					row.TAT = now
				})
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Equal(t, each*cap(errs), y.count(t, "SELECT refusals FROM budgets"))
}

func TestListenersHearOfEverything(t *testing.T) {
	t.Parallel()
	y := newYard(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan [2]string, 100), make(chan error, 1)
	go func() {
		ended <- y.Listen(ctx, func(channel, payload string) { heard <- [2]string{channel, payload} })
	}()
	hear := func(channel, payload string) {
		t.Helper()
		for {
			select {
			case got := <-heard:
				if got == [2]string{channel, payload} {
					return
				}
			case <-time.After(time.Minute):
				t.Fatalf("nobody told of %s %s", channel, payload)
			}
		}
	}
	hear("", "") // it listens
	r := y.create(t)
	row := strconv.FormatInt(y.row(t, r.ID), 10)
	hear(store.ChannelControl, row)
	y.pause(t, r.ID)
	hear(store.ChannelControl, row)
	y.resume(t, r.ID)
	hear(store.ChannelControl, row)
	y.tick(t, r.ID, 10)
	for _, c := range y.claim(t) {
		y.record(t, succeed(c))
	}
	y.tick(t, r.ID, 10) // it ends
	hear(store.ChannelControl, row)

	account := strconv.FormatInt(y.accountID(t, "acme"), 10)
	b := y.BudgetRow(y.pool, y.accountID(t, "acme"), "enterprise")
	_, _, err := b.Update(t.Context(), func(row *ratelimit.Row, now time.Time) { row.BlockedUntil = now.Add(time.Second) })
	require.NoError(t, err)
	hear(store.ChannelBudget, account+" enterprise")
	_, err = y.SetAccount(t.Context(), "acme", store.AccountPatch{APIURL: new("http://127.0.0.1:9")}, y.by)
	require.NoError(t, err)
	hear(store.ChannelAccount, account)
	cancel()
	require.Error(t, <-ended)
}

func TestListenersNoticeABrokenConnection(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := store.New(pool, nil)
	listening, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- s.Listen(t.Context(), func(string, string) { listening <- struct{}{} }) }()
	<-listening
	_, err = pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
	require.NoError(t, err)
	require.Error(t, <-ended)
}

func TestMetricsShowTheLedger(t *testing.T) {
	t.Parallel()
	y := newYard(t, 10)
	y.set(t, "UPDATE units SET occupancy = 'occupied' WHERE unit_id = 'u00009'")
	y.set(t, "INSERT INTO river_job (kind, max_attempts, args, queue) VALUES ('target', 3, '{}', 'account_1')")
	r := y.create(t)
	y.cancel(t, y.create(t, func(p *store.RolloutParams) { p.SkillID, p.IncludeOccupied = "b", true }).ID)
	y.tick(t, r.ID, 4)
	claimed := y.claim(t)
	y.record(t, succeed(claimed[0]), ended(claimed[1], fleet.TargetFailed, fleet.ReasonForbidden))

	m, err := y.Metrics(t.Context())

	require.NoError(t, err)
	outcomes := map[string]int64{}
	for _, row := range m.Targets {
		require.Equal(t, "acme", row.Account)
		outcomes[row.Action+" "+row.State+" "+row.Reason] = row.N
	}
	require.Equal(t, map[string]int64{
		"enable skipped occupied": 1, "enable canceled ": 10, "enable succeeded ": 1, "enable failed forbidden": 1,
	}, outcomes)
	require.Len(t, m.Rollouts, len(fleet.RolloutStates()), "each state is shown, also at zero")
	for _, row := range m.Rollouts {
		want := int64(0)
		if row.State == "running" || row.State == "canceled" {
			want = 1
		}
		require.Equal(t, want, row.N, row.State)
	}
	open := map[string]int64{}
	for _, row := range m.Open {
		open[row.State] = row.N
	}
	require.Equal(t, map[string]int64{
		"pending": 5, "queued": 0, "running": 2, "verifying": 0, "succeeded": 1, "failed": 1, "skipped": 1, "canceled": 0,
	}, open, "of open rollouts only")
	require.Equal(t, []store.QueueCount{{Queue: "account_1", State: "available", N: 1}}, m.Queue)
}
