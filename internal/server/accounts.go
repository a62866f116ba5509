package server

import (
	"context"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// AccountStore is what the account operations need.
type AccountStore interface {
	CreateAccount(ctx context.Context, p store.AccountParams, by fleet.Actor, once store.Idempotency) (store.Account, bool, error)
	Account(ctx context.Context, name string) (store.Account, error)
	ListAccounts(ctx context.Context, f store.AccountFilter) ([]store.Account, string, error)
	SetAccount(ctx context.Context, name string, p store.AccountPatch, by fleet.Actor) (store.Account, error)
	DeleteAccount(ctx context.Context, name string, units bool, reason string, by fleet.Actor) error
}

// AccountChecker tries an account's credentials and API, without writing.
type AccountChecker interface {
	Check(ctx context.Context, account string) (store.AccountCheck, error)
}

// accountCreate is the body of createAccount.
type accountCreate struct {
	Name            string   `json:"name" minLength:"1" maxLength:"63" doc:"Lower-case letters, digits and hyphens."`
	ClientID        string   `json:"client_id" minLength:"1" maxLength:"500" doc:"Of the LWA security profile."`
	ClientSecret    string   `json:"client_secret" minLength:"1" maxLength:"4096" doc:"Sealed before it is stored, never shown again."`
	RefreshToken    string   `json:"refresh_token" minLength:"1" maxLength:"4096" doc:"Sealed before it is stored, never shown again."`
	Region          string   `json:"region,omitempty" enum:"na,eu,fe" doc:"Where the organization is. na when neither region nor api_url is given."`
	APIURL          string   `json:"api_url,omitempty" maxLength:"2000" doc:"Instead of the region's API. Plain http only on loopback."`
	TokenURL        string   `json:"token_url,omitempty" maxLength:"2000" doc:"Instead of https://api.amazon.com/auth/o2/token."`
	Rate            string   `json:"rate,omitempty" maxLength:"30" doc:"auto (the default), or requests a second above 0."`
	Burst           int      `json:"burst,omitempty" minimum:"1" maximum:"100000" doc:"Requests that may leave at once; a twentieth of the rate when not given."`
	LinkMode        string   `json:"link_mode,omitempty" enum:"none,delegated,codes" doc:"How enabled skills are linked; none when not given."`
	CodeURL         string   `json:"code_url,omitempty" maxLength:"2000" doc:"Where link mode codes asks for one authorization code a write."`
	RedirectURIs    []string `json:"redirect_uris,omitempty" maxItems:"100" doc:"The only redirect URIs a code may be for; the first is the one sent."`
	ProtectedSkills []string `json:"protected_skills,omitempty" maxItems:"1000" doc:"Skills that rollouts must leave alone, besides the built-in list."`
	Countries       []string `json:"countries,omitempty" maxItems:"249" doc:"Where its homes are, ISO 3166 codes of two letters: a skill must be distributed there."`
	Reason          string   `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// accountSet is the body of setAccount; what is not given stays as it is.
type accountSet struct {
	ClientID        *string  `json:"client_id,omitempty" minLength:"1" maxLength:"500"`
	ClientSecret    *string  `json:"client_secret,omitempty" minLength:"1" maxLength:"4096"`
	RefreshToken    *string  `json:"refresh_token,omitempty" minLength:"1" maxLength:"4096" doc:"Setting a credential ends the state unauthorized."`
	Region          *string  `json:"region,omitempty" enum:"na,eu,fe" doc:"Sets api_url to the region's, unless api_url is given as well."`
	APIURL          *string  `json:"api_url,omitempty" maxLength:"2000"`
	TokenURL        *string  `json:"token_url,omitempty" maxLength:"2000"`
	Rate            *string  `json:"rate,omitempty" maxLength:"30" doc:"auto, or requests a second above 0."`
	Burst           *int     `json:"burst,omitempty" minimum:"1" maximum:"100000"`
	LinkMode        *string  `json:"link_mode,omitempty" enum:"none,delegated,codes"`
	CodeURL         *string  `json:"code_url,omitempty" maxLength:"2000"`
	RedirectURIs    []string `json:"redirect_uris,omitempty" maxItems:"100" doc:"Replaces the list; an empty one clears it."`
	ProtectedSkills []string `json:"protected_skills,omitempty" maxItems:"1000" doc:"Replaces the list; an empty one clears it."`
	Countries       []string `json:"countries,omitempty" maxItems:"249" doc:"Replaces the list; an empty one clears it."`
	Reason          string   `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// AccountName is the account in the path.
type AccountName struct {
	Name string `path:"name" maxLength:"63" doc:"The account's name."`
}

type accountOut struct{ Body store.Account }

type accountCreated struct {
	Replay

	Body store.Account
}

type accountListOut struct{ Body *list[store.Account] }

type accountCheckOut struct{ Body store.AccountCheck }

func (s *server) registerAccounts() {
	const tag = "accounts"
	register(s, operation{
		id: "createAccount", method: http.MethodPost, path: "/accounts", tag: tag, role: fleet.RoleAdmin, status: http.StatusCreated,
		summary: "Create an account",
		text:    "Its credentials are sealed and never shown. A repeated call with the same Idempotency-Key answers with the account as it is now.",
	}, s.createAccount)
	register(s, operation{
		id: "listAccounts", method: http.MethodGet, path: "/accounts", tag: tag, role: fleet.RoleViewer,
		summary: "List accounts by name",
	}, s.listAccounts)
	register(s, operation{
		id: "getAccount", method: http.MethodGet, path: "/accounts/{name}", tag: tag, role: fleet.RoleViewer,
		summary: "Show an account",
	}, s.getAccount)
	register(s, operation{
		id: "setAccount", method: http.MethodPatch, path: "/accounts/{name}", tag: tag, role: fleet.RoleAdmin,
		summary: "Change an account",
		text:    "A new rate is obeyed by every process at once. New credentials put an unauthorized account back to work.",
	}, s.setAccount)
	register(s, operation{
		id: "deleteAccount", method: http.MethodDelete, path: "/accounts/{name}", tag: tag, role: fleet.RoleAdmin, status: http.StatusNoContent,
		summary: "Delete an account",
		text:    "Refused when the account has had rollouts, because they are the record of what was done, and when it has units, unless delete_units says so.",
	}, s.deleteAccount)
	register(s, operation{
		id: "checkAccount", method: http.MethodPost, path: "/accounts/{name}/check", tag: tag, role: fleet.RoleOperator, timeout: rolloutTimeout,
		summary: "Try an account's credentials and API",
		text:    "Asks for a fresh access token and lists the enablements of one unit. Never writes to the API. ok is false, with status 200, when a step failed.",
	}, s.checkAccount)
}

func (s *server) createAccount(ctx context.Context, in *struct {
	Creating

	Body accountCreate
},
) (*accountCreated, error) {
	once, err := in.idempotency("createAccount", in.Body)
	if err != nil {
		return nil, err
	}
	b := in.Body
	account, again, err := s.cfg.Accounts.CreateAccount(ctx, store.AccountParams{
		Name: b.Name, ClientID: b.ClientID, ClientSecret: b.ClientSecret, RefreshToken: b.RefreshToken,
		Region: b.Region, APIURL: b.APIURL, TokenURL: b.TokenURL, Rate: b.Rate, Burst: b.Burst,
		LinkMode: fleet.LinkMode(b.LinkMode), CodeURL: b.CodeURL,
		RedirectURIs: b.RedirectURIs, ProtectedSkills: b.ProtectedSkills, Countries: b.Countries, Reason: b.Reason,
	}, actor(ctx), once)
	if err != nil {
		return nil, err
	}
	return &accountCreated{Replay: replayed(again), Body: account}, nil
}

func (s *server) listAccounts(ctx context.Context, in *struct{ Paging }) (*accountListOut, error) {
	after, err := decodeCursor[string](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Accounts.ListAccounts(ctx, store.AccountFilter{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return &accountListOut{Body: newList(items, next)}, nil
}

func (s *server) getAccount(ctx context.Context, in *struct{ AccountName }) (*accountOut, error) {
	account, err := s.cfg.Accounts.Account(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &accountOut{Body: account}, nil
}

func (s *server) setAccount(ctx context.Context, in *struct {
	AccountName

	Body accountSet
},
) (*accountOut, error) {
	b := in.Body
	account, err := s.cfg.Accounts.SetAccount(ctx, in.Name, store.AccountPatch{
		ClientID: b.ClientID, ClientSecret: b.ClientSecret, RefreshToken: b.RefreshToken,
		Region: b.Region, APIURL: b.APIURL, TokenURL: b.TokenURL, Rate: b.Rate, Burst: b.Burst,
		LinkMode: (*fleet.LinkMode)(b.LinkMode), CodeURL: b.CodeURL,
		RedirectURIs: b.RedirectURIs, ProtectedSkills: b.ProtectedSkills, Countries: b.Countries, Reason: b.Reason,
	}, actor(ctx))
	if err != nil {
		return nil, err
	}
	return &accountOut{Body: account}, nil
}

func (s *server) deleteAccount(ctx context.Context, in *struct {
	AccountName

	DeleteUnits bool   `query:"delete_units" doc:"Delete its units as well."`
	Reason      string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*struct{}, error) {
	return nil, s.cfg.Accounts.DeleteAccount(ctx, in.Name, in.DeleteUnits, in.Reason, actor(ctx))
}

func (s *server) checkAccount(ctx context.Context, in *struct{ AccountName }) (*accountCheckOut, error) {
	check, err := s.cfg.Checker.Check(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &accountCheckOut{Body: check}, nil
}
