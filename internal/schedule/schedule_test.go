package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/schedule"
)

func parse(t *testing.T, expr, zone string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(expr, zone)
	require.NoError(t, err)
	return s
}

func clock(text string) time.Time {
	at, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return at
}

// What one process does that looks now and then and is away for days at times.
func runs(s schedule.Schedule, from, to time.Time, step func() time.Duration) (slots, at []time.Time) {
	last := s.Wall(from)
	for now := from; now.Before(to); now = now.Add(step()) {
		slot, ok := s.Due(last, now)
		if !ok {
			continue
		}
		last = slot
		slots, at = append(slots, slot), append(at, now)
	}
	return slots, at
}

var zones = []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"}

// Two clock changes a year, whole hours and half ones: every local night is one
// slot, at the hour that the change skips or repeats too.
func TestEveryLocalNightOnce(t *testing.T) {
	t.Parallel()
	const look = 30 * time.Minute
	for _, zone := range zones {
		for _, expr := range []string{"0 2 * * *", "15 2 * * *", "30 1 * * *", "30 2 * * *", "0 3 * * *", "45 23 * * *", "0 0 * * *"} {
			t.Run(zone+" "+expr, func(t *testing.T) {
				t.Parallel()
				s := parse(t, expr, zone)
				loc, err := time.LoadLocation(zone)
				require.NoError(t, err)
				from := time.Date(2026, 1, 1, 12, 0, 0, 0, loc)
				slots, at := runs(s, from, time.Date(2027, 1, 1, 12, 0, 0, 0, loc), func() time.Duration { return look })
				require.Len(t, slots, 365)
				for i, slot := range slots {
					night := time.Date(2026, 1, slots[0].Day()+i, slot.Hour(), slot.Minute(), 0, 0, time.UTC)
					require.Equal(t, night, slot)
					require.Equal(t, fmt.Sprintf("%d %d * * *", slot.Minute(), slot.Hour()), expr)
					late := at[i].Sub(s.At(slot))
					require.True(t, late >= 0 && late < look, "it was due at %s and ran at %s", s.At(slot), at[i])
				}
			})
		}
	}
}

func TestClockChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, zone, slot, at string }{
		{"an ordinary night", "America/New_York", "2026-03-07 02:30", "2026-03-07 07:30"},
		{"jumped over: the first instant after", "America/New_York", "2026-03-08 02:30", "2026-03-08 07:00"},
		{"the first minute of the jump", "America/New_York", "2026-03-08 02:00", "2026-03-08 07:00"},
		{"the end of the jump", "America/New_York", "2026-03-08 03:00", "2026-03-08 07:00"},
		{"shown twice: the first time", "America/New_York", "2026-11-01 01:30", "2026-11-01 05:30"},
		{"after the repeated hour", "America/New_York", "2026-11-01 02:00", "2026-11-01 07:00"},
		{"jumped over in Berlin", "Europe/Berlin", "2026-03-29 02:15", "2026-03-29 01:00"},
		{"shown twice in Berlin", "Europe/Berlin", "2026-10-25 02:15", "2026-10-25 00:15"},
		{"half an hour jumped over", "Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:30"},
		{"half an hour shown twice", "Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45"},
		{"no clock changes", "Asia/Kolkata", "2026-03-29 02:15", "2026-03-28 20:45"},
		{"a day that was left out", "Pacific/Apia", "2011-12-30 02:00", "2011-12-30 10:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, "* * * * *", tt.zone)
			require.Equal(t, clock(tt.at), s.At(clock(tt.slot)))
			slot, ok := s.Due(clock(tt.slot).Add(-time.Minute), clock(tt.at))
			require.True(t, ok)
			require.False(t, slot.Before(clock(tt.slot)))
			slot, ok = s.Due(clock(tt.slot).Add(-time.Minute), clock(tt.at).Add(-time.Second))
			require.False(t, ok, "%s was not due yet", slot)
		})
	}
}

// The wall clock never goes back: what it showed before clocks were set back stands.
func TestWallNeverGoesBack(t *testing.T) {
	t.Parallel()
	for _, zone := range zones {
		s := parse(t, "* * * * *", zone)
		last := time.Time{}
		for now := clock("2026-01-01 00:00"); now.Before(clock("2027-01-01 00:00")); now = now.Add(11 * time.Minute) {
			wall := s.Wall(now)
			require.False(t, wall.Before(last), "%s: %s came after %s", zone, wall, last)
			last = wall
		}
	}
}

func TestOnlyTheLatestMissedSlotIsCaughtUp(t *testing.T) {
	t.Parallel()
	s := parse(t, "0 2 * * *", "Europe/Berlin")
	slot, ok := s.Due(clock("2026-05-01 02:00"), clock("2026-05-20 09:00"))
	require.True(t, ok)
	require.Equal(t, clock("2026-05-20 02:00"), slot)
	_, ok = s.Due(slot, clock("2026-05-20 23:00"))
	require.False(t, ok, "the others are not made up for")
	_, ok = s.Due(clock("2026-05-20 02:00"), clock("2026-05-20 23:59"))
	require.False(t, ok)
	slot, ok = parse(t, "* * * * *", "UTC").Due(clock("2016-05-20 02:00"), clock("2026-05-20 02:00"))
	require.True(t, ok)
	require.Equal(t, clock("2026-05-20 02:00"), slot)
}

