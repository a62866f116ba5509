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

// outcome is a state and why.
type outcome struct{ state, reason string }

// outcomes is what the rollout came to, taken down before anything else happens.
type outcomes struct {
	homes      map[outcome]int
	total      int
	wrong      []string        // what is recorded otherwise than it is, one by one
	failed     []client.Target // in the order of the inventory
	properties []string        // in the order of the inventory
	spent      simulator.Stats // what the API saw of it
	outage     time.Duration   // without requests, around the kill
}

// takeOutcomes compares every recorded outcome with the truth.
func (d *demo) takeOutcomes(ctx context.Context) error {
	o := outcomes{homes: map[outcome]int{}, spent: d.sim.Stats()}
	err := d.targets(ctx, client.ListTargetsParams{}, func(t client.Target) {
		o.total++
		o.homes[outcome{t.State, t.Reason}]++
		if m := mismatch(t, d.sim.State(t.UnitID, skill)); m != "" {
			o.wrong = append(o.wrong, t.UnitID+": "+m)
		}
		if t.State == string(fleet.TargetFailed) {
			o.failed = append(o.failed, t)
		}
		if !slices.Contains(o.properties, t.Property) {
			o.properties = append(o.properties, t.Property)
		}
	})
	if err != nil {
		return err
	}
	if d.crash != nil {
		entries, _ := d.sim.HistoryPage(simulator.HistoryParams{After: d.crash.killed.Add(-5 * time.Second), Limit: 20_000})
		o.outage = outage(entries, d.crash.started)
	}
	d.outcomes = o
	c := d.rollout.Counts
	d.p.fact("Ended", "%s: %s succeeded, %s skipped, %s failed; %s of %s recorded as it is", d.rollout.State,
		count(c.Succeeded), count(c.Skipped), count(c.Failed), count(o.total-len(o.wrong)), count(o.total))
	return nil
}

// report prints the closing table and the checks.
func (d *demo) report() error {
	d.p.step("What came of it")
	d.printOutcomes()
	d.p.text("")
	d.printAudits()
	d.p.text("")
	d.printDrift()
	d.p.text("")
	d.printRequests()
	d.p.text("")
	d.printRollout()
	return d.printVerdicts(d.verdicts())
}

// column is the width of the numbers of the closing table.
const column = 12

// printOutcomes prints how many homes had which outcome.
func (d *demo) printOutcomes() {
	o := d.outcomes
	order := slices.SortedFunc(maps.Keys(o.homes), func(a, b outcome) int {
		return cmp.Or(rank(a.state)-rank(b.state), o.homes[b]-o.homes[a], strings.Compare(a.reason, b.reason))
	})
	d.row("ROLLOUT", "HOMES", "SHARE")
	for _, k := range order {
		d.row(strings.TrimSpace(fmt.Sprintf("%-10s %s", k.state, k.reason)), count(o.homes[k]), percent(float64(o.homes[k])/float64(max(1, o.total))))
	}
	d.row("all", count(o.total), percent(1))
}

// row prints a row of the closing table: what it is about, and numbers.
func (d *demo) row(name string, numbers ...string) {
	var line strings.Builder
	fmt.Fprintf(&line, "   %-*s", 2*column+6, name)
	for _, n := range numbers {
		fmt.Fprintf(&line, "%*s", column, n)
	}
	d.p.text("%s", line.String())
}

// rank is the place of a state in the order of a target's life, ends first.
func rank(state string) int {
	i := slices.Index(fleet.TargetStates(), fleet.TargetState(state))
	if fleet.TargetState(state).Ended() {
		return i - len(fleet.TargetStates())
	}
	return i
}

// printAudits prints how the homes were before and after the repair.
func (d *demo) printAudits() {
	before, after := d.first.audit, d.second.audit
	d.row(fmt.Sprintf("HOMES OF %d PROPERTIES", len(d.where)), "BEFORE", "AFTER")
	d.row("in sync", count(before.InSync), count(after.InSync))
	d.row("drifted", count(before.Drifted), count(after.Drifted))
	reasons := maps.Clone(before.UnknownReasons)
	maps.Copy(reasons, after.UnknownReasons)
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		d.row(fmt.Sprintf("%-10s %s", "unknown", reason), count(before.UnknownReasons[reason]), count(after.UnknownReasons[reason]))
	}
	d.row("all", count(before.Units), count(after.Units))
}

// printDrift prints what was found, why, and what is left of it.
func (d *demo) printDrift() {
	type numbers struct{ found, left int }
	rows := map[difference]numbers{}
	still := map[string]bool{}
	for _, f := range d.second.found {
		still[f.ID] = true
	}
	all := numbers{}
	for _, f := range d.first.found {
		k := difference{fleet.DriftKind(f.Kind), fleet.DriftCause(f.Cause)}
		n := rows[k]
		n.found++
		all.found++
		if still[f.ID] {
			n.left++
			all.left++
		}
		rows[k] = n
	}
	d.row("DRIFT", "FOUND", "REPAIRED")
	for _, k := range slices.SortedFunc(maps.Keys(rows), func(a, b difference) int {
		return cmp.Or(rows[b].found-rows[a].found, strings.Compare(string(a.kind), string(b.kind)), strings.Compare(string(a.cause), string(b.cause)))
	}) {
		d.row(fmt.Sprintf("%-14s %s", k.kind, k.cause), count(rows[k].found), count(rows[k].found-rows[k].left))
	}
	d.row("all", count(all.found), count(all.found-all.left))
}

// printRequests prints what it took. The share is that of the true limit, from the
// first request to the last.
func (d *demo) printRequests() {
	d.row("REQUESTS", "ASKED", "REFUSED", "WRITES", "LIMIT USED")
	for _, part := range []struct {
		name  string
		stats simulator.Stats
	}{
		{"rollout", d.outcomes.spent}, {"first audit", d.first.spent}, {"repair", d.repair.spent}, {"second audit", d.second.spent},
	} {
		s := part.stats
		d.row(part.name, count(s.Requests), count(s.Refused), count(s.Writes), percent(s.LimitShare))
	}
}

// printRollout says more of the rollout, which had most to endure.
func (d *demo) printRollout() {
	s := d.outcomes.spent
	took := time.Duration(0)
	if d.rollout.StartedAt != nil && d.rollout.EndedAt != nil {
		took = d.rollout.EndedAt.Sub(*d.rollout.StartedAt)
	}
	d.p.fact("Rollout", "%s in %s; the plan said %s for an API without faults", things(s.Requests, "request"), seconds(took), count(d.plan.Price.Requests))
	d.p.fact("Refused", "%s answered 429 (%s)", count(s.Refused), percent(s.RefusedShare))
	d.p.fact("Limit used", "%s while homes waited for a request, pauses after a 429 included", percent(d.journal.share()))
	d.p.fact("", "LIMIT USED is from the first request to the last: the ends of waves and audits wait for the API")
	if d.crash != nil {
		d.p.fact("", "(and the outage, %s without a request, is in it)", seconds(d.outcomes.outage))
	}
	d.p.fact("Faults", "%s", faultsText(s.Faults))
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
