package simulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/simulator"
	"fleetd/internal/simulator/topic"
)

const (
	eventually = 20 * time.Second
	tick       = time.Millisecond
)

// inbox is an endpoint that confirms its subscription and keeps the notifications it gets.
type inbox struct {
	c    *client
	base string // of the simulator
	url  string
	hook topic.Hook

	mu   sync.Mutex
	got  []map[string]string
	heed int // status to answer
}

func startInbox(c *client) *inbox {
	c.t.Helper()
	b := &inbox{c: c, heed: http.StatusOK}
	sim, endpoint := httptest.NewServer(c.sim), httptest.NewServer(http.HandlerFunc(b.receive))
	c.t.Cleanup(func() { c.sim.Close(); endpoint.Close(); sim.Close() })
	b.base, b.url = sim.URL, endpoint.URL
	b.hook = post[topic.Hook](b, "/_sim/hooks", fmt.Sprintf(`{"url":%q}`, endpoint.URL))
	require.Eventually(c.t, func() bool { return c.sim.Hooks()[0].State == topic.Confirmed }, eventually, tick)
	return b
}

func (b *inbox) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m map[string]string
	_ = json.Unmarshal(body, &m) // Some are bad on purpose.
	b.mu.Lock()
	defer b.mu.Unlock()
	switch r.Header.Get("x-amz-sns-message-type") {
	case "SubscriptionConfirmation":
		if resp, err := http.Get(m["SubscribeURL"]); err == nil {
			_ = resp.Body.Close()
		}
	case "Notification":
		b.got = append(b.got, m)
	}
	w.WriteHeader(b.heed)
}

// post does a control over TCP, because messages have the address it was asked at.
func post[T any](b *inbox, path, body string) (v T) {
	b.c.t.Helper()
	resp, err := http.Post(b.base+path, "application/json", strings.NewReader(body))
	require.NoError(b.c.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(b.c.t, err)
	require.Equal(b.c.t, http.StatusOK, resp.StatusCode, "%s", text)
	require.NoError(b.c.t, json.Unmarshal(text, &v), "%s", text)
	return v
}

// messages waits until nothing is under way and n notifications came, and returns them.
func (b *inbox) messages(n int) []map[string]string {
	b.c.t.Helper()
	var got []map[string]string
	require.Eventually(b.c.t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		got = append([]map[string]string(nil), b.got...)
		return len(got) >= n && b.c.sim.Deliveries(topic.DeliveriesParams{}).Pending == 0
	}, eventually, tick)
	require.Len(b.c.t, got, n)
	return got
}

// sdnsEvent is an event as facts section 8 has it.
type sdnsEvent struct {
	RequestID, Timestamp, EventName string
	Payload                         struct {
		Status           string
		Actor            struct{ CustomerID string }
		Subscription     struct{ SubscriptionID string }
		Skill            struct{ SkillID, VendorID string }
		InteractionModel struct{ SkillID, VendorID, Locale string }
		Review           struct{ ReviewID, URL, StarRating string }
	}
}

func eventOf(t *testing.T, m map[string]string) (e sdnsEvent) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(m["Message"]), &e), m["Message"])
	return e
}

func TestSubscriberCreationPublishesAnEmptyObject(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	b := startInbox(c)
	c.created(subscribersPath, strings.Replace(subscriberBody("elsewhere", vendorID), topic.DefaultARN, topic.DefaultARN+"-2", 1))
	c.subscriber()
	m := b.messages(1)[0]
	require.JSONEq(t, `{}`, m["Message"])
	require.Equal(t, topic.DefaultARN, m["TopicArn"])
	require.True(t, strings.HasPrefix(m["SigningCertURL"], b.base+"/_sim/sns/"))
}

