package schedule

import (
	"strings"
	"time"
	_ "time/tzdata" // a static image has no zone files, and the answer must not depend on the machine

	"github.com/robfig/cron/v3"

	"fleetd/internal/fleet"
)

// maxText bounds a cron expression and a zone's name, in bytes.
const maxText = 200

// parser takes the five fields of crontab(5) and nothing else.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Schedule is a cron expression in a time zone. The zero value is not one; make
// it with Parse.
type Schedule struct {
	cron string
	loc  *time.Location
	spec cron.Schedule // over wall clocks: it is only ever asked with times in UTC
}

// Parse reads a cron expression of five fields (minute, hour, day of month, month,
// day of week) and an IANA time zone (empty: UTC). What cannot be read, and what
// never comes, such as 31 February, is a *fleet.Error with the field "cron" or
// "timezone".
func Parse(expr, zone string) (Schedule, error) {
	expr = strings.Join(strings.Fields(expr), " ")
	if err := checkForm(expr); err != nil {
		return Schedule{}, err
	}
	loc, err := loadZone(zone)
	if err != nil {
		return Schedule{}, err
	}
	parsed, err := parser.Parse(expr)
	if err != nil {
		return Schedule{}, fleet.Invalidf("cron", "%q is not a cron expression: %s; write minute, hour, day of month, month and day of week (0 is Sunday), such as %q",
			expr, err, example)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok { // five fields make nothing else
		return Schedule{}, fleet.Invalidf("cron", "%q is not a cron expression; write five fields, such as %q", expr, example)
	}
	spec.Location = time.UTC
	s := Schedule{cron: expr, loc: loc, spec: spec}
	// A leap year begins here, so that 29 February is found.
	if s.spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Minute)).IsZero() {
		return Schedule{}, fleet.Invalidf("cron", "%q never comes: no month it names has such a day", expr)
	}
	return s, nil
}

const example = "0 2 * * *"

// checkForm refuses what the parser takes, or would explain badly.
func checkForm(expr string) error {
	fields := strings.Fields(expr)
	switch {
	case expr == "":
		return fleet.Invalidf("cron", "the cron expression is empty; write five fields, such as %q for every night at 02:00", example)
	case len(expr) > maxText:
		return fleet.Invalidf("cron", "the cron expression has %d bytes; at most %d are allowed", len(expr), maxText)
	case strings.HasPrefix(expr, "@"):
		return fleet.Invalidf("cron", "%q is not supported; write five fields, such as %q for every night at 02:00", expr, example)
	case strings.Contains(expr, "TZ="):
		return fleet.Invalidf("cron", "%q names a time zone; give it apart from the cron expression", expr)
	case len(fields) == 6 || len(fields) == 7:
		return fleet.Invalidf("cron", "%q has %d fields; a schedule has no seconds and no years: write five fields, such as %q", expr, len(fields), example)
	case len(fields) != 5:
		return fleet.Invalidf("cron", "%q has %d fields; write five: minute, hour, day of month, month and day of week, such as %q",
			expr, len(fields), example)
	}
	return nil
}

func loadZone(name string) (*time.Location, error) {
	loc, err := time.LoadLocation(name) // "" is UTC
	if err != nil || name == "Local" || len(name) > maxText {
		return nil, fleet.Invalidf("timezone", "%.60q is no time zone; use an IANA name such as America/New_York", name)
	}
	return loc, nil
}

// String is the cron expression, with one space between fields.
func (s Schedule) String() string { return s.cron }

// Zone is the name of the time zone.
func (s Schedule) Zone() string { return s.loc.String() }

// Due returns the latest slot that has come by now and is later than after, a slot
// or any other reading of the wall clock (see Wall). ok is false when there is
// none.
func (s Schedule) Due(after, now time.Time) (slot time.Time, ok bool) {
	until := s.Wall(now)
	// Slots grow with what they are looked for after, so the last one up to until is
	// found by halving the time between.
	slot = s.next(after)
	if slot.IsZero() || slot.After(until) {
		return time.Time{}, false
	}
	low, high := slot, until // there is a slot at low, and none after high that has come
	for high.Sub(low) >= time.Minute {
		middle := low.Add(high.Sub(low) / 2).Truncate(time.Minute)
		next := s.next(middle)
		if next.IsZero() || next.After(until) {
			high = middle
		} else {
			low = next
		}
	}
	return low, true
}

// Next returns the next slot and the instant at which it is due. Both are zero
// when the schedule has no slot for years to come.
func (s Schedule) Next(now time.Time) (slot, at time.Time) {
	slot = s.next(s.Wall(now))
	if slot.IsZero() {
		return slot, slot
	}
	return slot, s.At(slot)
}

// next is the first slot after a reading of the wall clock.
func (s Schedule) next(after time.Time) time.Time {
	slot := s.spec.Next(after)
	if slot.IsZero() { // the parser looks five years ahead: 29 February may be eight away
		slot = s.spec.Next(after.AddDate(4, 0, 0))
	}
	return slot
}

// Wall is the latest reading that the wall clock has shown by t, the minute that
// is under way: while the clocks show an hour for the second time, the last minute
// before they were set back.
func (s Schedule) Wall(t time.Time) time.Time {
	latest := reading(t.In(s.loc))
	// Clocks are set back by an hour, rarely by more; a day is beyond all of it.
	for at := t; t.Sub(at) < 24*time.Hour; {
		began, _ := at.In(s.loc).ZoneBounds()
		if began.IsZero() {
			break
		}
		at = began.Add(-time.Nanosecond)
		if r := reading(at.In(s.loc)); r.After(latest) {
			latest = r
		}
	}
	return latest.Truncate(time.Minute)
}

// At is the first instant at which the wall clock has come to slot.
func (s Schedule) At(slot time.Time) time.Time {
	// No zone is more than a day off UTC, so the clock shows less than slot here.
	for at := slot.Add(-26 * time.Hour); ; {
		local := at.In(s.loc)
		_, ends := local.ZoneBounds()
		_, offset := local.Zone()
		came := slot.Add(-time.Duration(offset) * time.Second)
		switch {
		case came.Before(at): // the clocks jumped over it
			return at.UTC()
		case ends.IsZero() || came.Before(ends):
			return came.UTC()
		}
		at = ends
	}
}

// reading is what the wall clock shows at t, as a time in UTC.
func reading(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}
