package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestATokenAuthenticatesUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)

	token, secret, err := f.CreateToken(t.Context(), store.TokenParams{Name: "ci", Role: fleet.RoleOperator}, f.by, store.Idempotency{})
	require.NoError(t, err)
	require.Equal(t, "live", token.State)
	require.True(t, strings.HasPrefix(secret, "fleet_"))
	require.Len(t, secret, len("fleet_")+43)
	require.Zero(t, f.count(t, "SELECT count(*) FROM tokens WHERE encode(hash, 'escape') LIKE '%' || $1 || '%'", secret))

	who, err := f.Authenticate(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, fleet.Actor{Name: "ci", Role: fleet.RoleOperator}, who)

	_, err = f.RevokeToken(t.Context(), "ci", "left", f.by)
	require.NoError(t, err)
	_, err = f.Authenticate(t.Context(), secret)
	require.Equal(t, fleet.CodeUnauthenticated, asFleet(t, err).Code)
	require.Contains(t, asFleet(t, err).Message, "revoked")

	_, err = f.RevokeToken(t.Context(), "ci", "", f.by)
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
	_, _, err = f.CreateToken(t.Context(), store.TokenParams{Name: "ci", Role: fleet.RoleViewer}, f.by, store.Idempotency{})
	require.NoError(t, err, "the name is free again")
}

func TestAuthenticateRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, expired, err := f.CreateToken(t.Context(), store.TokenParams{Name: "old", Role: fleet.RoleAdmin, TTL: time.Hour}, f.by, store.Idempotency{})
	require.NoError(t, err)
	_, err = f.pool.Exec(t.Context(), "UPDATE tokens SET expires_at = now() WHERE name = 'old'")
	require.NoError(t, err)

	for name, secret := range map[string]string{
		"nothing":          "",
		"another service":  "ghp_0123456789",
		"an unknown token": "fleet_" + strings.Repeat("A", 43),
		"an expired token": expired,
	} {
		_, err := f.Authenticate(t.Context(), secret)
		require.Equal(t, fleet.CodeUnauthenticated, asFleet(t, err).Code, name)
		if secret != "" {
			require.NotContains(t, err.Error(), secret, name)
		}
	}
}

func TestUseOfATokenIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, secret, err := f.CreateToken(t.Context(), store.TokenParams{Name: "ci", Role: fleet.RoleViewer}, f.by, store.Idempotency{})
	require.NoError(t, err)
	used := func() time.Time {
		_, err := f.Authenticate(t.Context(), secret)
		require.NoError(t, err)
		tokens, _, err := f.ListTokens(t.Context(), store.TokenFilter{})
		require.NoError(t, err)
		return *tokens[0].LastUsedAt
	}

	first := used()
	require.Equal(t, first, used())
	_, err = f.pool.Exec(t.Context(), "UPDATE tokens SET last_used_at = now() - interval '61 seconds'")
	require.NoError(t, err)
	require.True(t, used().After(first))
}

func TestCreateTokenRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, _, err := f.CreateToken(t.Context(), store.TokenParams{Name: "taken", Role: fleet.RoleViewer}, f.by, store.Idempotency{})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		p     store.TokenParams
		field string
		code  fleet.Code
	}{
		"no name":         {store.TokenParams{Role: fleet.RoleViewer}, "name", fleet.CodeInvalid},
		"a name in use":   {store.TokenParams{Name: "taken", Role: fleet.RoleViewer}, "name", fleet.CodeConflict},
		"fleetd's name":   {store.TokenParams{Name: "system", Role: fleet.RoleViewer}, "name", fleet.CodeInvalid},
		"an unknown role": {store.TokenParams{Name: "x", Role: "root"}, "role", fleet.CodeInvalid},
		"a negative life": {store.TokenParams{Name: "x", Role: fleet.RoleViewer, TTL: -1}, "ttl", fleet.CodeInvalid},
	} {
		_, _, err := f.CreateToken(t.Context(), c.p, f.by, store.Idempotency{})
		e := asFleet(t, err)
		require.Equal(t, c.field, e.Field, name)
		require.Equal(t, c.code, e.Code, name)
	}
}

func TestARepeatedTokenCreateCannotShowTheSecretAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	_, _, err := f.CreateToken(t.Context(), store.TokenParams{Name: "ci", Role: fleet.RoleViewer}, f.by, once)
	require.NoError(t, err)

	_, secret, err := f.CreateToken(t.Context(), store.TokenParams{Name: "ci", Role: fleet.RoleViewer}, f.by, once)

	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
	require.Contains(t, asFleet(t, err).Message, "shown only once")
	require.Empty(t, secret)
}

func TestListTokensLeavesOutTheDead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, name := range []string{"a", "b", "c"} {
		_, _, err := f.CreateToken(t.Context(), store.TokenParams{Name: name, Role: fleet.RoleViewer}, f.by, store.Idempotency{})
		require.NoError(t, err)
	}
	_, err := f.RevokeToken(t.Context(), "b", "", f.by)
	require.NoError(t, err)

	live, _, err := f.ListTokens(t.Context(), store.TokenFilter{})
	require.NoError(t, err)
	all, next, err := f.ListTokens(t.Context(), store.TokenFilter{All: true, Limit: 2})
	require.NoError(t, err)
	rest, end, err := f.ListTokens(t.Context(), store.TokenFilter{All: true, Limit: 2, Before: next})
	require.NoError(t, err)

	require.Len(t, live, 2)
	require.Equal(t, []string{"c", "b", "a"}, []string{all[0].Name, all[1].Name, rest[0].Name})
	require.Equal(t, "revoked", all[1].State)
	require.Zero(t, end)
}
