package server

import (
	"context"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// TokenStore is what authentication and the token operations need.
type TokenStore interface {
	// Authenticate says whose token this is. Any token that is not live is a
	// *fleet.Error of the code unauthenticated.
	Authenticate(ctx context.Context, token string) (fleet.Actor, error)
	// CreateToken makes a token and returns it with its secret, which nobody can
	// read again.
	CreateToken(ctx context.Context, p store.TokenParams, by fleet.Actor, once store.Idempotency) (token store.Token, secret string, err error)
	ListTokens(ctx context.Context, f store.TokenFilter) ([]store.Token, int64, error)
	RevokeToken(ctx context.Context, name, reason string, by fleet.Actor) (store.Token, error)
}

// tokenCreate is the body of createToken.
type tokenCreate struct {
	Name   string `json:"name" minLength:"1" maxLength:"100" doc:"Who or what will use it; the log shows it."`
	Role   string `json:"role" enum:"viewer,operator,admin" doc:"viewer reads, operator works, admin manages accounts and tokens as well."`
	TTL    string `json:"ttl,omitempty" maxLength:"30" doc:"How long it lives: 720h. Forever when not given."`
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// newToken is a token with its secret.
type newToken struct {
	store.Token

	Secret string `json:"secret" doc:"What goes behind Bearer. It is shown this once: only its hash is kept."`
}

type tokenCreated struct{ Body newToken }

type tokenOut struct{ Body store.Token }

type tokenListOut struct{ Body *list[store.Token] }

func (s *server) registerTokens() {
	const tag = "tokens"
	register(s, operation{
		id: "createToken", method: http.MethodPost, path: "/tokens", tag: tag, role: fleet.RoleAdmin, status: http.StatusCreated,
		summary: "Create a token",
		text:    "A repeated call with the same Idempotency-Key is a conflict: the secret was shown once and is not kept.",
	}, s.createToken)
	register(s, operation{
		id: "listTokens", method: http.MethodGet, path: "/tokens", tag: tag, role: fleet.RoleAdmin,
		summary: "List tokens, newest first, without their secrets",
	}, s.listTokens)
	register(s, operation{
		id: "revokeToken", method: http.MethodPost, path: "/tokens/{name}/revoke", tag: tag, role: fleet.RoleAdmin,
		summary: "Revoke a token",
		text:    "The next call with it is refused.",
	}, s.revokeToken)
}

func (s *server) createToken(ctx context.Context, in *struct {
	Creating

	Body tokenCreate
},
) (*tokenCreated, error) {
	ttl, err := duration("ttl", in.Body.TTL)
	if err != nil {
		return nil, err
	}
	if in.Body.TTL != "" && ttl == 0 {
		return nil, fleet.Invalidf("ttl", "a token that lives for 0 is of no use; leave ttl out for one that does not expire")
	}
	once, err := in.idempotency("createToken", in.Body)
	if err != nil {
		return nil, err
	}
	token, secret, err := s.cfg.Tokens.CreateToken(ctx, store.TokenParams{
		Name: in.Body.Name, Role: fleet.Role(in.Body.Role), TTL: ttl, Reason: in.Body.Reason,
	}, actor(ctx), once)
	if err != nil {
		return nil, err
	}
	return &tokenCreated{Body: newToken{Token: token, Secret: secret}}, nil
}

func (s *server) listTokens(ctx context.Context, in *struct {
	Paging

	All bool `query:"all" doc:"Revoked and expired ones too."`
},
) (*tokenListOut, error) {
	before, err := decodeCursor[int64](in.Cursor)
	if err != nil {
		return nil, err
	}
	items, next, err := s.cfg.Tokens.ListTokens(ctx, store.TokenFilter{All: in.All, Before: before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return &tokenListOut{Body: newList(items, next)}, nil
}

func (s *server) revokeToken(ctx context.Context, in *struct {
	Name string `path:"name" maxLength:"100" doc:"The token's name."`
	Body *reasonBody
},
) (*tokenOut, error) {
	token, err := s.cfg.Tokens.RevokeToken(ctx, in.Name, in.Body.text(), actor(ctx))
	if err != nil {
		return nil, err
	}
	return &tokenOut{Body: token}, nil
}
