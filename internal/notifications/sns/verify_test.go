package sns

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestVerifyTakesGenuineMessages(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 11, 59, 54, 655e6, time.UTC)
	t.Run("a notification", func(t *testing.T) {
		t.Parallel()
		m, err := newWorld(t).verifier.Verify(t.Context(), signed(t, notification()))
		require.NoError(t, err)
		require.Equal(t, Message{
			Type: Notification, MessageID: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", TopicARN: topic,
			Message: []byte(notification()["Message"]), Timestamp: at,
		}, m)
	})
	t.Run("with a subject, in JSON, of a region that signs as itself", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		const far, url = "arn:aws:sns:af-south-1:123456789012:t", "https://sns.af-south-1.amazonaws.com/SimpleNotificationService-1.pem"
		w.net.serveBytes(url, inPEM(w.issuer.leaf(t, &leafKey().PublicKey, named("sns-signing.af-south-1.amazonaws.com")), w.issuer.cert))
		d := signed(t, notification().with("Subject", "A subject").with("TopicArn", far).with("SigningCertURL", url))
		d.Topics = []string{far}
		d.Header.Set("Content-Type", "application/json")
		m, err := w.verifier.Verify(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, "A subject", m.Subject)
	})
	for _, kind := range []Type{SubscriptionConfirmation, UnsubscribeConfirmation} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			m, err := newWorld(t).verifier.Verify(t.Context(), signed(t, confirmation(kind)))
			require.NoError(t, err)
			require.Equal(t, kind, m.Type)
			require.Equal(t, token, m.Token)
			require.Equal(t, subscribeURL(), m.SubscribeURL)
		})
	}
	t.Run("an empty message", func(t *testing.T) {
		t.Parallel()
		m, err := newWorld(t).verifier.Verify(t.Context(), signed(t, notification().with("Message", "")))
		require.NoError(t, err)
		require.Empty(t, m.Message)
	})
	t.Run("a replay: it is the caller who remembers message IDs", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), signed(t, notification())
		first, err := w.verifier.Verify(t.Context(), d)
		require.NoError(t, err)
		again, err := w.verifier.Verify(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, first.MessageID, again.MessageID)
	})
	t.Run("at the edges of its age", func(t *testing.T) {
		t.Parallel()
		for _, age := range []time.Duration{DefaultMaxAge, -MaxSkew} {
			d := signed(t, notification().with("Timestamp", noon.Add(-age).Format(time.RFC3339Nano)))
			_, err := newWorld(t).verifier.Verify(t.Context(), d)
			require.NoError(t, err, age)
		}
	})
}

