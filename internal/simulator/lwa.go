package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// grant is what an access token stands for.
type grant struct {
	account *account
	until   time.Duration
}

// maxGrants is how many access tokens are kept before expired ones are forgotten.
const maxGrants = 1000

// tokenRequest is what a client sent, as it spelled it.
type tokenRequest struct{ grantType, refreshToken, clientID, clientSecret credential }

// credential is a value of a token request. Amazon's own clients send forms whose
// values are not percent-encoded, so it is taken for each thing it can mean.
type credential struct {
	text string
	form bool
}

// is reports whether v may mean want.
func (v credential) is(want string) bool {
	if v.text == want {
		return true
	}
	if !v.form {
		return false
	}
	plus, err1 := url.PathUnescape(v.text)
	space, err2 := url.QueryUnescape(v.text)
	return err1 == nil && plus == want || err2 == nil && space == want
}

// tokenReply is every field of LWA's answers.
type tokenReply struct {
	AccessToken      string `json:"access_token,omitempty"`
	RefreshToken     string `json:"refresh_token,omitempty"`
	TokenType        string `json:"token_type,omitempty"`
	ExpiresIn        int    `json:"expires_in,omitempty"`
	ErrorIndex       string `json:"error_index,omitempty"`
	Error            string `json:"error,omitempty"`
	ErrorDescription string `json:"error_description,omitempty"`
	RequestID        string `json:"request_id,omitempty"`
}

// serveToken answers the refresh_token grant of Login with Amazon.
func (s *Simulator) serveToken(w http.ResponseWriter, r *http.Request) {
	request, err := readTokenRequest(r)
	c := &call{line: line{operation: OperationToken}}
	s.decideToken(c, request, err, r.UserAgent())
	if !wait(r, c.delay) {
		s.clientGone(c)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	c.answer.send(w, s.requestID(c.line.n))
}

func readTokenRequest(r *http.Request) (tokenRequest, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return tokenRequest{}, err
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case typeJSON:
		q, err := object(body)
		value := func(name string) (v credential) {
			err = errors.Join(err, field(q, name, &v.text))
			return v
		}
		read := tokenRequest{value("grant_type"), value("refresh_token"), value("client_id"), value("client_secret")}
		return read, err
	case "application/x-www-form-urlencoded", "":
		return readTokenForm(string(body)), nil
	}
	return tokenRequest{}, fmt.Errorf("content type %q", kind)
}

// readTokenForm reads a form whose values may hold what a form must encode: an
// ampersand that no known name follows belongs to the value before it.
func readTokenForm(body string) tokenRequest {
	var q tokenRequest
	fields := map[string]*credential{
		"grant_type": &q.grantType, "refresh_token": &q.refreshToken, "client_id": &q.clientID, "client_secret": &q.clientSecret,
		"scope": {}, "redirect_uri": {}, "code": {},
	}
	var last *credential
	for part := range strings.SplitSeq(body, "&") {
		name, value, ok := strings.Cut(part, "=")
		switch field := fields[name]; {
		case ok && field != nil:
			*field = credential{text: value, form: true}
			last = field
		case last != nil:
			last.text += "&" + part
		}
	}
	return q
}

func (s *Simulator) decideToken(c *call, request tokenRequest, malformed error, agent string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.last++
	c.now, c.line.n = s.now(), s.history.last
	c.line.at, c.line.agent = c.now, s.intern(agent)
	c.delay = s.cfg.Latency
	c.dice.state = hash(s.cfg.Seed, c.line.n, 't')
	status, reply := s.grant(c, request, malformed)
	if status != http.StatusOK {
		s.counts.tokenRefusals++
		reply.RequestID = s.requestID(c.line.n)
	}
	body, err := json.Marshal(reply) //nolint:gosec // tokens are what this answer is for
	if err != nil {                  // Strings and a number always marshal.
		panic(err)
	}
	c.answer = answer{status: status, body: body}
	c.line.status = int16(status) //nolint:gosec // an HTTP status
	s.count(&c.line)
}

func (s *Simulator) grant(c *call, request tokenRequest, malformed error) (int, tokenReply) {
	if c.dice.hit(s.faults.TokenError) {
		c.line.faults |= faultTokenError
		return http.StatusServiceUnavailable, tokenReply{Error: "server_error", ErrorDescription: "The service is temporarily unavailable."}
	}
	switch {
	case malformed == nil && request.grantType.text != "" && !request.grantType.is("refresh_token"):
		return http.StatusBadRequest, tokenReply{
			Error: "unsupported_grant_type", ErrorDescription: "The authorization grant type is not supported by the authorization server",
		}
	case malformed != nil, request.grantType.text == "", request.refreshToken.text == "",
		request.clientID.text == "", request.clientSecret.text == "":
		return http.StatusBadRequest, tokenReply{
			ErrorIndex: s.requestID(c.line.n), Error: "invalid_request", ErrorDescription: "Malformed request",
		}
	}
	a := s.asking(request.clientID)
	if a == nil || !request.clientSecret.is(a.ClientSecret) {
		return http.StatusUnauthorized, tokenReply{Error: "invalid_client", ErrorDescription: "Client authentication failed"}
	}
	c.line.client = a.ClientID
	if a.RefreshToken == "" || !request.refreshToken.is(a.RefreshToken) {
		return http.StatusBadRequest, tokenReply{
			Error:            "invalid_grant",
			ErrorDescription: "The request has an invalid grant parameter : refresh_token. User may have revoked or didn't grant the permission.",
		}
	}
	s.counts.tokenRefreshes++
	if s.rotate {
		a.RefreshToken = s.issue("Atzr|")
	}
	ttl := s.tokenTTL()
	token := s.issue("Atza|")
	lives := ttl
	if c.dice.rare(s.faults.EarlyTokenExpiry) {
		c.line.faults |= faultEarlyTokenExpiry
		lives = time.Duration((0.1 + 0.8*c.dice.fraction()) * float64(ttl))
	}
	s.grants[token] = grant{account: a, until: c.now + lives}
	s.forgetGrants(c.now)
	return http.StatusOK, tokenReply{
		AccessToken: token, RefreshToken: a.RefreshToken, TokenType: "bearer", ExpiresIn: max(1, int(ttl/time.Second)),
	}
}

// asking finds the LWA client that a token request is from.
func (s *Simulator) asking(id credential) *account {
	for _, a := range s.accounts {
		if id.is(a.ClientID) {
			return a
		}
	}
	return nil
}

// issue makes the text of a token, as long as real ones are.
func (s *Simulator) issue(prefix string) string {
	s.issued++
	return string(appendText([]byte(prefix), hash(s.cfg.Seed, s.issued, 'T'), 360))
}

func (s *Simulator) tokenTTL() time.Duration {
	switch {
	case s.cfg.TokenTTL > 0:
		return s.cfg.TokenTTL
	case s.faults.TokenTTL > 0:
		return s.faults.TokenTTL
	}
	return time.Hour
}

func (s *Simulator) forgetGrants(now time.Duration) {
	if len(s.grants) <= maxGrants {
		return
	}
	for token, g := range s.grants {
		if now >= g.until {
			delete(s.grants, token)
		}
	}
}
