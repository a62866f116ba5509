package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// rolloutCreateOptions are the inputs of `rollout create`.
type rolloutCreateOptions struct {
	rolloutSpec

	watch   bool
	timeout time.Duration
	yes     bool
	paused  bool
	force   bool
	key     string
}

func newRolloutCreate(p *program) *cobra.Command {
	o := &rolloutCreateOptions{rolloutSpec: rolloutSpec{p: p}}
	cmd := &cobra.Command{
		Use: "create enable|disable", Args: o.args,
		Short: "Show the plan, ask, and start a rollout",
		Long: "Show the plan, ask, and start a rollout. Without a terminal to ask on, --yes is required.\n\n" + guardrailsHelp + `

What stands in the way of the skill is checked first (see fleetctl skill check), and a check that fails stops it: --force
with a --reason goes on all the same. With --paused the rollout is prepared, and nothing is released until it is resumed:
checks that fail are shown and stop nothing now, and they are made anew when it begins.

A repeated call with the same --idempotency-key and the same request creates one rollout.`,
		Example: `  fleetctl rollout create enable --account acme --skill amzn1.ask.skill.x --select property=maple-court --watch
  fleetctl rollout create disable --account acme --skill amzn1.ask.skill.x --units-file homes.txt --yes --reason "ticket 4711"`,
		ValidArgs: []string{"enable", "disable"},
		RunE:      p.do(o.run),
	}
	o.flags(cmd)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "watch the rollout to its end")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "with --watch: stop watching after this long, with exit code 8")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.paused, "paused", false, "prepare it: release nothing until it is resumed")
	forceFlag(cmd, &o.force)
	keyFlag(cmd.Flags(), &o.key)
	return cmd
}

func (o *rolloutCreateOptions) run(ctx context.Context) error {
	if o.timeout < 0 || (o.timeout > 0 && !o.watch) {
		return usagef("--timeout is how long to watch: give it with --watch, and above 0")
	}
	if o.paused && o.watch {
		return usagef("--paused and --watch exclude each other: nothing happens until it is resumed")
	}
	if err := needReason(o.force, o.reason); err != nil {
		return err
	}
	body, err := o.request()
	if err != nil {
		return err
	}
	body.Paused, body.Force = ref(o.paused), ref(o.force)
	ask := !o.yes
	if ask && !o.p.canAsk() {
		return usagef("stdin is not a terminal, so nobody can confirm: look at `fleetctl rollout plan`, then add --yes")
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	if o.shows() {
		if err := o.showAndAsk(ctx, api, body, ask); err != nil {
			return err
		}
	}
	k := key(o.key)
	r, err := insist(ctx, o.p, k, "the rollout was created", func() (*client.Response[client.Rollout], error) {
		return api.CreateRollout(ctx, client.CreateRolloutParams{IdempotencyKey: ref(k)}, body)
	})
	if err != nil {
		return err
	}
	if o.watch {
		o.p.note("rollout %s created", r.Value.ID)
		w := o.p.watchRollout()
		w.api, w.id, w.timeout = api, r.Value.ID, o.timeout
		return w.run(ctx)
	}
	return printOne(o.p, rolloutColumns(o.p), r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "rollout %s created%s\n", clean(r.Value.ID), mark(o.paused, ", paused"))
		if o.paused {
			if blocked(r.Value.Preflight, false) {
				o.p.note("What failed is checked anew when it begins, and stops it then unless it is mended.")
			}
			o.p.note("Begin: fleetctl rollout resume %s", r.Value.ID)
			return
		}
		o.p.note("Watch it: fleetctl rollout watch %s", r.Value.ID)
	})
}

// showAndAsk shows the plan and, unless --yes was said, asks. What cannot be planned is not
// made, with --yes either. Only a call that may repeat another one by its key goes on:
// what that one made stands in its way, and create has its answer.
func (o *rolloutCreateOptions) showAndAsk(ctx context.Context, api *client.Client, body client.RolloutRequest, ask bool) error {
	plan, err := api.PlanRollout(ctx, body)
	if err != nil {
		if !ask && o.key != "" && ctx.Err() == nil {
			return nil
		}
		return err
	}
	aside := *o.p
	aside.stdout = o.p.stderr // stdout is for what was created
	aside.showPlan(o.p.stderr, plan.Value)
	_, _ = fmt.Fprintln(o.p.stderr)
	if !ask || blocked(plan.Value.Preflight, o.force || o.paused) { // the server refuses it, and says why
		return nil
	}
	question := fmt.Sprintf("%s %s in %s?", title(o.action), o.skill, things(changes(plan.Value), "home"))
	if ok, err := o.p.confirm(ctx, question); err != nil || !ok {
		return declined(err)
	}
	return nil
}

// shows reports whether the plan is for anybody: with --yes and JSON it would be a
// second scan of the fleet for nobody.
func (o *rolloutCreateOptions) shows() bool {
	return !o.yes || o.p.terminal(o.p.stderr) || o.p.global.output == formatTable || o.p.global.output == formatWide
}

// insist makes a creating call. Its answer may be lost on the way, so the call has a
// key, and is made again with the same key until an answer says what became of it.
// done says what the call may have done, for the person who must ask again.
func insist[T any](ctx context.Context, p *program, key, done string, call func() (*client.Response[T], error)) (*client.Response[T], error) {
	const tries = 4
	for try := 1; ; try++ {
		r, err := call()
		var away *client.UnreachableError
		if err == nil || !errors.As(err, &away) {
			return r, err
		}
		if try == tries {
			away.Sent = false // which is said here
			p.note("It is not known whether %s: repeat the command with --idempotency-key %s, and at most one is.", done, key)
			return nil, err
		}
		p.note("%s; asking again with the same key", plainCause(err, away))
		if err := wait(ctx, time.Duration(try)*p.pollInterval); err != nil {
			return nil, err
		}
	}
}

// key is the idempotency key of a creating call: the given one, or a new one.
func key(given string) string {
	if given != "" {
		return given
	}
	return "fleetctl-" + strings.ToLower(rand.Text())
}

// wait waits, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// title is a word with a capital.
func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
