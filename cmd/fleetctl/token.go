package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

func newToken(p *program) *cobra.Command {
	return noun("token", "access", "Tokens: who may call fleetd, and as what",
		newTokenCreate(p), newTokenList(p), newTokenRevoke(p))
}

func tokenColumns(p *program) []column[client.Token] {
	return []column[client.Token]{
		{head: "name", text: func(t client.Token) string { return t.Name }},
		{head: "role", text: func(t client.Token) string { return t.Role }},
		{head: "state", text: func(t client.Token) string { return t.State }, color: func(t client.Token) string { return stateColor(t.State) }},
		{head: "last_used", text: func(t client.Token) string { return orText(p.ageOf(t.LastUsedAt), "never") }, csvHead: "last_used_at", csv: func(t client.Token) string { return stampOf(t.LastUsedAt) }, right: true},
		{head: "expires", text: func(t client.Token) string { return p.expiry(t) }, csvHead: "expires_at", csv: func(t client.Token) string { return stampOf(t.ExpiresAt) }},
		{head: "age", text: func(t client.Token) string { return p.age(t.CreatedAt) }, csvHead: "created_at", csv: func(t client.Token) string { return stamp(t.CreatedAt) }, right: true},
		{head: "revoked", text: func(t client.Token) string { return p.ageOf(t.RevokedAt) }, csvHead: "revoked_at", csv: func(t client.Token) string { return stampOf(t.RevokedAt) }, wide: true, right: true},
	}
}

func (p *program) expiry(t client.Token) string {
	if t.ExpiresAt == nil {
		return "never"
	}
	return p.when(*t.ExpiresAt)
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func newTokenList(p *program) *cobra.Command {
	var (
		o   listOptions
		all bool
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List tokens, newest first, without their secrets", Args: cobra.NoArgs,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			return printList(ctx, p, o, tokenColumns(p), "No tokens.",
				func(ctx context.Context, cursor string, limit int) (page[client.Token], error) {
					r, err := api.ListTokens(ctx, client.ListTokensParams{All: ref(all), Cursor: ref(cursor), Limit: ref(int64(limit))})
					if err != nil {
						return page[client.Token]{}, err
					}
					return page[client.Token]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
				})
		}),
	}
	o.flags(cmd.Flags(), 0)
	cmd.Flags().BoolVar(&all, "all", false, "revoked and expired ones too")
	return cmd
}

// tokenCreateOptions are the inputs of `token create`.
type tokenCreateOptions struct {
	p      *program
	name   string
	role   string
	ttl    string
	reason string
}

func newTokenCreate(p *program) *cobra.Command {
	o := &tokenCreateOptions{p: p}
	cmd := &cobra.Command{
		Use: "create", Short: "Create a token and print it, alone, on stdout", Args: cobra.NoArgs,
		Long: `Create a token and print it, alone, on stdout: it is shown this once.

viewer reads; operator imports units and works with rollouts; admin manages accounts and tokens as well.`,
		Example: `  fleetctl token create --name night-shift --role operator --ttl 720h > token`,
		RunE:    p.do(o.run),
	}
	roles := texts(fleet.Roles())
	cmd.Flags().StringVar(&o.name, "name", "", "who or what will use it; the log shows it")
	cmd.Flags().StringVar(&o.role, "role", "", "viewer|operator|admin")
	cmd.Flags().StringVar(&o.ttl, "ttl", "", "how long it lives, such as 720h (forever when not given)")
	reasonFlag(cmd, &o.reason)
	complete(cmd, "role", roles...)
	return cmd
}

func (o *tokenCreateOptions) run(ctx context.Context) error {
	roles := texts(fleet.Roles())
	if o.name == "" {
		return usagef("--name is missing: say who or what will use the token")
	}
	if !slices.Contains(roles, o.role) {
		return usagef("--role %q is not one of viewer, operator, admin", o.role)
	}
	if err := positiveDuration("--ttl", o.ttl); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	r, err := api.CreateToken(ctx, client.CreateTokenParams{IdempotencyKey: ref(key(""))},
		client.TokenCreate{Name: o.name, Role: client.TokenCreateRole(o.role), TTL: ref(o.ttl), Reason: ref(o.reason)})
	if err != nil {
		return err
	}
	columns := []column[client.NewToken]{
		{head: "name", text: func(t client.NewToken) string { return t.Name }},
		{head: "role", text: func(t client.NewToken) string { return t.Role }},
		{head: "expires", text: func(t client.NewToken) string { return stampOf(t.ExpiresAt) }},
		{head: "secret", text: func(t client.NewToken) string { return t.Secret }},
	}
	return printOne(o.p, columns, r.Value, r.Raw, func(w io.Writer) {
		o.p.note("This is the only time the token is shown.")
		_, _ = fmt.Fprintln(w, clean(r.Value.Secret))
	})
}

func newTokenRevoke(p *program) *cobra.Command {
	var name, reason string
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Revoke a token: the next call with it is refused", Args: oneArg("NAME", &name),
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			r, err := api.RevokeToken(ctx, name, client.ReasonBody{Reason: ref(reason)})
			if err != nil {
				return err
			}
			return printOne(p, tokenColumns(p), r.Value, r.Raw, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "token %s revoked\n", clean(r.Value.Name))
			})
		}),
	}
	reasonFlag(cmd, &reason)
	return cmd
}
