package main

import (
	"context"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

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

// notificationChange is how a subscriber or a subscription is changed. The API replaces all
// of it, so what no flag names is read first, and kept.
type notificationChange[T any] struct {
	id, account *string
	flags       string     // those that name something, for people
	named       func() int // how many of them did
	of          int        // how many there are
	get         func(api *client.Client, ctx context.Context, account, id string) (*client.Response[T], error)
	keep        func(now T) // takes what no flag names from what is
	put         func(ctx context.Context, api *client.Client) (*client.Response[T], error)
	show        func(*client.Response[T]) error
}

// named counts what was given.
func named(values ...string) int {
	n := 0
	for _, v := range values {
		if v != "" {
			n++
		}
	}
	return n
}

// notificationUpdate is the command that changes a subscriber or a subscription.
func notificationUpdate[T any](p *program, o *notificationChange[T]) *cobra.Command {
	return &cobra.Command{
		Use: "update ID", Args: oneArg("ID", o.id),
		RunE: p.do(func(ctx context.Context) error {
			if err := needAccount(*o.account); err != nil {
				return err
			}
			n := o.named()
			if n == 0 {
				return usagef("nothing to change: give %s", o.flags)
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			if n < o.of {
				now, err := o.get(api, ctx, *o.account, *o.id)
				if err != nil {
					return err
				}
				o.keep(now.Value)
			}
			r, err := o.put(ctx, api)
			if err != nil {
				return err
			}
			return o.show(r)
		}),
	}
}
