package sns

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Bounds of what a flood of forged messages can cost. A forger who knows a topic can
// name as many addresses at hosts of SNS as he likes; each is asked once in badFor,
// and all of them together fetchBurst at once and one in fetchEvery after that.
// Certificates that are known already are not touched by it.
const (
	maxGood    = 64  // certificates known; only those that were found good
	maxBad     = 256 // addresses known to hold none
	badFor     = time.Minute
	failedFor  = 5 * time.Second // where it may pass
	fetchBurst = 10
	fetchEvery = 3 * time.Second
)

// keyring holds the certificates that were fetched, by their URL.
type keyring struct {
	flights singleflight.Group

	mu     sync.Mutex
	good   map[string]signer
	bad    map[string]bad
	tokens float64 // fetches that may be made now
	filled time.Time
}

// bad is an address that was asked in vain.
type bad struct {
	refusal *Refusal
	until   time.Time
}

func (k *keyring) init(now time.Time) {
	k.good, k.bad = map[string]signer{}, map[string]bad{}
	k.tokens, k.filled = fetchBurst, now
}

// key returns the key of the certificate at a place, fetched once for all who wait.
func (v *Verifier) key(ctx context.Context, p place) (*rsa.PublicKey, error) {
	if s, refusal, known := v.keys.look(p.url, v.now()); refusal != nil {
		return nil, refusal
	} else if known {
		return s.key, nil
	}
	// The first to ask may go away; the others still wait.
	shared := context.WithoutCancel(ctx)
	answer := v.keys.flights.DoChan(p.url, func() (any, error) {
		if s, refusal, known := v.keys.look(p.url, v.now()); refusal != nil {
			return nil, refusal
		} else if known {
			return s, nil
		}
		if !v.keys.take(v.now()) {
			return nil, refuse(ReasonUnavailable, "too many certificates were asked for: somebody sends forged messages")
		}
		s, err := v.load(shared, p)
		v.keys.keep(p.url, s, err, v.now())
		return s, err
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("verify an SNS message: %w", ctx.Err())
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.(signer).key, nil
	}
}

// look returns what is known of an address.
func (k *keyring) look(url string, now time.Time) (s signer, refusal *Refusal, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if b, ok := k.bad[url]; ok && now.Before(b.until) {
		return signer{}, b.refusal, true
	}
	s, ok := k.good[url]
	if !ok || now.Before(s.notBefore) || now.After(s.notAfter) {
		return signer{}, nil, false
	}
	return s, nil, true
}

// take spends one fetch of the budget.
func (k *keyring) take(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if since := now.Sub(k.filled); since > 0 {
		k.tokens = min(fetchBurst, k.tokens+float64(since)/float64(fetchEvery))
		k.filled = now
	}
	if k.tokens < 1 {
		return false
	}
	k.tokens--
	return true
}

// keep remembers what became of a fetch.
func (k *keyring) keep(url string, s signer, err error, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		delete(k.bad, url)
		k.good[url] = s
		trim(k.good, maxGood, func(s signer) time.Time { return s.notAfter })
		return
	}
	until := now.Add(badFor)
	if refusal.Temporary() {
		until = now.Add(failedFor)
	}
	k.bad[url] = bad{refusal: refusal, until: until}
	trim(k.bad, maxBad, func(b bad) time.Time { return b.until })
}

// trim takes out the entries that end first until at most limit are left.
func trim[V any](m map[string]V, limit int, end func(V) time.Time) {
	for len(m) > limit {
		var first string
		found := false
		for url, v := range m {
			if !found || end(v).Before(end(m[first])) {
				first, found = url, true
			}
		}
		delete(m, first)
	}
}
