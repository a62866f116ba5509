package lwa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"fleetd/internal/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore is one credential for several sources, with the lease of the real one.
type fakeStore struct {
	mu      sync.Mutex
	cred    Credential
	lease   time.Time
	loads   int
	saves   []SaveParams
	marks   []string
	loadErr error
	saveErr func(nth int) error
	tries   int
	onLoad  func(nth int, cred *Credential) // called under the lock
}

func newStore() *fakeStore {
	return &fakeStore{cred: Credential{ClientID: "client", ClientSecret: "c4nary-secret", RefreshToken: "Atzr|c4nary-1"}}
}

func (s *fakeStore) Load(context.Context) (Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if s.onLoad != nil {
		s.onLoad(s.loads, &s.cred)
	}
	return s.cred, s.loadErr
}

func (s *fakeStore) AcquireLease(_ context.Context, ttl time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.lease) {
		return false, nil
	}
	s.lease = time.Now().Add(ttl)
	return true, nil
}

func (s *fakeStore) Save(_ context.Context, p SaveParams) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.saveErr != nil {
		if err := s.saveErr(s.tries); err != nil {
			return err
		}
	}
	s.lease = time.Time{}
	if p.RefreshTokenUsed != s.cred.RefreshToken {
		return nil
	}
	s.saves = append(s.saves, p)
	s.cred.AccessToken, s.cred.ExpiresAt = p.AccessToken, p.ExpiresAt
	if p.RefreshToken != "" {
		s.cred.RefreshToken = p.RefreshToken
	}
	return nil
}

func (s *fakeStore) MarkUnauthorized(_ context.Context, reason, message, used string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = time.Time{}
	if used == s.cred.RefreshToken {
		s.marks = append(s.marks, reason+": "+message)
		s.cred.Unauthorized, s.cred.UnauthorizedReason = true, reason
	}
	return nil
}

// set is what the operator does.
func (s *fakeStore) set(refreshToken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred.RefreshToken, s.cred.AccessToken = refreshToken, ""
	s.cred.Unauthorized, s.cred.UnauthorizedReason = false, ""
}

// endpoint is the token endpoint, in memory. answer makes the nth answer; nil is
// a good one of an hour.
type endpoint struct {
	answer func(nth int, form url.Values) (*http.Response, error)
	hold   chan struct{} // when set, answers wait for it to close

	mu    sync.Mutex
	forms []url.Values
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	e.mu.Lock()
	e.forms = append(e.forms, form)
	nth := len(e.forms)
	e.mu.Unlock()
	if e.hold != nil {
		select {
		case <-e.hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if e.answer != nil {
		return e.answer(nth, form)
	}
	return good(nth, time.Hour, "")
}

func (e *endpoint) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.forms)
}

func respond(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func good(nth int, life time.Duration, refreshToken string) (*http.Response, error) {
	return respond(http.StatusOK, fmt.Sprintf(`{"access_token":"Atza|%d","refresh_token":%q,"token_type":"bearer","expires_in":%d}`,
		nth, refreshToken, int(life.Seconds())))
}

func refusal(code string) (*http.Response, error) {
	return respond(http.StatusBadRequest, `{"error":"`+code+`","error_description":"c4nary-description","request_id":"req-1"}`)
}

// budget counts the slots that token requests take.
type budget struct {
	mu      sync.Mutex
	classes []remote.Class
	done    int
	err     error
}

func (b *budget) Take(ctx context.Context, class remote.Class) (remote.Slot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.classes = append(b.classes, class)
	return remote.Slot{}, errors.Join(b.err, ctx.Err())
}

func (b *budget) Done(context.Context, remote.Slot, remote.Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
}

type bundle struct {
	*Source
	store    *fakeStore
	endpoint *endpoint
	budget   *budget
	logs     *bytes.Buffer
}

func setup(t *testing.T, change ...func(*bundle, *Config)) *bundle {
	t.Helper()
	b := &bundle{store: newStore(), endpoint: &endpoint{}, budget: &budget{}, logs: &bytes.Buffer{}}
	cfg := Config{
		Account: "acme", TokenURL: "http://lwa.example/auth/o2/token", Limiter: b.budget,
		Logger: slog.New(slog.NewJSONHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(b, &cfg)
	}
	if cfg.Store == nil {
		cfg.Store = b.store
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = &http.Client{Transport: b.endpoint}
	}
	source, err := NewSource(cfg)
	require.NoError(t, err)
	b.Source = source
	t.Cleanup(func() {
		require.NoError(t, b.Wait(context.WithoutCancel(t.Context())))
		require.NotContains(t, b.logs.String(), "c4nary", "a secret was logged")
		require.NotContains(t, b.logs.String(), "Atz", "a token was logged")
	})
	return b
}

func answering(answer func(nth int, form url.Values) (*http.Response, error)) func(*bundle, *Config) {
	return func(b *bundle, _ *Config) { b.endpoint.answer = answer }
}

func (b *bundle) token(t *testing.T) string {
	t.Helper()
	token, err := b.Token(t.Context())
	require.NoError(t, err)
	return token
}
