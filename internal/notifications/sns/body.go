package sns

import (
	"errors"
	"io"
	"net/http"
)

// ReadBody reads a delivery's body, MaxBody bytes at most. A larger one is a
// *Refusal with status 413, one that cannot be read to its end one with 400.
func ReadBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	var limit *http.MaxBytesError
	switch {
	case len(body) > MaxBody || errors.As(err, &limit):
		return nil, refuse(ReasonTooLarge, "the body is larger than 1 MiB")
	case err != nil:
		return nil, refuseFor(ReasonMalformed, "the body ended before it was whole", err)
	}
	return body, nil
}
