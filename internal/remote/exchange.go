package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"time"
)

// sending is how far one send came. net/http calls the hooks in the goroutine of
// RoundTrip, so it needs no lock.
type sending struct {
	hooked  bool  // net/http told us of its steps
	asked   bool  // the gate was asked
	gateErr error // and what it said
	got     bool  // a connection was there: bytes may have left
	reused  bool
}

// exchange is one attempt: ask the gate, send, read the whole answer, all within
// timeout. The answer's body comes back in the call.
func exchange(base http.RoundTripper, timeout time.Duration) http.RoundTripper {
	native := isNative(base)
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		caller, k := req.Context(), callFrom(req.Context())
		if err := caller.Err(); err != nil {
			return nil, &attemptError{err: err}
		}
		ctx, cancel := context.WithTimeoutCause(caller, timeout, ErrTimeout)
		defer cancel()

		s := &sending{}
		k.sentAt, k.bodyErr = time.Now(), nil
		if !native && !s.ask(ctx, k.gate) {
			return nil, &attemptError{err: s.gateErr, refused: true}
		}
		out, err := attempt(httptrace.WithClientTrace(ctx, s.trace(ctx, cancel, k)), req, k.token)
		if err != nil {
			return nil, &attemptError{err: err}
		}
		resp, err := base.RoundTrip(out)
		if err != nil {
			if s.gateErr != nil {
				return nil, &attemptError{err: s.gateErr, refused: true}
			}
			// A send counts as not made only where net/http is known to have got no
			// connection for it.
			return nil, &attemptError{err: why(caller, ctx, err), sent: s.got || !native && !s.hooked && !errors.Is(err, ErrReadOnly), reused: s.reused}
		}
		k.body = nil
		if resp.StatusCode != http.StatusSwitchingProtocols {
			k.body, k.bodyErr = readBody(resp.Body)
		}
		_ = resp.Body.Close() // what is unread goes with its connection
		resp.Body = http.NoBody
		k.answerAt = time.Now()
		return resp, nil
	})
}

// ask asks the gate, once for each send, and reports whether it opened.
func (s *sending) ask(ctx context.Context, gate Gate) bool {
	if !s.asked {
		s.asked = true
		if gate != nil {
			s.gateErr = gate(ctx)
		}
	}
	return s.gateErr == nil
}

// trace asks the gate when the connection is there, right before the first byte:
// a dial may take seconds, and a pause must hold within one. A connection that is
// closed lets no byte out, whatever net/http does next.
func (s *sending) trace(ctx context.Context, cancel context.CancelFunc, k *call) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { s.hooked = true },
		GotConn: func(info httptrace.GotConnInfo) {
			s.hooked = true
			if !s.ask(ctx, k.gate) {
				_ = info.Conn.Close()
				cancel()
				return
			}
			s.got, s.reused = true, info.Reused
			k.sentAt = time.Now()
		},
	}
}

// attempt makes the request of one send. The body of a read is an empty reader
// that cannot be rewound: nothing is sent of it, and net/http then does not
// replay the read on another connection behind the budget's back.
func attempt(ctx context.Context, req *http.Request, token string) (*http.Request, error) {
	out := req.WithContext(ctx)
	out.Header = maps.Clone(req.Header)
	out.Header.Set("Authorization", "Bearer "+token)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	} else if req.Method == http.MethodGet || req.Method == http.MethodHead {
		out.Body = io.NopCloser(bytes.NewReader(nil))
	}
	return out, nil
}

// why names what ended an attempt: the caller's context, the attempt's time, or
// what the transport says.
func why(caller, attempt context.Context, err error) error {
	switch {
	case caller.Err() != nil:
		return caller.Err()
	case errors.Is(context.Cause(attempt), ErrTimeout):
		return ErrTimeout
	}
	return err
}
