package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// newDisplay is a live bar on a terminal and plain lines elsewhere.
func (p *program) newDisplay() display {
	if p.terminal(p.stderr) && hasRoom(p.stderr) {
		return newBarDisplay(p, mpb.WithOutput(p.stderr))
	}
	return &lineDisplay{p: p}
}

// hasRoom reports whether a terminal says how large it is: a bar is drawn within
// that, and nowhere when it is nothing.
func hasRoom(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return true
	}
	width, height, err := cwriter.GetSize(int(f.Fd()))
	return err == nil && width > 20 && height > 3
}

// summary is how it goes, in parts that fit on a line.
func (p *program) summary(s sight) []string {
	parts := s.parts()
	if s.ended() {
		return parts
	}
	if s.sent > 0 {
		parts = append(parts, perSecond(round1(s.sent))+" requests")
	}
	if s.budget.Rate > 0 {
		parts = append(parts, "budget "+perSecond(round1(s.budget.Rate)))
	}
	if n := s.throttled(); n > 0 {
		parts = append(parts, count(n)+" refused")
	}
	if until := s.budget.BlockedUntil; until != nil && until.After(s.now) {
		parts = append(parts, "refused (429), sends again in "+span(until.Sub(s.now)))
	}
	return parts
}

func round1(f float64) float64 { return float64(int64(f*10+0.5)) / 10 }

// eta is how long there is still to go; empty when it cannot be told.
func (p *program) eta(s sight) string {
	done, of := s.progress()
	switch at := s.eta(); {
	case s.ended():
		return ""
	case at != nil:
		return span(at.Sub(s.now))
	case s.estimates() && s.targets > 0:
		return span(time.Duration(float64(of-done) / s.targets * float64(time.Second)))
	}
	return ""
}

// lineDisplay prints a line for each change and, while nothing changes but the
// counts, one in a while.
type lineDisplay struct {
	p       *program
	printed time.Time
	key     string
	done    int64
}

func (d *lineDisplay) show(s sight) {
	done, of := s.progress()
	key := fmt.Sprint(s.state(), s.stateReason(), s.steps())
	due := s.settled() || s.now.Sub(d.printed) >= d.p.plainInterval
	if key == d.key && (done == d.done || !due) {
		return
	}
	d.key, d.done, d.printed = key, done, s.now
	line := fmt.Sprintf("%s  %s  %s/%s (%s)", s.now.UTC().Format("15:04:05"), s.state(), number(done), number(of), percent(done, of))
	if s.targets > 0 {
		line += "  " + perSecond(round1(s.targets))
	}
	line += "  " + strings.Join(d.p.summary(s), ", ")
	if eta := d.p.eta(s); eta != "" {
		line += ", ETA " + eta
	}
	if reason := s.stateReason(); reason != "" {
		line += ": " + reason
	}
	d.p.note("%s", clean(line))
}

func (d *lineDisplay) note(text string) { d.p.note("%s", text) }

func (d *lineDisplay) close() {}

// barDisplay is a bar that moves, and a line under it.
type barDisplay struct {
	p        *program
	progress *mpb.Progress
	bar      *mpb.Bar

	mu sync.Mutex
	s  sight
}

func newBarDisplay(p *program, options ...mpb.ContainerOption) *barDisplay {
	d := &barDisplay{p: p}
	d.progress = mpb.New(append([]mpb.ContainerOption{mpb.WithRefreshRate(200 * time.Millisecond)}, options...)...)
	return d
}

// seen is the last look.
func (d *barDisplay) seen() sight {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.s
}

func (d *barDisplay) show(s sight) {
	d.mu.Lock()
	d.s = s
	d.mu.Unlock()
	done, of := s.progress()
	if d.bar == nil {
		d.bar = d.newBar(of)
	}
	d.bar.SetCurrent(done)
}

func (d *barDisplay) newBar(targets int64) *mpb.Bar {
	// The total is out of reach, so that the bar never completes by itself: a retry
	// may make ended targets pending again.
	return d.progress.New(targets+1, mpb.BarStyle().Lbound("[").Filler("#").Tip("").Padding(".").Rbound("]"),
		mpb.BarWidth(40),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			done, of := d.seen().progress()
			return fmt.Sprintf("%s/%s ", count(done), count(of))
		})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return d.right() })),
		mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, stat decor.Statistics) error {
			_, err := io.WriteString(w, runewidth.Truncate(clean(d.under()), max(20, stat.AvailableWidth-1), "...")+"\n")
			return err
		}), false),
	)
}

// right is what stands to the right of the bar.
func (d *barDisplay) right() string {
	s := d.seen()
	text := " " + percent(s.progress())
	if s.targets > 0 {
		text += "  " + perSecond(round1(s.targets))
	}
	if eta := d.p.eta(s); eta != "" {
		text += "  ETA " + eta
	}
	return text
}

// under is the line under the bar.
func (d *barDisplay) under() string {
	s := d.seen()
	text := s.state() + "  " + strings.Join(d.p.summary(s), ", ")
	if reason := s.stateReason(); reason != "" {
		text += ": " + reason
	}
	return text
}

// note prints a line above the bar.
func (d *barDisplay) note(text string) {
	if d.bar == nil {
		d.p.note("%s", text)
		return
	}
	_, _ = d.progress.Write([]byte(cleanText(text) + "\n"))
}

// close leaves the bar as it stands.
func (d *barDisplay) close() {
	if d.bar != nil {
		d.bar.Abort(false)
	}
	d.progress.Wait()
}

// meter shows how much of a file has been sent.
type meter struct {
	progress *mpb.Progress
	bar      *mpb.Bar
	once     sync.Once
}

// newMeter is a bar of bytes on a terminal, and nothing elsewhere. A size of 0 is
// not known.
func (p *program) newMeter(name string, size int64) *meter {
	m := &meter{}
	if !p.terminal(p.stderr) || !hasRoom(p.stderr) {
		return m
	}
	m.progress = mpb.New(mpb.WithOutput(p.stderr), mpb.WithRefreshRate(200*time.Millisecond))
	// As with rollouts: what has been sent is not yet stored, so the bar is ended by
	// the answer.
	m.bar = m.progress.New(size+1, mpb.BarStyle().Lbound("[").Filler("#").Tip("").Padding(".").Rbound("]"),
		mpb.BarWidth(40),
		mpb.PrependDecorators(decor.Name(cut(clean(name), 30)+" ")),
		mpb.AppendDecorators(decor.Any(func(stat decor.Statistics) string {
			sent := fmt.Sprintf(" % .1f", decor.SizeB1024(stat.Current))
			switch {
			case size == 0:
				return sent + " sent"
			case stat.Current >= size:
				return sent + " sent, fleetd stores it"
			}
			return sent + " " + percent(stat.Current, size)
		})),
	)
	return m
}

func (m *meter) add(n int) {
	if m.bar != nil {
		m.bar.IncrBy(n)
	}
}

// end takes the bar away.
func (m *meter) end() {
	m.once.Do(func() {
		if m.bar != nil {
			m.bar.Abort(true)
			m.progress.Wait()
		}
	})
}

// sourceReader reads a file that is being sent, counts what was read and remembers
// what went wrong with it.
type sourceReader struct {
	r    io.Reader
	seen func(int)

	mu  sync.Mutex
	err error
}

// Read reads from the file.
func (s *sourceReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.seen(n)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return n, err //nolint:wrapcheck // io.EOF must stay io.EOF.
}

// failure is what went wrong with the file.
func (s *sourceReader) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
