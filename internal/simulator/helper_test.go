package simulator_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

const (
	skillID  = "amzn1.ask.skill.10000000-0000-4000-8000-000000000001"
	linkID   = "amzn1.ask.skill.link-0001"
	redirect = "https://example.com/linked"
)

// client calls a Simulator without a network, so that it works in synctest.
type client struct {
	t     *testing.T
	sim   *simulator.Simulator
	token string
}

func start(t *testing.T, cfg simulator.Config) *client {
	t.Helper()
	c := &client{t: t, sim: simulator.New(cfg)}
	c.token = c.refresh(simulator.DefaultRefreshToken)
	return c
}

// refresh gets an access token, trying again where a fault is in the way.
func (c *client) refresh(refreshToken string) string {
	c.t.Helper()
	for {
		rec := c.lwa(refreshForm(refreshToken))
		if rec.Code == http.StatusServiceUnavailable {
			continue
		}
		require.Equal(c.t, http.StatusOK, rec.Code, rec.Body)
		return decode[map[string]any](c.t, rec)["access_token"].(string)
	}
}

// as is the same simulator with a token of another kind of client.
func (c *client) as(kind fleet.CredentialKind) *client {
	c.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}}
	switch kind {
	case fleet.CredentialEnterprise:
		form = refreshForm(simulator.DefaultRefreshToken)
	case fleet.CredentialDeveloper:
		form.Set("client_id", simulator.DefaultDeveloperClientID)
		form.Set("client_secret", simulator.DefaultDeveloperClientSecret)
		form.Set("refresh_token", simulator.DefaultDeveloperRefreshToken)
	case fleet.CredentialCustomer:
		form.Set("client_id", simulator.DefaultCustomerClientID)
		form.Set("client_secret", simulator.DefaultCustomerClientSecret)
		form.Set("refresh_token", simulator.DefaultCustomerRefreshToken)
	}
	rec := c.lwa(form)
	require.Equal(c.t, http.StatusOK, rec.Code, rec.Body)
	return &client{t: c.t, sim: c.sim, token: decode[map[string]any](c.t, rec)["access_token"].(string)}
}

func refreshForm(refreshToken string) url.Values {
	return url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken},
		"client_id": {simulator.DefaultClientID}, "client_secret": {simulator.DefaultClientSecret},
	}
}

func (c *client) lwa(form url.Values) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/auth/o2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.serve(r)
}

// serve answers r; a cut connection is status 0.
func (c *client) serve(r *http.Request) (rec *httptest.ResponseRecorder) {
	c.t.Helper()
	rec = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			require.Equal(c.t, http.ErrAbortHandler, p)
			rec.Code = 0
		}
	}()
	c.sim.ServeHTTP(rec, r)
	return rec
}

func (c *client) do(method, target, body string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("User-Agent", "test")
	return c.serve(r)
}

func (c *client) get(unit, skill string) *httptest.ResponseRecorder {
	c.t.Helper()
	return c.do(http.MethodGet, "/v1/skills/"+url.PathEscape(skill)+"/enablements?unitId="+url.QueryEscape(unit), "")
}

func (c *client) enable(unit, skill, stage string) *httptest.ResponseRecorder {
	c.t.Helper()
	return c.do(http.MethodPost, "/v1/skills/"+url.PathEscape(skill)+"/enablements", `{"unitId":"`+unit+`","stage":"`+stage+`"}`)
}

func (c *client) disable(unit, skill, stage string) *httptest.ResponseRecorder {
	c.t.Helper()
	q := url.Values{"unitId": {unit}}
	if stage != "" {
		q.Set("stage", stage)
	}
	return c.do(http.MethodDelete, "/v1/skills/"+url.PathEscape(skill)+"/enablements?"+q.Encode(), "")
}

func (c *client) link(unit, skill, code, redirectURI string) *httptest.ResponseRecorder {
	c.t.Helper()
	return c.do(http.MethodPost, "/v1/skills/"+skill+"/enablements", `{"unitId":"`+unit+
		`","stage":"live","accountLinkRequest":{"redirectUri":"`+redirectURI+`","authCode":"`+code+`","type":"AUTH_CODE"}}`)
}

func (c *client) mint(unit, skill string) string {
	c.t.Helper()
	rec := c.do(http.MethodPost, "/_sim/codes",
		`{"account":"acme","unit_id":"`+unit+`","skill_id":"`+skill+`","redirect_uri":"`+redirect+`"}`)
	require.Equal(c.t, http.StatusOK, rec.Code, rec.Body)
	return decode[map[string]string](c.t, rec)["code"]
}

func (c *client) control(method, target, body string) *httptest.ResponseRecorder {
	c.t.Helper()
	rec := c.do(method, target, body)
	require.Equal(c.t, http.StatusOK, rec.Code, rec.Body)
	return rec
}

// page is the body of a list, record that of an enablement.
type page struct {
	PaginationContext *struct{ NextToken *string }
	Items             []record
}

type record struct {
	Skill       struct{ ID, Stage string }
	Unit        struct{ ID string }
	AccountLink *struct{ Status string }
	Status      string
}

func decode[T any](t *testing.T, rec *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v), rec.Body)
	return v
}

func last(entries []simulator.Entry) simulator.Entry { return entries[len(entries)-1] }
