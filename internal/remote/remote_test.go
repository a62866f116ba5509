package remote

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBudget gives every slot at once, unless refuse says otherwise.
type fakeBudget struct {
	refuse func(ctx context.Context, nth int) error

	mu      sync.Mutex
	classes []Class
	answers []Answer
}

func (b *fakeBudget) Take(ctx context.Context, class Class) (Slot, error) {
	b.mu.Lock()
	b.classes = append(b.classes, class)
	nth := len(b.classes)
	b.mu.Unlock()
	if b.refuse != nil {
		if err := b.refuse(ctx, nth); err != nil {
			return Slot{}, err
		}
	}
	return Slot{SentAt: time.Now()}, ctx.Err()
}

func (b *fakeBudget) Done(ctx context.Context, _ Slot, a Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil {
		panic("Done was given a context that has ended")
	}
	b.answers = append(b.answers, a)
}

func (b *fakeBudget) taken() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.classes)
}

// fakeTokens hands out first until it is told that it was rejected.
type fakeTokens struct {
	first, second string
	err           error
	refreshErr    error
	refreshed     int
	rejected      string
}

func (f *fakeTokens) Token(context.Context) (string, error) { return f.first, f.err }

func (f *fakeTokens) Refresh(_ context.Context, rejected string) (string, error) {
	f.refreshed++
	f.rejected = rejected
	return f.second, f.refreshErr
}

// bundle is one client with everything behind it in reach.
type bundle struct {
	client  *Client
	budget  *fakeBudget
	tokens  *fakeTokens
	counter *Counter
	ctx     context.Context
	reg     *prometheus.Registry
}

func setup(t *testing.T, url string, change ...func(*Config)) *bundle {
	t.Helper()
	b := &bundle{
		budget: &fakeBudget{}, tokens: &fakeTokens{first: "Atza|first", second: "Atza|second"},
		counter: &Counter{}, reg: prometheus.NewRegistry(),
	}
	base := NewTransport(4)
	t.Cleanup(base.CloseIdleConnections)
	cfg := Config{
		Account: "acme", BaseURL: url, Tokens: b.tokens, Limiter: b.budget, Base: base,
		Metrics: NewMetrics(b.reg), Timeout: 5 * time.Second,
	}
	for _, f := range change {
		f(&cfg)
	}
	client, err := NewClient(cfg)
	require.NoError(t, err)
	b.client = client
	b.ctx = WithCounter(t.Context(), b.counter)
	return b
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// answer is the body of the operations that tests make up.
type answer struct {
	Word string `json:"word"`
}

func get() Request {
	return Request{API: "test", Operation: "read", Method: http.MethodGet, Path: "/v1/thing"}
}

func post() Request {
	return Request{API: "test", Operation: "write", Method: http.MethodPost, Path: "/v1/thing", Body: answer{"please"}}
}

func del() Request {
	return Request{API: "test", Operation: "remove", Method: http.MethodDelete, Path: "/v1/thing"}
}

// fail makes a call that must fail, and returns its error.
func (b *bundle) fail(t *testing.T, ctx context.Context, r Request) *Error { //nolint:revive // t comes first in helpers
	t.Helper()
	var out answer
	_, err := b.client.Do(ctx, r, &out)
	require.Error(t, err)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "acme", e.Account)
	require.Equal(t, r.API, e.API)
	require.Equal(t, r.Operation, e.Operation)
	return e
}