func TestNext(t *testing.T) {
	t.Parallel()
	s := parse(t, "30 2 * * *", "America/New_York")
	slot, at := s.Next(clock("2026-03-08 06:00"))
	require.Equal(t, clock("2026-03-08 02:30"), slot)
	require.Equal(t, clock("2026-03-08 07:00"), at)
	slot, at = s.Next(at)
	require.Equal(t, clock("2026-03-09 02:30"), slot)
	require.Equal(t, clock("2026-03-09 06:30"), at)
	slot, at = parse(t, "0 0 29 2 *", "UTC").Next(clock("2097-01-01 00:00"))
	require.Equal(t, clock("2104-02-29 00:00"), slot, "2100 is no leap year")
	require.Equal(t, slot, at)
}

func TestBadSchedules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ expr, zone, field, says string }{
		{"", "UTC", "cron", "is empty"},
		{"   ", "UTC", "cron", "is empty"},
		{"30 2 31 2 *", "UTC", "cron", "never comes"},
		{"0 0 31 4,6,9,11 *", "UTC", "cron", "never comes"},
		{"0 0 30 2 *", "Asia/Kolkata", "cron", "never comes"},
		{"0 30 2 * * *", "UTC", "cron", "no seconds"},
		{"0 30 2 * * * 2026", "UTC", "cron", "no seconds"},
		{"30 2 * *", "UTC", "cron", "has 4 fields"},
		{"@every 1h", "UTC", "cron", "not supported"},
		{"@daily", "UTC", "cron", "not supported"},
		{"TZ=Europe/Berlin 30 2 * * *", "UTC", "cron", "names a time zone"},
		{"CRON_TZ=Europe/Berlin", "UTC", "cron", "names a time zone"},
		{"60 2 * * *", "UTC", "cron", "above maximum"},
		{"30 24 * * *", "UTC", "cron", "above maximum"},
		{"30 2 * * 7", "UTC", "cron", "0 is Sunday"},
		{"30 2 0 * *", "UTC", "cron", "below minimum"},
		{"thirty 2 * * *", "UTC", "cron", "not a cron expression"},
		{"*/0 2 * * *", "UTC", "cron", "not a cron expression"},
		{"5-1 2 * * *", "UTC", "cron", "not a cron expression"},
		{"0 2 * * *", "Mars/Olympus", "timezone", "no time zone"},
		{"0 2 * * *", "Local", "timezone", "no time zone"},
		{"0 2 * * *", "../../etc/passwd", "timezone", "no time zone"},
	} {
		t.Run(tt.expr+" in "+tt.zone, func(t *testing.T) {
			t.Parallel()
			_, err := schedule.Parse(tt.expr, tt.zone)
			require.ErrorContains(t, err, tt.says)
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.Equal(t, tt.field, e.Field)
		})
	}
}

func TestGoodSchedules(t *testing.T) {
	t.Parallel()
	s := parse(t, "  0   2 * * MON-FRI ", "")
	require.Equal(t, "0 2 * * MON-FRI", s.String())
	require.Equal(t, "UTC", s.Zone())
	for _, expr := range []string{"0 0 29 2 *", "*/15 * * * *", "0 2 1,15 * 1", "0 2 * JAN-MAR *", "0 0 31 1-12 *"} {
		parse(t, expr, "Europe/Berlin")
	}
}

var fields = []string{"*", "*/7", "0", "30", "2", "1,5", "1-3"}

// For any schedule, looks and absences: slots come in order, none twice, none
// before it is due, each is one of the schedule, and at the end none is left.
func TestSlots(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		expr := fmt.Sprintf("%s %s * * *", rapid.SampledFrom(fields).Draw(t, "minute"), rapid.SampledFrom([]string{"*", "*/7", "0", "2", "1-3"}).Draw(t, "hour"))
		if rapid.Bool().Draw(t, "some days") {
			expr = fmt.Sprintf("0 2 %s %s *", rapid.SampledFrom([]string{"*", "1", "29", "*/3"}).Draw(t, "day"), rapid.SampledFrom([]string{"*", "2", "3-11"}).Draw(t, "month"))
		}
		s, err := schedule.Parse(expr, rapid.SampledFrom(append(zones, "Pacific/Apia", "America/St_Johns")).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		from := time.Date(2026, time.Month(rapid.SampledFrom([]int{2, 3, 4, 10, 11}).Draw(t, "month")), rapid.SampledFrom([]int{1, 20}).Draw(t, "from"), 0, 0, 0, 0, time.UTC)
		to := from.AddDate(0, 0, 20)
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		most := rapid.SampledFrom([]time.Duration{20 * time.Minute, time.Hour, 50 * time.Hour, 20 * 24 * time.Hour}).Draw(t, "away")
		slots, at := runs(s, from, to, func() time.Duration { return time.Duration(1 + dice.Int64N(int64(most))) })
		for i, slot := range slots {
			if i > 0 && !slot.After(slots[i-1]) {
				t.Fatalf("slot %s came after %s", slot, slots[i-1])
			}
			if s.At(slot).After(at[i]) {
				t.Fatalf("slot %s ran at %s, and was due at %s", slot, at[i], s.At(slot))
			}
			if later, ok := s.Due(slot, at[i]); ok {
				t.Fatalf("slot %s was taken at %s, and %s was due as well", slot, at[i], later)
			}
			if again, ok := s.Due(slot.Add(-time.Minute), s.At(slot)); !ok || again.Before(slot) {
				t.Fatalf("slot %s is not due at %s", slot, s.At(slot))
			}
		}
	})
}
