package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// unitImportOptions are the inputs of `unit import`.
type unitImportOptions struct {
	p       *program
	file    string
	account string
	dryRun  bool
	prune   bool
	reason  string
	key     string
}

func newUnitImport(p *program) *cobra.Command {
	o := &unitImportOptions{p: p}
	cmd := &cobra.Command{
		Use: "import FILE.csv", Short: "Import homes from CSV, all or nothing", Args: oneArg("FILE.csv", &o.file),
		Long: `Import homes from CSV ("-": stdin), all or nothing: one bad row and nothing changes.

Columns, by header name and in any order: unit_id and property are required; name, occupancy
(vacant, occupied or linked; empty is vacant) and labels (k=v;k2=v2) are not. Units that are there already
are updated. With --prune, units that the file does not name leave the inventory.`,
		Example: `  fleetctl unit import homes.csv --account acme --dry-run
  fleetctl unit import homes.csv --account acme`,
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "check the file and count what it would change; change nothing")
	cmd.Flags().BoolVar(&o.prune, "prune", false, "remove the units that the file does not name")
	reasonFlag(cmd, &o.reason)
	keyFlag(cmd.Flags(), &o.key)
	return cmd
}

func (o *unitImportOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	file, err := o.p.open("FILE.csv", o.file)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	meter := o.p.newMeter(fileName(o.file), size(file))
	body := &sourceReader{r: file, seen: meter.add}
	r, err := api.ImportUnits(ctx, o.account, client.ImportUnitsParams{
		DryRun: ref(o.dryRun), Prune: ref(o.prune), Reason: ref(o.reason), IdempotencyKey: ref(key(o.key)),
	}, body)
	meter.end()
	if err != nil {
		// A file that cannot be read looks to HTTP like a server that cannot be reached.
		if broken := body.failure(); broken != nil && ctx.Err() == nil {
			return fmt.Errorf("read %s: %w; nothing was imported", fileName(o.file), broken)
		}
		return o.explain(err)
	}
	return printOne(o.p, importColumns(), r.Value, r.Raw, func(w io.Writer) { showImport(w, r.Value) })
}

// explain says what an import that failed has left behind.
func (o *unitImportOptions) explain(err error) error {
	var api *client.Error
	if errors.As(err, &api) && len(api.Details) > 0 && !api.Denied() {
		api.Detail = fmt.Sprintf("%s: %s; nothing was imported", fileName(o.file), api.Error())
	}
	return err
}

func importColumns() []column[client.ImportResult] {
	n := func(head string, get func(client.ImportResult) int64) column[client.ImportResult] {
		return column[client.ImportResult]{head: head, right: true, text: func(r client.ImportResult) string { return number(get(r)) }}
	}
	return []column[client.ImportResult]{
		{head: "account", text: func(r client.ImportResult) string { return r.Account }},
		{head: "dry_run", text: func(r client.ImportResult) string { return fmt.Sprint(r.DryRun) }},
		n("rows", func(r client.ImportResult) int64 { return r.Rows }),
		n("added", func(r client.ImportResult) int64 { return r.Added }),
		n("changed", func(r client.ImportResult) int64 { return r.Changed }),
		n("unchanged", func(r client.ImportResult) int64 { return r.Unchanged }),
		n("restored", func(r client.ImportResult) int64 { return r.Restored }),
		n("removed", func(r client.ImportResult) int64 { return r.Removed }),
	}
}

func showImport(w io.Writer, r client.ImportResult) {
	did := "imported"
	if r.DryRun {
		did = "dry run: would import"
	}
	_, _ = fmt.Fprintf(w, "%s %s into account %s: %s added, %s changed, %s unchanged", did, things(r.Rows, "row"), clean(r.Account),
		count(r.Added), count(r.Changed), count(r.Unchanged))
	if r.Restored > 0 {
		_, _ = fmt.Fprintf(w, ", %s restored", count(r.Restored))
	}
	if r.Removed > 0 {
		_, _ = fmt.Fprintf(w, ", %s removed", count(r.Removed))
	}
	_, _ = fmt.Fprintln(w)
	if r.DryRun {
		_, _ = fmt.Fprintln(w, "Nothing was changed.")
	}
}

// size is how many bytes a file holds; 0 when nobody can tell.
func size(r io.Reader) int64 {
	f, ok := r.(*os.File)
	if !ok {
		return 0
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}
