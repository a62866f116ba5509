package residential

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"fleetd/internal/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	unit  = "amzn1.alexa.unit.did.U1"
	skill = "amzn1.ask.skill.S1"
)

type freeBudget struct{}

func (freeBudget) Take(ctx context.Context, _ remote.Class) (remote.Slot, error) {
	return remote.Slot{}, ctx.Err()
}
func (freeBudget) Done(context.Context, remote.Slot, remote.Answer) {}

type fixedToken struct{}

func (fixedToken) Token(context.Context) (string, error)           { return "Atza|x", nil }
func (fixedToken) Refresh(context.Context, string) (string, error) { return "Atza|y", nil }

// over makes a client on any transport.
func over(t require.TestingT, url string, base http.RoundTripper) *Client {
	c, err := remote.NewClient(remote.Config{
		Account: "acme", BaseURL: url, Tokens: fixedToken{}, Limiter: freeBudget{}, Base: base, Timeout: 5 * time.Second,
	})
	require.NoError(t, err)
	return New(c)
}

// setup makes a client on a server that h serves.
func setup(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	base := remote.NewTransport(4)
	t.Cleanup(base.CloseIdleConnections)
	return over(t, srv.URL, base)
}

// always answers every request the same.
func always(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-RequestId", "req-1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// asRemote is the remote error of a failed call.
func asRemote(t *testing.T, err error) *remote.Error {
	t.Helper()
	require.Error(t, err)
	var e *remote.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, API, e.API)
	return e
}
