package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// due lists the slots that are due, by account.
func (w *night) due(t *testing.T, now time.Time, standard store.AuditDefault) map[string]string {
	t.Helper()
	slots, err := w.DueSlots(t.Context(), now, standard)
	require.NoError(t, err)
	out := map[string]string{}
	for _, s := range slots {
		require.NoError(t, s.Behind)
		out[s.Account] = s.Slot.Format("2006-01-02 15:04 ") + s.Timezone
	}
	return out
}

func TestAuditSchedulesAreSetShownAndTakenAway(t *testing.T) {
	t.Parallel()
	w := newNight(t, 0)
	standard := store.AuditDefault{Cron: "0 3 * * *", Timezone: "Europe/Berlin"}
	s, err := w.AuditSchedule(t.Context(), "acme", store.AuditDefault{})
	require.NoError(t, err)
	require.Equal(t, store.AuditSchedule{Account: "acme", Timezone: "UTC", Selector: "all", Default: true}, s)
	s, err = w.AuditSchedule(t.Context(), "acme", standard)
	require.NoError(t, err)
	require.True(t, s.Default)
	require.NotNil(t, s.NextAt)

	s, err = w.SetAuditSchedule(t.Context(), store.AuditScheduleParams{
		Account: "acme", Cron: " 0 2  * * *", Timezone: "America/New_York", Selector: "property = maple-court", Repair: true, RepairCeiling: 7,
	}, w.by)
	require.NoError(t, err)
	require.Equal(t, "0 2 * * *", s.Cron)
	require.Equal(t, "property=maple-court", s.Selector)
	require.Equal(t, 7, s.RepairCeiling)
	require.False(t, s.Default)
	require.WithinRange(t, *s.NextAt, time.Now(), time.Now().Add(25*time.Hour))

	for name, p := range map[string]store.AuditScheduleParams{
		"cron":           {Account: "acme", Cron: "30 2 31 2 *"},
		"timezone":       {Account: "acme", Timezone: "Mars/Olympus"},
		"repair_ceiling": {Account: "acme", Cron: "0 2 * * *", Repair: true},
		"account":        {Account: "nobody", Cron: "0 2 * * *"},
	} {
		_, err := w.SetAuditSchedule(t.Context(), p, w.by)
		require.Equal(t, name, asFleet(t, err).Field)
	}
	_, err = w.SetAuditSchedule(t.Context(), store.AuditScheduleParams{Account: "acme", Cron: "0 2 * * *", Selector: "property"}, w.by)
	require.Equal(t, fleet.CodeInvalid, asFleet(t, err).Code)
	_, err = w.AuditSchedule(t.Context(), "nobody", standard)
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
	again, err := w.AuditSchedule(t.Context(), "acme", standard)
	require.NoError(t, err)
	require.Equal(t, s.Cron, again.Cron, "what was refused changed nothing")

	s, err = w.SetAuditSchedule(t.Context(), store.AuditScheduleParams{Account: "acme"}, w.by)
	require.NoError(t, err)
	require.Nil(t, s.NextAt, "never, whatever fleetd's own is")
	require.NoError(t, w.DeleteAuditSchedule(t.Context(), "acme", "", w.by))
	err = w.DeleteAuditSchedule(t.Context(), "acme", "", w.by)
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

// Slots from before a schedule was made, or changed, are nobody's.
func TestDueSlots(t *testing.T) {
	t.Parallel()
	w := newNight(t, 1)
	w.account(t, "birch")
	w.account(t, "cedar")
	standard := store.AuditDefault{Cron: "0 3 * * *", Timezone: "UTC"}
	_, err := w.SetAuditSchedule(t.Context(), store.AuditScheduleParams{Account: "acme", Cron: "0 2 * * *", Timezone: "America/New_York"}, w.by)
	require.NoError(t, err)
	_, err = w.SetAuditSchedule(t.Context(), store.AuditScheduleParams{Account: "cedar"}, w.by)
	require.NoError(t, err)
	now, err := w.Now(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), now, time.Minute)
	require.Empty(t, w.due(t, now, standard), "what has passed is not made up for")

	day := time.Date(now.Year()+1, 6, 10, 12, 0, 0, 0, time.UTC)
	date := day.Format("2006-01-02 ")
	require.Equal(t, map[string]string{"acme": date + "02:00 America/New_York", "birch": date + "03:00 UTC"}, w.due(t, day, standard))
	require.Equal(t, map[string]string{"acme": date + "02:00 America/New_York"}, w.due(t, day, store.AuditDefault{}))

	claim := func(account, zone string, at time.Time) (store.Audit, bool) {
		a, taken, err := w.ClaimSlot(t.Context(), store.SlotParams{
			AccountID: w.accountID(t, account), Account: account, Slot: at, Timezone: zone, Selector: "all", Repair: true, RepairCeiling: 9,
		})
		require.NoError(t, err)
		return a, taken
	}
	slot := time.Date(day.Year(), 6, 10, 2, 0, 0, 0, time.UTC)
	a, taken := claim("acme", "America/New_York", slot)
	require.True(t, taken)
	require.Equal(t, &store.AuditSlot{Time: date[:10] + "T02:00", Timezone: "America/New_York"}, a.Slot)
	require.Equal(t, "schedule", a.CreatedBy)
	require.True(t, a.Repair)
	require.Equal(t, 9, a.RepairCeiling)
	_, taken = claim("acme", "America/New_York", slot)
	require.False(t, taken)
	_, taken = claim("acme", "America/New_York", slot.AddDate(0, 0, 1))
	require.False(t, taken, "one goes on")
	require.NotContains(t, w.due(t, day.AddDate(0, 0, 1), standard), "acme")
	_, err = w.CancelAudit(t.Context(), a.ID, "", w.by)
	require.NoError(t, err)
	_, taken = claim("acme", "America/New_York", slot)
	require.False(t, taken, "it was taken")
	require.NotContains(t, w.due(t, day, standard), "acme")
	require.Contains(t, w.due(t, day.AddDate(0, 0, 1), standard), "acme")

	{ // No unit: the slot is taken all the same, by an audit that has ended.
		b, taken := claim("birch", "UTC", slot.Add(time.Hour))
		require.True(t, taken)
		require.Equal(t, fleet.AuditSucceeded, b.State)
		require.NotNil(t, b.EndedAt)
		require.Contains(t, b.StateReason, "matches no unit")
		require.InDelta(t, 1, b.Coverage, 0)
		require.NotContains(t, w.due(t, day, standard), "birch")
	}
	{ // Another time zone has another night, and a change begins now.
		_, err := w.SetAuditSchedule(t.Context(), store.AuditScheduleParams{Account: "acme", Cron: "0 2 * * *", Timezone: "Asia/Tokyo"}, w.by)
		require.NoError(t, err)
		require.Equal(t, date+"02:00 Asia/Tokyo", w.due(t, day, standard)["acme"])
		require.NotContains(t, w.due(t, now, standard), "acme")
	}
}

