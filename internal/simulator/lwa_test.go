package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	form := refreshForm(simulator.DefaultRefreshToken)
	rec := c.lwa(form)
	got := decode[map[string]any](t, rec)
	require.Regexp(t, `^Atza\|.{350}`, got["access_token"])
	require.Equal(t, simulator.DefaultRefreshToken, got["refresh_token"])
	require.Equal(t, "bearer", got["token_type"])
	require.EqualValues(t, 3600, got["expires_in"])

	change := func(key, value string) url.Values {
		f := refreshForm(simulator.DefaultRefreshToken)
		f.Set(key, value)
		return f
	}
	for name, tc := range map[string]struct {
		form   url.Values
		status int
		err    string
	}{
		"wrong refresh token": {change("refresh_token", "Atzr|other"), 400, "invalid_grant"},
		"wrong secret":        {change("client_secret", "other"), 401, "invalid_client"},
		"wrong client":        {change("client_id", "other"), 401, "invalid_client"},
		"no secret":           {change("client_secret", ""), 400, "invalid_request"},
		"no grant":            {change("grant_type", ""), 400, "invalid_request"},
		"other grant":         {change("grant_type", "client_credentials"), 400, "unsupported_grant_type"},
		"its own fields":      {url.Values{"grant_type": {"client_credentials"}, "scope": {"alexa::all"}}, 400, "unsupported_grant_type"},
	} {
		rec := c.lwa(tc.form)
		require.Equal(t, tc.status, rec.Code, name)
		require.Equal(t, tc.err, decode[map[string]string](t, rec)["error"], name)
	}
	st := c.sim.Stats()
	require.EqualValues(t, 2, st.TokenRefreshes)
	require.EqualValues(t, 7, st.TokenRefusals)
}

func TestTokenRequestForms(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{
		Units: 10, Properties: 1, Accounts: []simulator.Account{
			{ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret, RefreshToken: simulator.DefaultRefreshToken},
			{ClientID: "two", ClientSecret: "s", RefreshToken: "Atzr|a+b"},
			{ClientID: "three", ClientSecret: "s%&=t", RefreshToken: "Atzr|a+b&c=d%zz"},
		},
	})
	for name, tc := range map[string]struct {
		path, contentType, body string
		status                  int
	}{
		"JSON":              {"/auth/O2/token", "application/json; charset=utf-8", `{"grant_type":"refresh_token","refresh_token":"Atzr|a+b","client_id":"two","client_secret":"s"}`, 200},
		"not encoded":       {"/auth/o2/token", "application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=Atzr|a+b&client_id=two&client_secret=s", 200},
		"nothing encoded":   {"/auth/O2/token", "application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=Atzr|a+b&c=d%zz&client_secret=s%&=t&client_id=three", 200},
		"all encoded":       {"/auth/O2/token", "application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=Atzr%7Ca%2Bb%26c%3Dd%25zz&client_secret=s%25%26%3Dt&client_id=three", 200},
		"half of the token": {"/auth/O2/token", "application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=Atzr|a+b&client_secret=s%&=t&client_id=three", 400},
		"encoded in JSON":   {"/auth/O2/token", "application/json", `{"grant_type":"refresh_token","refresh_token":"Atzr%7Ca%2Bb","client_id":"two","client_secret":"s"}`, 400},
		"more in JSON":      {"/auth/o2/token", "application/json", `{"grant_type":"refresh_token","refresh_token":"Atzr|a+b","client_id":"two","client_secret":"s","expires_in":3600}`, 200},
		"numbers in JSON":   {"/auth/o2/token", "application/json", `{"grant_type":"refresh_token","refresh_token":1,"client_id":"two","client_secret":"s"}`, 400},
		"no object":         {"/auth/o2/token", "application/json", `null`, 400},
		"no type":           {"/auth/o2/token", "", "grant_type=refresh_token&refresh_token=Atzr%7Ca%2Bb&client_id=two&client_secret=s", 200},
		"other type":        {"/auth/o2/token", "text/plain", "grant_type=refresh_token&refresh_token=Atzr%7Ca%2Bb&client_id=two&client_secret=s", 400},
		"bad JSON":          {"/auth/o2/token", "application/json", "grant_type=refresh_token", 400},
		"method":            {"/auth/o2/token", "GET", "", 405},
	} {
		method := http.MethodPost
		if tc.contentType == "GET" {
			method = http.MethodGet
		}
		r := httptest.NewRequest(method, tc.path, strings.NewReader(tc.body))
		r.Header.Set("Content-Type", tc.contentType)
		require.Equal(t, tc.status, c.serve(r).Code, name)
	}
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	c.control("POST", "/_sim/accounts/"+simulator.DefaultClientID, `{"rotate":true}`)
	second := decode[map[string]any](t, c.lwa(refreshForm(simulator.DefaultRefreshToken)))["refresh_token"].(string)
	require.NotEqual(t, simulator.DefaultRefreshToken, second)
	require.Equal(t, http.StatusBadRequest, c.lwa(refreshForm(simulator.DefaultRefreshToken)).Code, "the old one is gone")
	require.Equal(t, http.StatusOK, c.lwa(refreshForm(second)).Code)
}

