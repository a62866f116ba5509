package sns

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// The names of an envelope, to the letter.
const (
	nameType             = "Type"
	nameMessageID        = "MessageId"
	nameToken            = "Token"
	nameTopicARN         = "TopicArn"
	nameSubject          = "Subject"
	nameMessage          = "Message"
	nameSubscribeURL     = "SubscribeURL"
	nameTimestamp        = "Timestamp"
	nameSignatureVersion = "SignatureVersion"
	nameSignature        = "Signature"
	nameSigningCertURL   = "SigningCertURL"
)

// names are those that mean something here, by their lower-case form.
var names = func() map[string]string {
	all := map[string]string{}
	for _, n := range [...]string{
		nameType, nameMessageID, nameToken, nameTopicARN, nameSubject, nameMessage, nameSubscribeURL, nameTimestamp,
		nameSignatureVersion, nameSignature, nameSigningCertURL,
	} {
		all[strings.ToLower(n)] = n
	}
	return all
}()

// Caps of an envelope. SNS's own values are far below them.
const (
	maxNames = 64  // of the object
	maxID    = 128 // bytes of a MessageId
	maxTopic = 512 // bytes of a TopicArn
	maxToken = 2 << 10
	maxURL   = 4 << 10
	// maxSubject is more than the 100 characters of SNS.
	maxSubject = 1 << 10
)

// envelope is what a delivery says of itself, before anything of it is believed.
// Meaning and signature are both taken from here and never from the body again.
type envelope struct {
	fields    map[string]string
	kind      Type
	timestamp time.Time
	signature []byte
}

// parseEnvelope reads the JSON of a delivery. Each name is read once, to the letter:
// a name that comes twice, or in another case, is a message that two readers could
// understand differently, and is refused.
func parseEnvelope(body []byte) (*envelope, *Refusal) {
	if !utf8.Valid(body) {
		return nil, refuse(ReasonMalformed, "the body is not UTF-8")
	}
	fields, refusal := parseFields(body)
	if refusal != nil {
		return nil, refusal
	}
	e := &envelope{fields: fields, kind: Type(fields[nameType])}
	switch e.kind {
	case Notification, SubscriptionConfirmation, UnsubscribeConfirmation:
	default:
		return nil, refuse(ReasonUnknownType, "the Type is none that SNS documents")
	}
	return e, e.check()
}

func parseFields(body []byte) (map[string]string, *Refusal) {
	malformed := func(detail string) (map[string]string, *Refusal) { return nil, refuse(ReasonMalformed, detail) }
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return malformed("the body is not a JSON object")
	}
	fields, seen := map[string]string{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return malformed("the body is not a JSON object")
		}
		if seen[name] {
			return malformed("a name comes twice")
		}
		if seen[name] = true; len(seen) > maxNames {
			return malformed("there are too many names")
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return malformed("the body is not a JSON object")
		}
		known, ok := names[fold(name)]
		switch {
		case !ok:
			continue // MessageAttributes and whatever else is not signed
		case known != name:
			return malformed("a name is spelled in another case than SNS does")
		case string(raw) == "null":
			continue
		}
		var value string
		if err := json.Unmarshal(raw, &value); err != nil {
			return malformed(name + " is not a string")
		}
		fields[name] = value
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return malformed("the body is not a JSON object")
	}
	if len(bytes.Trim(body[dec.InputOffset():], " \t\r\n")) > 0 {
		return malformed("something follows the JSON object")
	}
	return fields, nil
}

// fold maps to one all spellings that encoding/json would take for the same name:
// it minds no case, and takes the long s for an s as it takes the Kelvin sign for a k.
func fold(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "\u017f", "s")
}

// check refuses values that cannot be those of SNS. All but Message are held to
// one line: the string to sign has no quoting, and only so has each one reading.
func (e *envelope) check() *Refusal {
	for _, f := range [...]struct {
		name  string
		limit int
	}{
		{nameMessageID, maxID},
		{nameTopicARN, maxTopic},
		{nameTimestamp, maxID},
		{nameSignatureVersion, maxID},
		{nameSignature, maxURL},
		{nameSigningCertURL, maxURL},
	} {
		if !oneWord(e.fields[f.name], f.limit) {
			return refuse(ReasonMalformed, f.name+" is missing or not one word")
		}
	}
	if _, ok := e.fields[nameMessage]; !ok {
		return refuse(ReasonMalformed, "Message is missing")
	}
	if !oneLine(e.fields[nameSubject], maxSubject) {
		return refuse(ReasonMalformed, "Subject is not one line")
	}
	if e.kind != Notification && (!oneWord(e.fields[nameToken], maxToken) || !oneWord(e.fields[nameSubscribeURL], maxURL)) {
		return refuse(ReasonMalformed, "Token or SubscribeURL is missing or not one word")
	}
	at, err := time.Parse(time.RFC3339Nano, e.fields[nameTimestamp])
	if err != nil {
		return refuse(ReasonMalformed, "the Timestamp is not one of RFC 3339")
	}
	e.timestamp = at.UTC()
	if e.signature, err = base64.StdEncoding.DecodeString(e.fields[nameSignature]); err != nil {
		return refuse(ReasonMalformed, "the Signature is not base64")
	}
	return nil
}

// canonical is the string that SNS signs: for each field that the type signs, in
// byte order of their names, the name and the value on a line each.
func (e *envelope) canonical() []byte {
	signed := []string{nameMessage, nameMessageID, nameSubscribeURL, nameTimestamp, nameToken, nameTopicARN, nameType}
	if e.kind == Notification {
		signed = []string{nameMessage, nameMessageID, nameSubject, nameTimestamp, nameTopicARN, nameType}
	}
	var b bytes.Buffer
	for _, name := range signed {
		if value, ok := e.fields[name]; ok { // only a Subject may be absent
			b.WriteString(name + "\n" + value + "\n")
		}
	}
	return b.Bytes()
}

// message is what the envelope means, of signed fields only.
func (e *envelope) message() Message {
	m := Message{
		Type: e.kind, MessageID: e.fields[nameMessageID], TopicARN: e.fields[nameTopicARN],
		Message: []byte(e.fields[nameMessage]), Timestamp: e.timestamp,
	}
	if e.kind == Notification {
		m.Subject = e.fields[nameSubject]
	} else {
		m.Token, m.SubscribeURL = e.fields[nameToken], e.fields[nameSubscribeURL]
	}
	return m
}

// oneWord reports whether s is printable ASCII without spaces, of 1 to limit bytes.
func oneWord(s string, limit int) bool {
	return s != "" && oneLine(s, limit) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// oneLine reports whether s has at most limit bytes and no control character.
func oneLine(s string, limit int) bool {
	return len(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
	})
}
