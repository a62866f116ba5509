package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet/document"
)

func newDesired(p *program) *cobra.Command {
	return noun("desired", "fleet", "What should be on homes: set it, keep it in a file, see who said so",
		newDesiredList(p), newDesiredSet(p), newDesiredExport(p), newDesiredApply(p), newDesiredAdopt(p), newDesiredHistory(p))
}

func desiredColumns(p *program) []column[client.DesiredItem] {
	return []column[client.DesiredItem]{
		{head: "unit_id", text: func(i client.DesiredItem) string { return i.UnitID }},
		{head: "property", text: func(i client.DesiredItem) string { return i.Property }},
		{head: "skill_id", text: func(i client.DesiredItem) string { return i.SkillID }},
		{head: "state", text: func(i client.DesiredItem) string { return i.State }, color: func(i client.DesiredItem) string { return stateColor(i.State) }},
		{head: "source", text: func(i client.DesiredItem) string { return i.Source }},
		{head: "actor", text: func(i client.DesiredItem) string { return i.Actor }},
		{head: "rollout", text: func(i client.DesiredItem) string { return i.Rollout }, wide: true},
		{
			head: "age", right: true, text: func(i client.DesiredItem) string { return p.age(i.ChangedAt) },
			csvHead: "changed_at", csv: func(i client.DesiredItem) string { return stamp(i.ChangedAt) },
		},
	}
}

// desiredListOptions are the inputs of `desired list`.
type desiredListOptions struct {
	p        *program
	account  string
	unit     string
	property string
	skill    string
	list     listOptions
}

func newDesiredList(p *program) *cobra.Command {
	o := &desiredListOptions{p: p}
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List what should be on an account's homes, by property", Args: cobra.NoArgs,
		Example: `  fleetctl desired list --account acme --property maple-court
  fleetctl desired list --account acme --skill amzn1.ask.skill.x --limit 0 -o csv`,
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	cmd.Flags().StringVar(&o.unit, "unit", "", "only on this unit")
	cmd.Flags().StringVar(&o.property, "property", "", "only on units of this property")
	cmd.Flags().StringVar(&o.skill, "skill", "", "only of this skill")
	o.list.flags(cmd.Flags(), 100)
	return cmd
}

func (o *desiredListOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	return printList(ctx, o.p, o.list, desiredColumns(o.p), "Nothing is desired.",
		func(ctx context.Context, cursor string, limit int) (page[client.DesiredItem], error) {
			r, err := api.ListDesired(ctx, client.ListDesiredParams{
				Account: o.account, UnitID: ref(o.unit), Property: ref(o.property), SkillID: ref(o.skill),
				Cursor: ref(cursor), Limit: ref(int64(limit)),
			})
			if err != nil {
				return page[client.DesiredItem]{}, err
			}
			return page[client.DesiredItem]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
}

// desiredHistoryOptions are the inputs of `desired history`.
type desiredHistoryOptions struct {
	p       *program
	unit    string
	account string
	skill   string
	list    listOptions
}

func newDesiredHistory(p *program) *cobra.Command {
	o := &desiredHistoryOptions{p: p}
	cmd := &cobra.Command{
		Use: "history UNIT", Short: "Show what ever should be on a unit, who said so, when and why; newest first", Args: oneArg("UNIT", &o.unit),
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	cmd.Flags().Lookup("account").Usage = "the account, when several have a unit of this ID"
	cmd.Flags().StringVar(&o.skill, "skill", "", "only of this skill")
	o.list.flags(cmd.Flags(), 100)
	return cmd
}

func historyColumns(p *program) []column[client.DesiredChange] {
	return []column[client.DesiredChange]{
		{
			head: "changed", text: func(c client.DesiredChange) string { return c.ChangedAt.UTC().Format("2006-01-02 15:04:05") },
			csvHead: "changed_at", csv: func(c client.DesiredChange) string { return stamp(c.ChangedAt) },
		},
		{head: "skill_id", text: func(c client.DesiredChange) string { return c.SkillID }},
		{
			head: "state", text: func(c client.DesiredChange) string { return stateText(c.State) },
			csv: func(c client.DesiredChange) string { return stateWord(c.State) },
		},
		{head: "source", text: func(c client.DesiredChange) string { return c.Source }},
		{head: "actor", text: func(c client.DesiredChange) string { return c.Actor }},
		{head: "rollout", text: func(c client.DesiredChange) string { return c.Rollout }},
		{head: "selector", text: func(c client.DesiredChange) string { return p.fit(c.Selector, 40) }, csv: func(c client.DesiredChange) string { return c.Selector }, wide: true},
		{head: "reason", text: func(c client.DesiredChange) string { return p.fit(c.Reason, 50) }, csv: func(c client.DesiredChange) string { return c.Reason }},
	}
}

// stateText is a desired state for people; nil is none.
func stateText(state *string) string { return orText(stateWord(state), "(none)") }

// stateWord is a desired state for programs: empty for none.
func stateWord(state *string) string {
	if state == nil {
		return ""
	}
	return *state
}

func (o *desiredHistoryOptions) run(ctx context.Context) error {
	api, err := o.p.api()
	if err != nil {
		return err
	}
	return printList(ctx, o.p, o.list, historyColumns(o.p), "Nothing was ever desired.",
		func(ctx context.Context, cursor string, limit int) (page[client.DesiredChange], error) {
			r, err := api.ListDesiredHistory(ctx, client.ListDesiredHistoryParams{
				UnitID: o.unit, Account: ref(o.account), SkillID: ref(o.skill), Cursor: ref(cursor), Limit: ref(int64(limit)),
			})
			if err != nil {
				return page[client.DesiredChange]{}, err
			}
			return page[client.DesiredChange]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
}

// desiredExportOptions are the inputs of `desired export`.
type desiredExportOptions struct {
	p       *program
	account string
	file    string
}

func newDesiredExport(p *program) *cobra.Command {
	o := &desiredExportOptions{p: p}
	cmd := &cobra.Command{
		Use: "export", Short: "Write what should be on an account's homes as fleet.yaml, in the form that apply reads", Args: cobra.NoArgs,
		Long: `Write what should be on an account's homes as fleet.yaml, in the form that apply reads: one entry for all
properties whose homes have the same skills, and entries that name the homes that differ. Applying what was
exported changes nothing.`,
		Example: `  fleetctl desired export --account acme -f fleet.yaml && git diff fleet.yaml`,
		RunE:    p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	cmd.Flags().StringVarP(&o.file, "file", "f", "-", `file to write ("-": stdout)`)
	return cmd
}

func (o *desiredExportOptions) run(ctx context.Context) (err error) {
	if err := needAccount(o.account); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	stream, err := api.ExportDesired(ctx, client.ExportDesiredParams{Account: o.account})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Body.Close() }()
	w := o.p.stdout
	if o.file != "-" {
		f, err := os.Create(o.file)
		if err != nil {
			return fmt.Errorf("--file: %w", err)
		}
		defer func() {
			if closed := f.Close(); err == nil {
				err = wrote(closed)
			}
		}()
		w = f
	}
	n, err := io.Copy(w, stream.Body)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the export broke off, what was written is not whole: %w", err)
	}
	if n > document.MaxBytes {
		o.p.note("The document has %d KiB and apply reads %d: too many homes differ from their neighbors to be named one by one.", n>>10, document.MaxBytes>>10)
	}
	return nil
}
