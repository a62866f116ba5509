package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// rolloutPlanOptions are the inputs of `rollout plan`.
type rolloutPlanOptions struct {
	rolloutSpec

	detailed bool
}

func newRolloutPlan(p *program) *cobra.Command {
	o := &rolloutPlanOptions{rolloutSpec: rolloutSpec{p: p}}
	cmd := &cobra.Command{
		Use: "plan enable|disable", Args: o.args,
		Short:     "Show what a rollout would do and cost; write nothing",
		Long:      "Show what a rollout would do and cost: nothing is created, and no home is asked or written to. What stands in the way of the skill is checked\nas `fleetctl skill check` does.\n\n" + guardrailsHelp,
		Example:   `  fleetctl rollout plan enable --account acme --skill amzn1.ask.skill.x --select property=maple-court --canary 10 --wave 10%`,
		ValidArgs: []string{"enable", "disable"},
		RunE:      p.do(o.run),
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.detailed, "detailed-exitcode", false, "exit with 3 when the rollout would change anything, 0 when not")
	return cmd
}

func (o *rolloutPlanOptions) run(ctx context.Context) error {
	body, err := o.request()
	if err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	r, err := api.PlanRollout(ctx, body)
	if err != nil {
		return err
	}
	err = printOne(o.p, planColumns(), r.Value, r.Raw, func(w io.Writer) {
		o.p.showPlan(w, r.Value)
		if blocked(r.Value.Preflight, false) {
			_, _ = fmt.Fprintln(w, "A check failed: `fleetctl rollout create` refuses this, unless told --force with a --reason.")
		}
	})
	if err == nil && o.detailed && changes(r.Value) > 0 {
		return &codeError{code: exitDifference}
	}
	return err
}

// changes is how many homes a plan may write to.
func changes(p client.Plan) int64 { return p.Expected.Write + p.Expected.Read }

func planColumns() []column[client.Plan] {
	n := func(head string, get func(client.Plan) int64) column[client.Plan] {
		return column[client.Plan]{head: head, right: true, text: func(p client.Plan) string { return number(get(p)) }}
	}
	return []column[client.Plan]{
		{head: "account", text: func(p client.Plan) string { return p.Account }},
		{head: "action", text: func(p client.Plan) string { return p.Action }},
		{head: "skill_id", text: func(p client.Plan) string { return p.SkillID }},
		{head: "stage", text: func(p client.Plan) string { return p.Stage }},
		n("targets", func(p client.Plan) int64 { return p.Targets }),
		n("waves", func(p client.Plan) int64 { return int64(len(p.Waves)) }),
		n("write", func(p client.Plan) int64 { return p.Expected.Write }),
		n("read", func(p client.Plan) int64 { return p.Expected.Read }),
		n("already_in_state", func(p client.Plan) int64 { return p.Expected.AlreadyInState }),
		n("occupied", func(p client.Plan) int64 { return p.Expected.Occupied }),
		n("max_failures", func(p client.Plan) int64 { return p.MaxFailures }),
		n("requests", func(p client.Plan) int64 { return p.Price.Requests }),
		{head: "minutes", text: func(p client.Plan) string { return fmt.Sprintf("%.1f", p.Price.Minutes) }, right: true},
		{head: "starts_at", text: func(p client.Plan) string { return stamp(p.StartsAt) }},
		{head: "preflight", text: func(p client.Plan) string { return preflightResult(p.Preflight) }},
	}
}

func (p *program) showPlan(w io.Writer, plan client.Plan) {
	var f facts
	f.add("Plan", "%s %s at stage %s, account %s", plan.Action, plan.SkillID, plan.Stage, plan.Account)
	f.add("Homes", "%s%s", things(plan.Targets, "home"), prefixed(", ", plan.Selector))
	f.add("Expected", "%s", expectedText(plan.Expected))
	f.add("Waves", "%s", wavesText(plan.Waves))
	f.add("Halts", "after more than %s", things(plan.MaxFailures, "failure"))
	f.add("Price", "%s, about %s at %s", things(plan.Price.Requests, "request"), minutes(plan.Price.Minutes), perSecond(plan.Rate))
	if plan.StartsAt.After(p.now()) {
		f.add("Starts", "%s", p.whenAndAge(plan.StartsAt))
	} else {
		f.add("Starts", "at once")
	}
	f.add("Properties", "%s", propertiesText(plan))
	f.add("Preflight", "%s", preflightText(plan.Preflight))
	f.write(w)
	for _, warning := range plan.Warnings {
		_, _ = fmt.Fprintf(w, "%s %s\n", p.paint(p.stdout, yellow, "warning:"), clean(warning))
	}
	_, _ = fmt.Fprintf(w, "\nPlan: %s to change, %s to leave as they are.\n", count(changes(plan)), count(plan.Targets-changes(plan)))
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func expectedText(e client.PlanExpected) string {
	var parts []string
	for _, x := range []struct {
		n    int64
		text string
	}{
		{e.Write, "to write"},
		{e.Read, "to read first (state unknown or too old), then write where needed"},
		{e.AlreadyInState, "already in state, skipped"},
		{e.Occupied, "occupied or linked, skipped"},
	} {
		if x.n > 0 {
			parts = append(parts, count(x.n)+" "+x.text)
		}
	}
	return strings.Join(parts, "\n")
}

// wavesText lists the sizes of waves; of many, the first ones.
func wavesText(waves []client.PlanWave) string {
	const most = 12
	sizes := make([]string, 0, most)
	for i, wave := range waves {
		if i == most {
			sizes = append(sizes, fmt.Sprintf("... (%d in all)", len(waves)))
			break
		}
		sizes = append(sizes, count(wave.Targets))
	}
	if len(waves) == 1 {
		return "1, of all " + sizes[0]
	}
	return fmt.Sprintf("%d, of %s", len(waves), strings.Join(sizes, ", "))
}

func propertiesText(plan client.Plan) string {
	var (
		parts []string
		sum   int64
	)
	for _, x := range plan.Properties {
		parts = append(parts, fmt.Sprintf("%s (%s)", x.Property, count(x.Targets)))
		sum += x.Targets
	}
	if rest := plan.Targets - sum; rest > 0 && len(parts) > 0 {
		parts = append(parts, fmt.Sprintf("and others (%s)", count(rest)))
	}
	return strings.Join(parts, ", ")
}
