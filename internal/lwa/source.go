package lwa

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Source gives the access tokens of one account. It implements
// remote.TokenSource and is safe for concurrent use.
type Source struct {
	cfg Config

	mu      sync.Mutex
	cur     token
	flight  *flight
	early   time.Time // no early refresh before this: the last one failed
	failed  error     // what the last refresh failed with, until retryAt
	retryAt time.Time

	// These belong to the flight under way; there is at most one.
	leased  time.Time   // until when the lease is ours for certain
	unsaved *SaveParams // a refreshed token that the store has not taken yet
}

// token is an access token and its times.
type token struct {
	access    string
	refreshAt time.Time // from here on it is refreshed while it is still used
	expiresAt time.Time // from here on it is not used
}

func (t token) valid(now time.Time) bool { return t.access != "" && now.Before(t.expiresAt) }

// flight is one refresh that any number of callers wait for.
type flight struct {
	over  chan struct{}
	token string
	err   error

	last atomic.Pointer[TokenError] // what the last try failed with, while it goes on
}

// NewSource checks the settings. It sends and loads nothing.
func NewSource(cfg Config) (*Source, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Source{cfg: cfg}, nil
}

// Token returns a valid access token. One that nears its expiry is still
// returned while its successor is fetched behind; without a valid one the caller
// waits for it. Errors are an *UnauthorizedError, a *TokenError, the Store's, the
// Limiter's or ctx's.
func (s *Source) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	now := s.cfg.Now()
	if s.cur.valid(now) {
		defer s.mu.Unlock()
		if !now.Before(s.cur.refreshAt) && now.After(s.early) {
			s.start(ctx, s.cur.access)
		}
		return s.cur.access, nil
	}
	f := s.start(ctx, s.cur.access)
	s.mu.Unlock()
	return f.wait(ctx)
}

// Current returns the access token in hand while it is valid, else nothing. It
// never waits and starts nothing.
func (s *Source) Current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.cur.valid(s.cfg.Now()) {
		return ""
	}
	return s.cur.access
}

// Refresh returns an access token other than rejected, which the API answered
// with a 401. Where one is there already it returns that; otherwise all callers
// share one refresh.
func (s *Source) Refresh(ctx context.Context, rejected string) (string, error) {
	for range 2 {
		s.mu.Lock()
		if s.cur.access != rejected && s.cur.valid(s.cfg.Now()) {
			defer s.mu.Unlock()
			return s.cur.access, nil
		}
		if s.cur.access == rejected {
			s.cur.expiresAt = time.Time{} // nobody else shall try it
		}
		f := s.start(ctx, rejected)
		s.mu.Unlock()
		// A flight that was under way may have found the rejected token in the
		// store; the next one knows better.
		if access, err := f.wait(ctx); err != nil || access != rejected {
			return access, err
		}
	}
	return "", &TokenError{Account: s.cfg.Account, Kind: s.cfg.Kind, Status: http.StatusOK, Err: errors.New("it gives the access token that the API refuses once more")}
}

// Wait returns when no refresh is under way, or when ctx ends. Whoever stops the
// process calls it before closing the database: a rotated refresh token that is
// not saved is lost.
func (s *Source) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		f := s.flight
		s.mu.Unlock()
		if f == nil {
			return nil
		}
		select {
		case <-f.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start joins the refresh under way, or starts one for a token other than not.
// It needs the lock. The refresh does not end with the caller's context. One that
// just failed is not repeated for a moment, so that many callers do not make a
// failing endpoint's life harder.
func (s *Source) start(ctx context.Context, not string) *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{over: make(chan struct{})}
	if s.failed != nil && s.cfg.Now().Before(s.retryAt) {
		f.err = s.failed
		close(f.over)
		return f
	}
	s.flight = f
	ctx = context.WithoutCancel(ctx)
	go func() {
		next, err := s.refresh(ctx, not)
		s.mu.Lock()
		defer s.mu.Unlock()
		f.token, f.err, s.failed = next.access, err, nil
		if err == nil {
			s.cur = next
		} else {
			now := s.cfg.Now()
			s.early = now.Add(jitter(5 * time.Second))
			if _, passing := errors.AsType[*TokenError](err); passing {
				s.failed, s.retryAt = err, now.Add(jitter(time.Second))
			}
		}
		s.flight = nil
		close(f.over)
	}()
	return f
}

func (f *flight) wait(ctx context.Context) (string, error) {
	select {
	case <-f.over:
		return f.token, f.err
	case <-ctx.Done():
	}
	last := f.last.Load()
	if last == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "", ctx.Err()
	}
	late := *last // the caller's time is over; why there is no token is what it needs to know
	if late.Err = ctx.Err(); last.Err != nil {
		late.Err = fmt.Errorf("%w (%w)", last.Err, ctx.Err())
	}
	return "", &late
}

// said keeps what a try failed with, for callers whose time ends before the flight's.
func (s *Source) said(err *TokenError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		s.flight.last.Store(err)
	}
}

// times says until when a token is used and from when on it is refreshed. life is
// its whole life where that is known, else what is left of it.
func (s *Source) times(access string, expiresAt time.Time, life time.Duration) token {
	early := s.cfg.Skew
	if life < 2*s.cfg.Skew {
		early = life / 2
	}
	// A margin, so that a token does not expire between here and the API.
	return token{access: access, refreshAt: expiresAt.Add(-early), expiresAt: expiresAt.Add(-min(5*time.Second, life/10))}
}
