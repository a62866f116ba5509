package notifications

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/remote"
)

const (
	refusedBody      = `{"message":"m","code":"C"}`
	subscriberBody   = `{"subscriberId":"` + subscriber + `","name":"ours","endpoint":{"uri":"` + topic + `","authorization":{"type":"AWS_IAM","arn":"` + role + `"}}}`
	subscriptionBody = `{"name":"builds","subscriptionId":"` + subscription + `","subscriberId":"` + subscriber + `","vendorId":"` + vendor + `","events":["AlexaDevelopmentEvent.ManifestUpdate"]}`
)

// good is what the reference says a success is: status, Location, body, and what the
// client makes of it.
func good() map[string]struct {
	status         int
	location, body string
	want           any
} {
	type answer = struct {
		status         int
		location, body string
		want           any
	}
	s := Subscriber{ID: subscriber, Name: "ours", Endpoint: Endpoint{URI: topic, RoleARN: role}}
	n := Subscription{ID: subscription, Name: "builds", SubscriberID: subscriber, VendorID: vendor, Events: []string{"AlexaDevelopmentEvent.ManifestUpdate"}}
	return map[string]answer{
		OpCreateSubscriber:   {201, "/v0/developmentEvents/subscribers/" + subscriber, "", Created{ID: subscriber, RequestID: "req-1"}},
		OpGetSubscriber:      {200, "", subscriberBody, s},
		OpListSubscribers:    {200, "", `{"subscribers":[` + subscriberBody + `],"nextToken":null}`, []Subscriber{s}},
		OpUpdateSubscriber:   {204, "", "", nil},
		OpDeleteSubscriber:   {204, "", "", nil},
		OpCreateSubscription: {201, "/v0/developmentEvents/subscriptions/" + subscription, "", Created{ID: subscription, RequestID: "req-1"}},
		OpGetSubscription:    {200, "", subscriptionBody, n},
		OpListSubscriptions:  {200, "", `{"_links":{"self":{"href":"x"}},"subscriptions":[` + subscriptionBody + `]}`, []Subscription{n}},
		OpUpdateSubscription: {204, "", "", nil},
		OpDeleteSubscription: {204, "", "", nil},
	}
}

