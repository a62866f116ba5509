package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// account is one LWA client with its share of the limit.
type account struct {
	Account
	bucket bucket
	meter  meter
}

// grant is what an access token stands for.
type grant struct {
	account *account
	until   time.Duration
}

// maxGrants is how many access tokens are kept before expired ones are forgotten.
const maxGrants = 1000

type tokenRequest struct{ grantType, refreshToken, clientID, clientSecret string }

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
		var q map[string]string
		err := json.Unmarshal(body, &q)
		return tokenRequest{q["grant_type"], q["refresh_token"], q["client_id"], q["client_secret"]}, err
	case "application/x-www-form-urlencoded", "":
		q, err := url.ParseQuery(string(body))
		return tokenRequest{q.Get("grant_type"), q.Get("refresh_token"), q.Get("client_id"), q.Get("client_secret")}, err
	}
	return tokenRequest{}, fmt.Errorf("content type %q", kind)
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
	case malformed != nil, request.grantType == "", request.refreshToken == "", request.clientID == "", request.clientSecret == "":
		return http.StatusBadRequest, tokenReply{
			ErrorIndex: s.requestID(c.line.n), Error: "invalid_request", ErrorDescription: "Malformed request",
		}
	case request.grantType != "refresh_token":
		return http.StatusBadRequest, tokenReply{
			Error: "unsupported_grant_type", ErrorDescription: "The authorization grant type is not supported by the authorization server",
		}
	}
	a := s.account(request.clientID)
	if a == nil || a.ClientSecret != request.clientSecret {
		return http.StatusUnauthorized, tokenReply{Error: "invalid_client", ErrorDescription: "Client authentication failed"}
	}
	c.line.client = a.ClientID
	// Some clients do not percent-encode the token: a plus of theirs arrives as a space.
	if a.RefreshToken == "" || a.RefreshToken != request.refreshToken && a.RefreshToken != strings.ReplaceAll(request.refreshToken, " ", "+") {
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

func (s *Simulator) account(clientID string) *account {
	for _, a := range s.accounts {
		if a.ClientID == clientID {
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

// AccountChange is what ChangeAccount does, in the order of the fields.
type AccountChange struct {
	RefreshToken       string `json:"refresh_token,omitempty"`        // from now on
	ClientSecret       string `json:"client_secret,omitempty"`        // from now on
	RevokeRefreshToken bool   `json:"revoke_refresh_token,omitempty"` // refreshes answer invalid_grant until there is another
	ExpireAccessTokens bool   `json:"expire_access_tokens,omitempty"` // all that were given out
	Rotate             *bool  `json:"rotate,omitempty"`               // whether refreshes rotate the refresh token, for all accounts
}

// ChangeAccount changes the credentials of an LWA client behind its back.
func (s *Simulator) ChangeAccount(clientID string, change AccountChange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(clientID)
	if a == nil {
		return fmt.Errorf("account %q: there is no such LWA client", clientID)
	}
	if change.RefreshToken != "" {
		a.RefreshToken = change.RefreshToken
	}
	if change.ClientSecret != "" {
		a.ClientSecret = change.ClientSecret
	}
	if change.RevokeRefreshToken {
		a.RefreshToken = ""
	}
	if change.ExpireAccessTokens {
		for token, g := range s.grants {
			if g.account == a {
				s.grants[token] = grant{account: a, until: 0}
			}
		}
	}
	if change.Rotate != nil {
		s.rotate = *change.Rotate
	}
	return nil
}
