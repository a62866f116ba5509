package rollout_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/rollout"
)

func TestParseWindow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]rollout.Window{
		"22:00-06:00":   {Start: 1320, End: 360},
		"09:30-17:05":   {Start: 570, End: 1025},
		"00:00-24:00":   {Start: 0, End: 1440},
		"06:00-00:00":   {Start: 360, End: 0},
		"22:00 - 06:00": {Start: 1320, End: 360},
	} {
		got, err := rollout.ParseWindow(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		again, err := rollout.ParseWindow(got.String())
		require.NoError(t, err, text)
		require.Equal(t, got, again, text)
	}
	for _, text := range []string{
		"", "22:00", "22:00-", "-06:00", "22-06", "2:00-06:00", "22:00-06:00-07:00", "24:00-06:00", "22:60-06:00", "22:00-24:01", "25:00-06:00", "+2:00-06:00", "22.00-06.00", "always",
	} {
		_, err := rollout.ParseWindow(text)
		requireField(t, "window", err, text)
	}
	_, err := rollout.ParseWindow("08:00-08:00")
	requireField(t, "window", err)
	require.ErrorContains(t, err, "never opens")
}

func TestWindowOverClockChanges(t *testing.T) {
	t.Parallel()
	newYork := zone(t, "America/New_York") // 2026: skips 02:00-03:00 on March 8, repeats 01:00-02:00 on November 1
	at := func(s string) time.Time {
		parsed, err := time.Parse(time.RFC3339, s)
		require.NoError(t, err)
		return parsed
	}
	for name, tc := range map[string]struct{ window, now, opens string }{
		"open now is now":                          {"09:00-17:00", "2026-06-01T12:00:00-04:00", "2026-06-01T12:00:00-04:00"},
		"later today, to the nanosecond":           {"09:00-17:00", "2026-06-01T08:59:59.5-04:00", "2026-06-01T09:00:00-04:00"},
		"the end is outside":                       {"09:00-17:00", "2026-06-01T17:00:00-04:00", "2026-06-02T09:00:00-04:00"},
		"over midnight":                            {"22:00-06:00", "2026-06-01T06:00:00-04:00", "2026-06-01T22:00:00-04:00"},
		"a night that is an hour short":            {"22:00-06:00", "2026-03-08T06:00:00-04:00", "2026-03-08T22:00:00-04:00"},
		"the skip lands in the window":             {"02:30-04:00", "2026-03-08T01:59:00-05:00", "2026-03-08T03:00:00-04:00"},
		"a window that is skipped opens tomorrow":  {"02:00-03:00", "2026-03-08T01:59:00-05:00", "2026-03-09T02:00:00-04:00"},
		"the skip lies before the window":          {"09:00-17:00", "2026-03-08T01:00:00-05:00", "2026-03-08T09:00:00-04:00"},
		"an hour that repeats opens twice":         {"01:00-01:30", "2026-11-01T01:30:00-04:00", "2026-11-01T01:00:00-05:00"},
		"after the second time comes the next day": {"01:00-01:30", "2026-11-01T01:30:00-05:00", "2026-11-02T01:00:00-05:00"},
		"the repeat lies before the window":        {"09:00-17:00", "2026-11-01T00:30:00-04:00", "2026-11-01T09:00:00-05:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := rollout.ParseWindow(tc.window)
			require.NoError(t, err)
			got := w.NextOpen(at(tc.now), newYork)
			require.True(t, got.Equal(at(tc.opens)), "got %s", got)
			require.Equal(t, newYork, got.Location())
		})
	}
}

// TestWindowProperty proves NextOpen against a search minute by minute, in zones
// with whole, half and no clock changes, near those changes: the answer is open,
// and no minute from now until it is.
func TestWindowProperty(t *testing.T) {
	t.Parallel()
	zones := []*time.Location{
		time.UTC, zone(t, "America/New_York"), zone(t, "Europe/Berlin"), zone(t, "Asia/Kolkata"),
		zone(t, "Australia/Lord_Howe"), // half an hour
		zone(t, "Pacific/Apia"),        // left out 2011-12-30
		zone(t, "Africa/Casablanca"),   // goes back for Ramadan
	}
	rapid.Check(t, func(t *rapid.T) {
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		w := rollout.Window{Start: rapid.IntRange(0, 1439).Draw(t, "start")}
		w.End = rapid.IntRange(0, 1440).Filter(func(end int) bool { return end != w.Start }).Draw(t, "end")
		near := time.Date(rapid.IntRange(2010, 2030).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month")), 15, 0, 0, 0, 0, loc)
		if _, change := near.ZoneBounds(); !change.IsZero() {
			near = change
		}
		now := near.Add(time.Duration(rapid.IntRange(-2880, 1440).Draw(t, "minutes"))*time.Minute + time.Duration(rapid.IntRange(0, 59).Draw(t, "seconds"))*time.Second)

		got := w.NextOpen(now, loc)

		require.True(t, w.Open(got, loc))
		for m := now; m.Before(got); m = m.Add(time.Minute).Truncate(time.Minute) {
			require.False(t, w.Open(m, loc), "open at %s, but answered %s", m, got)
		}
		require.LessOrEqual(t, got.Sub(now), 50*time.Hour)
	})
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}
