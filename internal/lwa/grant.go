package lwa

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"fleetd/internal/remote"
)

const (
	// defaultLifetime is the documented life of an access token, taken where an
	// answer does not say.
	defaultLifetime = time.Hour
	maxLifetime     = 24 * time.Hour
	maxToken        = 4096 // bytes; the documented most is 2048
)

// refusedError is a credential that the endpoint refused, for good.
type refusedError struct {
	code      string
	requestID string
}

func (e *refusedError) Error() string { return "refused: " + e.code }

// grant asks the token endpoint once. Its error is a *refusedError, a *TokenError
// or the limiter's.
func (s *Source) grant(ctx context.Context, cred Credential) (SaveParams, time.Duration, error) {
	slot, err := s.cfg.Limiter.Take(ctx, remote.ClassInteractive)
	switch {
	case err != nil && ctx.Err() != nil: // the refresh ran out of time, not its caller
		return SaveParams{}, 0, &TokenError{Account: s.cfg.Account, Kind: s.cfg.Kind, Err: errors.New("no slot of the account's budget came in time")}
	case err != nil:
		return SaveParams{}, 0, fmt.Errorf("wait for a slot of the budget to refresh the access token: %w", err)
	}
	attempt, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, remote.ErrTimeout)
	defer cancel()
	asked := s.cfg.Now()
	conf := oauth2.Config{
		ClientID: cred.ClientID, ClientSecret: cred.ClientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: s.cfg.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
	heard := &hearing{next: s.cfg.HTTPClient.Transport}
	client := *s.cfg.HTTPClient
	client.Transport = heard
	token, err := conf.TokenSource(context.WithValue(attempt, oauth2.HTTPClient, &client),
		&oauth2.Token{RefreshToken: cred.RefreshToken}).Token()
	// The endpoint is another service than the API: its refusals say nothing of
	// the API's limit, and its answers spend a slot all the same.
	s.cfg.Limiter.Done(context.WithoutCancel(ctx), slot, remote.Answer{Success: err == nil})
	if err != nil {
		return SaveParams{}, 0, s.explain(attempt, heard, err)
	}
	if err := checkToken(token.AccessToken); err != nil {
		return SaveParams{}, 0, &TokenError{Account: s.cfg.Account, Kind: s.cfg.Kind, Status: heard.status, RequestID: heard.requestID, Err: err}
	}
	life := defaultLifetime
	if token.ExpiresIn > 0 {
		life = time.Duration(min(token.ExpiresIn, int64(maxLifetime/time.Second))) * time.Second
	}
	p := SaveParams{AccessToken: token.AccessToken, ExpiresAt: asked.Add(life), RefreshTokenUsed: cred.RefreshToken}
	// oauth2 hands the old refresh token back where the answer has none.
	if token.RefreshToken != cred.RefreshToken && checkToken(token.RefreshToken) == nil {
		p.RefreshToken = token.RefreshToken
	}
	return p, life, nil
}

// explain turns an error of oauth2 into one of this package. None of oauth2's own
// texts is kept: they quote the answer's body.
func (s *Source) explain(attempt context.Context, heard *hearing, err error) error {
	e := &TokenError{Account: s.cfg.Account, Kind: s.cfg.Kind}
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer):
		e.Status, e.Code = answer.Response.StatusCode, word(answer.ErrorCode)
		e.RequestID = word(answer.Response.Header.Get("X-Amzn-RequestId"))
		e.RetryAfter, _ = remote.RetryAfter(answer.Response.Header, s.cfg.Now())
		if e.RequestID == "" {
			var body struct {
				RequestID string `json:"request_id"`
			}
			_ = json.Unmarshal(answer.Body, &body)
			e.RequestID = word(body.RequestID)
		}
		if refuses(e.Status, e.Code) {
			return &refusedError{code: e.Code, requestID: e.RequestID}
		}
		if heard.page {
			e.Err = errPage
		}
	case errors.Is(context.Cause(attempt), remote.ErrTimeout):
		e.Err = remote.ErrTimeout
	case attempt.Err() != nil:
		e.Err = attempt.Err()
	case heard.status != 0:
		e.Status, e.RequestID, e.Err = heard.status, heard.requestID, errNoToken
		if heard.page {
			e.Err = errPage
		}
	default:
		e.Err = transportError(err)
	}
	return e
}

// What an answer is that brings no token and no OAuth error.
var (
	errPage    = errors.New("a web page came, not a token answer")
	errNoToken = errors.New("the answer cannot be read, or is not a token answer")
)

// hearing passes one answer on to oauth2 and keeps what errors of oauth2 do not say of
// it. It names the body JSON, whatever the endpoint called it: oauth2 takes what is
// named text/plain for a form, and a body that is no JSON fails either way.
type hearing struct {
	next http.RoundTripper // nil: http.DefaultTransport, as of a http.Client

	status    int // 0: no answer came
	requestID string
	page      bool // the body was a web page
}

// RoundTrip sends one token request.
func (h *hearing) RoundTrip(req *http.Request) (*http.Response, error) {
	next := h.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	h.status, h.requestID = resp.StatusCode, word(resp.Header.Get("X-Amzn-RequestId"))
	body := bufio.NewReader(resp.Body)
	begin, _ := body.Peek(64) // what is shorter comes with an error, and whole
	h.page = bytes.HasPrefix(bytes.TrimSpace(begin), []byte("<"))
	resp.Header = resp.Header.Clone()
	resp.Header.Set("Content-Type", "application/json")
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, resp.Body}
	return resp, nil
}

// refuses reports whether an answer is the endpoint's word on the credential: an
// OAuth error code in a 4xx (or, as some servers do, a 200). invalid_request is
// among them: the form is ours and right, so it is the values that are not. A 4xx
// without a code comes from something else, such as a wrong address.
func refuses(status int, code string) bool {
	switch code {
	case "", "temporarily_unavailable", "server_error", "slow_down", "unsupported_grant_type":
		return false
	}
	return status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout
}

// transportError keeps the kind of a failure and drops the texts that quote an
// answer.
func transportError(err error) error {
	var sent *url.Error
	if !errors.As(err, &sent) {
		return errors.New("the answer cannot be read, or is not a token answer")
	}
	s, _, _ := strings.Cut(sent.Err.Error(), `"`)
	return errors.New(strings.TrimSpace(s))
}

// checkToken reports a token that cannot go into a header.
func checkToken(token string) error {
	if token == "" || len(token) > maxToken {
		return fmt.Errorf("the answer's token has %d bytes: 1 to %d are allowed", len(token), maxToken)
	}
	for _, b := range []byte(token) {
		if b <= ' ' || b >= 0x7f {
			return errors.New("the answer's token has a character that no token has")
		}
	}
	return nil
}

// word is an identifier from an answer, as far as it is one.
func word(s string) string {
	if len(s) > 128 {
		return ""
	}
	for _, b := range []byte(s) {
		if b <= ' ' || b >= 0x7f {
			return ""
		}
	}
	return s
}
