package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"fleetd/internal/fleet"
)

// The colors, as SGR parameters.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

// colored reports whether a stream takes colors: a terminal, unless the user said no.
func (p *program) colored(w io.Writer) bool {
	return p.terminal(w) && !p.global.noColor && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"
}

// paint colors text for a stream that takes colors.
func (p *program) paint(w io.Writer, color, text string) string {
	if color == "" || text == "" || !p.colored(w) {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// stateColor is the color of a state of a rollout, target, account or token.
func stateColor(state string) string {
	switch state {
	case string(fleet.RolloutSucceeded), string(fleet.AuditInSync), "ready", "live":
		return green
	case string(fleet.RolloutHalted), string(fleet.TargetFailed), string(fleet.RolloutCompletedWithFailures), "unauthorized",
		string(fleet.AuditDrifted), string(fleet.AuditUnknown), string(fleet.AuditCompletedWithUnknown):
		return red
	case string(fleet.RolloutPaused), string(fleet.RolloutWaiting), string(fleet.RolloutScheduled), string(fleet.TargetVerifying):
		return yellow
	case string(fleet.TargetSkipped), string(fleet.TargetCanceled), "revoked", "expired":
		return dim
	}
	return ""
}

// clean makes text that came from elsewhere safe for one line of a terminal: no
// control character, and so no escape sequence, gets through.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// cleanText is clean for text of several lines.
func cleanText(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = clean(line)
	}
	return strings.Join(lines, "\n")
}

// quote quotes a value that may be anything, cut to what fits a line.
func quote(s string) string { return strconv.Quote(cut(s, 60)) }

// cut shortens text to a width in columns.
func cut(s string, width int) string { return runewidth.Truncate(s, width, "...") }

// count groups digits: 1,234,567.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// things is a count and its noun: 1 home, 2 homes.
func things(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

// percent is a share of a whole, never rounded up to 100 nor down to 0.
func percent(part, whole int64) string {
	if whole <= 0 {
		return "0%"
	}
	p := float64(part) / float64(whole) * 100
	switch {
	case part > 0 && p < 0.1:
		return "<0.1%"
	case part < whole && p > 99.9:
		return "99.9%"
	case p == math.Trunc(p):
		return fmt.Sprintf("%.0f%%", p)
	}
	return fmt.Sprintf("%.1f%%", p)
}

// span is a length of time in one or two units: 45s, 3m20s, 26m, 5h, 3d.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute:
		m, s := int(d.Minutes()), int(d.Seconds())%60
		if s == 0 {
			return fmt.Sprintf("%dm", m)
		}
		return fmt.Sprintf("%dm%ds", m, s)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 10*time.Hour:
		h, m := int(d.Hours()), int(d.Minutes())%60
		if m == 0 {
			return fmt.Sprintf("%dh", h)
		}
		return fmt.Sprintf("%dh%dm", h, m)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// minutes is a price in minutes as a length of time.
func minutes(m float64) string { return span(time.Duration(m * float64(time.Minute))) }

// age is how long ago a time was.
func (p *program) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(p.now().Sub(t))
}

// ageOf is age for a time that may be missing.
func (p *program) ageOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return p.age(*t)
}

// when is a time for people: on the same day (UTC) the clock is enough.
func (p *program) when(t time.Time) string {
	t, now := t.UTC(), p.now().UTC()
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}

// whenAndAge is a past time and how long ago it was, or a coming one and how long until.
func (p *program) whenAndAge(t time.Time) string {
	if d := t.Sub(p.now()); d > 0 {
		return fmt.Sprintf("%s (in %s)", p.when(t), span(d))
	}
	return fmt.Sprintf("%s (%s ago)", p.when(t), p.age(t))
}

// stamp is a time for programs; empty when there is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// stampOf is stamp for a time that may be missing.
func stampOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return stamp(*t)
}

// mark is text when a thing is so, else nothing.
func mark(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// number prints an integer without grouping, for tables and programs.
func number(n int64) string { return strconv.FormatInt(n, 10) }

// perSecond is a rate: 47.2/s, 200/s.
func perSecond(rate float64) string { return strconv.FormatFloat(rate, 'f', decimals(rate), 64) + "/s" }

func decimals(rate float64) int {
	switch {
	case rate == math.Trunc(rate):
		return 0
	case rate < 1:
		return 2
	}
	return 1
}

// ref is a pointer to v, or nil when v is the zero value: an optional field.
func ref[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
