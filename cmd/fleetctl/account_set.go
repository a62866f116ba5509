package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// accountOptions are the inputs of `account create` and `account set`.
type accountOptions struct {
	p    *program
	name string

	clientID         string
	clientSecretFile string
	refreshTokenFile string
	region           string
	apiURL           string
	tokenURL         string
	rate             string
	burst            int64
	linkMode         string
	codeURL          string
	redirectURIs     []string
	protectedSkills  []string
	countries        []string
	reason           string
	idempotencyKey   string

	changed func(flag string) bool
}

func regions() []string { return []string{"na", "eu", "fe"} }

func linkModes() []string { return texts(fleet.LinkModes()) }

// texts makes plain strings of a closed set.
func texts[T ~string](set []T) []string {
	out := make([]string, len(set))
	for i, v := range set {
		out[i] = string(v)
	}
	return out
}

func (o *accountOptions) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&o.clientID, "client-id", "", "client ID of the LWA security profile")
	fs.StringVar(&o.clientSecretFile, "client-secret-file", "", `file that holds the client secret ("-": stdin)`)
	fs.StringVar(&o.refreshTokenFile, "refresh-token-file", "", `file that holds the refresh token ("-": stdin)`)
	fs.StringVar(&o.region, "region", "", "region of the organization: na|eu|fe (na when there is no --api-url)")
	fs.StringVar(&o.apiURL, "api-url", "", "base URL of the API, instead of the region's")
	fs.StringVar(&o.tokenURL, "token-url", "", "URL of the token endpoint, instead of Amazon's")
	fs.StringVar(&o.rate, "rate", "", `requests a second, or "auto": find out while sending (the default)`)
	fs.Int64Var(&o.burst, "burst", 0, "requests that may leave at once (what suits the rate when not given)")
	fs.StringVar(&o.linkMode, "link-mode", "", "how enabled skills are linked: none|delegated|codes (none when not given)")
	fs.StringVar(&o.codeURL, "code-url", "", "where link mode codes asks for one authorization code a write")
	fs.StringArrayVar(&o.redirectURIs, "redirect-uri", nil, "redirect URI that codes may be for; repeatable, the first is the one sent")
	fs.StringArrayVar(&o.protectedSkills, "protected-skill", nil, "skill ID that rollouts must leave alone; repeatable")
	fs.StringArrayVar(&o.countries, "country", nil, "country that homes are in, ISO 3166 like US; repeatable, skills are checked to be distributed there")
	reasonFlag(cmd, &o.reason)
	complete(cmd, "region", regions()...)
	complete(cmd, "link-mode", linkModes()...)
	o.changed = fs.Changed
}

// check refuses what cannot be right before anything is read or sent.
func (o *accountOptions) check() error {
	if err := oneOf("--region", o.region, regions()); err != nil {
		return err
	}
	if err := oneOf("--link-mode", o.linkMode, linkModes()); err != nil {
		return err
	}
	if err := checkBudget(o.changed, o.rate, o.burst); err != nil {
		return err
	}
	if _, err := fleet.ParseCountries("--country", *replacement(o.countries)); err != nil {
		return asFlag("--country", err)
	}
	if o.region != "" && o.apiURL != "" {
		return usagef("--region and --api-url exclude each other: a region is a known API URL")
	}
	return nil
}

// checkBudget refuses a rate or a burst that cannot be.
func checkBudget(changed func(flag string) bool, rate string, burst int64) error {
	if changed("rate") && rate != "auto" {
		if n, err := strconv.ParseFloat(rate, 64); err != nil || !(n > 0) || n > 1e6 {
			return usagef(`--rate %q is not a rate: give requests a second above 0, such as 50, or "auto"`, rate)
		}
	}
	if changed("burst") && burst < 1 {
		return usagef("--burst %d is too small: at least one request must be able to leave", burst)
	}
	return nil
}

// oneOf refuses a value that is not in a closed set; empty is not given.
func oneOf(flag, value string, set []string) error {
	if value == "" || slices.Contains(set, value) {
		return nil
	}
	return usagef("%s %q is not one of %s", flag, value, strings.Join(set, ", "))
}

func newAccountCreate(p *program) *cobra.Command {
	o := &accountOptions{p: p}
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create an account; its secrets are sealed and never shown again", Args: oneArg("NAME", &o.name),
		Example: `  fleetctl account create acme --client-id amzn1.application-oa2-client.x --client-secret-file secret --refresh-token-file token --region na
  fleetctl account create sim --client-id any --client-secret-file s --refresh-token-file t --api-url http://127.0.0.1:8090 --token-url http://127.0.0.1:8090/auth/o2/token`,
		RunE: p.do(o.create),
	}
	o.flags(cmd)
	keyFlag(cmd.Flags(), &o.idempotencyKey)
	return cmd
}

