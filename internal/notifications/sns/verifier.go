package sns

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
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
	// Roots is what the certificates of Amazon's hosts chain to. Nil: the system's.
	Roots *x509.CertPool
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

// Verifier verifies deliveries. It is safe for concurrent use.
type Verifier struct {
	transport http.RoundTripper
	roots     *x509.CertPool
	maxAge    time.Duration
	origin    string
	originCA  *x509.CertPool
	now       func() time.Time
	keys      keyring
}

// NewVerifier makes a Verifier. It fails on an origin that is not one, on an origin
// without certificates or the other way round, and on a negative age.
func NewVerifier(cfg Config) (*Verifier, error) {
	v := &Verifier{transport: cfg.Transport, roots: cfg.Roots, maxAge: cfg.MaxAge, origin: cfg.Origin, now: cfg.Now}
	switch {
	case cfg.MaxAge < 0:
		return nil, errors.New("the age of SNS messages cannot be negative")
	case cfg.MaxAge == 0:
		v.maxAge = DefaultMaxAge
	}
	if (cfg.Origin == "") != (len(cfg.OriginCA) == 0) {
		return nil, errors.New("--sns-cert-origin and --sns-ca-file go together: name both or none")
	}
	if cfg.Origin != "" {
		u, err := url.Parse(cfg.Origin)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Scheme+"://"+u.Host != cfg.Origin {
			return nil, fmt.Errorf("--sns-cert-origin %q: want a scheme and a host without a path, as in http://127.0.0.1:8090", cfg.Origin)
		}
		v.originCA = x509.NewCertPool()
		if !v.originCA.AppendCertsFromPEM(cfg.OriginCA) {
			return nil, errors.New("--sns-ca-file: there is no certificate in it; it holds one or more in PEM")
		}
	}
	if v.transport == nil {
		v.transport = newTransport()
	}
	if v.now == nil {
		v.now = time.Now
	}
	v.keys.init(v.now())
	return v, nil
}

// Verify says what a delivery is. Every error but the context's is a *Refusal; a
// refusal that is Temporary is answered with 503, so that SNS sends the message
// again. A genuine message may come more than once: that is the caller's to see, by
// its MessageID.
func (v *Verifier) Verify(ctx context.Context, d Delivery) (Message, error) {
	said, refusal := readHeader(d)
	if refusal != nil {
		return Message{}, refusal
	}
	if said.raw {
		return raw(d, said)
	}
	e, refusal := parseEnvelope(d.Body)
	if refusal == nil {
		refusal = v.inspect(e, said, d.Topics)
	}
	if refusal != nil {
		return Message{}, refusal
	}
	m := e.message()
	if m.SubscribeURL != "" {
		if _, err := v.subscribePlace(m); err != nil {
			return Message{}, refuseFor(ReasonSubscribeURL, "the SubscribeURL is not one of SNS", err)
		}
	}
	p, err := v.certificatePlace(e.fields[nameSigningCertURL], m.TopicARN)
	if err != nil {
		return Message{}, refuseFor(ReasonCertificateURL, "the SigningCertURL is not one of SNS", err)
	}
	key, err := v.key(ctx, p)
	if err != nil {
		return Message{}, err
	}
	digest := sha256.Sum256(e.canonical())
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], e.signature); err != nil {
		return Message{}, refuse(ReasonSignature, "the signature is not that of the message")
	}
	return m, nil
}

// said is what the header says of the message.
type said struct {
	kind, messageID, topicARN string
	raw                       bool
}

func readHeader(d Delivery) (said, *Refusal) {
	if len(d.Body) > MaxBody {
		return said{}, refuse(ReasonTooLarge, "the body is larger than 1 MiB")
	}
	contentType, _, err := mime.ParseMediaType(d.Header.Get("Content-Type"))
	if err != nil || (contentType != "text/plain" && contentType != "application/json") {
		return said{}, refuse(ReasonContentType, "the Content-Type is neither text/plain nor application/json")
	}
	var s said
	for _, f := range [...]struct {
		name  string
		value *string
	}{{"X-Amz-Sns-Message-Type", &s.kind}, {"X-Amz-Sns-Message-Id", &s.messageID}, {"X-Amz-Sns-Topic-Arn", &s.topicARN}} {
		values := d.Header.Values(f.name)
		if len(values) != 1 || !oneWord(values[0], maxTopic) {
			return said{}, refuse(ReasonHeaderMismatch, "there is not one header "+strings.ToLower(f.name))
		}
		*f.value = values[0]
	}
	// A confirmation is never raw, whatever the header says.
	s.raw = s.kind == string(Notification) && d.Header.Get("X-Amz-Sns-Rawdelivery") == "true"
	return s, nil
}

// raw is a delivery whose body is the published message and nothing else.
func raw(d Delivery, s said) (Message, error) {
	switch {
	case !d.AllowRaw:
		return Message{}, refuse(ReasonRaw, "raw deliveries are not signed and not allowed here: turn raw message delivery off, or give the hook a raw secret")
	case len(s.messageID) > maxID:
		return Message{}, refuse(ReasonHeaderMismatch, "the message ID is too long")
	case !slices.Contains(d.Topics, s.topicARN):
		return Message{}, refuse(ReasonWrongTopic, "the topic is not one of the hook's")
	}
	return Message{Type: Notification, MessageID: s.messageID, TopicARN: s.topicARN, Message: d.Body, Raw: true}, nil
}

// inspect checks all that costs nothing.
func (v *Verifier) inspect(e *envelope, s said, topics []string) *Refusal {
	now := v.now()
	switch {
	case s.kind != string(e.kind), s.messageID != e.fields[nameMessageID], s.topicARN != e.fields[nameTopicARN]:
		return refuse(ReasonHeaderMismatch, "the header and the body are not of the same message")
	case !slices.Contains(topics, e.fields[nameTopicARN]):
		return refuse(ReasonWrongTopic, "the topic is not one of the hook's")
	case e.fields[nameSignatureVersion] == "1":
		return refuse(ReasonSignatureVersion, "it is signed with SHA-1: set the topic's attribute SignatureVersion to 2")
	case e.fields[nameSignatureVersion] != "2":
		return refuse(ReasonSignatureVersion, "the signature version is not known")
	case now.Sub(e.timestamp) > v.maxAge:
		return refuse(ReasonTooOld, "it is older than "+v.maxAge.String())
	case e.timestamp.Sub(now) > MaxSkew:
		return refuse(ReasonFuture, "its time is more than "+MaxSkew.String()+" ahead: is the clock of this machine right?")
	case len(e.signature) < minKeyBits/8 || len(e.signature) > maxKeyBits/8:
		return refuse(ReasonSignature, "the signature has not the length of one")
	}
	return nil
}

// Confirm confirms the subscription that a SubscriptionConfirmation asks about, by a
// GET of its SubscribeURL. Redirects are not followed. Only confirm what Verify
// returned. Errors are a *Refusal or the context's; none holds the URL or its token.
func (v *Verifier) Confirm(ctx context.Context, m Message) error {
	if m.Type != SubscriptionConfirmation || m.Raw {
		return refuse(ReasonUnknownType, "only a SubscriptionConfirmation is confirmed")
	}
	p, err := v.subscribePlace(m)
	if err != nil {
		return refuseFor(ReasonSubscribeURL, "the SubscribeURL is not one of SNS", err)
	}
	if _, err := v.get(ctx, p.url); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("confirm an SNS subscription: %w", ctx.Err())
		}
		return refuseFor(ReasonConfirm, "SNS did not take the confirmation", err)
	}
	return nil
}
