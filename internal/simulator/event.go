package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator/topic"
)

// actorID is who brings events about.
const actorID = "amzn1.account.SIMDEVELOPER"

// maxEvents is how many events are remembered.
const maxEvents = 10_000

// Event is one event that was published because a subscription asks for it, or a
// control did.
type Event struct {
	N              uint64          `json:"n"` // from 1
	Time           time.Time       `json:"time"`
	Name           string          `json:"name"`
	SubscriptionID string          `json:"subscription_id"`
	TopicARN       string          `json:"topic_arn"`
	Event          json.RawMessage `json:"event"` // as it was published
	topic.Published
}

// EventParams describe an event, by facts section 8.
type EventParams struct {
	// Name is such as SkillPublish, or AlexaDevelopmentEvent.SkillPublish, or one that nobody knows, with its prefix.
	Name string `json:"name"`
	// Status is SUCCEEDED or FAILED. Default SUCCEEDED.
	Status string `json:"status,omitempty"`
	// SkillID is the skill.
	SkillID string `json:"skill_id,omitempty"`
	// VendorID is whose subscriptions are served. Default the skill's vendor, or that of the first developer.
	VendorID string `json:"vendor_id,omitempty"`
	// Locale is that of an InteractionModelUpdate. Default en-US.
	Locale string `json:"locale,omitempty"`
	// RequestID is that of the call that brought it about. Default a new one.
	RequestID string `json:"request_id,omitempty"`
	// Actor is the customer who did. Default a developer's.
	Actor string `json:"actor,omitempty"`
	// Timestamp is when. Default now.
	Timestamp time.Time `json:"timestamp,omitzero"`
	// ReviewID, ReviewURL and StarRating are of a SkillReviewPublish. Default made up, and 5 stars.
	ReviewID   string `json:"review_id,omitempty"`
	ReviewURL  string `json:"review_url,omitempty"`
	StarRating string `json:"star_rating,omitempty"`
	// SubscriptionID serves one subscription only, whatever it asks for.
	SubscriptionID string `json:"subscription_id,omitempty"`
	// TopicARN publishes to that topic, whatever subscriptions there are.
	TopicARN string `json:"topic_arn,omitempty"`
}

// fill sets the defaults of p and reports what is wrong with it. The simulator is locked.
func (s *Simulator) fill(p *EventParams) error {
	if name := p.Name; name != "" && !strings.Contains(name, ".") {
		i := slices.IndexFunc(EventNames(), func(known string) bool { return strings.HasSuffix(known, "."+name) })
		if i < 0 {
			return fmt.Errorf("name: %q: must be one of %v, or have a prefix of its own", name, EventNames())
		}
		p.Name = EventNames()[i]
	}
	setDefault(&p.Status, "SUCCEEDED")
	switch {
	case p.Name == "":
		return fmt.Errorf("name: must be given, such as one of %v", EventNames())
	case p.Status != "SUCCEEDED" && p.Status != "FAILED":
		return fmt.Errorf("status: %q: must be SUCCEEDED or FAILED", p.Status)
	case !validID(p.SkillID):
		return fmt.Errorf("skill_id: %q: must be 1 to 255 characters without spaces", p.SkillID)
	case p.TopicARN != "" && !topic.ValidARN(p.TopicARN):
		return fmt.Errorf("topic_arn: %q: must be the ARN of a topic, such as %s", p.TopicARN, topic.DefaultARN)
	}
	if k := s.skills[p.SkillID]; p.VendorID == "" && k != nil && k.product != nil {
		p.VendorID = k.product.vendor
	}
	if p.VendorID == "" {
		i := slices.IndexFunc(s.accounts, func(a *account) bool { return a.Kind == fleet.CredentialDeveloper })
		if i < 0 {
			return errors.New("vendor_id: must be given: there is no developer")
		}
		p.VendorID = s.accounts[i].VendorID
	}
	s.notices.made++
	made := s.uuid(hash(s.notices.made, 'e'))
	setDefault(&p.RequestID, made)
	setDefault(&p.ReviewID, made)
	setDefault(&p.ReviewURL, "https://www.amazon.com/gp/customer-reviews/"+p.ReviewID)
	setDefault(&p.StarRating, "5")
	setDefault(&p.Actor, actorID)
	setDefault(&p.Locale, "en-US")
	if p.Timestamp.IsZero() {
		p.Timestamp = time.Now()
	}
	return nil
}

