package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// driftPick is which findings are ignored, or no longer: those with the IDs, or those
// that the filters pick.
type driftPick struct {
	driftFilter

	p   *program
	ids []string
	yes bool
}

func (o *driftPick) args(_ *cobra.Command, args []string) error {
	o.ids = args
	return nil
}

func (o *driftPick) check() error {
	if err := o.driftFilter.check(); err != nil {
		return err
	}
	switch {
	case len(o.ids) > 0 && !o.empty():
		return usagef("IDs and filters exclude each other")
	case len(o.ids) == 0 && o.empty():
		return usagef("say which findings: their IDs, or a filter such as --account NAME or --property NAME")
	}
	return nil
}

// agreed asks about findings that are not named one by one.
func (o *driftPick) agreed(ctx context.Context, api *client.Client, ignored, format string, args ...any) error {
	if len(o.ids) > 0 || o.yes || !o.p.canAsk() {
		return nil
	}
	s, err := o.summary(ctx, api, ignored, client.SummarizeDriftParamsByAccount)
	if err != nil {
		return err
	}
	ok, err := o.p.confirm(ctx, fmt.Sprintf(format, append([]any{things(s.Total, "finding")}, args...)...))
	if err != nil || !ok {
		return declined(err)
	}
	return nil
}

// driftIgnoreOptions are the inputs of `drift ignore`.
type driftIgnoreOptions struct {
	driftPick

	until  string
	reason string
}

func newDriftIgnore(p *program) *cobra.Command {
	o := &driftIgnoreOptions{driftPick: driftPick{p: p}}
	cmd := &cobra.Command{
		Use: "ignore [ID...]", Short: "Leave findings out of account until a date, and say why",
		Long: `Leave findings out of account until a date: those with the IDs given, or those that the filters pick. They stay
on record with who said so and why, are neither counted nor repaired, and count again when the date has come. A
date without a time is the begin of that day, UTC. "fleetctl drift unignore" takes it back.`,
		Example: `  fleetctl drift ignore dr-4711 dr-4712 --until 2026-12-24 --reason "renovation, ticket 17"
  fleetctl drift ignore --account acme --property maple-court --until 2026-12-24T06:00:00Z --reason "no power"`,
		Args:              o.args,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              p.do(o.run),
	}
	o.flags(cmd, p)
	cmd.Flags().StringVar(&o.until, "until", "", "when they count again, such as 2026-12-24 or 2026-12-24T06:00:00Z")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why they are no concern")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (o *driftIgnoreOptions) run(ctx context.Context) error {
	until, err := o.checkAll()
	if err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	if err := o.agreed(ctx, api, "false", "Ignore %s until %s?", o.p.when(until)); err != nil {
		return err
	}
	r, err := api.IgnoreDrift(ctx, client.IgnoreBody{
		IDs: list(o.ids), Account: ref(o.account), Kind: ref(client.IgnoreBodyKind(o.kind)), Property: ref(o.property),
		Cause: ref(client.IgnoreBodyCause(o.cause)), SkillID: ref(o.skill), UnitID: ref(o.unit), Until: until, Reason: o.reason,
	})
	if err != nil {
		return err
	}
	columns := []column[client.DriftIgnoring]{
		{head: "ignored", text: func(d client.DriftIgnoring) string { return number(d.Ignored) }, right: true},
		{head: "until", text: func(d client.DriftIgnoring) string { return stamp(d.Until) }},
		{head: "by", text: func(d client.DriftIgnoring) string { return d.By }},
		{head: "reason", text: func(d client.DriftIgnoring) string { return d.Reason }},
	}
	return printOne(o.p, columns, r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s ignored until %s\n", things(r.Value.Ignored, "finding"), o.p.when(r.Value.Until))
	})
}

// checkAll checks the command line and reads the date.
func (o *driftIgnoreOptions) checkAll() (until time.Time, err error) {
	if err := o.check(); err != nil {
		return until, err
	}
	switch {
	case o.until == "":
		return until, usagef("--until is missing: drift is ignored until a date, and then counts again")
	case o.reason == "":
		return until, usagef("--reason is missing: say why this drift is no concern")
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if until, err = time.Parse(layout, o.until); err == nil {
			break
		}
	}
	switch {
	case err != nil:
		return until, usagef("--until %s is not a date: write it like 2026-12-24 or 2026-12-24T06:00:00Z", quote(o.until))
	case !until.After(o.p.now()):
		return until, usagef("--until %s is past: drift is ignored until a date to come", o.until)
	}
	return until.UTC(), nil
}

// driftUnignoreOptions are the inputs of `drift unignore`.
type driftUnignoreOptions struct {
	driftPick

	reason string
}

func newDriftUnignore(p *program) *cobra.Command {
	o := &driftUnignoreOptions{driftPick: driftPick{p: p}}
	cmd := &cobra.Command{
		Use: "unignore [ID...]", Short: "Have ignored findings count again before their date",
		Long: `Have ignored findings count again now, before their date: those with the IDs given, or those that the filters
pick. Who ignored them and why stays on record.`,
		Example: `  fleetctl drift unignore dr-4711 --reason "the renovation is done"
  fleetctl drift unignore --account acme --property maple-court`,
		Args:              o.args,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              p.do(o.run),
	}
	o.flags(cmd, p)
	reasonFlag(cmd, &o.reason)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (o *driftUnignoreOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	if err := o.agreed(ctx, api, "true", "Have %s count again?"); err != nil {
		return err
	}
	r, err := api.UnignoreDrift(ctx, client.UnignoreBody{
		IDs: list(o.ids), Account: ref(o.account), Kind: ref(client.UnignoreBodyKind(o.kind)), Property: ref(o.property),
		Cause: ref(client.UnignoreBodyCause(o.cause)), SkillID: ref(o.skill), UnitID: ref(o.unit), Reason: ref(o.reason),
	})
	if err != nil {
		return err
	}
	columns := []column[client.DriftUnignoring]{
		{head: "unignored", text: func(d client.DriftUnignoring) string { return number(d.Unignored) }, right: true},
		{head: "by", text: func(d client.DriftUnignoring) string { return d.By }},
		{head: "reason", text: func(d client.DriftUnignoring) string { return d.Reason }},
	}
	return printOne(o.p, columns, r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s no longer ignored\n", things(r.Value.Unignored, "finding"))
	})
}
