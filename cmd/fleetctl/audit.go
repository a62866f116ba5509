package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

func newAudit(p *program) *cobra.Command {
	return noun("audit", "fleet", "Audits: what is enabled in every home, against what should be",
		newAuditRun(p), newAuditList(p), newAuditShow(p), newAuditUnits(p), newAuditWatch(p), newAuditCancel(p), newAuditSchedule(p))
}

// answered is how many homes of an audit have a result.
func answered(a client.Audit) int64 { return a.InSync + a.Drifted + a.Unknown }

func auditColumns(p *program) []column[client.Audit] {
	n := func(head string, wide bool, get func(client.Audit) int64) column[client.Audit] {
		return column[client.Audit]{head: head, right: true, wide: wide, text: func(a client.Audit) string { return number(get(a)) }}
	}
	return []column[client.Audit]{
		{head: "id", text: func(a client.Audit) string { return a.ID }},
		{head: "state", text: func(a client.Audit) string { return a.State }, color: func(a client.Audit) string { return stateColor(a.State) }},
		{head: "account", text: func(a client.Audit) string { return a.Account }},
		n("units", false, func(a client.Audit) int64 { return a.Units }),
		n("in_sync", false, func(a client.Audit) int64 { return a.InSync }),
		n("drifted", false, func(a client.Audit) int64 { return a.Drifted }),
		n("unknown", false, func(a client.Audit) int64 { return a.Unknown }),
		{
			head: "coverage", right: true, text: func(a client.Audit) string { return percent(a.InSync+a.Drifted, a.Units) },
			csv: func(a client.Audit) string { return fmt.Sprintf("%g", a.Coverage) },
		},
		n("opened", true, func(a client.Audit) int64 { return a.Drift.Opened }),
		n("resolved", true, func(a client.Audit) int64 { return a.Drift.Resolved }),
		n("unmanaged", true, func(a client.Audit) int64 { return a.Unmanaged }),
		n("pages", true, func(a client.Audit) int64 { return a.Pages }),
		n("requests", true, func(a client.Audit) int64 { return a.Requests }),
		{head: "slot", text: func(a client.Audit) string { return slotText(a) }, wide: true},
		{
			head: "age", right: true, text: func(a client.Audit) string { return p.age(a.CreatedAt) },
			csvHead: "created_at", csv: func(a client.Audit) string { return stamp(a.CreatedAt) },
		},
		{
			head: "took", right: true, wide: true, text: func(a client.Audit) string { return p.auditTook(a) },
			csvHead: "ended_at", csv: func(a client.Audit) string { return stampOf(a.EndedAt) },
		},
		{head: "created_by", text: func(a client.Audit) string { return a.CreatedBy }, wide: true},
		{head: "reason", text: func(a client.Audit) string { return a.Reason }, wide: true},
	}
}

// slotText is the slot of a scheduled audit; empty for others.
func slotText(a client.Audit) string {
	if a.Slot == nil {
		return ""
	}
	return strings.Replace(a.Slot.Time, "T", " ", 1) + " " + a.Slot.Timezone
}

// auditTook is how long an audit worked, or has worked so far.
func (p *program) auditTook(a client.Audit) string {
	if a.StartedAt == nil {
		return ""
	}
	if a.EndedAt != nil {
		return span(a.EndedAt.Sub(*a.StartedAt))
	}
	return p.age(*a.StartedAt)
}

// auditListOptions are the inputs of `audit list`.
type auditListOptions struct {
	p       *program
	account string
	state   string
	active  bool
	list    listOptions
}

func newAuditList(p *program) *cobra.Command {
	o := &auditListOptions{p: p}
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List audits, newest first", Args: cobra.NoArgs,
		RunE: p.do(o.run),
	}
	states := texts(fleet.AuditStates())
	accountFlag(cmd, p, &o.account)
	cmd.Flags().Lookup("account").Usage = "only those of this account"
	cmd.Flags().StringVar(&o.state, "state", "", "only those in this state: "+strings.Join(states, "|"))
	cmd.Flags().BoolVar(&o.active, "active", false, "only those that have not ended")
	complete(cmd, "state", states...)
	o.list.flags(cmd.Flags(), 0)
	return cmd
}

func (o *auditListOptions) run(ctx context.Context) error {
	if err := oneOf("--state", o.state, texts(fleet.AuditStates())); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	return printList(ctx, o.p, o.list, auditColumns(o.p), "No audits.",
		func(ctx context.Context, cursor string, limit int) (page[client.Audit], error) {
			r, err := api.ListAudits(ctx, client.ListAuditsParams{
				Account: ref(o.account), State: ref(client.ListAuditsParamsState(o.state)), Active: ref(o.active),
				Cursor: ref(cursor), Limit: ref(int64(limit)),
			})
			if err != nil {
				return page[client.Audit]{}, err
			}
			return page[client.Audit]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
}

func newAuditShow(p *program) *cobra.Command {
	var id string
	return &cobra.Command{
		Use: "show ID", Short: "Show an audit: what it saw, what it could not see and why, its cost, and what to do next", Args: oneArg("ID", &id),
		ValidArgsFunction: p.completeAudits,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			r, err := api.GetAudit(ctx, id)
			if err != nil {
				return err
			}
			return p.printAudit(r)
		}),
	}
}

