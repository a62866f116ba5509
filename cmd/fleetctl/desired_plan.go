package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// desiredChanges is how many pairs of a home and a skill a plan changes.
func desiredChanges(c client.DesiredCounts) int64 { return c.Enable + c.Disable + c.Stage + c.Remove }

func desiredPlanColumns() []column[client.DesiredPlan] {
	n := func(head string, get func(client.DesiredPlan) int64) column[client.DesiredPlan] {
		return column[client.DesiredPlan]{head: head, right: true, text: func(p client.DesiredPlan) string { return number(get(p)) }}
	}
	return []column[client.DesiredPlan]{
		{head: "account", text: func(p client.DesiredPlan) string { return p.Account }},
		{head: "source", text: func(p client.DesiredPlan) string { return p.Source }},
		{head: "dry_run", text: func(p client.DesiredPlan) string { return fmt.Sprint(p.DryRun) }},
		n("enable", func(p client.DesiredPlan) int64 { return p.Counts.Enable }),
		n("disable", func(p client.DesiredPlan) int64 { return p.Counts.Disable }),
		n("stage", func(p client.DesiredPlan) int64 { return p.Counts.Stage }),
		n("remove", func(p client.DesiredPlan) int64 { return p.Counts.Remove }),
		n("unchanged", func(p client.DesiredPlan) int64 { return p.Counts.Unchanged }),
		n("never_seen", func(p client.DesiredPlan) int64 { return p.NeverSeen }),
		n("unknown_seen", func(p client.DesiredPlan) int64 { return p.UnknownSeen }),
		{head: "id", text: func(p client.DesiredPlan) string { return p.ID }},
	}
}

// showDesired shows a plan: what changes by skill and selector, + what is new, ~ what
// becomes another, - what is taken away, each with its number of homes.
func (p *program) showDesired(w io.Writer, plan client.DesiredPlan) {
	what, selector, homes := 0, 0, 0
	for _, g := range plan.Groups {
		what = max(what, runewidth.StringWidth(groupText(g)))
		selector = max(selector, runewidth.StringWidth(p.groupWhere(g)))
		homes = max(homes, len(count(g.Units)))
	}
	skill := ""
	for _, g := range plan.Groups {
		if g.SkillID != skill {
			skill = g.SkillID
			_, _ = fmt.Fprintf(w, "%s%s\n", clean(skill), mark(slices.Contains(plan.Unmanaged, skill), " (managed no more)"))
		}
		sign, color := groupSign(g)
		_, _ = fmt.Fprintf(w, "  %s %s   %s   %*s %s\n", p.paint(p.stdout, color, sign), runewidth.FillRight(groupText(g), what),
			runewidth.FillRight(p.groupWhere(g), selector), homes, count(g.Units), plural(g.Units, "home"))
	}
	if plan.MoreGroups > 0 {
		_, _ = fmt.Fprintf(w, "  ... and %s more groups like these\n", count(plan.MoreGroups))
	}
	if len(plan.Groups) > 0 {
		_, _ = fmt.Fprintln(w)
	}
	if plan.Source == string(fleet.DesiredByAdopt) && len(plan.Entries) > 0 {
		p.showSeen(w, plan)
	}
	switch {
	case desiredChanges(plan.Counts) > 0:
	case plan.Counts.Unchanged == 0:
		_, _ = fmt.Fprintln(w, "No changes: nothing is desired here.")
		return
	default:
		_, _ = fmt.Fprintf(w, "No changes: %s unchanged.\n", count(plan.Counts.Unchanged))
		return
	}
	if plan.DryRun {
		_, _ = fmt.Fprintf(w, "Plan for account %s: %s.\n", clean(plan.Account), desiredText(plan.Counts))
	}
}

// showSeen says what of the homes could not be adopted because it is not known.
func (p *program) showSeen(w io.Writer, plan client.DesiredPlan) {
	if plan.NeverSeen > 0 {
		_, _ = fmt.Fprintf(w, "%s %s of %s were never seen whole: an audit sees them (fleetctl audit run)\n", p.paint(p.stdout, yellow, "warning:"),
			count(plan.NeverSeen), things(plan.Entries[0].Units, "home"))
	}
	if plan.UnknownSeen > 0 {
		_, _ = fmt.Fprintf(w, "%s %s on these homes cannot be adopted: the last sight does not tell whether it is enabled, or at which stage\n",
			p.paint(p.stdout, yellow, "warning:"), things(plan.UnknownSeen, "skill"))
	}
}

func groupSign(g client.DesiredGroup) (sign, color string) {
	switch {
	case g.From == nil:
		return "+", green
	case g.To == nil:
		return "-", red
	}
	return "~", yellow
}

// groupText says what becomes of what.
func groupText(g client.DesiredGroup) string {
	switch {
	case g.From == nil:
		return stateWord(g.To)
	case g.To == nil:
		return stateWord(g.From)
	}
	return *g.From + " -> " + *g.To
}

// groupWhere says which entry of the document wants it so.
func (p *program) groupWhere(g client.DesiredGroup) string {
	if g.To == nil {
		return "(no entry names it)"
	}
	text := clean(p.fit(g.Selector, 60))
	if g.Line > 0 {
		text += fmt.Sprintf(" (line %d)", g.Line)
	}
	return text
}

// desiredText lists what a plan does, in numbers.
func desiredText(c client.DesiredCounts) string {
	var parts []string
	for _, x := range []struct {
		n    int64
		text string
	}{
		{c.Enable, "to enable"},
		{c.Disable, "to disable"},
		{c.Stage, "to change stage"},
		{c.Remove, "to remove"},
		{c.Unchanged, "unchanged"},
	} {
		if x.n > 0 {
			parts = append(parts, count(x.n)+" "+x.text)
		}
	}
	return strings.Join(parts, ", ")
}

func plural(n int64, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}
