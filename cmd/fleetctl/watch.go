package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// lookTimeout bounds one look: a server that hangs is told apart from one that has
// nothing new to say.
const lookTimeout = 10 * time.Second

// watched is one look at what is followed: a rollout, or an audit.
type watched interface {
	state() string
	stateReason() string
	account() string
	progress() (done, of int64) // in homes
	outcome() string            // what a home that is done has: an outcome
	requests() int64
	throttled() int64
	parts() []string // how it goes, in a few words each
	eta() *time.Time // nil: fleetd cannot tell
	estimates() bool // the speed of late tells instead
	ended() bool
	settled() bool         // it needs no more watching
	steps() string         // differs where a line is worth it, besides the state
	show(p *program) error // how it stands, to stdout
	verdict() error        // its exit code, once settled
}

// watcher follows one rollout or audit.
type watcher struct {
	p       *program
	api     *client.Client
	noun    string // rollout, audit
	id      string
	timeout time.Duration
	get     func(ctx context.Context, api *client.Client, id string) (watched, error)

	display display
	speed   speedometer
	last    watched        // the last look that was answered; nil: none was
	account client.Account // its budget, for the display only
	asked   time.Time      // when the account was looked at
	away    time.Time      // since when there is no answer; zero: there is
}

// timeoutFlag is the flag of commands that watch.
func (w *watcher) timeoutFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "stop watching after this long, with exit code 8 (0: never)")
}

// start watches what the command line names.
func (w *watcher) start(ctx context.Context) error {
	if w.timeout < 0 {
		return usagef("--timeout is negative")
	}
	var err error
	if w.api, err = w.p.api(); err != nil {
		return err
	}
	return w.run(ctx)
}

// display shows how it goes.
type display interface {
	show(s sight)
	note(text string)
	close()
}

// sight is what there is to show after one look.
type sight struct {
	watched

	budget  client.AccountBudget
	now     time.Time
	targets float64 // done a second, lately
	sent    float64 // requests a second, lately
}

var errTimeout = errors.New("the timeout of the watch passed")

// run watches until there is nothing more to watch, the timeout passes or the person
// leaves.
func (w *watcher) run(ctx context.Context) error {
	parent := ctx
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.timeout, errTimeout)
		defer cancel()
	}
	w.display = w.p.newDisplay()
	err := w.loop(ctx)
	w.display.close()
	switch {
	case err == nil:
		if err := w.last.show(w.p); err != nil {
			return err
		}
		return w.last.verdict()
	case parent.Err() != nil:
		w.p.note("Stopped watching; %s %s goes on. Watch it again: fleetctl %s watch %s", w.noun, w.id, w.noun, w.id)
		return nil
	case errors.Is(err, errTimeout):
		return w.expired()
	}
	return err
}

// loop looks until there is nothing more to wait for.
func (w *watcher) loop(ctx context.Context) error {
	for {
		pause := w.p.pollInterval
		done, err := w.look(ctx)
		var temporary interface{ Temporary() bool }
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &temporary) && temporary.Temporary():
			w.unanswered(err)
			pause *= 2
		case err != nil || done:
			return err
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// look looks once and shows what there is to see. It reports whether there is nothing
// more to watch.
func (w *watcher) look(ctx context.Context) (bool, error) {
	attempt, cancel := context.WithTimeoutCause(ctx, lookTimeout, &client.UnreachableError{
		Server: w.api.Server(), Err: fmt.Errorf("no answer within %s", lookTimeout),
	})
	defer cancel()
	last, err := w.get(attempt, w.api, w.id)
	if err != nil {
		return false, err
	}
	now := w.p.now()
	if !w.away.IsZero() {
		w.display.note(fmt.Sprintf("fleetd answers again, after %s", span(now.Sub(w.away))))
		w.away = time.Time{}
	}
	w.last = last
	w.lookAtAccount(attempt, now)
	w.speed.add(now, last)
	targets, sent := w.speed.rates()
	w.display.show(sight{watched: last, budget: w.account.Budget, now: now, targets: targets, sent: sent})
	return last.settled(), nil
}

// lookAtAccount keeps the budget of the display fresh. It is worth no error.
func (w *watcher) lookAtAccount(ctx context.Context, now time.Time) {
	if now.Sub(w.asked) < 3*w.p.pollInterval {
		return
	}
	w.asked = now
	if r, err := w.api.GetAccount(ctx, w.last.account()); err == nil {
		w.account = r.Value
	}
}

// unanswered notes, once, that there is no answer.
func (w *watcher) unanswered(err error) {
	if !w.away.IsZero() {
		return
	}
	w.away = w.p.now()
	text := err.Error()
	if away, ok := errors.AsType[*client.UnreachableError](err); ok {
		text = plainCause(err, away)
	}
	w.display.note(text + "; trying again until it answers")
}

// expired says that it still goes on.
func (w *watcher) expired() error {
	state := "its state is not known: fleetd did not answer"
	if w.last != nil {
		if err := w.last.show(w.p); err != nil {
			return err
		}
		done, of := w.last.progress()
		state = fmt.Sprintf("it is %s, %s of its homes have %s", w.last.state(), percent(done, of), w.last.outcome())
	}
	return &codeError{code: exitRunning, msg: fmt.Sprintf("the timeout of %s passed and %s %s goes on: %s", w.timeout, w.noun, w.id, state)}
}

// speedometer tells how fast it went lately.
type speedometer struct{ looks []reading }

type reading struct {
	at       time.Time
	done     int64
	requests int64
}

// speedWindow is what "lately" means.
const speedWindow = 15 * time.Second

func (s *speedometer) add(now time.Time, of watched) {
	done, _ := of.progress()
	s.looks = append(s.looks, reading{at: now, done: done, requests: of.requests()})
	for len(s.looks) > 2 && now.Sub(s.looks[0].at) > speedWindow {
		s.looks = s.looks[1:]
	}
}

// rates is how many homes were done and how many requests left a second; zero when
// there was one look only.
func (s *speedometer) rates() (targets, sent float64) {
	if len(s.looks) < 2 {
		return 0, 0
	}
	first, last := s.looks[0], s.looks[len(s.looks)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0, 0
	}
	// A retry makes ended targets pending again, which is not a speed.
	return max(0, float64(last.done-first.done)/seconds), max(0, float64(last.requests-first.requests)/seconds)
}