// text writes the event for a subscription, as it is published.
func (p *EventParams) text(subscriptionID string) json.RawMessage {
	skill := map[string]any{"skillId": p.SkillID, "vendorId": p.VendorID}
	payload := map[string]any{"subscription": map[string]any{"subscriptionId": subscriptionID}}
	event := map[string]any{"eventName": p.Name, "timestamp": p.Timestamp.UTC().Format("2006-01-02T15:04:05Z"), "payload": payload}
	if p.Name == EventSkillReviewPublish {
		payload["skill"] = skill
		payload["review"] = map[string]any{"reviewId": p.ReviewID, "url": p.ReviewURL, "starRating": p.StarRating}
	} else {
		event["requestId"] = p.RequestID
		payload["status"], payload["actor"] = p.Status, map[string]any{"customerId": p.Actor}
		payload["skill"] = skill
	}
	if p.Name == EventInteractionModelUpdate {
		delete(payload, "skill")
		skill["locale"] = p.Locale
		payload["interactionModel"] = skill
	}
	text, err := json.Marshal(event)
	if err != nil { // It is made of strings.
		panic(err)
	}
	return text
}

// PublishEvent publishes an event to the topics of the subscriptions that ask for
// it, or to where p says. It returns what was published: nothing where nobody asks.
func (s *Simulator) PublishEvent(p EventParams) ([]Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fill(&p); err != nil {
		return nil, err
	}
	if p.TopicARN != "" {
		setDefault(&p.SubscriptionID, "amzn1.ask-subscription."+p.RequestID)
		return s.notify(&p, p.SubscriptionID, p.TopicARN), nil
	}
	events := s.notifyAll(&p)
	if p.SubscriptionID != "" && len(events) == 0 {
		return nil, fmt.Errorf("subscription_id: %q: there is none", p.SubscriptionID)
	}
	return events, nil
}

// notifyAll sends an event for every subscription that asks for it, or for the one that p names.
func (s *Simulator) notifyAll(p *EventParams) []Event {
	events := []Event{}
	for _, x := range s.notices.subscriptions {
		if p.SubscriptionID == x.id || p.SubscriptionID == "" && x.vendor == p.VendorID && x.asksFor(p.Name) {
			events = append(events, s.notify(p, x.id, x.subscriber.target.uri)...)
		}
	}
	return events
}

// notify sends an event for one subscription, now and then twice.
func (s *Simulator) notify(p *EventParams, subscriptionID, arn string) (events []Event) {
	text := p.text(subscriptionID)
	d := dice{state: hash(s.cfg.Seed, s.notices.published, 'p')}
	times := 1
	if d.hit(s.faults.EventDuplicate) {
		times = 2
	}
	for range times {
		s.notices.published++
		e := Event{
			N: s.notices.published, Time: time.Now().UTC(), Name: p.Name, SubscriptionID: subscriptionID, TopicARN: arn, Event: text,
			Published: s.sns.Publish(topic.Message{TopicARN: arn, Text: string(text), Faults: topic.Faults{
				Duplicate: s.faults.DeliveryDuplicate, Reorder: s.faults.DeliveryReorder, Delay: s.faults.DeliveryDelay,
			}}),
		}
		events = append(events, e)
	}
	s.notices.events = append(s.notices.events, events...)
	if over := len(s.notices.events) - maxEvents; over > 0 {
		s.notices.events = slices.Delete(s.notices.events, 0, max(over, maxEvents/2))
	}
	return events
}

// Events returns the events that were published after the Nth, oldest first.
func (s *Simulator) Events(since uint64) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.notices.events, func(e Event) bool { return e.N > since })
	if i < 0 {
		return []Event{}
	}
	return slices.Clone(s.notices.events[i:])
}

// happened tells the subscribers of o. The simulator is locked.
func (s *Simulator) happened(o occurrence) {
	p := EventParams{Name: o.event, SkillID: o.skillID, VendorID: o.vendorID, RequestID: o.requestID}
	if !o.ok {
		p.Status = "FAILED"
	}
	if err := s.fill(&p); err != nil { // The simulator's own occurrences are complete.
		panic(err)
	}
	s.notifyAll(&p)
}