// Every status of the reference for each operation. Where one is not listed for an
// operation (a create answered 404, an update 403) it is understood all the same: the
// copies of the reference disagree (facts 7).
func TestEveryStatusOfTheReference(t *testing.T) {
	t.Parallel()
	for name, tt := range good() {
		t.Run(name+" "+strconv.Itoa(tt.status), func(t *testing.T) {
			t.Parallel()
			got, err := operations(setup(t, always(tt.status, tt.location, tt.body)))[name](t.Context())
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
		for status, says := range map[int]string{
			400: "check the vendor ID", 401: "fleetctl account check acme", 403: "alexa::ask:subscriptions", 404: "there is n", 429: "429", 500: "500", 503: "503",
		} {
			t.Run(name+" "+strconv.Itoa(status), func(t *testing.T) {
				t.Parallel()
				left := -1
				if status == 429 || status == 503 {
					left = 1 // else a refusal is sent again until the caller gives up
				}
				if status == 400 && name == OpDeleteSubscriber {
					says = "delete its subscriptions first: `fleetctl event subscription list"
				}
				if status >= 500 && isWrite(name) {
					says = "read before writing again"
				}
				_, err := operations(limited(t, left, always(status, "", refusedBody)))[name](t.Context())
				e := asRemote(t, err)
				require.Equal(t, name, e.Operation)
				require.Equal(t, status, e.Status)
				require.Equal(t, "req-1", e.RequestID)
				require.Equal(t, "C", e.ErrCode)
				require.Equal(t, status >= 500 && isWrite(name), e.MaybeSent())
				require.Equal(t, status == 429 || status >= 500, e.Temporary())
				if status == 404 && strings.HasPrefix(name, "create") {
					says = "there is no such subscriber or vendor"
				}
				require.Contains(t, e.Error(), says)
			})
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	const base = " /v0/developmentEvents/"
	want := map[string]string{
		OpCreateSubscriber:   "POST" + base + `subscribers {"name":"ours","vendorId":"M2VENDOR","endpoint":{"uri":"` + topic + `","authorization":{"type":"AWS_IAM","arn":"` + role + `"}}}`,
		OpGetSubscriber:      "GET" + base + "subscribers/" + subscriber,
		OpListSubscribers:    "GET" + base + "subscribers?maxResults=50&vendorId=M2VENDOR",
		OpUpdateSubscriber:   "PUT" + base + "subscribers/" + subscriber + ` {"name":"ours","endpoint":{"uri":"` + topic + `","authorization":{"type":"AWS_IAM","arn":"` + role + `"}}}`,
		OpDeleteSubscriber:   "DELETE" + base + "subscribers/" + subscriber,
		OpCreateSubscription: "POST" + base + `subscriptions {"name":"builds","events":["AlexaDevelopmentEvent.ManifestUpdate","AlexaDevelopmentEvent.SkillPublish"],"vendorId":"M2VENDOR","subscriberId":"` + subscriber + `"}`,
		OpGetSubscription:    "GET" + base + "subscriptions/" + subscription,
		OpListSubscriptions:  "GET" + base + "subscriptions?maxResults=50&subscriberId=" + subscriber + "&vendorId=M2VENDOR",
		OpUpdateSubscription: "PUT" + base + "subscriptions/" + subscription + ` {"name":"builds","events":["AlexaDevelopmentEvent.ManifestUpdate","AlexaDevelopmentEvent.SkillPublish"]}`,
		OpDeleteSubscription: "DELETE" + base + "subscriptions/" + subscription,
	}
	for name, tt := range good() {
		got := ""
		c := setup(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(body))
			always(tt.status, tt.location, tt.body)(w, r)
		})
		_, err := operations(c)[name](t.Context())
		require.NoError(t, err)
		require.Equal(t, want[name], got)
	}
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/v0/developmentEvents/subscriptions/a%2Fb%3F%23", r.URL.EscapedPath())
		w.WriteHeader(http.StatusNoContent)
	})
	require.NoError(t, c.DeleteSubscription(t.Context(), "a/b?#"))
}

func TestIDsComeFromTheLocation(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"/v0/developmentEvents/subscribers/amzn1.ask-subscriber.1":               "amzn1.ask-subscriber.1",
		"/v0/developmentEvents/subscribers/amzn1.ask-subscriber.1/":              "amzn1.ask-subscriber.1",
		"https://api.amazonalexa.com/v0/developmentEvents/subscribers/a%2Fb?x=1": "a/b",
		"": "", "/": "", "subscribers/": "", "/v0/developmentEvents/subscriptions/amzn1.x.1": "", "/v0/developmentEvents/subscribers/..": "",
		"/v0/developmentEvents/subscribers/a%20b": "", "/v0/developmentEvents/subscribers": "", "%zz": "", "/subscribers/%zz": "",
	} {
		c := setup(t, always(201, location, ""))
		made, err := c.CreateSubscriber(t.Context(), vendor, subscriberParams())
		if want != "" {
			require.NoError(t, err, location)
			require.Equal(t, want, made.ID)
			continue
		}
		e := asRemote(t, err)
		require.ErrorIs(t, e, remote.ErrUnreadable, location)
		require.True(t, e.MaybeSent(), "there is one now, whatever it is called")
		require.Contains(t, e.Error(), "read before writing again, with `fleetctl event subscriber list --account acme`")
	}
}

