package remote

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rawServer speaks HTTP/1.1 by hand: handle gets the number of each request on
// its connection and of all, and says whether to answer it; else the connection
// is closed after the request was read whole.
type rawServer struct {
	url      string
	requests atomic.Int32
}

func serveRaw(t *testing.T, answers func(onConn int) bool) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &rawServer{url: "http://" + l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for n := 1; ; n++ {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					s.requests.Add(1)
					if !answers(n) {
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"word\":\"ok\"}")
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return s
}

// The connection has served before, the server reads the whole next request and
// hangs up. A write must not leave a second time by itself (promise 5), and what
// a read sends again must have a slot (promise 1).
func TestNothingIsSentAgainBehindTheBudgetsBack(t *testing.T) {
	t.Parallel()
	for _, r := range []Request{get(), post(), del()} {
		t.Run(r.Method, func(t *testing.T) {
			t.Parallel()
			srv := serveRaw(t, func(onConn int) bool { return onConn == 1 })
			base := NewTransport(4)
			defer base.CloseIdleConnections() // before the server waits for its connections
			b := setup(t, srv.url, func(c *Config) { c.Base = base })
			var out answer
			_, err := b.client.Do(b.ctx, r, &out)
			require.NoError(t, err)

			_, err = b.client.Do(b.ctx, r, &out)
			if r.write() {
				var e *Error
				require.ErrorAs(t, err, &e)
				require.True(t, e.MaybeSent())
				require.True(t, e.Temporary())
				require.EqualValues(t, 2, srv.requests.Load())
			} else {
				require.NoError(t, err, "a read that lost a used connection is sent once more")
				require.EqualValues(t, 3, srv.requests.Load())
			}
			require.EqualValues(t, srv.requests.Load(), b.counter.Requests)
			require.EqualValues(t, srv.requests.Load(), b.budget.taken())
			base.CloseIdleConnections()
		})
	}
}

func TestAReadIsSentAgainOnlyOnceAndOnlyAfterAUsedConnection(t *testing.T) {
	t.Parallel()
	srv := serveRaw(t, func(int) bool { return false })
	b := setup(t, srv.url)
	e := b.fail(t, b.ctx, get())
	require.True(t, e.Temporary())
	require.False(t, e.MaybeSent())
	require.EqualValues(t, 1, srv.requests.Load())
	require.Equal(t, []Answer{{}}, b.budget.answers)
}

func TestBeforeAnyByteLeftNothingIsInDoubt(t *testing.T) {
	t.Parallel()
	stopped := errors.New("rollout is paused")
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "http://" + refused.Addr().String()
	require.NoError(t, refused.Close())
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)

	tests := map[string]struct {
		url       string
		change    func(*bundle)
		base      func(*http.Transport)
		permanent bool
		counted   bool
		is        error
	}{
		"dial refused": {url: nobody},
		"no such host": {
			url: "http://api.example",
			base: func(tr *http.Transport) {
				tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.DNSError{Err: "no such host", Name: "api.example", IsNotFound: true}
				}
			},
		},
		"certificate not trusted": {url: untrusted.URL},
		"gate": {
			url:       serve(t, unreachable(t)).URL,
			change:    func(b *bundle) { b.ctx = WithGate(b.ctx, func(context.Context) error { return stopped }) },
			permanent: true,
			is:        stopped,
		},
		"no slot": {
			url: serve(t, unreachable(t)).URL,
			change: func(b *bundle) {
				b.budget.refuse = func(context.Context, int) error { return context.DeadlineExceeded }
			},
			is: context.DeadlineExceeded,
		},
		"canceled before": {
			url: serve(t, unreachable(t)).URL,
			change: func(b *bundle) {
				var cancel context.CancelFunc
				b.ctx, cancel = context.WithCancel(b.ctx)
				b.budget.refuse = func(context.Context, int) error { cancel(); return nil }
			},
			is: context.Canceled,
		},
		"a token that no header takes": {
			url:    serve(t, unreachable(t)).URL,
			change: func(b *bundle) { b.tokens.first = "a\r\nb" },
		},
	}
	for name, tt := range tests {
		for _, r := range []Request{post(), del(), get()} {
			t.Run(name+" "+r.Method, func(t *testing.T) {
				t.Parallel()
				base := NewTransport(1)
				t.Cleanup(base.CloseIdleConnections)
				if tt.base != nil {
					tt.base(base)
				}
				b := setup(t, tt.url, func(c *Config) { c.Base = base })
				if tt.change != nil {
					tt.change(b)
				}
				e := b.fail(t, b.ctx, r)
				require.Zero(t, e.Status)
				require.False(t, e.MaybeSent())
				require.Equal(t, !tt.permanent, e.Temporary())
				require.Zero(t, b.counter.Requests)
				if tt.is != nil {
					require.ErrorIs(t, e, tt.is)
				}
			})
		}
	}
}

