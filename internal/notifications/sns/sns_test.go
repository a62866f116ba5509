package sns

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	topic   = "arn:aws:sns:us-east-1:123456789012:skill-events"
	certURL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
	aiaURL  = "http://crt.r2m01.amazontrust.com/r2m01.cer"
	token   = "2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// leafKey is made once: making RSA keys is slow.
var leafKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, minKeyBits)
	if err != nil {
		panic(err)
	}
	return key
})

// authority is a certificate that signs others.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string, parent *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{key: key}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(5, 0, 0),
	}
	if parent == nil {
		parent = &authority{cert: template, key: key}
	}
	a.cert = parent.sign(t, template, &key.PublicKey)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	require.NoError(t, err)
	c, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return c
}

// leaf is a certificate of SNS, as the options change it.
func (a *authority) leaf(t *testing.T, key crypto.PublicKey, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: leafName}, SerialNumber: big.NewInt(2), DNSNames: []string{leafName},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(1, 0, 0),
	}
	if change != nil {
		change(template)
	}
	return a.sign(t, template, key)
}

func inPEM(certs ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

// internet answers for every host there is, and keeps what it was asked.
type internet struct {
	mu    sync.Mutex
	pages map[string]func() (*http.Response, error)
	asked []string
}

func (n *internet) RoundTrip(req *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.asked = append(n.asked, req.URL.String())
	page, ok := n.pages[req.URL.String()]
	n.mu.Unlock()
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if !ok {
		return answer(http.StatusNotFound, "no such page", nil), nil
	}
	resp, err := page()
	if ended := req.Context().Err(); ended != nil {
		return nil, ended
	}
	return resp, err
}

func (n *internet) serve(url string, page func() (*http.Response, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pages[url] = page
}

func (n *internet) serveBytes(url string, body []byte) {
	n.serve(url, func() (*http.Response, error) { return answer(http.StatusOK, string(body), nil), nil })
}

func (n *internet) log() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string{}, n.asked...)
}

func answer(status int, body string, header http.Header) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

// world is SNS with authorities of its own, and a Verifier that trusts them.
type world struct {
	root, issuer *authority
	net          *internet
	verifier     *Verifier
	mu           sync.Mutex
	now          time.Time
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{net: &internet{pages: map[string]func() (*http.Response, error){}}, now: noon}
	w.root = newAuthority(t, "Root", nil)
	w.issuer = newAuthority(t, "Issuer", w.root)
	roots := x509.NewCertPool()
	roots.AddCert(w.root.cert)
	w.net.serveBytes(certURL, inPEM(w.issuer.leaf(t, &leafKey().PublicKey, nil), w.issuer.cert))
	cfg := Config{Transport: w.net, Roots: roots, Now: w.clock}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	w.verifier, err = NewVerifier(cfg)
	require.NoError(t, err)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// letter is a message before it is sent: its fields, and what is done to it after
// it was signed.
type letter map[string]string

func notification() letter {
	return letter{
		"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": topic,
		"Message": "{\"eventName\":\"AlexaDevelopmentEvent.SkillPublish\"}\nline two \u2028 \u00e9 \"quoted\"", "Timestamp": "2026-11-22T11:59:54.655Z",
		"SignatureVersion": "2", "SigningCertURL": certURL,
		"UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=" + topic + ":c9135db0",
	}
}

func confirmation(kind Type) letter {
	l := notification()
	delete(l, "UnsubscribeURL")
	l["Type"], l["Message"], l["Token"] = string(kind), "You have chosen to subscribe to the topic.", token
	l["SubscribeURL"] = subscribeURL()
	return l
}

func subscribeURL() string {
	return "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + url.QueryEscape(topic) + "&Token=" + token
}

func (l letter) with(name, value string) letter {
	l[name] = value
	return l
}

// sign writes down the string to sign by hand, as the guide spells it, so that it
// is not the code under test that says what is right.
func (l letter) sign(t *testing.T, key *rsa.PrivateKey) letter {
	t.Helper()
	s := "Message\n" + l["Message"] + "\nMessageId\n" + l["MessageId"] + "\n"
	if l["Type"] == "Notification" {
		if subject, ok := l["Subject"]; ok {
			s += "Subject\n" + subject + "\n"
		}
		s += "Timestamp\n" + l["Timestamp"] + "\n"
	} else {
		s += "SubscribeURL\n" + l["SubscribeURL"] + "\nTimestamp\n" + l["Timestamp"] + "\nToken\n" + l["Token"] + "\n"
	}
	s += "TopicArn\n" + l["TopicArn"] + "\nType\n" + l["Type"] + "\n"
	digest := sha256.Sum256([]byte(s))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	require.NoError(t, err)
	l["Signature"] = base64.StdEncoding.EncodeToString(signature)
	return l
}

// deliver makes the request of SNS.
func (l letter) deliver(t *testing.T) Delivery {
	t.Helper()
	body, err := json.Marshal(l)
	require.NoError(t, err)
	h := http.Header{}
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-Amz-Sns-Message-Type", l["Type"])
	h.Set("X-Amz-Sns-Message-Id", l["MessageId"])
	h.Set("X-Amz-Sns-Topic-Arn", l["TopicArn"])
	h.Set("X-Amz-Sns-Subscription-Arn", topic+":2bcfbf39-05c3-41de-beaa-fcfcc21c8f55")
	return Delivery{Header: h, Body: body, Topics: []string{"arn:aws:sns:us-east-1:123456789012:other", topic}}
}

func signed(t *testing.T, l letter) Delivery {
	t.Helper()
	return l.sign(t, leafKey()).deliver(t)
}

func requireRefused(t *testing.T, err error, reason Reason, status int) {
	t.Helper()
	var refusal *Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, reason, refusal.Reason, refusal.Error())
	require.Equal(t, status, refusal.Status)
	require.Contains(t, Reasons(), reason)
	require.Equal(t, status >= 500, refusal.Temporary())
	require.NotContains(t, err.Error(), token)
}
