package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// code is one authorization code that was minted.
type code struct {
	text      string
	unit      *unit // nil: of a customer
	skill     *skill
	redirect  string
	challenge string // PKCE, S256; "" is none
	at        time.Duration
	used      bool
}

// codes are the codes minted lately, used ones too.
type codes struct {
	byText map[string]*code
	queue  []*code // oldest first
	minted uint64
}

// remember is how many lifetimes of a code it is kept, so that a second use is
// told from an invention.
const remember = 4

// codeRequest is the body of POST /_sim/codes.
type codeRequest struct {
	Account     string `json:"account"`
	UnitID      string `json:"unit_id"`
	SkillID     string `json:"skill_id"`
	RedirectURI string `json:"redirect_uri"`
}

// serveCode is the code server. The package comment has its contract.
func (s *Simulator) serveCode(w http.ResponseWriter, r *http.Request) {
	var request codeRequest
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err == nil && (request.Account == "" || request.UnitID == "" || request.SkillID == "" || request.RedirectURI == "") {
		err = errors.New("account, unit_id, skill_id and redirect_uri are required")
	}
	c := &call{line: line{operation: OperationCode}}
	text, failure := s.mint(c, request, err, r.UserAgent())
	if !wait(r, c.delay) {
		s.clientGone(c)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if failure != nil {
		sendError(w, int(c.line.status), failure)
		return
	}
	sendJSON(w, http.StatusOK, map[string]string{"code": text})
}

func (s *Simulator) mint(c *call, request codeRequest, malformed error, agent string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.last++
	c.now, c.line.n = s.now(), s.history.last
	c.line.at, c.line.agent = c.now, s.intern(agent)
	c.delay = s.cfg.Latency
	c.dice.state = hash(s.cfg.Seed, c.line.n, 'c')
	c.line.unit = s.units.find(request.UnitID)
	defer func() { s.count(&c.line) }()
	switch {
	case malformed != nil:
		c.line.status = http.StatusBadRequest
		return "", malformed
	case c.dice.hit(s.faults.CodeError):
		c.line.faults |= faultCodeError
		c.line.status = http.StatusServiceUnavailable
		return "", errors.New("the code server is temporarily unavailable")
	case c.line.unit == nil:
		c.line.unitID = strings.Clone(request.UnitID[:min(len(request.UnitID), 255)])
		c.line.status = http.StatusNotFound
		return "", errors.New("unit_id: there is no such unit")
	}
	skill := s.skill(request.SkillID)
	c.line.skill, c.line.status = skill.id, http.StatusOK
	return s.keepCode(&code{unit: c.line.unit, skill: skill, redirect: request.RedirectURI, at: c.now}), nil
}

// keepCode gives m its text and keeps it.
func (s *Simulator) keepCode(m *code) string {
	s.codes.minted++
	s.counts.codesMinted++
	m.text = string(appendText([]byte("sim-code-"), hash(s.cfg.Seed, s.codes.minted, 'C'), 40))
	s.codes.byText[m.text] = m
	s.codes.queue = append(s.codes.queue, m)
	for m.at-s.codes.queue[0].at > remember*s.cfg.CodeTTL {
		delete(s.codes.byText, s.codes.queue[0].text)
		s.codes.queue = s.codes.queue[1:]
	}
	return m.text
}

// useCode reports whether a code is good for a home, or for a customer if u is
// nil. Whatever is wrong with the rest of the request, the code is used up by it.
func (s *Simulator) useCode(link *linkRequest, u *unit, k *skill, now time.Duration) bool {
	m := s.codes.byText[link.authCode]
	switch {
	case m == nil:
		s.counts.codesRefused++
		return false
	case m.used:
		s.counts.codesReused++
		return false
	}
	m.used = true
	if m.unit != u || m.skill != k || m.redirect != link.redirectURI || !m.verified(link.verifier) || now-m.at > s.cfg.CodeTTL {
		s.counts.codesRefused++
		return false
	}
	s.counts.codesUsed++
	return true
}

// verified reports whether a PKCE verifier is what the code was asked for with.
func (m *code) verified(verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return m.challenge == "" || m.challenge == base64.RawURLEncoding.EncodeToString(sum[:])
}
