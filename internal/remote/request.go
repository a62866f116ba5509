package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Request is one operation of an API. API and Operation are metric labels, so
// each must come from a closed set.
type Request struct {
	API       string
	Operation string
	Method    string
	Path      string // starts with a slash, its segments already escaped
	Query     url.Values
	Header    http.Header // besides what every request carries, such as If-Match
	Body      any         // sent as JSON; nil sends none
	// Fresh, where set, makes the body instead, for each send anew and when its turn
	// has come: after a slot was taken. It is for what spoils while it waits, such as a
	// code that serves once, and soon. Its error stops the request as the gate's does.
	Fresh func(ctx context.Context) (Payload, error)
	// OptionalBody accepts an empty body of a good answer; out then stays as it is.
	OptionalBody bool
	// Elsewhere says that others can be asked the same: a 503 is the answer then, also to
	// a read, and is not waited out here.
	Elsewhere bool
	// Secrets are strings of the request that must not come back in Error.Detail.
	Secrets []string
	// Advice says by status how to mend a refusal of this API, for Error.Error. A status
	// that is not in it is advised on as the residential API's is.
	Advice map[int]string
	// Look is the command that shows whether a write was done of which that is not known,
	// without --account, which is added: for Error.Error.
	Look string
}

// Payload is a body that was made for one send.
type Payload struct {
	Body    any      // sent as JSON
	Secrets []string // of it, that must not come back in Error.Detail
}

// write reports whether the request may change something.
func (r Request) write() bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// Meta is what an answer says beside its body. It is filled in for errors too, as
// far as an answer came.
type Meta struct {
	Status    int
	RequestID string
	Location  string    // the header of that name
	ETag      string    // the header of that name, or the If-Match that one API answers with instead
	SentAt    time.Time // local clock, when the request that was answered left
	AnswerAt  time.Time // local clock, when its answer was read
}

// Checker is implemented by an out of Do that can tell whether it holds what the
// operation needs. Its error makes the answer unreadable.
type Checker interface{ Check() error }

// call is what the transports of one Do know of it. Only the goroutine of Do
// touches it.
type call struct {
	req     Request
	class   Class
	gate    Gate
	counter *Counter
	token   string // the access token of the last send
	tokens  []string

	sentAt   time.Time
	answerAt time.Time
	body     []byte // of the last answer
	bodyErr  error  // why it is not whole
	waitErr  error  // why a refused request was not sent again
}

type callKey struct{}

func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// Do sends the request, as often as 429 asks for it, and decodes a good answer
// into out (nil ignores it). Any failure is an *Error. A read that fails is a
// failure and never an empty answer.
func (c *Client) Do(ctx context.Context, r Request, out any) (Meta, error) {
	began := time.Now()
	r.Secrets = slices.Clone(r.Secrets) // those of its payloads are added
	k := &call{req: r, class: ClassFrom(ctx), gate: gateFrom(ctx), counter: counterFrom(ctx)}
	req, err := c.build(context.WithValue(ctx, callKey{}, k), r)
	if err != nil {
		return Meta{}, c.fail(r, &Error{Err: fmt.Errorf("%w: %w", ErrBuild, err)})
	}
	resp, err := c.chain.RoundTrip(req)
	if err != nil {
		e := &Error{Err: err}
		if a, ok := errors.AsType[*attemptError](err); ok {
			e.InDoubt, e.Refused = r.write() && a.sent, a.refused
		}
		c.log(ctx, r, Meta{}, began)
		return Meta{SentAt: k.sentAt}, c.fail(r, e)
	}
	defer func() { _ = resp.Body.Close() }()
	body := k.body // at most MaxBody; k.bodyErr has what went wrong
	meta := Meta{
		Status: resp.StatusCode, RequestID: requestID(resp.Header), SentAt: k.sentAt, AnswerAt: k.answerAt,
		Location: clean(resp.Header.Get("Location"), maxDetail),
		ETag:     clean(firstOf(resp.Header.Get("ETag"), resp.Header.Get("If-Match")), maxDetail),
	}
	c.log(ctx, r, meta, began)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		e := parseError(resp, body, append(k.tokens, k.req.Secrets...))
		e.Err = k.waitErr
		e.InDoubt = r.write() && inDoubt(resp.StatusCode)
		return meta, c.fail(r, e)
	}
	if err := decode(body, k.bodyErr, r.OptionalBody, out); err != nil {
		e := c.Unreadable(r, meta, err)
		e.HTML = isHTML(resp.Header, body)
		return meta, e
	}
	return meta, nil
}

// Unreadable is the error of a good answer that cannot be understood, for what the
// operation's client looks for outside its body. err has ErrUnreadable in its chain.
func (c *Client) Unreadable(r Request, m Meta, err error) *Error {
	return c.fail(r, &Error{Status: m.Status, RequestID: m.RequestID, InDoubt: r.write(), Err: err})
}

// inDoubt says which statuses leave open whether a write was executed.
func inDoubt(status int) bool {
	return status >= 500 || status == http.StatusRequestTimeout || status < 200
}

func (c *Client) fail(r Request, e *Error) *Error {
	e.Account, e.API, e.Operation = c.cfg.Account, r.API, r.Operation
	e.advice, e.look = r.Advice[e.Status], r.Look
	return e
}

func (c *Client) log(ctx context.Context, r Request, m Meta, began time.Time) {
	c.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "api call",
		slog.String("account", c.cfg.Account),
		slog.String("api", r.API),
		slog.String("operation", r.Operation),
		slog.Int("status", m.Status),
		slog.String("request_id", m.RequestID),
		slog.Duration("took", time.Since(began)))
}

// build makes the request that the chain sends, once or more often. Its body can
// be taken any number of times with GetBody.
func (c *Client) build(ctx context.Context, r Request) (*http.Request, error) {
	if r.Path == "" || r.Path[0] != '/' {
		return nil, fmt.Errorf("path %q does not start with a slash", r.Path)
	}
	target := c.base.String() + r.Path
	if q := r.Query.Encode(); q != "" {
		target += "?" + q
	}
	var body io.Reader
	if r.Body != nil {
		b, err := json.Marshal(r.Body)
		if err != nil {
			return nil, fmt.Errorf("encode the body: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, errors.New("the path cannot be parsed")
	}
	maps.Copy(req.Header, r.Header)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if body != nil || r.Fresh != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func decode(body []byte, bodyErr error, optional bool, out any) error {
	if out == nil {
		return nil
	}
	if bodyErr != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, bodyErr)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		if optional {
			return nil
		}
		return fmt.Errorf("%w: it is empty", ErrUnreadable)
	}
	if err := json.Unmarshal(body, out); err != nil {
		if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
			return fmt.Errorf("%w: it is a web page", ErrUnreadable)
		}
		// The error of encoding/json may quote the body; its place is enough.
		return fmt.Errorf("%w: it is not the JSON that was expected%s", ErrUnreadable, where(err))
	}
	if c, ok := out.(Checker); ok {
		if err := c.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
	}
	return nil
}

func where(err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf(" (at byte %d)", syntax.Offset)
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf(" (at byte %d)", kind.Offset)
	}
	return ""
}
