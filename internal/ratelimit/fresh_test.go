package ratelimit

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/remote"
)

type noTokens struct{}

func (noTokens) Token(context.Context) (string, error)           { return "token", nil }
func (noTokens) Refresh(context.Context, string) (string, error) { return "token", nil }

// door is an API that writes down when requests came.
type door struct {
	mu   sync.Mutex
	sent []time.Time
}

func (d *door) RoundTrip(*http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent = append(d.sent, time.Now())
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{}`))}, nil
}

// Bodies that are made when the turn of their request has come, by a service that takes
// its time, cost neither the bound nor the throughput, and do not get old.
func TestFreshBodiesKeepTheLimitAndUseIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate  float64
		burst int
		takes time.Duration // at least, and up to twice that
		share float64
		age   time.Duration
	}{
		{200, 10, 5 * time.Millisecond, 0.97, 50 * time.Millisecond},
		{200, 10, 100 * time.Millisecond, 0.93, time.Second},
		{200, 1, 100 * time.Millisecond, 0.93, time.Second},
		{50, 3, 300 * time.Millisecond, 0.93, time.Second},
		{10, 1, 200 * time.Millisecond, 0.9, 1500 * time.Millisecond},
		{2, 1, 200 * time.Millisecond, 0.97, 100 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("rate %v burst %d body %v", c.rate, c.burst, c.takes), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{trip: time.Millisecond, row: fixedRow(c.rate, c.burst)}
				api := &door{}
				client, err := remote.NewClient(remote.Config{
					Account: "acme", BaseURL: "http://api.example", Tokens: noTokens{}, Limiter: newBudget(t, store, 1), Base: api,
				})
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), minute/3)
				defer cancel()
				var mu sync.Mutex
				var oldest time.Duration
				calls, bodies := 0, 0
				var wg sync.WaitGroup
				began := time.Now()
				for i := range int(c.rate*0.8) + 20 {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(uint64(i), 9))
						for ctx.Err() == nil {
							made := time.Time{}
							meta, err := client.Do(remote.WithClass(ctx, remote.ClassRollout), remote.Request{
								API: "test", Operation: "write", Method: http.MethodPost, Path: "/v1/thing",
								Fresh: func(ctx context.Context) (remote.Payload, error) {
									err := pass(ctx, c.takes+time.Duration(r.Float64()*float64(c.takes)))
									made = time.Now()
									mu.Lock()
									bodies++
									mu.Unlock()
									return remote.Payload{Body: "x"}, err
								},
							}, nil)
							if err != nil {
								continue
							}
							mu.Lock()
							calls++
							oldest = max(oldest, meta.SentAt.Sub(made))
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				share := float64(len(api.sent)) / (c.rate * (minute / 3).Seconds())
				t.Logf("%.3f of the limit, excess %.2f, %d requests, %d bodies, the oldest %v", share, excess(rel(api.sent), c.rate), calls, bodies, oldest)
				require.LessOrEqual(t, excess(rel(api.sent), c.rate), float64(c.burst)+1.001)
				require.GreaterOrEqual(t, share, c.share)
				require.LessOrEqual(t, oldest, c.age)
				require.Less(t, api.sent[0].Sub(began), 2*time.Second)
			})
		})
	}
}