// The automatic repair of an audit is seen to by one, and by another after it was not
// heard of again.
func TestRepairsThatAreDue(t *testing.T) {
	t.Parallel()
	w := newNight(t, 1)
	a, taken, err := w.ClaimSlot(t.Context(), store.SlotParams{
		AccountID: w.accountID(t, "acme"), Account: "acme", Slot: time.Date(2026, 6, 10, 2, 0, 0, 0, time.UTC), Timezone: "UTC", Selector: "all",
		Repair: true, RepairCeiling: 5,
	})
	require.NoError(t, err)
	require.True(t, taken)
	_, _, ok, err := w.ClaimRepair(t.Context())
	require.NoError(t, err)
	require.False(t, ok, "the audit goes on")
	w.tick(t, a.ID, 1)
	loaded, err := w.LoadAuditUnits(t.Context(), w.take())
	require.NoError(t, err)
	require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{look(loaded[0], nil, "")}))
	w.tick(t, a.ID, 1)

	row, due, ok, err := w.ClaimRepair(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, a.ID, due.ID)
	require.Equal(t, 5, due.RepairCeiling)
	_, _, ok, err = w.ClaimRepair(t.Context())
	require.NoError(t, err)
	require.False(t, ok)
	w.exec(t, "UPDATE audits SET repair_due = now() - interval '1 second'")
	_, _, ok, err = w.ClaimRepair(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, w.RepairDone(t.Context(), row, "nothing to repair"))
	require.Equal(t, "nothing to repair", w.audit(t, a.ID).StateReason)
	w.exec(t, "UPDATE audits SET repair_due = repair_due - interval '1 hour'")
	_, _, ok, err = w.ClaimRepair(t.Context())
	require.NoError(t, err)
	require.False(t, ok)

	b := w.run(t, every(nil))
	require.False(t, b.Repair)
	_, _, ok, err = w.ClaimRepair(t.Context())
	require.NoError(t, err)
	require.False(t, ok, "a person asked for it, and for no repair")
}

