package ratelimit

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/remote"
)

// fakeStore is the row in Postgres: one lock, a clock of its own, a round trip.
type fakeStore struct {
	mu      sync.Mutex
	row     Row
	trip    time.Duration
	offset  time.Duration // its clock minus the process's
	err     error
	updates int
	others  []*Budget // told when a block begins, as LISTEN does
}

var errAway = errors.New("connection refused")

func (s *fakeStore) Update(ctx context.Context, change func(*Row, time.Time)) (Row, time.Time, error) {
	if err := pass(ctx, s.trip/2); err != nil {
		return Row{}, time.Time{}, err
	}
	s.mu.Lock()
	now := time.Now().Add(s.offset).Round(0).Truncate(time.Microsecond)
	row, err, blocked := s.row, s.err, s.row.BlockedUntil
	if err == nil {
		change(&row, now)
		change(&row, now) // a repeated transaction starts from the row as it was
		row = s.row
		change(&row, now)
		s.row = row
		s.updates++
	}
	others := s.others
	s.mu.Unlock()
	if err != nil {
		return Row{}, time.Time{}, err
	}
	if !row.BlockedUntil.Equal(blocked) {
		for _, b := range others {
			b.Invalidate()
		}
	}
	return row, now, pass(ctx, s.trip/2)
}

func (s *fakeStore) set(change func(*Row)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.row)
}

func (s *fakeStore) read() Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.row
}

func (s *fakeStore) notify(others ...*Budget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others = others
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.updates
}

func pass(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bucket is the API: a true token bucket that refuses what is above it.
type bucket struct {
	mu         sync.Mutex
	rate       float64
	burst      float64
	retryAfter bool // whole seconds, at least one, as real APIs say it
	overload   bool // it says 503 where others say 429
	latency    time.Duration
	stray      float64 // the share of requests answered 503 for no reason of the rate
	dice       *rand.Rand

	tokens   float64
	at       time.Time
	began    time.Time
	accepted []time.Time
	refused  []time.Time
	sent     []time.Time
	strays   int
}

func newBucket(rate, burst float64, retryAfter bool, latency time.Duration) *bucket {
	now := time.Now()
	return &bucket{
		rate: rate, burst: burst, retryAfter: retryAfter, latency: latency, tokens: burst, at: now, began: now,
		dice: rand.New(rand.NewPCG(3, 3)),
	}
}

func (s *bucket) ask(ctx context.Context) (remote.Answer, error) {
	if err := pass(ctx, s.latency/2); err != nil {
		return remote.Answer{}, err
	}
	answer := s.serve()
	return answer, pass(ctx, s.latency/2)
}

func (s *bucket) serve() remote.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.tokens = min(s.burst, s.tokens+s.rate*now.Sub(s.at).Seconds())
	s.at = now
	s.sent = append(s.sent, now)
	if s.stray > 0 && s.dice.Float64() < s.stray {
		s.strays++
		return remote.Answer{Throttled: true, Overload: true}
	}
	if s.tokens >= 1-1e-9 {
		s.tokens--
		s.accepted = append(s.accepted, now)
		return remote.Answer{Success: true}
	}
	s.refused = append(s.refused, now)
	answer := remote.Answer{Throttled: true, Overload: s.overload}
	if s.retryAfter {
		wait := (1 - s.tokens) / s.rate
		answer.HasRetryAfter = true
		answer.RetryAfter = max(time.Second, time.Duration(wait+0.999999)*time.Second)
	}
	return answer
}

// share is the part of the limit that was used and the part of the requests that was
// refused, from the given time of the run on.
func (s *bucket) share(from, to time.Duration) (goodput, refused float64) {
	in := func(times []time.Time) (n float64) {
		for _, t := range times {
			if d := t.Sub(s.began); d >= from && d < to {
				n++
			}
		}
		return n
	}
	ok, no := in(s.accepted), in(s.refused)
	return ok / (s.rate * (to - from).Seconds()), no / max(1, ok+no)
}

// worker sends one request after the other until ctx ends.
func worker(ctx context.Context, l remote.Limiter, s *bucket, class remote.Class) {
	for {
		slot, err := l.Take(ctx, class)
		if err != nil {
			return
		}
		answer, err := s.ask(ctx)
		if err != nil {
			return
		}
		l.Done(ctx, slot, answer)
	}
}

func newBudget(tb testing.TB, s Store, seed uint64) *Budget {
	tb.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	b := New(Config{Store: s, Account: "acme", Metrics: NewMetrics(nil), Jitter: func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Float64()
	}})
	tb.Cleanup(b.Close)
	return b
}

// run has workers ask the server through the budgets for the given time.
func run(t *testing.T, s *bucket, d time.Duration, workers int, budgets ...*Budget) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for i := range workers * len(budgets) {
		wg.Go(func() { worker(ctx, budgets[i%len(budgets)], s, remote.ClassRollout) })
	}
	wg.Wait()
	require.NotEmpty(t, s.sent)
}
