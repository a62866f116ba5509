package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"fleetd/internal/notifications/sns"
	"fleetd/internal/store"
)

// oneHook is the hook of every account.
type oneHook struct{ HookStore }

func (oneHook) EventAccess(_ context.Context, account string) (store.EventAccess, bool, error) {
	return store.EventAccess{AccountID: 1, Account: account, Topics: []string{"arn:of:acme"}}, true, nil
}

// doubter takes no message.
type doubter struct{ MessageVerifier }

func (doubter) Verify(context.Context, sns.Delivery) (sns.Message, error) {
	return sns.Message{}, &sns.Refusal{Reason: sns.ReasonSignature, Status: http.StatusForbidden, Detail: "no"}
}

// A body has its few seconds as a whole, however steadily it trickles, also one that is
// only read away.
func TestABodyOfTheHookEndsInTime(t *testing.T) {
	t.Parallel()
	for name, topic := range map[string]string{"read": "arn:of:acme", "read away": "arn:of:others"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.Handle("POST /hooks/sns/{account}", newHooks(Config{
				Hooks: oneHook{}, Verifier: doubter{}, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Registry: prometheus.NewRegistry(),
			}))
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/sns/acme", strings.NewReader("{}"))
			r.Header.Set("X-Amz-Sns-Topic-Arn", topic)
			start := time.Now()

			bareServer(io.Discard).outer(mux).ServeHTTP(w, r)

			require.Equal(t, http.StatusForbidden, w.Code)
			require.NotEmpty(t, w.read)
			require.WithinRange(t, w.read[0], start.Add(hookReadTime), time.Now().Add(hookReadTime))
		})
	}
}
