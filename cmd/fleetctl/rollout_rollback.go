package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// rolloutRollbackOptions are the inputs of `rollout rollback`.
type rolloutRollbackOptions struct {
	guardrails

	p               *program
	id              string
	includeOccupied bool
	dryRun          bool
	watch           bool
	timeout         time.Duration
	yes             bool
	paused          bool
	key             string
}

func newRolloutRollback(p *program) *cobra.Command {
	o := &rolloutRollbackOptions{p: p}
	cmd := &cobra.Command{
		Use: "rollback ID", Short: "Put back what the homes of a rollout had before it", Args: oneArg("ID", &o.id),
		ValidArgsFunction: p.completeRollouts,
		Long: `Put back what each home of an ended rollout had before it, by a rollout of its own: priced, throttled and in waves.
Each home is read first and is written to only where it still is as that rollout left it; others are skipped with the
reason changed_since. A rollback can be rolled back too. On a terminal the plan is shown, and --yes keeps it from asking.`,
		Example: `  fleetctl rollout rollback ro-7k2m --dry-run
  fleetctl rollout rollback ro-7k2m --canary 5 --reason "ticket 4711" --watch`,
		RunE: p.do(o.run),
	}
	o.flags(cmd)
	_ = cmd.Flags().MarkHidden("observation-max-age") // It always reads.
	cmd.Flags().BoolVar(&o.includeOccupied, "include-occupied", false, "write to occupied and linked homes as well")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show the plan; create nothing")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "watch the rollback to its end")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "with --watch: stop watching after this long, with exit code 8")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.paused, "paused", false, "prepare it: release nothing until it is resumed")
	keyFlag(cmd.Flags(), &o.key)
	return cmd
}

func (o *rolloutRollbackOptions) run(ctx context.Context) error {
	body, err := o.request()
	if err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	if o.dryRun {
		r, err := api.PlanRollback(ctx, o.id, body)
		if err != nil {
			return err
		}
		return printOne(o.p, planColumns(), r.Value, r.Raw, func(w io.Writer) { o.p.showPlan(w, r.Value) })
	}
	if !o.yes && o.p.canAsk() {
		if err := o.showAndAsk(ctx, api, body); err != nil {
			return err
		}
	}
	k := key(o.key)
	r, err := insist(ctx, o.p, k, "the rollback was created", func() (*client.Response[client.Rollout], error) {
		return api.RollbackRollout(ctx, o.id, client.RollbackRolloutParams{IdempotencyKey: ref(k)}, body)
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
		_, _ = fmt.Fprintf(w, "rollout %s created: it takes back %s\n", clean(r.Value.ID), clean(r.Value.RollbackOf))
		o.p.note("Watch it: fleetctl rollout watch %s", r.Value.ID)
	})
}

func (o *rolloutRollbackOptions) showAndAsk(ctx context.Context, api *client.Client, body client.RollbackBody) error {
	plan, err := api.PlanRollback(ctx, o.id, body)
	if err != nil {
		return err
	}
	aside := *o.p
	aside.stdout = o.p.stderr // stdout is for what was created
	aside.showPlan(o.p.stderr, plan.Value)
	_, _ = fmt.Fprintln(o.p.stderr)
	question := fmt.Sprintf("Roll back %s in %s?", o.id, things(changes(plan.Value), "home"))
	if ok, err := o.p.confirm(ctx, question); err != nil || !ok {
		return declined(err)
	}
	return nil
}

func (o *rolloutRollbackOptions) request() (client.RollbackBody, error) {
	none := client.RollbackBody{}
	switch {
	case o.timeout < 0 || (o.timeout > 0 && !o.watch):
		return none, usagef("--timeout is how long to watch: give it with --watch, and above 0")
	case o.paused && o.watch:
		return none, usagef("--paused and --watch exclude each other: nothing happens until it is resumed")
	case o.dryRun && o.watch:
		return none, usagef("--dry-run and --watch exclude each other: a dry run makes nothing to watch")
	case o.observationMaxAge != "":
		return none, usagef("--observation-max-age is not for rollbacks: they always read before they write")
	}
	if err := o.check(); err != nil {
		return none, err
	}
	start, err := o.start()
	return client.RollbackBody{
		Canary: ref(o.canary), Waves: list(o.waves), Soak: ref(o.soak), MaxFailures: ref(o.maxFailures),
		Window: ref(o.window), Timezone: ref(o.timezone), StartAt: start, VerifyTimeout: ref(o.verifyTimeout),
		IncludeOccupied: ref(o.includeOccupied), Weight: ref(o.weight), Reason: ref(o.reason), Paused: ref(o.paused),
	}, err
}
