package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

func newCredential(p *program) *cobra.Command {
	return noun("credential", "", "Credentials of an account: for its homes, for a vendor's own skills, for a customer",
		newCredentialSet(p), newCredentialList(p), newCredentialDelete(p))
}

func credentialKinds() []string { return texts(fleet.CredentialKinds()) }

func kindFlag(cmd *cobra.Command, dst *string, usage string) {
	cmd.Flags().StringVar(dst, "kind", "", usage+": "+strings.Join(credentialKinds(), "|"))
	complete(cmd, "kind", credentialKinds()...)
}

// checkKind wants a kind that there is.
func checkKind(kind string) error {
	if kind == "" {
		return usagef("--kind is missing: say which credential, %s", strings.Join(credentialKinds(), "|"))
	}
	return oneOf("--kind", kind, credentialKinds())
}

func credentialColumns(p *program) []column[client.AccountCredential] {
	type credential = client.AccountCredential
	return []column[credential]{
		{head: "kind", text: func(c credential) string { return c.Kind }},
		{head: "state", text: func(c credential) string { return c.State }, color: func(c credential) string { return stateColor(c.State) }},
		{head: "vendor_id", text: func(c credential) string { return c.VendorID }},
		{head: "client_id", text: func(c credential) string { return c.ClientID }},
		{
			head: "rate", text: func(c credential) string { return perSecond(c.Budget.Rate) }, right: true, wide: true,
			csv: func(c credential) string { return fmt.Sprint(c.Budget.Rate) },
		},
		{head: "limit", text: func(c credential) string { return limitText(c.Budget) }, right: true, wide: true},
		{head: "burst", text: func(c credential) string { return number(c.Budget.Burst) }, right: true, wide: true},
		{
			head: "updated", text: func(c credential) string { return p.age(c.UpdatedAt) }, right: true,
			csvHead: "updated_at", csv: func(c credential) string { return stamp(c.UpdatedAt) },
		},
		{head: "state_reason", text: func(c credential) string { return c.StateReason }},
	}
}

// credentialOptions are the inputs of `account credential set`.
type credentialOptions struct {
	p    *program
	name string

	kind             string
	clientID         string
	clientSecretFile string
	refreshTokenFile string
	vendorID         string
	rate             string
	burst            int64
	reason           string

	changed func(flag string) bool
}

func newCredentialSet(p *program) *cobra.Command {
	o := &credentialOptions{p: p}
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Set a credential of an account; its secrets are sealed and never shown again", Args: oneArg("NAME", &o.name),
		ValidArgsFunction: p.completeAccounts,
		Long: `Set a credential of an account, all of it: the one of its kind is replaced, and ready again whatever it was.

enterprise opens the residential APIs, which rollouts work with; account create sets it. developer opens the APIs of
a vendor's own skills, and needs --vendor-id. customer opens skill enablement for one customer. Each has a request
budget of its own, which stays as it is unless --rate or --burst is given.`,
		Example: `  fleetctl account credential set acme --kind developer --vendor-id M2ABCDEFGHIJKL \
      --client-id amzn1.application-oa2-client.x --client-secret-file secret --refresh-token-file token`,
		RunE: p.do(o.run),
	}
	fs := cmd.Flags()
	kindFlag(cmd, &o.kind, "what it opens")
	fs.StringVar(&o.clientID, "client-id", "", "client ID of the LWA security profile")
	fs.StringVar(&o.clientSecretFile, "client-secret-file", "", `file that holds the client secret ("-": stdin)`)
	fs.StringVar(&o.refreshTokenFile, "refresh-token-file", "", `file that holds the refresh token ("-": stdin)`)
	fs.StringVar(&o.vendorID, "vendor-id", "", "vendor whose skills are managed (of developer, and of no other)")
	fs.StringVar(&o.rate, "rate", "", `requests a second, or "auto": find out while sending (auto for a new one)`)
	fs.Int64Var(&o.burst, "burst", 0, "requests that may leave at once (what suits the rate when not given)")
	reasonFlag(cmd, &o.reason)
	o.changed = fs.Changed
	return cmd
}

// check refuses what cannot be right before anything is read or sent.
func (o *credentialOptions) check() error {
	if err := checkKind(o.kind); err != nil {
		return err
	}
	for _, need := range [][2]string{
		{"client-id", o.clientID}, {"client-secret-file", o.clientSecretFile}, {"refresh-token-file", o.refreshTokenFile},
	} {
		if need[1] == "" {
			return usagef("--%s is missing: a credential needs --client-id, --client-secret-file and --refresh-token-file", need[0])
		}
	}
	switch needed := fleet.CredentialKind(o.kind).NeedsVendor(); {
	case needed && o.vendorID == "":
		return usagef("--vendor-id is missing: a %s credential needs the vendor whose skills it manages", o.kind)
	case !needed && o.changed("vendor-id"):
		return usagef("--vendor-id is for %s only: a credential of the kind %s has none", fleet.CredentialDeveloper, o.kind)
	}
	return checkBudget(o.changed, o.rate, o.burst)
}

func (o *credentialOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	secret, refresh, err := o.p.secrets(ctx, o.clientSecretFile, o.refreshTokenFile)
	if err != nil {
		return err
	}
	r, err := api.SetCredential(ctx, o.name, client.SetCredentialParamsKind(o.kind), client.CredentialSet{
		ClientID: o.clientID, ClientSecret: secret, RefreshToken: refresh, VendorID: ref(o.vendorID),
		Rate: given(o.changed, "rate", o.rate), Burst: given(o.changed, "burst", o.burst), Reason: ref(o.reason),
	})
	if err != nil {
		return err
	}
	return printOne(o.p, credentialColumns(o.p), r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s credential of account %s set\n", clean(r.Value.Kind), clean(o.name))
	})
}

func newCredentialList(p *program) *cobra.Command {
	var name, kind string
	cmd := &cobra.Command{
		Use: "list NAME", Aliases: []string{"ls"}, Short: "List the credentials of an account, without their secrets", Args: oneArg("NAME", &name),
		ValidArgsFunction: p.completeAccounts,
		RunE: p.do(func(ctx context.Context) error {
			if err := oneOf("--kind", kind, credentialKinds()); err != nil {
				return err
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			r, err := api.ListCredentials(ctx, name, client.ListCredentialsParams{Kind: ref(client.ListCredentialsParamsKind(kind))})
			if err != nil {
				return err
			}
			return printAll(p, credentialColumns(p), r.Value.Items, r.Raw, "No such credential. Set it: fleetctl account credential set "+name+" --kind "+orText(kind, "KIND"))
		}),
	}
	kindFlag(cmd, &kind, "only the one of this kind")
	return cmd
}

func newCredentialDelete(p *program) *cobra.Command {
	var (
		name, kind string
		agreed     consent
	)
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete a credential of an account and its budget", Args: oneArg("NAME", &name),
		ValidArgsFunction: p.completeAccounts,
		RunE: p.do(func(ctx context.Context) error {
			if err := checkKind(kind); err != nil {
				return err
			}
			if kind == string(fleet.CredentialEnterprise) {
				return usagef("every account has its enterprise credential, so it goes with the account only: fleetctl account delete %s", name)
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			if err := agreed.ask(ctx, p, "Delete the %s credential of account %s?", kind, name); err != nil {
				return err
			}
			if err := api.DeleteCredential(ctx, name, client.DeleteCredentialParamsKind(kind), client.DeleteCredentialParams{Reason: ref(agreed.reason)}); err != nil {
				return err
			}
			return p.say("%s credential of account %s deleted", kind, name)
		}),
	}
	kindFlag(cmd, &kind, "which one")
	agreed.flags(cmd)
	return cmd
}
