package notifications

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	vendor       = "M2VENDOR"
	subscriber   = "amzn1.ask-subscriber.00000000-0000-0000-0000-000000000001"
	subscription = "amzn1.ask-subscription.00000000-0000-0000-0000-000000000002"
	topic        = "arn:aws:sns:us-east-1:123456789012:events"
	role         = "arn:aws:iam::123456789012:role/alexa"
)

// slots is a budget of so many requests; below zero: of any number.
type slots struct {
	mu   sync.Mutex
	left int
}

var errNoSlot = errors.New("no more slots")

func (s *slots) Take(ctx context.Context, _ remote.Class) (remote.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return remote.Slot{}, errNoSlot
	}
	s.left--
	return remote.Slot{}, ctx.Err()
}
func (*slots) Done(context.Context, remote.Slot, remote.Answer) {}

type fixedToken struct{}

func (fixedToken) Token(context.Context) (string, error)           { return "Atza|x", nil }
func (fixedToken) Refresh(context.Context, string) (string, error) { return "Atza|y", nil }

// handled is a transport that a handler answers in the place of a server.
type handled http.HandlerFunc

// RoundTrip asks the handler.
func (h handled) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if req.Body == nil {
		req.Body = http.NoBody
	}
	h(w, req)
	return w.Result(), nil
}

func limited(t require.TestingT, left int, h http.HandlerFunc) *Client {
	c, err := remote.NewClient(remote.Config{
		Account: "acme", BaseURL: "https://api.amazonalexa.com", Tokens: fixedToken{}, Limiter: &slots{left: left}, Base: handled(h), Timeout: 5 * time.Second,
	})
	require.NoError(t, err)
	return New(c)
}

func setup(t require.TestingT, h http.HandlerFunc) *Client { return limited(t, -1, h) }

// always answers every request the same; Location may be empty.
func always(status int, location, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-RequestId", "req-1")
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func asRemote(t require.TestingT, err error) *remote.Error {
	require.Error(t, err)
	var e *remote.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, API, e.API)
	return e
}

func field(t *testing.T, err error) string {
	t.Helper()
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, fleet.CodeInvalid, e.Code)
	return e.Field
}

func subscriberParams() SubscriberParams {
	return SubscriberParams{Name: "ours", Endpoint: Endpoint{URI: topic, RoleARN: role}}
}

func subscriptionParams() SubscriptionParams {
	return SubscriptionParams{Name: "builds", Events: []string{"AlexaDevelopmentEvent.ManifestUpdate", "AlexaDevelopmentEvent.SkillPublish"}}
}

// operations are all ten; what they return is what is left of it as one value.
func operations(c *Client) map[string]func(ctx context.Context) (any, error) {
	return map[string]func(ctx context.Context) (any, error){
		OpCreateSubscriber: func(ctx context.Context) (any, error) { return c.CreateSubscriber(ctx, vendor, subscriberParams()) },
		OpGetSubscriber:    func(ctx context.Context) (any, error) { return c.GetSubscriber(ctx, subscriber) },
		OpListSubscribers:  func(ctx context.Context) (any, error) { return c.ListSubscribers(ctx, vendor) },
		OpUpdateSubscriber: func(ctx context.Context) (any, error) {
			return nil, c.UpdateSubscriber(ctx, subscriber, subscriberParams())
		},
		OpDeleteSubscriber: func(ctx context.Context) (any, error) { return nil, c.DeleteSubscriber(ctx, subscriber) },
		OpCreateSubscription: func(ctx context.Context) (any, error) {
			return c.CreateSubscription(ctx, vendor, subscriber, subscriptionParams())
		},
		OpGetSubscription:   func(ctx context.Context) (any, error) { return c.GetSubscription(ctx, subscription) },
		OpListSubscriptions: func(ctx context.Context) (any, error) { return c.ListSubscriptions(ctx, vendor, subscriber) },
		OpUpdateSubscription: func(ctx context.Context) (any, error) {
			return nil, c.UpdateSubscription(ctx, subscription, subscriptionParams())
		},
		OpDeleteSubscription: func(ctx context.Context) (any, error) { return nil, c.DeleteSubscription(ctx, subscription) },
	}
}

func isWrite(operation string) bool {
	return operation[:4] != "get_" && operation[:5] != "list_"
}
