package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// driftRepairOptions are the inputs of `drift repair`.
type driftRepairOptions struct {
	driftFilter
	guardrails

	p       *program
	dryRun  bool
	watch   bool
	timeout time.Duration
	yes     bool
	paused  bool
	force   bool
	key     string
}

func newDriftRepair(p *program) *cobra.Command {
	o := &driftRepairOptions{p: p}
	cmd := &cobra.Command{
		Use: "repair", Short: "Show the plan, ask, and put findings right by rollouts", Args: cobra.NoArgs,
		Long: `Show the plan, ask, and put findings right: one rollout for each skill, action and stage, all or none. Nobody is asked
with --yes, or where stdin is not a terminal. What is desired is enabled; what is unexpected is disabled.

Left alone are ignored findings, homes that are occupied or linked, that the last audit could not see whole, or that
a rollout of the skill has. Each skill is checked first (see fleetctl skill check), and a check that fails stops all of
it: --force with a --reason goes on all the same.

The guardrails are those of each rollout: --canary homes go first, then waves, with --soak between them; a rollout halts
when more than --max-failures homes fail; writes leave inside --window only.`,
		Example: `  fleetctl drift repair --account acme --kind missing --dry-run
  fleetctl drift repair --account acme --property maple-court --canary 5 --yes --watch --reason "ticket 4711"`,
		RunE: p.do(o.run),
	}
	o.driftFilter.flags(cmd, p)
	o.guardrails.flags(cmd)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show the plans; create nothing")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "watch the rollouts to their end, one after the other")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "with --watch: stop watching after this long, with exit code 8")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.paused, "paused", false, "prepare the rollouts: release nothing until each is resumed")
	forceFlag(cmd, &o.force)
	keyFlag(cmd.Flags(), &o.key)
	return cmd
}

func (o *driftRepairOptions) run(ctx context.Context) error {
	body, err := o.request()
	if err != nil {
		return err
	}
	o.yes = o.yes || !o.p.canAsk() // what a script asks for is not asked again
	api, err := o.p.api()
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.plan(ctx, api, body)
	}
	if !o.yes || o.p.terminal(o.p.stderr) || o.p.global.output == formatTable || o.p.global.output == formatWide {
		if done, err := o.showAndAsk(ctx, api, body); err != nil || done {
			return err
		}
	}
	k := key(o.key)
	r, err := insist(ctx, o.p, k, "the repair was made", func() (*client.Response[client.Repair], error) {
		return api.RepairDrift(ctx, client.RepairDriftParams{IdempotencyKey: ref(k)}, body)
	})
	if err != nil {
		return err
	}
	if o.watch && len(r.Value.Rollouts) > 0 {
		return o.watchAll(ctx, api, r.Value)
	}
	return o.printRepair(r)
}

func (o *driftRepairOptions) request() (client.RepairBody, error) {
	none := client.RepairBody{}
	if o.timeout < 0 || (o.timeout > 0 && !o.watch) {
		return none, usagef("--timeout is how long to watch: give it with --watch, and above 0")
	}
	if o.dryRun && o.watch {
		return none, usagef("--dry-run and --watch exclude each other: a dry run makes nothing to watch")
	}
	if o.paused && o.watch {
		return none, usagef("--paused and --watch exclude each other: nothing happens until the rollouts are resumed")
	}
	if err := needReason(o.force, o.reason); err != nil {
		return none, err
	}
	if err := o.driftFilter.check(); err != nil {
		return none, err
	}
	if err := o.guardrails.check(); err != nil {
		return none, err
	}
	start, err := o.start()
	return client.RepairBody{
		Account: ref(o.account), Kind: ref(client.RepairBodyKind(o.kind)), Property: ref(o.property),
		Cause: ref(client.RepairBodyCause(o.cause)), SkillID: ref(o.skill), UnitID: ref(o.unit), DryRun: ref(o.dryRun),
		Canary: ref(o.canary), Waves: list(o.waves), Soak: ref(o.soak), MaxFailures: ref(o.maxFailures),
		Window: ref(o.window), Timezone: ref(o.timezone), StartAt: start, VerifyTimeout: ref(o.verifyTimeout),
		ObservationMaxAge: ref(o.observationMaxAge), Weight: ref(o.weight), Reason: ref(o.reason),
		Paused: ref(o.paused), Force: ref(o.force),
	}, err
}

