package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

func newRolloutShow(p *program) *cobra.Command {
	var id string
	return &cobra.Command{
		Use: "show ID", Short: "Show a rollout: its state and why, progress, failures, price, and what to do next", Args: oneArg("ID", &id),
		ValidArgsFunction: p.completeRollouts,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			r, err := api.GetRollout(ctx, id)
			if err != nil {
				return err
			}
			return p.printRollout(r)
		}),
	}
}

// printRollout prints one rollout.
func (p *program) printRollout(r *client.Response[client.Rollout]) error {
	return printOne(p, rolloutColumns(p), r.Value, r.Raw, func(w io.Writer) { p.showRollout(w, r.Value) })
}

func (p *program) showRollout(w io.Writer, r client.Rollout) {
	var f facts
	f.add("Rollout", "%s", r.ID)
	f.add("Change", "%s %s at stage %s, account %s", r.Action, r.SkillID, r.Stage, r.Account)
	f.add("Homes", "%s%s", things(r.Targets, "home"), prefixed(", ", cut(r.Selector, 200)))
	f.add("State", "%s", joinNonEmpty(": ", r.State, r.StateReason))
	f.add("Progress", "%s  %s of %s ended (%s)", drawBar(ended(r.Counts), r.Targets), count(ended(r.Counts)), count(r.Targets), percent(ended(r.Counts), r.Targets))
	f.add("", "%s", countsText(r.Counts))
	f.add("Wave", "%d of %d", r.Wave.Index, r.Wave.Of)
	f.add("Failures", "%s", failuresText(r))
	f.add("Requests", "%s sent, %s planned (%s)", count(r.Requests), count(r.Price.Requests), minutes(r.Price.Minutes))
	f.add("ETA", "%s", p.etaText(r))
	f.add("Created", "%s by %s%s", p.whenAndAge(r.CreatedAt), r.CreatedBy, prefixed(": ", r.Reason))
	f.add("Origin", "%s", r.Origin)
	f.add("Preflight", "%s", preflightText(r.Preflight))
	if r.StartedAt != nil {
		f.add("Started", "%s", p.whenAndAge(*r.StartedAt))
	}
	if r.EndedAt != nil {
		f.add("Ended", "%s%s", p.whenAndAge(*r.EndedAt), prefixed(", took ", p.took(r)))
	}
	f.write(w)
	writeNext(w, nextCommands(r))
}

// writeNext writes commands that an operator may want to run now, and what each does.
func writeNext(w io.Writer, next [][2]string) {
	if len(next) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w, "\nNext:")
	width := 0
	for _, n := range next {
		width = max(width, len(n[0]))
	}
	for _, n := range next {
		_, _ = fmt.Fprintf(w, "  %-*s  # %s\n", width, n[0], n[1])
	}
}

// drawBar draws progress in plain characters.
func drawBar(done, of int64) string {
	const width = 30
	if of <= 0 {
		return ""
	}
	n := int(done * width / of)
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}

// countsText lists the states that have targets.
func countsText(c client.Counts) string {
	var parts []string
	for _, x := range []struct {
		n     int64
		state fleet.TargetState
	}{
		{c.Succeeded, fleet.TargetSucceeded},
		{c.Skipped, fleet.TargetSkipped},
		{c.Failed, fleet.TargetFailed},
		{c.Canceled, fleet.TargetCanceled},
		{c.Verifying, fleet.TargetVerifying},
		{c.Running, fleet.TargetRunning},
		{c.Queued, fleet.TargetQueued},
		{c.Pending, fleet.TargetPending},
	} {
		if x.n > 0 {
			parts = append(parts, count(x.n)+" "+string(x.state))
		}
	}
	return strings.Join(parts, ", ")
}

func failuresText(r client.Rollout) string {
	text := fmt.Sprintf("%s of %s allowed", count(r.Failures), count(r.MaxFailures))
	if past := r.Counts.Failed - r.Failures; past > 0 {
		text += fmt.Sprintf(", and %s acknowledged by a resume", count(past))
	}
	return text
}

// etaText says when a rollout is likely to end; nothing when it cannot be told.
func (p *program) etaText(r client.Rollout) string {
	if r.EndedAt != nil || r.ETA == nil {
		return ""
	}
	text := p.whenAndAge(r.ETA.P50)
	if r.ETA.P90.After(r.ETA.P50) {
		text += ", with some bad luck " + p.when(r.ETA.P90)
	}
	return text
}

// nextCommands is what an operator may want to run now, and what it does.
func nextCommands(r client.Rollout) [][2]string {
	cmd := func(verb, rest, what string) [2]string {
		return [2]string{strings.TrimSpace("fleetctl rollout " + verb + " " + r.ID + " " + rest), what}
	}
	var next [][2]string
	if r.Counts.Failed > 0 {
		next = append(next, cmd("targets", "--state failed", "which homes failed, and why"))
	}
	switch fleet.RolloutState(r.State) {
	case fleet.RolloutRunning, fleet.RolloutWaiting, fleet.RolloutScheduled:
		next = append(next, cmd("watch", "", "follow it"), cmd("pause", "", "stop writing within a second"))
	case fleet.RolloutPaused:
		next = append(next, cmd("resume", "", "go on"), cmd("cancel", "", "end it; nothing is put back"))
	case fleet.RolloutHalted:
		what := "acknowledge the failures and go on"
		if r.Failures == 0 { // it was halted for what its state says
			what = "go on, once that is mended"
		}
		next = append(next, cmd("resume", "", what), cmd("cancel", "", "end it; nothing is put back"))
	case fleet.RolloutCompletedWithFailures:
		next = append(next, cmd("retry", "", "send the failed homes again"))
	case fleet.RolloutCanceled:
		next = append(next, cmd("targets", "--state canceled", "which homes were left"))
	case fleet.RolloutSucceeded:
	}
	if r.EndedAt != nil {
		next = append(next, cmd("targets", "-o csv", "what came of every home"))
	}
	return next
}
