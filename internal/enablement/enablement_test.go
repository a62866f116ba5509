package enablement

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"fleetd/internal/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	skill = "amzn1.ask.skill.S1"
	home  = "https://api.amazonalexa.com"
	eu    = "https://api.eu.amazonalexa.com"
	fe    = "https://api.fe.amazonalexa.com"
)

// slots is a budget of so many requests; below zero: of any number.
type slots struct {
	mu   sync.Mutex
	left int
}

var errNoSlot = errors.New("no more slots")

func (s *slots) Take(ctx context.Context, _ remote.Class) (remote.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return remote.Slot{}, errNoSlot
	}
	s.left--
	return remote.Slot{}, ctx.Err()
}
func (*slots) Done(context.Context, remote.Slot, remote.Answer) {}

type fixedToken struct{}

func (fixedToken) Token(context.Context) (string, error)           { return "Atza|x", nil }
func (fixedToken) Refresh(context.Context, string) (string, error) { return "Atza|y", nil }

// network answers in the place of every host, and keeps what was asked of it. A base URL
// that nobody serves refuses connections.
type network struct {
	mu     sync.Mutex
	serves map[string]http.HandlerFunc // by base URL
	asked  []string                    // "METHOD base path"
	bodies []string
	slots  int // of each client; 0: any number
}

// lost is a handler whose answer never arrives.
func lost(http.ResponseWriter, *http.Request) { panic(errLost) }

var errLost = errors.New("connection reset by peer")

// RoundTrip asks the server with the longest base URL that fits.
func (n *network) RoundTrip(req *http.Request) (_ *http.Response, err error) {
	n.mu.Lock()
	base, handler := req.URL.Scheme+"://"+req.URL.Host, http.HandlerFunc(lost)
	for url, h := range n.serves {
		if strings.HasPrefix(req.URL.String(), url+"/") && (len(url) >= len(base) || n.serves[base] == nil) {
			base, handler = url, h
		}
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	n.asked = append(n.asked, req.Method+" "+base+" "+strings.TrimPrefix(req.URL.String(), base))
	n.bodies = append(n.bodies, string(body))
	n.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			err, _ = v.(error)
		}
	}()
	w := httptest.NewRecorder()
	handler(w, req)
	return w.Result(), nil
}

func (n *network) log() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.asked...)
}

// writes are the base URLs that writes went to.
func (n *network) writes() []string {
	var all []string
	for _, line := range n.log() {
		if words := strings.Fields(line); words[0] != http.MethodGet {
			all = append(all, words[1])
		}
	}
	return all
}

func (n *network) connect(base string) (*remote.Client, error) {
	left := n.slots
	if left == 0 {
		left = -1
	}
	return remote.NewClient(remote.Config{
		Account: "acme", BaseURL: base, Tokens: fixedToken{}, Limiter: &slots{left: left}, Base: n, Timeout: 5 * time.Second,
	})
}

// developer makes a client of the skill's owner on one server.
func developer(t require.TestingT, n *network) *Developer {
	c, err := n.connect(home)
	require.NoError(t, err)
	return NewDeveloper(c)
}

// memory is a Memory.
type memory struct {
	mu       sync.Mutex
	endpoint string
	err      error
}

func (m *memory) Endpoint(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.endpoint, m.err
}

func (m *memory) RememberEndpoint(_ context.Context, was, endpoint string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.endpoint == was && m.err == nil {
		m.endpoint = endpoint
	}
	return m.err
}

func customer(n *network, m Memory) *Customer {
	return NewCustomer(CustomerConfig{BaseURL: home, Connect: n.connect, Memory: m})
}

// always answers every request the same.
func always(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-RequestId", "req-1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// asRemote is the remote error of a failed call.
func asRemote(t require.TestingT, err error) *remote.Error {
	require.Error(t, err)
	var e *remote.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, API, e.API)
	return e
}
