package topic

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // signature version 1 is SHA-1; receivers are tested to refuse it
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MessageType is the kind of a message. The set is closed.
type MessageType string

// The message types.
const (
	Notification             MessageType = "Notification"
	SubscriptionConfirmation MessageType = "SubscriptionConfirmation"
	UnsubscribeConfirmation  MessageType = "UnsubscribeConfirmation"
)

// The versions of the signature.
const (
	signatureSHA1   = "1"
	signatureSHA256 = "2"
)

// signedNames are the fields of a notification that are signed, in their order;
// Subject only where there is one. confirmationNames are those of the other two.
var (
	signedNames       = []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	confirmationNames = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
)

// property is one name and value of an envelope.
type property struct{ name, value string }

// envelope is the JSON object of strings that a message is, in the order in which
// SNS writes it.
type envelope []property

func (e *envelope) get(name string) string {
	for _, p := range *e {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// set replaces a value in place, or adds it at the end.
func (e *envelope) set(name, value string) {
	for i, p := range *e {
		if p.name == name {
			(*e)[i].value = value
			return
		}
	}
	*e = append(*e, property{name, value})
}

func (e *envelope) drop(name string) {
	*e = slices.DeleteFunc(*e, func(p property) bool { return p.name == name })
}

// text is what is signed: each name and each value on a line of its own.
func (e *envelope) text() string {
	names := signedNames
	if e.get("Type") != string(Notification) {
		names = confirmationNames
	}
	var b strings.Builder
	for _, name := range names {
		if name == "Subject" && e.get(name) == "" {
			continue
		}
		b.WriteString(name + "\n" + e.get(name) + "\n")
	}
	return b.String()
}

// sign adds version, signature and the URL of the certificate.
func (e *envelope) sign(by *signer, version, certificateURL string) {
	hash, sum := crypto.SHA256, sha256.Sum256([]byte(e.text()))
	digest := sum[:]
	if version == signatureSHA1 {
		old := sha1.Sum([]byte(e.text())) //nolint:gosec // as above
		hash, digest = crypto.SHA1, old[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, by.key, hash, digest)
	if err != nil { // The key is big enough for either.
		panic(fmt.Sprintf("topic: sign: %v", err))
	}
	e.set("SignatureVersion", version)
	e.set("Signature", base64.StdEncoding.EncodeToString(signature))
	e.set("SigningCertURL", certificateURL)
}

// body is the envelope as SNS writes it, spaces and all.
func (e *envelope) body() []byte {
	var b bytes.Buffer
	for i, p := range *e {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "  %s : %s", quote(p.name), quote(p.value))
	}
	return slices.Concat([]byte("{\n"), b.Bytes(), []byte("\n}"))
}

func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // Strings always marshal.
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// timestamp is how SNS writes a time.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// newID makes a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // It never fails.
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
