package server

import (
	"context"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// CredentialStore is what the credential operations need.
type CredentialStore interface {
	Credentials(ctx context.Context, account string, kind fleet.CredentialKind) ([]store.AccountCredential, error)
	AccountCredential(ctx context.Context, account string, kind fleet.CredentialKind) (store.AccountCredential, error)
	SetCredential(ctx context.Context, account string, p store.CredentialParams, by fleet.Actor) (store.AccountCredential, error)
	DeleteCredential(ctx context.Context, account string, kind fleet.CredentialKind, reason string, by fleet.Actor) error
}

// credentialSet is the body of setCredential.
type credentialSet struct {
	ClientID     string  `json:"client_id" minLength:"1" maxLength:"500" doc:"Of the LWA security profile."`
	ClientSecret string  `json:"client_secret" minLength:"1" maxLength:"4096" doc:"Sealed before it is stored, never shown again."`
	RefreshToken string  `json:"refresh_token" minLength:"1" maxLength:"4096" doc:"Sealed before it is stored, never shown again."`
	VendorID     string  `json:"vendor_id,omitempty" maxLength:"255" doc:"The vendor whose skills are managed: of the kind developer, and of no other."`
	Rate         *string `json:"rate,omitempty" maxLength:"30" doc:"auto, or requests a second above 0. Not given: as it is, auto for a new one."`
	Burst        *int    `json:"burst,omitempty" minimum:"1" maximum:"100000" doc:"Requests that may leave at once. Not given: as it is, or what suits a rate that is given."`
	Reason       string  `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// CredentialKind is the credential in the path.
type CredentialKind struct {
	Kind string `path:"kind" enum:"enterprise,developer,customer" doc:"enterprise opens the residential APIs, developer those of a vendor's own skills, customer skill enablement for one customer."`
}

type credentialOut struct{ Body store.AccountCredential }

type credentialListOut struct {
	Body *list[store.AccountCredential]
}

func (s *server) registerCredentials() {
	const (
		tag  = "accounts"
		path = "/accounts/{name}/credentials"
	)
	register(s, operation{
		id: "listCredentials", method: http.MethodGet, path: path, tag: tag, role: fleet.RoleViewer,
		summary: "List the credentials of an account by kind, without their secrets",
		text:    "There are three at most, so they come in one page.",
	}, s.listCredentials)
	register(s, operation{
		id: "getCredential", method: http.MethodGet, path: path + "/{kind}", tag: tag, role: fleet.RoleViewer,
		summary: "Show a credential of an account, without its secrets",
	}, s.getCredential)
	register(s, operation{
		id: "setCredential", method: http.MethodPut, path: path + "/{kind}", tag: tag, role: fleet.RoleAdmin,
		summary: "Set a credential of an account",
		text: "Adds it, with a request budget of its own, or replaces the one of its kind as a whole; a budget that is not named stays. " +
			"It is ready again, whatever the one before was. Sent again, it leaves the same behind. " +
			"The secrets are sealed and never shown. setAccount changes single parts of the enterprise one.",
	}, s.setCredential)
	register(s, operation{
		id: "deleteCredential", method: http.MethodDelete, path: path + "/{kind}", tag: tag, role: fleet.RoleAdmin, status: http.StatusNoContent,
		summary: "Delete a credential of an account and its budget",
		text:    "Refused for the enterprise one, which goes with its account only.",
	}, s.deleteCredential)
}

func (s *server) listCredentials(ctx context.Context, in *struct {
	AccountName

	Kind string `query:"kind" enum:"enterprise,developer,customer" doc:"Only the one of this kind, if there is one."`
},
) (*credentialListOut, error) {
	items, err := s.cfg.Credentials.Credentials(ctx, in.Name, fleet.CredentialKind(in.Kind))
	if err != nil {
		return nil, err
	}
	return &credentialListOut{Body: newList(items, "")}, nil
}

func (s *server) getCredential(ctx context.Context, in *struct {
	AccountName
	CredentialKind
},
) (*credentialOut, error) {
	credential, err := s.cfg.Credentials.AccountCredential(ctx, in.Name, fleet.CredentialKind(in.Kind))
	if err != nil {
		return nil, err
	}
	return &credentialOut{Body: credential}, nil
}

func (s *server) setCredential(ctx context.Context, in *struct {
	AccountName
	CredentialKind

	Body credentialSet
},
) (*credentialOut, error) {
	b := in.Body
	credential, err := s.cfg.Credentials.SetCredential(ctx, in.Name, store.CredentialParams{
		Kind: fleet.CredentialKind(in.Kind), ClientID: b.ClientID, ClientSecret: b.ClientSecret, RefreshToken: b.RefreshToken,
		VendorID: b.VendorID, Rate: b.Rate, Burst: b.Burst, Reason: b.Reason,
	}, actor(ctx))
	if err != nil {
		return nil, err
	}
	return &credentialOut{Body: credential}, nil
}

func (s *server) deleteCredential(ctx context.Context, in *struct {
	AccountName
	CredentialKind

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*struct{}, error) {
	return nil, s.cfg.Credentials.DeleteCredential(ctx, in.Name, fleet.CredentialKind(in.Kind), in.Reason, actor(ctx))
}
