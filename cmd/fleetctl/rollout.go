package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
)

func newRollout(p *program) *cobra.Command {
	return noun("rollout", "fleet", "Rollouts: one skill, many homes, in waves",
		newRolloutPlan(p), newRolloutCreate(p), newRolloutList(p), newRolloutShow(p), newRolloutWatch(p), newRolloutTargets(p),
		newRolloutPause(p), newRolloutResume(p), newRolloutCancel(p), newRolloutRetry(p), newRolloutRollback(p))
}

// ended is how many targets have an outcome.
func ended(c client.Counts) int64 { return c.Succeeded + c.Failed + c.Skipped + c.Canceled }

func rolloutColumns(p *program) []column[client.Rollout] {
	n := func(head string, wide bool, get func(client.Rollout) int64) column[client.Rollout] {
		return column[client.Rollout]{head: head, right: true, wide: wide, text: func(r client.Rollout) string { return number(get(r)) }}
	}
	return []column[client.Rollout]{
		{head: "id", text: func(r client.Rollout) string { return r.ID }},
		{head: "state", text: func(r client.Rollout) string { return r.State }, color: func(r client.Rollout) string { return stateColor(r.State) }},
		{head: "action", text: func(r client.Rollout) string { return r.Action }},
		{head: "account", text: func(r client.Rollout) string { return r.Account }},
		{head: "skill_id", text: func(r client.Rollout) string { return r.SkillID }},
		{head: "stage", text: func(r client.Rollout) string { return r.Stage }, wide: true},
		n("targets", false, func(r client.Rollout) int64 { return r.Targets }),
		{
			head: "done", right: true, text: func(r client.Rollout) string { return percent(ended(r.Counts), r.Targets) },
			csvHead: "ended", csv: func(r client.Rollout) string { return number(ended(r.Counts)) },
		},
		n("failed", false, func(r client.Rollout) int64 { return r.Counts.Failed }),
		n("skipped", true, func(r client.Rollout) int64 { return r.Counts.Skipped }),
		n("succeeded", true, func(r client.Rollout) int64 { return r.Counts.Succeeded }),
		n("canceled", true, func(r client.Rollout) int64 { return r.Counts.Canceled }),
		{head: "wave", text: waveText, csv: func(r client.Rollout) string { return number(r.Wave.Index) }, wide: true, right: true},
		n("requests", true, func(r client.Rollout) int64 { return r.Requests }),
		{
			head: "age", right: true, text: func(r client.Rollout) string { return p.age(r.CreatedAt) },
			csvHead: "created_at", csv: func(r client.Rollout) string { return stamp(r.CreatedAt) },
		},
		{
			head: "took", right: true, wide: true, text: func(r client.Rollout) string { return p.took(r) },
			csvHead: "ended_at", csv: func(r client.Rollout) string { return stampOf(r.EndedAt) },
		},
		{head: "created_by", text: func(r client.Rollout) string { return r.CreatedBy }, wide: true},
		{head: "reason", text: func(r client.Rollout) string { return r.Reason }, wide: true},
		{head: "origin", text: func(r client.Rollout) string { return r.Origin }, wide: true},
	}
}

func waveText(r client.Rollout) string { return fmt.Sprintf("%d/%d", r.Wave.Index, r.Wave.Of) }

// took is how long a rollout worked, or has worked so far.
func (p *program) took(r client.Rollout) string {
	if r.StartedAt == nil {
		return ""
	}
	if r.EndedAt != nil {
		return span(r.EndedAt.Sub(*r.StartedAt))
	}
	return p.age(*r.StartedAt)
}

// rolloutListOptions are the inputs of `rollout list`.
type rolloutListOptions struct {
	p       *program
	account string
	state   string
	active  bool
	list    listOptions
}

func newRolloutList(p *program) *cobra.Command {
	o := &rolloutListOptions{p: p}
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List rollouts, newest first", Args: cobra.NoArgs,
		RunE: p.do(o.run),
	}
	states := texts(fleet.RolloutStates())
	accountFlag(cmd, p, &o.account)
	cmd.Flags().Lookup("account").Usage = "only those of this account"
	cmd.Flags().StringVar(&o.state, "state", "", "only those in this state: "+strings.Join(states, "|"))
	cmd.Flags().BoolVar(&o.active, "active", false, "only those that have not ended")
	complete(cmd, "state", states...)
	o.list.flags(cmd.Flags(), 0)
	return cmd
}

