package sns

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// MaxBody is the largest delivery that is read, in bytes. SNS messages are at most
// 256 KiB, and escaping may double them.
const MaxBody = 1 << 20

// DefaultMaxAge is how old a message may be where Config names no other. SNS sends
// again for an hour at most ("total policy retry time"); the rest is for queues and
// clocks between.
const DefaultMaxAge = 8 * time.Hour

// MaxSkew is how far ahead of our clock a message's time may be.
const MaxSkew = 5 * time.Minute

// Config is what a Verifier is made of. The zero Config takes messages of Amazon.
type Config struct {
	// Transport fetches certificates and confirms subscriptions. Nil: one of its own
	// that follows the proxy settings of the environment.
	Transport http.RoundTripper
	// MaxAge is how old a message may be. 0: DefaultMaxAge.
	MaxAge time.Duration
	// Origin is one more place that certificates and confirmations may be at, as
	// "http://127.0.0.1:8090" (--sns-cert-origin): a simulator, or a proxy that speaks
	// for SNS. Plain http is allowed there; what makes a certificate good is its chain.
	// Needs OriginCA.
	Origin string
	// OriginCA is the certificates (PEM) that those of Origin must chain to
	// (--sns-ca-file). They count for nothing else: certificates of Amazon's hosts
	// chain to the system's roots.
	OriginCA []byte
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Type is the kind of a message, as SNS spells it.
type Type string

// The types.
const (
	Notification             Type = "Notification"
	SubscriptionConfirmation Type = "SubscriptionConfirmation"
	// UnsubscribeConfirmation says that the endpoint was unsubscribed. Its
	// SubscribeURL would subscribe it again; Confirm does not.
	UnsubscribeConfirmation Type = "UnsubscribeConfirmation"
)

// Delivery is one request of SNS.
type Delivery struct {
	Header http.Header
	Body   []byte   // from ReadBody
	Topics []string // the topic ARNs that are expected; none: everything is refused
	// AllowRaw lets raw deliveries pass. They carry no signature: set it only after
	// the sender proved itself otherwise (the raw secret of the account's hook).
	AllowRaw bool
}

// Message is a delivery that was verified.
type Message struct {
	Type      Type
	MessageID string    // unique per published message, the same when SNS sends again
	TopicARN  string    // one of Delivery.Topics
	Subject   string    // empty where there is none
	Message   []byte    // what was published; of a raw delivery the body
	Timestamp time.Time // when it was published, UTC; zero for a raw delivery, which does not say
	// Token and SubscribeURL are those of a confirmation, else empty. Both are
	// secrets: who has them can subscribe the endpoint.
	Token        string
	SubscribeURL string
	Raw          bool // a raw delivery: nothing of it is signed, the header and the caller's check are all there is
}

// LogValue is what may be logged of a message.
func (m Message) LogValue() slog.Value {
	return slog.GroupValue(slog.String("type", string(m.Type)), slog.String("message_id", m.MessageID),
		slog.String("topic_arn", m.TopicARN), slog.Time("timestamp", m.Timestamp), slog.Bool("raw", m.Raw))
}

// Verify says what a delivery is. Every error but the context's is a *Refusal; a
// refusal that is Temporary is answered with 503, so that SNS sends the message
// again. A genuine message may come more than once: that is the caller's to see, by
// its MessageID.
func (v *Verifier) Verify(ctx context.Context, d Delivery) (Message, error) {
	panic("unfinished")
}

// Confirm confirms the subscription that a SubscriptionConfirmation asks about, by a
// GET of its SubscribeURL. Redirects are not followed. Only confirm what Verify
// returned. Errors are a *Refusal or the context's; none holds the URL or its token.
func (v *Verifier) Confirm(ctx context.Context, m Message) error {
	panic("unfinished")
}
