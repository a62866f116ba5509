package main

import (
	"net/http"
	"regexp"
	"sync"
	"time"

	"fleetd/internal/client"
)

// slowAfter is how long a call that makes fleetd ask Amazon may take before something is
// said of it.
const slowAfter = 2 * time.Second

// asksAmazon matches the calls that fleetd answers with what it asks of Amazon meanwhile:
// by method and path. Those of rollouts and repairs make the checks of their skill.
var asksAmazon = regexp.MustCompile(`^(` +
	`[A-Z]+ \S*/api/v1/accounts/[^/]+/(check|skills|customer|subscribers|subscriptions)(/|$)|` +
	`POST \S*/api/v1/(rollouts(/plan|/[^/]+/(resume|rollback(/plan)?))?|drift/repair)$)`)

// patience says on stderr, once, that such a call takes long. Why it does, only fleetd
// knows: fleetctl does not claim to.
type patience struct {
	p     *program
	next  http.RoundTripper
	after time.Duration

	once sync.Once
}

func (p *program) patience() *patience {
	return &patience{p: p, next: client.NewTransport(), after: p.slowAfter}
}

// RoundTrip passes a call on. It returns when nothing is written to stderr any more.
func (t *patience) RoundTrip(r *http.Request) (*http.Response, error) {
	if wait := r.URL.Query().Get("wait"); !asksAmazon.MatchString(r.Method+" "+r.URL.Path) || wait != "" && wait != "0" {
		return t.next.RoundTrip(r)
	}
	var told sync.WaitGroup
	told.Add(1)
	timer := time.AfterFunc(t.after, func() {
		defer told.Done()
		t.once.Do(func() {
			t.p.note("Still waiting for fleetd: Amazon may be slow, or the call waits for its turn in the account's request budget.")
		})
	})
	resp, err := t.next.RoundTrip(r)
	if timer.Stop() {
		told.Done()
	}
	told.Wait()
	return resp, err
}

// CloseIdleConnections is what the client closes.
func (t *patience) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
