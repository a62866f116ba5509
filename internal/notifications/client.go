package notifications

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// API is the api label of this client's metrics and errors.
const API = "notifications"

// The operation labels, one for each operation of the reference.
const (
	OpCreateSubscriber   = "create_subscriber"
	OpGetSubscriber      = "get_subscriber"
	OpListSubscribers    = "list_subscribers"
	OpUpdateSubscriber   = "update_subscriber"
	OpDeleteSubscriber   = "delete_subscriber"
	OpCreateSubscription = "create_subscription"
	OpGetSubscription    = "get_subscription"
	OpListSubscriptions  = "list_subscriptions"
	OpUpdateSubscription = "update_subscription"
	OpDeleteSubscription = "delete_subscription"
)

// The collections, which are part of every path.
const (
	subscribers   = "subscribers"
	subscriptions = "subscriptions"
)

// Client calls the development notifications API for one account. It is safe for
// concurrent use.
type Client struct{ remote *remote.Client }

// New makes a client over the remote client of the account's developer credential.
func New(c *remote.Client) *Client { return &Client{remote: c} }

// Created is what was made.
type Created struct {
	ID        string
	RequestID string // X-Amzn-RequestId
}

const (
	scopeAdvice = "check that the vendor is the developer credential's own, and that it was granted the scope alexa::ask:skills:readwrite or " +
		"alexa::ask:subscriptions"
)

// advice says how to mend a refusal; special ones come before the common ones.
func advice(special map[int]string) map[int]string {
	all := map[int]string{
		http.StatusBadRequest: "check the vendor ID, the name, the ARNs and the event names",
		http.StatusForbidden:  scopeAdvice,
		http.StatusNotFound:   "there is none of that ID for this vendor",
	}
	maps.Copy(all, special)
	return all
}

func path(collection, id string) string {
	p := "/v0/developmentEvents/" + collection
	if id != "" {
		p += "/" + url.PathEscape(id)
	}
	return p
}

// look is the command that shows one of a collection, or all of it.
func look(collection, id string) string {
	noun := "fleetctl event " + strings.TrimSuffix(collection, "s")
	if id == "" {
		return noun + " list"
	}
	return noun + " get " + id
}

// create sends a body and takes the new ID from the Location of the answer. An answer
// without one leaves in doubt which ID it is, and so whether there is anything.
func (c *Client) create(ctx context.Context, operation, collection string, body any) (Created, error) {
	var ignored json.RawMessage
	req := remote.Request{
		API: API, Operation: operation, Method: http.MethodPost, Path: path(collection, ""), Body: body, OptionalBody: true,
		Advice: advice(map[int]string{http.StatusNotFound: "there is no such subscriber or vendor"}),
		Look:   look(collection, ""),
	}
	meta, err := c.remote.Do(ctx, req, &ignored)
	if err != nil {
		return Created{}, err
	}
	id, err := idOf(meta.Location, collection)
	if err != nil {
		return Created{}, c.remote.Unreadable(req, meta, fmt.Errorf("%w: %w", remote.ErrUnreadable, err))
	}
	return Created{ID: id, RequestID: meta.RequestID}, nil
}

// idOf reads the ID that a Location ends with: .../subscribers/ID.
func idOf(location, collection string) (string, error) {
	if location == "" {
		return "", errors.New("it has no Location, which the ID is in")
	}
	u, err := url.Parse(location)
	if err != nil {
		return "", errors.New("its Location cannot be parsed")
	}
	segments := strings.Split(strings.TrimRight(u.EscapedPath(), "/"), "/")
	last := len(segments) - 1
	if last < 1 || segments[last-1] != collection {
		return "", fmt.Errorf("its Location is not that of one of the %s", collection)
	}
	id, err := url.PathUnescape(segments[last])
	if err == nil {
		err = remote.CheckID("location", id)
	}
	if err != nil {
		return "", errors.New("its Location ends in no ID")
	}
	return id, nil
}

// get reads one; out must hold an ID.
func (c *Client) get(ctx context.Context, operation, collection, field, id string, out any) error {
	if err := remote.CheckID(field, id); err != nil {
		return err
	}
	_, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: operation, Method: http.MethodGet, Path: path(collection, id), Advice: advice(nil),
	}, out)
	return notPage(err)
}

// put replaces what can be replaced of one.
func (c *Client) put(ctx context.Context, operation, collection, id string, body any) error {
	var ignored json.RawMessage
	_, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: operation, Method: http.MethodPut, Path: path(collection, id), Body: body, OptionalBody: true,
		Advice: advice(nil), Look: look(collection, id),
	}, &ignored)
	return err
}

func (c *Client) delete(ctx context.Context, operation, collection, field, id string, special map[int]string) error {
	if err := remote.CheckID(field, id); err != nil {
		return err
	}
	var ignored json.RawMessage
	_, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: operation, Method: http.MethodDelete, Path: path(collection, id), OptionalBody: true,
		Advice: advice(special), Look: look(collection, id),
	}, &ignored)
	return err
}

// notPage makes a 404 in HTML what it is: no word of the API.
func notPage(err error) error {
	var e *remote.Error
	if !errors.As(err, &e) || e.Status != http.StatusNotFound || !e.HTML {
		return err
	}
	page := *e
	page.Err = fmt.Errorf("%w: a 404 in HTML is not the API's word that there is none", remote.ErrUnreadable)
	return &page
}

// checkName refuses what cannot be a name. The reference gives no bounds.
func checkName(name string) error {
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return fleet.Invalidf("name", "a name has 1 to 255 bytes of text, on one line")
	}
	return nil
}

// Wildcards are the two spellings that all development events are subscribed to with;
// the documentation and the description of the API disagree (facts 7).
func Wildcards() []string { return []string{"AlexaDevelopmentEvent.ALL", "AlexaDevelopmentEvent.All"} }

// checkEvents refuses lists that the API could not take. Names that are not known pass:
// there may be new ones.
func checkEvents(events []string) error {
	if len(events) == 0 {
		return fleet.Invalidf("events", "a subscription needs at least one event, such as AlexaDevelopmentEvent.ManifestUpdate")
	}
	for i, e := range events {
		switch {
		case e == "" || len(e) > 128 || strings.ContainsFunc(e, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
			return fleet.Invalidf("events", "event %d is not the name of one: write it like AlexaDevelopmentEvent.ManifestUpdate", i+1)
		case slices.Index(events, e) != i:
			return fleet.Invalidf("events", "%s is named twice", e)
		case len(events) > 1 && slices.Contains(Wildcards(), e):
			return fleet.Invalidf("events", "%s means all development events: it must be the only one", e)
		}
	}
	return nil
}
