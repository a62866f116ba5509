package topic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// As is what Send makes a message look like. The set is closed: all but
// AsNotification and AsRaw are what a receiver must refuse.
type As string

// What a message may be sent as.
const (
	AsNotification        As = "notification"          // a good one
	AsReplay              As = "replay"                // the last good notification of the hook, byte for byte
	AsForged              As = "forged"                // the text was changed after it was signed
	AsUnsigned            As = "unsigned"              // there is no signature
	AsSHA1                As = "sha1"                  // signature version 1
	AsOld                 As = "old"                   // well signed, Age ago
	AsFuture              As = "future"                // well signed, Age from now
	AsWrongTopic          As = "wrong_topic"           // well signed, of a topic that the hook has not subscribed to
	AsForeignCertificate  As = "foreign_certificate"   // by an authority that is not trusted, at a good URL
	AsForeignHost         As = "foreign_host"          // by a certificate at a host that only looks like SNS's
	AsWrongName           As = "wrong_name"            // by a certificate of the right authority for another DNS name
	AsExpiredCertificate  As = "expired_certificate"   // by one that was good until yesterday
	AsMissingCertificate  As = "missing_certificate"   // by one whose URL answers 404
	AsMismatchedHeader    As = "mismatched_header"     // the header says SubscriptionConfirmation, the body Notification
	AsForeignSubscribeURL As = "foreign_subscribe_url" // a well signed SubscriptionConfirmation that wants another host to be called
	AsMalformed           As = "malformed"             // no JSON
	AsHuge                As = "huge"                  // 5 MiB of text, well signed
	AsRaw                 As = "raw"                   // a raw one; credentials are sent when they are asked for, as ever
	AsRawWrongPassword    As = "raw_wrong_password"    //nolint:gosec // no password: a raw message with one that is not the URL's
)

// Ases lists everything that a message may be sent as.
func Ases() []As {
	return []As{
		AsNotification, AsReplay, AsForged, AsUnsigned, AsSHA1, AsOld, AsFuture, AsWrongTopic, AsForeignCertificate, AsForeignHost,
		AsWrongName, AsExpiredCertificate, AsMissingCertificate, AsMismatchedHeader, AsForeignSubscribeURL, AsMalformed, AsHuge,
		AsRaw, AsRawWrongPassword,
	}
}

const (
	defaultAge = 24 * time.Hour
	hugeText   = 5 << 20
)

// SendParams are one message to one hook, whatever the hook's state.
type SendParams struct {
	Hook    string        // its ID; may be empty where there is one hook only
	As      As            // default AsNotification
	Text    string        // default "{}"
	Subject string        // default none
	Age     time.Duration // of AsOld and AsFuture; default 24 hours
}

// Send delivers one message at once, with one attempt, and returns the answer.
func (s *Service) Send(ctx context.Context, p SendParams) (Delivery, error) {
	d, err := s.compose(p)
	if err != nil {
		return Delivery{}, err
	}
	r := s.attempt(ctx, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.as == AsNotification {
		s.delivered(d, r)
	}
	return s.record(r), nil
}

// compose makes the message that p describes.
func (s *Service) compose(p SendParams) (*delivery, error) {
	if p.As == "" {
		p.As = AsNotification
	}
	if !slices.Contains(Ases(), p.As) {
		return nil, fmt.Errorf("as: %q: must be one of %v", p.As, Ases())
	}
	if p.Text == "" {
		p.Text = "{}"
	}
	if p.Age == 0 {
		p.Age = defaultAge
	}
	if p.Age < 0 {
		return nil, fmt.Errorf("age: %v: must be more than 0", p.Age)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	h := s.hook(p.Hook)
	switch {
	case h == nil && p.Hook == "" && len(s.hooks) == 1:
		h = s.hooks[0]
	case h == nil && p.Hook == "":
		return nil, fmt.Errorf("hook: must say which: there are %d", len(s.hooks))
	case h == nil:
		return nil, fmt.Errorf("hook %q: there is none; GET /_sim/hooks lists them", p.Hook)
	}
	if p.As == AsReplay {
		if h.last == nil {
			return nil, errors.New("as replay: the hook has taken no notification yet")
		}
		again := *h.last
		again.as, again.attempt, again.duplicate = AsReplay, 0, false
		return &again, nil
	}
	d := s.bend(h, p)
	d.as = p.As
	return d, nil
}

// bend makes the message of a kind. The lock is held.
func (s *Service) bend(h *Hook, p SendParams) *delivery {
	at, message := time.Now(), Message{TopicARN: h.TopicARN, Subject: p.Subject, Text: p.Text}
	switch p.As { //nolint:exhaustive // only these differ before the message is made
	case AsOld:
		at = at.Add(-p.Age)
	case AsFuture:
		at = at.Add(p.Age)
	case AsWrongTopic:
		message.TopicARN = h.TopicARN + "-other"
	case AsHuge:
		message.Text = strings.Repeat("x", hugeText)
	}
	d := s.notification(h, newID(), message, at)
	d.raw = p.As == AsRaw || p.As == AsRawWrongPassword || h.Raw && p.As == AsNotification
	e := &d.envelope
	resign := func(by *signer, version, certificateURL string) { e.sign(by, version, certificateURL) }
	switch p.As {
	case AsForged:
		e.set("Message", p.Text+" ")
	case AsUnsigned:
		e.drop("Signature")
	case AsSHA1:
		resign(s.signer, signatureSHA1, s.certificateURL(h, s.signer))
	case AsForeignCertificate, AsWrongName, AsExpiredCertificate:
		by := s.badSigner(p.As)
		resign(by, signatureSHA256, s.certificateURL(h, by))
	case AsForeignHost:
		resign(s.signer, signatureSHA256, "https://sns.us-east-1.amazonaws.com.example.com/SimpleNotificationService-1.pem")
	case AsMissingCertificate:
		resign(s.signer, signatureSHA256, h.base+Path+certificatePrefix+"0"+certificateSuffix)
	case AsMismatchedHeader:
		d.kind = SubscriptionConfirmation
	case AsForeignSubscribeURL:
		d = s.confirmation(h, SubscriptionConfirmation)
		e = &d.envelope
		e.set("SubscribeURL", "http://example.com/?"+url.Values{"Action": {"ConfirmSubscription"}, "Token": {h.token}}.Encode())
		resign(s.signer, signatureSHA256, s.certificateURL(h, s.signer))
	case AsRawWrongPassword:
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth("sns", "not-"+newID())
		d.header = r.Header
	case AsNotification, AsReplay, AsOld, AsFuture, AsWrongTopic, AsMalformed, AsHuge, AsRaw:
	}
	d.body = e.body()
	switch {
	case d.raw:
		d.body = []byte(message.Text)
	case p.As == AsMalformed:
		d.body = d.body[:len(d.body)/2]
	}
	return d
}

// badSigner returns the signer of a kind whose certificate is not right. The lock is held.
func (s *Service) badSigner(as As) *signer {
	if known := s.bad[as]; known != nil {
		return known
	}
	by, name, now := s.authority, signerName, time.Now()
	from, until := now.Add(-time.Hour), now.AddDate(1, 0, 0)
	switch as { //nolint:exhaustive // the others have no certificate of their own
	case AsForeignCertificate:
		by = newAuthority("Elsewhere", now)
	case AsWrongName:
		name = "sqs.amazonaws.com"
	case AsExpiredCertificate:
		from, until = now.Add(-47*time.Hour), now.Add(-24*time.Hour)
	}
	s.bad[as] = s.addSigner(by, name, from, until)
	return s.bad[as]
}
