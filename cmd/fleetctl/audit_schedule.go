package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/schedule"
)

func newAuditSchedule(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use: "schedule", Short: "When accounts are audited by themselves", Args: noVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditScheduleSet(p), newAuditScheduleShow(p), newAuditScheduleDelete(p))
	return cmd
}

// auditScheduleOptions are the inputs of `audit schedule set`.
type auditScheduleOptions struct {
	p        *program
	account  string
	cron     string
	off      bool
	timezone string
	selector string
	repair   bool
	ceiling  int64
	reason   string
}

func newAuditScheduleSet(p *program) *cobra.Command {
	o := &auditScheduleOptions{p: p}
	cmd := &cobra.Command{
		Use: "set", Short: "Give an account an audit schedule of its own", Args: cobra.NoArgs,
		Long: `Give an account an audit schedule of its own; without one it has fleetd's (--audit-schedule). Each slot is one audit,
whatever number of fleetd processes run. After an absence the latest slot that was missed is caught up. A slot in an hour
that the clocks skip comes when they have; one in an hour that they repeat comes the first time.

With --repair what an audit finds in vacant homes is repaired after it, unless it is more than --repair-ceiling findings:
then it only alarms.`,
		Example: `  fleetctl audit schedule set --account acme --cron '0 2 * * *' --timezone America/New_York
  fleetctl audit schedule set --account acme --off`,
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	fs := cmd.Flags()
	fs.StringVar(&o.cron, "cron", "", "minute, hour, day of month, month, day of week: '0 2 * * *' is every night at 02:00")
	fs.BoolVar(&o.off, "off", false, "no audits by themselves, whatever fleetd's own schedule is; instead of --cron")
	fs.StringVar(&o.timezone, "timezone", "", "time zone of --cron, such as Europe/Berlin (UTC when not given)")
	fs.StringVar(&o.selector, "select", "", "which homes, all when not given: "+selectorHelp)
	fs.BoolVar(&o.repair, "repair", false, "repair what the audit finds")
	fs.Int64Var(&o.ceiling, "repair-ceiling", 0, "above so many findings the repair only alarms; needed with --repair")
	reasonFlag(cmd, &o.reason)
	return cmd
}

func (o *auditScheduleOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	switch {
	case o.cron == "" && !o.off:
		return usagef("--cron is missing: say when, such as --cron '0 2 * * *', or --off for never")
	case o.cron != "" && o.off:
		return usagef("--cron and --off exclude each other")
	case o.ceiling < 0:
		return usagef("--repair-ceiling %d is negative", o.ceiling)
	case o.repair && o.ceiling == 0:
		return usagef("--repair needs --repair-ceiling: above how many findings does it only alarm?")
	case o.ceiling > 0 && !o.repair:
		return usagef("--repair-ceiling is of --repair: give both or neither")
	}
	if err := o.check(); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	r, err := api.SetAuditSchedule(ctx, o.account, client.AuditScheduleSet{
		Cron: o.cron, Timezone: ref(o.timezone), Selector: ref(o.selector), Repair: ref(o.repair), RepairCeiling: ref(o.ceiling),
		Reason: ref(o.reason),
	})
	if err != nil {
		return err
	}
	return o.p.printSchedule(r)
}

// check reads the schedule as the server will: one that never comes is told before
// anything is sent.
func (o *auditScheduleOptions) check() error {
	expr := o.cron
	if o.off {
		expr = "0 0 * * *"
	}
	if _, err := schedule.Parse(expr, o.timezone); err != nil {
		flag := "--cron"
		if known, ok := errors.AsType[*fleet.Error](err); ok && known.Field == "timezone" {
			flag = "--timezone"
		}
		return asFlag(flag, err)
	}
	if o.selector != "" {
		return checkSelector(o.selector)
	}
	return nil
}

func newAuditScheduleShow(p *program) *cobra.Command {
	return showOfAccount(p, "show", "Show when an account is audited by itself", (*client.Client).GetAuditSchedule, p.printSchedule)
}

func newAuditScheduleDelete(p *program) *cobra.Command {
	var account, reason string
	cmd := &cobra.Command{
		Use: "delete", Short: "Take an account's own audit schedule away: fleetd's holds again", Args: cobra.NoArgs,
		RunE: p.ofAccount(&account, func(ctx context.Context, api *client.Client) error {
			if err := api.DeleteAuditSchedule(ctx, account, client.DeleteAuditScheduleParams{Reason: ref(reason)}); err != nil {
				return err
			}
			return p.say("account %s has fleetd's own audit schedule again", account)
		}),
	}
	accountFlag(cmd, p, &account)
	reasonFlag(cmd, &reason)
	return cmd
}

func scheduleColumns() []column[client.AuditSchedule] {
	return []column[client.AuditSchedule]{
		{head: "account", text: func(s client.AuditSchedule) string { return s.Account }},
		{head: "cron", text: func(s client.AuditSchedule) string { return s.Cron }},
		{head: "timezone", text: func(s client.AuditSchedule) string { return s.Timezone }},
		{head: "selector", text: func(s client.AuditSchedule) string { return s.Selector }},
		{head: "repair", text: func(s client.AuditSchedule) string { return mark(s.Repair, "true") }},
		{head: "repair_ceiling", right: true, text: func(s client.AuditSchedule) string { return number(s.RepairCeiling) }},
		{head: "default", text: func(s client.AuditSchedule) string { return mark(s.Default, "true") }},
		{head: "next_at", text: func(s client.AuditSchedule) string { return stampOf(s.NextAt) }},
	}
}

func (p *program) printSchedule(r *client.Response[client.AuditSchedule]) error {
	return printOne(p, scheduleColumns(), r.Value, r.Raw, func(w io.Writer) { p.showSchedule(w, r.Value) })
}

func (p *program) showSchedule(w io.Writer, s client.AuditSchedule) {
	var f facts
	f.add("Account", "%s", s.Account)
	if s.Cron == "" {
		f.add("Audits", "none by themselves%s", mark(s.Default, " (fleetd has no --audit-schedule, and the account none of its own)"))
	} else {
		f.add("Audits", "%s %s%s", s.Cron, s.Timezone, mark(s.Default, " (fleetd's own: the account has none)"))
		f.add("Homes", "%s", cut(s.Selector, 200))
	}
	if s.NextAt != nil {
		f.add("Next", "%s", p.whenAndAge(*s.NextAt))
	}
	if s.Repair {
		f.add("Repair", "%s", fmt.Sprintf("by itself, up to %s; above that it only alarms", things(s.RepairCeiling, "finding")))
	}
	f.write(w)
}
