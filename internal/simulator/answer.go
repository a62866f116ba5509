package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cut says where the connection ends.
type cut uint8

const (
	cutNot    cut = iota
	cutBefore     // before the answer
	cutMiddle     // after half of the body
)

// answer is what a request is answered.
type answer struct {
	status      int
	body        []byte
	contentType string // application/json if empty
	retryAfter  string
	location    string
	etag        string
	challenge   bool // WWW-Authenticate says what token is wanted
	bare        bool // without a body, and without a content type unless there is one
	cut         cut
}

// problem makes an answer of an error as the API writes it: the residential API
// with a type, the others with a code.
func (c *call) problem(status int, kind, message string) {
	name := `{"code":`
	if c.endpoint == nil || c.endpoint.api == APIResidential {
		name = `{"type":`
	}
	b := append([]byte(name), quote(kind)...)
	b = append(b, `,"message":`...)
	b = append(b, quote(message)...)
	c.answer = answer{status: status, body: append(b, '}'), challenge: status == http.StatusUnauthorized}
}

// invalid makes the answer of a malformed request.
func (c *call) invalid() {
	if len(c.violations) == 0 {
		c.problem(http.StatusBadRequest, "InvalidRequest", c.wrong)
		return
	}
	c.reply(http.StatusBadRequest, map[string]any{"message": c.wrong, "code": c.violations[0].Code, "violations": c.violations})
}

// reply makes an answer of v as JSON.
func (c *call) reply(status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // It is made of strings, numbers and manifests that were read as JSON.
		panic(err)
	}
	c.answer = answer{status: status, body: body}
}

// done makes an answer without a body.
func (c *call) done(status int) { c.answer = answer{status: status, bare: true} }

// doneAs is done with the content type that a body would have: the manifest and the
// developer's enablement API have the header on answers that have no body.
func (c *call) doneAs(status int) {
	c.answer = answer{status: status, bare: true, contentType: typeJSON}
}

// quote makes a JSON string.
func quote(s string) []byte {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' || b == '"' || b == '\\' || b == '<' || b == '>' || b == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // Strings always marshal.
				panic(err)
			}
			return quoted
		}
	}
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendRecord appends the enablement record as the API writes it.
func appendRecord(b []byte, r *record, unitID string) []byte {
	b = append(b, `{"skill":{"stage":`...)
	b = append(b, quote(string(r.stage))...)
	b = append(b, `,"id":`...)
	b = append(b, quote(r.skill.id)...)
	b = append(b, `},"unit":{"id":`...)
	b = append(b, quote(unitID)...)
	b = append(b, '}')
	if link := r.link(); link != "" {
		b = append(b, `,"accountLink":{"status":`...)
		b = append(b, quote(string(link))...)
		b = append(b, '}')
	}
	b = append(b, `,"status":`...)
	b = append(b, quote(string(r.status))...)
	return append(b, '}')
}

// send writes the answer. A cut one ends the connection by the panic that
// net/http has for it.
func (a *answer) send(w http.ResponseWriter, requestID string) {
	if a.cut == cutBefore {
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	header["X-Amzn-Requestid"] = []string{requestID}
	if a.retryAfter != "" {
		header["Retry-After"] = []string{a.retryAfter}
	}
	if a.location != "" {
		header["Location"] = []string{a.location}
	}
	if a.etag != "" { // The newer pages name the one header, seed 002 the other.
		header["Etag"], header["If-Match"] = []string{a.etag}, []string{a.etag}
	}
	if a.challenge {
		header["Www-Authenticate"] = []string{"Bearer"}
	}
	contentType := a.contentType
	if contentType == "" && !a.bare && a.status != http.StatusNoContent {
		contentType = typeJSON
	}
	if contentType != "" {
		header["Content-Type"] = []string{contentType}
	}
	if a.status != http.StatusNoContent {
		header["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	w.WriteHeader(a.status)
	if a.cut == cutMiddle {
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(a.body) // A client that is gone is not an error here.
}

// wait lets the latency pass. It reports false when the client went away first.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// requestID is the X-Amzn-RequestId of the request with that number.
func (s *Simulator) requestID(n uint64) string { return s.uuid(n) }

// uuid spells what seed and n make as a UUID.
func (s *Simulator) uuid(n uint64) string {
	a, b := hash(s.cfg.Seed, n, 'q'), hash(s.cfg.Seed, n, 'Q')
	id := make([]byte, 0, 36)
	for _, part := range []struct {
		bits uint64
		size int
	}{{a >> 32, 8}, {a >> 16, 4}, {a, 4}, {b >> 48, 4}, {b, 12}} {
		if len(id) > 0 {
			id = append(id, '-')
		}
		for i := part.size - 1; i >= 0; i-- {
			id = append(id, "0123456789abcdef"[part.bits>>(4*i)&15])
		}
	}
	return string(id)
}

// sendJSON answers a control request.
func sendJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, body = http.StatusInternalServerError, fmt.Appendf(nil, `{"error":%q}`, err)
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// inJSON makes JSON of net/http's own errors, about a path or a method that there is
// not: official clients lose the status of what is not.
type inJSON struct {
	http.ResponseWriter

	first string // of the path's segments
}

// WriteHeader implements http.ResponseWriter.
func (w *inJSON) WriteHeader(status int) {
	w.Header().Set("Content-Type", typeJSON)
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. net/http writes an error at once.
func (w *inJSON) Write(text []byte) (int, error) {
	message := strings.TrimSpace(string(text))
	var v any = map[string]string{"message": message}
	switch w.first {
	case "auth":
		v = tokenReply{Error: "invalid_request", ErrorDescription: message}
	case "_sim":
		v = map[string]string{"error": message + "; GET /_sim/ lists the controls"}
	}
	if err := json.NewEncoder(w.ResponseWriter).Encode(v); err != nil {
		return 0, err //nolint:wrapcheck // the writer's own, to net/http
	}
	return len(text), nil
}

func sendError(w http.ResponseWriter, status int, err error) {
	sendJSON(w, status, map[string]string{"error": err.Error()})
}
