package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// lookTimeout bounds one look at a rollout: a server that hangs is told apart from
// one that has nothing new to say.
const lookTimeout = 10 * time.Second

func newRolloutWatch(p *program) *cobra.Command {
	w := &watcher{p: p}
	cmd := &cobra.Command{
		Use: "watch ID", Short: "Follow a rollout to its end", Args: oneArg("ID", &w.id),
		Long: `Follow a rollout to its end: a live bar on a terminal, a line for each change elsewhere, both on stderr; what
came of it goes to stdout. Ctrl-C stops watching and the rollout goes on. When fleetd cannot be reached, watching
goes on as soon as it can.

Exit codes: 0 every home succeeded or was skipped, or Ctrl-C; 5 it ended otherwise, or a guardrail halted it and a
person must decide; 8 it still ran when --timeout passed.`,
		ValidArgsFunction: p.completeRollouts,
		RunE: p.do(func(ctx context.Context) error {
			if w.timeout < 0 {
				return usagef("--timeout is negative")
			}
			var err error
			if w.api, err = p.api(); err != nil {
				return err
			}
			return w.run(ctx)
		}),
	}
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "stop watching after this long, with exit code 8 (0: never)")
	return cmd
}

// watcher follows one rollout.
type watcher struct {
	p       *program
	api     *client.Client
	id      string
	timeout time.Duration

	display display
	speed   speedometer
	last    *client.Response[client.Rollout] // the last look that was answered
	account client.Account                   // its budget, for the display only
	asked   time.Time                        // when the account was looked at
	away    time.Time                        // since when there is no answer; zero: there is
}

// display shows how a rollout goes.
type display interface {
	show(s sight)
	note(text string)
	close()
}

// sight is what there is to show after one look.
type sight struct {
	rollout client.Rollout
	budget  client.AccountBudget
	now     time.Time
	targets float64 // ended a second, lately
	sent    float64 // requests a second, lately
}

var errTimeout = errors.New("the timeout of the watch passed")

// run watches until the rollout needs no more watching, the timeout passes or the
// person leaves.
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
		return w.verdict()
	case parent.Err() != nil:
		w.p.note("Stopped watching; rollout %s goes on. Watch it again: fleetctl rollout watch %s", w.id, w.id)
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

// look looks once and shows what there is to see. It reports whether the rollout
// needs no more watching.
func (w *watcher) look(ctx context.Context) (bool, error) {
	attempt, cancel := context.WithTimeoutCause(ctx, lookTimeout, &client.UnreachableError{
		Server: w.api.Server(), Err: fmt.Errorf("no answer within %s", lookTimeout),
	})
	defer cancel()
	r, err := w.api.GetRollout(attempt, w.id)
	if err != nil {
		return false, err
	}
	now := w.p.now()
	if !w.away.IsZero() {
		w.display.note(fmt.Sprintf("fleetd answers again, after %s", span(now.Sub(w.away))))
		w.away = time.Time{}
	}
	w.last = r
	w.lookAtAccount(attempt, now)
	w.speed.add(now, r.Value)
	targets, sent := w.speed.rates()
	w.display.show(sight{rollout: r.Value, budget: w.account.Budget, now: now, targets: targets, sent: sent})
	return settled(r.Value), nil
}

// lookAtAccount keeps the budget of the display fresh. It is worth no error.
func (w *watcher) lookAtAccount(ctx context.Context, now time.Time) {
	if now.Sub(w.asked) < 3*w.p.pollInterval {
		return
	}
	w.asked = now
	if r, err := w.api.GetAccount(ctx, w.last.Value.Account); err == nil {
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

// settled reports whether a rollout needs no more watching: it has ended, or a
// guardrail halted it, its writes in flight are seen to their end, and only a
// person can make it go on.
func settled(r client.Rollout) bool {
	if fleet.RolloutState(r.State) == fleet.RolloutHalted {
		return r.Counts.Queued+r.Counts.Running+r.Counts.Verifying == 0
	}
	return r.EndedAt != nil && fleet.RolloutState(r.State).Ended()
}

// verdict prints how the rollout stands at last, and turns it into an exit code.
func (w *watcher) verdict() error {
	if err := w.p.printRollout(w.last); err != nil {
		return err
	}
	r := w.last.Value
	switch fleet.RolloutState(r.State) {
	case fleet.RolloutSucceeded:
		return nil
	case fleet.RolloutHalted:
		return &codeError{code: exitShort, msg: fmt.Sprintf("rollout %s halted: %s", r.ID, orText(r.StateReason, "a guardrail was reached"))}
	case fleet.RolloutCompletedWithFailures:
		return &codeError{code: exitShort, msg: fmt.Sprintf("rollout %s completed with %s", r.ID, things(r.Counts.Failed, "failure"))}
	case fleet.RolloutCanceled:
		return &codeError{code: exitShort, msg: fmt.Sprintf("rollout %s was canceled", r.ID)}
	case fleet.RolloutScheduled, fleet.RolloutRunning, fleet.RolloutPaused, fleet.RolloutWaiting:
	}
	return &codeError{code: exitShort, msg: fmt.Sprintf("rollout %s ended in state %s, which this fleetctl does not know", r.ID, quote(r.State))}
}

// expired says that the rollout still runs.
func (w *watcher) expired() error {
	state := "its state is not known: fleetd did not answer"
	if w.last != nil {
		if err := w.p.printRollout(w.last); err != nil {
			return err
		}
		state = fmt.Sprintf("it is %s, %s of its homes have an outcome", w.last.Value.State, percent(ended(w.last.Value.Counts), w.last.Value.Targets))
	}
	return &codeError{code: exitRunning, msg: fmt.Sprintf("the timeout of %s passed and rollout %s goes on: %s", w.timeout, w.id, state)}
}

// speedometer tells how fast a rollout went lately.
type speedometer struct{ looks []reading }

type reading struct {
	at       time.Time
	ended    int64
	requests int64
}

// speedWindow is what "lately" means.
const speedWindow = 15 * time.Second

func (s *speedometer) add(now time.Time, r client.Rollout) {
	s.looks = append(s.looks, reading{at: now, ended: ended(r.Counts), requests: r.Requests})
	for len(s.looks) > 2 && now.Sub(s.looks[0].at) > speedWindow {
		s.looks = s.looks[1:]
	}
}

// rates is how many targets ended and how many requests left a second; zero when
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
	return max(0, float64(last.ended-first.ended)/seconds), max(0, float64(last.requests-first.requests)/seconds)
}
