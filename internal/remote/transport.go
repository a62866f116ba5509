package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// attemptError is a send that got no answer.
type attemptError struct {
	err     error
	sent    bool // bytes may have left
	reused  bool // on a connection that had served before
	refused bool // by the caller's gate, or by what makes the body
}

// Error names the failure. Some transport errors quote what the server sent;
// that part is dropped.
func (e *attemptError) Error() string {
	if e.refused {
		return "not sent: " + e.err.Error()
	}
	s, _, quoted := strings.Cut(e.err.Error(), `"`)
	if quoted {
		s += "(...)"
	}
	return clean(s, 4*maxWord)
}

func (e *attemptError) Unwrap() error { return e.err }

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// NewTransport is the transport that sends the bytes, for up to maxInFlight
// requests at once to one host (0: 64). Clients of several accounts may share it.
//
// It speaks HTTP/1.1 only. The HTTP/2 client of net/http sends a request again
// after some stream errors that prove nothing about the first (golang/go#47635),
// and a write must never leave twice without a read between; with HTTP/1.1 it
// resends a POST or a DELETE only when not one byte of it was written. One
// broken connection then also costs one request and not all of them.
func NewTransport(maxInFlight int) *http.Transport {
	if maxInFlight <= 0 {
		maxInFlight = 64
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		Protocols:              protocols,
		MaxIdleConnsPerHost:    maxInFlight,
		IdleConnTimeout:        30 * time.Second, // shorter than the servers', so that few die under a request
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // pages of ten records; and no bomb to unpack
	}
}

func newChain(cfg Config) http.RoundTripper {
	chain := exchange(cfg.Base, cfg.Timeout)
	chain = meter(chain, cfg.Metrics, cfg.Account)
	chain = limit(chain, cfg.Limiter, cfg.Tokens)
	chain = throttle(chain)
	return auth(chain, cfg.Tokens)
}

// auth gives the request its access token. A 401 was not executed: the token is
// refreshed once and the request sent once more.
func auth(next http.RoundTripper, tokens TokenSource) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		ctx, k := req.Context(), callFrom(req.Context())
		token, err := tokens.Token(ctx)
		if err != nil {
			return nil, &tokenError{err}
		}
		k.token = token
		resp, err := next.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		if !k.refresh(ctx, tokens) {
			return resp, nil
		}
		return next.RoundTrip(req)
	})
}

// refresh gets another token after a 401. Without one the 401 stays what
// happened, and waitErr says why no second try was made.
func (k *call) refresh(ctx context.Context, tokens TokenSource) bool {
	token, err := tokens.Refresh(ctx, k.token)
	if err != nil {
		k.waitErr = &tokenError{err}
		return false
	}
	k.token = token
	return true
}

// throttle sends again what was not executed. A 429 never was. A 503 to a read
// changes nothing, and is the answer only where others can be asked instead. A 503 to
// a write proves nothing, and goes to the caller. The wait is the limiter's: it heard
// of the refusal and gives the next slot.
//
// A read whose connection was lost is sent once more too when that connection
// had served before: the server may have closed it while idle. net/http would do
// so by itself, without a slot; exchange keeps it from that.
func throttle(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		ctx, k := req.Context(), callFrom(req.Context())
		var refused *http.Response
		lost := false
		for {
			resp, err := next.RoundTrip(req)
			var a *attemptError
			switch {
			case err == nil:
				again := resp.StatusCode == http.StatusTooManyRequests ||
					resp.StatusCode == http.StatusServiceUnavailable && !k.req.write() && !k.req.Elsewhere
				if !again {
					return resp, nil
				}
				refused = resp
			case !errors.As(err, &a):
				return nil, err
			case a.sent && a.reused && !lost && !k.req.write() && ctx.Err() == nil && !errors.Is(err, ErrTimeout):
				lost = true
			case refused != nil && !a.sent && !a.refused:
				k.waitErr = err // no slot came any more: the refusal is the answer
				return refused, nil
			default:
				return nil, err
			}
		}
	})
}

// limit lets nothing through without a slot, and tells the budget the answer.
func limit(next http.RoundTripper, limiter Limiter, tokens TokenSource) http.RoundTripper {
	current, _ := tokens.(interface{ Current() string })
	fresh := newFreshener(limiter)
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		ctx, k := req.Context(), callFrom(req.Context())
		slot, err := takeSlot(ctx, limiter, k.class)
		if err != nil {
			return nil, err
		}
		if k.req.Fresh != nil {
			if req, slot, err = fresh.prepare(req, slot); err != nil {
				return nil, err
			}
		}
		if current != nil {
			if token := current.Current(); token != "" {
				k.token = token
			}
		}
		resp, err := next.RoundTrip(req)
		report(ctx, limiter, slot, resp)
		return resp, err
	})
}

func takeSlot(ctx context.Context, limiter Limiter, class Class) (Slot, error) {
	slot, err := limiter.Take(ctx, class)
	if err != nil {
		return Slot{}, &attemptError{err: fmt.Errorf("wait for a slot of the budget: %w", err)}
	}
	return slot, nil
}

// report bounds how long a refusal may take to reach the budget's row.
func report(ctx context.Context, limiter Limiter, slot Slot, resp *http.Response) {
	ctx = context.WithoutCancel(ctx)
	var a Answer
	if resp != nil {
		a.Throttled = throttledStatus(resp.StatusCode)
		a.Overload = resp.StatusCode == http.StatusServiceUnavailable
		a.Success = resp.StatusCode < 500 && !a.Throttled
	}
	if a.Throttled {
		a.RetryAfter, a.HasRetryAfter = RetryAfter(resp.Header, time.Now())
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
	}
	limiter.Done(ctx, slot, a)
}

func throttledStatus(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}
