package rollout

import (
	"fmt"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

const minutesPerDay = 24 * 60

// Window is the part of each day in which a rollout may write, on the wall clock
// of a time zone: Start is in it, End is not. Both are minutes after midnight;
// End before Start goes over midnight.
type Window struct {
	Start int // 0 to 1439
	End   int // 0 to 1440, where 1440 is midnight at the day's end
}

// ParseWindow reads "HH:MM-HH:MM". Errors are about the flag window.
func ParseWindow(s string) (Window, error) {
	from, to, ok := strings.Cut(s, "-")
	start, okStart := parseClock(strings.TrimSpace(from))
	end, okEnd := parseClock(strings.TrimSpace(to))
	if !ok || !okStart || !okEnd || start == minutesPerDay {
		return Window{}, fleet.Invalidf("window", "%q is not a window: write HH:MM-HH:MM in 24 hours, as in 22:00-06:00", s)
	}
	if start == end {
		return Window{}, fleet.Invalidf("window", "%q never opens, because it ends where it starts: write an end that differs, or 00:00-24:00 for the whole day", s)
	}
	return Window{Start: start, End: end}, nil
}

// String is the window as ParseWindow reads it.
func (w Window) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.Start/60, w.Start%60, w.End/60, w.End%60)
}

// Open reports whether the wall clock of loc stands inside the window at now.
// Only the wall clock counts: an hour that daylight saving repeats is open both
// times, and one that it skips is not there to be open.
func (w Window) Open(now time.Time, loc *time.Location) bool {
	hour, minute, _ := now.In(loc).Clock()
	m := hour*60 + minute
	if w.Start <= w.End {
		return w.Start <= m && m < w.End
	}
	return m >= w.Start || m < w.End
}

// NextOpen is the first time at or after now at which the window is open, in loc.
//
// It steps from one change of the zone's offset to the next. Between two of them
// the wall clock is plain arithmetic, and a change may itself open the window
// (02:30-04:00 opens at 03:00 on the night that skips from 02:00 to 03:00);
// time.Date would answer an unspecified one of two times there.
func (w Window) NextOpen(now time.Time, loc *time.Location) time.Time {
	t := now.In(loc)
	for !w.Open(t, loc) {
		next := t.Add(w.untilStart(t))
		_, change := t.ZoneBounds()
		if change.IsZero() || next.Before(change) {
			return next
		}
		t = change
	}
	return t
}

// untilStart is how long the wall clock at t, if nobody turns it, takes to reach
// Start: more than nothing, at most a day.
func (w Window) untilStart(t time.Time) time.Duration {
	hour, minute, second := t.Clock()
	since := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute +
		time.Duration(second)*time.Second + time.Duration(t.Nanosecond())
	until := time.Duration(w.Start)*time.Minute - since
	if until <= 0 {
		until += 24 * time.Hour
	}
	return until
}

// parseClock reads "HH:MM" as minutes; 24:00 is the day's end.
func parseClock(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	hour := int(s[0]-'0')*10 + int(s[1]-'0')
	minute := int(s[3]-'0')*10 + int(s[4]-'0')
	m := hour*60 + minute
	return m, minute < 60 && m <= minutesPerDay
}
