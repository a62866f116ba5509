package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// mint makes payloads that tell which one they are.
func mint(steps *[]string) func(context.Context) (Payload, error) {
	n := 0
	return func(context.Context) (Payload, error) {
		n++
		*steps = append(*steps, "fresh")
		return Payload{Body: answer{fmt.Sprintf("code-%d", n)}, Secrets: []string{fmt.Sprintf("code-%d", n)}}, nil
	}
}

func fresh(mint func(context.Context) (Payload, error)) Request {
	r := post()
	r.Body, r.Fresh = nil, mint
	return r
}

// What must be fresh is made after the slot and before the gate, for each send: one
// that was refused waited, and what was sent was seen.
func TestAFreshBodyIsMadeForEachSend(t *testing.T) {
	t.Parallel()
	var steps []string
	var calls atomic.Int32
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n := calls.Add(1)
		if r.Header.Get("Content-Type") != "application/json" || string(body) != fmt.Sprintf(`{"word":"code-%d"}`, n) {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		status := map[int32]int{1: http.StatusTooManyRequests, 2: http.StatusUnauthorized, 3: http.StatusTooManyRequests, 4: http.StatusBadRequest}[n]
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"message":"not code-1, code-2, code-3 or code-4"}`)
	})
	b := setup(t, srv.URL)
	b.budget.refuse = func(context.Context, int) error { steps = append(steps, "slot"); return nil }
	ctx := WithGate(b.ctx, func(context.Context) error { steps = append(steps, "gate"); return nil })

	e := b.fail(t, ctx, fresh(mint(&steps)))

	require.Equal(t, http.StatusBadRequest, e.Status)
	require.EqualValues(t, 4, calls.Load())
	require.Equal(t, strings.Repeat("slot fresh gate ", 4), strings.Join(steps, " ")+" ")
	require.NotContains(t, e.Detail, "code-", "each of them is a secret")
	require.Equal(t, 4, b.counter.Requests)
}

func TestABodyThatCannotBeMadeStopsTheRequest(t *testing.T) {
	t.Parallel()
	broken := errors.New("the code server is down")
	var calls atomic.Int32
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusTooManyRequests)
	})
	for sent := range 2 {
		b := setup(t, srv.URL)
		made := 0
		e := b.fail(t, b.ctx, fresh(func(context.Context) (Payload, error) {
			if made++; made > sent {
				return Payload{}, broken
			}
			return Payload{Body: answer{"code"}}, nil
		}))
		require.ErrorIs(t, e, broken)
		require.True(t, e.Refused)
		require.False(t, e.MaybeSent())
		require.Zero(t, e.Status)
		require.Equal(t, sent, b.counter.Requests)
		require.Len(t, b.budget.answers, sent+1, "each slot is reported on")
		require.Equal(t, Answer{}, b.budget.answers[sent])
	}
	require.EqualValues(t, 1, calls.Load())

	b := setup(t, serve(t, unreachable(t)).URL)
	e := b.fail(t, b.ctx, fresh(func(context.Context) (Payload, error) { return Payload{Body: make(chan int)}, nil }))
	require.ErrorIs(t, e, ErrBuild)
	require.Len(t, b.budget.answers, 1)
}

// brief is a budget whose slots are good for a moment only.
type brief struct {
	fakeBudget

	life time.Duration
	gap  time.Duration // that a slot after the first is waited for
}

func (b *brief) Take(ctx context.Context, class Class) (Slot, error) {
	slot, err := b.fakeBudget.Take(ctx, class)
	if b.taken() > 1 {
		time.Sleep(b.gap)
		slot.SentAt = time.Now()
	}
	slot.SendBy = slot.SentAt.Add(b.life)
	return slot, err
}

func (b *brief) Holds(s Slot) bool { return !time.Now().After(s.SendBy) }

// sink is an API that takes everything.
func sink(see func(*http.Request)) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		see(r)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"word":"ok"}`))}, nil
	}
}

// A request that was ready too late takes another slot, and its body with it, unless
// that has waited too long by then.
func TestASlotThatIsOverIsNotUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes, gap  time.Duration
		slots, made int
	}{
		"in time":                     {takes: 40 * time.Millisecond, slots: 1, made: 1},
		"too late":                    {takes: 60 * time.Millisecond, slots: 2, made: 1},
		"too late, and a longer wait": {takes: 60 * time.Millisecond, gap: time.Second, slots: 2, made: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				budget := &brief{life: 50 * time.Millisecond, gap: c.gap}
				var sent []time.Time
				b := setup(t, "http://api.example", func(cfg *Config) {
					cfg.Limiter, cfg.Base = budget, sink(func(*http.Request) { sent = append(sent, time.Now()) })
				})
				made := 0
				_, err := b.client.Do(WithClass(b.ctx, ClassRollout), fresh(func(context.Context) (Payload, error) {
					time.Sleep(c.takes)
					made++
					return Payload{Body: answer{"code"}}, nil
				}), &answer{})
				require.NoError(t, err)
				require.Equal(t, c.slots, budget.taken())
				require.Equal(t, c.made, made)
				require.Len(t, sent, 1)
				want := []Answer{{Success: true}}
				if c.slots == 2 {
					want = []Answer{{}, {Success: true}}
					require.Equal(t, []Class{ClassRollout, ClassVerify}, budget.classes, "what is ready goes first")
				}
				require.Equal(t, want, budget.answers, "each slot is reported on")
			})
		})
	}
}

// The next slot takes so long that the body must be made anew: it leaves with the slot
// it has then, when that is still good.
func TestABodyThatWaitedTooLongIsMadeAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := &brief{life: 50 * time.Millisecond, gap: 3 * time.Second}
		var bodies []string
		b := setup(t, "http://api.example", func(cfg *Config) {
			cfg.Limiter, cfg.Base = budget, sink(func(r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(body))
			})
		})
		made := 0
		_, err := b.client.Do(b.ctx, fresh(func(context.Context) (Payload, error) {
			if made++; made == 1 {
				time.Sleep(60 * time.Millisecond)
			}
			return Payload{Body: answer{fmt.Sprintf("code-%d", made)}}, nil
		}), &answer{})
		require.NoError(t, err)
		require.Equal(t, []string{`{"word":"code-2"}`}, bodies)
		require.Equal(t, 2, budget.taken())
	})
}

func TestTheWaitForAnotherSlotEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := &brief{life: 50 * time.Millisecond}
		b := setup(t, "http://api.example", func(cfg *Config) {
			cfg.Limiter, cfg.Base = budget, sink(func(*http.Request) { t.Error("sent") })
		})
		ctx, cancel := context.WithTimeout(b.ctx, 100*time.Millisecond)
		defer cancel()
		e := b.fail(t, ctx, fresh(func(context.Context) (Payload, error) {
			time.Sleep(60 * time.Millisecond)
			return Payload{Body: answer{"code"}}, nil
		}))
		require.ErrorIs(t, e, context.DeadlineExceeded)
		require.False(t, e.MaybeSent())
		require.Equal(t, []Answer{{}}, budget.answers)
	})
}
