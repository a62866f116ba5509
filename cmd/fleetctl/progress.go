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

	"fleetd/internal/client"
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

// summary is how a rollout goes, in parts that fit on a line.
func (p *program) summary(s sight) []string {
	r := s.rollout
	parts := []string{
		fmt.Sprintf("wave %d/%d", r.Wave.Index, r.Wave.Of),
		fmt.Sprintf("%s of %s failures", count(r.Failures), count(r.MaxFailures)),
	}
	if r.EndedAt != nil {
		return parts
	}
	if s.sent > 0 {
		parts = append(parts, perSecond(round1(s.sent))+" requests")
	}
	if s.budget.Rate > 0 {
		parts = append(parts, "budget "+perSecond(round1(s.budget.Rate)))
	}
	if r.Throttled > 0 {
		parts = append(parts, count(r.Throttled)+" refused")
	}
	if until := s.budget.BlockedUntil; until != nil && until.After(s.now) {
		parts = append(parts, "refused (429), sends again in "+span(until.Sub(s.now)))
	}
	return parts
}

func round1(f float64) float64 { return float64(int64(f*10+0.5)) / 10 }

// eta is how long a rollout has still to go; empty when it cannot be told.
func (p *program) eta(s sight) string {
	if s.rollout.ETA == nil || s.rollout.EndedAt != nil {
		return ""
	}
	return span(s.rollout.ETA.P50.Sub(s.now))
}

// lineDisplay prints a line for each change and, while nothing changes but the
// counts, one in a while.
type lineDisplay struct {
	p       *program
	printed time.Time
	key     string
	counts  client.Counts
}

func (d *lineDisplay) show(s sight) {
	r := s.rollout
	key := fmt.Sprint(r.State, r.StateReason, r.Wave.Index)
	moved := r.Counts != d.counts
	due := settled(r) || s.now.Sub(d.printed) >= d.p.plainInterval
	if key == d.key && (!moved || !due) {
		return
	}
	d.key, d.counts, d.printed = key, r.Counts, s.now
	line := fmt.Sprintf("%s  %s  %s/%s (%s)", s.now.UTC().Format("15:04:05"), r.State, number(ended(r.Counts)), number(r.Targets), percent(ended(r.Counts), r.Targets))
	if s.targets > 0 {
		line += "  " + perSecond(round1(s.targets))
	}
	line += "  " + strings.Join(d.p.summary(s), ", ")
	if eta := d.p.eta(s); eta != "" {
		line += ", ETA " + eta
	}
	if r.StateReason != "" {
		line += ": " + r.StateReason
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
	if d.bar == nil {
		d.bar = d.newBar(s.rollout.Targets)
	}
	d.bar.SetCurrent(ended(s.rollout.Counts))
}

func (d *barDisplay) newBar(targets int64) *mpb.Bar {
	// The total is out of reach, so that the bar never completes by itself: a retry
	// may make ended targets pending again.
	return d.progress.New(targets+1, mpb.BarStyle().Lbound("[").Filler("#").Tip("").Padding(".").Rbound("]"),
		mpb.BarWidth(40),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			r := d.seen().rollout
			return fmt.Sprintf("%s/%s ", count(ended(r.Counts)), count(r.Targets))
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
	text := " " + percent(ended(s.rollout.Counts), s.rollout.Targets)
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
	text := s.rollout.State + "  " + strings.Join(d.p.summary(s), ", ")
	if s.rollout.StateReason != "" {
		text += ": " + s.rollout.StateReason
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