// printAudit prints one audit.
func (p *program) printAudit(r *client.Response[client.Audit]) error {
	return printOne(p, auditColumns(p), r.Value, r.Raw, func(w io.Writer) { p.showAudit(w, r.Value) })
}

func (p *program) showAudit(w io.Writer, a client.Audit) {
	var f facts
	f.add("Audit", "%s", a.ID)
	f.add("Account", "%s", a.Account)
	f.add("Homes", "%s%s", things(a.Units, "home"), prefixed(", ", cut(a.Selector, 200)))
	f.add("State", "%s", joinNonEmpty(": ", a.State, a.StateReason))
	f.add("Progress", "%s  %s of %s answered for (%s)", drawBar(answered(a), a.Units), count(answered(a)), count(a.Units), percent(answered(a), a.Units))
	f.add("", "%s in sync, %s drifted, %s unknown", count(a.InSync), count(a.Drifted), count(a.Unknown))
	f.add("Coverage", "%s seen whole", percent(a.InSync+a.Drifted, a.Units))
	f.add("Unknown", "%s", reasonsText(a))
	f.add("Drift", "%s opened, %s resolved", things(a.Drift.Opened, "finding"), count(a.Drift.Resolved))
	if a.Unmanaged > 0 {
		f.add("Unmanaged", "%s of skills that nothing manages", things(a.Unmanaged, "enablement"))
	}
	f.add("Requests", "%s sent, %s refused, %s", count(a.Requests), count(a.Throttled), things(a.Pages, "page"))
	f.add("Slot", "%s", slotText(a))
	f.add("Created", "%s by %s%s", p.whenAndAge(a.CreatedAt), a.CreatedBy, prefixed(": ", a.Reason))
	if a.StartedAt != nil {
		f.add("Started", "%s", p.whenAndAge(*a.StartedAt))
	}
	if a.EndedAt != nil {
		f.add("Ended", "%s%s", p.whenAndAge(*a.EndedAt), prefixed(", took ", p.auditTook(a)))
	}
	f.write(w)
	writeNext(w, nextAuditCommands(a))
}

// reasonsText says why homes are unknown, the most frequent reason first.
func reasonsText(a client.Audit) string {
	reasons := slices.SortedFunc(maps.Keys(a.UnknownReasons), func(x, y string) int {
		if d := a.UnknownReasons[y] - a.UnknownReasons[x]; d != 0 {
			return int(d)
		}
		return strings.Compare(x, y)
	})
	parts := make([]string, len(reasons))
	for i, r := range reasons {
		parts[i] = count(a.UnknownReasons[r]) + " " + r
	}
	return strings.Join(parts, ", ")
}

// nextAuditCommands is what an operator may want to run now, and what it does.
func nextAuditCommands(a client.Audit) [][2]string {
	cmd := func(verb, rest, what string) [2]string {
		return [2]string{strings.TrimSpace("fleetctl audit " + verb + " " + a.ID + " " + rest), what}
	}
	var next [][2]string
	if a.EndedAt == nil {
		next = append(next, cmd("watch", "", "follow it"), cmd("cancel", "", "end it; what it saw stays"))
	}
	if a.Drifted > 0 {
		next = append(next, [2]string{"fleetctl drift list --account " + a.Account, "what is not as it should be, and why"})
	}
	if a.Unknown > 0 {
		next = append(next, cmd("units", "--result unknown", "which homes could not be seen, and why"))
	}
	return next
}

// auditUnitsOptions are the inputs of `audit units`.
type auditUnitsOptions struct {
	p      *program
	id     string
	result string
	reason string
	list   listOptions
}

func newAuditUnits(p *program) *cobra.Command {
	o := &auditUnitsOptions{p: p}
	cmd := &cobra.Command{
		Use: "units ID", Short: "List the homes of an audit and what it says of each", Args: oneArg("ID", &o.id),
		Long: `List the homes of an audit and what it says of each. The word of a later audit takes its place: a home stands in the
list of the last audit that answered for it.`,
		ValidArgsFunction: p.completeAudits,
		Example: `  fleetctl audit units au-7k2m --result unknown
  fleetctl audit units au-7k2m --reason forbidden -o csv > forbidden.csv`,
		RunE: p.do(o.run),
	}
	cmd.Flags().StringVar(&o.result, "result", "", "only those with this result: "+strings.Join(texts(fleet.AuditResults()), "|"))
	cmd.Flags().StringVar(&o.reason, "reason", "", "only those that are unknown for this reason")
	complete(cmd, "result", texts(fleet.AuditResults())...)
	complete(cmd, "reason", texts(fleet.UnknownReasons())...)
	o.list.flags(cmd.Flags(), 0)
	return cmd
}