func TestNothingIsSentThatCannotBe(t *testing.T) {
	t.Parallel()
	c := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	ctx := t.Context()
	for _, id := range []string{"", ".", "..", "a b", "\xff", strings.Repeat("x", 256)} {
		_, err := c.CreateSubscriber(ctx, id, subscriberParams())
		require.Equal(t, "vendor_id", field(t, err))
		_, err = c.GetSubscriber(ctx, id)
		require.Equal(t, "subscriber_id", field(t, err))
		_, err = c.ListSubscribers(ctx, id)
		require.Equal(t, "vendor_id", field(t, err))
		require.Equal(t, "subscriber_id", field(t, c.UpdateSubscriber(ctx, id, subscriberParams())))
		require.Equal(t, "subscriber_id", field(t, c.DeleteSubscriber(ctx, id)))
		_, err = c.CreateSubscription(ctx, id, subscriber, subscriptionParams())
		require.Equal(t, "vendor_id", field(t, err))
		_, err = c.CreateSubscription(ctx, vendor, id, subscriptionParams())
		require.Equal(t, "subscriber_id", field(t, err))
		_, err = c.GetSubscription(ctx, id)
		require.Equal(t, "subscription_id", field(t, err))
		_, err = c.ListSubscriptions(ctx, id, "")
		require.Equal(t, "vendor_id", field(t, err))
		if id != "" {
			_, err = c.ListSubscriptions(ctx, vendor, id)
			require.Equal(t, "subscriber_id", field(t, err))
		}
		require.Equal(t, "subscription_id", field(t, c.UpdateSubscription(ctx, id, subscriptionParams())))
		require.Equal(t, "subscription_id", field(t, c.DeleteSubscription(ctx, id)))
	}
	for _, name := range []string{"", "a\nb", "\xff", strings.Repeat("x", 256)} {
		p, q := subscriberParams(), subscriptionParams()
		p.Name, q.Name = name, name
		require.Equal(t, "name", field(t, c.UpdateSubscriber(ctx, subscriber, p)))
		require.Equal(t, "name", field(t, c.UpdateSubscription(ctx, subscription, q)))
	}
	p := subscriberParams()
	p.Endpoint.URI = "a b"
	require.Equal(t, "uri", field(t, c.UpdateSubscriber(ctx, subscriber, p)))
	p = subscriberParams()
	p.Endpoint.RoleARN = ""
	_, err := c.CreateSubscriber(ctx, vendor, p)
	require.Equal(t, "role_arn", field(t, err))
	for _, events := range [][]string{
		nil, {""}, {"a b"}, {strings.Repeat("x", 129)}, {"A", "A"}, {"A", "AlexaDevelopmentEvent.ALL"}, {"AlexaDevelopmentEvent.All", "B"},
	} {
		require.Equal(t, "events", field(t, c.UpdateSubscription(ctx, subscription, SubscriptionParams{Name: "n", Events: events})))
	}
	for _, wildcard := range Wildcards() {
		require.NoError(t, checkEvents([]string{wildcard}))
	}
}

func TestWhatCannotBeReadIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"name":"x"}`, `{"subscriberId":"","subscriptionId":""}`, `{"subscriberId":7,"subscriptionId":7}`, `<html>`, `{"subscriberId":"x"`,
		`{"subscribers":[{"name":"x"}],"subscriptions":[{"name":"x"}]}`, `{"subscribers":null,"subscriptions":null}`,
		`{"subscribers":[],"subscriptions":[],"_links":{"next":{"href":"/v0/x?page=2"}}}`, `{"subscriberId":"a b","subscriptionId":"a b"}`,
	} {
		for _, name := range []string{OpGetSubscriber, OpGetSubscription, OpListSubscribers, OpListSubscriptions} {
			_, err := operations(setup(t, always(200, "", body)))[name](t.Context())
			require.ErrorIs(t, err, remote.ErrUnreadable, "%s %s", name, body)
		}
	}
	for name := range operations(nil) {
		if isWrite(name) {
			_, err := operations(setup(t, always(200, "/v0/developmentEvents/subscribers/x", "<html>")))[name](t.Context())
			require.True(t, asRemote(t, err).MaybeSent(), name)
			continue
		}
		_, err := operations(setup(t, always(404, "", "<html>")))[name](t.Context())
		e := asRemote(t, err)
		require.ErrorIs(t, e, remote.ErrUnreadable, name)
		require.True(t, e.Temporary())
	}
}

func TestTheGateStopsAWrite(t *testing.T) {
	t.Parallel()
	c := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	ctx := remote.WithGate(t.Context(), func(context.Context) error { return errNoSlot })
	for name, call := range operations(c) {
		_, err := call(ctx)
		require.ErrorIs(t, err, errNoSlot, name)
	}
}
