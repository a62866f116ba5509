package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// maxAnswer bounds an answer that is read whole: the largest page of a list is
// far smaller, and an endless one must not take the memory of the operator's machine.
const maxAnswer = 64 << 20

// Config says which fleetd to talk to, and as whom.
type Config struct {
	Server    string            // the address, such as http://127.0.0.1:8080
	Token     string            // the bearer token; empty: none is sent
	UserAgent string            // for the server's log
	Transport http.RoundTripper // empty: a transport of its own
}

// Client calls fleetd's HTTP API. It is safe for concurrent use.
type Client struct {
	server string
	token  string
	agent  string
	http   *http.Client
}

// New makes a client. It fails when the address is not an http or https URL.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("server address %q is not an http:// or https:// URL, such as http://127.0.0.1:8080", cfg.Server)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("server address of host %q must hold no user, query or fragment; secrets go in the token", u.Host)
	}
	transport := cfg.Transport
	if transport == nil {
		transport = NewTransport()
	}
	return &Client{
		server: strings.TrimRight(u.String(), "/"),
		token:  cfg.Token,
		agent:  cfg.UserAgent,
		http: &http.Client{
			Transport: transport,
			// A redirect is an address to be mended, not followed: the token is for this server alone.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// NewTransport bounds what happens before a request is on its way. There is no
// bound on the answer: an import of a million units takes as long as it takes,
// and callers that cannot wait have a context.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: 2 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
		ForceAttemptHTTP2:     true,
	}
}

// Server returns the address the client was made for.
func (c *Client) Server() string { return c.server }

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Response is an answer of the API: decoded, and byte for byte.
type Response[T any] struct {
	Value  T
	Raw    []byte
	Status int
	Header http.Header
}

// Stream is an answer that is read as it arrives. The caller closes Body.
type Stream struct {
	Body        io.ReadCloser
	ContentType string
	Header      http.Header
}

// request is one call of one operation.
type request struct {
	operation string
	method    string
	path      string
	query     url.Values
	header    http.Header
	body      io.Reader
	dryRun    bool // the body says so
}

// reads are the operations that change nothing, although they are POSTs.
var reads = [...]string{"checkAccount", "checkSkill", "planRollback", "planRollout"}

// write reports whether the call may change something.
func (r *request) write() bool {
	switch {
	case r.method == http.MethodGet, r.method == http.MethodHead, r.dryRun, r.query.Get("dry_run") == "true":
		return false
	}
	return !slices.Contains(reads[:], r.operation)
}

// newRequest fills the {names} of an operation's path with pairs of name and value.
func newRequest(operation, method, path string, pairs ...string) *request {
	for i := 0; i+1 < len(pairs); i += 2 {
		path = strings.ReplaceAll(path, "{"+pairs[i]+"}", url.PathEscape(pairs[i+1]))
	}
	return &request{operation: operation, method: method, path: path, query: url.Values{}, header: http.Header{}}
}

// addQuery adds a parameter of the query. A slice is repeated (explode), or one
// parameter with commas in it, as the description of the API says.
func (r *request) addQuery(name string, explode bool, v any) {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Slice {
		r.query.Set(name, text(v))
		return
	}
	values := make([]string, rv.Len())
	for i := range values {
		values[i] = text(rv.Index(i).Interface())
	}
	if explode {
		r.query[name] = values
	} else if len(values) > 0 {
		r.query.Set(name, strings.Join(values, ","))
	}
}

// setJSON makes v the body.
func (r *request) setJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the request of %s: %w", r.operation, err)
	}
	var dry struct {
		Run bool `json:"dry_run"`
	}
	r.dryRun = json.Unmarshal(b, &dry) == nil && dry.Run
	r.setBody("application/json", bytes.NewReader(b))
	return nil
}

func (r *request) setBody(contentType string, body io.Reader) {
	r.header.Set("Content-Type", contentType)
	r.body = body
}

// text is how the API spells a parameter.
func text(v any) string {
	if t, ok := v.(time.Time); ok {
		return t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

// send sends a request. An answer that is not a success comes back as an error,
// of type *Error when a server gave it and *UnreachableError when none did.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	address := c.server + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, r.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.operation, err)
	}
	req.Header = r.header
	req.Header.Set("Accept", "application/json, application/problem+json, text/csv")
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if _, known := r.body.(interface{ Len() int }); r.body != nil && !known {
		// A body that streams is sent once the server has said that it wants it:
		// a wrong token is told before 100 MB of CSV, not after.
		req.Header.Set("Expect", "100-continue")
	}
	var connected atomic.Bool // bytes may have left
	resp, err := c.http.Do(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})))
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &UnreachableError{Server: c.server, Err: bare(err), Sent: r.write() && connected.Load()}
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer closeBody(resp)
	return nil, problem(c.server, resp)
}

// receive sends a request and reads the answer whole.
func receive[T any](ctx context.Context, c *Client, r *request) (*Response[T], error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer closeBody(resp)
	out := &Response[T]{Status: resp.StatusCode, Header: resp.Header}
	out.Raw, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, &UnreachableError{Server: c.server, Err: fmt.Errorf("the answer broke off: %w", bare(err)), Sent: r.write()}
	case len(out.Raw) > maxAnswer:
		return nil, fmt.Errorf("%s: the answer of %s is larger than %d MiB; ask for a smaller page", r.operation, c.server, maxAnswer>>20)
	case len(out.Raw) == 0:
		return out, nil
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		return nil, &Error{Status: resp.StatusCode, Server: c.server, Foreign: true}
	}
	if err := json.Unmarshal(out.Raw, &out.Value); err != nil {
		return nil, fmt.Errorf("%s: read the answer of %s: %w (fleetctl and fleetd may be of different versions)", r.operation, c.server, err)
	}
	return out, nil
}

// stream sends a request and hands the answer's body to the caller.
func (c *Client) stream(ctx context.Context, r *request) (*Stream, error) {
	resp, err := c.send(ctx, r) //nolint:bodyclose // The caller closes it, through Stream.
	if err != nil {
		return nil, err
	}
	return &Stream{Body: resp.Body, ContentType: resp.Header.Get("Content-Type"), Header: resp.Header}, nil
}

// bare drops the method and the address that net/http puts before an error.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// closeBody reads what little is left, so that the connection can be used again.
func closeBody(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}
