package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

func newRolloutWatch(p *program) *cobra.Command {
	w := p.watchRollout()
	cmd := &cobra.Command{
		Use: "watch ID", Short: "Follow a rollout to its end", Args: oneArg("ID", &w.id),
		Long: `Follow a rollout to its end: a live bar on a terminal, a line for each change elsewhere, both on stderr; what
came of it goes to stdout. Ctrl-C stops watching and the rollout goes on. When fleetd cannot be reached, watching
goes on as soon as it can.

Exit codes: 0 every home succeeded or was skipped, or Ctrl-C; 5 it ended otherwise, or a guardrail halted it and a
person must decide; 8 it still ran when --timeout passed.`,
		ValidArgsFunction: p.completeRollouts,
		RunE:              p.do(w.start),
	}
	w.timeoutFlag(cmd)
	return cmd
}

// watchRollout makes the watcher of a rollout.
func (p *program) watchRollout() *watcher {
	return &watcher{p: p, noun: "rollout", get: func(ctx context.Context, api *client.Client, id string) (watched, error) {
		r, err := api.GetRollout(ctx, id)
		if err != nil {
			return nil, err
		}
		return rolloutLook{r}, nil
	}}
}

// rolloutLook is one look at a rollout.
type rolloutLook struct {
	r *client.Response[client.Rollout]
}

func (l rolloutLook) state() string       { return l.r.Value.State }
func (l rolloutLook) stateReason() string { return l.r.Value.StateReason }
func (l rolloutLook) account() string     { return l.r.Value.Account }
func (l rolloutLook) outcome() string     { return "an outcome" }
func (l rolloutLook) requests() int64     { return l.r.Value.Requests }
func (l rolloutLook) throttled() int64    { return l.r.Value.Throttled }
func (l rolloutLook) ended() bool         { return l.r.Value.EndedAt != nil }
func (l rolloutLook) estimates() bool     { return false } // waves and soaks know better
func (l rolloutLook) steps() string       { return number(l.r.Value.Wave.Index) }

func (l rolloutLook) show(p *program) error { return p.printRollout(l.r) }

func (l rolloutLook) progress() (done, of int64) { return ended(l.r.Value.Counts), l.r.Value.Targets }

func (l rolloutLook) parts() []string {
	r := l.r.Value
	return []string{
		fmt.Sprintf("wave %d/%d", r.Wave.Index, r.Wave.Of),
		fmt.Sprintf("%s of %s failures", count(r.Failures), count(r.MaxFailures)),
	}
}

func (l rolloutLook) eta() *time.Time {
	if l.r.Value.ETA == nil {
		return nil
	}
	return &l.r.Value.ETA.P50
}

// settled: it has ended, or a guardrail halted it, its writes in flight are seen to
// their end, and only a person can make it go on.
func (l rolloutLook) settled() bool {
	r := l.r.Value
	if fleet.RolloutState(r.State) == fleet.RolloutHalted {
		return r.Counts.Queued+r.Counts.Running+r.Counts.Verifying == 0
	}
	return r.EndedAt != nil && fleet.RolloutState(r.State).Ended()
}

func (l rolloutLook) verdict() error {
	r := l.r.Value
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
