package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

func newAccount(p *program) *cobra.Command {
	return noun("account", "fleet", "Accounts: credentials, where the API is, and how fast to ask it",
		newAccountCreate(p), newAccountList(p), newAccountShow(p), newAccountCheck(p), newAccountSet(p), newAccountDelete(p), newCredential(p))
}

func accountColumns(p *program) []column[client.Account] {
	return []column[client.Account]{
		{head: "name", text: func(a client.Account) string { return a.Name }},
		{head: "state", text: func(a client.Account) string { return a.State }, color: func(a client.Account) string { return stateColor(a.State) }},
		{
			head: "rate", text: rateText, right: true,
			csv: func(a client.Account) string { return fmt.Sprint(a.Budget.Rate) },
		},
		{
			head: "limit", text: func(a client.Account) string { return limitText(a.Budget) }, right: true,
			csv: func(a client.Account) string { return limitText(a.Budget) },
		},
		{head: "burst", text: func(a client.Account) string { return number(a.Budget.Burst) }, wide: true, right: true},
		{head: "region", text: func(a client.Account) string { return a.Region }},
		{head: "link_mode", text: func(a client.Account) string { return a.LinkMode }},
		{head: "countries", text: func(a client.Account) string { return strings.Join(a.Countries, " ") }, wide: true},
		{head: "api_url", text: func(a client.Account) string { return a.APIURL }, wide: true},
		{head: "token_url", text: func(a client.Account) string { return a.TokenURL }, wide: true},
		{head: "client_id", text: func(a client.Account) string { return a.ClientID }, wide: true},
		{
			head: "age", text: func(a client.Account) string { return p.age(a.CreatedAt) }, right: true,
			csvHead: "created_at", csv: func(a client.Account) string { return stamp(a.CreatedAt) },
		},
		{head: "state_reason", text: func(a client.Account) string { return a.StateReason }, wide: true},
	}
}

func rateText(a client.Account) string { return perSecond(a.Budget.Rate) }

func limitText(b client.AccountBudget) string {
	if b.Limit == nil {
		return "auto"
	}
	return fmt.Sprint(*b.Limit)
}

func newAccountList(p *program) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List accounts", Args: cobra.NoArgs,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			return printList(ctx, p, o, accountColumns(p), "No accounts. Make one: fleetctl account create NAME --client-id ID --client-secret-file F --refresh-token-file F",
				func(ctx context.Context, cursor string, limit int) (page[client.Account], error) {
					r, err := api.ListAccounts(ctx, client.ListAccountsParams{Cursor: ref(cursor), Limit: ref(int64(limit))})
					if err != nil {
						return page[client.Account]{}, err
					}
					return page[client.Account]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
				})
		}),
	}
	o.flags(cmd.Flags(), 0)
	return cmd
}

func newAccountShow(p *program) *cobra.Command {
	var name string
	return &cobra.Command{
		Use: "show NAME", Short: "Show an account, its state and its budget", Args: oneArg("NAME", &name),
		ValidArgsFunction: p.completeAccounts,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			r, err := api.GetAccount(ctx, name)
			if err != nil {
				return err
			}
			return printOne(p, accountColumns(p), r.Value, r.Raw, func(w io.Writer) { p.showAccount(w, r.Value) })
		}),
	}
}

func (p *program) showAccount(w io.Writer, a client.Account) {
	var f facts
	f.add("Account", "%s", a.Name)
	f.add("State", "%s", joinNonEmpty(": ", a.State, a.StateReason))
	f.add("API", "%s", joinNonEmpty("  region ", a.APIURL, a.Region))
	f.add("Tokens", "%s", a.TokenURL)
	f.add("Client ID", "%s", a.ClientID)
	limit := "limit found out while sending (auto)"
	if a.Budget.Limit != nil {
		limit = "set with --rate"
	}
	f.add("Budget", "%s, bursts of %d; %s", perSecond(a.Budget.Rate), a.Budget.Burst, limit)
	if until := a.Budget.BlockedUntil; until != nil && until.After(p.now()) {
		f.add("Refused", "the API pushes back until %s (in %s)", p.when(*until), span(until.Sub(p.now())))
	}
	f.add("Linking", "%s", joinNonEmpty(", codes from ", a.LinkMode, a.CodeURL))
	f.add("Countries", "%s", strings.Join(a.Countries, ", "))
	f.add("Redirects", "%s", strings.Join(a.RedirectURIs, "\n"))
	f.add("Protected", "%s", strings.Join(a.ProtectedSkills, "\n"))
	f.add("Created", "%s", p.whenAndAge(a.CreatedAt))
	if a.UpdatedAt.Sub(a.CreatedAt) > time.Second {
		f.add("Changed", "%s", p.whenAndAge(a.UpdatedAt))
	}
	f.write(w)
}

