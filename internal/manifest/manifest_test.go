package manifest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"fleetd/internal/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	vendor = "M2VENDOR"
	skill  = "amzn1.ask.skill.S1"
)

// small is a manifest.
var small = json.RawMessage(`{"manifestVersion":"1.0"}`)

type freeBudget struct{}

func (freeBudget) Take(ctx context.Context, _ remote.Class) (remote.Slot, error) {
	return remote.Slot{}, ctx.Err()
}
func (freeBudget) Done(context.Context, remote.Slot, remote.Answer) {}

type fixedToken struct{}

func (fixedToken) Token(context.Context) (string, error)           { return "Atza|x", nil }
func (fixedToken) Refresh(context.Context, string) (string, error) { return "Atza|y", nil }

// direct serves requests in memory.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// over makes a client that h answers.
func over(t require.TestingT, h http.HandlerFunc) *Client {
	c, err := remote.NewClient(remote.Config{
		Account: "acme", BaseURL: "http://api.example/prefix", Tokens: fixedToken{}, Limiter: freeBudget{}, Base: direct{h}, Timeout: 5 * time.Second,
	})
	require.NoError(t, err)
	return New(c)
}

// reply is one answer of a script.
type reply struct {
	status int
	body   string
	header map[string]string
}

func (a reply) write(w http.ResponseWriter) {
	w.Header().Set("X-Amzn-RequestId", "req-1")
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// script answers one request after the other, the last again and again, and keeps
// what was sent.
type script struct {
	replies []reply
	sent    []string // method, path and query, then the body
	header  []http.Header
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := []byte{}
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	line := r.Method + " " + r.URL.RequestURI()
	if len(body) > 0 {
		line += " " + string(body)
	}
	s.sent, s.header = append(s.sent, line), append(s.header, r.Header)
	s.replies[min(len(s.sent), len(s.replies))-1].write(w)
}

// answering makes a client that the script answers.
func answering(t require.TestingT, replies ...reply) (*Client, *script) {
	s := &script{replies: replies}
	return over(t, s.ServeHTTP), s
}

// asRemote is the remote error of a failed call.
func asRemote(t *testing.T, err error) *remote.Error {
	t.Helper()
	require.Error(t, err)
	var e *remote.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, API, e.API)
	return e
}

// status is a status answer with a manifest in a state.
func status(state string) string {
	return `{"manifest":{"eTag":"t2","lastUpdateRequest":{"status":"` + state + `","errors":[{"code":"E","message":"no icon"}],"warnings":[]}}}`
}
