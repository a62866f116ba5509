package store_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/store"
)

func developer() store.CredentialParams {
	return store.CredentialParams{
		Kind: fleet.CredentialDeveloper, ClientID: "dev-client", ClientSecret: "dev-secret", RefreshToken: "Atzr|dev", VendorID: "M2VENDOR",
	}
}

func TestACredentialIsAddedSealedWithABudgetOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")

	got, err := f.SetCredential(t.Context(), "acme", developer(), f.by)

	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), got.UpdatedAt, time.Minute)
	want := store.AccountCredential{
		Kind: fleet.CredentialDeveloper, ClientID: "dev-client", VendorID: "M2VENDOR", State: "ready",
		Budget: store.AccountBudget{Rate: 10, Burst: 5}, UpdatedAt: got.UpdatedAt,
	}
	require.Equal(t, want, got)
	list, err := f.Credentials(t.Context(), "acme", "")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, want, list[0])
	require.Equal(t, fleet.CredentialEnterprise, list[1].Kind)
	require.Equal(t, "client-acme", list[1].ClientID)
	require.Equal(t, 2, f.count(t, "SELECT count(*) FROM budgets"))
	list, err = f.Credentials(t.Context(), "acme", fleet.CredentialDeveloper)
	require.NoError(t, err)
	require.Equal(t, []store.AccountCredential{want}, list)
	list, err = f.Credentials(t.Context(), "acme", fleet.CredentialCustomer)
	require.NoError(t, err)
	require.Empty(t, list)

	id := f.accountID(t, "acme")
	cred, err := f.Credential(id, "developer").Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, lwa.Credential{ClientID: "dev-client", ClientSecret: "dev-secret", RefreshToken: "Atzr|dev"}, cred)
	enterprise, err := f.Credential(id, "enterprise").Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Atzr|acme", enterprise.RefreshToken, "the other one is left alone")
	var secret, refresh []byte
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT client_secret, refresh_token FROM credentials WHERE kind = 'developer'").Scan(&secret, &refresh))
	require.False(t, bytes.Contains(secret, []byte("dev-secret")))
	require.False(t, bytes.Contains(refresh, []byte("Atzr|dev")))
}

func TestACredentialSetAgainReplacesTheOneOfItsKind(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	first := developer()
	first.Rate, first.Burst = new("40"), new(7)
	_, err := f.SetCredential(t.Context(), "acme", first, f.by)
	require.NoError(t, err)
	cred := f.Credential(f.accountID(t, "acme"), "developer")
	require.NoError(t, cred.Save(t.Context(), lwa.SaveParams{
		AccessToken: "Atza|1", ExpiresAt: time.Now().Add(time.Hour), RefreshTokenUsed: "Atzr|dev",
	}))
	require.NoError(t, cred.MarkUnauthorized(t.Context(), "invalid_grant", "set a new one", "Atzr|dev"))
	got, err := f.AccountCredential(t.Context(), "acme", fleet.CredentialDeveloper)
	require.NoError(t, err)
	require.Equal(t, "unauthorized", got.State)
	require.Equal(t, "invalid_grant: set a new one", got.StateReason)
	a, err := f.Account(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, "ready", a.State, "the account's homes are not held up by it")

	next := developer()
	next.RefreshToken, next.VendorID = "Atzr|new", "M3"
	for range 2 {
		got, err = f.SetCredential(t.Context(), "acme", next, f.by)
		require.NoError(t, err)
		require.Equal(t, "ready", got.State)
		require.Empty(t, got.StateReason)
		require.Equal(t, "M3", got.VendorID)
		limit := 40.0
		require.Equal(t, store.AccountBudget{Rate: 40, Limit: &limit, Burst: 7}, got.Budget, "a budget that is not named stays")
	}
	loaded, err := cred.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Atzr|new", loaded.RefreshToken)
	require.Empty(t, loaded.AccessToken, "what the old one was granted is not used")

	next.Rate = new("auto")
	got, err = f.SetCredential(t.Context(), "acme", next, f.by)
	require.NoError(t, err)
	require.Equal(t, store.AccountBudget{Rate: 40, Burst: 5}, got.Budget)
	require.Equal(t, 2, f.count(t, "SELECT count(*) FROM credentials"))
	require.Equal(t, 2, f.count(t, "SELECT count(*) FROM budgets"))
}

func TestTheEnterpriseCredentialCanBeSetEitherWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	p := developer()
	p.Kind, p.VendorID = fleet.CredentialEnterprise, ""
	before, err := f.ListAccountWork(t.Context())
	require.NoError(t, err)

	_, err = f.SetCredential(t.Context(), "acme", p, f.by)
	require.NoError(t, err)

	after, err := f.ListAccountWork(t.Context())
	require.NoError(t, err)
	require.True(t, after[0].UpdatedAt.After(before[0].UpdatedAt), "the processes at work take it up")
	a, err := f.SetAccount(t.Context(), "acme", store.AccountPatch{RefreshToken: new("Atzr|later")}, f.by)
	require.NoError(t, err)
	require.Equal(t, "dev-client", a.ClientID)
	cred, err := f.Credential(f.accountID(t, "acme"), "enterprise").Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "dev-secret", cred.ClientSecret)
	require.Equal(t, "Atzr|later", cred.RefreshToken)
}

func TestEveryProcessHearsOfACredential(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	conn, err := pgx.ConnectConfig(t.Context(), f.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "LISTEN "+store.ChannelAccount)
	require.NoError(t, err)

	_, err = f.SetCredential(t.Context(), "acme", developer(), f.by)
	require.NoError(t, err)
	_, err = conn.WaitForNotification(t.Context())
	require.NoError(t, err)

	require.NoError(t, f.DeleteCredential(t.Context(), "acme", fleet.CredentialDeveloper, "", f.by))
	_, err = conn.WaitForNotification(t.Context())
	require.NoError(t, err)
}

func TestSetCredentialRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	for name, c := range map[string]struct {
		change func(*store.CredentialParams)
		field  string
		says   string
	}{
		"an unknown kind":              {func(p *store.CredentialParams) { p.Kind = "partner" }, "kind", "enterprise, developer or customer"},
		"no kind":                      {func(p *store.CredentialParams) { p.Kind = "" }, "kind", "enterprise, developer or customer"},
		"a developer without a vendor": {func(p *store.CredentialParams) { p.VendorID = "" }, "vendor_id", "needs the ID of the vendor"},
		"a customer with a vendor":     {func(p *store.CredentialParams) { p.Kind = fleet.CredentialCustomer }, "vendor_id", "has no vendor ID"},
		"an enterprise with a vendor":  {func(p *store.CredentialParams) { p.Kind = fleet.CredentialEnterprise }, "vendor_id", "has no vendor ID"},
		"a vendor that is none":        {func(p *store.CredentialParams) { p.VendorID = "M2 X" }, "vendor_id", "white space"},
		"a vendor without end":         {func(p *store.CredentialParams) { p.VendorID = strings.Repeat("M", 256) }, "vendor_id", "1 to 255"},
		"no client ID":                 {func(p *store.CredentialParams) { p.ClientID = "" }, "client_id", "empty"},
		"an empty secret":              {func(p *store.CredentialParams) { p.ClientSecret = "" }, "client_secret", "empty"},
		"a token with a line break":    {func(p *store.CredentialParams) { p.RefreshToken = "Atzr|a\nb" }, "refresh_token", "white space"},
		"a rate of zero":               {func(p *store.CredentialParams) { p.Rate = new("0") }, "rate", "send nothing"},
		"a burst of zero":              {func(p *store.CredentialParams) { p.Burst = new(0) }, "burst", "use 1 to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := developer()
			c.change(&p)

			_, err := f.SetCredential(t.Context(), "acme", p, f.by)

			e := asFleet(t, err)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.Equal(t, c.field, e.Field)
			require.Contains(t, e.Message, c.says)
			require.NotContains(t, err.Error(), "dev-secret")
			require.NotContains(t, err.Error(), "Atzr|")
		})
	}
	_, err := f.SetCredential(t.Context(), "nobody", developer(), f.by)
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

// The schema is the last validator.
func TestTheSchemaTiesTheVendorToTheKind(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.SetCredential(t.Context(), "acme", developer(), f.by)
	require.NoError(t, err)
	for _, change := range []string{
		"UPDATE credentials SET vendor_id = '' WHERE kind = 'developer'",
		"UPDATE credentials SET vendor_id = 'M2' WHERE kind = 'enterprise'",
	} {
		_, err := f.pool.Exec(t.Context(), change)
		require.ErrorContains(t, err, "credentials_vendor_id_check")
	}
}

func TestDeleteCredential(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.SetCredential(t.Context(), "acme", developer(), f.by)
	require.NoError(t, err)

	require.NoError(t, f.DeleteCredential(t.Context(), "acme", fleet.CredentialDeveloper, "left", f.by))

	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM credentials"))
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM budgets"))
	_, err = f.AccountCredential(t.Context(), "acme", fleet.CredentialDeveloper)
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
	for name, c := range map[string]struct {
		account string
		kind    fleet.CredentialKind
		code    fleet.Code
		says    string
	}{
		"one that is gone":     {"acme", fleet.CredentialDeveloper, fleet.CodeNotFound, "fleetctl account credential list acme"},
		"the enterprise one":   {"acme", fleet.CredentialEnterprise, fleet.CodeConflict, "fleetctl account delete acme"},
		"of no account":        {"nobody", fleet.CredentialCustomer, fleet.CodeNotFound, "fleetctl account list"},
		"one that cannot be":   {"acme", "partner", fleet.CodeInvalid, "use enterprise, developer or customer"},
		"enterprise of no-one": {"nobody", fleet.CredentialEnterprise, fleet.CodeNotFound, "there is no account"},
	} {
		err := f.DeleteCredential(t.Context(), c.account, c.kind, "", f.by)
		e := asFleet(t, err)
		require.Equal(t, c.code, e.Code, name)
		require.Contains(t, e.Message, c.says, name)
	}
	_, err = f.Credentials(t.Context(), "nobody", "")
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM log_entries WHERE action = 'credential.delete' AND reason = 'left'"))
	require.NoError(t, f.DeleteAccount(t.Context(), "acme", false, "", f.by))
	require.Zero(t, f.count(t, "SELECT count(*) FROM credentials"))
}

func TestTheLogTellsOfACredentialWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	p := developer()
	p.Rate, p.Reason = new("5"), "for the skills"
	_, err := f.SetCredential(t.Context(), "acme", p, f.by)
	require.NoError(t, err)

	log, _, err := f.ListLog(t.Context(), store.LogFilter{Action: "credential.set"})

	require.NoError(t, err)
	require.Len(t, log, 1)
	require.Equal(t, "account/acme", log[0].Object)
	require.Equal(t, "for the skills", log[0].Reason)
	require.Equal(t, map[string]any{
		"kind": "developer", "vendor_id": "M2VENDOR", "rate": "5",
		"client_id": "set", "client_secret": "set", "refresh_token": "set",
	}, log[0].Detail)
}
