package topic

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

const (
	agent     = "Amazon Simple Notification Service Agent"
	typePlain = "text/plain; charset=UTF-8"
)

// What a Delivery keeps of texts.
const (
	keptMessage = 4 << 10
	keptAnswer  = 2 << 10
)

// attempt posts a delivery once. GivenUp is what a server may mend.
func (s *Service) attempt(ctx context.Context, d *delivery) Delivery {
	d.attempt++
	s.mu.Lock()
	h := *d.hook
	s.mu.Unlock()
	started := time.Now()
	r := Delivery{
		Time: started.UTC(), Hook: h.ID, TopicARN: d.envelope.get("TopicArn"), MessageID: d.envelope.get("MessageId"), Type: d.kind,
		Raw: d.raw, As: d.as, Attempt: d.attempt, Duplicate: d.duplicate, Message: beginning([]byte(d.envelope.get("Message")), keptMessage),
	}
	var challenge string
	var err error
	r.Status, challenge, r.Answer, err = s.post(ctx, &h, d, false)
	own := d.header.Get("Authorization") != "" // a wrong one, which the right one must not mend
	if r.Status == http.StatusUnauthorized && h.endpoint.User != nil && asksForBasic(challenge) && !own {
		r.Challenged = true
		r.Status, _, r.Answer, err = s.post(ctx, &h, d, true)
	}
	r.Seconds = time.Since(started).Seconds()
	switch {
	case err != nil:
		r.Error, r.Outcome = strings.ReplaceAll(err.Error(), h.endpoint.String(), h.URL), GivenUp
	case r.Status >= 200 && r.Status < 300:
		r.Outcome = Delivered
	case r.Status >= 500 || r.Status == http.StatusTooManyRequests:
		r.Outcome = GivenUp
	default:
		r.Outcome = Refused
	}
	return r
}

func asksForBasic(challenge string) bool {
	scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " ")
	return strings.EqualFold(scheme, "Basic")
}

// post sends the request, with the credentials of the URL or without.
func (s *Service) post(ctx context.Context, h *Hook, d *delivery, credentials bool) (status int, challenge, text string, err error) {
	target := *h.endpoint
	target.User = nil // The client would send it.
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(d.body))
	if err != nil {
		return 0, "", "", fmt.Errorf("post to hook: %w", err)
	}
	r.Header.Set("Content-Type", typePlain)
	r.Header.Set("User-Agent", agent)
	r.Header.Set("X-Amz-Sns-Message-Type", string(d.kind))
	r.Header.Set("X-Amz-Sns-Message-Id", d.envelope.get("MessageId"))
	r.Header.Set("X-Amz-Sns-Topic-Arn", d.envelope.get("TopicArn"))
	if d.kind != SubscriptionConfirmation {
		r.Header.Set("X-Amz-Sns-Subscription-Arn", h.SubscriptionARN)
	}
	if d.raw {
		r.Header.Set("X-Amz-Sns-Rawdelivery", "true")
	}
	maps.Copy(r.Header, d.header)
	if credentials {
		password, _ := h.endpoint.User.Password()
		r.SetBasicAuth(h.endpoint.User.Username(), password)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return 0, "", "", fmt.Errorf("post to hook: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, keptAnswer+1)) // The status is what counts.
	return response.StatusCode, response.Header.Get("WWW-Authenticate"), beginning(answer, keptAnswer), nil
}

// beginning is the start of a text, marked where something is left out.
func beginning(text []byte, most int) string {
	if len(text) <= most {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:most]), "") + "..."
}

// record enters an attempt into the history. The lock is held.
func (s *Service) record(r Delivery) Delivery {
	s.attempts++
	r.N = s.attempts
	if len(s.history) >= s.cfg.HistoryCap {
		s.history = append(s.history[:0], s.history[len(s.history)-s.cfg.HistoryCap/2:]...)
	}
	s.history = append(s.history, r)
	return r
}

// DeliveriesParams say which attempts to tell of.
type DeliveriesParams struct {
	Since uint64 // those after this N
	Hook  string // of this hook only
	Limit int    // default 1,000
}

// Deliveries are attempts, oldest first, and what is not yet done.
type Deliveries struct {
	Items     []Delivery `json:"items"`
	NextSince uint64     `json:"next_since"` // go on from here
	Pending   int        `json:"pending"`    // messages that may yet be attempted, those to be retried among them
}

// Deliveries returns attempts of deliveries and how they were answered.
func (s *Service) Deliveries(p DeliveriesParams) Deliveries {
	if p.Limit <= 0 {
		p.Limit = 1000
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Deliveries{Items: []Delivery{}, NextSince: p.Since, Pending: len(s.open)}
	for _, r := range s.history {
		if len(d.Items) == p.Limit {
			break
		}
		if r.N <= p.Since {
			continue
		}
		d.NextSince = r.N
		if p.Hook == "" || r.Hook == p.Hook {
			d.Items = append(d.Items, r)
		}
	}
	return d
}