// plan prints what a repair would make.
func (o *driftRepairOptions) plan(ctx context.Context, api *client.Client, body client.RepairBody) error {
	r, err := api.RepairDrift(ctx, client.RepairDriftParams{}, body)
	if err != nil {
		return err
	}
	switch o.p.global.output {
	case formatJSON:
		return writeJSON(o.p.stdout, r.Raw)
	case formatCSV:
		return newRowPrinter(o.p, planColumns()).write(r.Value.Plans)
	}
	var b bytes.Buffer
	o.p.showRepairPlan(&b, r.Value)
	_, err = o.p.stdout.Write(b.Bytes())
	return wrote(err)
}

// showAndAsk shows the plans and, unless --yes was said, asks. done says that there
// is nothing to repair. As with `rollout create`, what cannot be planned is not
// made, unless the call may repeat another one by its key.
func (o *driftRepairOptions) showAndAsk(ctx context.Context, api *client.Client, body client.RepairBody) (done bool, err error) {
	body.DryRun = ref(true)
	r, err := api.RepairDrift(ctx, client.RepairDriftParams{}, body)
	if err != nil {
		if o.yes && o.key != "" && ctx.Err() == nil {
			return false, nil
		}
		return false, err
	}
	if len(r.Value.Plans) == 0 && !o.yes {
		return true, o.printRepair(r)
	}
	aside := *o.p
	aside.stdout = o.p.stderr // stdout is for what was created
	aside.showRepairPlan(o.p.stderr, r.Value)
	if o.yes || slices.ContainsFunc(r.Value.Plans, func(p client.Plan) bool { return blocked(p.Preflight, o.force || o.paused) }) {
		return false, nil // where a check stands in the way, the server refuses it, and says why
	}
	question := fmt.Sprintf("Repair %s by %s?", things(r.Value.Targets, "finding"), things(int64(len(r.Value.Plans)), "rollout"))
	if ok, err := o.p.confirm(ctx, question); err != nil || !ok {
		return false, declined(err)
	}
	return false, nil
}

// watchAll watches the rollouts one after the other, and ends with the worst that
// came of any.
func (o *driftRepairOptions) watchAll(ctx context.Context, api *client.Client, r client.Repair) error {
	deadline := o.p.now().Add(o.timeout)
	var worst error
	for _, made := range r.Rollouts {
		o.p.note("rollout %s created", made.ID)
	}
	for _, made := range r.Rollouts {
		w := o.p.watchRollout()
		w.api, w.id = api, made.ID
		if o.timeout > 0 {
			w.timeout = max(time.Millisecond, deadline.Sub(o.p.now()))
		}
		err := w.run(ctx)
		if _, ok := errors.AsType[*codeError](err); err != nil && !ok || ctx.Err() != nil {
			return err
		}
		if err != nil {
			if worst != nil {
				o.p.note("%s", worst)
			}
			worst = err
		}
	}
	return worst
}

// printRepair prints the rollouts that were made.
func (o *driftRepairOptions) printRepair(r *client.Response[client.Repair]) error {
	switch o.p.global.output {
	case formatJSON:
		return writeJSON(o.p.stdout, r.Raw)
	case formatCSV:
		return newRowPrinter(o.p, rolloutColumns(o.p)).write(r.Value.Rollouts)
	}
	if err := o.p.say("%s", repairText(r.Value)); err != nil || len(r.Value.Rollouts) == 0 {
		return err
	}
	for _, made := range r.Value.Rollouts {
		if err := o.p.say("rollout %s created: %s %s at stage %s in %s", made.ID, made.Action, made.SkillID, made.Stage, things(made.Targets, "home")); err != nil {
			return err
		}
	}
	o.p.note("Watch them: fleetctl rollout watch %s", r.Value.Rollouts[0].ID)
	return nil
}

func (p *program) showRepairPlan(w io.Writer, r client.Repair) {
	for _, plan := range r.Plans {
		p.showPlan(w, plan)
		_, _ = fmt.Fprintln(w)
	}
	_, _ = fmt.Fprintln(w, clean(repairText(r)))
}

// repairText says how many findings are repaired, and why others are not.
func repairText(r client.Repair) string {
	var left []string
	for _, s := range r.Skipped {
		left = append(left, count(s.Count)+" "+s.Reason)
	}
	alone := prefixed("; left alone: ", strings.Join(left, ", "))
	n := int64(len(r.Plans) + len(r.Rollouts))
	if n == 0 {
		return fmt.Sprintf("Nothing to repair in %s%s.", things(r.Findings, "finding"), alone)
	}
	return fmt.Sprintf("Repair: %s of %s, by %s%s.", count(r.Targets), things(r.Findings, "finding"), things(n, "rollout"), alone)
}