func unreachable(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(http.ResponseWriter, *http.Request) { t.Error("a request arrived that must not have left") }
}

func TestABudgetErrorIsThrottling(t *testing.T) {
	t.Parallel()
	b := setup(t, serve(t, unreachable(t)).URL)
	b.budget.refuse = func(context.Context, int) error { return &BudgetError{Until: time.Now().Add(time.Hour)} }
	e := b.fail(t, b.ctx, post())
	require.True(t, e.Throttled())
	require.True(t, e.Temporary())
	require.False(t, e.MaybeSent())
	require.Contains(t, e.Error(), "budget is closed until")
}

func TestAfterTheFirstByteAWriteIsInDoubt(t *testing.T) {
	t.Parallel()
	hang := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	tests := map[string]struct {
		handle http.HandlerFunc
		cancel bool
		is     error
	}{
		"the server hangs up": {handle: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"no answer in time":   {handle: hang, is: ErrTimeout},
		"the caller leaves":   {handle: hang, cancel: true, is: context.Canceled},
		"nonsense for an answer": {handle: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HELLO \"s3cret\"\r\n\r\n")
				_ = conn.Close()
			}
		}},
	}
	for name, tt := range tests {
		for _, r := range []Request{post(), del(), get()} {
			t.Run(name+" "+r.Method, func(t *testing.T) {
				t.Parallel()
				arrived := make(chan struct{}, 4)
				srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // so that a lost client is noticed
					arrived <- struct{}{}
					tt.handle(w, r)
				})
				b := setup(t, srv.URL, func(c *Config) {
					if errors.Is(tt.is, ErrTimeout) {
						c.Timeout = time.Second // time to arrive, on a machine that is busy
					}
				})
				ctx, cancel := context.WithCancel(b.ctx)
				defer cancel()
				if tt.cancel {
					go func() { <-arrived; cancel() }()
				}
				e := b.fail(t, ctx, r)
				require.Zero(t, e.Status)
				require.Equal(t, r.write(), e.MaybeSent())
				require.True(t, e.Temporary())
				require.False(t, e.Throttled())
				require.NotContains(t, e.Error(), "s3cret")
				require.Equal(t, 1, b.counter.Requests)
				if tt.is != nil {
					require.ErrorIs(t, e, tt.is)
				}
				if errors.Is(tt.is, ErrTimeout) {
					require.NotErrorIs(t, e, context.DeadlineExceeded, "the caller has time left")
				}
			})
		}
	}
}

func TestTheTimeoutCoversTheBody(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"word":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, r := range []Request{get(), del()} {
		b := setup(t, srv.URL, func(c *Config) { c.Timeout = 100 * time.Millisecond })
		e := b.fail(t, b.ctx, r)
		require.Equal(t, 200, e.Status)
		require.ErrorIs(t, e, ErrUnreadable)
		require.Equal(t, r.write(), e.MaybeSent())
	}
}

func TestTheTimeoutDoesNotCoverTheWaitForASlot(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"word":"ok"}`) })
	b := setup(t, srv.URL, func(c *Config) { c.Timeout = 200 * time.Millisecond })
	b.budget.refuse = func(ctx context.Context, _ int) error {
		wait, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
		defer cancel()
		<-wait.Done()
		return nil
	}
	var out answer
	_, err := b.client.Do(b.ctx, get(), &out)
	require.NoError(t, err)
}
