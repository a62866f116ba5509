package jobs

import (
	"context"
	"errors"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
	"fleetd/internal/store"
)

// probeUnit is a unit ID that no API made. A token that may manage units is
// answered with anything but 401 and 403 for it, whatever the fleet holds.
const probeUnit = "amzn1.alexa.unit.did.FLEETDCHECK"

// Check tries an account's credential and then the API, reading only.
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
	if _, err := acc.Tokens.Token(ctx); err != nil {
		out.Token.Message = message(err)
		out.API.Message = "not tried: there is no token"
		return out, nil
	}
	out.Token = store.CheckStep{OK: true, Message: "an access token was granted"}
	_, err := acc.API.Page(ctx, probeUnit, "", residential.ListOpts{PageSize: 1})
	var apiErr *remote.Error
	var unauthorized *lwa.UnauthorizedError
	switch {
	case errors.As(err, &unauthorized): // the token in hand was revoked, and no other is granted
		out.Token = store.CheckStep{Message: message(unauthorized)}
		out.API.Message = "it refuses the access token in hand, and there is no other"
	case err == nil:
		out.API = store.CheckStep{OK: true, Message: "the API answered"}
	case errors.As(err, &apiErr) && (apiErr.Status == http.StatusNotFound || apiErr.Status == http.StatusBadRequest):
		out.API = store.CheckStep{OK: true, Message: "the API answered, and took the token"}
	case errors.As(err, &apiErr) && apiErr.Status == http.StatusForbidden:
		out.API = store.CheckStep{OK: true, Message: "the API answered 403 for a unit that does not exist: it took the token, and roles show only on real units"}
	default:
		out.API.Message = message(err)
	}
	out.OK = out.Token.OK && out.API.OK
	return out, nil
}
