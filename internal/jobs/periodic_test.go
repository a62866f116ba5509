package jobs

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

// A year of nights, two processes that look at the same time, clocks that change, and
// days on which nobody looks: each local night is one audit, but for those that were
// slept through, of which the last is caught up.
func TestEverySlotRunsOnce(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	zones := map[string]string{"berlin": "30 2 * * *", "lord-howe": "15 2 * * *", "new-york": "30 1 * * *"}
	names := map[string]string{"berlin": "Europe/Berlin", "lord-howe": "Australia/Lord_Howe", "new-york": "America/New_York", "kolkata": "Asia/Kolkata"}
	for account := range names {
		w.account(account)
	}
	for account, cron := range zones {
		_, err := w.store.SetAuditSchedule(t.Context(), store.AuditScheduleParams{Account: account, Cron: cron, Timezone: names[account]}, w.by)
		require.NoError(t, err)
	}
	standard := store.AuditDefault{Cron: "0 2 * * *", Timezone: "Asia/Kolkata"}

	var mu sync.Mutex
	var now time.Time
	clock := func(context.Context) (time.Time, error) {
		mu.Lock()
		defer mu.Unlock()
		return now, nil
	}
	log := slog.New(slog.DiscardHandler)
	processes := []*Scheduler{
		NewScheduler(w.store, standard, clock, log, func() {}),
		NewScheduler(w.store, standard, clock, log, func() {}),
	}
	look := func(at time.Time) {
		mu.Lock()
		now = at
		mu.Unlock()
		var all sync.WaitGroup
		for _, p := range processes {
			all.Go(func() {
				if err := p.Look(t.Context()); err != nil {
					t.Errorf("look: %v", err)
				}
			})
		}
		all.Wait()
	}
	look(time.Now()) // the default is known from here on
	from := time.Date(time.Now().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
	look(from)
	w.exec("DELETE FROM audits") // what was caught up until then
	w.exec("UPDATE audit_schedules SET updated_at = $1", from)
	w.exec("UPDATE accounts SET created_at = $1", from)
	asleep := from.AddDate(0, 5, 10) // for ten days
	for at := from; at.Before(from.AddDate(1, 0, 0)); at = at.Add(3 * time.Hour) {
		if at.Before(asleep) || at.After(asleep.AddDate(0, 0, 10)) {
			look(at)
		}
	}
	for account, zone := range names {
		rows, err := w.pool.Query(t.Context(), `SELECT slot, slot_timezone, state FROM audits WHERE account_id = $1 ORDER BY slot`, w.accountID(account))
		require.NoError(t, err)
		days := map[string]int{}
		for rows.Next() {
			var slot time.Time
			var in, state string
			require.NoError(t, rows.Scan(&slot, &in, &state))
			require.Equal(t, zone, in)
			require.Equal(t, string(fleet.AuditSucceeded), state, "there are no homes")
			days[slot.Format(time.DateOnly)]++
		}
		require.NoError(t, rows.Err())
		missed := 0
		for day := from.AddDate(0, 0, 1); day.Before(from.AddDate(1, 0, -1)); day = day.AddDate(0, 0, 1) {
			n := days[day.Format(time.DateOnly)]
			require.LessOrEqual(t, n, 1, "%s: %s", account, day)
			if n == 0 {
				missed++
				require.WithinRange(t, day, asleep.AddDate(0, 0, -1), asleep.AddDate(0, 0, 10), "%s was missed in %s", day, account)
			}
		}
		require.InDelta(t, 9.5, missed, 1, "%s: the last night of the absence was caught up", account)
	}
}

// A slot that comes while an audit goes on waits for its end, and a schedule runs and
// repairs by itself from its slot to the hook.
func TestAScheduledAuditRunsAndIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 8})
	w.want(skill, "live")
	_, err := w.store.SetAuditSchedule(t.Context(), store.AuditScheduleParams{
		Account: "acme", Cron: "* * * * *", Selector: "all", Repair: true, RepairCeiling: 5,
	}, w.by)
	require.NoError(t, err)
	w.exec("UPDATE audit_schedules SET updated_at = now() - interval '1 hour'")
	w.exec("UPDATE accounts SET created_at = now() - interval '1 hour'")
	repaired := make(chan store.Audit, 10)
	r := w.runner(func(cfg *RunnerConfig) {
		cfg.Repair = func(_ context.Context, a store.Audit) (string, error) {
			repaired <- a
			return "8 findings, 5 allowed: it only alarms", nil
		}
	})
	require.NoError(t, r.Start(t.Context()))
	t.Cleanup(func() { w.stop(r) })
	var a store.Audit
	select {
	case a = <-repaired:
	case <-time.After(waitAtMost):
		t.Fatal("no audit was begun, or none repaired")
	}
	require.Equal(t, 8, a.Drifted)
	require.Equal(t, 5, a.RepairCeiling)
	require.Equal(t, fleet.AuditSucceeded, a.State)
	w.untilAudit(a.ID, "repaired", func(a store.Audit) bool { return a.StateReason == "8 findings, 5 allowed: it only alarms" })
	w.requireRead()
}
