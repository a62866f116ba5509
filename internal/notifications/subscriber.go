package notifications

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// AuthorizationType is the only way to be let in that the API knows: a role of AWS.
const AuthorizationType = "AWS_IAM"

// Subscriber is where notifications go.
type Subscriber struct {
	ID       string
	Name     string
	ClientID string // of lists; empty where the answer had none
	Status   string // ACTIVE or INACTIVE, of lists; empty where the answer had none
	Endpoint Endpoint
}

// Endpoint is what notifications are published to, and the right to.
type Endpoint struct {
	URI     string // the ARN of an SNS topic
	RoleARN string // the role that may publish to it
}

func (e Endpoint) check() error {
	for _, f := range []struct{ field, value, example string }{
		{"uri", e.URI, "arn:aws:sns:us-east-1:123456789012:skill-events"},
		{"role_arn", e.RoleARN, "arn:aws:iam::123456789012:role/alexa-events"},
	} {
		if err := remote.CheckID(f.field, f.value); err != nil {
			return fleet.Invalidf(f.field, "a subscriber needs an ARN of up to 255 characters without white space, such as %s", f.example)
		}
	}
	return nil
}

// SubscriberParams describes a subscriber.
type SubscriberParams struct {
	Name     string
	Endpoint Endpoint
}

func (p SubscriberParams) check() error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	return p.Endpoint.check()
}

// CreateSubscriber makes a subscriber for a vendor. The API then sends an empty JSON
// object to its endpoint. An error whose MaybeSent is true leaves open whether there is
// one now: list them before writing again, for names need not be unique.
func (c *Client) CreateSubscriber(ctx context.Context, vendorID string, p SubscriberParams) (Created, error) {
	if err := remote.CheckID("vendor_id", vendorID); err != nil {
		return Created{}, err
	}
	if err := p.check(); err != nil {
		return Created{}, err
	}
	body := wireOf(p)
	body.VendorID = vendorID
	return c.create(ctx, OpCreateSubscriber, subscribers, body)
}

// GetSubscriber reads a subscriber. One that is not there is a *remote.Error of status 404.
func (c *Client) GetSubscriber(ctx context.Context, id string) (Subscriber, error) {
	var out subscriberWire
	if err := c.get(ctx, OpGetSubscriber, subscribers, "subscriber_id", id, &out); err != nil {
		return Subscriber{}, err
	}
	return out.subscriber(), nil
}

// ListSubscribers lists all subscribers of a vendor, page after page.
func (c *Client) ListSubscribers(ctx context.Context, vendorID string) ([]Subscriber, error) {
	if err := remote.CheckID("vendor_id", vendorID); err != nil {
		return nil, err
	}
	var all []Subscriber
	err := c.list(ctx, OpListSubscribers, subscribers, url.Values{"vendorId": {vendorID}}, func() pageWire { return &subscriberPage{} }, func(p pageWire) {
		page, _ := p.(*subscriberPage)
		for _, s := range *page.Subscribers {
			all = append(all, s.subscriber())
		}
	})
	if err != nil {
		return nil, err
	}
	return unique(all, func(s Subscriber) string { return s.ID }), nil
}

// UpdateSubscriber replaces the name and the endpoint of a subscriber.
func (c *Client) UpdateSubscriber(ctx context.Context, id string, p SubscriberParams) error {
	if err := remote.CheckID("subscriber_id", id); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	return c.put(ctx, OpUpdateSubscriber, subscribers, id, wireOf(p))
}

// DeleteSubscriber deletes a subscriber that has no subscriptions.
func (c *Client) DeleteSubscriber(ctx context.Context, id string) error {
	return c.delete(ctx, OpDeleteSubscriber, subscribers, "subscriber_id", id, map[int]string{
		http.StatusBadRequest: "delete its subscriptions first: `fleetctl event subscription list --subscriber ID` shows them",
	})
}

// subscriberWire is a subscriber as the API reads and writes it.
type subscriberWire struct {
	SubscriberID string        `json:"subscriberId,omitempty"`
	Name         string        `json:"name"`
	VendorID     string        `json:"vendorId,omitempty"`
	ClientID     string        `json:"clientId,omitempty"`
	Status       string        `json:"status,omitempty"`
	Endpoint     *endpointWire `json:"endpoint"`
}

type endpointWire struct {
	URI           string             `json:"uri"`
	Authorization *authorizationWire `json:"authorization"`
}

type authorizationWire struct {
	Type string `json:"type"`
	ARN  string `json:"arn"`
}

func wireOf(p SubscriberParams) subscriberWire {
	return subscriberWire{Name: p.Name, Endpoint: &endpointWire{
		URI: p.Endpoint.URI, Authorization: &authorizationWire{Type: AuthorizationType, ARN: p.Endpoint.RoleARN},
	}}
}

// Check reports a subscriber without an ID: it is no answer.
func (s *subscriberWire) Check() error {
	if err := remote.CheckID("subscriberId", s.SubscriberID); err != nil {
		return errors.New("the subscriber has no ID that could be one")
	}
	return nil
}

func (s *subscriberWire) subscriber() Subscriber {
	out := Subscriber{ID: s.SubscriberID, Name: s.Name, ClientID: s.ClientID, Status: s.Status}
	if s.Endpoint != nil {
		out.Endpoint.URI = s.Endpoint.URI
		if s.Endpoint.Authorization != nil {
			out.Endpoint.RoleARN = s.Endpoint.Authorization.ARN
		}
	}
	return out
}

type subscriberPage struct {
	paging

	Subscribers *[]subscriberWire `json:"subscribers"`
}

// Check reports a page that is none, or that holds what nobody could name.
func (p *subscriberPage) Check() error {
	if err := p.check(p.Subscribers != nil); err != nil {
		return err
	}
	if p.Subscribers == nil {
		p.Subscribers = &[]subscriberWire{}
	}
	for i := range *p.Subscribers {
		if err := (*p.Subscribers)[i].Check(); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}
