package remote

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ErrTimeout is in the chain of an Error whose attempt got no whole answer in
// Config.Timeout. The caller's own deadline shows as context.DeadlineExceeded.
var ErrTimeout = errors.New("the API gave no whole answer in time")

// ErrUnreadable is in the chain of an Error whose answer had a good status and a
// body that cannot be understood: not JSON, cut short, larger than MaxBody, or
// without what the operation needs.
var ErrUnreadable = errors.New("the answer cannot be read")

// ErrBuild is in the chain of an Error of a request that could not be built.
var ErrBuild = errors.New("the request cannot be built")

// Error is a call that did not succeed. It keeps what the API said of itself
// whatever the body was.
type Error struct {
	Account   string // the fleetd account
	API       string // "residential"
	Operation string // "enable"
	Endpoint  string // where the call went, of an API that has several; empty elsewhere
	Status    int    // the HTTP status, 0 where no answer came
	RequestID string // X-Amzn-RequestId, which Amazon asks for in support
	Type      string // the body's type, or the X-Amzn-ErrorType header
	ErrCode   string // the body's code (the SMAPI shapes have one)
	// Detail is what the API said in its own words, capped and with the secrets
	// of the request removed. By the API's terms it is for logs only: no logic may
	// depend on it and no customer may see it. Error does not print it.
	Detail string
	// Message is the message of the body alone, and Violations are what it says of the
	// single things that are wrong, each with its code: the parts that Detail is cut from,
	// cleaned as it is and under the same terms.
	Message    string
	Violations []string
	// RetryAfter is how long the API asked to wait, 0 where it did not.
	RetryAfter time.Duration
	// InDoubt is true for a write that may have been executed although no good
	// answer came. MaybeSent returns it.
	InDoubt bool
	// Refused is true where the caller's gate, or what makes the body, stopped the request.
	Refused bool
	// HTML is true where the body was a page: it came from something that stands
	// in front of the API, not from the API.
	HTML bool
	// Err is what lay behind it: a transport error, the context's, the gate's,
	// the limiter's or the token source's.
	Err error

	advice string // how to mend it, where the operation's client knows
	look   string // the command that shows whether a write in doubt was done
}

// Error says what was asked, what came of it and how to mend it. It holds no
// secret and none of the API's own words.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.API)
	b.WriteByte(' ')
	b.WriteString(e.Operation)
	if e.Endpoint != "" {
		b.WriteString(" at " + e.Endpoint)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": the API answered %d", e.Status)
		if text := http.StatusText(e.Status); text != "" {
			b.WriteString(" " + text)
		}
	}
	var notes []string
	for _, n := range [...]struct{ name, value string }{{"type", e.Type}, {"code", e.ErrCode}, {"request ID", e.RequestID}} {
		if n.value != "" {
			notes = append(notes, n.name+" "+n.value)
		}
	}
	if len(notes) > 0 {
		b.WriteString(" (" + strings.Join(notes, ", ") + ")")
	}
	switch {
	case e.Status == 0 && errors.Is(e.Err, io.EOF):
		b.WriteString(": the connection broke off before an answer came (EOF)")
	case e.Err != nil:
		b.WriteString(": " + e.Err.Error())
	}
	if mend := e.mend(); mend != "" {
		b.WriteString("; " + mend)
	}
	return b.String()
}

// mend says what a person can do about the statuses that a person can mend.
func (e *Error) mend() string {
	switch {
	case e.InDoubt && e.look != "":
		return fmt.Sprintf("whether it was done is not known: read before writing again, with `%s --account %s`", e.look, e.Account)
	case e.InDoubt:
		return "whether it was done is not known: read before writing again"
	case e.HTML && e.Status < 500 && e.Status != http.StatusTooManyRequests:
		what := "something before the API answered"
		if e.Err == nil {
			what += ", with a web page"
		}
		return what + ": check the account's API URL and the way there"
	case e.Err != nil:
		return ""
	case e.advice != "":
		return e.advice
	case e.Status == http.StatusBadRequest:
		return "check the skill ID, the unit ID, the stage and the account's region"
	case e.Status == http.StatusUnauthorized:
		return "a fresh access token was refused too, so its user or its scope does not allow this: see fleetctl account check " + e.Account
	case e.Status == http.StatusForbidden:
		return "check that the account's user has a role on the unit, that the home is vacant, and that the client was granted API access"
	case e.Status >= 300 && e.Status < 400:
		return "redirects are not followed: check the account's API URL"
	}
	return ""
}

// Unwrap returns what lay behind the error.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same call may go differently later: no answer,
// an answer cut short, 408, 425, 429 and 5xx. A refusal by the caller's gate is
// not temporary, and a missing token is what the token source says it is; both
// may say otherwise with a Temporary method of their own.
func (e *Error) Temporary() bool {
	var token *tokenError
	var t interface{ Temporary() bool }
	switch {
	case errors.Is(e.Err, ErrBuild), errors.Is(e.Err, ErrReadOnly):
		return false
	case e.Refused:
		return errors.As(e.Err, &t) && t.Temporary()
	case errors.As(e.Err, &token):
		return !errors.As(token.err, &t) || t.Temporary()
	case e.Status < 300 || errors.Is(e.Err, ErrUnreadable):
		return true
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooEarly, e.Throttled():
		return true
	}
	return e.Status >= 500 && e.Status != http.StatusNotImplemented && e.Status != http.StatusHTTPVersionNotSupported
}

// Throttled reports whether the API or the budget refused because it was too
// much: 429, 503 or a *BudgetError. It is not a failure: it spends no attempt.
func (e *Error) Throttled() bool {
	var budget *BudgetError
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable || errors.As(e.Err, &budget)
}

// MaybeSent reports whether this was a write that may have been executed: bytes
// may have left and no answer came, a 5xx or 408 came, or a good answer could not
// be read. It is false for reads, for what the API refused (429 and other 4xx)
// and for what never left.
func (e *Error) MaybeSent() bool { return e.InDoubt }

// tokenError marks an error of the token source.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "get an access token: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }
