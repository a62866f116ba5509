package topic

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// State is how far a hook is. The set is closed.
type State string

// The states of a hook.
const (
	Pending      State = "pending"      // not confirmed: it gets nothing but the SubscriptionConfirmation
	Confirmed    State = "confirmed"    // it gets what is published
	Unsubscribed State = "unsubscribed" // it gets nothing
)

// DefaultARN is the topic of hooks that name none.
const DefaultARN = "arn:aws:sns:us-east-1:123456789012:fleet-events"

// HookParams are what a hook is made of.
type HookParams struct {
	// URL is the endpoint, http or https, on a loopback address. A user and a password in it are for Basic authentication.
	URL string `json:"url"`
	// TopicARN is the topic. Default DefaultARN.
	TopicARN string `json:"topic_arn"`
	// Raw delivers messages without an envelope.
	Raw bool `json:"raw"`
	// Base is scheme, host and port of this service, for the URLs in messages.
	Base string `json:"-"`
}

// Hook is an endpoint that is subscribed to a topic.
type Hook struct {
	ID              string    `json:"id"`
	URL             string    `json:"url"` // without the password
	TopicARN        string    `json:"topic_arn"`
	Raw             bool      `json:"raw"`
	State           State     `json:"state"`
	SubscriptionARN string    `json:"subscription_arn"` // "" until it is confirmed
	CreatedAt       time.Time `json:"created_at"`

	endpoint *url.URL
	base     string
	token    string
	queue    []*delivery
	held     []*delivery // until another one has passed
	busy     bool        // a goroutine is at the queue
	last     *delivery   // the last good notification that was sent
}

var arnForm = regexp.MustCompile(`^arn:aws(-cn|-us-gov)?:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}$`)

// ValidARN reports whether arn is that of a topic (not a FIFO one, which has no HTTP endpoints).
func ValidARN(arn string) bool { return arnForm.MatchString(arn) }

func (p *HookParams) endpoint() (*url.URL, error) {
	if p.TopicARN == "" {
		p.TopicARN = DefaultARN
	}
	if !ValidARN(p.TopicARN) {
		return nil, fmt.Errorf("topic_arn: %q: must be the ARN of a topic, such as %s", p.TopicARN, DefaultARN)
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, errors.New("url: must be a URL, such as http://127.0.0.1:8080/hooks/sns/acme") // The error would repeat the password.
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("url: %q: must be an http or https URL, such as http://127.0.0.1:8080/hooks/sns/acme", u.Redacted())
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("url: %q: must be on a loopback address: the simulator sends to this machine only", u.Redacted())
	}
	u.Fragment = ""
	return u, nil
}

