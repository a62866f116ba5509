package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

func newUnit(p *program) *cobra.Command {
	return noun("unit", "fleet", "Units: the homes of an account",
		newUnitImport(p), newUnitList(p), newUnitShow(p), newUnitExport(p))
}

func unitColumns(p *program) []column[client.Unit] {
	return []column[client.Unit]{
		{head: "unit_id", text: func(u client.Unit) string { return u.UnitID }},
		{head: "property", text: func(u client.Unit) string { return u.Property }},
		{head: "name", text: func(u client.Unit) string { return u.Name }},
		{head: "occupancy", text: func(u client.Unit) string { return u.Occupancy }},
		{head: "labels", text: func(u client.Unit) string { return labels(u.Labels) }},
		{
			head: "age", wide: true, right: true, text: func(u client.Unit) string { return p.age(u.CreatedAt) },
			csvHead: "created_at", csv: func(u client.Unit) string { return stamp(u.CreatedAt) },
		},
	}
}

// labels prints labels as the CSV of an import has them.
func labels(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, ";")
}

// unitListOptions are the inputs of `unit list` and `unit export`.
type unitListOptions struct {
	p        *program
	account  string
	selector string
	file     string
	list     listOptions
}

func (o *unitListOptions) flags(cmd *cobra.Command) {
	accountFlag(cmd, o.p, &o.account)
	cmd.Flags().StringVar(&o.selector, "select", "", "only these units: "+selectorHelp)
}

// check refuses a command line that cannot be right.
func (o *unitListOptions) check() error {
	if err := needAccount(o.account); err != nil || o.selector == "" {
		return err
	}
	return checkSelector(o.selector)
}

// selectorHelp is the grammar of selectors in a line.
const selectorHelp = `all, or key=value, key!=value, "key in (a,b)", has(key), with commas between; keys are property, occupancy, name, unit and labels`

func accountFlag(cmd *cobra.Command, p *program, dst *string) {
	cmd.Flags().StringVar(dst, "account", "", "the account")
	_ = cmd.RegisterFlagCompletionFunc("account", p.completeAccounts)
}

// needAccount refuses a command without --account.
func needAccount(account string) error {
	if account == "" {
		return usagef(`--account is missing: name the account ("fleetctl account list" shows them)`)
	}
	return nil
}

// ofAccount makes a command of a function that asks fleetd about the account that
// --account names.
func (p *program) ofAccount(account *string, run func(ctx context.Context, api *client.Client) error) func(*cobra.Command, []string) error {
	return p.call(func() error { return needAccount(*account) }, run)
}

// showOfAccount is a command that shows what an account has one of.
func showOfAccount[T any](p *program, use, short string,
	get func(api *client.Client, ctx context.Context, account string) (*client.Response[T], error), show func(*client.Response[T]) error,
) *cobra.Command {
	account := ""
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: p.ofAccount(&account, func(ctx context.Context, api *client.Client) error {
			r, err := get(api, ctx, account)
			if err != nil {
				return err
			}
			return show(r)
		}),
	}
	accountFlag(cmd, p, &account)
	return cmd
}

func newUnitList(p *program) *cobra.Command {
	o := &unitListOptions{p: p}
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List an account's units by property", Args: cobra.NoArgs,
		Example: `  fleetctl unit list --account acme --select 'property=maple-court,occupancy=vacant'`,
		RunE:    p.do(o.run),
	}
	o.flags(cmd)
	o.list.flags(cmd.Flags(), 0)
	return cmd
}

func (o *unitListOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	return printList(ctx, o.p, o.list, unitColumns(o.p), "No units.",
		func(ctx context.Context, cursor string, limit int) (page[client.Unit], error) {
			r, err := api.ListUnits(ctx, o.account, client.ListUnitsParams{Select: ref(o.selector), Cursor: ref(cursor), Limit: ref(int64(limit))})
			if err != nil {
				return page[client.Unit]{}, err
			}
			return page[client.Unit]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
}

func newUnitExport(p *program) *cobra.Command {
	o := &unitListOptions{p: p}
	cmd := &cobra.Command{
		Use: "export", Short: "Write an account's units as CSV, in the form that import reads", Args: cobra.NoArgs,
		Example: `  fleetctl unit export --account acme > homes.csv`,
		RunE:    p.do(o.export),
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&o.file, "file", "f", "-", `file to write ("-": stdout)`)
	return cmd
}

func (o *unitListOptions) export(ctx context.Context) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	stream, err := api.ExportUnits(ctx, o.account, client.ExportUnitsParams{Select: ref(o.selector)})
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
	if _, err := io.Copy(w, stream.Body); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the export broke off, what was written is not whole: %w", err)
	}
	return nil
}

// unitShowOptions are the inputs of `unit show`.
type unitShowOptions struct {
	p       *program
	unit    string
	account string
}

