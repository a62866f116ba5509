package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/manifest"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
	"fleetd/internal/store"
)

// probeUnit is a unit ID that no API made. A token that may manage units is
// answered with anything but 401 and 403 for it, whatever the fleet holds.
const probeUnit = "amzn1.alexa.unit.did.FLEETDCHECK"

// granted is what is said of a token that there is.
const granted = "an access token was granted"

// Check tries every credential of an account: its token, and then each API that it opens,
// reading only. The account is in order when its enterprise credential is: those beside it
// are not what unit management works with.
func (r *Runner) Check(ctx context.Context, account string) (store.AccountCheck, error) {
	out := store.AccountCheck{Account: account}
	if err := r.Accounts.Reload(ctx); err != nil {
		return out, err
	}
	acc := r.Accounts.ByName(account)
	if acc == nil {
		return out, fleet.NotFoundf("there is no account %q; `fleetctl account list` shows them all", account)
	}
	ctx, cancel := context.WithTimeout(remote.WithClass(ctx, remote.ClassInteractive), requestTime)
	defer cancel()
	kinds := fleet.CredentialKinds()
	out.Credentials = make([]store.CredentialCheck, len(kinds))
	var wg sync.WaitGroup
	for i, kind := range kinds {
		wg.Go(func() { out.Credentials[i] = acc.check(ctx, kind) })
	}
	wg.Wait()
	for _, c := range out.Credentials {
		if c.Kind == fleet.CredentialEnterprise {
			out.OK, out.Token, out.API = c.OK, c.Token, store.CheckStep{OK: c.Can[0].OK, Message: c.Can[0].Message}
		}
	}
	return out, nil
}

// probe tries one thing that a credential opens. It returns what to say of a good answer.
type probe struct {
	what store.Access
	try  func(ctx context.Context) (string, error)
}

// check tries one credential of the account, where there is one.
func (a *Account) check(ctx context.Context, kind fleet.CredentialKind) store.CredentialCheck {
	out := store.CredentialCheck{Kind: kind, Can: []store.AccessCheck{}}
	access := a.Access
	if kind != fleet.CredentialEnterprise {
		access = a.others[kind]
	}
	if access == nil {
		out.Token.Message = "not set: there is nothing to try"
		return out
	}
	out.Set = true
	probes := a.probes(kind)
	_, err := access.Tokens.Token(ctx)
	if err != nil {
		out.Token.Message = message(err)
		for _, p := range probes {
			out.Can = append(out.Can, store.AccessCheck{What: p.what, Message: "not tried: there is no token"})
		}
		return out
	}
	out.Token, out.OK = store.CheckStep{OK: true, Message: granted}, true
	out.Can = make([]store.AccessCheck, len(probes))
	errs := make([]error, len(probes))
	var wg sync.WaitGroup
	for i, p := range probes {
		wg.Go(func() { out.Can[i], errs[i] = p.run(ctx) })
	}
	wg.Wait()
	for i := range probes {
		var unauthorized *lwa.UnauthorizedError
		if errors.As(errs[i], &unauthorized) { // the token in hand was revoked, and no other is granted
			out.Token = store.CheckStep{Message: message(unauthorized)}
			out.Can[i].Message = "it refuses the access token in hand, and there is no other"
		}
		out.OK = out.OK && out.Can[i].OK
	}
	return out
}

func (p probe) run(ctx context.Context) (store.AccessCheck, error) {
	said, err := p.try(ctx)
	if err != nil {
		return store.AccessCheck{What: p.what, Message: message(err)}, err
	}
	return store.AccessCheck{What: p.what, OK: true, Message: said}, nil
}

// probes are what is tried of each thing that a credential opens: one read each.
func (a *Account) probes(kind fleet.CredentialKind) []probe {
	switch kind {
	case fleet.CredentialEnterprise:
		return []probe{{store.AccessUnits, a.tryUnits}}
	case fleet.CredentialDeveloper:
		return []probe{{store.AccessSkills, a.trySkills}, {store.AccessSubscribers, a.trySubscribers}}
	case fleet.CredentialCustomer:
		return []probe{{store.AccessEndpoint, a.tryEndpoint}}
	}
	return nil
}

func (a *Account) tryUnits(ctx context.Context) (string, error) {
	_, err := a.API.Page(ctx, probeUnit, "", residential.ListOpts{PageSize: 1})
	var apiErr *remote.Error
	switch {
	case err == nil:
		return "the API answered", nil
	case errors.As(err, &apiErr) && (apiErr.Status == http.StatusNotFound || apiErr.Status == http.StatusBadRequest):
		return "the API answered, and took the token", nil
	case errors.As(err, &apiErr) && apiErr.Status == http.StatusForbidden:
		return "the API answered 403 for a unit that does not exist: it took the token, and roles show only on real units", nil
	}
	return "", err
}

func (a *Account) trySkills(ctx context.Context) (string, error) {
	page, err := a.developer.Manifest.Page(ctx, manifest.PageParams{VendorID: a.developer.VendorID, Size: 1})
	if err != nil {
		return "", err
	}
	if len(page.Skills) == 0 {
		return fmt.Sprintf("the API answered: vendor %s has no skills", a.developer.VendorID), nil
	}
	return fmt.Sprintf("the API answered: vendor %s has skills", a.developer.VendorID), nil
}

func (a *Account) trySubscribers(ctx context.Context) (string, error) {
	subscribers, err := a.developer.Notifications.ListSubscribers(ctx, a.developer.VendorID)
	if err != nil {
		return "", err
	}
	if len(subscribers) == 0 {
		return "the API answered: there is no subscriber to events", nil
	}
	return "the API answered: there are subscribers to events", nil
}

func (a *Account) tryEndpoint(ctx context.Context) (string, error) {
	found, err := a.customer.Enablement.Endpoints(ctx)
	if err != nil {
		return "", err
	}
	if len(found.Endpoints) == 1 {
		return "the customer's endpoint is " + found.Endpoints[0], nil
	}
	return fmt.Sprintf("the API does not say which of %d endpoints is the customer's: each is tried in turn", len(found.Endpoints)), nil
}
