package jobs

import (
	"context"
	"encoding/json"
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

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
)

// The secrets that the tests plant. None may come out again.
const (
	secretToken = "Atza|planted-token"
	secretCode  = "planted-code"
	// apiWords is the remote API's own message, which is for logs only.
	apiWords = "words of the API itself"
)

// answer is what the scripted API does with one request.
type answer struct {
	status int
	body   string
	page   bool   // the body is a web page
	cut    bool   // the request is read, then the connection is cut
	hang   bool   // nothing comes until the client gives up
	then   func() // called before the answer
}

// script is an API, and a code server, that expects certain requests and gives
// each the next answer. An answer has the kind of request it is for.
type script struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	kinds   []string
	answers []answer
	codes   []string // that came with enables
	minted  int
	monkey  *monkey // answers instead, when there is one
}

// newScript serves steps, alternately a kind (GET, LIST, POST, DELETE, CODE) and
// its answer. The test fails when other requests come, or fewer.
func newScript(t *testing.T, steps ...any) *script {
	t.Helper()
	s := &script{t: t}
	for i := 0; i < len(steps); i += 2 {
		s.kinds, s.answers = append(s.kinds, steps[i].(string)), append(s.answers, steps[i+1].(answer))
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	kind := r.Method
	switch r.URL.Path {
	case "/codes":
		kind = "CODE"
	case "/v1/skills/enablements":
		kind = "LIST"
	}
	a, ok := s.next(kind, body)
	if !ok {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	if a.then != nil {
		a.then()
	}
	switch {
	case a.cut:
		panic(http.ErrAbortHandler)
	case a.hang:
		<-r.Context().Done()
		return
	case a.page:
		w.Header().Set("Content-Type", "text/html")
	}
	w.Header().Set("X-Amzn-RequestId", fmt.Sprintf("req-%d", a.status))
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (s *script) next(kind string, body []byte) (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.monkey != nil {
		return s.monkey.next(kind), true
	}
	if len(s.answers) == 0 || s.kinds[0] != kind {
		s.t.Errorf("unexpected %s; expected were %v", kind, s.kinds)
		return answer{}, false
	}
	a := s.answers[0]
	s.kinds, s.answers = s.kinds[1:], s.answers[1:]
	if kind == http.MethodPost {
		var sent struct {
			AccountLinkRequest *struct{ RedirectURI, AuthCode string }
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			s.t.Errorf("a body that is no JSON: %v", err)
		}
		if link := sent.AccountLinkRequest; link != nil {
			s.codes = append(s.codes, link.AuthCode+" for "+link.RedirectURI)
		}
	}
	if kind == "CODE" && a.body == "" {
		s.minted++
		a.body = fmt.Sprintf(`{"code":"%s-%d"}`, secretCode, s.minted)
	}
	return a, true
}

// done fails the test when something that was expected did not come.
func (s *script) done() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(s.t, s.kinds, "requests that did not come")
}

// record is an answer with an enablement record.
func record(status int, enablement fleet.Status, stage fleet.Stage, link fleet.LinkStatus) answer {
	body := fmt.Sprintf(`{"skill":{"id":"s","stage":%q},"unit":{"id":"other spelling"},"status":%q`, stage, enablement)
	if link != "" {
		body += fmt.Sprintf(`,"accountLink":{"status":%q}`, link)
	}
	return answer{status: status, body: body + "}"}
}

// problem is an error answer whose message nobody must see.
func problem(status int) answer {
	return answer{status: status, body: fmt.Sprintf(`{"type":"TYPE","message":"%s, given %s and %s-1"}`, apiWords, secretToken, secretCode)}
}

func web(status int) answer {
	return answer{status: status, page: true, body: "<html>" + apiWords + "</html>"}
}

// slots is a budget that always has a slot, unless refuse says otherwise.
type slots struct {
	mu      sync.Mutex
	taken   int
	classes []remote.Class
	refuse  func(ctx context.Context, nth int) error
}

func (s *slots) Take(ctx context.Context, class remote.Class) (remote.Slot, error) {
	s.mu.Lock()
	s.taken++
	nth := s.taken
	s.classes = append(s.classes, class)
	s.mu.Unlock()
	if s.refuse != nil {
		if err := s.refuse(ctx, nth); err != nil {
			return remote.Slot{}, err
		}
	}
	return remote.Slot{SentAt: time.Now()}, nil
}

func (s *slots) Done(context.Context, remote.Slot, remote.Answer) {}

// after gives n slots, then the error.
func after(n int, err error) func(context.Context, int) error {
	return func(_ context.Context, nth int) error {
		if nth > n {
			return err
		}
		return nil
	}
}

// tokens is a token source.
type tokens struct{ err, refreshErr error }

func (s tokens) Token(context.Context) (string, error)           { return secretToken, s.err }
func (s tokens) Refresh(context.Context, string) (string, error) { return secretToken, s.refreshErr }

// client is a client of the scripted API.
func (s *script) client(budget *slots, source tokens, timeout time.Duration) *residential.Client {
	s.t.Helper()
	base := remote.NewTransport(1)
	s.t.Cleanup(base.CloseIdleConnections)
	c, err := remote.NewClient(remote.Config{
		Account: "acme", BaseURL: s.url, Tokens: source, Limiter: budget, Base: base, Timeout: timeout,
	})
	require.NoError(s.t, err)
	return residential.New(c)
}

// account is an account at work over the scripted API and code server.
func (s *script) account(mode fleet.LinkMode, budget *slots, source tokens) *Account {
	return &Account{
		ID: 1, Name: "acme", API: s.client(budget, source, 0),
		Link:  Link{Mode: mode, CodeURL: s.url + "/codes", RedirectURI: "https://link.example/acme"},
		codes: &http.Client{CheckRedirect: noRedirect},
	}
}

// doors is a gate that is open, or says what errors[i] is when asked the i-th time.
type doors struct {
	asked  int
	errors []error
}

func (d *doors) MayWrite(context.Context, int64) error {
	d.asked++
	if d.asked <= len(d.errors) {
		return d.errors[d.asked-1]
	}
	return nil
}

// requireClean fails when a message for people holds a secret or the API's words.
func requireClean(t *testing.T, message string) {
	t.Helper()
	for _, bad := range []string{secretToken, secretCode, apiWords, "<html>", "Bearer"} {
		require.NotContains(t, message, bad)
	}
	require.LessOrEqual(t, len(message), 400)
	require.False(t, strings.ContainsFunc(message, func(r rune) bool { return r < ' ' }))
}

var errNetwork = errors.New("dial tcp: connection refused")
