package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// plainEvery is how often a line is printed where there is no terminal.
const plainEvery = 5 * time.Second

// display shows how the rollout goes.
type display interface {
	show(s sight)
	note(text string)
	close()
}

// sight is what there is to show after one look.
type sight struct {
	rollout  client.Rollout
	requests uint64 // that the API has seen
	refused  uint64 // of those, answered 429
	now      time.Time
}

// newDisplay is a live bar on a terminal and plain lines elsewhere.
func newDisplay(p *printer, r client.Rollout) display {
	if p.terminal {
		return newBar(p, r)
	}
	return &lines{p: p}
}

// summary is how the rollout goes, in words.
func (s sight) summary(homes, requests float64) string {
	r := s.rollout
	parts := []string{fmt.Sprintf("wave %d of %d", r.Wave.Index, r.Wave.Of)}
	if r.State != string(fleet.RolloutRunning) {
		parts = append(parts, r.State)
	}
	if homes > 0 {
		parts = append(parts, fmt.Sprintf("%.0f homes/s", homes))
	}
	if requests > 0 {
		parts = append(parts, fmt.Sprintf("%.0f requests/s", requests))
	}
	return strings.Join(append(parts, count(s.refused)+" refused", fmt.Sprintf("%s of %s failures", count(r.Failures), count(r.MaxFailures))), ", ")
}

// speed tells how fast things went lately.
type speed struct{ looks []sight }

func (v *speed) add(s sight) (homes, requests float64) {
	const lately = 5 * time.Second
	v.looks = append(v.looks, s)
	for len(v.looks) > 2 && s.now.Sub(v.looks[0].now) > lately {
		v.looks = v.looks[1:]
	}
	first := v.looks[0]
	took := s.now.Sub(first.now).Seconds()
	if took <= 0 {
		return 0, 0
	}
	return float64(ended(s.rollout.Counts)-ended(first.rollout.Counts)) / took, float64(s.requests-first.requests) / took
}

// lines prints a line when a wave begins or the state changes, and in between one
// in a while.
type lines struct {
	p       *printer
	speed   speed
	key     string
	printed time.Time
}

func (l *lines) show(s sight) {
	homes, requests := l.speed.add(s)
	r := s.rollout
	key := fmt.Sprint(r.State, r.Wave.Index)
	if key == l.key && s.now.Sub(l.printed) < plainEvery {
		return
	}
	l.key, l.printed = key, s.now
	l.p.text("   %6s of %s  %s", count(ended(r.Counts)), count(r.Targets), s.summary(homes, requests))
}

func (l *lines) note(text string) { l.p.text("   %s", text) }

func (l *lines) close() {}

// bar is a bar that moves, and a line under it.
type bar struct {
	p        *printer
	progress *mpb.Progress
	bar      *mpb.Bar

	mu    sync.Mutex
	under string
	speed speed
}

func newBar(p *printer, r client.Rollout) *bar {
	b := &bar{p: p, progress: mpb.New(mpb.WithOutput(p.w), mpb.WithRefreshRate(150*time.Millisecond))}
	// The total is out of reach: the rollout says when it has ended, not the bar.
	b.bar = b.progress.New(r.Targets+1, mpb.BarStyle().Lbound("  [").Filler("#").Tip("").Padding(".").Rbound("]"),
		mpb.BarWidth(50),
		mpb.AppendDecorators(decor.Any(func(st decor.Statistics) string {
			return fmt.Sprintf("  %s of %s", count(st.Current), count(r.Targets))
		})),
		mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			_, err := io.WriteString(w, "   "+runewidth.Truncate(b.under, max(20, st.AvailableWidth-4), "...")+"\n")
			return err //nolint:wrapcheck // mpb's own
		}), false),
	)
	return b
}

func (b *bar) show(s sight) {
	b.mu.Lock()
	b.under = s.summary(b.speed.add(s))
	b.mu.Unlock()
	b.bar.SetCurrent(ended(s.rollout.Counts))
}

// note prints a line above the bar.
func (b *bar) note(text string) {
	_, _ = b.progress.Write([]byte("   " + text + "\n"))
}

// close leaves the bar as it stands.
func (b *bar) close() {
	b.bar.Abort(false)
	b.progress.Wait()
}
