package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/store"
)

func TestCredentialLeaseIsForOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	cred := f.Credential(f.accountID(t, "acme"), "enterprise")

	first, err := cred.AcquireLease(t.Context(), time.Minute)
	require.NoError(t, err)
	second, err := cred.AcquireLease(t.Context(), time.Minute)
	require.NoError(t, err)
	require.True(t, first)
	require.False(t, second)

	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	require.NoError(t, cred.Save(t.Context(), lwa.SaveParams{
		AccessToken: "Atza|1", ExpiresAt: expires, RefreshToken: "Atzr|2", RefreshTokenUsed: "Atzr|acme",
	}))
	third, err := cred.AcquireLease(t.Context(), time.Nanosecond)
	require.NoError(t, err)
	require.True(t, third, "saving ends the lease")
	fourth, err := cred.AcquireLease(t.Context(), time.Minute)
	require.NoError(t, err)
	require.True(t, fourth, "a lease ends by itself")

	got, err := cred.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Atza|1", got.AccessToken)
	require.Equal(t, "Atzr|2", got.RefreshToken)
	require.Equal(t, expires, got.ExpiresAt.UTC())
}

func TestARefusedCredentialStopsTheAccountUntilItIsSet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	cred := f.Credential(f.accountID(t, "acme"), "enterprise")

	require.NoError(t, cred.MarkUnauthorized(t.Context(), "invalid_grant", "set a new refresh token", "Atzr|acme"))

	a, err := f.Account(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, "unauthorized", a.State)
	require.Equal(t, "invalid_grant: set a new refresh token", a.StateReason)
	got, err := cred.Load(t.Context())
	require.NoError(t, err)
	require.True(t, got.Unauthorized)
	require.Equal(t, "invalid_grant", got.UnauthorizedReason)

	a, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{RefreshToken: new("Atzr|new")}, f.by)
	require.NoError(t, err)
	require.Equal(t, "ready", a.State)
	require.Empty(t, a.StateReason)
}

func TestWhatTheOperatorSetIsNotOverwrittenByALateRefresh(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	cred := f.Credential(f.accountID(t, "acme"), "enterprise")
	_, err := f.SetAccount(t.Context(), "acme", store.AccountPatch{RefreshToken: new("Atzr|new")}, f.by)
	require.NoError(t, err)

	require.NoError(t, cred.Save(t.Context(), lwa.SaveParams{
		AccessToken: "Atza|old", ExpiresAt: time.Now().Add(time.Hour), RefreshToken: "Atzr|rotated", RefreshTokenUsed: "Atzr|acme",
	}))
	require.NoError(t, cred.MarkUnauthorized(t.Context(), "invalid_grant", "late", "Atzr|acme"))

	got, err := cred.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Atzr|new", got.RefreshToken)
	require.Empty(t, got.AccessToken)
	require.False(t, got.Unauthorized)
}

func TestACredentialThatIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)

	_, err := f.Credential(42, "enterprise").Load(t.Context())

	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}
