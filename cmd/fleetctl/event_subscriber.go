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
	cmd := &cobra.Command{
		Use: "update ID", Short: "Change a subscriber; what no flag names stays as it is", Args: oneArg("ID", &o.id),
		RunE: p.do(func(ctx context.Context) error {
			if err := needAccount(o.account); err != nil {
				return err
			}
			if o.name == "" && o.topic == "" && o.role == "" {
				return usagef("nothing to change: give --name, --topic or --role")
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			if o.name == "" || o.topic == "" || o.role == "" { // the API replaces all of it
				now, err := api.GetSubscriber(ctx, o.account, o.id)
				if err != nil {
					return err
				}
				o.name, o.topic, o.role = orText(o.name, now.Value.Name), orText(o.topic, now.Value.URI), orText(o.role, now.Value.RoleArn)
			}
			r, err := api.UpdateSubscriber(ctx, o.account, o.id, o.body())
			if err != nil {
				return err
			}
			return p.printSubscriber(r)
		}),
	}
	o.flags(cmd)
	return cmd
}

func newSubscriberDelete(p *program) *cobra.Command {
	return p.notificationDelete("subscriber", "Delete a subscriber, whose subscriptions must be deleted first",
		func(ctx context.Context, api *client.Client, account, id, reason string) error {
			return api.DeleteSubscriber(ctx, account, id, client.DeleteSubscriberParams{Reason: ref(reason)})
		})
}

// notificationGet is the command that shows a subscriber or a subscription.
func notificationGet[T any](p *program, short string,
	get func(api *client.Client, ctx context.Context, account, id string) (*client.Response[T], error), show func(*client.Response[T]) error,
) *cobra.Command {
	var account, id string
	cmd := &cobra.Command{
		Use: "get ID", Aliases: []string{"show"}, Short: short, Args: oneArg("ID", &id),
		RunE: p.ofAccount(&account, func(ctx context.Context, api *client.Client) error {
			r, err := get(api, ctx, account, id)
			if err != nil {
				return err
			}
			return show(r)
		}),
	}
	accountFlag(cmd, p, &account)
	return cmd
}

// notificationDelete is the command that deletes a subscriber or a subscription.
func (p *program) notificationDelete(what, short string,
	remove func(ctx context.Context, api *client.Client, account, id, reason string) error,
) *cobra.Command {
	var (
		account, id string
		agreed      consent
	)
	cmd := &cobra.Command{
		Use: "delete ID", Aliases: []string{"rm"}, Short: short, Args: oneArg("ID", &id),
		RunE: p.ofAccount(&account, func(ctx context.Context, api *client.Client) error {
			if err := agreed.ask(ctx, p, "Delete %s %s of account %s?", what, clean(id), clean(account)); err != nil {
				return err
			}
			if err := remove(ctx, api, account, id, agreed.reason); err != nil {
				return err
			}
			return p.say("%s %s deleted", what, id)
		}),
	}
	accountFlag(cmd, p, &account)
	agreed.flags(cmd)
	return cmd
}
