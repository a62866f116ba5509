package server

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// developmentEvent is an event of the skill development notifications as it is
// published (facts 8). What is known of it may lack or be more.
type developmentEvent struct {
	EventName string `json:"eventName"`
	RequestID string `json:"requestId"`
	Timestamp string `json:"timestamp"`
	Payload   struct {
		Status string `json:"status"`
		Actor  struct {
			CustomerID string `json:"customerId"`
		} `json:"actor"`
		Subscription struct {
			SubscriptionID string `json:"subscriptionId"`
		} `json:"subscription"`
		Skill            skillRef `json:"skill"`
		InteractionModel struct {
			skillRef

			Locale string `json:"locale"`
		} `json:"interactionModel"`
		Review struct {
			ReviewID string `json:"reviewId"`
		} `json:"review"`
	} `json:"payload"`
}

type skillRef struct {
	SkillID  string `json:"skillId"`
	VendorID string `json:"vendorId"`
}

// readEvent reads what a message tells of. What cannot be read is kept as unknown: a
// sender that is genuine is not turned away for telling something new.
func readEvent(p *store.EventParams, message []byte) {
	p.Body, p.Disposition = message, fleet.EventUnknown
	trimmed := bytes.TrimSpace(message)
	if bytes.HasPrefix(trimmed, []byte("{")) && len(bytes.TrimSpace(bytes.Trim(trimmed, "{}"))) == 0 && json.Valid(trimmed) {
		p.Disposition = fleet.EventEmpty
		return
	}
	var e developmentEvent
	err := json.Unmarshal(message, &e)
	skill := e.Payload.Skill
	if skill.SkillID == "" {
		skill = e.Payload.InteractionModel.skillRef
	}
	p.Name, p.Status, p.RequestID = e.EventName, e.Payload.Status, e.RequestID
	p.SkillID, p.VendorID, p.Locale = skill.SkillID, skill.VendorID, e.Payload.InteractionModel.Locale
	p.SubscriptionID, p.Actor, p.ReviewID = e.Payload.Subscription.SubscriptionID, e.Payload.Actor.CustomerID, e.Payload.Review.ReviewID
	if at, timeErr := time.Parse(time.RFC3339, e.Timestamp); timeErr == nil {
		p.EventAt = at.UTC()
	}
	if p.Name != "" {
		p.Key = eventKey(*p)
	}
	if err == nil && slices.Contains(fleet.EventNames(), p.Name) && p.SkillID != "" && !p.EventAt.IsZero() {
		p.Disposition = fleet.EventReceived
	}
}

// eventKey names what happened, whatever message tells of it; empty where nothing
// tells two of it apart.
func eventKey(p store.EventParams) string {
	of := p.RequestID
	if p.ReviewID != "" {
		of = p.ReviewID
	}
	if of == "" {
		return ""
	}
	return strings.Join([]string{p.Name, of, p.SubscriptionID, p.Locale}, "\n")
}

// drain reads at most n bytes, and lets go of what they are.
func drain(r io.Reader, n int64) { _, _ = io.CopyN(io.Discard, r, n) }
