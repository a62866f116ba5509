package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/apis"
	"fleetd/internal/enablement"
	"fleetd/internal/notifications"
	"fleetd/internal/remote"
	"fleetd/internal/store"
)

// amazon stands in for the APIs: it answers what it was told to, by "METHOD path", and
// keeps what was asked.
type amazon struct {
	mu      sync.Mutex
	answers map[string]string // "STATUS LOCATION BODY", "-" for no Location; none: 404
	asked   []string
	client  *remote.Client
}

// newAmazon gives the fixture's account both credentials, over one stand-in.
func newAmazon(t *testing.T, f *fixture, answers map[string]string) *amazon {
	t.Helper()
	a := &amazon{answers: answers}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	connect := func(base string) (*remote.Client, error) {
		return remote.NewClient(remote.Config{
			Account: "acme", BaseURL: base, Tokens: fixedToken{}, Limiter: freeBudget{}, Timeout: 5 * time.Second,
		})
	}
	var err error
	a.client, err = connect(srv.URL)
	require.NoError(t, err)
	f.developer = &apis.Developer{
		Account: "acme", VendorID: "M2VENDOR", Enablement: enablement.NewDeveloper(a.client), Notifications: notifications.New(a.client),
	}
	f.customer = &apis.Customer{Account: "acme", Enablement: enablement.NewCustomer(enablement.CustomerConfig{BaseURL: srv.URL, Connect: connect})}
	return a
}

// ServeHTTP answers.
func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	words := strings.SplitN(a.answers[r.Method+" "+r.URL.Path], " ", 3)
	if len(words) < 3 {
		words = []string{"404", "-", `{"message":"no such thing"}`}
	}
	w.Header().Set("X-Amzn-RequestId", "req-1")
	if words[1] != "-" {
		w.Header().Set("Location", words[1])
	}
	status := map[string]int{"200": 200, "201": 201, "204": 204, "400": 400, "403": 403, "404": 404, "500": 500}[words[0]]
	w.WriteHeader(status)
	_, _ = io.WriteString(w, strings.ReplaceAll(words[2], "HOST", "http://"+r.Host))
}

func (a *amazon) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.asked...)
}

