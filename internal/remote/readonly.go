package remote

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrReadOnly is in the chain of an Error of a request that a ReadOnly transport
// refused. Nothing of it left.
var ErrReadOnly = errors.New("this client only reads")

// readOnly is a transport that no write passes.
type readOnly struct{ base http.RoundTripper }

// ReadOnly wraps the transport that sends the bytes (Config.Base) so that nothing
// but GET and HEAD passes it: whoever was given a client over it cannot change
// anything. What it refuses is an error that names the operation, wraps
// ErrReadOnly, is not temporary and leaves nothing in doubt.
func ReadOnly(base http.RoundTripper) http.RoundTripper { return &readOnly{base: base} }

// RoundTrip sends reads and refuses everything else.
func (t *readOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return t.base.RoundTrip(req)
	}
	what := req.Method
	if k := callFrom(req.Context()); k != nil {
		what = k.req.API + " " + k.req.Operation + " (" + req.Method + ")"
	}
	return nil, fmt.Errorf("%w: %s would change something and was not sent", ErrReadOnly, what)
}

// isNative reports whether base is net/http's own transport, wrapped or not: it
// tells of its steps (see sending), and what it was not told of did not leave.
func isNative(base http.RoundTripper) bool {
	if r, ok := base.(*readOnly); ok {
		base = r.base
	}
	_, native := base.(*http.Transport)
	return native
}
