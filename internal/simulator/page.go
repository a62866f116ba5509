package simulator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// paging is the part of a list request that says which page.
type paging struct {
	token string
	size  int
	query uint64 // stands for what of the request a token is bound to
}

// readPaging reads maxResults, from 1 to most, and nextToken.
func (c *call) readPaging(q url.Values, most int) paging {
	p := paging{token: q.Get("nextToken"), size: 10}
	if text := q.Get("maxResults"); text != "" {
		var err error
		if p.size, err = strconv.Atoi(text); err != nil || p.size < 1 || p.size > most {
			c.wrong = "maxResults must be between 1 and " + strconv.Itoa(most) + "."
		}
	}
	return p
}

// following is how a page leads to the next one.
type following struct {
	token string // "" at the end
	null  bool   // at the end: say so in another way than the usual one
}

// pageOf chooses what of all, sorted by key, the page shows that p asks for, with
// the faults that pages have. It reports false when it answered the request
// itself, because of a bad token.
func pageOf[T any](s *Simulator, c *call, p paging, all []T, key func(T) string) (shown []T, f following, ok bool) {
	at, ok := s.readToken(p)
	if ok && p.token != "" && s.expired(c, at) {
		c.line.faults |= faultExpiredPageToken
		ok = false
	}
	if !ok {
		c.problem(http.StatusBadRequest, "InvalidRequest", "nextToken is invalid, expired, or of another request.")
		return nil, following{}, false
	}
	first := sort.Search(len(all), func(i int) bool { return key(all[i]) > at.after })
	items, size := all[first:], p.size
	switch {
	case len(items) > 0 && c.dice.hit(s.faults.EmptyPage):
		c.line.faults |= faultEmptyPage
		size = 0
	case len(items) > 1 && c.dice.hit(s.faults.ShortPage):
		short := 1 + c.dice.below(min(size, len(items)))
		if short < min(size, len(items)) {
			c.line.faults |= faultShortPage
			size = short
		}
	}
	if first > 0 && at.page > 0 && size > 1 && c.dice.hit(s.faults.DuplicateItem) {
		c.line.faults |= faultDuplicateItem
		shown = append(shown, all[first-1]) // the last item of the page before
	}
	more := len(items) > size-len(shown)
	if more {
		items = items[:size-len(shown)]
	}
	if len(items) > 0 {
		at.after = key(items[len(items)-1])
	}
	shown = append(shown, items...)
	switch {
	case more:
		f.token = s.nextToken(c, p, at)
	case c.dice.hit(s.faults.NullToken):
		c.line.faults |= faultNullToken
		f.null = true
	}
	return shown, f, true
}

// pageToken says where a list goes on. It is bound to the query it came from.
type pageToken struct {
	page  int    // that it leads to, counted from 0
	at    int64  // when it was given out, in ms since the start; 0 while tokens do not expire
	after string // the last key given out
}

// nextToken leads from a page to the next, or by a fault to the same again.
func (s *Simulator) nextToken(c *call, p paging, at pageToken) string {
	if p.token != "" && c.dice.rare(s.faults.RepeatedToken) {
		c.line.faults |= faultRepeatedToken
		return p.token
	}
	next := pageToken{page: at.page + 1, after: at.after}
	if s.faults.PageTokenTTL > 0 { // Otherwise the same request gets the same answer whenever it comes.
		next.at = c.now.Milliseconds()
	}
	text := fmt.Sprintf("%d %d %s", next.page, next.at, next.after)
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%016x %s", s.seal(p, text), text))
}

// expired reports whether the token of the request is too old, or is said to be.
func (s *Simulator) expired(c *call, t pageToken) bool {
	ttl := s.faults.PageTokenTTL
	return ttl > 0 && c.now-time.Duration(t.at)*time.Millisecond > ttl || c.dice.rare(s.faults.ExpiredPageToken)
}

func (s *Simulator) readToken(p paging) (pageToken, bool) {
	if p.token == "" {
		return pageToken{}, true
	}
	data, err := base64.RawURLEncoding.DecodeString(p.token)
	seal, text, found := strings.Cut(string(data), " ")
	page, rest, _ := strings.Cut(text, " ")
	at, after, _ := strings.Cut(rest, " ")
	if err != nil || !found || seal != fmt.Sprintf("%016x", s.seal(p, text)) {
		return pageToken{}, false
	}
	n, err1 := strconv.Atoi(page)
	ms, err2 := strconv.ParseInt(at, 10, 64)
	return pageToken{page: n, at: ms, after: after}, err1 == nil && err2 == nil
}

// seal binds a token to the query.
func (s *Simulator) seal(p paging, text string) uint64 {
	return hash(s.cfg.Seed, p.query, hashText(text))
}
