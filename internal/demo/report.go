package demo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// maxListed is how many of the things that are wrong are listed one by one.
const maxListed = 10

// outcome is a state and why.
type outcome struct{ state, reason string }

// verdict is one closing check.
type verdict struct {
	held bool
	text string
	more []string // what did not hold, one by one
}

// report prints the closing tables and checks every recorded outcome.
func (d *demo) report(ctx context.Context) error {
	d.p.step("What came of it")
	homes := map[outcome]int{}
	total := 0
	var wrong []string
	err := d.targets(ctx, client.ListTargetsParams{}, func(t client.Target) {
		total++
		homes[outcome{t.State, t.Reason}]++
		if m := mismatch(t, d.sim.State(t.UnitID, skill)); m != "" {
			wrong = append(wrong, t.UnitID+": "+m)
		}
	})
	if err != nil {
		return err
	}
	stats := d.sim.Stats()
	d.printHomes(homes, total)
	d.printRequests(stats)
	return d.printVerdicts(d.verdicts(total, wrong, stats))
}

// printHomes prints how many homes had which outcome.
func (d *demo) printHomes(homes map[outcome]int, total int) {
	order := slices.SortedFunc(maps.Keys(homes), func(a, b outcome) int {
		return cmp.Or(rank(a.state)-rank(b.state), homes[b]-homes[a], strings.Compare(a.reason, b.reason))
	})
	row := func(homes, share, text string) { d.p.text("   %*s  %5s  %s", labelWidth, homes, share, text) }
	row("HOMES", "SHARE", "OUTCOME")
	for _, o := range order {
		row(count(homes[o]), percent(float64(homes[o])/float64(max(1, total))), strings.TrimSpace(fmt.Sprintf("%-10s %s", o.state, o.reason)))
	}
	row(count(total), percent(1), "all")
}

// rank is the place of a state in the order of a target's life, ends first.
func rank(state string) int {
	i := slices.Index(fleet.TargetStates(), fleet.TargetState(state))
	if fleet.TargetState(state).Ended() {
		return i - len(fleet.TargetStates())
	}
	return i
}

// printRequests prints what it took.
func (d *demo) printRequests(s simulator.Stats) {
	d.p.text("")
	took := time.Duration(0)
	if d.rollout.StartedAt != nil && d.rollout.EndedAt != nil {
		took = d.rollout.EndedAt.Sub(*d.rollout.StartedAt)
	}
	d.p.fact("Requests", "%s asked in %s; the plan said %s for an API without faults", count(s.Requests), seconds(took), count(d.plan.Price.Requests))
	d.p.fact("Refused", "%s answered 429 (%s)", count(s.Refused), percent(s.RefusedShare))
	d.p.fact("Limit used", "%s of the true limit while homes waited for a request, pauses after a 429 included", percent(d.journal.share()))
	d.p.fact("", "%s from the first request to the last: at the ends of waves homes wait for the API", percent(s.LimitShare))
	if d.crash != nil {
		entries, _ := d.sim.HistoryPage(simulator.HistoryParams{After: d.crash.killed.Add(-5 * time.Second), Limit: 20_000})
		d.p.fact("", "(the outage, %s without a request, is in the second figure only)", seconds(outage(entries, d.crash.started)))
	}
	d.p.fact("Faults", "%s", faultsText(s.Faults))
	d.p.fact("Writes", "%s, at most %d to one home", count(s.Writes), s.MaxWrites)
	d.p.fact("Tokens", "refreshed %s", times(s.TokenRefreshes))
}

// faultsText sums up how the API misbehaved, the most frequent ways first.
func faultsText(faults map[simulator.Fault]uint64) string {
	const named = 4
	var parts []string
	var all uint64
	names := slices.SortedFunc(maps.Keys(faults), func(a, b simulator.Fault) int {
		return cmp.Or(cmp.Compare(faults[b], faults[a]), strings.Compare(string(a), string(b)))
	})
	for _, name := range names {
		if name == "respelled_unit" || name == "html_error" || name == "empty_error" {
			continue // how another fault looked, or no harm
		}
		all += faults[name]
		if len(parts) < named {
			parts = append(parts, fmt.Sprintf("%s %s", count(faults[name]), strings.ReplaceAll(string(name), "_", " ")))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return fmt.Sprintf("%s: %s and others", count(all), strings.Join(parts, ", "))
}

// verdicts are the closing checks.
func (d *demo) verdicts(total int, wrong []string, s simulator.Stats) []verdict {
	r := d.rollout
	doubles := make([]string, 0, len(s.DoubleWriteExamples))
	for _, e := range s.DoubleWriteExamples {
		doubles = append(doubles, e.UnitID)
	}
	list := []verdict{
		{total == d.cfg.Homes && int(r.Targets) == total, fmt.Sprintf("%s of %s homes have a recorded outcome", count(ended(r.Counts)), count(d.cfg.Homes)), nil},
		{len(wrong) == 0, fmt.Sprintf("%s of %s recorded outcomes agree with the API's true state, checked one by one", count(total-len(wrong)), count(total)), wrong},
		{s.DoubleWrites == 0, fmt.Sprintf("%s a home was written twice without a read in between", times(s.DoubleWrites)), doubles},
		{len(d.journal.broken) == 0, fmt.Sprintf("%s of %s looks found counts whole, outcomes kept and waves in order",
			count(d.journal.looks-min(d.journal.looks, len(d.journal.broken))), count(d.journal.looks)), d.journal.broken},
		{r.Failures <= r.MaxFailures, fmt.Sprintf("%s, where %s are borne", things(r.Failures, "failure"), count(r.MaxFailures)), nil},
	}
	switch {
	case d.crash != nil:
		list = append(list, verdict{
			d.crash.settled,
			fmt.Sprintf("kill -9: %s taken over by the next process", things(len(d.crash.held), "home")), nil,
		})
	case !d.cfg.NoKill:
		list = append(list, verdict{false, "kill -9: the rollout ended before the worker was killed", nil})
	}
	return list
}

func times(n uint64) string { return things(n, "time") }

// printVerdicts prints the checks and returns a *CheckError when one did not hold.
func (d *demo) printVerdicts(list []verdict) error {
	d.p.text("")
	var failed *CheckError
	for _, v := range list {
		mark := d.p.paint(green, "held  ")
		if !v.held {
			mark = d.p.paint(red, "FAILED")
			if failed == nil {
				failed = &CheckError{Of: len(list), First: v.text}
			}
			failed.Failed++
		}
		d.p.text("   %s  %s", mark, v.text)
		if v.held {
			continue
		}
		for _, line := range v.more[:min(len(v.more), maxListed)] {
			d.p.text("           %s", line)
		}
		if rest := len(v.more) - maxListed; rest > 0 {
			d.p.text("           and %s more", count(rest))
		}
	}
	d.p.text("")
	if failed != nil {
		return failed
	}
	d.p.text("   The demo took %s.", seconds(time.Since(d.began)))
	return nil
}
