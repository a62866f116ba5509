package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// eventSubscriberVerbs are the commands of the skill development notifications API.
func eventSubscriberVerbs(p *program) []*cobra.Command {
	return []*cobra.Command{
		noun("subscriber", "", "Where Amazon sends the vendor's events: SNS topics",
			newSubscriberList(p), newSubscriberGet(p), newSubscriberCreate(p), newSubscriberUpdate(p), newSubscriberDelete(p)),
		noun("subscription", "", "Which of the vendor's events go to which subscriber",
			newSubscriptionList(p), newSubscriptionGet(p), newSubscriptionCreate(p), newSubscriptionUpdate(p), newSubscriptionDelete(p)),
	}
}

func subscriberColumns() []column[client.Subscriber] {
	type subscriber = client.Subscriber
	return []column[subscriber]{
		{head: "id", text: func(s subscriber) string { return s.ID }},
		{head: "name", text: func(s subscriber) string { return s.Name }},
		{head: "status", text: func(s subscriber) string { return s.Status }},
		{head: "uri", text: func(s subscriber) string { return s.URI }},
		{head: "role_arn", text: func(s subscriber) string { return s.RoleArn }, wide: true},
		{head: "client_id", text: func(s subscriber) string { return s.ClientID }, wide: true},
	}
}

func (p *program) printSubscriber(r *client.Response[client.Subscriber]) error {
	return printOne(p, subscriberColumns(), r.Value, r.Raw, func(w io.Writer) {
		var f facts
		f.add("Subscriber", "%s", r.Value.ID)
		f.add("Name", "%s", r.Value.Name)
		f.add("Status", "%s", r.Value.Status)
		f.add("Topic", "%s", r.Value.URI)
		f.add("Role", "%s", r.Value.RoleArn)
		f.add("Client", "%s", r.Value.ClientID)
		f.write(w)
	})
}

func newSubscriberList(p *program) *cobra.Command {
	account := ""
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the subscribers of the account's vendor", Args: cobra.NoArgs,
		RunE: p.ofAccount(&account, func(ctx context.Context, api *client.Client) error {
			r, err := api.ListSubscribers(ctx, account)
			if err != nil {
				return err
			}
			return printAll(p, subscriberColumns(), r.Value.Items, r.Raw, "No subscribers. Make one: fleetctl event subscriber create --account "+account)
		}),
	}
	accountFlag(cmd, p, &account)
	return cmd
}

func newSubscriberGet(p *program) *cobra.Command {
	return notificationGet(p, "Show a subscriber", (*client.Client).GetSubscriber, p.printSubscriber)
}

// subscriberOptions are the inputs of `event subscriber create` and `update`.
type subscriberOptions struct {
	p       *program
	account string
	id      string
	name    string
	topic   string
	role    string
	reason  string
	key     string // of create
}

func (o *subscriberOptions) flags(cmd *cobra.Command) {
	accountFlag(cmd, o.p, &o.account)
	fs := cmd.Flags()
	fs.StringVar(&o.name, "name", "", "its name")
	fs.StringVar(&o.topic, "topic", "", "ARN of the SNS topic that events are published to")
	fs.StringVar(&o.role, "role", "", "ARN of the AWS role that lets Amazon publish to it")
	reasonFlag(cmd, &o.reason)
}

func (o *subscriberOptions) body() client.SubscriberBody {
	return client.SubscriberBody{Name: o.name, URI: o.topic, RoleArn: o.role, Reason: ref(o.reason)}
}

func newSubscriberCreate(p *program) *cobra.Command {
	o := &subscriberOptions{p: p}
	cmd := &cobra.Command{
		Use: "create", Short: "Make a subscriber: an SNS topic that the vendor's events go to", Args: cobra.NoArgs,
		Long: `Make a subscriber: an SNS topic that the vendor's events go to, once a subscription says which. Amazon sends an empty
event to the topic at once. To have fleetd take the events: "fleetctl event hook set".`,
		Example: `  fleetctl event subscriber create --account acme --name skills --topic arn:aws:sns:us-east-1:123456789012:skill-events \
      --role arn:aws:iam::123456789012:role/alexa-skill-events`,
		RunE: p.do(func(ctx context.Context) error {
			if err := needAccount(o.account); err != nil {
				return err
			}
			for _, need := range [][2]string{{"name", o.name}, {"topic", o.topic}, {"role", o.role}} {
				if need[1] == "" {
					return usagef("--%s is missing: a subscriber needs --name, --topic and --role", need[0])
				}
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			once := key(o.key)
			r, err := insist(ctx, p, once, "the subscriber was made", func() (*client.Response[client.Subscriber], error) {
				return api.CreateSubscriber(ctx, o.account, client.CreateSubscriberParams{IdempotencyKey: ref(once)}, o.body())
			})
			if err != nil {
				return err
			}
			return p.printSubscriber(r)
		}),
	}
	o.flags(cmd)
	keyFlag(cmd.Flags(), &o.key)
	return cmd
}

func newSubscriberUpdate(p *program) *cobra.Command {
	o := &subscriberOptions{p: p}
	cmd := notificationUpdate(p, &notificationChange[client.Subscriber]{
		id: &o.id, account: &o.account, flags: "--name, --topic or --role",
		named: func() int { return named(o.name, o.topic, o.role) }, of: 3,
		get: (*client.Client).GetSubscriber,
		keep: func(now client.Subscriber) {
			o.name, o.topic, o.role = orText(o.name, now.Name), orText(o.topic, now.URI), orText(o.role, now.RoleArn)
		},
		put: func(ctx context.Context, api *client.Client) (*client.Response[client.Subscriber], error) {
			return api.UpdateSubscriber(ctx, o.account, o.id, o.body())
		},
		show: p.printSubscriber,
	})
	cmd.Short = "Change a subscriber; what no flag names stays as it is"
	o.flags(cmd)
	return cmd
}

func newSubscriberDelete(p *program) *cobra.Command {
	return p.notificationDelete("subscriber", "Delete a subscriber, whose subscriptions must be deleted first",
		func(ctx context.Context, api *client.Client, account, id, reason string) error {
			return api.DeleteSubscriber(ctx, account, id, client.DeleteSubscriberParams{Reason: ref(reason)})
		})
}
