package topic

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// Faults are what SNS does not promise: order, and that a message comes once and
// soon. Rates are shares of 1.
type Faults struct {
	Duplicate float64       // notifications that are delivered twice, with one message ID
	Reorder   float64       // notifications that the next one of the hook overtakes
	Delay     time.Duration // the most by which a notification is late
}

// holdFor is how long a message waits to be overtaken.
const holdFor = time.Second

// Message is what is published to a topic.
type Message struct {
	TopicARN string
	Subject  string
	Text     string
	Faults   Faults
}

// Published is what became of a message.
type Published struct {
	MessageID string   `json:"message_id"`
	Hooks     []string `json:"hooks"` // that are to get it
}

// Delivery is one attempt at a delivery, and its answer.
type Delivery struct {
	N          uint64      `json:"n"` // attempts are numbered from 1
	Time       time.Time   `json:"time"`
	Hook       string      `json:"hook"`
	TopicARN   string      `json:"topic_arn"`
	MessageID  string      `json:"message_id"`
	Type       MessageType `json:"type"`
	Raw        bool        `json:"raw"`
	As         As          `json:"as,omitempty"` // where it was sent by Send
	Attempt    int         `json:"attempt"`      // from 1
	Duplicate  bool        `json:"duplicate"`    // the fault
	Challenged bool        `json:"challenged"`   // credentials were asked for, and sent
	Status     int         `json:"status"`       // 0 where there was no answer
	Outcome    Outcome     `json:"outcome"`
	Answer     string      `json:"answer,omitempty"` // the beginning of the body
	Error      string      `json:"error,omitempty"`
	Message    string      `json:"message"` // the beginning of the text, without its envelope
	Seconds    float64     `json:"seconds"` // that the attempt took
}

// Outcome is what an attempt came to. The set is closed.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered" // 2xx
	Refused   Outcome = "refused"   // an answer that is final: the message is lost
	Retrying  Outcome = "retrying"  // it will be tried again
	GivenUp   Outcome = "given_up"  // the last attempt failed: the message is lost
)

// delivery is a message on its way to a hook.
type delivery struct {
	hook      *Hook
	kind      MessageType
	as        As
	raw       bool
	envelope  envelope
	body      []byte
	header    http.Header // besides the ordinary ones
	duplicate bool
	attempt   int
}

// Publish sends a message to the confirmed hooks of its topic.
func (s *Service) Publish(m Message) Published {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, now := Published{MessageID: newID(), Hooks: []string{}}, time.Now() // One ID for all hooks of the topic, as with SNS.
	for _, h := range s.hooks {
		if h.TopicARN != m.TopicARN || h.State != Confirmed {
			continue
		}
		p.Hooks = append(p.Hooks, h.ID)
		s.spread(s.notification(h, p.MessageID, m, now), m.Faults)
	}
	return p
}

// notification makes a signed notification, or a raw one. The lock is held.
func (s *Service) notification(h *Hook, id string, m Message, at time.Time) *delivery {
	e := envelope{{"Type", string(Notification)}, {"MessageId", id}, {"TopicArn", m.TopicARN}}
	if m.Subject != "" {
		e.set("Subject", m.Subject)
	}
	e.set("Message", m.Text)
	e.set("Timestamp", timestamp(at))
	e.sign(s.signer, signatureSHA256, s.certificateURL(h, s.signer))
	e.set("UnsubscribeURL", h.base+Path+"unsubscribe?"+url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {h.SubscriptionARN}}.Encode())
	d := &delivery{hook: h, kind: Notification, raw: h.Raw, envelope: e, body: e.body()}
	if d.raw {
		d.body = []byte(m.Text)
	}
	return d
}

// spread puts a notification into the hook's queue as the faults want it. The lock is held.
func (s *Service) spread(d *delivery, f Faults) {
	s.rolls++
	dice := rand.New(rand.NewPCG(s.cfg.Seed, s.rolls))
	twice, overtaken, late := dice.Float64() < f.Duplicate, dice.Float64() < f.Reorder, time.Duration(0)
	if f.Delay > 0 {
		late = time.Duration(dice.Int64N(int64(f.Delay) + 1))
	}
	copies := []*delivery{d}
	if twice {
		again := *d
		again.duplicate = true
		copies = append(copies, &again)
	}
	for _, each := range copies {
		s.open[each] = true
		switch {
		case overtaken:
			d.hook.held = append(d.hook.held, each)
			s.later(each, holdFor, func() { s.release(d.hook) })
		case late > 0:
			s.later(each, late, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.enqueue(each)
			})
		default:
			s.enqueue(each)
		}
	}
}

// later calls do after a time, without the lock, unless d is dropped before. The
// lock is held.
func (s *Service) later(d *delivery, after time.Duration, do func()) {
	if s.ctx.Err() != nil {
		return
	}
	s.work.Go(func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		open := s.open[d]
		s.mu.Unlock()
		if open {
			do()
		}
	})
}

// release enqueues what nothing has overtaken.
func (s *Service) release(h *Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := h.held
	h.held = nil
	for _, d := range held {
		s.enqueue(d)
	}
}

// enqueue lets a delivery be attempted after those before it, and after it those
// that it was to overtake. The lock is held.
func (s *Service) enqueue(d *delivery) {
	h := d.hook
	s.open[d] = true
	h.queue = append(h.queue, d)
	if d.kind == Notification {
		h.queue = append(h.queue, h.held...)
		h.held = nil
	}
	if !h.busy && s.ctx.Err() == nil {
		h.busy = true
		s.work.Go(func() { s.drain(h) })
	}
}

// drop gives up all deliveries of a hook, or of all hooks. The lock is held.
func (s *Service) drop(h *Hook) {
	for d := range s.open {
		if h == nil || d.hook == h {
			delete(s.open, d)
			d.hook.queue, d.hook.held = nil, nil
		}
	}
}

// drain attempts the deliveries of a hook, one after the other, until there is none.
func (s *Service) drain(h *Hook) {
	for {
		s.mu.Lock()
		if len(h.queue) == 0 || s.ctx.Err() != nil {
			h.busy = false
			s.mu.Unlock()
			return
		}
		d := h.queue[0]
		h.queue = h.queue[1:]
		open := s.open[d]
		s.mu.Unlock()
		if open {
			s.try(d)
		}
	}
}

// try attempts a delivery, and sees to it that one that failed is tried again.
func (s *Service) try(d *delivery) {
	r := s.attempt(s.ctx, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || !s.open[d] {
		delete(s.open, d)
		return
	}
	if r.Outcome == GivenUp && d.attempt <= s.cfg.Retries {
		r.Outcome = Retrying
		quarter := s.cfg.RetryDelay / 4
		s.later(d, s.cfg.RetryDelay-quarter+rand.N(2*quarter+1), func() { s.try(d) })
	} else {
		delete(s.open, d)
	}
	s.delivered(d, r)
	s.record(r)
}

// delivered keeps what the hook took, for a replay. The lock is held.
func (s *Service) delivered(d *delivery, r Delivery) {
	if r.Outcome == Delivered && d.kind == Notification {
		d.hook.last = d
	}
}
