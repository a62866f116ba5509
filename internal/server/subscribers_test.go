package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	events       = "/v0/developmentEvents/"
	wireOne      = `{"subscriberId":"r1","name":"ours","status":"ACTIVE","clientId":"c","endpoint":{"uri":"arn:t","authorization":{"type":"AWS_IAM","arn":"arn:r"}}}`
	wireTwo      = `{"subscriptionId":"n1","name":"builds","subscriberId":"r1","vendorId":"M2VENDOR","events":["A.B"]}`
	subscribing  = `{"name":"ours","uri":"arn:t","role_arn":"arn:r","reason":"why"}`
	subscription = `{"name":"builds","events":["A.B"],"subscriber_id":"r1","reason":"why"}`
)

func TestSubscribersAndSubscriptions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := newAmazon(t, f, map[string]string{
		"GET " + events + "subscribers": `200 - {"subscribers":[` + wireOne + `]}`, "POST " + events + "subscribers": "201 " + events + "subscribers/r1 ",
		"GET " + events + "subscribers/r1": "200 - " + wireOne, "PUT " + events + "subscribers/r1": "204 - ", "DELETE " + events + "subscribers/r1": "204 - ",
		"GET " + events + "subscriptions": `200 - {"subscriptions":[` + wireTwo + `]}`, "POST " + events + "subscriptions": "201 " + events + "subscriptions/n1 ",
		"GET " + events + "subscriptions/n1": "200 - " + wireTwo, "PUT " + events + "subscriptions/n1": "204 - ", "DELETE " + events + "subscriptions/n1": "204 - ",
	})
	const (
		whole = `{"id":"r1","name":"ours","uri":"arn:t","role_arn":"arn:r","status":"ACTIVE","client_id":"c"}`
		made  = `{"id":"r1","name":"ours","uri":"arn:t","role_arn":"arn:r","status":"","client_id":""}`
		two   = `{"id":"n1","name":"builds","subscriber_id":"r1","vendor_id":"M2VENDOR","events":["A.B"]}`
	)
	for _, tt := range []struct {
		method, path, body string
		status             int
		want, asked        string
	}{
		{"GET", "subscribers", "", 200, `{"items":[` + whole + `],"next_cursor":""}`, "subscribers?maxResults=50&vendorId=M2VENDOR"},
		{"POST", "subscribers", subscribing, 201, made, `subscribers {"name":"ours","vendorId":"M2VENDOR","endpoint":{"uri":"arn:t","authorization":{"type":"AWS_IAM","arn":"arn:r"}}}`},
		{"GET", "subscribers/r1", "", 200, whole, "subscribers/r1"},
		{"PUT", "subscribers/r1", subscribing, 200, made, `subscribers/r1 {"name":"ours","endpoint":{"uri":"arn:t","authorization":{"type":"AWS_IAM","arn":"arn:r"}}}`},
		{"DELETE", "subscribers/r1?reason=why", "", 204, "", "subscribers/r1"},
		{"GET", "subscriptions?subscriber=r1", "", 200, `{"items":[` + two + `],"next_cursor":""}`, "subscriptions?maxResults=50&subscriberId=r1&vendorId=M2VENDOR"},
		{"POST", "subscriptions", subscription, 201, two, `subscriptions {"name":"builds","events":["A.B"],"vendorId":"M2VENDOR","subscriberId":"r1"}`},
		{"GET", "subscriptions/n1", "", 200, two, "subscriptions/n1"},
		{"PUT", "subscriptions/n1", `{"name":"builds","events":["A.B"],"reason":"why"}`, 200, strings.Replace(two, `"r1"`, `""`, 1), `subscriptions/n1 {"name":"builds","events":["A.B"]}`},
		{"DELETE", "subscriptions/n1?reason=why", "", 204, "", "subscriptions/n1"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			role := "viewer"
			if tt.method != http.MethodGet {
				role = "operator"
				require.Equal(t, 403, f.call(t, "viewer", tt.method, "/api/v1/accounts/acme/"+tt.path, reading(tt.body)).status)
			}
			got := f.call(t, role, tt.method, "/api/v1/accounts/acme/"+tt.path, reading(tt.body))
			require.Equal(t, tt.status, got.status, got.body)
			if tt.want != "" {
				require.JSONEq(t, tt.want, got.body)
			}
			asked := a.seen()
			require.Equal(t, tt.method+" "+events+tt.asked, asked[len(asked)-1])
		})
	}
	require.Equal(t, []string{
		"operator subscriber.create subscriber/r1 why", "operator subscriber.update subscriber/r1 why", "operator subscriber.delete subscriber/r1 why",
		"operator subscription.create subscription/n1 why", "operator subscription.update subscription/n1 why", "operator subscription.delete subscription/n1 why",
	}, f.logged(t))
}

