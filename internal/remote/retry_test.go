package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRefusedRequestsAreSentAgainWithASlotEach(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		r      Request
		status int
	}{
		{"429 read", get(), 429},
		{"429 write", post(), 429},
		{"429 delete", del(), 429},
		{"503 read", get(), 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if tt.r.Body != nil && string(body) != `{"word":"please"}` {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				if calls.Add(1) <= 2 {
					w.Header().Set("Retry-After", "7")
					w.WriteHeader(tt.status)
					return
				}
				_, _ = io.WriteString(w, `{"word":"ok"}`)
			})
			b := setup(t, srv.URL)
			var out answer
			_, err := b.client.Do(WithClass(b.ctx, ClassRollout), tt.r, &out)
			require.NoError(t, err)
			require.Equal(t, "ok", out.Word)
			require.Equal(t, Counter{Requests: 3, Throttled: 2}, *b.counter)
			require.Equal(t, []Class{ClassRollout, ClassRollout, ClassRollout}, b.budget.classes)
			refused := Answer{Throttled: true, Overload: tt.status == 503, RetryAfter: 7 * time.Second, HasRetryAfter: true}
			require.Equal(t, []Answer{refused, refused, {Success: true}}, b.budget.answers)
		})
	}
}

func TestAWriteAnswered503IsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, r := range []Request{post(), del()} {
		t.Run(r.Method, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3")
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			b := setup(t, srv.URL)
			e := b.fail(t, b.ctx, r)
			require.True(t, e.MaybeSent())
			require.True(t, e.Throttled())
			require.Equal(t, 3*time.Second, e.RetryAfter)
			require.Equal(t, Counter{Requests: 1, Throttled: 1}, *b.counter)
			require.Equal(t, []Answer{{Throttled: true, Overload: true, RetryAfter: 3 * time.Second, HasRetryAfter: true}}, b.budget.answers)
		})
	}
}

func TestAReadThatOthersCanAnswerTakes503ForTheAnswer(t *testing.T) {
	t.Parallel()
	status := http.StatusTooManyRequests
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		status = http.StatusServiceUnavailable
	})
	b := setup(t, srv.URL)
	r := get()
	r.Elsewhere = true
	require.Equal(t, http.StatusServiceUnavailable, b.fail(t, b.ctx, r).Status)
	require.Equal(t, Counter{Requests: 2, Throttled: 2}, *b.counter, "a 429 is the client's own, and waited out all the same")
}

func TestARefusalIsTheAnswerWhenNoSlotFollows(t *testing.T) {
	t.Parallel()
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		after error
		is    func(error) bool
	}{
		"the caller's time is up": {context.DeadlineExceeded, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		"the budget is closed": {&BudgetError{Until: until}, func(err error) bool {
			var b *BudgetError
			return errors.As(err, &b) && b.Until.Equal(until)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Amzn-RequestId", "req-429")
				w.WriteHeader(http.StatusTooManyRequests)
			})
			b := setup(t, srv.URL)
			b.budget.refuse = func(_ context.Context, nth int) error {
				if nth > 3 {
					return tt.after
				}
				return nil
			}
			e := b.fail(t, b.ctx, post())
			require.Equal(t, 429, e.Status)
			require.Equal(t, "req-429", e.RequestID)
			require.True(t, tt.is(e))
			require.True(t, e.Throttled())
			require.True(t, e.Temporary())
			require.False(t, e.MaybeSent())
			require.Equal(t, Counter{Requests: 3, Throttled: 3}, *b.counter)
		})
	}
}