// Subscribe adds a hook and sends it a SubscriptionConfirmation. The same URL and
// topic are the same hook: one that is pending is sent another confirmation, one
// that was unsubscribed begins anew, and raw is set to what p says.
func (s *Service) Subscribe(p HookParams) (Hook, error) {
	endpoint, err := p.endpoint()
	if err != nil {
		return Hook{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	var h *Hook
	for _, known := range s.hooks {
		if known.endpoint.String() == endpoint.String() && known.TopicARN == p.TopicARN {
			h = known
		}
	}
	if h == nil {
		s.made++
		h = &Hook{ID: fmt.Sprintf("hook-%d", s.made), TopicARN: p.TopicARN, State: Pending, CreatedAt: time.Now().UTC()}
		s.hooks = append(s.hooks, h)
	}
	h.URL, h.endpoint, h.base, h.Raw = endpoint.Redacted(), endpoint, p.Base, p.Raw
	if h.State == Unsubscribed {
		h.State, h.SubscriptionARN = Pending, ""
	}
	if h.State == Pending {
		if h.token == "" {
			h.token = newToken()
		}
		s.enqueue(s.confirmation(h, SubscriptionConfirmation))
	}
	return *h, nil
}

// newToken makes a confirmation token, as long as real ones are about.
func newToken() string {
	var b [112]byte
	_, _ = rand.Read(b[:]) // It never fails.
	return hex.EncodeToString(b[:])
}

// confirmation makes the message that asks for a confirmation, or tells that a hook is unsubscribed.
func (s *Service) confirmation(h *Hook, kind MessageType) *delivery {
	text := "You have chosen to subscribe to the topic " + h.TopicARN + ".\nTo confirm the subscription, visit the SubscribeURL included in this message."
	if kind == UnsubscribeConfirmation {
		text = "You have chosen to deactivate subscription " + h.SubscriptionARN +
			".\nTo cancel this operation and restore the subscription, visit the SubscribeURL included in this message."
	}
	e := envelope{
		{"Type", string(kind)},
		{"MessageId", newID()},
		{"Token", h.token},
		{"TopicArn", h.TopicARN},
		{"Message", text},
		{"SubscribeURL", h.base + Path + "confirm?" + url.Values{
			"Action": {"ConfirmSubscription"}, "TopicArn": {h.TopicARN}, "Token": {h.token},
		}.Encode()},
		{"Timestamp", timestamp(time.Now())},
	}
	e.sign(s.signer, signatureSHA256, s.certificateURL(h, s.signer))
	return &delivery{hook: h, kind: kind, envelope: e, body: e.body()}
}

func (s *Service) certificateURL(h *Hook, by *signer) string {
	return fmt.Sprintf("%s%s%s%d%s", h.base, Path, certificatePrefix, by.n, certificateSuffix)
}

// Hooks returns the hooks, in the order in which they came.
func (s *Service) Hooks() []Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	hooks := make([]Hook, 0, len(s.hooks))
	for _, h := range s.hooks {
		hooks = append(hooks, *h)
	}
	return hooks
}

// Confirm confirms the hook that was sent the token.
func (s *Service) Confirm(token string) (Hook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hooks {
		if token == "" || h.token != token {
			continue
		}
		if h.State != Confirmed {
			h.State, h.SubscriptionARN = Confirmed, h.TopicARN+":"+newID()
		}
		return *h, nil
	}
	return Hook{}, errors.New("token: no hook was sent it, or it was sent a newer one")
}

// Unsubscribe ends a hook, known by its ID or subscription ARN, and tells it by an
// UnsubscribeConfirmation.
func (s *Service) Unsubscribe(id string) (Hook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hook(id)
	if h == nil {
		return Hook{}, fmt.Errorf("hook %q: there is none; GET /_sim/hooks lists them", id)
	}
	s.drop(h)
	was := h.State
	h.State, h.token = Unsubscribed, newToken()
	if was == Confirmed {
		s.enqueue(s.confirmation(h, UnsubscribeConfirmation))
	}
	return *h, nil
}

// hook finds a hook by ID or subscription ARN. The lock is held.
func (s *Service) hook(id string) *Hook {
	i := slices.IndexFunc(s.hooks, func(h *Hook) bool { return id != "" && (h.ID == id || h.SubscriptionARN == id) })
	if i < 0 {
		return nil
	}
	return s.hooks[i]
}

// Reset forgets hooks, deliveries and what is not delivered. Authority and
// certificates stay: verifiers know them.
func (s *Service) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(nil)
	s.hooks, s.history, s.attempts, s.rolls = nil, nil, 0, 0
}

// Forget empties the history of deliveries.
func (s *Service) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = nil
}

const namespace = "http://sns.amazonaws.com/doc/2010-03-31/"

func (s *Service) serveConfirm(w http.ResponseWriter, r *http.Request) {
	h, err := s.Confirm(r.URL.Query().Get("Token"))
	if err != nil {
		sendXML(w, http.StatusBadRequest, "<ErrorResponse xmlns=%q><Error><Type>Sender</Type><Code>InvalidParameter</Code>"+
			"<Message>Invalid parameter: %s</Message></Error><RequestId>%s</RequestId></ErrorResponse>", namespace, escape(err.Error()), newID())
		return
	}
	sendXML(w, http.StatusOK, "<ConfirmSubscriptionResponse xmlns=%q><ConfirmSubscriptionResult><SubscriptionArn>%s</SubscriptionArn>"+
		"</ConfirmSubscriptionResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></ConfirmSubscriptionResponse>",
		namespace, escape(h.SubscriptionARN), newID())
}

func (s *Service) serveUnsubscribe(w http.ResponseWriter, r *http.Request) {
	arn := r.URL.Query().Get("SubscriptionArn")
	if _, err := s.Unsubscribe(arn); err != nil {
		status, code, message := http.StatusNotFound, "NotFound", "Subscription does not exist"
		if arn == "" {
			status, code, message = http.StatusBadRequest, "InvalidParameter", "Invalid parameter: SubscriptionArn"
		}
		sendXML(w, status, "<ErrorResponse xmlns=%q><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error>"+
			"<RequestId>%s</RequestId></ErrorResponse>", namespace, code, message, newID())
		return
	}
	sendXML(w, http.StatusOK, "<UnsubscribeResponse xmlns=%q><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></UnsubscribeResponse>",
		namespace, newID())
}

func sendXML(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, format+"\n", args...)
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // A Builder never fails.
	return b.String()
}
