package server

import (
	"io"

	"fleetd/internal/fleet"
	"fleetd/internal/notifications"
	"fleetd/internal/store"
)

// readEvent reads what a message tells of. What cannot be read, and an event that is
// not known or does not say of what or when it is, is kept as unknown: a sender that is
// genuine is not turned away for telling something new.
func readEvent(p *store.EventParams, message []byte) {
	p.Body, p.Disposition = message, fleet.EventUnknown
	e, err := notifications.ParseEvent(message)
	if err != nil {
		return
	}
	p.Key, p.Name, p.Status, p.RequestID = e.Key(), string(e.Name), string(e.Status), e.RequestID
	p.SkillID, p.VendorID, p.Locale, p.EventAt = e.SkillID, e.VendorID, e.Locale, e.Timestamp
	p.SubscriptionID, p.Actor, p.ReviewID = e.SubscriptionID, e.Actor, e.Review.ID
	switch {
	case e.Empty():
		p.Disposition = fleet.EventEmpty
	case e.Known() && e.SkillID != "" && !e.Timestamp.IsZero():
		p.Disposition = fleet.EventReceived
	}
}

// drain reads at most n bytes, and lets go of what they are.
func drain(r io.Reader, n int64) { _, _ = io.CopyN(io.Discard, r, n) }
