package notifications

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"fleetd/internal/fleet"
)

// EventName is the kind of an event, as the notifications spell it.
type EventName string

// The events that are documented (facts 8): those of fleet.EventNames.
const (
	EventManifestUpdate         EventName = fleet.EventManifestUpdate
	EventSkillCertification     EventName = fleet.EventSkillCertification
	EventSkillPublish           EventName = fleet.EventSkillPublish
	EventInteractionModelUpdate EventName = fleet.EventInteractionModelUpdate
	EventSkillReviewPublish     EventName = fleet.EventSkillReviewPublish
)

// EventStatus is how what an event tells of came out, as it came.
type EventStatus string

// The statuses that are documented. A review has none.
const (
	EventSucceeded EventStatus = fleet.EventSucceeded
	EventFailed    EventStatus = fleet.EventFailed
)

// Event is what one notification tells. All but Raw is as it came where that is
// printable, else escaped as Go does, and capped: an escaped or capped name is none
// that is known. What the notification does not tell is empty.
type Event struct {
	Name           EventName
	Timestamp      time.Time // UTC; zero where there is none of RFC 3339, of 1970 or later
	RequestID      string    // X-Amzn-RequestId of the call that led to the event
	Status         EventStatus
	SkillID        string
	VendorID       string
	SubscriptionID string
	Locale         string // of an interaction model
	Actor          string // the customer ID of who made the call
	Review         Review
	// Raw is all of the notification, fields included that are not known here: a JSON
	// object with sorted names, each once, that PostgreSQL takes as jsonb. A NUL in a
	// string became U+FFFD, a number that no float64 holds a string.
	Raw json.RawMessage

	key string
}

// Review is a customer's review of a skill.
type Review struct {
	ID    string
	URL   string
	Stars int // 1 to 5; 0 where it says none of them
}

// Empty reports whether the event is the empty object that is sent when a
// subscriber is made.
func (e Event) Empty() bool { return string(e.Raw) == "{}" }

// Known reports whether the event is one that is documented.
func (e Event) Known() bool {
	return slices.Contains(fleet.EventNames(), string(e.Name))
}

// Key names what happened: two notifications of the same event have the same key,
// whatever SNS messages and subscriptions brought them, and those of different events
// have different ones. It is the event's name, status, skill, locale and the request
// that led to it; of a review name, status, subscription, locale and its ID; of an
// event that has neither of these, all that it says. It is made of what came and not
// of what was cleaned. An empty event has none.
func (e Event) Key() string { return e.key }

// ParseEvent reads a notification: the Message of an SNS message, or the body of a
// raw delivery. An empty object is an empty event, and an event that nobody documents
// is one with what could be found in it. The error is an ErrNotEvent: no JSON object,
// larger than MaxEvent, or nested deeper than any event is.
func ParseEvent(message []byte) (Event, error) {
	all, err := parseObject(message)
	if err != nil {
		return Event{}, err
	}
	raw, err := encode(all)
	if err != nil {
		return Event{}, err
	}
	payload := all.object("payload")
	skill, model, review := payload.object("skill"), payload.object("interactionModel"), payload.object("review")
	var (
		name         = all.text("eventName")
		requestID    = all.text("requestId")
		status       = payload.text("status")
		subscription = payload.object("subscription").text("subscriptionId")
		locale       = model.text("locale")
		skillID      = firstOf(skill.text("skillId"), model.text("skillId"))
	)
	e := Event{
		Name:           EventName(plain(name, maxWord)),
		RequestID:      plain(requestID, maxID),
		Status:         EventStatus(plain(status, maxWord)),
		SkillID:        plain(skillID, maxID),
		VendorID:       plain(firstOf(skill.text("vendorId"), model.text("vendorId")), maxID),
		SubscriptionID: plain(subscription, maxID),
		Locale:         plain(locale, maxWord),
		Actor:          plain(payload.object("actor").text("customerId"), maxID),
		Review:         Review{ID: plain(review.text("reviewId"), maxID), URL: plain(review.text("url"), maxURL)},
		Raw:            raw,
	}
	if at, err := time.Parse(time.RFC3339, all.text("timestamp")); err == nil && at.Year() >= 1970 && at.UTC().Year() <= 9999 {
		e.Timestamp = at.UTC()
	}
	if n, err := strconv.Atoi(review.text("starRating")); err == nil && n >= 1 && n <= 5 {
		e.Review.Stars = n
	}
	switch reviewID := review.text("reviewId"); {
	case e.Empty():
	case requestID != "":
		e.key = digest("request", name, status, skillID, locale, requestID)
	case reviewID != "":
		e.key = digest("review", name, status, subscription, locale, reviewID)
	default:
		e.key = digest("content", string(raw))
	}
	return e, nil
}

// digest is one word for a list of strings; no two lists have the same.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