// logged is the log of the API, oldest first, as "action object reason".
func (f *fixture) logged(t *testing.T) []string {
	t.Helper()
	entries, _, err := f.store.ListLog(t.Context(), store.LogFilter{})
	require.NoError(t, err)
	var lines []string
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		line := e.Actor + " " + e.Action + " " + e.Object + " " + e.Reason
		if outcome, ok := e.Detail["outcome"].(string); ok {
			line += " (" + outcome + ")"
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

const (
	developerPath = "/api/v1/accounts/acme/skills/s1/stages/development/enablement"
	customerPath  = "/api/v1/accounts/acme/customer/skills/s1/enablement"
	verifier      = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

func TestDeveloperEnablement(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/v1/skills/s1/stages/development/enablement"
	a := newAmazon(t, f, map[string]string{"PUT " + path: "204 - ", "DELETE " + path: "204 - "})

	got := f.call(t, "viewer", http.MethodGet, developerPath, nil)
	require.Equal(t, 200, got.status)
	require.JSONEq(t, `{"skill_id":"s1","stage":"development","enabled":false}`, got.body)

	got = f.call(t, "operator", http.MethodPut, developerPath, strings.NewReader(`{"reason":"to test"}`))
	require.Equal(t, 200, got.status, got.body)
	require.JSONEq(t, `{"skill_id":"s1","stage":"development","enabled":true}`, got.body)
	got = f.call(t, "operator", http.MethodPut, developerPath, nil)
	require.Equal(t, 200, got.status, "no reason is needed: %s", got.body)
	got = f.call(t, "operator", http.MethodDelete, developerPath+"?reason=done", nil)
	require.Equal(t, 200, got.status)
	require.JSONEq(t, `{"skill_id":"s1","stage":"development","enabled":false}`, got.body)
	require.Equal(t, []string{
		"operator skill.enable skill/s1 to test", "operator skill.enable skill/s1", "operator skill.disable skill/s1 done",
	}, f.logged(t))

	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		require.Equal(t, 403, f.call(t, "viewer", method, developerPath, nil).status)
	}
	require.Equal(t, 422, f.call(t, "admin", http.MethodPut, "/api/v1/accounts/acme/skills/s1/stages/certification/enablement", nil).status)
	require.Equal(t, 422, f.call(t, "admin", http.MethodPut, "/api/v1/accounts/acme/skills/a%20b/stages/live/enablement", nil).status)
	require.Len(t, a.seen(), 4)
}

func TestWhatBecomesOfRefusedEnablements(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/v1/skills/s1/stages/development/enablement"
	for answer, want := range map[string]struct {
		status int
		says   string
		logged bool
	}{
		`403 - {"message":"Skill is not ready for enablement."}`: {409, "alexa::ask:skills:readwrite", false},
		`404 - {"message":"m"}`:                                  {404, "there is no such skill", false},
		`400 - {"message":"m","code":"incorrectEndpoint"}`:       {422, "incorrectEndpoint", false},
		`500 - {"message":"m"}`:                                  {502, "read before writing again", true},
	} {
		newAmazon(t, f, map[string]string{"PUT " + path: answer})
		before := len(f.logged(t))
		got := f.call(t, "operator", http.MethodPut, developerPath, nil)
		require.Equal(t, want.status, got.status, got.body)
		require.Contains(t, got.body, want.says)
		require.Equal(t, want.logged, len(f.logged(t)) > before, "what may have been done is in the log, and what was refused is not")
	}
	require.Equal(t, []string{"operator skill.enable skill/s1  (in_doubt)"}, f.logged(t))
	f.developer, f.customer = nil, nil
	require.Equal(t, 409, f.call(t, "operator", http.MethodPut, developerPath, nil).status)
	require.Equal(t, 409, f.call(t, "viewer", http.MethodGet, customerPath, nil).status)
}

func TestCustomerEnablement(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const (
		path   = "/eu/v1/users/~current/skills/s1/enablement"
		record = `{"skill":{"id":"x","stage":"live"},"user":{"id":"amzn1.ask.account.1"},"accountLink":{"status":"LINKED"},"status":"ENABLED"}`
	)
	a := newAmazon(t, f, map[string]string{
		"GET /v1/alexaApiEndpoint": `200 - {"endpoints":["HOST/eu"]}`,
		"GET " + path:              "200 - " + record, "POST " + path: "201 - " + record, "DELETE " + path: "200 - ",
	})
	got := f.call(t, "viewer", http.MethodGet, "/api/v1/accounts/acme/customer/endpoint", nil)
	require.Equal(t, 200, got.status, got.body)
	endpoint := strings.TrimSuffix(got.body[strings.Index(got.body, "http"):], got.body[strings.Index(got.body, "/eu")+3:])
	require.JSONEq(t, `{"endpoints":["`+endpoint+`"],"source":"api","remembered":"","request_id":"req-1"}`, got.body)

	body := `{"stage":"live","redirect_uri":"https://x.example/cb","auth_code":"c4nary-code","code_verifier":"` + verifier + `","reason":"asked for"}`
	for method, want := range map[string]string{http.MethodGet: "ENABLED", http.MethodPost: "ENABLED"} {
		var in io.Reader
		if method == http.MethodPost {
			in = strings.NewReader(body)
		}
		got = f.call(t, "operator", method, customerPath, in)
		require.Equal(t, 200, got.status, got.body)
		require.Contains(t, got.script(t), `"status": "`+want+`",
  "stage": "live",
  "account_link": "LINKED",
  "user_id": "amzn1.ask.account.1",`)
	}
	got = f.call(t, "operator", http.MethodDelete, customerPath+"?reason=left", nil)
	require.Equal(t, 200, got.status, got.body)
	require.Contains(t, got.body, `"status":"ABSENT"`)
	require.Equal(t, []string{"operator customer.enable skill/s1 asked for", "operator customer.disable skill/s1 left"}, f.logged(t))
	require.Contains(t, a.seen(), "POST "+path+` {"stage":"live","accountLinkRequest":{"redirectUri":"https://x.example/cb","authCode":"c4nary-code","type":"AUTH_CODE","codeVerifier":"`+verifier+`"}}`)

	asked := len(a.seen())
	for name, in := range map[string]string{
		"no stage":             `{}`,
		"a stage of others":    `{"stage":"certification"}`,
		"a code alone":         `{"stage":"live","auth_code":"c4nary-code"}`,
		"a verifier alone":     `{"stage":"live","code_verifier":"` + verifier + `"}`,
		"a verifier too short": `{"stage":"live","auth_code":"c4nary-code","redirect_uri":"https://x","code_verifier":"c4nary"}`,
		"a code too long":      `{"stage":"live","auth_code":"c4nary` + strings.Repeat("x", 5000) + `","redirect_uri":"https://x"}`,
	} {
		got = f.call(t, "operator", http.MethodPost, customerPath, strings.NewReader(in))
		require.Equal(t, 422, got.status, name)
		require.NotContains(t, got.body, "c4nary")
	}
	require.Equal(t, 403, f.call(t, "viewer", http.MethodPost, customerPath, strings.NewReader(body)).status)
	require.Equal(t, 403, f.call(t, "viewer", http.MethodDelete, customerPath, nil).status)
	require.Len(t, a.seen(), asked)
	for _, secret := range []string{"c4nary", verifier, "Atza|canary"} {
		require.NotContains(t, f.log.String(), secret)
	}
}

func TestACustomerWhomNoEndpointTakesIsAConflict(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	newAmazon(t, f, map[string]string{
		"GET /v1/alexaApiEndpoint":                        `200 - {"endpoints":["HOST/eu"]}`,
		"GET /eu/v1/users/~current/skills/s1/enablement":  `400 - {"code":"incorrectEndpoint"}`,
		"POST /eu/v1/users/~current/skills/s1/enablement": `400 - {"code":"incorrectEndpoint"}`,
	})
	for method, body := range map[string]io.Reader{http.MethodGet: nil, http.MethodPost: strings.NewReader(`{"stage":"live"}`)} {
		got := f.call(t, "operator", method, customerPath, body)
		require.Equal(t, 409, got.status, got.body)
		require.Contains(t, got.body, "takes this customer's calls")
	}
	require.Empty(t, f.logged(t))
	newAmazon(t, f, map[string]string{"GET /v1/alexaApiEndpoint": `200 - {"endpoints":["https://evil.example"]}`})
	got := f.call(t, "viewer", http.MethodGet, "/api/v1/accounts/acme/customer/endpoint", nil)
	require.Equal(t, 503, got.status)
	require.Contains(t, got.body, "the customer's token is not sent there")
}
