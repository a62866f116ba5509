package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

func newDrift(p *program) *cobra.Command {
	return noun("drift", "fleet", "Drift: homes that are not as they should be, and why",
		newDriftList(p), newDriftRepair(p), newDriftIgnore(p), newDriftUnignore(p))
}

// driftFilter picks findings.
type driftFilter struct {
	account  string
	kind     string
	property string
	cause    string
	skill    string
	unit     string
}

func (f *driftFilter) flags(cmd *cobra.Command, p *program) {
	fs := cmd.Flags()
	accountFlag(cmd, p, &f.account)
	fs.Lookup("account").Usage = "only those of this account"
	fs.StringVar(&f.kind, "kind", "", "only those of this kind: "+strings.Join(texts(fleet.DriftKinds()), "|"))
	fs.StringVar(&f.property, "property", "", "only those of this property")
	fs.StringVar(&f.cause, "cause", "", "only those of this cause: "+strings.Join(texts(fleet.DriftCauses()), "|"))
	fs.StringVar(&f.skill, "skill", "", "only those of this skill")
	fs.StringVar(&f.unit, "unit", "", "only those of this home")
	complete(cmd, "kind", texts(fleet.DriftKinds())...)
	complete(cmd, "cause", texts(fleet.DriftCauses())...)
}

func (f *driftFilter) check() error {
	if err := oneOf("--kind", f.kind, texts(fleet.DriftKinds())); err != nil {
		return err
	}
	return oneOf("--cause", f.cause, texts(fleet.DriftCauses()))
}

func (f *driftFilter) empty() bool { return *f == driftFilter{} }

// summary asks for the groups of findings.
func (f *driftFilter) summary(ctx context.Context, api *client.Client, ignored string, by ...client.SummarizeDriftParamsBy) (client.DriftSummary, error) {
	r, err := api.SummarizeDrift(ctx, client.SummarizeDriftParams{
		Account: ref(f.account), Kind: ref(client.SummarizeDriftParamsKind(f.kind)), Property: ref(f.property),
		Cause: ref(client.SummarizeDriftParamsCause(f.cause)), SkillID: ref(f.skill), UnitID: ref(f.unit),
		Ignored: ref(client.SummarizeDriftParamsIgnored(ignored)), By: list(by),
	})
	if err != nil {
		return client.DriftSummary{}, err
	}
	return r.Value, nil
}

// driftListOptions are the inputs of `drift list`.
type driftListOptions struct {
	driftFilter

	p        *program
	ignored  string
	exitCode bool
	list     listOptions
}

func newDriftList(p *program) *cobra.Command {
	o := &driftListOptions{p: p}
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List what audits found and nobody has put right, the largest groups first",
		Long: `List what audits found and nobody has put right yet. A table begins with the largest groups, by cause and
property; below them stands every finding, with what is desired, what was seen, and why.

Findings that are ignored are left out: --ignored lists them instead, --ignored=any all.`,
		Example: `  fleetctl drift list --account acme --kind missing
  fleetctl drift list --exit-code || echo "some homes have drifted"`,
		Args: cobra.NoArgs,
		RunE: p.do(o.run),
	}
	o.flags(cmd, p)
	cmd.Flags().StringVar(&o.ignored, "ignored", "false", "list the ignored ones instead (true), or both (any)")
	cmd.Flags().Lookup("ignored").NoOptDefVal = "true"
	cmd.Flags().BoolVar(&o.exitCode, "exit-code", false, "exit with 3 when there is drift that is not ignored, 0 when not")
	complete(cmd, "ignored", "false", "true", "any")
	o.list.flags(cmd.Flags(), 0)
	return cmd
}

