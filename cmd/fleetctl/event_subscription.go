package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

func subscriptionColumns() []column[client.Subscription] {
	type subscription = client.Subscription
	return []column[subscription]{
		{head: "id", text: func(s subscription) string { return s.ID }},
		{head: "name", text: func(s subscription) string { return s.Name }},
		{head: "subscriber_id", text: func(s subscription) string { return s.SubscriberID }},
		{head: "events", text: func(s subscription) string { return strings.Join(s.Events, " ") }},
		{head: "vendor_id", text: func(s subscription) string { return s.VendorID }, wide: true},
	}
}

func (p *program) printSubscription(r *client.Response[client.Subscription]) error {
	return printOne(p, subscriptionColumns(), r.Value, r.Raw, func(w io.Writer) {
		var f facts
		f.add("Subscription", "%s", r.Value.ID)
		f.add("Name", "%s", r.Value.Name)
		f.add("Subscriber", "%s", r.Value.SubscriberID)
		f.add("Vendor", "%s", r.Value.VendorID)
		f.add("Events", "%s", strings.Join(r.Value.Events, "\n"))
		f.write(w)
	})
}

func newSubscriptionList(p *program) *cobra.Command {
	var account, subscriber string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the subscriptions of the account's vendor", Args: cobra.NoArgs,
		RunE: p.ofAccount(&account, func(ctx context.Context, api *client.Client) error {
			r, err := api.ListSubscriptions(ctx, account, client.ListSubscriptionsParams{Subscriber: ref(subscriber)})
			if err != nil {
				return err
			}
			return printAll(p, subscriptionColumns(), r.Value.Items, r.Raw, "No subscriptions. Make one: fleetctl event subscription create --account "+account)
		}),
	}
	accountFlag(cmd, p, &account)
	cmd.Flags().StringVar(&subscriber, "subscriber", "", "only those of this subscriber")
	return cmd
}

func newSubscriptionGet(p *program) *cobra.Command {
	return notificationGet(p, "Show a subscription", (*client.Client).GetSubscription, p.printSubscription)
}

// subscriptionOptions are the inputs of `event subscription create` and `update`.
type subscriptionOptions struct {
	p          *program
	account    string
	id         string
	name       string
	subscriber string
	events     []string
	reason     string
	key        string // of create
}

func (o *subscriptionOptions) flags(cmd *cobra.Command) {
	accountFlag(cmd, o.p, &o.account)
	fs := cmd.Flags()
	fs.StringVar(&o.name, "name", "", "its name")
	fs.StringArrayVar(&o.events, "event", nil, `event to be told of, such as SkillPublish or AlexaDevelopmentEvent.SkillPublish; "all" for all development events (repeatable)`)
	complete(cmd, "event", append(shortEvents(), "all")...)
	reasonFlag(cmd, &o.reason)
}

// fullEvents are the events by the names that the API has for them.
func (o *subscriptionOptions) fullEvents() []string {
	full := make([]string, len(o.events))
	for i, event := range o.events {
		full[i] = event
		if event == "all" {
			full[i] = "AlexaDevelopmentEvent.ALL"
		}
		for _, name := range fleet.EventNames() {
			if shortEvent(name) == event {
				full[i] = name
			}
		}
	}
	return full
}

func newSubscriptionCreate(p *program) *cobra.Command {
	o := &subscriptionOptions{p: p}
	cmd := &cobra.Command{
		Use: "create", Short: "Have a subscriber told of events of the vendor's skills", Args: cobra.NoArgs,
		Example: `  fleetctl event subscription create --account acme --name publishing --subscriber amzn1.ask-subscriber.0a1b2c3d \
      --event SkillPublish --event ManifestUpdate`,
		RunE: p.do(func(ctx context.Context) error {
			switch err := needAccount(o.account); {
			case err != nil:
				return err
			case o.name == "":
				return usagef("--name is missing: a subscription has one")
			case o.subscriber == "":
				return usagef(`--subscriber is missing: say who is told ("fleetctl event subscriber list" shows them)`)
			case len(o.events) == 0:
				return usagef("--event is missing: name at least one, such as --event SkillPublish, or --event all")
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			once := key(o.key)
			r, err := insist(ctx, p, once, "the subscription was made", func() (*client.Response[client.Subscription], error) {
				return api.CreateSubscription(ctx, o.account, client.CreateSubscriptionParams{IdempotencyKey: ref(once)}, client.SubscriptionCreate{
					Name: o.name, SubscriberID: o.subscriber, Events: o.fullEvents(), Reason: ref(o.reason),
				})
			})
			if err != nil {
				return err
			}
			return p.printSubscription(r)
		}),
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.subscriber, "subscriber", "", "ID of the subscriber that is told")
	keyFlag(cmd.Flags(), &o.key)
	return cmd
}

func newSubscriptionUpdate(p *program) *cobra.Command {
	o := &subscriptionOptions{p: p}
	cmd := notificationUpdate(p, &notificationChange[client.Subscription]{
		id: &o.id, account: &o.account, flags: "--name or --event",
		named: func() int { return named(o.name, strings.Join(o.events, " ")) }, of: 2,
		get: (*client.Client).GetSubscription,
		keep: func(now client.Subscription) {
			if o.name = orText(o.name, now.Name); len(o.events) == 0 {
				o.events = now.Events
			}
		},
		put: func(ctx context.Context, api *client.Client) (*client.Response[client.Subscription], error) {
			return api.UpdateSubscription(ctx, o.account, o.id, client.SubscriptionBody{Name: o.name, Events: o.fullEvents(), Reason: ref(o.reason)})
		},
		show: p.printSubscription,
	})
	cmd.Short = "Change a subscription; what no flag names stays as it is"
	cmd.Long = `Change the name or the events of a subscription; what no flag names stays as it is. --event gives all its events anew.
Another subscriber takes another subscription.`
	o.flags(cmd)
	return cmd
}

func newSubscriptionDelete(p *program) *cobra.Command {
	return p.notificationDelete("subscription", "Delete a subscription",
		func(ctx context.Context, api *client.Client, account, id, reason string) error {
			return api.DeleteSubscription(ctx, account, id, client.DeleteSubscriptionParams{Reason: ref(reason)})
		})
}
