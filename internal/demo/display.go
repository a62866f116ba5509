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

// display shows how a rollout or an audit goes.
type display interface {
	show(s sight)
	note(text string)
	close()
}

// sight is what there is to show after one look.
type sight struct {
	done, of int64    // homes
	stage    []string // where it stands: a change of it is worth a line
	more     []string // what else there is to say
	requests uint64   // that the API has seen
	refused  uint64   // of those, answered 429
	now      time.Time
}

// rolloutSight is a sight of rollouts that go on at once; mostly there is one.
func rolloutSight(rollouts ...client.Rollout) sight {
	var s sight
	var failures, borne int64
	for _, r := range rollouts {
		s.done, s.of = s.done+ended(r.Counts), s.of+r.Targets
		failures, borne = failures+r.Failures, borne+r.MaxFailures
		where := fmt.Sprintf("wave %d of %d", r.Wave.Index, r.Wave.Of)
		if len(rollouts) > 1 {
			where = r.Action + " " + where
		}
		s.stage = append(s.stage, where)
		if r.State != string(fleet.RolloutRunning) {
			s.stage = append(s.stage, r.State)
		}
	}
	s.more = []string{fmt.Sprintf("%s of %s failures", count(failures), count(borne))}
	return s
}

// auditSight is a sight of an audit.
func auditSight(a client.Audit) sight {
	return sight{
		done: a.InSync + a.Drifted + a.Unknown, of: a.Units, stage: []string{a.State},
		more: []string{count(a.InSync) + " in sync", count(a.Drifted) + " drifted", count(a.Unknown) + " unknown"},
	}
}

// newDisplay is a live bar on a terminal and plain lines elsewhere.
func newDisplay(p *printer, homes int64) display {
	if p.terminal {
		return newBar(p, homes)
	}
	return &lines{p: p}
}

// summary is how it goes, in words.
func (s sight) summary(homes, requests float64) string {
	parts := append([]string{}, s.stage...)
	if homes > 0 {
		parts = append(parts, fmt.Sprintf("%.0f homes/s", homes))
	}
	if requests > 0 {
		parts = append(parts, fmt.Sprintf("%.0f requests/s", requests))
	}
	return strings.Join(append(append(parts, count(s.refused)+" refused"), s.more...), ", ")
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
	return float64(s.done-first.done) / took, float64(s.requests-first.requests) / took
}

// lines prints a line when the stage changes, and in between one in a while.
type lines struct {
	p       *printer
	speed   speed
	stage   string
	printed time.Time
}

func (l *lines) show(s sight) {
	homes, requests := l.speed.add(s)
	stage := strings.Join(s.stage, " ")
	if stage == l.stage && s.now.Sub(l.printed) < plainEvery {
		return
	}
	l.stage, l.printed = stage, s.now
	l.p.text("   %6s of %s  %s", count(s.done), count(s.of), s.summary(homes, requests))
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

// barSteps is how many steps of the bar a home is.
const barSteps = 1000

func newBar(p *printer, homes int64) *bar {
	b := &bar{p: p, progress: mpb.New(mpb.WithOutput(p.w), mpb.WithRefreshRate(150*time.Millisecond))}
	// The total is out of reach, just: fleetd says when it has ended, not the bar.
	b.bar = b.progress.New(homes*barSteps+1, mpb.BarStyle().Lbound("  [").Filler("#").Tip("").Padding(".").Rbound("]"),
		mpb.BarWidth(50),
		mpb.AppendDecorators(decor.Any(func(st decor.Statistics) string {
			return fmt.Sprintf("  %s of %s", count(st.Current/barSteps), count(homes))
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
	b.bar.SetCurrent(s.done * barSteps)
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
