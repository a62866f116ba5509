package simulator_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/simulator/topic"
)

const (
	subscribersPath   = "/v0/developmentEvents/subscribers"
	subscriptionsPath = "/v0/developmentEvents/subscriptions"
	vendorID          = simulator.DefaultVendorID
	otherVendorID     = "M2OTHERVENDOR"
	roleARN           = "arn:aws:iam::123456789012:role/sdns"
	absentID          = "amzn1.ask-subscriber.00000000-0000-4000-8000-000000000000"
)

// startDevelopers is a client with a developer's token, and another one of another vendor.
func startDevelopers(t *testing.T, cfg simulator.Config) (own, other *client) {
	t.Helper()
	cfg.Units, cfg.Properties = 10, 1
	cfg.Accounts = []simulator.Account{
		{ClientID: "dev", ClientSecret: "secret", RefreshToken: "refresh", Kind: fleet.CredentialDeveloper, VendorID: vendorID},
		{ClientID: "other", ClientSecret: "secret", RefreshToken: "refresh", Kind: fleet.CredentialDeveloper, VendorID: otherVendorID},
		{ClientID: "enterprise", ClientSecret: "secret", RefreshToken: "refresh"},
	}
	sim := simulator.New(cfg)
	t.Cleanup(sim.Close)
	own, other = &client{t: t, sim: sim}, &client{t: t, sim: sim}
	own.token, other.token = own.tokenOf("dev"), own.tokenOf("other")
	return own, other
}

func (c *client) tokenOf(clientID string) string {
	c.t.Helper()
	rec := c.lwa(url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {"refresh"}, "client_id": {clientID}, "client_secret": {"secret"},
	})
	require.Equal(c.t, http.StatusOK, rec.Code, rec.Body)
	return decode[map[string]any](c.t, rec)["access_token"].(string)
}

func subscriberBody(name, vendor string) string {
	return fmt.Sprintf(`{"name":%q,"vendorId":%q,"endpoint":{"uri":%q,"authorization":{"type":"AWS_IAM","arn":%q}}}`,
		name, vendor, topic.DefaultARN, roleARN)
}

func subscriptionBody(name, vendor, subscriber string, events ...string) string {
	return fmt.Sprintf(`{"name":%q,"vendorId":%q,"subscriberId":%q,"events":["%s"]}`, name, vendor, subscriber, strings.Join(events, `","`))
}

// created posts a body, which must be answered 201 without a body, and returns the ID in the Location.
func (c *client) created(target, body string) string {
	c.t.Helper()
	rec := c.do(http.MethodPost, target, body)
	require.Equal(c.t, http.StatusCreated, rec.Code, rec.Body)
	require.Empty(c.t, rec.Body.String())
	require.Equal(c.t, target, path.Dir(rec.Header().Get("Location")))
	require.NotEmpty(c.t, rec.Header().Get("X-Amzn-RequestId"))
	return path.Base(rec.Header().Get("Location"))
}

func (c *client) subscriber() string {
	c.t.Helper()
	return c.created(subscribersPath, subscriberBody("one", vendorID))
}

func (c *client) subscription(events ...string) string {
	c.t.Helper()
	return c.created(subscriptionsPath, subscriptionBody("one", vendorID, c.subscriber(), events...))
}

// refuses does a request that must be answered status with a JSON error.
func (c *client) refuses(status int, method, target, body string) {
	c.t.Helper()
	rec := c.do(method, target, body)
	require.Equal(c.t, status, rec.Code, "%s %s %s -> %s", method, target, body, rec.Body)
	problem := decode[map[string]any](c.t, rec)
	require.NotEmpty(c.t, problem["message"])
}

// notificationOperation is one of the ten operations of seed 003.
type notificationOperation struct {
	name, method, path, body string
}

// notificationOperations are requests that succeed, on a subscriber and a subscription that exist.
func (c *client) notificationOperations() []notificationOperation {
	c.t.Helper()
	subscription := c.subscription(simulator.EventSkillPublish)
	free := c.subscriber()
	list := "?vendorId=" + vendorID
	return []notificationOperation{
		{"CreateSubscriber", "POST", subscribersPath, subscriberBody("two", vendorID)},
		{"ListSubscribers", "GET", subscribersPath + list, ""},
		{"GetSubscriber", "GET", subscribersPath + "/" + free, ""},
		{"UpdateSubscriber", "PUT", subscribersPath + "/" + free, `{"name":"three"}`},
		{"CreateSubscription", "POST", subscriptionsPath, subscriptionBody("two", vendorID, free, simulator.EventSkillPublish)},
		{"ListSubscriptions", "GET", subscriptionsPath + list, ""},
		{"GetSubscription", "GET", subscriptionsPath + "/" + subscription, ""},
		{"UpdateSubscription", "PUT", subscriptionsPath + "/" + subscription, `{"name":"three"}`},
		{"DeleteSubscription", "DELETE", subscriptionsPath + "/" + subscription, ""},
		{"DeleteSubscriber", "DELETE", subscribersPath + "/" + free, ""},
	}
}

