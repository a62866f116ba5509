package jobs

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/ratelimit"
	"fleetd/internal/remote"
	"fleetd/internal/store"
)

// What is told of one credential's budget takes no slots from the others.
func TestOnlyTheBudgetThatIsToldOfLooksAgain(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme", func(p *store.AccountParams) { p.Rate, p.Burst = "1", 100 })
	w.developer()
	r := w.idle()
	require.NoError(t, r.Accounts.Reload(t.Context()))
	acc := r.Accounts.ByName("acme")
	slot, err := acc.Budget.Take(t.Context(), remote.ClassRollout)
	require.NoError(t, err)

	id := strconv.FormatInt(acc.ID, 10)
	r.told(store.ChannelBudget, id+" developer")
	require.True(t, acc.Budget.Holds(slot), "the developer's client was pushed back")
	r.told(store.ChannelBudget, id+" enterprise")
	require.False(t, acc.Budget.Holds(slot))
	slot, err = acc.Budget.Take(t.Context(), remote.ClassRollout)
	require.NoError(t, err)
	r.told("", "")
	require.False(t, acc.Budget.Holds(slot), "anything may have been missed")
}

// The customer's clients find the endpoint, remember it in the database, and send the
// customer's own token.
func TestACustomerCredentialRemembersItsEndpoint(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/auth/o2/token":
			_ = r.ParseForm()
			_, _ = io.WriteString(w, `{"access_token":"Atza|`+r.PostFormValue("client_id")+`","token_type":"bearer","expires_in":3600}`)
			return
		case "/v1/alexaApiEndpoint":
			_, _ = io.WriteString(w, `{"endpoints":["http://`+r.Host+`/eu"]}`)
		default:
			_, _ = io.WriteString(w, `{"status":"ENABLED"}`)
		}
		asked <- strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + " " + r.URL.Path
	}))
	t.Cleanup(api.Close)
	w := newStore(t)
	w.url = api.URL
	w.account("acme")
	a, _ := newAccounts(t, w, nothing)

	_, err := a.Customer(t.Context(), "acme")
	require.ErrorContains(t, err, "fleetctl account credential set acme --kind customer")
	_, err = a.Customer(t.Context(), "nobody")
	require.ErrorContains(t, err, `there is no account "nobody"`)

	_, err = w.store.SetCredential(t.Context(), "acme", store.CredentialParams{
		Kind: fleet.CredentialCustomer, ClientID: "customer-client", ClientSecret: "s", RefreshToken: "Atzr|c",
	}, w.by)
	require.NoError(t, err)
	for range 2 {
		customer, err := a.Customer(t.Context(), "acme")
		require.NoError(t, err)
		result, err := customer.Enablement.Status(t.Context(), skill)
		require.NoError(t, err)
		require.Equal(t, api.URL+"/eu", result.Endpoint)
	}
	const path = "/eu/v1/users/~current/skills/" + skill + "/enablement"
	for _, want := range []string{"/v1/alexaApiEndpoint", path, path} {
		require.Equal(t, "Atza|customer-client "+want, <-asked)
	}
	require.Empty(t, asked)
	kept, err := w.store.Credential(a.ByName("acme").ID, "customer").Endpoint(t.Context())
	require.NoError(t, err)
	require.Equal(t, api.URL+"/eu", kept)
}

// No client of any credential sends a request that its own budget gave no slot for: once
// that budget is closed, nothing leaves.
func TestNoRequestWithoutASlotOfItsCredential(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/auth/o2/token" {
			_, _ = io.WriteString(w, `{"access_token":"Atza|x","token_type":"bearer","expires_in":3600}`)
			return
		}
		asked.Add(1)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"message":"no"}`)
	}))
	t.Cleanup(api.Close)
	w := newStore(t)
	w.url = api.URL
	w.account("acme")
	w.developer()
	w.customer()
	a, _ := newAccounts(t, w, nothing)
	require.NoError(t, a.Reload(t.Context()))
	acc := a.ByName("acme")
	dev, err := a.Developer(t.Context(), "acme")
	require.NoError(t, err)
	customer, err := a.Customer(t.Context(), "acme")
	require.NoError(t, err)
	ctx := t.Context()
	calls := map[string]func() error{
		"units":         func() error { _, err := acc.API.Get(ctx, "unit-1", skill, fleet.StageLive); return err },
		"audits":        func() error { _, err := acc.Audit.Get(ctx, "unit-1", skill, fleet.StageLive); return err },
		"manifests":     func() error { _, err := dev.Manifest.List(ctx, dev.VendorID); return err },
		"enablement":    func() error { _, err := dev.Enablement.Status(ctx, skill, fleet.StageLive); return err },
		"notifications": func() error { _, err := dev.Notifications.ListSubscribers(ctx, dev.VendorID); return err },
		"customer":      func() error { _, err := customer.Enablement.Status(ctx, skill); return err },
	}
	for name, call := range calls {
		before := asked.Load()
		require.Error(t, call(), name)
		require.Greater(t, asked.Load(), before, name) // and so its token is in hand
	}
	for _, access := range acc.accesses() {
		access.Budget.Close()
	}
	sent := asked.Load()
	for name, call := range calls {
		require.ErrorContains(t, call(), ratelimit.ErrClosed.Error(), name)
		require.Equal(t, sent, asked.Load(), name)
	}
}
