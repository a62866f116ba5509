package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fleetd/internal/simulator/topic"
)

// eventControls are the controls of events, hooks and deliveries, and what SNS
// itself answers.
func (s *Simulator) eventControls() []control {
	sns := s.sns.Handler().ServeHTTP
	return []control{
		{"GET", "/_sim/hooks", "the endpoints that are subscribed to topics", s.serveHooks},
		{"POST", "/_sim/hooks", `subscribe an endpoint: {"url":"http://sns:SECRET@127.0.0.1:8080/hooks/sns/acme","topic_arn":"` + topic.DefaultARN +
			`","raw":false}; it is sent a SubscriptionConfirmation`, s.serveAddHook},
		{"DELETE", "/_sim/hooks/{hook}", "unsubscribe one; it is sent an UnsubscribeConfirmation", s.serveDeleteHook},
		{"GET", "/_sim/deliveries", "attempts at deliveries to hooks and their answers, oldest first: ?since=N, hook, limit (1000); " +
			"pending is what is under way or will be tried again", s.serveDeliveries},
		{"POST", "/_sim/deliveries", `send one message now: {"hook":"hook-1","as":"` + joinAs() + `","message":"..." or "event":{...},` +
			`"subject":"...","age":"24h"}`, s.serveSend},
		{"GET", "/_sim/events", "events that were published, oldest first: ?since=N", s.serveEvents},
		{"POST", "/_sim/events", `publish an event: {"name":"SkillPublish","skill_id":"...","status":"SUCCEEDED|FAILED","vendor_id":"...",` +
			`"request_id":"...","timestamp":"...","locale":"...","actor":"...","review_id":"...","review_url":"...","star_rating":"5",` +
			`"subscription_id":"...","topic_arn":"..."}; the subscriptions that ask for it get it, or what the last two name`, s.servePublishEvent},
		{"POST", "/_sim/sns/rotate", "sign messages with a new certificate from now on", s.serveRotate},
		{"GET", topic.Path + "ca.pem", "the certificate of the authority whose certificates sign messages", sns},
		{"GET", topic.Path + "confirm", "the SubscribeURL of messages", sns},
		{"GET", topic.Path + "unsubscribe", "the UnsubscribeURL of messages", sns},
		{"GET", topic.Path + "{file}", "SimpleNotificationService-<n>.pem, the SigningCertURL of messages", sns},
	}
}

func joinAs() string {
	var names []string
	for _, as := range topic.Ases() {
		names = append(names, string(as))
	}
	return strings.Join(names, "|")
}

func (s *Simulator) serveHooks(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, map[string]any{"items": s.Hooks()})
}

// Hooks returns the endpoints that are subscribed to topics.
func (s *Simulator) Hooks() []topic.Hook { return s.sns.Hooks() }

// AddHook subscribes an endpoint to a topic and sends it a SubscriptionConfirmation,
// the same that POST /_sim/hooks does. p.Base must be the URL that this Simulator is
// served at, such as http://127.0.0.1:8090.
func (s *Simulator) AddHook(p topic.HookParams) (topic.Hook, error) { return s.sns.Subscribe(p) }

func (s *Simulator) serveAddHook(w http.ResponseWriter, r *http.Request) {
	var p topic.HookParams
	if !receive(w, r, &p) {
		return
	}
	p.Base = "http://" + r.Host
	if r.TLS != nil {
		p.Base = "https://" + r.Host
	}
	hook, err := s.AddHook(p)
	reply(w, err, hook)
}

func (s *Simulator) serveDeleteHook(w http.ResponseWriter, r *http.Request) {
	hook, err := s.sns.Unsubscribe(r.PathValue("hook"))
	reply(w, err, hook)
}

// Deliveries returns attempts at deliveries to hooks, and how they were answered.
func (s *Simulator) Deliveries(p topic.DeliveriesParams) topic.Deliveries { return s.sns.Deliveries(p) }

func (s *Simulator) serveDeliveries(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, err := number(q, "since", 0)
	limit, err2 := number(q, "limit", defaultPage)
	if err := errors.Join(err, err2); err != nil {
		sendError(w, http.StatusBadRequest, err)
		return
	}
	sendJSON(w, http.StatusOK, s.Deliveries(topic.DeliveriesParams{
		Since: uint64(since), Hook: q.Get("hook"), Limit: limit, //nolint:gosec // number refuses negative ones
	}))
}

func (s *Simulator) serveSend(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Hook    string       `json:"hook"`
		As      topic.As     `json:"as"`
		Message string       `json:"message"`
		Event   *EventParams `json:"event"`
		Subject string       `json:"subject"`
		Age     string       `json:"age"`
	}
	if !receive(w, r, &request) {
		return
	}
	p := topic.SendParams{Hook: request.Hook, As: request.As, Text: request.Message, Subject: request.Subject}
	var err error
	if request.Age != "" {
		if p.Age, err = time.ParseDuration(request.Age); err != nil {
			err = fmt.Errorf("age: %q: must be a time such as 9h", request.Age)
		}
	}
	switch {
	case err != nil:
	case request.Event != nil && request.Message != "":
		err = errors.New("message and event: give one of them")
	case request.Event != nil:
		p.Text, err = s.EventText(*request.Event)
	}
	if err != nil {
		sendError(w, http.StatusBadRequest, err)
		return
	}
	delivery, err := s.sns.Send(r.Context(), p)
	reply(w, err, delivery)
}

// EventText writes an event as it would be published.
func (s *Simulator) EventText(p EventParams) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fill(&p); err != nil {
		return "", err
	}
	setDefault(&p.SubscriptionID, "amzn1.ask-subscription."+p.RequestID)
	return string(p.text(p.SubscriptionID)), nil
}

func (s *Simulator) serveEvents(w http.ResponseWriter, r *http.Request) {
	since, err := number(r.URL.Query(), "since", 0)
	if err != nil {
		sendError(w, http.StatusBadRequest, err)
		return
	}
	events := s.Events(uint64(since)) //nolint:gosec // number refuses negative ones
	next := uint64(since)             //nolint:gosec // likewise
	if len(events) > 0 {
		next = events[len(events)-1].N
	}
	sendJSON(w, http.StatusOK, map[string]any{"items": events, "next_since": next})
}

func (s *Simulator) servePublishEvent(w http.ResponseWriter, r *http.Request) {
	var p EventParams
	if receive(w, r, &p) {
		events, err := s.PublishEvent(p)
		reply(w, err, map[string]any{"items": events})
	}
}

func (s *Simulator) serveRotate(w http.ResponseWriter, _ *http.Request) {
	s.sns.Rotate()
	sendJSON(w, http.StatusOK, map[string]any{})
}
