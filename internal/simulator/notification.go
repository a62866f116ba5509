package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"fleetd/internal/fleet"
)

// The operations of skill development notifications (seed 003).
const (
	OperationCreateSubscriber   Operation = "create_subscriber"
	OperationListSubscribers    Operation = "list_subscribers"
	OperationGetSubscriber      Operation = "get_subscriber"
	OperationUpdateSubscriber   Operation = "update_subscriber"
	OperationDeleteSubscriber   Operation = "delete_subscriber"
	OperationCreateSubscription Operation = "create_subscription"
	OperationListSubscriptions  Operation = "list_subscriptions"
	OperationGetSubscription    Operation = "get_subscription"
	OperationUpdateSubscription Operation = "update_subscription"
	OperationDeleteSubscription Operation = "delete_subscription"
)

func notificationOperations() []Operation {
	return []Operation{
		OperationCreateSubscriber, OperationListSubscribers, OperationGetSubscriber, OperationUpdateSubscriber, OperationDeleteSubscriber,
		OperationCreateSubscription, OperationListSubscriptions, OperationGetSubscription, OperationUpdateSubscription, OperationDeleteSubscription,
	}
}

const (
	pathSubscribers   = "/v0/developmentEvents/subscribers"
	pathSubscriptions = "/v0/developmentEvents/subscriptions"
)

// notifications are subscribers, subscriptions and what was sent because of them.
type notifications struct {
	subscribers   []*subscriber // as they were made, and so are their keys
	subscriptions []*subscription
	made          uint64
	events        []Event
	published     uint64 // events so far
}

// subscriber is where a vendor's notifications go.
type subscriber struct {
	key, id, vendor, client string
	target                  target
}

// target is the part of a subscriber that can be changed.
type target struct{ name, uri, role string }

// subscription is which events a subscriber is sent.
type subscription struct {
	key, id, vendor string
	subscriber      *subscriber
	name            string
	events          []string
}

// newID makes the ID of a subscriber or subscription, and its key, which sorts as they were made.
func (s *Simulator) newID(kind string) (id, key string) {
	s.notices.made++
	n := s.notices.made
	return kind + "." + s.uuid(hash(n, 'n')), fmt.Sprintf("%012d", n)
}

// notificationEndpoints are the operations of skill development notifications.
func notificationEndpoints() []endpoint {
	at := func(op Operation, method, path string, read func(*call, *http.Request) work) endpoint {
		return endpoint{
			operation: op, api: APINotifications, kind: fleet.CredentialDeveloper, method: method, path: path,
			write: method != http.MethodGet, read: read,
		}
	}
	const subscriberPath, subscriptionPath = pathSubscribers + "/{subscriber}", pathSubscriptions + "/{subscription}"
	return []endpoint{
		at(OperationCreateSubscriber, http.MethodPost, pathSubscribers, readCreateSubscriber),
		at(OperationListSubscribers, http.MethodGet, pathSubscribers, readListSubscribers),
		at(OperationGetSubscriber, http.MethodGet, subscriberPath, ofSubscriber(getSubscriber)),
		at(OperationUpdateSubscriber, http.MethodPut, subscriberPath, readUpdateSubscriber),
		at(OperationDeleteSubscriber, http.MethodDelete, subscriberPath, ofSubscriber(deleteSubscriber)),
		at(OperationCreateSubscription, http.MethodPost, pathSubscriptions, readCreateSubscription),
		at(OperationListSubscriptions, http.MethodGet, pathSubscriptions, readListSubscriptions),
		at(OperationGetSubscription, http.MethodGet, subscriptionPath, ofSubscription(getSubscription)),
		at(OperationUpdateSubscription, http.MethodPut, subscriptionPath, readUpdateSubscription),
		at(OperationDeleteSubscription, http.MethodDelete, subscriptionPath, ofSubscription(deleteSubscription)),
	}
}

// maxNotificationPage is the most that a page may be asked to hold.
const maxNotificationPage = 50

// forVendor does do when the vendor is the token's own.
func (c *call) forVendor(vendor string, do func()) {
	if vendor != c.account.VendorID {
		c.problem(http.StatusForbidden, "Forbidden", "The requested operation is not allowed for this vendor.")
		return
	}
	do()
}

// at does do with the one item whose ID the path has.
func at[T any](c *call, items []T, id, vendor func(T) string, do func(T)) {
	i := slices.IndexFunc(items, func(item T) bool { return id(item) == c.args[0] })
	if i < 0 {
		c.problem(http.StatusNotFound, "NotFound", "The requested resource is not found.")
		return
	}
	c.forVendor(vendor(items[i]), func() { do(items[i]) })
}

// readText reads a text that must be there, of at most so many bytes.
func (c *call) readText(o map[string]json.RawMessage, name string, most int) (text string) {
	switch err := field(o, name, &text); {
	case c.wrong != "":
	case err != nil:
		c.wrong = name + " must be a string."
	case text == "":
		c.wrong = name + " is missing."
	case len(text) > most:
		c.wrong = name + " is too long."
	}
	return text
}

// refuseOther sets wrong when the body names another value than the fixed one.
func (c *call) refuseOther(o map[string]json.RawMessage, name string) {
	if raw, ok := o[name]; ok && c.wrong == "" && string(raw) != string(quote(c.args[0])) {
		c.wrong = name + " cannot be changed."
	}
}

// listed answers a page of a list, as seed 003 has it.
func listed[T any](s *Simulator, c *call, p paging, self *url.URL, name string, all []T, key func(T) string, show func(T) map[string]any) {
	query := self.Query()
	query.Del("nextToken")
	bound := maps.Clone(query)
	bound.Del("maxResults") // official clients may go on with pages of another size
	p.query = hash(hashText(self.Path), hashText(bound.Encode()))
	shown, f, ok := pageOf(s, c, p, all, key)
	if !ok {
		return
	}
	items := make([]map[string]any, 0, len(shown))
	for _, item := range shown {
		items = append(items, show(item))
	}
	links := map[string]any{"self": map[string]any{"href": self.RequestURI()}}
	body := map[string]any{"_links": links, name: items}
	switch {
	case f.token != "":
		body["nextToken"] = f.token
		query.Set("nextToken", f.token)
		links["next"] = map[string]any{"href": self.Path + "?" + query.Encode()}
	case f.null:
		body["nextToken"] = nil
	}
	c.reply(http.StatusOK, body)
}

// createdAt answers 201 with the Location of what was made.
func (c *call) createdAt(path, id string) {
	c.line.applied = true
	c.done(http.StatusCreated)
	c.answer.location = path + "/" + id
}

// changed answers 204.
func (c *call) changed() {
	c.line.applied = true
	c.done(http.StatusNoContent)
}
