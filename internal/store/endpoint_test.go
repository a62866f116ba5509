package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/enablement"
	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

var _ enablement.Memory = (*store.Credential)(nil)

func TestTheEndpointOfACustomerIsKeptUntilTheCredentialIsSet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	p := developer()
	p.Kind, p.VendorID = fleet.CredentialCustomer, ""
	_, err := f.SetCredential(t.Context(), "acme", p, f.by)
	require.NoError(t, err)
	c := f.Credential(f.accountID(t, "acme"), string(fleet.CredentialCustomer))
	is := func(want string) {
		t.Helper()
		got, err := c.Endpoint(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	const na, eu = "https://api.amazonalexa.com", "https://api.eu.amazonalexa.com"
	is("")
	require.NoError(t, c.RememberEndpoint(t.Context(), "", eu))
	is(eu)
	require.NoError(t, c.RememberEndpoint(t.Context(), "", na))
	is(eu) // another call knew better by then
	require.NoError(t, c.RememberEndpoint(t.Context(), eu, ""))
	is("")
	require.NoError(t, c.RememberEndpoint(t.Context(), "", na))

	enterprise, err := f.Credential(f.accountID(t, "acme"), "enterprise").Endpoint(t.Context())
	require.NoError(t, err)
	require.Empty(t, enterprise)

	_, err = f.SetCredential(t.Context(), "acme", p, f.by)
	require.NoError(t, err)
	is("") // it may be another customer's credential

	require.NoError(t, f.DeleteCredential(t.Context(), "acme", fleet.CredentialCustomer, "", f.by))
	_, err = c.Endpoint(t.Context())
	require.ErrorContains(t, err, "no such credential any more")
	require.NoError(t, c.RememberEndpoint(t.Context(), "", na), "nobody is left to remember it for")
}