func TestARepeatedCreateAnswersWithWhatTheFirstOneMade(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := newAmazon(t, f, map[string]string{
		"POST " + events + "subscribers": "201 " + events + "subscribers/r1 ", "POST " + events + "subscriptions": "500 - {}",
	})
	for i := range 2 {
		got := f.call(t, "operator", http.MethodPost, "/api/v1/accounts/acme/subscribers", reading(subscribing), "Idempotency-Key", "k1")
		require.Equal(t, 201, got.status, got.body)
		require.Contains(t, got.body, `"id":"r1"`)
		require.Equal(t, i == 1, got.header.Get("Idempotency-Replayed") == "true")
	}
	require.Len(t, a.seen(), 1)
	got := f.call(t, "operator", http.MethodPost, "/api/v1/accounts/acme/subscriptions", reading(subscription), "Idempotency-Key", "k1")
	require.Equal(t, 422, got.status, "a key is that of one request: %s", got.body)
	for _, want := range []int{502, 409} {
		got = f.call(t, "operator", http.MethodPost, "/api/v1/accounts/acme/subscriptions", reading(subscription), "Idempotency-Key", "k2")
		require.Equal(t, want, got.status, got.body)
	}
	require.Len(t, a.seen(), 2, "what may have been made is not made again")
}

func TestARepeatedSubscriptionIsAnsweredWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := newAmazon(t, f, map[string]string{"POST " + events + "subscriptions": "201 " + events + "subscriptions/n1 "})
	for range 2 {
		got := f.call(t, "operator", http.MethodPost, "/api/v1/accounts/acme/subscriptions", reading(subscription), "Idempotency-Key", "k1")
		require.Equal(t, 201, got.status, got.body)
		require.JSONEq(t, `{"id":"n1","name":"builds","subscriber_id":"r1","vendor_id":"M2VENDOR","events":["A.B"]}`, got.body)
	}
	require.Len(t, a.seen(), 1)
}

func TestRefusalsOfNotifications(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := newAmazon(t, f, map[string]string{
		"DELETE " + events + "subscribers/r1": `400 - {"message":"it has subscriptions"}`, "POST " + events + "subscribers": "500 - {}", "POST " + events + "subscriptions": "201 - ",
	})
	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"DELETE", "subscribers/r1", "", 422, "fleetctl event subscription list"},
		{"POST", "subscribers", subscribing, 502, "read before writing again"},
		{"POST", "subscriptions", subscription, 502, "no Location"},
		{"GET", "subscribers/r2", "", 404, "there is none of that ID"},
		{"PUT", "subscriptions/n2", `{"name":"n","events":["A","AlexaDevelopmentEvent.ALL"]}`, 422, "must be the only one"},
		{"PUT", "subscriptions/n2", `{"name":"n","events":[]}`, 422, "events"},
		{"POST", "subscribers", `{"name":"n","uri":"a b","role_arn":"r"}`, 422, "ARN"},
	} {
		got := f.call(t, "operator", tt.method, "/api/v1/accounts/acme/"+tt.path, reading(tt.body))
		require.Equal(t, tt.status, got.status, "%s %s: %s", tt.method, tt.path, got.body)
		require.Contains(t, got.body, tt.says)
	}
	require.Len(t, a.seen(), 4)
	require.Equal(t, []string{"operator subscriber.create subscriber/ why (in_doubt)", "operator subscription.create subscription/ why (in_doubt)"}, f.logged(t))
}

// reading is a body, none where it is empty.
func reading(body string) io.Reader {
	if body == "" {
		return nil
	}
	return strings.NewReader(body)
}