// A scrape shows the last audit that came to its end, and when one saw every unit.
func TestMetricsOfAudits(t *testing.T) {
	t.Parallel()
	w := newNight(t, 4)
	read := func() []store.AuditMetrics {
		m, err := w.Metrics(t.Context())
		require.NoError(t, err)
		return m.Audits
	}
	require.Empty(t, read())
	w.run(t, func(unit string) (sight, fleet.UnknownReason) {
		if unit == "home-2" {
			return nil, fleet.UnknownForbidden
		}
		return nil, ""
	})
	got := read()
	require.Len(t, got, 1)
	require.Equal(t, map[fleet.AuditResult]int{fleet.AuditInSync: 3, fleet.AuditDrifted: 0, fleet.AuditUnknown: 1}, got[0].Units)
	require.InDelta(t, 0.75, got[0].Coverage, 1e-9)
	require.Zero(t, got[0].LastSuccess)
	whole := w.run(t, every(nil))
	_, err := w.CancelAudit(t.Context(), w.begin(t).ID, "", w.by)
	require.NoError(t, err)
	w.begin(t)
	got = read()
	require.InDelta(t, 1, got[0].Coverage, 1e-9, "of those that came to their end")
	require.WithinDuration(t, *whole.EndedAt, got[0].LastSuccess, time.Millisecond)
}

// An audit that somebody made of a few homes says nothing of the account, unless there
// is no other; one of the schedule does, whatever it selects.
func TestMetricsSpeakOfTheWholeAccount(t *testing.T) {
	t.Parallel()
	w := newNight(t, 4)
	few := func(p *store.AuditParams) { p.Selector = "unit=home-1" }
	blind := func(string) (sight, fleet.UnknownReason) { return nil, fleet.UnknownForbidden }
	read := func() store.AuditMetrics {
		m, err := w.Metrics(t.Context())
		require.NoError(t, err)
		require.Len(t, m.Audits, 1)
		return m.Audits[0]
	}
	small := w.run(t, every(nil), few)
	require.Equal(t, 1, read().Units[fleet.AuditInSync], "there is no other")
	require.WithinDuration(t, *small.EndedAt, read().LastSuccess, time.Millisecond)

	w.run(t, blind)
	require.Equal(t, 4, read().Units[fleet.AuditUnknown])
	require.Zero(t, read().LastSuccess, "the account was never seen whole")

	whole := w.run(t, every(nil))
	w.run(t, blind, few)
	w.run(t, every(nil), func(p *store.AuditParams) { p.Selector, p.UnitIDs = "", []string{"home-2"} })
	require.Equal(t, 4, read().Units[fleet.AuditInSync])
	require.InDelta(t, 1, read().Coverage, 1e-9)
	require.WithinDuration(t, *whole.EndedAt, read().LastSuccess, time.Millisecond)

	nightly := w.run(t, blind, few)
	w.exec(t, "UPDATE audits SET slot = now(), slot_timezone = 'UTC' WHERE key = $1", nightly.ID)
	require.Equal(t, 1, read().Units[fleet.AuditUnknown], "the operator chose what is seen every night")
	require.WithinDuration(t, *whole.EndedAt, read().LastSuccess, time.Millisecond)
}
