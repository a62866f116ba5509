package simulator_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// official calls a simulator over the network as Amazon's own clients do: bodies
// in chunks without a length, no Accept header, redirects not followed.
type official struct {
	t     *testing.T
	url   string
	http  *http.Client
	token string

	chunked bool // the body of the last request
}

// reply is what an official client makes of an answer: a body is parsed, and must be
// JSON.
type reply struct {
	status int
	header http.Header
	body   map[string]any
}

// hidden keeps net/http from seeing how long a body is.
type hidden struct{ io.Reader }

func (o *official) do(method, target, contentType, body string, header ...string) reply {
	o.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = hidden{strings.NewReader(body)}
	}
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.url+target, reader)
	require.NoError(o.t, err)
	if o.token != "" {
		r.Header.Set("Authorization", "Bearer "+o.token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := o.http.Do(r)
	require.NoError(o.t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(o.t, err)
	require.NoError(o.t, resp.Body.Close())
	got := reply{status: resp.StatusCode, header: resp.Header}
	if len(text) > 0 {
		require.NoError(o.t, json.Unmarshal(text, &got.body), "%s", text)
		require.Equal(o.t, "application/json", resp.Header.Get("Content-Type"))
	}
	return got
}

// newOfficial starts a simulator for the official clients of a developer, whose refresh
// token needs encoding.
func newOfficial(t *testing.T) (o *official, developer simulator.Account) {
	t.Helper()
	accounts := simulator.DefaultConfig().Accounts
	accounts[1].RefreshToken = "Atzr|IwEB+/a=b&c"
	sim := simulator.New(simulator.Config{Units: 10, Properties: 1, Accounts: accounts, BuildDelay: 50 * time.Millisecond})
	o = &official{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.chunked = len(r.TransferEncoding) > 0
		require.Empty(t, r.Header.Get("Accept"))
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	o.url = server.URL
	o.http = &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return o, accounts[1]
}

// json does a request with a body of JSON, which must come in chunks.
func (o *official) json(method, target, body string, header ...string) reply {
	o.t.Helper()
	got := o.do(method, target, "application/json", body, header...)
	require.True(o.t, o.chunked)
	return got
}

// authorize gets a token as the SDK does: by a form that is not percent-encoded.
func (o *official) authorize(a simulator.Account) reply {
	o.t.Helper()
	got := o.do("POST", "/auth/O2/token", "application/x-www-form-urlencoded",
		"grant_type=refresh_token&client_secret="+a.ClientSecret+"&client_id="+a.ClientID+"&refresh_token="+a.RefreshToken)
	require.Equal(o.t, http.StatusOK, got.status)
	require.True(o.t, o.chunked)
	o.token = got.body["access_token"].(string)
	return got
}

func TestOfficialClients(t *testing.T) {
	t.Parallel()
	o, developer := newOfficial(t)
	o.authorize(developer) // The CLI sends JSON.
	text, err := json.Marshal(map[string]string{
		"grant_type": "refresh_token", "refresh_token": developer.RefreshToken, "client_id": developer.ClientID, "client_secret": developer.ClientSecret,
	})
	require.NoError(t, err)
	got := o.json("POST", "/auth/o2/token", string(text))
	require.Equal(t, http.StatusOK, got.status)
	o.token = got.body["access_token"].(string)

	got = o.json("POST", "/v1/skills", createBody("First"))
	require.Equal(t, http.StatusAccepted, got.status)
	skill, location := got.body["skillId"].(string), got.header.Get("Location")
	got = o.do("GET", manifestOf(skill, "development"), "", "")
	require.Equal(t, http.StatusSeeOther, got.status)
	require.Equal(t, location, got.header.Get("Location"))
	require.Equal(t, http.StatusOK, o.do("GET", location, "", "").status, "the CLI follows it")
	built := func() bool {
		last := o.do("GET", location, "", "").body["manifest"].(map[string]any)["lastUpdateRequest"].(map[string]any)
		return last["status"] == "SUCCEEDED"
	}
	require.Eventually(t, built, 10*time.Second, 10*time.Millisecond)

	got = o.do("GET", manifestOf(skill, "development"), "", "")
	require.Equal(t, http.StatusOK, got.status)
	etag := got.header.Get("ETag")
	update := `{"manifest":` + aManifest("Second") + `}`
	got = o.json("PUT", manifestOf(skill, "development"), update, "If-Match", etag)
	require.Equal(t, http.StatusAccepted, got.status)
	require.Equal(t, location, got.header.Get("Location"))
	require.Equal(t, "application/json", got.header.Get("Content-Type"), "of the body that there is not")
	require.Empty(t, got.body)
	require.Eventually(t, built, 10*time.Second, 10*time.Millisecond)
	got = o.json("PUT", manifestOf(skill, "development"), update, "If-Match", etag)
	require.Equal(t, http.StatusPreconditionFailed, got.status)
	require.NotEmpty(t, got.body["message"])

	got = o.do("GET", "/v1/skills/"+skill+"/status?resource=manifest&resource=interactionModel", "", "")
	require.Len(t, got.body, 2)
	got = o.do("GET", vendorQuery+"&skillId="+skill+"&skillId=other", "", "")
	require.Len(t, got.body["skills"], 1)

	require.Equal(t, http.StatusNotFound, o.do("GET", enablementOf(skill, "development"), "", "").status, "404 before enable")
	for _, method := range []string{"PUT", "GET", "DELETE"} { // The CLI says that a body that is not there is a form.
		kind := map[string]string{"PUT": "application/x-www-form-urlencoded"}[method]
		got = o.do(method, enablementOf(skill, "development"), kind, "")
		require.Equal(t, http.StatusNoContent, got.status, method)
		require.Equal(t, "application/json", got.header.Get("Content-Type"), method)
	}
	require.Equal(t, http.StatusNoContent, o.do("DELETE", "/v1/skills/"+skill, "", "").status)
	require.Equal(t, http.StatusNotFound, o.do("GET", "/v1/nothing/there", "", "").status, "in JSON, too")
	require.Equal(t, http.StatusMethodNotAllowed, o.do("PATCH", "/v1/skills/"+skill, "", "").status)
	got = o.do("GET", "/auth/o2/token", "", "")
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "invalid_request", got.body["error"])
	require.Equal(t, "POST", got.header.Get("Allow"))
	got = o.json("POST", "/o2/token", string(text))
	require.Equal(t, http.StatusNotFound, got.status)
	require.NotEmpty(t, got.body["message"])
	got = o.do("GET", "/_sim/publish", "", "")
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Contains(t, got.body["error"], "GET /_sim/")
}

// TestOfficialClientsOfNotifications goes through seed 003 as the SDK does.
func TestOfficialClientsOfNotifications(t *testing.T) {
	t.Parallel()
	o, developer := newOfficial(t)
	o.authorize(developer)
	create := func(collection, body string) (location, id string) {
		got := o.json("POST", collection, body)
		require.Equal(t, http.StatusCreated, got.status)
		require.Empty(t, got.body)
		location = got.header.Get("Location")
		require.Equal(t, collection, path.Dir(location))
		return location, path.Base(location)
	}
	subscriber, subscriberID := create(subscribersPath, subscriberBody("one", vendorID))
	subscription, subscriptionID := create(subscriptionsPath, subscriptionBody("two", vendorID, subscriberID, "AlexaDevelopmentEvent.All"))
	require.Equal(t, subscriberID, o.do("GET", subscriber, "", "").body["subscriberId"])
	require.Equal(t, subscriptionID, o.do("GET", subscription, "", "").body["subscriptionId"])
	require.Equal(t, http.StatusNoContent, o.json("PUT", subscriber, `{"name":"three"}`).status)
	require.Equal(t, http.StatusNoContent, o.json("PUT", subscription, `{"name":"four","events":["AlexaDevelopmentEvent.SkillPublish"]}`).status)
	require.Len(t, o.do("GET", subscribersPath+"?vendorId="+vendorID, "", "").body["subscribers"], 1)
	require.Len(t, o.do("GET", subscriptionsPath+"?vendorId="+vendorID+"&maxResults=5&subscriberId="+subscriberID, "", "").body["subscriptions"], 1)

	got := o.do("DELETE", subscriber, "", "")
	require.Equal(t, http.StatusBadRequest, got.status, "it has a subscription")
	require.NotEmpty(t, got.body["message"])
	for _, target := range []string{subscription, subscriber} {
		got = o.do("DELETE", target, "", "")
		require.Equal(t, http.StatusNoContent, got.status)
		require.Empty(t, got.body)
		require.Equal(t, http.StatusNotFound, o.do("DELETE", target, "", "").status)
	}
	o.token = "nobody's"
	got = o.do("GET", subscriber, "", "")
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Equal(t, "Bearer", got.header.Get("WWW-Authenticate"))
	require.NotEmpty(t, got.body["message"])
}

// TestBearerIsSpelledLikeThat says what troubleshooting of skill enablement does: a
// scheme in lower case is a 400 there. To the other APIs it is no token.
func TestBearerIsSpelledLikeThat(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	skill := c.create("First")
	for target, status := range map[string]int{
		enablementOf(skill, "development"):                   http.StatusBadRequest,
		"/v1/users/~current/skills/" + skill + "/enablement": http.StatusBadRequest,
		vendorQuery: http.StatusUnauthorized,
		subscribersPath + "?vendorId=" + simulator.DefaultVendorID: http.StatusUnauthorized,
	} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("Authorization", "bearer "+c.token)
		rec := c.serve(r)
		require.Equal(t, status, rec.Code, target)
		require.NotEmpty(t, decode[map[string]any](t, rec)["message"])
	}
}

func TestFaultsOfTheSkillAPIs(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	require.NoError(t, c.sim.SetFaults(simulator.Faults{CutAfter: 1}))
	require.Zero(t, c.do("POST", "/v1/skills", createBody("First")).Code)
	require.True(t, last(c.sim.History()).Applied)
	require.True(t, last(c.sim.History()).Write)
	require.Zero(t, c.sim.Stats().Writes, "those are of homes")
	require.Zero(t, c.sim.Stats().Applied)
	require.NoError(t, c.sim.SetFaults(simulator.Faults{}))
	require.Len(t, c.skills(vendorQuery).Skills, 1, "it was done")
	require.NoError(t, c.sim.SetFaults(simulator.Faults{TruncatedBody: 1}))
	for range 5 {
		require.False(t, json.Valid(c.do("GET", vendorQuery, "").Body.Bytes()))
	}
	require.NoError(t, c.sim.SetFaults(simulator.Faults{Throttle: 1}))
	require.Equal(t, http.StatusTooManyRequests, c.do("GET", vendorQuery, "").Code)

	// The same seed and the same requests have the same answers, whatever others ask for.
	answers := func(between func(c *client)) (codes []int) {
		c := newDeveloper(t, simulator.Config{Seed: 7, Faults: simulator.Faults{ErrorBefore: 0.3, CutBefore: 0.3}})
		for range 50 {
			codes = append(codes, c.do("GET", vendorQuery, "").Code)
			between(c)
		}
		return codes
	}
	want := answers(func(*client) {})
	require.Contains(t, want, 0)
	require.Equal(t, want, answers(func(c *client) {
		c.do("GET", enablementOf(skillID, "live"), "")
		other := *c
		other.token = "nobody"
		other.do("GET", vendorQuery, "")
	}))
}

// FuzzSkillRequests sends anything to the skill APIs. Whatever it is, the answer
// is JSON or has no body.
func FuzzSkillRequests(f *testing.F) {
	f.Add("POST", "/v1/skills", createBody("First"))
	f.Add("PUT", "/v1/skills/a/stages/live/manifest", `{"manifest":{"publishingInformation":{"locales":{"":null}}}}`)
	f.Add("GET", "/v1/skills/vendorId=%zz&&skillId=", "")
	f.Add("GET", "/eu/v1/users/~current/skills/a/enablement", "")
	f.Add("POST", "/v1/users/~current/skills/a/enablement", `{"stage":"live","accountLinkRequest":{"codeVerifier":null}}`)
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+target, strings.NewReader(body))
		if err != nil || !strings.HasPrefix(r.URL.Path, "/v1/") && !strings.HasPrefix(r.URL.Path, "/eu/") {
			return
		}
		c := start(t, simulator.Config{Units: 10, Properties: 1, Published: []string{"a"}})
		for _, kind := range fleet.CredentialKinds() {
			r.Header.Set("Authorization", "Bearer "+c.as(kind).token)
			r.Body = io.NopCloser(bytes.NewReader([]byte(body)))
			rec := c.serve(r)
			require.GreaterOrEqual(t, rec.Code, 200)
			if rec.Body.Len() > 0 {
				require.True(t, json.Valid(rec.Body.Bytes()), "%s", rec.Body)
			}
		}
	})
}
