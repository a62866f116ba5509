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

func newSkillCustomer(p *program) *cobra.Command {
	return noun("customer", "", "A skill of the customer whose credential the account has",
		newSkillCustomerStatus(p), newSkillCustomerEnable(p), newSkillCustomerDisable(p), newSkillCustomerEndpoint(p))
}

func customerEnablementColumns(p *program) []column[client.CustomerEnablement] {
	type enablement = client.CustomerEnablement
	return []column[enablement]{
		{head: "skill_id", text: func(e enablement) string { return e.SkillID }},
		{head: "status", text: func(e enablement) string { return e.Status }, color: func(e enablement) string { return enablementColor(e.Status) }},
		{head: "stage", text: func(e enablement) string { return e.Stage }},
		{head: "account_link", text: func(e enablement) string { return e.AccountLink }},
		{head: "user_id", text: func(e enablement) string { return e.UserID }, wide: true},
		{head: "endpoint", text: func(e enablement) string { return e.Endpoint }},
		{head: "request_id", text: func(e enablement) string { return e.RequestID }, wide: true},
		{
			head: "observed", text: func(e enablement) string { return p.age(e.ObservedAt) }, right: true, wide: true,
			csvHead: "observed_at", csv: func(e enablement) string { return stamp(e.ObservedAt) },
		},
	}
}

// enablementColor is the color of a status of the API.
func enablementColor(status string) string {
	switch fleet.Status(status) {
	case fleet.StatusEnabled:
		return green
	case fleet.StatusEnablingFailed, fleet.StatusDisablingFailed:
		return red
	case fleet.StatusEnabling, fleet.StatusDisabling:
		return yellow
	case fleet.StatusAbsent, fleet.StatusDisabled, fleet.StatusNoAssociation:
	}
	return ""
}

func (o *enablementOptions) printCustomer(r *client.Response[client.CustomerEnablement]) error {
	e := r.Value
	return printOne(o.p, customerEnablementColumns(o.p), e, r.Raw, func(w io.Writer) {
		var f facts
		f.add("Skill", "%s", e.SkillID)
		f.add("Status", "%s", o.p.paint(w, enablementColor(e.Status), e.Status))
		f.add("Stage", "%s", e.Stage)
		f.add("Account link", "%s", e.AccountLink)
		f.add("User", "%s", e.UserID)
		f.add("Endpoint", "%s", e.Endpoint)
		f.add("Request", "%s", e.RequestID)
		f.write(w)
	})
}

func newSkillCustomerStatus(p *program) *cobra.Command {
	o := &enablementOptions{p: p}
	cmd := &cobra.Command{
		Use: "status SKILL", Short: "Say whether a skill is enabled and linked for the customer",
		RunE: p.call(o.check, func(ctx context.Context, api *client.Client) error {
			r, err := api.GetCustomerEnablement(ctx, o.account, o.skill)
			if err != nil {
				return err
			}
			return o.printCustomer(r)
		}),
	}
	o.flags(cmd)
	return cmd
}

// customerEnableOptions are the inputs of `skill customer enable`.
type customerEnableOptions struct {
	enablementOptions

	redirectURI      string
	authCodeFile     string
	codeVerifierFile string
}

func newSkillCustomerEnable(p *program) *cobra.Command {
	o := &customerEnableOptions{enablementOptions: enablementOptions{p: p}}
	cmd := &cobra.Command{
		Use: "enable SKILL", Short: "Enable a skill for the customer and link the customer's account",
		Long: `Enable a skill for the customer and link the customer's account. Linking takes an auth code of the skill's own OAuth
server, the redirect URI with which it was obtained and, where that was done with PKCE, the code verifier. A code serves
once and for some minutes: after a call whose outcome is not known, look at the status and get another one. Without an auth
code nothing is linked.`,
		Example: `  fleetctl skill customer enable amzn1.ask.skill.0a1b2c3d --stage live --account acme \
      --redirect-uri https://example.com/cb --auth-code-file code --code-verifier-file verifier`,
		RunE: p.do(o.run),
	}
	o.flags(cmd)
	o.stageFlag(cmd)
	fs := cmd.Flags()
	fs.StringVar(&o.redirectURI, "redirect-uri", "", "redirect URI with which the auth code was obtained")
	fs.StringVar(&o.authCodeFile, "auth-code-file", "", `file that holds the auth code ("-": stdin)`)
	fs.StringVar(&o.codeVerifierFile, "code-verifier-file", "", `file that holds the PKCE code verifier ("-": stdin)`)
	reasonFlag(cmd, &o.reason)
	return cmd
}

