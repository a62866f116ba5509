package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fleetd/internal/fleet"
)

type actorKey struct{}

// actor is who makes the call. Every handler runs behind authenticate.
func actor(ctx context.Context) fleet.Actor {
	a, _ := ctx.Value(actorKey{}).(fleet.Actor)
	return a
}

// authenticate lets through only calls with a live bearer token whose role allows
// what the operation needs.
func (s *server) authenticate(need fleet.Role) func(huma.Context, func(huma.Context)) {
	return func(hctx huma.Context, next func(huma.Context)) {
		ctx := hctx.Context()
		token, ok := bearer(hctx.Header("Authorization"))
		if !ok {
			s.refuse(hctx, &fleet.Error{
				Code:    fleet.CodeUnauthenticated,
				Message: "the call has no bearer token; send `Authorization: Bearer TOKEN` (fleetctl: --token or FLEETCTL_TOKEN)",
			})
			return
		}
		a, err := s.cfg.Tokens.Authenticate(ctx, token)
		if err != nil {
			s.refuse(hctx, err)
			return
		}
		if !a.Role.Allows(need) {
			s.refuse(hctx, &fleet.Error{
				Code:    fleet.CodeForbidden,
				Message: "this call needs the role " + string(need) + ", and the token " + a.Name + " has the role " + string(a.Role),
			})
			return
		}
		next(huma.WithValue(hctx, actorKey{}, a))
	}
}

func (s *server) refuse(hctx huma.Context, err error) {
	p := s.failed(hctx.Context(), hctx.Operation().OperationID, err)
	if p.Status == http.StatusUnauthorized {
		hctx.SetHeader("WWW-Authenticate", `Bearer realm="fleetd"`)
	}
	hctx.SetHeader("Content-Type", problemType)
	hctx.SetStatus(p.Status)
	_ = s.api.Marshal(hctx.BodyWriter(), "application/json", p) // The client has gone when this fails.
}

// bearer takes the token out of an Authorization header; the scheme's name is
// case-insensitive (RFC 9110).
func bearer(header string) (string, bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}
