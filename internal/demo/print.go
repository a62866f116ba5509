package demo

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// The colors, as SGR parameters.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

// labelWidth is the width of the labels that stand before facts.
const labelWidth = 12

// printer writes the story. Errors of the writer are not looked at: a story that
// nobody reads is no reason to stop half-way.
type printer struct {
	w        io.Writer
	terminal bool
	colored  bool
	steps    int
}

func newPrinter(w io.Writer) *printer {
	p := &printer{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.terminal = os.Getenv("TERM") != "dumb"
		p.colored = p.terminal && os.Getenv("NO_COLOR") == ""
	}
	return p
}

// paint colors text where colors are shown.
func (p *printer) paint(color, text string) string {
	if !p.colored {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// text prints a line.
func (p *printer) text(format string, args ...any) {
	fmt.Fprintf(p.w, format+"\n", args...)
}

// step begins the next chapter.
func (p *printer) step(title string) {
	p.steps++
	p.text("\n%s", p.paint(bold, fmt.Sprintf("%d. %s", p.steps, title)))
}

// fact prints something beside its label.
func (p *printer) fact(label, format string, args ...any) {
	p.text("   %-*s  %s", labelWidth, label, fmt.Sprintf(format, args...))
}

// command prints the command that does the same, ready to be copied: arguments
// that begin a flag may begin a line.
func (p *printer) command(args ...string) {
	const width = 96
	line := "   $"
	var b strings.Builder
	for i, arg := range args {
		if len(line)+1+len(arg) > width && strings.HasPrefix(arg, "-") {
			b.WriteString(line + " \\\n")
			line = "      "
		}
		// A flag stays with its value: they are given as one argument here.
		line += " " + arg
		if i == len(args)-1 {
			b.WriteString(line)
		}
	}
	p.text("%s", p.paint(dim, b.String()))
}

// count groups digits: 1,234,567.
func count[T int | int64 | uint64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// things is a count and its noun: 1 home, 2 homes.
func things[T int | int64 | uint64](n T, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

// percent is a share for people: <0.1%, 0.7%, 84%.
func percent(share float64) string {
	switch p := share * 100; {
	case p > 0 && p < 0.1:
		return "<0.1%"
	case p > 0 && p < 10:
		return fmt.Sprintf("%.1f%%", p)
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}

// seconds is a short time: 0.4 s, 12 s.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