func auditedColumns(p *program) []column[client.AuditedUnit] {
	return []column[client.AuditedUnit]{
		{head: "unit_id", text: func(u client.AuditedUnit) string { return u.UnitID }},
		{head: "property", text: func(u client.AuditedUnit) string { return u.Property }},
		{head: "occupancy", text: func(u client.AuditedUnit) string { return u.Occupancy }, wide: true},
		{head: "result", text: func(u client.AuditedUnit) string { return u.Result }, color: func(u client.AuditedUnit) string { return stateColor(u.Result) }},
		{head: "reason", text: func(u client.AuditedUnit) string { return u.Reason }},
		{
			head: "seen", right: true, text: func(u client.AuditedUnit) string { return orText(p.ageOf(u.SeenAt), "never") },
			csvHead: "seen_at", csv: func(u client.AuditedUnit) string { return stampOf(u.SeenAt) },
		},
		{
			head: "audited", right: true, wide: true, text: func(u client.AuditedUnit) string { return p.ageOf(u.AuditedAt) },
			csvHead: "audited_at", csv: func(u client.AuditedUnit) string { return stampOf(u.AuditedAt) },
		},
	}
}

func (o *auditUnitsOptions) run(ctx context.Context) error {
	if err := oneOf("--result", o.result, texts(fleet.AuditResults())); err != nil {
		return err
	}
	if err := oneOf("--reason", o.reason, texts(fleet.UnknownReasons())); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	return printList(ctx, o.p, o.list, auditedColumns(o.p), "No such homes.",
		func(ctx context.Context, cursor string, limit int) (page[client.AuditedUnit], error) {
			r, err := api.ListAuditUnits(ctx, o.id, client.ListAuditUnitsParams{
				Result: ref(client.ListAuditUnitsParamsResult(o.result)), Reason: ref(o.reason),
				Cursor: ref(cursor), Limit: ref(int64(limit)),
			})
			if err != nil {
				return page[client.AuditedUnit]{}, err
			}
			return page[client.AuditedUnit]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
}

func newAuditCancel(p *program) *cobra.Command {
	var (
		id     string
		agreed consent
	)
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "Cancel an audit: what it saw stays, and the rest is unknown", Args: oneArg("ID", &id),
		ValidArgsFunction: p.completeAudits,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			if err := agreed.ask(ctx, p, "Cancel audit %s?", id); err != nil {
				return err
			}
			r, err := api.CancelAudit(ctx, id, client.ReasonBody{Reason: ref(agreed.reason)})
			if err != nil {
				return err
			}
			a := r.Value
			return printOne(p, auditColumns(p), a, r.Raw, func(w io.Writer) {
				_, _ = fmt.Fprintln(w, clean(fmt.Sprintf("audit %s %s: %s in sync, %s drifted, %s unknown", a.ID, a.State,
					count(a.InSync), count(a.Drifted), count(a.Unknown))))
			})
		}),
	}
	agreed.flags(cmd)
	return cmd
}

// auditLook is one look at an audit.
type auditLook struct {
	r *client.Response[client.Audit]
}

func (l auditLook) state() string       { return l.r.Value.State }
func (l auditLook) stateReason() string { return l.r.Value.StateReason }
func (l auditLook) account() string     { return l.r.Value.Account }
func (l auditLook) outcome() string     { return "a result" }
func (l auditLook) requests() int64     { return l.r.Value.Requests }
func (l auditLook) throttled() int64    { return l.r.Value.Throttled }
func (l auditLook) eta() *time.Time     { return nil }
func (l auditLook) estimates() bool     { return true }
func (l auditLook) ended() bool         { return l.r.Value.EndedAt != nil }
func (l auditLook) settled() bool       { return l.ended() }
func (l auditLook) steps() string       { return "" }

func (l auditLook) show(p *program) error { return p.printAudit(l.r) }

func (l auditLook) progress() (done, of int64) { return answered(l.r.Value), l.r.Value.Units }

func (l auditLook) parts() []string {
	a := l.r.Value
	return []string{count(a.InSync) + " in sync", count(a.Drifted) + " drifted", count(a.Unknown) + " unknown"}
}

func (l auditLook) verdict() error {
	a := l.r.Value
	switch fleet.AuditState(a.State) {
	case fleet.AuditSucceeded:
		return nil
	case fleet.AuditCompletedWithUnknown:
		return &codeError{code: exitShort, msg: fmt.Sprintf("audit %s could not see %s: %s", a.ID, things(a.Unknown, "home"), reasonsText(a))}
	case fleet.AuditCanceled:
		return &codeError{code: exitShort, msg: fmt.Sprintf("audit %s was canceled", a.ID)}
	case fleet.AuditRunning, fleet.AuditWaiting:
	}
	return &codeError{code: exitShort, msg: fmt.Sprintf("audit %s ended in state %s, which this fleetctl does not know", a.ID, quote(a.State))}
}
