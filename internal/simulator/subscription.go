package simulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// The prefixes and names of events (facts section 8).
const (
	prefixDevelopment = "AlexaDevelopmentEvent."
	prefixFeedback    = "AlexaCustomerFeedbackEvent."

	EventManifestUpdate         = prefixDevelopment + "ManifestUpdate"
	EventSkillCertification     = prefixDevelopment + "SkillCertification"
	EventSkillPublish           = prefixDevelopment + "SkillPublish"
	EventInteractionModelUpdate = prefixDevelopment + "InteractionModelUpdate"
	EventSkillReviewPublish     = prefixFeedback + "SkillReviewPublish"
)

// EventNames lists the events that are documented.
func EventNames() []string {
	return []string{EventManifestUpdate, EventSkillCertification, EventSkillPublish, EventInteractionModelUpdate, EventSkillReviewPublish}
}

// isWildcard reports whether an entry stands for all development events. The pages
// write it in one way, the machine-readable specification in another.
func isWildcard(event string) bool {
	return event == prefixDevelopment+"ALL" || event == prefixDevelopment+"All"
}

// asksFor reports whether a subscription is sent an event.
func (x *subscription) asksFor(event string) bool {
	return slices.ContainsFunc(x.events, func(e string) bool {
		return e == event || isWildcard(e) && strings.HasPrefix(event, prefixDevelopment)
	})
}

// readEvents reads the events of a subscription.
func (c *call) readEvents(o map[string]json.RawMessage) (events []string) {
	err := field(o, "events", &events)
	switch {
	case c.wrong != "":
	case err != nil || len(events) == 0:
		c.wrong = "events must be a list of the names of events."
	case len(events) > 1 && slices.ContainsFunc(events, isWildcard):
		c.wrong = "The wildcard must be the only one of events."
	}
	for _, event := range events {
		if c.wrong == "" && !isWildcard(event) && !slices.Contains(EventNames(), event) {
			c.wrong = "events: there is no such event: " + event
		}
	}
	return events
}

func readCreateSubscription(c *call, r *http.Request) work {
	o, wrong := readObject(r.Body, maxBody)
	c.wrong = wrong
	x := &subscription{vendor: c.readText(o, "vendorId", maxName), name: c.readText(o, "name", maxName), events: c.readEvents(o)}
	c.args[0] = c.readText(o, "subscriberId", maxName)
	return func(s *Simulator) {
		c.forVendor(x.vendor, func() {
			s.atSubscriber(c, func(b *subscriber) {
				x.subscriber = b
				x.id, x.key = s.newID("amzn1.ask-subscription")
				s.notices.subscriptions = append(s.notices.subscriptions, x)
				c.createdAt(pathSubscriptions, x.id)
			})
		})
	}
}

// ofSubscription reads a request about one subscription, whose ID the path has.
func ofSubscription(do func(*Simulator, *call, *subscription)) func(*call, *http.Request) work {
	return func(c *call, _ *http.Request) work {
		return func(s *Simulator) { s.atSubscription(c, func(x *subscription) { do(s, c, x) }) }
	}
}

func (s *Simulator) atSubscription(c *call, do func(*subscription)) {
	at(c, s.notices.subscriptions, func(x *subscription) string { return x.id }, func(x *subscription) string { return x.vendor }, do)
}

// show is the subscription as the API writes it.
func (x *subscription) show() map[string]any {
	return map[string]any{
		"name": x.name, "subscriptionId": x.id, "subscriberId": x.subscriber.id, "vendorId": x.vendor, "events": x.events,
	}
}

func getSubscription(_ *Simulator, c *call, x *subscription) { c.reply(http.StatusOK, x.show()) }

// readListSubscriptions wants a vendor, a subscriber or both, as seed 003 does.
// Amazon's own clients always send the vendor.
func readListSubscriptions(c *call, r *http.Request) work {
	query, self := r.URL.Query(), r.URL
	vendor := query.Get("vendorId")
	c.args[0] = query.Get("subscriberId")
	p := c.readPaging(query, maxNotificationPage)
	if c.wrong == "" && vendor == "" && c.args[0] == "" {
		c.wrong = "vendorId and subscriberId are missing."
	}
	return func(s *Simulator) {
		list := func(of *subscriber) {
			matching := slices.DeleteFunc(slices.Clone(s.notices.subscriptions), func(x *subscription) bool {
				return x.vendor != c.account.VendorID || of != nil && x.subscriber != of
			})
			listed(s, c, p, self, "subscriptions", matching, func(x *subscription) string { return x.key }, (*subscription).show)
		}
		if vendor == "" {
			vendor = c.account.VendorID
		}
		c.forVendor(vendor, func() {
			if c.args[0] == "" {
				list(nil)
				return
			}
			s.atSubscriber(c, list)
		})
	}
}

func readUpdateSubscription(c *call, r *http.Request) work {
	o, wrong := readObject(r.Body, maxBody)
	c.wrong = wrong
	c.refuseOther(o, "subscriptionId")
	var name string
	var events []string
	if _, ok := o["name"]; ok {
		name = c.readText(o, "name", maxName)
	}
	if _, ok := o["events"]; ok {
		events = c.readEvents(o)
	}
	var subscriberID string
	if err := field(o, "subscriberId", &subscriberID); c.wrong == "" && err != nil {
		c.wrong = "subscriberId must be a string."
	}
	return func(s *Simulator) {
		s.atSubscription(c, func(x *subscription) {
			if subscriberID != "" && subscriberID != x.subscriber.id {
				c.problem(http.StatusBadRequest, "InvalidRequest", "subscriberId cannot be changed.")
				return
			}
			setIf(&x.name, name)
			if events != nil {
				x.events = events
			}
			c.changed()
		})
	}
}

func deleteSubscription(s *Simulator, c *call, x *subscription) {
	s.notices.subscriptions = slices.DeleteFunc(s.notices.subscriptions, func(y *subscription) bool { return x == y })
	c.changed()
}