func (o *driftListOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := oneOf("--ignored", o.ignored, []string{"false", "true", "any"}); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	if err := o.printGroups(ctx, api); err != nil {
		return err
	}
	err = printList(ctx, o.p, o.list, driftColumns(o.p), "No drift.",
		func(ctx context.Context, cursor string, limit int) (page[client.Drift], error) {
			r, err := api.ListDrift(ctx, client.ListDriftParams{
				Account: ref(o.account), Kind: ref(client.ListDriftParamsKind(o.kind)), Property: ref(o.property),
				Cause: ref(client.ListDriftParamsCause(o.cause)), SkillID: ref(o.skill), UnitID: ref(o.unit),
				Ignored: ref(client.ListDriftParamsIgnored(o.ignored)), Cursor: ref(cursor), Limit: ref(int64(limit)),
			})
			if err != nil {
				return page[client.Drift]{}, err
			}
			return page[client.Drift]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
	if err != nil || !o.exitCode {
		return err
	}
	counted, err := o.summary(ctx, api, "false", client.SummarizeDriftParamsByAccount)
	if err == nil && counted.Total > 0 {
		return &codeError{code: exitDifference}
	}
	return err
}

// printGroups prints what a table begins with.
func (o *driftListOptions) printGroups(ctx context.Context, api *client.Client) error {
	if o.p.global.output != formatTable && o.p.global.output != formatWide || o.list.cursor != "" {
		return nil
	}
	s, err := o.summary(ctx, api, o.ignored,
		client.SummarizeDriftParamsByAccount, client.SummarizeDriftParamsByCause, client.SummarizeDriftParamsByProperty)
	if err != nil || s.Total == 0 {
		return err
	}
	var b bytes.Buffer
	o.p.showDriftGroups(&b, s)
	b.WriteByte('\n')
	_, err = o.p.stdout.Write(b.Bytes())
	return wrote(err)
}

// driftGroups is how many groups a table begins with.
const driftGroups = 5

// showDriftGroups says in sentences where most of the drift is: "94% changed_outside
// at maple-court since 02:10:00 UTC (376 findings)".
func (p *program) showDriftGroups(b *bytes.Buffer, s client.DriftSummary) {
	accounts := map[string]bool{}
	for _, g := range s.Items {
		accounts[deref(g.Account)] = true
	}
	rest := s.Total
	for i, g := range s.Items {
		if i == driftGroups {
			_, _ = fmt.Fprintf(b, "%s in %s (%s)\n", percent(rest, s.Total), things(s.Groups-driftGroups, "other group"), things(rest, "finding"))
			return
		}
		where := deref(g.Property)
		if len(accounts) > 1 {
			where += " of " + deref(g.Account)
		}
		_, _ = fmt.Fprintln(b, clean(fmt.Sprintf("%s %s at %s since %s (%s)",
			percent(g.Count, s.Total), deref(g.Cause), where, p.when(g.FirstSeenAt), things(g.Count, "finding"))))
		rest -= g.Count
	}
}

// deref is what an optional field holds, or the zero value.
func deref[T any](v *T) (out T) {
	if v != nil {
		out = *v
	}
	return out
}

func driftColumns(p *program) []column[client.Drift] {
	return []column[client.Drift]{
		{head: "id", text: func(d client.Drift) string { return d.ID }},
		{head: "account", text: func(d client.Drift) string { return d.Account }, wide: true},
		{head: "unit_id", text: func(d client.Drift) string { return p.fit(d.UnitID, 40) }, csv: func(d client.Drift) string { return d.UnitID }},
		{head: "property", text: func(d client.Drift) string { return d.Property }},
		{head: "skill_id", text: func(d client.Drift) string { return d.SkillID }},
		{head: "kind", text: func(d client.Drift) string { return d.Kind }, color: func(client.Drift) string { return yellow }},
		{head: "desired", text: wantedText},
		{head: "observed", text: observedText},
		{head: "cause", text: func(d client.Drift) string { return d.Cause }},
		{
			head: "since", right: true, text: func(d client.Drift) string { return p.age(d.FirstSeenAt) },
			csvHead: "first_seen_at", csv: func(d client.Drift) string { return stamp(d.FirstSeenAt) },
		},
		{
			head: "last_good", right: true, wide: true, text: func(d client.Drift) string { return p.ageOf(d.LastGoodAt) },
			csvHead: "last_good_at", csv: func(d client.Drift) string { return stampOf(d.LastGoodAt) },
		},
		{head: "cause_detail", text: func(d client.Drift) string { return d.CauseDetail }, wide: true},
		{
			head: "ignored_until", wide: true, text: func(d client.Drift) string { return mark(d.Ignored, stampOf(d.IgnoredUntil)) },
			csv: func(d client.Drift) string { return stampOf(d.IgnoredUntil) },
		},
		{head: "ignored_by", text: func(d client.Drift) string { return d.IgnoredBy }, wide: true},
		{head: "ignore_reason", text: func(d client.Drift) string { return d.IgnoreReason }, wide: true},
	}
}

// wantedText is what should be: "enabled live", "disabled", or nothing of the
// home's own.
func wantedText(d client.Drift) string {
	switch {
	case d.Desired == nil:
		return "nothing"
	case d.Desired.Enabled:
		return joinNonEmpty(" ", "enabled", deref(d.Desired.Stage))
	}
	return "disabled"
}

// observedText is what was seen: "ENABLED development NOT_LINKED".
func observedText(d client.Drift) string {
	o := d.Observed
	link := deref(o.AccountLink)
	if link == string(fleet.Linked) {
		link = ""
	}
	return joinNonEmpty(" ", o.Status, deref(o.Stage), link)
}