// Each of these is a message that was signed by SNS and then changed, or one that
// SNS would not send. Nothing is fetched for those that can be told without.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	other, err := rsa.GenerateKey(rand.Reader, minKeyBits)
	require.NoError(t, err)
	after := func(change func(letter)) func(*testing.T) Delivery { // it was signed
		return func(t *testing.T) Delivery {
			t.Helper()
			l := notification().sign(t, leafKey())
			change(l)
			return l.deliver(t)
		}
	}
	before := func(change func(letter)) func(*testing.T) Delivery {
		return func(t *testing.T) Delivery {
			t.Helper()
			l := notification()
			change(l)
			return signed(t, l)
		}
	}
	header := func(change func(http.Header)) func(*testing.T) Delivery {
		return func(t *testing.T) Delivery {
			t.Helper()
			d := signed(t, notification())
			change(d.Header)
			return d
		}
	}
	body := func(edit func(string) string) func(*testing.T) Delivery {
		return func(t *testing.T) Delivery {
			t.Helper()
			d := signed(t, notification())
			d.Body = []byte(edit(string(d.Body)))
			return d
		}
	}
	for name, c := range map[string]struct {
		delivery func(*testing.T) Delivery
		reason   Reason
		status   int
		fetches  int
	}{
		"forged body":         {after(func(l letter) { l["Message"] += " " }), ReasonSignature, 403, 1},
		"forged message ID":   {after(func(l letter) { l["MessageId"] = "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf325" }), ReasonSignature, 403, 1},
		"forged time":         {after(func(l letter) { l["Timestamp"] = "2026-11-22T11:59:55.655Z" }), ReasonSignature, 403, 1},
		"same time in digits": {after(func(l letter) { l["Timestamp"] = "2026-11-22T11:59:54.6550Z" }), ReasonSignature, 403, 1},
		"added subject":       {after(func(l letter) { l["Subject"] = "s" }), ReasonSignature, 403, 1},
		"added empty subject": {after(func(l letter) { l["Subject"] = "" }), ReasonSignature, 403, 1},
		"topic swapped":       {after(func(l letter) { l["TopicArn"] = "arn:aws:sns:us-east-1:123456789012:other" }), ReasonSignature, 403, 1},
		"notification as confirmation": {after(func(l letter) {
			l["Type"], l["Token"], l["SubscribeURL"] = "SubscriptionConfirmation", token, subscribeURL()
		}), ReasonSignature, 403, 1},
		"forged signature":           {after(func(l letter) { l["Signature"] = base64.StdEncoding.EncodeToString(make([]byte, 256)) }), ReasonSignature, 403, 1},
		"signed with another key":    {func(t *testing.T) Delivery { t.Helper(); return notification().sign(t, other).deliver(t) }, ReasonSignature, 403, 1},
		"empty signature":            {after(func(l letter) { l["Signature"] = "" }), ReasonMalformed, 400, 0},
		"short signature":            {after(func(l letter) { l["Signature"] = "AAAA" }), ReasonSignature, 403, 0},
		"signature that is not one":  {after(func(l letter) { l["Signature"] = "%%%" }), ReasonMalformed, 400, 0},
		"wrong topic":                {before(func(l letter) { l["TopicArn"] = "arn:aws:sns:us-east-1:666666666666:skill-events" }), ReasonWrongTopic, 403, 0},
		"topic with a longer name":   {before(func(l letter) { l["TopicArn"] += "2" }), ReasonWrongTopic, 403, 0},
		"topic in another case":      {before(func(l letter) { l["TopicArn"] = strings.ToUpper(l["TopicArn"]) }), ReasonWrongTopic, 403, 0},
		"SHA-1":                      {before(func(l letter) { l["SignatureVersion"] = "1" }), ReasonSignatureVersion, 400, 0},
		"unknown version":            {before(func(l letter) { l["SignatureVersion"] = "3" }), ReasonSignatureVersion, 400, 0},
		"no version":                 {before(func(l letter) { delete(l, "SignatureVersion") }), ReasonMalformed, 400, 0},
		"version that is almost 2":   {before(func(l letter) { l["SignatureVersion"] = "2.0" }), ReasonSignatureVersion, 400, 0},
		"old":                        {before(func(l letter) { l["Timestamp"] = "2026-11-22T03:59:59.999Z" }), ReasonTooOld, 400, 0},
		"of another age":             {before(func(l letter) { l["Timestamp"] = "0001-01-01T00:00:00Z" }), ReasonTooOld, 400, 0},
		"future":                     {before(func(l letter) { l["Timestamp"] = "2026-11-22T12:05:00.001Z" }), ReasonFuture, 400, 0},
		"far future":                 {before(func(l letter) { l["Timestamp"] = "9999-12-31T23:59:59Z" }), ReasonFuture, 400, 0},
		"no time":                    {before(func(l letter) { l["Timestamp"] = "yesterday" }), ReasonMalformed, 400, 0},
		"unknown type":               {before(func(l letter) { l["Type"] = "Promotion" }), ReasonUnknownType, 400, 0},
		"type in another case":       {before(func(l letter) { l["Type"] = "notification" }), ReasonUnknownType, 400, 0},
		"no message":                 {before(func(l letter) { delete(l, "Message") }), ReasonMalformed, 400, 0},
		"two lines in the subject":   {before(func(l letter) { l["Subject"] = "a\nb" }), ReasonMalformed, 400, 0},
		"two lines in the ID":        {body(func(s string) string { return strings.Replace(s, `"MessageId":"22b`, `"MessageId":"a\n22b`, 1) }), ReasonMalformed, 400, 0},
		"no Content-Type":            {header(func(h http.Header) { h.Del("Content-Type") }), ReasonContentType, 415, 0},
		"wrong Content-Type":         {header(func(h http.Header) { h.Set("Content-Type", "application/x-www-form-urlencoded") }), ReasonContentType, 415, 0},
		"header of another type":     {header(func(h http.Header) { h.Set("X-Amz-Sns-Message-Type", "SubscriptionConfirmation") }), ReasonHeaderMismatch, 400, 0},
		"header of another topic":    {header(func(h http.Header) { h.Set("X-Amz-Sns-Topic-Arn", topic+"2") }), ReasonHeaderMismatch, 400, 0},
		"header of another message":  {header(func(h http.Header) { h.Set("X-Amz-Sns-Message-Id", "1") }), ReasonHeaderMismatch, 400, 0},
		"header without a type":      {header(func(h http.Header) { h.Del("X-Amz-Sns-Message-Type") }), ReasonHeaderMismatch, 400, 0},
		"header without a topic":     {header(func(h http.Header) { h.Del("X-Amz-Sns-Topic-Arn") }), ReasonHeaderMismatch, 400, 0},
		"header with two topics":     {header(func(h http.Header) { h.Add("X-Amz-Sns-Topic-Arn", topic) }), ReasonHeaderMismatch, 400, 0},
		"header without a message":   {header(func(h http.Header) { h.Set("X-Amz-Sns-Message-Id", "") }), ReasonHeaderMismatch, 400, 0},
		"5 MiB":                      {body(func(s string) string { return s + strings.Repeat(" ", 5<<20) }), ReasonTooLarge, 413, 0},
		"cut short":                  {body(func(s string) string { return s[:len(s)-1] }), ReasonMalformed, 400, 0},
		"not JSON":                   {body(func(string) string { return "Type=Notification" }), ReasonMalformed, 400, 0},
		"empty body":                 {body(func(string) string { return "" }), ReasonMalformed, 400, 0},
		"null":                       {body(func(string) string { return "null" }), ReasonMalformed, 400, 0},
		"an array":                   {body(func(s string) string { return "[" + s + "]" }), ReasonMalformed, 400, 0},
		"an empty object":            {body(func(string) string { return "{}" }), ReasonUnknownType, 400, 0},
		"two objects":                {body(func(s string) string { return s + "{}" }), ReasonMalformed, 400, 0},
		"a bracket after the object": {body(func(s string) string { return s + "]" }), ReasonMalformed, 400, 0},
		"not UTF-8":                  {body(func(s string) string { return strings.Replace(s, "line two", "line\xfftwo", 1) }), ReasonMalformed, 400, 0},
		"a number for a string":      {body(func(s string) string { return strings.Replace(s, `"SignatureVersion":"2"`, `"SignatureVersion":2`, 1) }), ReasonMalformed, 400, 0},
		"a null for a string": {body(func(s string) string {
			return strings.Replace(s, `"SignatureVersion":"2"`, `"SignatureVersion":null`, 1)
		}), ReasonMalformed, 400, 0},
		"duplicate keys": {body(func(s string) string {
			return strings.Replace(s, `{`, `{"Message":"forged",`, 1)
		}), ReasonMalformed, 400, 0},
		"duplicate keys, the forged one last": {body(func(s string) string { return s[:len(s)-1] + `,"Message":"forged"}` }), ReasonMalformed, 400, 0},
		"duplicate keys, one of them escaped": {body(func(s string) string { return s[:len(s)-1] + `,"M\u0065ssage":"forged"}` }), ReasonMalformed, 400, 0},
		"duplicate keys, one of them null":    {body(func(s string) string { return s[:len(s)-1] + `,"Message":null}` }), ReasonMalformed, 400, 0},
		"keys in another case":                {body(func(s string) string { return s[:len(s)-1] + `,"message":"forged"}` }), ReasonMalformed, 400, 0},
		"keys in another case only":           {body(func(s string) string { return strings.Replace(s, `"MessageId"`, `"messageid"`, 1) }), ReasonMalformed, 400, 0},
		"keys with a long s":                  {body(func(s string) string { return s[:len(s)-1] + `,"Me\u017fsage":"forged"}` }), ReasonMalformed, 400, 0},
		"keys with a Kelvin sign":             {body(func(s string) string { return s[:len(s)-1] + `,"To\u212aen":"forged"}` }), ReasonMalformed, 400, 0},
		"too many keys": {body(func(s string) string {
			var b strings.Builder
			for i := range maxNames {
				b.WriteString(`,"x` + strings.Repeat("y", i) + `":0`)
			}
			return s[:len(s)-1] + b.String() + "}"
		}), ReasonMalformed, 400, 0},
		"deeply nested": {body(func(s string) string {
			return s[:len(s)-1] + `,"x":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000) + "}"
		}), ReasonMalformed, 400, 0},
		"raw where it is not allowed": {header(func(h http.Header) { h.Set("X-Amz-Sns-Rawdelivery", "true") }), ReasonRaw, 403, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m, err := w.verifier.Verify(t.Context(), c.delivery(t))
			requireRefused(t, err, c.reason, c.status)
			require.Equal(t, Message{}, m)
			require.Len(t, w.net.log(), c.fetches)
		})
	}
	t.Run("no topics are expected", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), signed(t, notification())
		d.Topics = nil
		_, err := w.verifier.Verify(t.Context(), d)
		requireRefused(t, err, ReasonWrongTopic, 403)
	})
}

// What is not signed is not told.
func TestVerifyTellsOnlyWhatIsSigned(t *testing.T) {
	t.Parallel()
	l := notification().sign(t, leafKey())
	l["Token"], l["SubscribeURL"], l["MessageAttributes"] = token, "https://evil.test/", "x"
	m, err := newWorld(t).verifier.Verify(t.Context(), l.deliver(t))
	require.NoError(t, err)
	require.Empty(t, m.Token+m.SubscribeURL)

	l = confirmation(SubscriptionConfirmation).sign(t, leafKey())
	l["Subject"] = "not signed"
	m, err = newWorld(t).verifier.Verify(t.Context(), l.deliver(t))
	require.NoError(t, err)
	require.Empty(t, m.Subject)
}

func TestVerifyRawDelivery(t *testing.T) {
	t.Parallel()
	deliver := func() Delivery {
		h := http.Header{}
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		h.Set("X-Amz-Sns-Rawdelivery", "true")
		h.Set("X-Amz-Sns-Message-Type", "Notification")
		h.Set("X-Amz-Sns-Message-Id", "m-1")
		h.Set("X-Amz-Sns-Topic-Arn", topic)
		return Delivery{Header: h, Body: []byte(`{"eventName":"x"}`), Topics: []string{topic}, AllowRaw: true}
	}
	v := newWorld(t).verifier

	m, err := v.Verify(t.Context(), deliver())
	require.NoError(t, err)
	require.Equal(t, Message{Type: Notification, MessageID: "m-1", TopicARN: topic, Message: []byte(`{"eventName":"x"}`), Raw: true}, m)

	d := deliver()
	d.AllowRaw = false
	_, err = v.Verify(t.Context(), d)
	requireRefused(t, err, ReasonRaw, 403)

	d = deliver()
	d.Topics = []string{topic + "2"}
	_, err = v.Verify(t.Context(), d)
	requireRefused(t, err, ReasonWrongTopic, 403)

	d = deliver()
	d.Header.Set("X-Amz-Sns-Message-Id", strings.Repeat("m", maxID+1))
	_, err = v.Verify(t.Context(), d)
	requireRefused(t, err, ReasonHeaderMismatch, 400)

	// Where raw deliveries are allowed, all others are still verified.
	d = signed(t, notification().with("Message", "x"))
	d.AllowRaw, d.Body = true, bytes.Replace(d.Body, []byte(`"Message":"x"`), []byte(`"Message":"y"`), 1)
	_, err = v.Verify(t.Context(), d)
	requireRefused(t, err, ReasonSignature, 403)

	// A confirmation is never raw.
	l := confirmation(SubscriptionConfirmation).sign(t, leafKey())
	l["Token"] = strings.Replace(token, "2336", "6666", 1)
	l["SubscribeURL"] = strings.Replace(subscribeURL(), "2336", "6666", 1)
	d = l.deliver(t)
	d.AllowRaw = true
	d.Header.Set("X-Amz-Sns-Rawdelivery", "true")
	_, err = v.Verify(t.Context(), d)
	requireRefused(t, err, ReasonSignature, 403)
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	body, err := ReadBody(strings.NewReader(strings.Repeat("x", MaxBody)))
	require.NoError(t, err)
	require.Len(t, body, MaxBody)

	_, err = ReadBody(strings.NewReader(strings.Repeat("x", MaxBody+1)))
	requireRefused(t, err, ReasonTooLarge, 413)

	endless := &countingReader{}
	_, err = ReadBody(endless)
	requireRefused(t, err, ReasonTooLarge, 413)
	require.LessOrEqual(t, endless.read, 2*MaxBody)

	_, err = ReadBody(http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("xxx")), 2))
	requireRefused(t, err, ReasonTooLarge, 413)

	_, err = ReadBody(io.MultiReader(strings.NewReader("{"), &brokenReader{}))
	requireRefused(t, err, ReasonMalformed, 400)
}

type countingReader struct{ read int }

func (r *countingReader) Read(p []byte) (int, error) { r.read += len(p); return len(p), nil }

type brokenReader struct{}

func (*brokenReader) Read([]byte) (int, error) { return 0, errors.New("reset by peer") }

func TestMessageLogsNoSecret(t *testing.T) {
	t.Parallel()
	m, err := newWorld(t).verifier.Verify(t.Context(), signed(t, confirmation(SubscriptionConfirmation)))
	require.NoError(t, err)
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).LogAttrs(t.Context(), slog.LevelInfo, "taken", slog.Any("message", m))
	require.Contains(t, b.String(), m.MessageID)
	require.NotContains(t, b.String(), token)
}

// The set of reasons is closed: each has a status, and no label comes twice.
func TestReasons(t *testing.T) {
	t.Parallel()
	seen := map[Reason]bool{}
	for _, r := range Reasons() {
		require.False(t, seen[r], r)
		seen[r] = true
		require.Regexp(t, `^[a-z_0-9]+$`, string(r))
		require.Equal(t, r == ReasonUnavailable || r == ReasonConfirm, r.Status() >= 500, r)
		require.GreaterOrEqual(t, r.Status(), 400)
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.net.serve(certURL, func() (*http.Response, error) {
		close(asked)
		<-release
		return answer(http.StatusNotFound, "", nil), nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := w.verifier.Verify(ctx, signed(t, notification()))
		failed <- err
	}()
	<-asked
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
}

func TestNewVerifierRefuses(t *testing.T) {
	t.Parallel()
	ca := inPEM(newAuthority(t, "Root", nil).cert)
	for name, cfg := range map[string]Config{
		"an origin without certificates": {Origin: "http://127.0.0.1:8090"},
		"certificates without an origin": {OriginCA: ca},
		"certificates that are none":     {Origin: "http://127.0.0.1:8090", OriginCA: []byte("x")},
		"an origin with a path":          {Origin: "http://127.0.0.1:8090/", OriginCA: ca},
		"an origin with a user":          {Origin: "http://a@127.0.0.1:8090", OriginCA: ca},
		"an origin of another scheme":    {Origin: "ftp://127.0.0.1", OriginCA: ca},
		"an origin without a scheme":     {Origin: "127.0.0.1:8090", OriginCA: ca},
		"an origin without a host":       {Origin: "http://", OriginCA: ca},
		"a negative age":                 {MaxAge: -1},
	} {
		_, err := NewVerifier(cfg)
		require.Error(t, err, name)
	}
	_, err := NewVerifier(Config{})
	require.NoError(t, err)
}
