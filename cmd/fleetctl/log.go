package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// logOptions are the inputs of `log`.
type logOptions struct {
	p      *program
	actor  string
	action string
	object string
	list   listOptions
}

func newLog(p *program) *cobra.Command {
	o := &logOptions{p: p}
	cmd := &cobra.Command{
		Use: "log", GroupID: "access", Short: "Who did what, when and why; newest first", Args: cobra.NoArgs,
		Example: `  fleetctl log --object rollout/01k2
  fleetctl log --actor night-shift --limit 0 -o csv`,
		RunE: p.do(o.run),
	}
	cmd.Flags().StringVar(&o.actor, "actor", "", "only what this token did")
	cmd.Flags().StringVar(&o.action, "action", "", "only this action, such as rollout.pause")
	cmd.Flags().StringVar(&o.object, "object", "", "only what was done to this, such as rollout/ID or account/NAME")
	o.list.flags(cmd.Flags(), 100)
	return cmd
}

func logColumns(p *program) []column[client.LogEntry] {
	return []column[client.LogEntry]{
		{head: "at", text: func(e client.LogEntry) string { return e.At.UTC().Format("2006-01-02 15:04:05") }, csv: func(e client.LogEntry) string { return stamp(e.At) }},
		{head: "age", text: func(e client.LogEntry) string { return p.age(e.At) }, csvHead: "age_seconds", csv: func(e client.LogEntry) string { return number(int64(p.now().Sub(e.At).Seconds())) }, right: true},
		{head: "actor", text: func(e client.LogEntry) string { return e.Actor }},
		{head: "role", text: func(e client.LogEntry) string { return e.Role }, wide: true},
		{head: "action", text: func(e client.LogEntry) string { return e.Action }},
		{head: "object", text: func(e client.LogEntry) string { return e.Object }},
		{head: "reason", text: func(e client.LogEntry) string { return e.Reason }},
		{head: "detail", text: func(e client.LogEntry) string { return detail(e.Detail) }, wide: true},
	}
}

// detail prints what else an entry says.
func detail(m map[string]any) string {
	if len(m) == 0 {
		return ""
	}
	b, err := json.Marshal(m)
	if err != nil {
		return ""
	}
	return string(b)
}

func (o *logOptions) run(ctx context.Context) error {
	api, err := o.p.api()
	if err != nil {
		return err
	}
	return printList(ctx, o.p, o.list, logColumns(o.p), "Nothing in the log.",
		func(ctx context.Context, cursor string, limit int) (page[client.LogEntry], error) {
			r, err := api.ListLog(ctx, client.ListLogParams{
				Actor: ref(o.actor), Action: ref(o.action), Object: ref(o.object), Cursor: ref(cursor), Limit: ref(int64(limit)),
			})
			if err != nil {
				return page[client.LogEntry]{}, err
			}
			return page[client.LogEntry]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
		})
}
