package store_test

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestCreateAccountFillsInDefaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)

	a := f.account(t, "acme")

	require.Equal(t, "na", a.Region)
	require.Equal(t, "https://api.amazonalexa.com", a.APIURL)
	require.Equal(t, store.DefaultTokenURL, a.TokenURL)
	require.Equal(t, fleet.LinkNone, a.LinkMode)
	require.Equal(t, []string{}, a.RedirectURIs)
	require.Equal(t, []string{}, a.ProtectedSkills)
	require.Equal(t, "ready", a.State)
	require.Equal(t, store.AccountBudget{Rate: 10, Burst: 5}, a.Budget)
}

func TestCreateAccountTakesRegionRateAndLinks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := plainAccount("acme")
	p.Region, p.Rate, p.LinkMode = "fe", "201", fleet.LinkCodes
	p.CodeURL, p.RedirectURIs = "http://127.0.0.1:9000/codes", []string{"https://pitangui.amazon.com/api/skill/link/V"}

	a, _, err := f.CreateAccount(t.Context(), p, f.by, store.Idempotency{})

	require.NoError(t, err)
	require.Equal(t, "https://api.fe.amazonalexa.com", a.APIURL)
	require.Equal(t, 11, a.Budget.Burst) // 5 % of 201, rounded up
	require.InDelta(t, 201, *a.Budget.Limit, 0)
	require.InDelta(t, 201, a.Budget.Rate, 0)
}

func TestCreateAccountRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "taken")
	for name, c := range map[string]struct {
		change func(*store.AccountParams)
		field  string
		says   string
		code   fleet.Code
	}{
		"a name in use":               {func(p *store.AccountParams) { p.Name = "taken" }, "name", "exists already", fleet.CodeConflict},
		"a name that is no name":      {func(p *store.AccountParams) { p.Name = "Acme Inc" }, "name", "lower-case", ""},
		"a rate of zero":              {func(p *store.AccountParams) { p.Rate = "0" }, "rate", "send nothing", ""},
		"a rate below zero":           {func(p *store.AccountParams) { p.Rate = "-3" }, "rate", "send nothing", ""},
		"a rate that is no number":    {func(p *store.AccountParams) { p.Rate = "fast" }, "rate", "use auto", ""},
		"a rate that is not a number": {func(p *store.AccountParams) { p.Rate = "NaN" }, "rate", "use auto", ""},
		"an endless rate":             {func(p *store.AccountParams) { p.Rate = "+Inf" }, "rate", "out of reach", ""},
		"a burst below one":           {func(p *store.AccountParams) { p.Burst = -1 }, "burst", "use 1 to", ""},
		"an unknown region":           {func(p *store.AccountParams) { p.Region = "sa" }, "region", "eu, fe, na", ""},
		"plain http elsewhere":        {func(p *store.AccountParams) { p.APIURL = "http://api.example.com" }, "api_url", "in clear", ""},
		"an address that is none":     {func(p *store.AccountParams) { p.TokenURL = "api.amazon.com/token" }, "token_url", "give one like", ""},
		"a user in an address":        {func(p *store.AccountParams) { p.APIURL = "https://me:pw@api.example.com" }, "api_url", "user or password", ""},
		"codes without a code server": {func(p *store.AccountParams) { p.LinkMode = fleet.LinkCodes }, "code_url", "needs a code_url", ""},
		"codes without redirect URIs": {func(p *store.AccountParams) { p.LinkMode, p.CodeURL = fleet.LinkCodes, "https://c.example" }, "redirect_uris", "at least one", ""},
		"a redirect URI that is none": {func(p *store.AccountParams) { p.RedirectURIs = []string{"/callback"} }, "redirect_uris", "absolute", ""},
		"an unknown link mode":        {func(p *store.AccountParams) { p.LinkMode = "magic" }, "link_mode", "none, delegated or codes", ""},
		"an empty secret":             {func(p *store.AccountParams) { p.ClientSecret = "" }, "client_secret", "empty", ""},
		"a secret with a line break":  {func(p *store.AccountParams) { p.RefreshToken = "Atzr|a\nb" }, "refresh_token", "white space", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plainAccount("acme")
			c.change(&p)

			_, _, err := f.CreateAccount(t.Context(), p, f.by, store.Idempotency{})

			e := asFleet(t, err)
			if c.code == "" {
				c.code = fleet.CodeInvalid
			}
			require.Equal(t, c.code, e.Code)
			require.Equal(t, c.field, e.Field)
			require.Contains(t, e.Message, c.says)
			require.NotContains(t, err.Error(), "secret-")
			require.NotContains(t, err.Error(), "Atzr|")
		})
	}
}

func TestCreateAccountWithAKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	once := store.Idempotency{Key: "k1", Hash: []byte("hash of the request")}
	first, again, err := f.CreateAccount(t.Context(), plainAccount("acme"), f.by, once)
	require.NoError(t, err)
	require.False(t, again)

	second, again, err := f.CreateAccount(t.Context(), plainAccount("acme"), f.by, once)
	require.NoError(t, err)
	require.True(t, again)
	require.Equal(t, first, second)

	once.Hash = []byte("another request")
	_, _, err = f.CreateAccount(t.Context(), plainAccount("other"), f.by, once)
	require.Equal(t, fleet.CodeInvalid, asFleet(t, err).Code)
	require.Contains(t, asFleet(t, err).Message, "use a new key")

	_, _, err = f.CreateAccount(t.Context(), plainAccount("other"), fleet.Actor{Name: "bob"}, once)
	require.NoError(t, err, "another actor's keys are another set")
	require.Equal(t, 2, f.count(t, "SELECT count(*) FROM log_entries WHERE action = 'account.create'"))
}

func TestSetAccountChangesOnlyWhatIsNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	before := f.account(t, "acme")

	after, err := f.SetAccount(t.Context(), "acme", store.AccountPatch{Rate: new("50"), Reason: "they told us"}, f.by)

	require.NoError(t, err)
	want := before
	limit := 50.0
	want.Budget = store.AccountBudget{Rate: 50, Limit: &limit, Burst: 3}
	want.UpdatedAt = after.UpdatedAt
	require.Equal(t, want, after)

	after, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{Rate: new("auto"), Region: new("eu")}, f.by)
	require.NoError(t, err)
	require.Nil(t, after.Budget.Limit)
	require.InDelta(t, 50, after.Budget.Rate, 0, "auto goes on from the rate it finds")
	require.Equal(t, "https://api.eu.amazonalexa.com", after.APIURL)

	_, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{}, f.by)
	require.Contains(t, asFleet(t, err).Message, "nothing to change")
	_, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{Rate: new("0")}, f.by)
	require.Equal(t, "rate", asFleet(t, err).Field)
	_, err = f.SetAccount(t.Context(), "nobody", store.AccountPatch{Rate: new("1")}, f.by)
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

func TestSetAccountTellsEveryProcess(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	conn, err := pgx.ConnectConfig(t.Context(), f.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for _, channel := range []string{store.ChannelAccount, store.ChannelBudget} {
		_, err := conn.Exec(t.Context(), "LISTEN "+channel)
		require.NoError(t, err)
	}

	_, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{Burst: new(7)}, f.by)
	require.NoError(t, err)

	heard := map[string]bool{}
	for range 2 {
		n, err := conn.WaitForNotification(t.Context())
		require.NoError(t, err)
		heard[n.Channel] = true
	}
	require.Equal(t, map[string]bool{store.ChannelAccount: true, store.ChannelBudget: true}, heard)
}

func TestSecretsRestSealed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")

	var secret, refresh []byte
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT client_secret, refresh_token FROM credentials").Scan(&secret, &refresh))

	require.False(t, bytes.Contains(secret, []byte("secret-acme")))
	require.False(t, bytes.Contains(refresh, []byte("Atzr|acme")))
	cred, err := f.Credential(f.accountID(t, "acme"), "enterprise").Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "secret-acme", cred.ClientSecret)
	require.Equal(t, "Atzr|acme", cred.RefreshToken)
}

func TestASealedSecretDoesNotOpenInAnotherRow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	f.account(t, "other")
	_, err := f.pool.Exec(t.Context(), `
		UPDATE credentials SET refresh_token = (SELECT refresh_token FROM credentials WHERE client_id = 'client-acme')
		WHERE client_id = 'client-other'`)
	require.NoError(t, err)

	_, err = f.Credential(f.accountID(t, "other"), "enterprise").Load(t.Context())

	require.ErrorContains(t, err, "another row")
}

func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, homes(3)...)
	require.NoError(t, err)

	err = f.DeleteAccount(t.Context(), "acme", false, "", f.by)
	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
	require.Contains(t, asFleet(t, err).Message, "delete_units=true")

	require.NoError(t, f.DeleteAccount(t.Context(), "acme", true, "sold", f.by))
	require.Zero(t, f.count(t, "SELECT count(*) FROM accounts"))
	require.Zero(t, f.count(t, "SELECT count(*) FROM units"))
	require.Zero(t, f.count(t, "SELECT count(*) FROM credentials"))
	require.Zero(t, f.count(t, "SELECT count(*) FROM budgets"))

	err = f.DeleteAccount(t.Context(), "acme", true, "", f.by)
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

func TestListAccountsInPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, name := range []string{"c", "a", "b"} {
		f.account(t, name)
	}

	first, next, err := f.ListAccounts(t.Context(), store.AccountFilter{Limit: 2})
	require.NoError(t, err)
	second, end, err := f.ListAccounts(t.Context(), store.AccountFilter{Limit: 2, After: next})
	require.NoError(t, err)

	require.Len(t, first, 2)
	require.Equal(t, "a", first[0].Name)
	require.Equal(t, "b", next)
	require.Len(t, second, 1)
	require.Empty(t, end)
}
