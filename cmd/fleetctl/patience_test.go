package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const stillWaiting = "Still waiting for fleetd: Amazon may be slow, or the call waits for its turn in the account's request budget.\n"

// telltale closes said with the first byte that is written.
type telltale struct {
	*lockedBuffer

	once sync.Once
	said chan struct{}
}

func (w *telltale) Write(b []byte) (int, error) {
	defer w.once.Do(func() { close(w.said) })
	return w.lockedBuffer.Write(b)
}

func TestACallThatTakesLongIsSaidToOnce(t *testing.T) {
	t.Parallel()
	w := &telltale{lockedBuffer: &lockedBuffer{}, said: make(chan struct{})}
	f := newFake(t, map[string][]reply{"GET /accounts/acme/skills": {{next: func(rw http.ResponseWriter, r *http.Request) {
		select { // the answer comes when something was said
		case <-w.said:
		case <-r.Context().Done():
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"items":[],"next_cursor":""}`))
	}}}})
	c := newConsole(t, f)
	c.stderr, c.slowAfter = w, time.Millisecond
	require.Equal(t, exitDone, c.do(t, strings.Fields("skill list --account acme -o json")...))
	require.Equal(t, stillWaiting, w.String())
	require.JSONEq(t, `{"items":[],"next_cursor":""}`, c.out.String())
}

func TestWhatIsSaidToTakeLong(t *testing.T) {
	t.Parallel()
	for call, want := range map[string]bool{
		"GET /api/v1/accounts/acme/skills":                    true,
		"GET /api/v1/accounts/acme/skills/s/status":           true,
		"GET /api/v1/accounts/acme/skills/s/status?wait=0":    true,
		"GET /api/v1/accounts/acme/skills/s/status?wait=20":   false,
		"POST /api/v1/accounts/acme/check":                    true,
		"GET /api/v1/accounts/acme/customer/endpoint":         true,
		"GET /api/v1/accounts/acme/subscriptions/n1":          true,
		"POST /api/v1/rollouts/plan":                          true,
		"POST /api/v1/rollouts":                               true,
		"GET /api/v1/rollouts/ro-1":                           false,
		"GET /api/v1/accounts/acme":                           false,
		"GET /api/v1/accounts/acme/credentials":               false,
		"POST /api/v1/units/import":                           false,
		"GET /api/v1/accounts/check/credentials":              false,
		"POST /api/v1/rollouts/ro-1/resume":                   true,
		"POST /api/v1/rollouts/ro-1/rollback":                 true,
		"POST /api/v1/rollouts/ro-1/rollback/plan":            true,
		"POST /api/v1/rollouts/ro-1/pause":                    false,
		"POST /api/v1/drift/repair":                           true,
		"GET /api/v1/rollouts":                                false,
		"GET /api/v1/drift":                                   false,
		"GET /prefix/api/v1/accounts/acme/skills?skill_id=s1": true,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newConsole(t, nil)
			p := c.patience()
			took := slowAfter - time.Second
			p.next = roundTripper(func(*http.Request) (*http.Response, error) {
				time.Sleep(took)
				return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
			})
			for _, says := range []string{"", stillWaiting, stillWaiting} { // once
				method, path, _ := strings.Cut(call, " ")
				r, err := http.NewRequestWithContext(t.Context(), method, "http://x.example"+path, http.NoBody)
				require.NoError(t, err)
				resp, err := p.RoundTrip(r)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				if !want {
					says = ""
				}
				require.Equal(t, says, c.err.String(), call)
				took = time.Minute
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