// TestNotificationsStatuses has the statuses that every operation of seed 003 can
// answer for the same reasons: 401, 403 of another kind of token, 429, 500 and 503.
func TestNotificationsStatuses(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	own, enterprise := c.token, c.tokenOf("enterprise")
	for _, o := range c.notificationOperations() {
		set := func(f simulator.Faults) { require.NoError(t, c.sim.SetFaults(f)) }
		t.Run(o.name, func(t *testing.T) {
			for token, status := range map[string]int{"": 401, "Atza|unknown": 401, enterprise: 403} {
				c.token = token
				c.refuses(status, o.method, o.path, o.body)
			}
			c.token = own
			set(simulator.Faults{Throttle: 1})
			c.refuses(http.StatusTooManyRequests, o.method, o.path, o.body)
			set(simulator.Faults{Overload: 1})
			c.refuses(http.StatusServiceUnavailable, o.method, o.path, o.body)
			set(simulator.Faults{ErrorBefore: 1, HTMLError: 0.5, EmptyError: 0.5})
			require.Eventually(t, func() bool {
				rec := c.do(o.method, o.path, o.body)
				require.GreaterOrEqual(t, rec.Code, 500)
				require.NotEmpty(t, decode[map[string]any](t, rec)["message"], "JSON on every error: the official client loses the status otherwise")
				return rec.Code == http.StatusInternalServerError
			}, eventually, tick)
			set(simulator.Faults{})
			require.NoError(t, c.sim.ChangeAccount("dev", simulator.AccountChange{ExpireAccessTokens: true}))
			c.refuses(http.StatusUnauthorized, o.method, o.path, o.body)
			own = c.tokenOf("dev")
			c.token = own
		})
	}
	require.Len(t, decode[subscriberPage](t, c.do("GET", subscribersPath+"?vendorId="+vendorID, "")).Subscribers, 2, "nothing was done")
}

// TestNotificationsSucceed has the success of every operation of seed 003 and what the history says of it.
func TestNotificationsSucceed(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	want := map[string]int{"POST": http.StatusCreated, "GET": http.StatusOK, "PUT": http.StatusNoContent, "DELETE": http.StatusNoContent}
	operations := c.notificationOperations()
	// The subscriber that is deleted last must have lost its new subscription.
	for _, o := range operations[:len(operations)-1] {
		rec := c.do(o.method, o.path, o.body)
		require.Equal(t, want[o.method], rec.Code, "%s: %s", o.name, rec.Body)
		if o.name == "CreateSubscription" {
			require.Equal(t, http.StatusNoContent, c.do("DELETE", rec.Header().Get("Location"), "").Code)
		}
		entry := last(c.sim.History())
		require.Equal(t, o.method != "GET", entry.Write)
		require.Equal(t, o.method != "GET", entry.Applied)
		require.Equal(t, "dev", entry.Client)
	}
	deletion := operations[len(operations)-1]
	rec := c.do(deletion.method, deletion.path, "")
	require.Equal(t, http.StatusNoContent, rec.Code, rec.Body)
	require.Empty(t, rec.Body.String())
	require.Empty(t, rec.Header().Get("Content-Type"))
	require.Zero(t, c.sim.Stats().Writes, "these are no writes of homes")
	counted := c.sim.Stats().ByOperation
	for _, o := range simulator.Operations() {
		if strings.HasSuffix(string(o), "_subscriber") || strings.HasSuffix(string(o), "_subscription") {
			require.NotEmpty(t, counted[o], o)
		}
	}
}

// TestNotificationsAsTheOfficialClientCalls has bodies in chunks and no Accept, over TCP.
func TestNotificationsAsTheOfficialClientCalls(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	server := httptest.NewServer(c.sim)
	t.Cleanup(server.Close)
	call := func(method, target, body string) (status int, location, answer string) {
		var chunks io.Reader
		if body != "" {
			chunks = io.MultiReader(strings.NewReader(body[:1]), strings.NewReader(body[1:])) // no length is known of it
		}
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+target, chunks)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+c.token)
		r.Header.Set("User-Agent", "ask-node-model/1.24.0 Node/22")
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
			require.Zero(t, r.ContentLength)
		}
		resp, err := server.Client().Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode, resp.Header.Get("Location"), string(text)
	}
	status, subscriber, _ := call("POST", subscribersPath, subscriberBody("one", vendorID))
	require.Equal(t, http.StatusCreated, status)
	status, subscription, _ := call("POST", subscriptionsPath, subscriptionBody("one", vendorID, path.Base(subscriber), "AlexaDevelopmentEvent.All"))
	require.Equal(t, http.StatusCreated, status)
	status, _, _ = call("PUT", subscription, `{"name":"two","events":["AlexaDevelopmentEvent.SkillPublish"]}`)
	require.Equal(t, http.StatusNoContent, status)
	status, _, _ = call("DELETE", subscriber, "")
	require.Equal(t, http.StatusBadRequest, status)
	for _, target := range []string{subscription, subscriber} {
		status, _, answer := call("DELETE", target, "")
		require.Equal(t, http.StatusNoContent, status)
		require.Empty(t, answer)
		status, _, _ = call("GET", target, "")
		require.Equal(t, http.StatusNotFound, status)
	}
}
