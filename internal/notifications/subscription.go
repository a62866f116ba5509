package notifications

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"fleetd/internal/remote"
)

// Subscription says which events of a vendor's skills go to which subscriber.
type Subscription struct {
	ID           string
	Name         string
	SubscriberID string
	VendorID     string
	Events       []string
}

// SubscriptionParams describes a subscription.
type SubscriptionParams struct {
	Name   string
	Events []string // at least one; a wildcard only alone
}

func (p SubscriptionParams) check() error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	return checkEvents(p.Events)
}

// CreateSubscription subscribes a subscriber to events of a vendor's skills. An error
// whose MaybeSent is true leaves open whether there is a subscription now: list them
// before writing again.
func (c *Client) CreateSubscription(ctx context.Context, vendorID, subscriberID string, p SubscriptionParams) (Created, error) {
	if err := remote.CheckID("vendor_id", vendorID); err != nil {
		return Created{}, err
	}
	if err := remote.CheckID("subscriber_id", subscriberID); err != nil {
		return Created{}, err
	}
	if err := p.check(); err != nil {
		return Created{}, err
	}
	return c.create(ctx, OpCreateSubscription, subscriptions, subscriptionWire{
		Name: p.Name, Events: p.Events, VendorID: vendorID, SubscriberID: subscriberID,
	})
}

// GetSubscription reads a subscription. One that is not there is a *remote.Error of
// status 404. (The reference's text has a page here; its example is the object.)
func (c *Client) GetSubscription(ctx context.Context, id string) (Subscription, error) {
	var out subscriptionWire
	if err := c.get(ctx, OpGetSubscription, subscriptions, "subscription_id", id, &out); err != nil {
		return Subscription{}, err
	}
	return out.subscription(), nil
}

// ListSubscriptions lists all subscriptions of a vendor, page after page; where
// subscriberID is not empty, only those of that subscriber. The vendor is always sent,
// as the official clients do: the reference asks for either.
func (c *Client) ListSubscriptions(ctx context.Context, vendorID, subscriberID string) ([]Subscription, error) {
	if err := remote.CheckID("vendor_id", vendorID); err != nil {
		return nil, err
	}
	query := url.Values{"vendorId": {vendorID}}
	if subscriberID != "" {
		if err := remote.CheckID("subscriber_id", subscriberID); err != nil {
			return nil, err
		}
		query.Set("subscriberId", subscriberID)
	}
	var all []Subscription
	err := c.list(ctx, OpListSubscriptions, subscriptions, query, func() pageWire { return &subscriptionPage{} }, func(p pageWire) {
		page, _ := p.(*subscriptionPage)
		for _, s := range *page.Subscriptions {
			all = append(all, s.subscription())
		}
	})
	if err != nil {
		return nil, err
	}
	return unique(all, func(s Subscription) string { return s.ID }), nil
}

// UpdateSubscription replaces the name and the events of a subscription.
func (c *Client) UpdateSubscription(ctx context.Context, id string, p SubscriptionParams) error {
	if err := remote.CheckID("subscription_id", id); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	return c.put(ctx, OpUpdateSubscription, subscriptions, id, subscriptionWire{Name: p.Name, Events: p.Events})
}

// DeleteSubscription deletes a subscription.
func (c *Client) DeleteSubscription(ctx context.Context, id string) error {
	return c.delete(ctx, OpDeleteSubscription, subscriptions, "subscription_id", id, nil)
}

// subscriptionWire is a subscription as the API reads and writes it.
type subscriptionWire struct {
	SubscriptionID string   `json:"subscriptionId,omitempty"`
	Name           string   `json:"name"`
	Events         []string `json:"events"`
	VendorID       string   `json:"vendorId,omitempty"`
	SubscriberID   string   `json:"subscriberId,omitempty"`
}

// Check reports a subscription without an ID: it is no answer.
func (s *subscriptionWire) Check() error {
	if err := remote.CheckID("subscriptionId", s.SubscriptionID); err != nil {
		return errors.New("the subscription has no ID that could be one")
	}
	return nil
}

func (s *subscriptionWire) subscription() Subscription {
	return Subscription{ID: s.SubscriptionID, Name: s.Name, SubscriberID: s.SubscriberID, VendorID: s.VendorID, Events: s.Events}
}

type subscriptionPage struct {
	paging

	Subscriptions *[]subscriptionWire `json:"subscriptions"`
}

// Check reports a page that is none, or that holds what nobody could name.
func (p *subscriptionPage) Check() error {
	if err := p.check(p.Subscriptions != nil); err != nil {
		return err
	}
	if p.Subscriptions == nil {
		p.Subscriptions = &[]subscriptionWire{}
	}
	for i := range *p.Subscriptions {
		if err := (*p.Subscriptions)[i].Check(); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}
