package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// auditRunOptions are the inputs of `audit run`.
type auditRunOptions struct {
	p         *program
	account   string
	selector  string
	unitsFile string
	watch     bool
	timeout   time.Duration
	reason    string
	key       string
}

func newAuditRun(p *program) *cobra.Command {
	o := &auditRunOptions{p: p}
	cmd := &cobra.Command{
		Use: "run", Short: "See what is enabled in homes, and compare it with what should be", Args: cobra.NoArgs,
		Long: `See what is enabled in homes, and compare it with what should be. An audit only reads. In the end every home is in
sync, drifted, or unknown with a reason; what could not be seen is never called clean. An account has one audit at a time.

With --watch the exit code is 5 when it ended short of success: a home could not be seen, or it was canceled.`,
		Example: `  fleetctl audit run --account acme --watch
  fleetctl audit run --account acme --select property=maple-court`,
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	fs := cmd.Flags()
	fs.StringVar(&o.selector, "select", "", "which homes, all when not given: "+selectorHelp)
	fs.StringVar(&o.unitsFile, "units-file", "", `file that lists the homes, instead of --select ("-": stdin)`)
	fs.BoolVarP(&o.watch, "watch", "w", false, "watch the audit to its end")
	fs.DurationVar(&o.timeout, "timeout", 0, "with --watch: stop watching after this long, with exit code 8")
	reasonFlag(cmd, &o.reason)
	keyFlag(fs, &o.key)
	return cmd
}

func (o *auditRunOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	if o.timeout < 0 || (o.timeout > 0 && !o.watch) {
		return usagef("--timeout is how long to watch: give it with --watch, and above 0")
	}
	if o.selector == "" && o.unitsFile == "" {
		o.selector = "all"
	}
	if err := needHomes(o.selector, o.unitsFile); err != nil {
		return err
	}
	if o.selector != "" {
		if err := checkSelector(o.selector); err != nil {
			return err
		}
	}
	body := client.AuditRequest{Account: o.account, Selector: ref(o.selector), Reason: ref(o.reason)}
	if o.unitsFile != "" {
		ids, err := o.p.unitsFile(o.unitsFile)
		if err != nil {
			return err
		}
		body.UnitIDs = &ids
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	k := key(o.key)
	r, err := insist(ctx, o.p, k, "the audit was created", func() (*client.Response[client.Audit], error) {
		return api.CreateAudit(ctx, client.CreateAuditParams{IdempotencyKey: ref(k)}, body)
	})
	if err != nil {
		return err
	}
	if o.watch {
		o.p.note("audit %s created", r.Value.ID)
		w := o.p.watchAudit()
		w.api, w.id, w.timeout = api, r.Value.ID, o.timeout
		return w.run(ctx)
	}
	return printOne(o.p, auditColumns(o.p), r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "audit %s created: %s\n", clean(r.Value.ID), things(r.Value.Units, "home"))
		o.p.note("Watch it: fleetctl audit watch %s", r.Value.ID)
	})
}

func newAuditWatch(p *program) *cobra.Command {
	w := p.watchAudit()
	cmd := &cobra.Command{
		Use: "watch ID", Short: "Follow an audit to its end", Args: oneArg("ID", &w.id),
		Long: `Follow an audit to its end: a live bar on a terminal, a line for each change elsewhere, both on stderr; what it saw
goes to stdout. Ctrl-C stops watching and the audit goes on. When fleetd cannot be reached, watching goes on as soon as
it can.

Exit codes: 0 every home was seen, drifted or not, or Ctrl-C; 5 some could not be seen, or it was canceled; 8 it still ran
when --timeout passed.`,
		ValidArgsFunction: p.completeAudits,
		RunE:              p.do(w.start),
	}
	w.timeoutFlag(cmd)
	return cmd
}

// watchAudit makes the watcher of an audit.
func (p *program) watchAudit() *watcher {
	return &watcher{p: p, noun: "audit", get: func(ctx context.Context, api *client.Client, id string) (watched, error) {
		r, err := api.GetAudit(ctx, id)
		if err != nil {
			return nil, err
		}
		return auditLook{r}, nil
	}}
}
