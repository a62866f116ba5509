package server

import (
	"context"
	"net/http"

	"fleetd/internal/apis"
	"fleetd/internal/fleet"
	"fleetd/internal/notifications"
)

// Subscriber is where notifications of a vendor go; the JSON of the API.
type Subscriber struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	URI      string `json:"uri" doc:"ARN of the SNS topic that notifications are published to."`
	RoleARN  string `json:"role_arn" doc:"ARN of the AWS role that may publish to it."`
	Status   string `json:"status" doc:"ACTIVE or INACTIVE, in lists; empty where the API did not say."`
	ClientID string `json:"client_id" doc:"In lists; empty where the API did not say."`
}

// Subscription says which events of a vendor's skills go to which subscriber.
type Subscription struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	SubscriberID string   `json:"subscriber_id" doc:"Where the events go; empty in the answer to an update, which cannot change it."`
	VendorID     string   `json:"vendor_id"`
	Events       []string `json:"events"`
}

// subscriberBody is the body of createSubscriber and updateSubscriber.
type subscriberBody struct {
	Name    string `json:"name" minLength:"1" maxLength:"255"`
	URI     string `json:"uri" minLength:"1" maxLength:"255" doc:"ARN of the SNS topic that notifications are published to."`
	RoleARN string `json:"role_arn" minLength:"1" maxLength:"255" doc:"ARN of the AWS role that may publish to it."`
	Reason  string `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

func (b *subscriberBody) params() notifications.SubscriberParams {
	return notifications.SubscriberParams{Name: b.Name, Endpoint: notifications.Endpoint{URI: b.URI, RoleARN: b.RoleARN}}
}

func (b *subscriberBody) subscriber(id string) *subscriberOut {
	return &subscriberOut{Body: Subscriber{ID: id, Name: b.Name, URI: b.URI, RoleARN: b.RoleARN}}
}

// subscriptionBody is the body of updateSubscription.
type subscriptionBody struct {
	Name   string   `json:"name" minLength:"1" maxLength:"255"`
	Events []string `json:"events" minItems:"1" maxItems:"100" doc:"Names of events, such as AlexaDevelopmentEvent.SkillPublish; AlexaDevelopmentEvent.ALL only alone."`
	Reason string   `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// subscriptionCreate is the body of createSubscription.
type subscriptionCreate struct {
	Name         string   `json:"name" minLength:"1" maxLength:"255"`
	Events       []string `json:"events" minItems:"1" maxItems:"100" doc:"Names of events, such as AlexaDevelopmentEvent.SkillPublish; AlexaDevelopmentEvent.ALL only alone."`
	SubscriberID string   `json:"subscriber_id" minLength:"1" maxLength:"255" doc:"Where the events go."`
	Reason       string   `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// NotificationID is the subscriber or the subscription in the path.
type NotificationID struct {
	ID string `path:"id" maxLength:"255" doc:"Its ID."`
}

type subscriberOut struct {
	Replay

	Body Subscriber
}

type subscriberListOut struct{ Body *list[Subscriber] }

type subscriptionOut struct {
	Replay

	Body Subscription
}

type subscriptionListOut struct{ Body *list[Subscription] }

func (s *server) registerSubscribers() {
	const (
		tag  = "notifications"
		path = "/accounts/{name}/subscribers"
		text = "Read from the API, all pages of it."
	)
	register(s, operation{
		id: "listSubscribers", method: http.MethodGet, path: path, tag: tag, role: fleet.RoleViewer,
		summary: "List the subscribers of the account's vendor", text: text,
	}, s.listSubscribers)
	register(s, operation{
		id: "createSubscriber", method: http.MethodPost, path: path, tag: tag, role: fleet.RoleOperator, status: http.StatusCreated,
		summary: "Make a subscriber: an SNS topic that notifications of the vendor go to",
		text:    "The API sends an empty notification to it. " + textOnce,
	}, s.createSubscriber)
	register(s, operation{
		id: "getSubscriber", method: http.MethodGet, path: path + "/{id}", tag: tag, role: fleet.RoleViewer,
		summary: "Show a subscriber",
	}, s.getSubscriber)
	register(s, operation{
		id: "updateSubscriber", method: http.MethodPut, path: path + "/{id}", tag: tag, role: fleet.RoleOperator,
		summary: "Replace the name and the endpoint of a subscriber",
	}, s.updateSubscriber)
	register(s, operation{
		id: "deleteSubscriber", method: http.MethodDelete, path: path + "/{id}", tag: tag, role: fleet.RoleOperator, status: http.StatusNoContent,
		summary: "Delete a subscriber, whose subscriptions must be deleted first",
	}, s.deleteSubscriber)
	s.registerSubscriptions()
}

func (s *server) registerSubscriptions() {
	const (
		tag  = "notifications"
		path = "/accounts/{name}/subscriptions"
		text = "Read from the API, all pages of it."
	)
	register(s, operation{
		id: "listSubscriptions", method: http.MethodGet, path: path, tag: tag, role: fleet.RoleViewer,
		summary: "List the subscriptions of the account's vendor", text: text,
	}, s.listSubscriptions)
	register(s, operation{
		id: "createSubscription", method: http.MethodPost, path: path, tag: tag, role: fleet.RoleOperator, status: http.StatusCreated,
		summary: "Subscribe a subscriber to events of the vendor's skills",
		text:    textOnce,
	}, s.createSubscription)
	register(s, operation{
		id: "getSubscription", method: http.MethodGet, path: path + "/{id}", tag: tag, role: fleet.RoleViewer,
		summary: "Show a subscription",
	}, s.getSubscription)
	register(s, operation{
		id: "updateSubscription", method: http.MethodPut, path: path + "/{id}", tag: tag, role: fleet.RoleOperator,
		summary: "Replace the name and the events of a subscription",
	}, s.updateSubscription)
	register(s, operation{
		id: "deleteSubscription", method: http.MethodDelete, path: path + "/{id}", tag: tag, role: fleet.RoleOperator, status: http.StatusNoContent,
		summary: "Delete a subscription",
	}, s.deleteSubscription)
}

const textOnce = "A repeated call with the same Idempotency-Key answers with what the first one made; where the first one's end is not known (in_doubt) it is refused: " +
	"list what there is, for the API takes several of one name."

// madeNotification is what createNotification made; again says that an earlier call did.
type madeNotification struct {
	id, vendorID string
	again        bool
}

// createNotification makes something with the vendor's client, once for each key, and logs it.
func (s *server) createNotification(ctx context.Context, account, noun, reason string, key Creating, body any,
	create func(ctx context.Context, dev *apis.Developer, detail map[string]any) (notifications.Created, error),
) (madeNotification, error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	dev, err := s.cfg.APIs.Developer(ctx, account)
	if err != nil {
		return madeNotification{}, err
	}
	once, err := key.idempotency("create "+noun, account, dev.VendorID, body)
	if err != nil {
		return madeNotification{}, err
	}
	out := madeNotification{vendorID: dev.VendorID}
	out.id, out.again, err = s.createOnce(ctx, once, func() (string, error) {
		detail := map[string]any{"account": account, "vendor_id": dev.VendorID}
		made, err := create(ctx, dev, detail)
		if made.RequestID != "" {
			detail["request_id"] = made.RequestID
		}
		return made.ID, s.record(ctx, noun+".create", noun+"/"+made.ID, reason, detail, err)
	})
	return out, err
}

// changeNotifications does a change with the vendor's client and logs it.
func (s *server) changeNotifications(ctx context.Context, account, action, noun, reason string,
	change func(ctx context.Context, dev *apis.Developer, detail map[string]any) (id string, err error),
) error {
	ctx, cancel := writing(ctx)
	defer cancel()
	dev, err := s.cfg.APIs.Developer(ctx, account)
	if err != nil {
		return err
	}
	detail := map[string]any{"account": account, "vendor_id": dev.VendorID}
	id, err := change(ctx, dev, detail)
	return s.record(ctx, noun+"."+action, noun+"/"+id, reason, detail, err)
}

func subscriberOf(n notifications.Subscriber) Subscriber {
	return Subscriber{ID: n.ID, Name: n.Name, URI: n.Endpoint.URI, RoleARN: n.Endpoint.RoleARN, Status: n.Status, ClientID: n.ClientID}
}

func subscriptionOf(n notifications.Subscription) Subscription {
	if n.Events == nil {
		n.Events = []string{}
	}
	return Subscription{ID: n.ID, Name: n.Name, SubscriberID: n.SubscriberID, VendorID: n.VendorID, Events: n.Events}
}

func (s *server) listSubscribers(ctx context.Context, in *AccountName) (*subscriberListOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	all, err := dev.Notifications.ListSubscribers(ctx, dev.VendorID)
	if err != nil {
		return nil, err
	}
	items := make([]Subscriber, len(all))
	for i, n := range all {
		items[i] = subscriberOf(n)
	}
	return &subscriberListOut{Body: newList(items, "")}, nil
}

func (s *server) createSubscriber(ctx context.Context, in *struct {
	AccountName
	Creating

	Body subscriberBody
},
) (*subscriberOut, error) {
	b := in.Body
	made, err := s.createNotification(ctx, in.Name, "subscriber", b.Reason, in.Creating, b,
		func(ctx context.Context, dev *apis.Developer, detail map[string]any) (notifications.Created, error) {
			detail["name"], detail["uri"] = b.Name, b.URI
			return dev.Notifications.CreateSubscriber(ctx, dev.VendorID, b.params())
		})
	if err != nil {
		return nil, err
	}
	out := b.subscriber(made.id)
	out.Replay = replayed(made.again)
	return out, nil
}

func (s *server) getSubscriber(ctx context.Context, in *struct {
	AccountName
	NotificationID
},
) (*subscriberOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	n, err := dev.Notifications.GetSubscriber(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &subscriberOut{Body: subscriberOf(n)}, nil
}

func (s *server) updateSubscriber(ctx context.Context, in *struct {
	AccountName
	NotificationID

	Body subscriberBody
},
) (*subscriberOut, error) {
	err := s.changeNotifications(ctx, in.Name, "update", "subscriber", in.Body.Reason, func(ctx context.Context, dev *apis.Developer, detail map[string]any) (string, error) {
		detail["name"], detail["uri"] = in.Body.Name, in.Body.URI
		return in.ID, dev.Notifications.UpdateSubscriber(ctx, in.ID, in.Body.params())
	})
	if err != nil {
		return nil, err
	}
	return in.Body.subscriber(in.ID), nil
}

func (s *server) deleteSubscriber(ctx context.Context, in *struct {
	AccountName
	NotificationID

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*struct{}, error) {
	return nil, s.changeNotifications(ctx, in.Name, "delete", "subscriber", in.Reason, func(ctx context.Context, dev *apis.Developer, _ map[string]any) (string, error) {
		return in.ID, dev.Notifications.DeleteSubscriber(ctx, in.ID)
	})
}

func (s *server) listSubscriptions(ctx context.Context, in *struct {
	AccountName

	Subscriber string `query:"subscriber" maxLength:"255" doc:"Only those of this subscriber."`
},
) (*subscriptionListOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	all, err := dev.Notifications.ListSubscriptions(ctx, dev.VendorID, in.Subscriber)
	if err != nil {
		return nil, err
	}
	items := make([]Subscription, len(all))
	for i, n := range all {
		items[i] = subscriptionOf(n)
	}
	return &subscriptionListOut{Body: newList(items, "")}, nil
}

func (s *server) createSubscription(ctx context.Context, in *struct {
	AccountName
	Creating

	Body subscriptionCreate
},
) (*subscriptionOut, error) {
	b := in.Body
	made, err := s.createNotification(ctx, in.Name, "subscription", b.Reason, in.Creating, b,
		func(ctx context.Context, dev *apis.Developer, detail map[string]any) (notifications.Created, error) {
			detail["name"], detail["events"], detail["subscriber_id"] = b.Name, b.Events, b.SubscriberID
			return dev.Notifications.CreateSubscription(ctx, dev.VendorID, b.SubscriberID, notifications.SubscriptionParams{Name: b.Name, Events: b.Events})
		})
	if err != nil {
		return nil, err
	}
	return &subscriptionOut{Replay: replayed(made.again), Body: Subscription{
		ID: made.id, Name: b.Name, SubscriberID: b.SubscriberID, VendorID: made.vendorID, Events: b.Events,
	}}, nil
}

func (s *server) getSubscription(ctx context.Context, in *struct {
	AccountName
	NotificationID
},
) (*subscriptionOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	n, err := dev.Notifications.GetSubscription(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &subscriptionOut{Body: subscriptionOf(n)}, nil
}

func (s *server) updateSubscription(ctx context.Context, in *struct {
	AccountName
	NotificationID

	Body subscriptionBody
},
) (*subscriptionOut, error) {
	b := in.Body
	out := Subscription{ID: in.ID, Name: b.Name, Events: b.Events}
	err := s.changeNotifications(ctx, in.Name, "update", "subscription", b.Reason, func(ctx context.Context, dev *apis.Developer, detail map[string]any) (string, error) {
		out.VendorID = dev.VendorID
		detail["name"], detail["events"] = b.Name, b.Events
		return in.ID, dev.Notifications.UpdateSubscription(ctx, in.ID, notifications.SubscriptionParams{Name: b.Name, Events: b.Events})
	})
	if err != nil {
		return nil, err
	}
	return &subscriptionOut{Body: out}, nil
}

func (s *server) deleteSubscription(ctx context.Context, in *struct {
	AccountName
	NotificationID

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*struct{}, error) {
	return nil, s.changeNotifications(ctx, in.Name, "delete", "subscription", in.Reason, func(ctx context.Context, dev *apis.Developer, _ map[string]any) (string, error) {
		return in.ID, dev.Notifications.DeleteSubscription(ctx, in.ID)
	})
}