func (o *customerEnableOptions) run(ctx context.Context) error {
	if err := o.checkStage(); err != nil {
		return err
	}
	switch {
	case o.authCodeFile != "" && o.redirectURI == "":
		return usagef("--redirect-uri is missing: an auth code serves only with the one it was obtained with")
	case o.authCodeFile == "" && (o.redirectURI != "" || o.codeVerifierFile != ""):
		return usagef("--auth-code-file is missing: linking needs an auth code")
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	code, verifier, err := o.p.secretPair(ctx, "auth-code-file", o.authCodeFile, "code-verifier-file", o.codeVerifierFile)
	if err != nil {
		return err
	}
	r, err := api.EnableForCustomer(ctx, o.account, o.skill, client.CustomerEnable{
		Stage: client.CustomerEnableStage(o.stage), RedirectURI: ref(o.redirectURI), AuthCode: ref(code), CodeVerifier: ref(verifier), Reason: ref(o.reason),
	})
	if err != nil {
		return err
	}
	if err := o.printCustomer(r); err != nil {
		return err
	}
	return o.judgeEnable(r.Value, code != "")
}

// judgeEnable says what the answer to an enable leaves open, and fails where it is no
// success: the API answers 201 whatever became of it, and a status that is not known is
// none that is hoped for.
func (o *enablementOptions) judgeEnable(e client.CustomerEnablement, linking bool) error {
	linked := fleet.LinkStatus(e.AccountLink)
	switch status := fleet.Status(e.Status); {
	case status == fleet.StatusEnabling:
		o.p.note("It is being enabled; see what becomes of it with: %s", o.look())
	case status != fleet.StatusEnabled:
		return &codeError{code: exitError, msg: fmt.Sprintf("skill %s is not enabled: the API answered %s; look again with: %s", o.skill, e.Status, o.look())}
	case linking && linked == "":
		o.p.note("The answer does not say whether the account is linked; look again with: %s", o.look())
	case linking && linked != fleet.Linked:
		return &codeError{code: exitError, msg: fmt.Sprintf("skill %s is enabled and its account link is %s: get another auth code, and enable it again", o.skill, e.AccountLink)}
	}
	return nil
}

// judgeDisable does the same for the answer to a disable.
func (o *enablementOptions) judgeDisable(e client.CustomerEnablement) error {
	switch fleet.Status(e.Status) {
	case fleet.StatusAbsent, fleet.StatusDisabled, fleet.StatusNoAssociation:
		return nil
	case fleet.StatusDisabling:
		o.p.note("It is being disabled; see what becomes of it with: %s", o.look())
		return nil
	case fleet.StatusEnabled, fleet.StatusEnabling, fleet.StatusEnablingFailed, fleet.StatusDisablingFailed:
	}
	return &codeError{code: exitError, msg: fmt.Sprintf("skill %s is not disabled: the API answered %s; look again with: %s", o.skill, e.Status, o.look())}
}

// look is the command that shows how it stands.
func (o *enablementOptions) look() string {
	return fmt.Sprintf("fleetctl skill customer status %s --account %s", o.skill, o.account)
}

func newSkillCustomerDisable(p *program) *cobra.Command {
	o := &enablementOptions{p: p}
	var agreed consent
	cmd := &cobra.Command{
		Use: "disable SKILL", Short: "Disable a skill for the customer and unlink the accounts",
		RunE: p.call(o.check, func(ctx context.Context, api *client.Client) error {
			err := agreed.ask(ctx, p, "Disable skill %s for the customer of account %s and unlink the accounts?", clean(o.skill), clean(o.account))
			if err != nil {
				return err
			}
			r, err := api.DisableForCustomer(ctx, o.account, o.skill, client.DisableForCustomerParams{Reason: ref(agreed.reason)})
			if err != nil {
				return err
			}
			if err := o.printCustomer(r); err != nil {
				return err
			}
			return o.judgeDisable(r.Value)
		}),
	}
	o.flags(cmd)
	agreed.flags(cmd)
	return cmd
}

func newSkillCustomerEndpoint(p *program) *cobra.Command {
	return showOfAccount(p, "endpoint", "Ask which regional endpoint is the customer's", (*client.Client).GetCustomerEndpoint, p.printEndpoint)
}

func (p *program) printEndpoint(r *client.Response[client.CustomerEndpoint]) error {
	columns := []column[client.CustomerEndpoint]{
		{head: "endpoints", text: func(e client.CustomerEndpoint) string { return strings.Join(e.Endpoints, " ") }},
		{head: "source", text: func(e client.CustomerEndpoint) string { return string(e.Source) }},
		{head: "remembered", text: func(e client.CustomerEndpoint) string { return e.Remembered }},
	}
	return printOne(p, columns, r.Value, r.Raw, func(w io.Writer) {
		e := r.Value
		var f facts
		label := "Endpoint"
		if len(e.Endpoints) > 1 {
			label = "One of"
		}
		f.add(label, "%s", strings.Join(e.Endpoints, "\n"))
		f.add("Found by", "%s", map[bool]string{true: "the API could not say: every region's", false: "the API"}[e.Source == "regions"])
		f.add("Remembered", "%s", orText(e.Remembered, "none"))
		f.write(w)
	})
}
