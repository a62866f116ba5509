package sns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// fetchTimeout is what one request has for all of its answer.
const fetchTimeout = 5 * time.Second

// maxAnswer is how much of an answer is read, in bytes. SNS's certificates have
// two thousand.
const maxAnswer = 64 << 10

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: fetchTimeout}).DialContext,
		TLSHandshakeTimeout:    fetchTimeout,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true, // no bomb to unpack
	}
}

// fetchError is a GET that got no good answer. It does not name the URL, which may
// hold a token, and drops what the server sent.
type fetchError struct {
	status int // 0 where no answer came
	err    error
}

func (e *fetchError) Error() string {
	if e.status != 0 {
		return fmt.Sprintf("the answer was %d %s", e.status, http.StatusText(e.status))
	}
	s, _, quoted := strings.Cut(e.err.Error(), `"`)
	if quoted {
		s += "(...)"
	}
	return s
}

func (e *fetchError) Unwrap() error { return e.err }

// passing reports whether the same GET may go better later.
func (e *fetchError) passing() bool {
	return e.status == 0 && !errors.Is(e.err, errTooLong) || e.status >= 500 || e.status == http.StatusTooManyRequests ||
		e.status == http.StatusRequestTimeout
}

var errTooLong = errors.New("the answer is too long")

// get returns the body of a 200. The transport is asked directly: no redirect is
// followed, no cookie kept, and no error quotes the URL.
func (v *Verifier) get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, &fetchError{err: errors.New("the URL cannot be asked")}
	}
	resp, err := v.transport.RoundTrip(req)
	if err != nil {
		return nil, &fetchError{err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &fetchError{status: resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, &fetchError{err: err}
	case len(body) > maxAnswer:
		return nil, &fetchError{err: errTooLong}
	}
	return body, nil
}