func TestEventsGoToTheSubscriptionsThatAskForThem(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	b := startInbox(c)
	subscriber := c.subscriber()
	subscribe := func(events ...string) string {
		return c.created(subscriptionsPath, subscriptionBody("x", vendorID, subscriber, events...))
	}
	publishes, wildcard := subscribe(simulator.EventSkillPublish, simulator.EventSkillReviewPublish), subscribe("AlexaDevelopmentEvent.ALL")
	theirs := other.created(subscribersPath, subscriberBody("theirs", otherVendorID))
	other.created(subscriptionsPath, subscriptionBody("theirs", otherVendorID, theirs, "AlexaDevelopmentEvent.All"))
	b.messages(2) // those of the creation
	asked := func(body string) (subscriptions []string) {
		for _, e := range post[struct{ Items []simulator.Event }](b, "/_sim/events", body).Items {
			require.Equal(t, []string{b.hook.ID}, e.Hooks)
			subscriptions = append(subscriptions, e.SubscriptionID)
		}
		return subscriptions
	}
	require.Equal(t, []string{publishes, wildcard}, asked(`{"name":"SkillPublish","skill_id":"s"}`))
	require.Equal(t, []string{wildcard}, asked(`{"name":"AlexaDevelopmentEvent.ManifestUpdate","skill_id":"s","status":"FAILED","request_id":"r",`+
		`"actor":"a","timestamp":"2026-01-02T03:04:05+01:00"}`))
	require.Equal(t, []string{wildcard}, asked(`{"name":"InteractionModelUpdate","skill_id":"s","locale":"de-DE"}`))
	require.Equal(t, []string{publishes}, asked(`{"name":"SkillReviewPublish","skill_id":"s","star_rating":"2","review_id":"v"}`), "the wildcard is of development events")
	require.Equal(t, []string{wildcard}, asked(`{"name":"AlexaDevelopmentEvent.Unheard","skill_id":"s"}`))
	require.Empty(t, asked(`{"name":"Some.Other","skill_id":"s"}`))
	require.Equal(t, []string{publishes}, asked(`{"name":"SkillCertification","skill_id":"s","subscription_id":"`+publishes+`"}`))

	messages := b.messages(9)[2:]
	require.Equal(t, publishes, eventOf(t, messages[0]).Payload.Subscription.SubscriptionID)
	require.Equal(t, wildcard, eventOf(t, messages[1]).Payload.Subscription.SubscriptionID)
	require.NotEmpty(t, eventOf(t, messages[0]).RequestID)
	require.JSONEq(t, `{"requestId":"r","timestamp":"2026-01-02T02:04:05Z","eventName":"AlexaDevelopmentEvent.ManifestUpdate","payload":{"status":"FAILED",`+
		`"actor":{"customerId":"a"},"subscription":{"subscriptionId":"`+wildcard+`"},"skill":{"skillId":"s","vendorId":"`+vendorID+`"}}}`, messages[2]["Message"])
	model := eventOf(t, messages[3]).Payload
	require.Equal(t, "de-DE", model.InteractionModel.Locale)
	require.Equal(t, "s", model.InteractionModel.SkillID)
	require.NotContains(t, messages[3]["Message"], `"skill":`)
	review := eventOf(t, messages[4])
	require.Empty(t, review.RequestID)
	require.Empty(t, review.Payload.Status)
	require.Equal(t, "2", review.Payload.Review.StarRating)
	require.Equal(t, "v", review.Payload.Review.ReviewID)

	events := decode[struct {
		Items     []simulator.Event
		NextSince uint64 `json:"next_since"`
	}](t, c.control("GET", "/_sim/events?since=2", ""))
	require.Len(t, events.Items, 5)
	require.EqualValues(t, 7, events.NextSince)
	require.JSONEq(t, messages[2]["Message"], string(events.Items[0].Event))
	require.Equal(t, messages[2]["MessageId"], events.Items[0].MessageID)
}

func TestEventControlRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	for _, body := range []string{
		`{"skill_id":"s"}`, `{"name":"Nothing","skill_id":"s"}`, `{"name":"SkillPublish"}`, `{"name":"SkillPublish","skill_id":"s","status":"DONE"}`,
		`{"name":"SkillPublish","skill_id":"s","topic_arn":"x"}`, `{"name":"SkillPublish","skill_id":"s","subscription_id":"x"}`, `{"label":"SkillPublish"}`,
	} {
		require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/events", body).Code, body)
	}
	for _, body := range []string{
		`{"as":"nonsense"}`, `{}`, `{"hook":"hook-1"}`, `{"age":"long"}`, `{"message":"{}","event":{"name":"SkillPublish","skill_id":"s"}}`, `{"event":{}}`,
	} {
		require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/deliveries", body).Code, body)
	}
	for _, target := range []string{"/_sim/deliveries?since=x", "/_sim/deliveries?limit=-1", "/_sim/events?since=x"} {
		require.Equal(t, http.StatusBadRequest, c.do("GET", target, "").Code, target)
	}
	require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/hooks", `{"url":"http://example.com/"}`).Code)
	require.Equal(t, http.StatusBadRequest, c.do("DELETE", "/_sim/hooks/hook-7", "").Code)
	require.Empty(t, c.sim.Events(0))
}

func TestEventsToATopicNeedNoSubscription(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	b := startInbox(c)
	post[any](b, "/_sim/events", `{"name":"SkillPublish","skill_id":"s","topic_arn":"`+topic.DefaultARN+`"}`)
	require.Contains(t, eventOf(t, b.messages(1)[0]).Payload.Subscription.SubscriptionID, "amzn1.ask-subscription.")
}

func TestDeliveriesTellHowMessagesWereAnswered(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{HookRetryDelay: tick})
	b := startInbox(c)
	b.mu.Lock()
	b.heed = http.StatusForbidden
	b.mu.Unlock()
	forged := post[topic.Delivery](b, "/_sim/deliveries", `{"as":"forged","event":{"name":"SkillPublish","skill_id":"s"}}`)
	require.Equal(t, http.StatusForbidden, forged.Status)
	require.Equal(t, topic.Refused, forged.Outcome)
	old := post[topic.Delivery](b, "/_sim/deliveries", `{"hook":"`+b.hook.ID+`","as":"old","age":"9h","message":"{}"}`)
	require.Equal(t, topic.AsOld, old.As)
	messages := b.messages(2)
	require.Contains(t, messages[0]["Message"], "SkillPublish")
	at, err := time.Parse(time.RFC3339, messages[1]["Timestamp"])
	require.NoError(t, err)
	require.InDelta(t, 9, time.Since(at).Hours(), 0.1)
	deliveries := decode[topic.Deliveries](t, c.control("GET", "/_sim/deliveries?hook="+b.hook.ID, ""))
	require.Len(t, deliveries.Items, 3, "the confirmation and the two")
	require.Equal(t, forged, deliveries.Items[1])

	b.mu.Lock()
	b.heed = http.StatusBadGateway
	b.mu.Unlock()
	require.NoError(t, c.sim.SetFaults(simulator.Faults{EventDuplicate: 1, DeliveryDuplicate: 1}))
	post[any](b, "/_sim/events", `{"name":"SkillPublish","skill_id":"s","topic_arn":"`+topic.DefaultARN+`"}`)
	messages = b.messages(2 + 2*2*(1+topic.DefaultRetries))
	ids := map[string]int{}
	for _, m := range messages[2:] {
		ids[m["MessageId"]]++
	}
	require.Len(t, ids, 2, "one event, two messages")
	require.Len(t, c.sim.Events(0), 2)
}

func TestResetForgetsSubscribersHooksAndEvents(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	b := startInbox(c)
	c.subscription(simulator.EventSkillPublish)
	b.messages(1)
	post[any](b, "/_sim/events", `{"name":"SkillPublish","skill_id":"s"}`)
	b.messages(2)
	c.sim.Reset(true)
	require.Empty(t, c.sim.Events(0))
	require.Empty(t, c.sim.Deliveries(topic.DeliveriesParams{}).Items)
	require.Len(t, c.sim.Hooks(), 1)
	require.Len(t, decode[subscriptionPage](t, c.do("GET", subscriptionsPath+"?vendorId="+vendorID, "")).Subscriptions, 1)
	c.sim.Reset(false)
	require.Empty(t, c.sim.Hooks())
	require.Empty(t, decode[subscriptionPage](t, c.do("GET", subscriptionsPath+"?vendorId="+vendorID, "")).Subscriptions)
}