func (o *accountOptions) create(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	for _, need := range [][2]string{
		{"client-id", o.clientID}, {"client-secret-file", o.clientSecretFile}, {"refresh-token-file", o.refreshTokenFile},
	} {
		if need[1] == "" {
			return usagef("--%s is missing: an account needs --client-id, --client-secret-file and --refresh-token-file", need[0])
		}
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	secret, refresh, err := o.p.secrets(ctx, o.clientSecretFile, o.refreshTokenFile)
	if err != nil {
		return err
	}
	body := client.AccountCreate{
		Name: o.name, ClientID: o.clientID, ClientSecret: secret, RefreshToken: refresh,
		Region: ref(client.AccountCreateRegion(o.region)), APIURL: ref(o.apiURL), TokenURL: ref(o.tokenURL),
		Rate: ref(o.rate), Burst: ref(o.burst),
		LinkMode: ref(client.AccountCreateLinkMode(o.linkMode)), CodeURL: ref(o.codeURL),
		RedirectURIs: list(o.redirectURIs), ProtectedSkills: list(o.protectedSkills), Countries: list(o.countries), Reason: ref(o.reason),
	}
	r, err := api.CreateAccount(ctx, client.CreateAccountParams{IdempotencyKey: ref(key(o.idempotencyKey))}, body)
	if err != nil {
		return err
	}
	return printOne(o.p, accountColumns(o.p), r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "account %s created\n", clean(r.Value.Name))
		o.p.note("Try it: fleetctl account check %s", r.Value.Name)
	})
}

func newAccountSet(p *program) *cobra.Command {
	o := &accountOptions{p: p}
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change an account; what is not named stays as it is", Args: oneArg("NAME", &o.name),
		ValidArgsFunction: p.completeAccounts,
		Long: `Change an account; what is not named stays as it is. A new rate is obeyed at once. New credentials put an
account that is unauthorized back to work. An empty --redirect-uri, --protected-skill
or --country clears the list.`,
		Example: `  fleetctl account set acme --rate 50
  fleetctl account set acme --refresh-token-file token`,
		RunE: p.do(o.set),
	}
	o.flags(cmd)
	return cmd
}

func (o *accountOptions) set(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	if !slices.ContainsFunc(accountSetFlags(), o.changed) {
		return usagef("nothing to set: name at least one of --%s", strings.Join(accountSetFlags(), ", --"))
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	secret, refresh, err := o.p.secrets(ctx, o.clientSecretFile, o.refreshTokenFile)
	if err != nil {
		return err
	}
	body := client.AccountSet{
		ClientSecret: ref(secret), RefreshToken: ref(refresh), Reason: ref(o.reason),
		ClientID: given(o.changed, "client-id", o.clientID),
		Region:   given(o.changed, "region", client.AccountSetRegion(o.region)),
		APIURL:   given(o.changed, "api-url", o.apiURL),
		TokenURL: given(o.changed, "token-url", o.tokenURL),
		Rate:     given(o.changed, "rate", o.rate),
		Burst:    given(o.changed, "burst", o.burst),
		LinkMode: given(o.changed, "link-mode", client.AccountSetLinkMode(o.linkMode)),
		CodeURL:  given(o.changed, "code-url", o.codeURL),
	}
	if o.changed("redirect-uri") {
		body.RedirectURIs = replacement(o.redirectURIs)
	}
	if o.changed("protected-skill") {
		body.ProtectedSkills = replacement(o.protectedSkills)
	}
	if o.changed("country") {
		body.Countries = replacement(o.countries)
	}
	r, err := api.SetAccount(ctx, o.name, body)
	if err != nil {
		return err
	}
	return printOne(o.p, accountColumns(o.p), r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "account %s set\n", clean(r.Value.Name))
	})
}

func accountSetFlags() []string {
	return []string{
		"client-id", "client-secret-file", "refresh-token-file", "region", "api-url", "token-url",
		"rate", "burst", "link-mode", "code-url", "redirect-uri", "protected-skill", "country",
	}
}

// given is the value of a flag that was on the command line, even an empty one.
func given[T any](changed func(flag string) bool, flag string, v T) *T {
	if !changed(flag) {
		return nil
	}
	return &v
}

// list is an optional list of a request.
func list[T any](v []T) *[]T {
	if len(v) == 0 {
		return nil
	}
	return &v
}

// replacement is the new content of a list; one empty value clears it.
func replacement(v []string) *[]string {
	kept := []string{}
	for _, s := range v {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return &kept
}

func keyFlag(fs *pflag.FlagSet, dst *string) {
	fs.StringVar(dst, "idempotency-key", "", "makes a repeated call safe: the same key and request create once (a new one each time when not given)")
}
