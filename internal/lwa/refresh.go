package lwa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// minLeft is how long a stored token must still live to be taken over.
const minLeft = time.Second

// refresh gets a token other than not: the store's, where another process was
// first, else a new one. The lease keeps the processes apart; the one that loses
// it looks again until the winner has saved.
func (s *Source) refresh(parent context.Context, not string) (token, error) {
	ctx, cancel := context.WithTimeout(parent, flightTimeout)
	defer cancel()
	if err := s.saveLate(ctx); err != nil {
		return token{}, err
	}
	tried := map[[3]string]bool{}
	for try := 0; ; try++ {
		cred, err := s.cfg.Store.Load(ctx)
		if err != nil {
			return token{}, fmt.Errorf("load the credential of account %s: %w", s.cfg.Account, err)
		}
		if cred.Unauthorized {
			return token{}, &UnauthorizedError{Account: s.cfg.Account, Kind: s.cfg.Kind, Reason: cred.UnauthorizedReason}
		}
		held := s.cfg.Now().Before(s.leased)
		if next, ok := s.adopt(cred, not); ok {
			if held {
				// Another process saved just before the lease came to us: saving the
				// same again ends the lease. Where that fails it ends by itself.
				_ = s.store(ctx, SaveParams{AccessToken: cred.AccessToken, ExpiresAt: cred.ExpiresAt, RefreshTokenUsed: cred.RefreshToken})
			}
			return next, nil
		}
		if !held {
			now := s.cfg.Now()
			ok, err := s.cfg.Store.AcquireLease(ctx, leaseTTL)
			switch {
			case err != nil:
				return token{}, fmt.Errorf("take the lease to refresh the token of account %s: %w", s.cfg.Account, err)
			case ok:
				s.leased = now.Add(leaseTTL - s.cfg.Timeout)
				continue // look once more, now that nobody else can save
			}
			if err := sleep(ctx, jitter(100*time.Millisecond)); err != nil {
				return token{}, &TokenError{Account: s.cfg.Account, Kind: s.cfg.Kind, Err: errors.New("another process is refreshing the token and has not saved it in time")}
			}
			continue
		}
		next, err := s.ask(ctx, parent, cred, tried)
		if err == nil {
			return next, nil
		}
		if err := s.retry(ctx, try, err); err != nil {
			return token{}, err
		}
	}
}

// adopt takes the stored token where it is another than not and still lives.
func (s *Source) adopt(cred Credential, not string) (token, bool) {
	left := cred.ExpiresAt.Sub(s.cfg.Now())
	if cred.AccessToken == "" || cred.AccessToken == not || left < minLeft {
		return token{}, false
	}
	return s.times(cred.AccessToken, cred.ExpiresAt, left), true
}

// ask makes one token request under the lease and deals with its answer. A
// refusal is believed when the stored credential is still the one refused.
func (s *Source) ask(ctx, parent context.Context, cred Credential, tried map[[3]string]bool) (token, error) {
	p, life, err := s.grant(ctx, cred)
	refused, isRefusal := errors.AsType[*refusedError](err)
	switch {
	case err == nil:
		s.cfg.Metrics.refreshes.WithLabelValues(s.cfg.Account, resultSuccess).Inc()
		s.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "access token refreshed",
			slog.String("account", s.cfg.Account), slog.Time("expires_at", p.ExpiresAt), slog.Bool("rotated", p.RefreshToken != ""))
		s.keep(parent, p)
		return s.times(p.AccessToken, p.ExpiresAt, life), nil
	case !isRefusal:
		if _, asked := errors.AsType[*TokenError](err); asked {
			s.cfg.Metrics.refreshes.WithLabelValues(s.cfg.Account, resultError).Inc()
		}
		return token{}, err
	}
	s.cfg.Metrics.refreshes.WithLabelValues(s.cfg.Account, resultUnauthorized).Inc()
	key := [3]string{cred.ClientID, cred.ClientSecret, cred.RefreshToken}
	tried[key] = true
	again, err := s.cfg.Store.Load(ctx)
	if err != nil {
		return token{}, fmt.Errorf("load the credential of account %s after it was refused: %w", s.cfg.Account, err)
	}
	if !tried[[3]string{again.ClientID, again.ClientSecret, again.RefreshToken}] {
		return token{}, refused // another credential by now: retry at once
	}
	e := &UnauthorizedError{Account: s.cfg.Account, Kind: s.cfg.Kind, Reason: refused.code}
	s.leased = time.Time{}
	if err := s.cfg.Store.MarkUnauthorized(context.WithoutCancel(ctx), refused.code, e.Error(), cred.RefreshToken); err != nil {
		return token{}, fmt.Errorf("%w (and that could not be stored: %w)", e, err)
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "login with amazon refused the credential",
		slog.String("account", s.cfg.Account), slog.String("kind", string(s.cfg.Kind)), slog.String("reason", refused.code), slog.String("request_id", refused.requestID))
	return token{}, e
}

// retry waits before the next token request, or returns the error that ends the
// refresh.
func (s *Source) retry(ctx context.Context, try int, err error) error {
	if _, refused := errors.AsType[*refusedError](err); refused {
		return nil
	}
	asked, ok := errors.AsType[*TokenError](err)
	if !ok || !asked.again() {
		return err
	}
	s.said(asked)
	wait := max(jitter(min(200*time.Millisecond<<min(try, 5), 5*time.Second)), asked.RetryAfter)
	if end, ok := ctx.Deadline(); ok && s.cfg.Now().Add(wait).After(end) {
		return err
	}
	if sleep(ctx, wait) != nil {
		return err
	}
	return nil
}

// keep saves what a refresh brought, for as long as saveTimeout whatever became
// of the flight: the endpoint will not say it twice. When the database is away
// for longer, the token is used all the same and saved before the next refresh.
func (s *Source) keep(parent context.Context, p SaveParams) {
	ctx, cancel := context.WithTimeout(parent, saveTimeout)
	defer cancel()
	for try := 0; ; try++ {
		err := s.store(ctx, p)
		if err == nil {
			return
		}
		if sleep(ctx, jitter(100*time.Millisecond<<min(try, 5))) != nil {
			s.cfg.Logger.LogAttrs(parent, slog.LevelError, "refreshed token not saved, will be tried again",
				slog.String("account", s.cfg.Account), slog.Bool("rotated", p.RefreshToken != ""), slog.Any("error", err))
			s.unsaved = &p
			return
		}
	}
}

// saveLate saves what an earlier refresh could not.
func (s *Source) saveLate(ctx context.Context) error {
	if s.unsaved == nil {
		return nil
	}
	if err := s.store(ctx, *s.unsaved); err != nil {
		return err
	}
	s.unsaved = nil
	return nil
}

// store saves once, which ends the lease.
func (s *Source) store(ctx context.Context, p SaveParams) error {
	if err := s.cfg.Store.Save(ctx, p); err != nil {
		return fmt.Errorf("save the token of account %s: %w", s.cfg.Account, err)
	}
	s.leased = time.Time{}
	return nil
}

// jitter is d give or take a quarter: equal jitter, for a full one can be nothing.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.75 + 0.5*rand.Float64()))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
