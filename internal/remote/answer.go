package remote

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxBody is how much of an answer is read, in bytes. What is longer is no answer
// of these APIs; the connection is closed rather than drained.
const MaxBody = 1 << 20

// MaxRetryAfter caps Retry-After: a server that asks for more is asked again
// after this long.
const MaxRetryAfter = time.Hour

// Caps of what is kept of an error answer, in bytes.
const (
	maxDetail = 512
	maxWord   = 128

	maxViolations = 50 // that are kept, each of maxDetail
)

// readBody reads at most MaxBody bytes. The bytes come back with the error: an
// error status counts whatever became of its body.
func readBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if err != nil {
		return body, fmt.Errorf("the body was cut short after %d bytes", len(body))
	}
	if len(body) > MaxBody {
		return body[:MaxBody], fmt.Errorf("the body is larger than %d bytes", MaxBody)
	}
	return body, nil
}

// requestID is Amazon's identifier of the request, cleaned for logs and storage.
func requestID(h http.Header) string {
	for _, name := range [...]string{"X-Amzn-RequestId", "X-Amzn-Request-Id", "X-Amz-Request-Id"} {
		if id := clean(h.Get(name), maxWord); id != "" {
			return id
		}
	}
	return ""
}

// RetryAfter reads the Retry-After header of an answer: seconds or an HTTP date,
// which is measured from the answer's own Date, or from now where it has none. It
// reports false for a header that is absent, negative, garbage or already past,
// and caps what it returns at MaxRetryAfter.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	var wait time.Duration
	switch seconds, err := strconv.ParseUint(v, 10, 64); {
	case err == nil && seconds > uint64(MaxRetryAfter/time.Second):
		wait = MaxRetryAfter
	case err == nil:
		wait = time.Duration(seconds) * time.Second //nolint:gosec // bounded by the case above
	default:
		if len(v) > 0 && strings.Trim(v, "0123456789") == "" { // too large for a uint64
			return MaxRetryAfter, true
		}
		at, err := http.ParseTime(v)
		if err != nil {
			return 0, false
		}
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		wait = at.Sub(now)
	}
	if wait <= 0 {
		return 0, false
	}
	return min(wait, MaxRetryAfter), true
}

// parseError keeps of an error answer what can be kept, in any of the shapes
// known (facts 1.7): {"type","message"}, {"message"}, {"message","code"},
// {"message","violations":[...]}, {"error","error_description"}, or no JSON at all.
func parseError(resp *http.Response, body []byte, secrets []string) *Error {
	e := &Error{Status: resp.StatusCode, RequestID: requestID(resp.Header), HTML: isHTML(resp.Header, body)}
	e.RetryAfter, _ = RetryAfter(resp.Header, time.Now())
	if kind, _, _ := strings.Cut(resp.Header.Get("X-Amzn-ErrorType"), ":"); kind != "" {
		e.Type = kind
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) == nil && fields != nil {
		e.Type = firstOf(text(fields, "type"), text(fields, "__type"), e.Type)
		e.ErrCode = firstOf(text(fields, "code"), text(fields, "error"))
		e.Message = firstOf(text(fields, "message"), text(fields, "Message"), text(fields, "error_description"))
		e.Detail = e.Message
		var violations []map[string]json.RawMessage
		if json.Unmarshal(fields["violations"], &violations) == nil {
			for i, v := range violations[:min(len(violations), maxViolations)] {
				code, message := text(v, "code"), text(v, "message")
				if i < 3 {
					e.ErrCode = firstOf(e.ErrCode, code)
					e.Detail = strings.TrimSpace(e.Detail + " " + message)
				}
				if code != "" && message != "" {
					message += " (" + code + ")"
				}
				e.Violations = append(e.Violations, firstOf(message, code))
			}
		}
	} else {
		e.Detail = string(body)
	}
	// Cleaning may join what a control character held apart, hence the second look.
	tidy := func(s *string, limit int) { *s = clean(redact(clean(redact(*s, secrets), limit), secrets), limit) }
	tidy(&e.Detail, maxDetail)
	tidy(&e.Message, maxDetail)
	tidy(&e.Type, maxWord)
	tidy(&e.ErrCode, maxWord)
	for i := range e.Violations {
		tidy(&e.Violations[i], maxDetail)
	}
	e.Violations = slices.DeleteFunc(e.Violations, func(v string) bool { return v == "" })
	return e
}

// text is a string or a number of an object, empty for anything else.
func text(fields map[string]json.RawMessage, name string) string {
	raw := fields[name]
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// isHTML reports whether an answer is a page. A body that begins with a tag is
// one whatever its header says.
func isHTML(h http.Header, body []byte) bool {
	return strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), "text/html") ||
		bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// redact takes secrets out of what the API echoed, as they are and as a form or
// a URL spells them. Shorter ones than four bytes would take out everything.
func redact(s string, secrets []string) string {
	if s == "" {
		return s
	}
	for _, secret := range secrets {
		if len(secret) < 4 {
			continue
		}
		s = strings.ReplaceAll(s, secret, "[redacted]")
		s = strings.ReplaceAll(s, url.QueryEscape(secret), "[redacted]")
	}
	return s
}

// clean makes remote text fit for a log line, a label-free error and a text
// column: valid UTF-8, printable, on one line, at most limit bytes.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return -1
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s[:min(len(s), 8*limit)])
	s = strings.TrimSpace(s)
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimSpace(s[:cut])
}