func newAccountCheck(p *program) *cobra.Command {
	var name string
	return &cobra.Command{
		Use: "check NAME", Short: "Try an account's credentials and what each opens; writes nothing", Args: oneArg("NAME", &name),
		Long: `Try an account's credentials and what each opens; nothing is written. The exit code is 1 where unit management does not
work: a credential beside the enterprise one that is not set, or fails, is said and does not count.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			r, err := api.CheckAccount(ctx, name)
			if err != nil {
				return err
			}
			c := r.Value
			columns := []column[client.AccountCheck]{
				{head: "account", text: func(c client.AccountCheck) string { return c.Account }},
				{head: "ok", text: func(c client.AccountCheck) string { return fmt.Sprint(c.OK) }},
				{head: "token_ok", text: func(c client.AccountCheck) string { return fmt.Sprint(c.Token.OK) }},
				{head: "token_message", text: func(c client.AccountCheck) string { return c.Token.Message }},
				{head: "api_ok", text: func(c client.AccountCheck) string { return fmt.Sprint(c.API.OK) }},
				{head: "api_message", text: func(c client.AccountCheck) string { return c.API.Message }},
				{head: "developer", text: func(c client.AccountCheck) string { return credentialResult(c, fleet.CredentialDeveloper) }},
				{head: "customer", text: func(c client.AccountCheck) string { return credentialResult(c, fleet.CredentialCustomer) }},
			}
			err = printOne(p, columns, c, r.Raw, func(w io.Writer) {
				var f facts
				f.add("Account", "%s", c.Account)
				f.add("Token", "%s", p.checkStep(c.Token))
				f.add("API", "%s", p.checkStep(c.API))
				p.addCredentials(&f, c.Credentials)
				f.write(w)
			})
			if err == nil && !c.OK {
				return &codeError{code: exitError, msg: fmt.Sprintf("account %s does not work", c.Account)}
			}
			return err
		}),
	}
}

func (p *program) checkStep(s client.CheckStep) string {
	if s.OK {
		return joinNonEmpty(": ", "ok", s.Message)
	}
	return joinNonEmpty(": ", "FAILED", s.Message)
}

// addCredentials adds what each credential beside the enterprise one can do.
func (p *program) addCredentials(f *facts, credentials []client.CredentialCheck) {
	for _, c := range credentials {
		if c.Kind == string(fleet.CredentialEnterprise) {
			continue
		}
		if !c.Set {
			f.add(title(c.Kind), "not set")
			continue
		}
		lines := []string{"token  " + p.checkStep(c.Token)}
		for _, can := range c.Can {
			lines = append(lines, can.What+"  "+p.checkStep(client.CheckStep{OK: can.OK, Message: can.Message}))
		}
		f.add(title(c.Kind), "%s", strings.Join(lines, "\n"))
	}
}

// credentialResult is what came of one credential, in a word.
func credentialResult(c client.AccountCheck, kind fleet.CredentialKind) string {
	for _, cred := range c.Credentials {
		switch {
		case cred.Kind != string(kind):
		case !cred.Set:
			return "not_set"
		case cred.OK:
			return "ok"
		default:
			return "failed"
		}
	}
	return ""
}

func newAccountDelete(p *program) *cobra.Command {
	var (
		name   string
		units  bool
		agreed consent
	)
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete an account that has had no rollouts", Args: oneArg("NAME", &name),
		ValidArgsFunction: p.completeAccounts,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			if err := agreed.ask(ctx, p, "Delete account %s, its credentials%s?", name, mark(units, " and its units")); err != nil {
				return err
			}
			if err := api.DeleteAccount(ctx, name, client.DeleteAccountParams{DeleteUnits: ref(units), Reason: ref(agreed.reason)}); err != nil {
				return err
			}
			return p.say("account %s deleted", name)
		}),
	}
	cmd.Flags().BoolVar(&units, "delete-units", false, "delete its units as well; without this an account that has units stays")
	agreed.flags(cmd)
	return cmd
}

func forceFlag(cmd *cobra.Command, dst *bool) {
	cmd.Flags().BoolVar(dst, "force", false, "go on in spite of a failed check of the skill; needs --reason")
}

func reasonFlag(cmd *cobra.Command, dst *string) {
	cmd.Flags().StringVar(dst, "reason", "", "why, for the log")
}

// joinNonEmpty joins the parts that are not empty.
func joinNonEmpty(sep string, parts ...string) string {
	var kept []string
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, sep)
}
