package simulator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// pageToken says where a list goes on. It is bound to the query it came from.
type pageToken struct {
	page  int    // that it leads to, counted from 0
	at    int64  // when it was given out, in ms since the start; 0 while tokens do not expire
	after string // the last skill ID given out
}

func (s *Simulator) list(c *call) {
	p, f := &c.params, &s.faults
	at, ok := s.readToken(c)
	if ok && c.params.nextToken != "" && s.expired(c, at) {
		c.line.faults |= faultExpiredPageToken
		ok = false
	}
	if !ok {
		c.problem(http.StatusBadRequest, "InvalidRequest", "nextToken is invalid, expired, or of another request.")
		return
	}
	c.read = true
	var items []*record
	var previous *record // the last item of the page before
	for _, r := range c.unit.records {
		r.settle(c.now)
		switch {
		case !r.present(p.stage):
		case r.skill.id > at.after:
			items = append(items, r)
		default:
			previous = r
		}
	}
	size := p.maxResults
	switch {
	case len(items) > 0 && c.dice.hit(f.EmptyPage):
		c.line.faults |= faultEmptyPage
		size = 0
	case len(items) > 1 && c.dice.hit(f.ShortPage):
		short := 1 + c.dice.below(min(size, len(items)))
		if short < min(size, len(items)) {
			c.line.faults |= faultShortPage
			size = short
		}
	}
	var shown []*record
	if previous != nil && at.page > 0 && size > 1 && c.dice.hit(f.DuplicateItem) {
		c.line.faults |= faultDuplicateItem
		shown = append(shown, previous)
	}
	more := len(items) > size-len(shown)
	if more {
		items = items[:size-len(shown)]
	}
	if len(items) > 0 {
		at.after = items[len(items)-1].skill.id
	}
	shown = append(shown, items...)
	c.whole = !more

	body := []byte(`{`)
	switch {
	case more:
		body = append(body, `"paginationContext":{"nextToken":`...)
		body = append(body, quote(s.nextToken(c, at))...)
		body = append(body, `},`...)
	case !c.dice.hit(f.NullToken):
		body = append(body, `"paginationContext":{},`...)
	default:
		c.line.faults |= faultNullToken
		if c.dice.hit(0.5) {
			body = append(body, `"paginationContext":{"nextToken":null},`...)
		}
	}
	body = append(body, `"items":[`...)
	unitID := s.echo(c)
	for i, r := range shown {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendRecord(body, r, unitID)
	}
	c.answer = answer{status: http.StatusOK, body: append(body, `]}`...)}
}

// nextToken leads from a page to the next, or by a fault to the same again.
func (s *Simulator) nextToken(c *call, at pageToken) string {
	if c.params.nextToken != "" && c.dice.rare(s.faults.RepeatedToken) {
		c.line.faults |= faultRepeatedToken
		return c.params.nextToken
	}
	next := pageToken{page: at.page + 1, after: at.after}
	if s.faults.PageTokenTTL > 0 { // Otherwise the same request gets the same answer whenever it comes.
		next.at = c.now.Milliseconds()
	}
	return s.writeToken(c, next)
}

// expired reports whether the token of the request is too old, or is said to be.
func (s *Simulator) expired(c *call, t pageToken) bool {
	ttl := s.faults.PageTokenTTL
	return ttl > 0 && c.now-time.Duration(t.at)*time.Millisecond > ttl || c.dice.rare(s.faults.ExpiredPageToken)
}

func (s *Simulator) writeToken(c *call, t pageToken) string {
	text := fmt.Sprintf("%d %d %s", t.page, t.at, t.after)
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%016x %s", s.seal(c, text), text))
}

func (s *Simulator) readToken(c *call) (pageToken, bool) {
	if c.params.nextToken == "" {
		return pageToken{}, true
	}
	data, err := base64.RawURLEncoding.DecodeString(c.params.nextToken)
	seal, text, found := strings.Cut(string(data), " ")
	page, rest, _ := strings.Cut(text, " ")
	at, after, _ := strings.Cut(rest, " ")
	if err != nil || !found || seal != fmt.Sprintf("%016x", s.seal(c, text)) {
		return pageToken{}, false
	}
	n, err1 := strconv.Atoi(page)
	ms, err2 := strconv.ParseInt(at, 10, 64)
	return pageToken{page: n, at: ms, after: after}, err1 == nil && err2 == nil
}

// seal binds a token to the query: unit, stage and page size.
func (s *Simulator) seal(c *call, text string) uint64 {
	return hash(s.cfg.Seed, c.unit.key, hashText(string(c.params.stage)), uint64(c.params.maxResults), hashText(text)) //nolint:gosec // 1 to 10
}

// Records returns what a complete list of the home would show, in its order.
func (s *Simulator) Records(unitID string) []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units.find(unitID)
	if u == nil {
		return nil
	}
	var states []State
	for _, r := range u.records {
		if st := s.stateOf(u, r.skill, s.now()); st.Status != fleet.StatusAbsent {
			states = append(states, st)
		}
	}
	return states
}