func (o *rolloutListOptions) run(ctx context.Context) error {
	if err := oneOf("--state", o.state, texts(fleet.RolloutStates())); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	return printList(ctx, o.p, o.list, rolloutColumns(o.p), "No rollouts.",
		func(ctx context.Context, cursor string, limit int) (page[client.Rollout], error) {
			r, err := api.ListRollouts(ctx, client.ListRolloutsParams{
				Account: ref(o.account), State: ref(client.ListRolloutsParamsState(o.state)), Active: ref(o.active),
				Cursor: ref(cursor), Limit: ref(int64(limit)),
			})
			if err != nil {
				return page[client.Rollout]{}, err
			}
			return page[client.Rollout]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
}

// rolloutTargetsOptions are the inputs of `rollout targets`.
type rolloutTargetsOptions struct {
	p        *program
	id       string
	state    string
	reason   string
	property string
	list     listOptions
}

func newRolloutTargets(p *program) *cobra.Command {
	o := &rolloutTargetsOptions{p: p}
	cmd := &cobra.Command{
		Use: "targets ID", Short: "List the homes of a rollout and what came of each, in the order they go", Args: oneArg("ID", &o.id),
		ValidArgsFunction: p.completeRollouts,
		Example: `  fleetctl rollout targets 01k2 --state failed
  fleetctl rollout targets 01k2 -o csv > outcomes.csv`,
		RunE: p.do(o.run),
	}
	cmd.Flags().StringVar(&o.state, "state", "", "only those in this state: "+strings.Join(texts(fleet.TargetStates()), "|"))
	cmd.Flags().StringVar(&o.reason, "reason", "", "only those that failed or were skipped for this reason")
	cmd.Flags().StringVar(&o.property, "property", "", "only those of this property")
	complete(cmd, "state", texts(fleet.TargetStates())...)
	complete(cmd, "reason", targetReasons()...)
	o.list.flags(cmd.Flags(), 0)
	return cmd
}

// targetReasons lists why a target can have failed or been skipped.
func targetReasons() []string { return texts(append(fleet.FailReasons(), fleet.SkipReasons()...)) }

func targetColumns(p *program) []column[client.Target] {
	return []column[client.Target]{
		{head: "seq", text: func(t client.Target) string { return number(t.Seq) }, wide: true, right: true},
		{head: "unit_id", text: func(t client.Target) string { return t.UnitID }},
		{head: "property", text: func(t client.Target) string { return t.Property }},
		{head: "state", text: func(t client.Target) string { return t.State }, color: func(t client.Target) string { return stateColor(t.State) }},
		{head: "reason", text: func(t client.Target) string { return t.Reason }},
		{head: "attempts", text: func(t client.Target) string { return number(t.Attempts) }, right: true},
		{head: "requests", text: func(t client.Target) string { return number(t.Requests) }, wide: true, right: true},
		{head: "before", text: func(t client.Target) string { return seen(t.Before) }, wide: true},
		{head: "after", text: func(t client.Target) string { return seen(t.After) }, wide: true},
		{head: "request_id", text: func(t client.Target) string { return t.RequestID }, wide: true},
		{
			head: "started", right: true, wide: true, text: func(t client.Target) string { return p.ageOf(t.StartedAt) },
			csvHead: "started_at", csv: func(t client.Target) string { return stampOf(t.StartedAt) },
		},
		{
			head: "ended", right: true, text: func(t client.Target) string { return p.ageOf(t.EndedAt) },
			csvHead: "ended_at", csv: func(t client.Target) string { return stampOf(t.EndedAt) },
		},
		{head: "message", text: func(t client.Target) string { return p.fit(t.Message, 70) }, csv: func(t client.Target) string { return t.Message }},
	}
}

// seen is the status of an observation; empty when there was none.
func seen(o *client.Observation) string {
	if o == nil {
		return ""
	}
	return o.Status
}

// fit cuts text in tables that are not wide.
func (p *program) fit(s string, width int) string {
	if p.global.output == formatWide {
		return s
	}
	return cut(s, width)
}

func (o *rolloutTargetsOptions) run(ctx context.Context) error {
	if err := oneOf("--state", o.state, texts(fleet.TargetStates())); err != nil {
		return err
	}
	if err := oneOf("--reason", o.reason, targetReasons()); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	return printList(ctx, o.p, o.list, targetColumns(o.p), "No such targets.",
		func(ctx context.Context, cursor string, limit int) (page[client.Target], error) {
			r, err := api.ListTargets(ctx, o.id, client.ListTargetsParams{
				State: ref(client.ListTargetsParamsState(o.state)), Reason: ref(o.reason), Property: ref(o.property),
				Cursor: ref(cursor), Limit: ref(int64(limit)),
			})
			if err != nil {
				return page[client.Target]{}, err
			}
			return page[client.Target]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
}

// rolloutActOptions are the inputs of pause, resume, cancel and retry.
type rolloutActOptions struct {
	consent // yes: of cancel

	p     *program
	id    string
	only  []string
	force bool // of resume
	act   func(ctx context.Context, api *client.Client, o *rolloutActOptions) (*client.Response[client.Rollout], error)
	done  func(r client.Rollout) string
}

func (o *rolloutActOptions) command(verb, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " ID", Short: short, Long: long, Args: oneArg("ID", &o.id),
		ValidArgsFunction: o.p.completeRollouts,
		RunE:              o.p.do(o.run),
	}
	reasonFlag(cmd, &o.reason)
	return cmd
}

func (o *rolloutActOptions) run(ctx context.Context) error {
	for _, reason := range o.only {
		if !slices.Contains(texts(fleet.FailReasons()), reason) {
			return usagef("--only %q is not a reason of failure; the reasons are %s", reason, strings.Join(texts(fleet.FailReasons()), ", "))
		}
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	r, err := o.act(ctx, api, o)
	if err != nil {
		return err
	}
	return printOne(o.p, rolloutColumns(o.p), r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintln(w, clean(o.done(r.Value)))
	})
}

func newRolloutPause(p *program) *cobra.Command {
	o := &rolloutActOptions{p: p}
	o.act = func(ctx context.Context, api *client.Client, o *rolloutActOptions) (*client.Response[client.Rollout], error) {
		return api.PauseRollout(ctx, o.id, client.ReasonBody{Reason: ref(o.reason)})
	}
	o.done = func(r client.Rollout) string {
		return fmt.Sprintf("rollout %s %s; go on with: fleetctl rollout resume %s", r.ID, r.State, r.ID)
	}
	return o.command("pause", "Pause a rollout: no new write leaves from a second later on",
		"Pause a rollout: no new write leaves from a second later on. Writes in flight are seen to their end.")
}

func newRolloutResume(p *program) *cobra.Command {
	o := &rolloutActOptions{p: p}
	o.act = func(ctx context.Context, api *client.Client, o *rolloutActOptions) (*client.Response[client.Rollout], error) {
		if err := needReason(o.force, o.reason); err != nil {
			return nil, err
		}
		return api.ResumeRollout(ctx, o.id, client.ResumeBody{Reason: ref(o.reason), Force: ref(o.force)})
	}
	o.done = func(r client.Rollout) string {
		text := fmt.Sprintf("rollout %s %s", r.ID, r.State)
		if past := r.Counts.Failed - r.Failures; past > 0 {
			text += fmt.Sprintf("; %s acknowledged, %s allowed from here on", things(past, "failure"), things(r.MaxFailures, "failure"))
		}
		if r.Preflight != nil && r.Preflight.Why == string(preflight.WhyResume) && r.Requests == 0 {
			text += "; checked: " + r.Preflight.Message
		}
		return text
	}
	cmd := o.command("resume", "Resume a paused or halted rollout; past failures are acknowledged",
		`Resume a paused or halted rollout. The failures so far are acknowledged: they count toward --max-failures no more.

A rollout that never began, such as one made with --paused, is checked as at its creation (see fleetctl skill check): a
check that fails stops it, and --force with a --reason goes on all the same. What could not be checked stops nothing.`)
	cmd.Example = `  fleetctl rollout resume ro-5k3xw2c8
  fleetctl rollout resume ro-5k3xw2c8 --force --reason "published within the hour, ticket 4711"`
	forceFlag(cmd, &o.force)
	return cmd
}

func newRolloutCancel(p *program) *cobra.Command {
	o := &rolloutActOptions{p: p}
	o.act = func(ctx context.Context, api *client.Client, o *rolloutActOptions) (*client.Response[client.Rollout], error) {
		if err := o.ask(ctx, o.p, "Cancel rollout %s for good?", o.id); err != nil {
			return nil, err
		}
		return api.CancelRollout(ctx, o.id, client.ReasonBody{Reason: ref(o.reason)})
	}
	o.done = func(r client.Rollout) string {
		return fmt.Sprintf("rollout %s %s: %s canceled, %s succeeded, %s failed, %s skipped, %s being seen to their end", r.ID, r.State,
			count(r.Counts.Canceled), count(r.Counts.Succeeded), count(r.Counts.Failed), count(r.Counts.Skipped),
			count(r.Counts.Queued+r.Counts.Running+r.Counts.Verifying))
	}
	cmd := o.command("cancel", "Cancel a rollout for good",
		"Cancel a rollout for good. What has not been written to is canceled; writes in flight are seen to their end. Nothing is put back.")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func newRolloutRetry(p *program) *cobra.Command {
	o := &rolloutActOptions{p: p}
	o.act = func(ctx context.Context, api *client.Client, o *rolloutActOptions) (*client.Response[client.Rollout], error) {
		return api.RetryRollout(ctx, o.id, client.RetryBody{Reasons: list(o.only), Reason: ref(o.reason)})
	}
	o.done = func(r client.Rollout) string {
		return fmt.Sprintf("rollout %s %s: %s to go; watch: fleetctl rollout watch %s", r.ID, r.State,
			things(r.Targets-ended(r.Counts), "home"), r.ID)
	}
	cmd := o.command("retry", "Send the failed homes of a rollout again, in place",
		"Send the failed homes of a rollout again, in place: waves and thresholds stay. --only picks homes by why they failed.")
	cmd.Flags().StringArrayVar(&o.only, "only", nil, "only homes that failed for this reason; repeatable")
	complete(cmd, "only", texts(fleet.FailReasons())...)
	return cmd
}
