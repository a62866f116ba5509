package topic_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/simulator/topic"
)

// received is a request that the endpoint got.
type received struct {
	header http.Header
	body   []byte
}

// setup is a service with its URLs served, and an endpoint that keeps what it gets.
type setup struct {
	t       *testing.T
	service *topic.Service
	base    string // of the service
	url     string // of the endpoint

	mu      sync.Mutex
	got     []received
	answers []int // of the next requests; then 200
	basic   string
}

func start(t *testing.T, cfg topic.Config) *setup {
	t.Helper()
	if cfg.RetryDelay == 0 {
		cfg.RetryDelay = time.Millisecond
	}
	s := &setup{t: t, service: topic.New(cfg)}
	server := httptest.NewServer(s.service.Handler())
	endpoint := httptest.NewServer(http.HandlerFunc(s.receive))
	s.base, s.url = server.URL, endpoint.URL
	t.Cleanup(func() { s.service.Close(); endpoint.Close(); server.Close() })
	return s
}

func (s *setup) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, received{r.Header.Clone(), body})
	if user, password, _ := r.BasicAuth(); s.basic != "" && user+":"+password != s.basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="fleetd"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	status := http.StatusOK
	if len(s.answers) > 0 {
		status, s.answers = s.answers[0], s.answers[1:]
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "answer %d", status)
}

// received waits until the endpoint got n requests.
func (s *setup) received(n int) []received {
	s.t.Helper()
	var got []received
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		got = append([]received(nil), s.got...)
		return len(got) >= n
	}, 10*time.Second, time.Millisecond)
	require.Len(s.t, got, n)
	return got
}

// settled waits until nothing is to be delivered any more.
func (s *setup) settled() []topic.Delivery {
	s.t.Helper()
	var d topic.Deliveries
	require.Eventually(s.t, func() bool {
		d = s.service.Deliveries(topic.DeliveriesParams{})
		return d.Pending == 0
	}, 10*time.Second, time.Millisecond)
	return d.Items
}

// confirmed subscribes the endpoint, confirms it and forgets how.
func (s *setup) confirmed(p topic.HookParams) topic.Hook {
	s.t.Helper()
	if p.URL == "" {
		p.URL = s.url
	}
	p.Base = s.base
	_, err := s.service.Subscribe(p)
	require.NoError(s.t, err)
	s.settled()
	m := message(s.t, s.received(1)[0].body)
	status, body := get(s.t, m["SubscribeURL"])
	require.Equal(s.t, http.StatusOK, status, body)
	s.mu.Lock()
	s.got = nil
	s.mu.Unlock()
	s.service.Forget()
	return s.service.Hooks()[0]
}

func message(t *testing.T, body []byte) map[string]string {
	t.Helper()
	var m map[string]string
	require.NoError(t, json.Unmarshal(body, &m), "%s", body)
	return m
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(text)
}

// verify checks a message by the book, with nothing of the package's own.
func (s *setup) verify(m map[string]string) error {
	names := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if m["Type"] != "Notification" {
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	var text strings.Builder
	for _, name := range names {
		if value, ok := m[name]; ok {
			text.WriteString(name + "\n" + value + "\n")
		}
	}
	if !strings.HasPrefix(m["SigningCertURL"], s.base+"/") {
		return errors.New("certificate elsewhere")
	}
	status, body := get(s.t, m["SigningCertURL"])
	if status != http.StatusOK {
		return errors.New("no certificate")
	}
	block, rest := pem.Decode([]byte(body))
	leaf, err := x509.ParseCertificate(block.Bytes)
	require.NoError(s.t, err)
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	require.True(s.t, roots.AppendCertsFromPEM(s.service.CA()))
	require.True(s.t, between.AppendCertsFromPEM(rest))
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "sns.amazonaws.com"}); err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(m["Signature"])
	require.NoError(s.t, err)
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	require.True(s.t, ok)
	if m["SignatureVersion"] == "1" {
		sum := sha1.Sum([]byte(text.String()))
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature)
	}
	sum := sha256.Sum256([]byte(text.String()))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
}