func newUnitShow(p *program) *cobra.Command {
	o := &unitShowOptions{p: p}
	cmd := &cobra.Command{
		Use: "show UNIT", Short: "Show a unit, what should be on it, what the API last said of it, and its latest rollouts", Args: oneArg("UNIT", &o.unit),
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	cmd.Flags().Lookup("account").Usage = "the account, when several have a unit of this ID"
	return cmd
}

func (o *unitShowOptions) run(ctx context.Context) error {
	api, err := o.p.api()
	if err != nil {
		return err
	}
	r, err := api.GetUnit(ctx, o.unit, client.GetUnitParams{Account: ref(o.account)})
	if err != nil {
		return err
	}
	u := r.Value
	if o.p.global.output == formatCSV {
		flat := client.Unit{
			Account: u.Account, UnitID: u.UnitID, Property: u.Property, Name: u.Name, Occupancy: u.Occupancy,
			Labels: u.Labels, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, RemovedAt: u.RemovedAt,
		}
		return newRowPrinter(o.p, unitColumns(o.p)).write([]client.Unit{flat})
	}
	return printOne(o.p, nil, u, r.Raw, func(w io.Writer) { o.p.showUnit(w, u) })
}

func (p *program) showUnit(w io.Writer, u client.UnitDetail) {
	var f facts
	f.add("Unit", "%s", u.UnitID)
	f.add("Account", "%s", u.Account)
	f.add("Property", "%s", u.Property)
	f.add("Name", "%s", u.Name)
	f.add("Occupancy", "%s", u.Occupancy)
	f.add("Labels", "%s", strings.ReplaceAll(labels(u.Labels), ";", "\n"))
	f.add("Imported", "%s", p.whenAndAge(u.CreatedAt))
	if u.RemovedAt != nil {
		f.add("Removed", "%s", p.whenAndAge(*u.RemovedAt))
	}
	f.write(w)
	if skills := unitSkills(u); len(skills) > 0 {
		_, _ = fmt.Fprintln(w, "\nDesired, and last seen:")
		printTo(p, w, skills, unitSkillColumns(p))
	}
	if len(u.Rollouts) > 0 {
		_, _ = fmt.Fprintln(w, "\nLatest rollouts:")
		printTo(p, w, u.Rollouts, unitRolloutColumns(p))
	}
}

// unitSkill is one skill of a unit: what it should be beside what was last seen of it.
type unitSkill struct {
	id      string
	desired *client.UnitDesired // nil: nothing is desired
	seen    *client.UnitSkill   // nil: it was never seen
}

// unitSkills puts what is desired and what was seen side by side, by skill.
func unitSkills(u client.UnitDetail) []unitSkill {
	byID := map[string]*unitSkill{}
	of := func(id string) *unitSkill {
		if byID[id] == nil {
			byID[id] = &unitSkill{id: id}
		}
		return byID[id]
	}
	for i, d := range u.Desired {
		of(d.SkillID).desired = &u.Desired[i]
	}
	for i, s := range u.Observed {
		of(s.SkillID).seen = &u.Observed[i]
	}
	skills := make([]unitSkill, 0, len(byID))
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		skills = append(skills, *byID[id])
	}
	return skills
}

func unitSkillColumns(p *program) []column[unitSkill] {
	seen := func(text func(client.UnitSkill) string) func(unitSkill) string {
		return func(s unitSkill) string {
			if s.seen == nil {
				return ""
			}
			return text(*s.seen)
		}
	}
	return []column[unitSkill]{
		{head: "skill_id", text: func(s unitSkill) string { return s.id }},
		{head: "desired", text: func(s unitSkill) string {
			if s.desired == nil {
				return ""
			}
			return s.desired.State
		}},
		{head: "status", text: seen(func(s client.UnitSkill) string { return s.Status })},
		{head: "stage", text: seen(func(s client.UnitSkill) string { return s.Stage })},
		{head: "link", text: seen(func(s client.UnitSkill) string { return s.AccountLink })},
		{head: "seen", text: seen(func(s client.UnitSkill) string { return p.age(s.ObservedAt) }), right: true},
		{head: "since", text: seen(func(s client.UnitSkill) string { return p.age(s.ChangedAt) }), right: true},
	}
}

func unitRolloutColumns(p *program) []column[client.UnitRollout] {
	return []column[client.UnitRollout]{
		{head: "rollout", text: func(r client.UnitRollout) string { return r.ID }},
		{head: "action", text: func(r client.UnitRollout) string { return r.Action }},
		{head: "skill_id", text: func(r client.UnitRollout) string { return r.SkillID }},
		{head: "stage", text: func(r client.UnitRollout) string { return r.Stage }},
		{head: "state", text: func(r client.UnitRollout) string { return r.State }, color: func(r client.UnitRollout) string { return stateColor(r.State) }},
		{head: "reason", text: func(r client.UnitRollout) string { return r.Reason }},
		{head: "ended", text: func(r client.UnitRollout) string { return p.ageOf(r.EndedAt) }, right: true},
	}
}
