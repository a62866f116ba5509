package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheGateIsAskedOncePerSendAfterSlotAndConnection(t *testing.T) {
	t.Parallel()
	var steps []string
	var calls atomic.Int32
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = io.WriteString(w, `{"word":"ok"}`)
	})
	base := NewTransport(1)
	t.Cleanup(base.CloseIdleConnections)
	dial := base.DialContext
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		steps = append(steps, "dial") // before GotConn: net/http hands the connection over a channel
		return conn, err
	}
	b := setup(t, srv.URL, func(c *Config) { c.Base = base })
	b.budget.refuse = func(context.Context, int) error { steps = append(steps, "slot"); return nil }
	ctx := WithGate(b.ctx, func(context.Context) error {
		steps = append(steps, "gate")
		return nil
	})
	_, err := b.client.Do(ctx, post(), &answer{})
	require.NoError(t, err)
	require.Equal(t, []string{"slot", "dial", "gate", "slot", "gate"}, steps)
}

// A gate that closes between two sends stops the second, on a connection that is
// open and has served: that connection is closed rather than used.
func TestAGateThatClosesStopsTheResend(t *testing.T) {
	t.Parallel()
	stopped := errors.New("rollout is paused")
	for _, r := range []Request{post(), del(), get()} {
		t.Run(r.Method, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			b := setup(t, srv.URL)
			asked := 0
			ctx := WithGate(b.ctx, func(context.Context) error {
				if asked++; asked == 3 {
					return stopped
				}
				return nil
			})
			e := b.fail(t, ctx, r)
			require.ErrorIs(t, e, stopped)
			require.True(t, e.Refused)
			require.False(t, e.MaybeSent())
			require.False(t, e.Temporary())
			require.Equal(t, 3, asked)
			require.EqualValues(t, 2, calls.Load())
			require.Equal(t, 2, b.counter.Requests)
			require.Equal(t, 3, b.budget.taken())
			require.Equal(t, Answer{}, b.budget.answers[2])
		})
	}
}

func TestAGateMaySayThatItsRefusalPasses(t *testing.T) {
	t.Parallel()
	b := setup(t, serve(t, unreachable(t)).URL)
	ctx := WithGate(b.ctx, func(context.Context) error { return context.DeadlineExceeded })
	require.True(t, b.fail(t, ctx, post()).Temporary())
}

// A transport that does not tell its steps gets the gate asked before it.
func TestTheGateHoldsForAnyTransport(t *testing.T) {
	t.Parallel()
	stopped := errors.New("paused")
	var sent int
	deaf := roundTripper(func(*http.Request) (*http.Response, error) {
		sent++
		return nil, errors.New("lost")
	})
	b := setup(t, "http://api.example", func(c *Config) { c.Base = deaf })
	open := true
	ctx := WithGate(b.ctx, func(context.Context) error {
		if open {
			return nil
		}
		return stopped
	})
	require.True(t, b.fail(t, ctx, post()).MaybeSent(), "nobody knows how far a transport without hooks came")
	open = false
	e := b.fail(t, ctx, post())
	require.ErrorIs(t, e, stopped)
	require.False(t, e.MaybeSent())
	require.Equal(t, 1, sent)
}

func TestMetaSaysWhenTheAnsweredRequestLeft(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-RequestId", "req-9")
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = io.WriteString(w, `{"word":"ok"}`)
	})
	b := setup(t, srv.URL)
	var second time.Time
	b.budget.refuse = func(_ context.Context, nth int) error {
		if nth == 2 {
			second = time.Now()
		}
		return nil
	}
	meta, err := b.client.Do(b.ctx, get(), &answer{})
	require.NoError(t, err)
	require.Equal(t, "req-9", meta.RequestID)
	require.Equal(t, 200, meta.Status)
	require.False(t, meta.SentAt.Before(second))
	require.False(t, meta.AnswerAt.Before(meta.SentAt))
}