func TestCredentialsChangeBehindTheClientsBack(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	unit := c.sim.UnitID(0)
	account := "/_sim/accounts/" + simulator.DefaultClientID
	require.NotContains(t, c.control("POST", account, `{"revoke_refresh_token":true,"expire_access_tokens":true}`).Body.String(), "sim-refresh")
	require.Equal(t, http.StatusUnauthorized, c.get(unit, skillID).Code)
	require.Equal(t, http.StatusBadRequest, c.lwa(refreshForm(simulator.DefaultRefreshToken)).Code)
	require.Equal(t, http.StatusBadRequest, c.lwa(refreshForm("")).Code)
	c.control("POST", account, `{"refresh_token":"Atzr|new"}`)
	c.token = c.refresh("Atzr|new")
	require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
	c.control("POST", account, `{"client_secret":"new"}`)
	require.Equal(t, http.StatusUnauthorized, c.lwa(refreshForm("Atzr|new")).Code)
	require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/accounts/nobody", `{}`).Code)
}

func TestAccountsHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{
		Units: 10, Properties: 1, RPS: 0.001, Burst: 2, Accounts: []simulator.Account{
			{ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret, RefreshToken: simulator.DefaultRefreshToken},
			{ClientID: "two", ClientSecret: "s", RefreshToken: "Atzr|two"},
		},
	})
	unit := c.sim.UnitID(0)
	codes := func() (codes [3]int) {
		for i := range codes {
			codes[i] = c.get(unit, skillID).Code
		}
		return codes
	}
	require.Equal(t, [3]int{404, 404, 429}, codes())
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"Atzr|two"}, "client_id": {"two"}, "client_secret": {"s"}}
	c.token = decode[map[string]any](t, c.lwa(form))["access_token"].(string)
	require.Equal(t, [3]int{404, 404, 429}, codes())
	st := c.sim.Stats()
	require.EqualValues(t, 2, st.Accounts["two"].Accepted)
	require.EqualValues(t, 1, st.Accounts["two"].Refused)
	require.EqualValues(t, 4, st.Accepted)
	require.Equal(t, "two", last(c.sim.History()).Client)
}

func TestTokensAreGoodForTheirKind(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1, RPS: 0.001, Burst: 1})
	operations := map[fleet.CredentialKind][]string{
		fleet.CredentialEnterprise: {"GET /v1/skills/enablements?unitId=" + c.sim.UnitID(0), "GET /v1/skills/a/enablements?unitId=u"},
		fleet.CredentialDeveloper: {
			"POST /v1/skills", "GET /v1/skills?vendorId=v", "GET /v1/skills/a/stages/live/manifest", "GET /v1/skills/a/status",
			"PUT /v1/skills/a/stages/live/enablement",
		},
		fleet.CredentialCustomer: {"GET /v1/alexaApiEndpoint", "GET /v1/users/~current/skills/a/enablement", "DELETE /eu/v1/users/%7Ecurrent/skills/a/enablement"},
	}
	for _, kind := range fleet.CredentialKinds() {
		own := c.as(kind)
		for other, all := range operations {
			for _, operation := range all {
				method, target, _ := strings.Cut(operation, " ")
				if other == kind {
					continue
				}
				rec := own.do(method, target, "")
				require.Equal(t, http.StatusForbidden, rec.Code, "%s: %s", kind, operation)
				require.NotEmpty(t, decode[map[string]any](t, rec)["message"])
			}
		}
		// None of that was taken from the limit.
		method, target, _ := strings.Cut(operations[kind][0], " ")
		require.NotContains(t, []int{401, 403, 429}, own.do(method, target, "").Code, kind)
		require.Equal(t, http.StatusTooManyRequests, own.do(method, target, "").Code, kind)
	}
}
