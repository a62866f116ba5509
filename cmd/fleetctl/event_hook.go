package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

func newEventHook(p *program) *cobra.Command {
	return noun("hook", "", "From where an account takes events", newEventHookSet(p), newEventHookShow(p), newEventHookDelete(p))
}

// eventHookOptions are the inputs of `event hook set`.
type eventHookOptions struct {
	p             *program
	account       string
	topics        []string
	rawSecretFile string
	noRaw         bool
	reason        string
}

func newEventHookSet(p *program) *cobra.Command {
	o := &eventHookOptions{p: p}
	cmd := &cobra.Command{
		Use: "set", Short: "Set from where an account takes events", Args: cobra.NoArgs,
		Long: `Set from which SNS topics an account takes events. Then subscribe each topic, over HTTPS, to the path that is
shown, with the topic's attribute SignatureVersion set to 2: the subscription is confirmed by itself, and one of any
other topic is not.

Raw message delivery carries no signature. It is taken only with a secret: --raw-secret-file, and the same secret as the
password in the address that is subscribed. What it was stays unless --raw-secret-file or --no-raw is given.`,
		Example: `  fleetctl event hook set --account acme --topic arn:aws:sns:us-east-1:123456789012:skill-events`,
		RunE:    p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	fs := cmd.Flags()
	fs.StringArrayVar(&o.topics, "topic", nil, "ARN of an SNS topic that events are taken from (repeatable)")
	fs.StringVar(&o.rawSecretFile, "raw-secret-file", "", `file that holds the secret of raw messages ("-": stdin)`)
	fs.BoolVar(&o.noRaw, "no-raw", false, "take raw messages no more")
	reasonFlag(cmd, &o.reason)
	return cmd
}

func (o *eventHookOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	switch {
	case len(o.topics) == 0:
		return usagef("--topic is missing: name the SNS topic, such as --topic arn:aws:sns:us-east-1:123456789012:skill-events")
	case o.noRaw && o.rawSecretFile != "":
		return usagef("--no-raw and --raw-secret-file exclude each other")
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	set := client.EventHookSet{Topics: o.topics, Reason: ref(o.reason)}
	if o.noRaw {
		set.RawSecret = new(string)
	}
	if o.rawSecretFile != "" {
		secret, err := o.p.secret(ctx, "raw-secret-file", o.rawSecretFile)
		if err != nil {
			return err
		}
		set.RawSecret = &secret
	}
	r, err := api.SetEventHook(ctx, o.account, set)
	if err != nil {
		return err
	}
	return o.p.printHook(r)
}

func newEventHookShow(p *program) *cobra.Command {
	return showOfAccount(p, "show", "Show from where an account takes events", (*client.Client).GetEventHook, p.printHook)
}

func newEventHookDelete(p *program) *cobra.Command {
	var (
		account string
		agreed  consent
	)
	cmd := &cobra.Command{
		Use: "delete", Aliases: []string{"rm"}, Short: "Take no more events for an account; those that were taken stay", Args: cobra.NoArgs,
		RunE: p.ofAccount(&account, func(ctx context.Context, api *client.Client) error {
			if err := agreed.ask(ctx, p, "Take no more events for account %s?", account); err != nil {
				return err
			}
			if err := api.DeleteEventHook(ctx, account, client.DeleteEventHookParams{Reason: ref(agreed.reason)}); err != nil {
				return err
			}
			return p.say("account %s takes no more events", account)
		}),
	}
	accountFlag(cmd, p, &account)
	agreed.flags(cmd)
	return cmd
}

func (p *program) printHook(r *client.Response[client.EventHook]) error {
	type hook = client.EventHook
	columns := []column[hook]{
		{head: "account", text: func(h hook) string { return h.Account }},
		{head: "topics", text: func(h hook) string { return strings.Join(h.Topics, " ") }},
		{head: "raw_secret", text: func(h hook) string { return mark(h.RawSecret, "true") }},
		{head: "path", text: func(h hook) string { return h.Path }},
		{head: "updated", text: func(h hook) string { return p.age(h.UpdatedAt) }, csvHead: "updated_at", csv: func(h hook) string { return stamp(h.UpdatedAt) }},
	}
	return printOne(p, columns, r.Value, r.Raw, func(w io.Writer) {
		var f facts
		f.add("Account", "%s", r.Value.Account)
		f.add("Topics", "%s", strings.Join(r.Value.Topics, "\n"))
		f.add("Raw messages", "%s", orText(mark(r.Value.RawSecret, "taken, with the secret as the password of the address"), "refused"))
		f.add("Subscribe", "%s, at the address where Amazon reaches fleetd", r.Value.Path)
		f.write(w)
	})
}