func TestTheCallersDeadlineEndsTheWaitForASlot(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	b := setup(t, srv.URL)
	b.budget.refuse = func(ctx context.Context, nth int) error {
		if nth == 1 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	e := b.fail(t, ctx, post())
	require.Equal(t, 429, e.Status)
	require.ErrorIs(t, e, context.DeadlineExceeded)
	require.False(t, e.MaybeSent())
}

func TestA401RefreshesOnceAndSendsAgain(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer Atza|second" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	b := setup(t, srv.URL)
	var out answer
	_, err := b.client.Do(b.ctx, post(), &out)
	require.NoError(t, err)
	require.Equal(t, "please", out.Word)
	require.Equal(t, 1, b.tokens.refreshed)
	require.Equal(t, "Atza|first", b.tokens.rejected)
	require.Equal(t, 2, b.counter.Requests)
	require.Equal(t, 2, b.budget.taken())
	require.Equal(t, []Answer{{Success: true}, {Success: true}}, b.budget.answers)
}

func TestASecond401IsTheAnswer(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	b := setup(t, srv.URL)
	e := b.fail(t, b.ctx, post())
	require.Equal(t, 401, e.Status)
	require.False(t, e.Temporary())
	require.False(t, e.MaybeSent())
	require.Contains(t, e.Error(), "fleetctl account check acme")
	require.Equal(t, 1, b.tokens.refreshed)
	require.Equal(t, 2, b.counter.Requests)
}

type permanentError struct{ error }

func (permanentError) Temporary() bool { return false }

func TestTokenErrorsSayThemselvesWhetherTheyPass(t *testing.T) {
	t.Parallel()
	gone := errors.New("credential refused")
	for _, permanent := range []bool{false, true} {
		err := gone
		if permanent {
			err = permanentError{gone}
		}
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
		b := setup(t, srv.URL)

		b.tokens.refreshErr = err
		e := b.fail(t, b.ctx, post())
		require.Equal(t, 401, e.Status)
		require.ErrorIs(t, e, err)
		require.Equal(t, !permanent, e.Temporary())
		require.False(t, e.MaybeSent())
		require.Equal(t, 1, b.counter.Requests)

		b.tokens.err = err
		e = b.fail(t, b.ctx, post())
		require.Zero(t, e.Status)
		require.ErrorIs(t, e, err)
		require.Equal(t, !permanent, e.Temporary())
		require.False(t, e.MaybeSent())
		require.Equal(t, 1, b.counter.Requests, "nothing leaves without a token")
	}
}

// freshTokens has a newer token after the wait for a slot.
type freshTokens struct{ fakeTokens }

func (*freshTokens) Current() string { return "Atza|newer" }

func TestTheTokenIsTheOneOfTheMomentOfSending(t *testing.T) {
	t.Parallel()
	var sent atomic.Value
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent.Store(r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
	})
	tokens := &freshTokens{fakeTokens{first: "Atza|old"}}
	b := setup(t, srv.URL, func(c *Config) { c.Tokens = tokens })
	require.Equal(t, 401, b.fail(t, b.ctx, get()).Status)
	require.Equal(t, "Bearer Atza|newer", sent.Load())
	require.Equal(t, "Atza|newer", tokens.rejected)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	tests := map[string]struct {
		value, date string
		want        time.Duration
	}{
		"absent":                {},
		"seconds":               {value: "2", want: 2 * time.Second},
		"spaces":                {value: " 2 ", want: 2 * time.Second},
		"zero":                  {value: "0"},
		"negative":              {value: "-3"},
		"signed":                {value: "+3"},
		"fraction":              {value: "1.5"},
		"garbage":               {value: "soon"},
		"capped":                {value: "999999", want: MaxRetryAfter},
		"beyond 64 bits":        {value: "99999999999999999999999", want: MaxRetryAfter},
		"date":                  {value: at(9 * time.Second), want: 9 * time.Second},
		"date by its own clock": {value: at(time.Hour - 5*time.Second), date: at(time.Hour - 9*time.Second), want: 4 * time.Second},
		"date with an odd Date": {value: at(9 * time.Second), date: "noon", want: 9 * time.Second},
		"date now":              {value: at(0)},
		"date past":             {value: at(-time.Hour)},
		"date capped":           {value: at(400 * 24 * time.Hour), want: MaxRetryAfter},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if tt.value != "" {
				h.Set("Retry-After", tt.value)
			}
			if tt.date != "" {
				h.Set("Date", tt.date)
			}
			got, ok := RetryAfter(h, now)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.want > 0, ok)
		})
	}
}
