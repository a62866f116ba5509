package remote

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func readOnlyBase(c *Config) { c.Base = ReadOnly(c.Base) }

func TestReadOnlyLetsNoWriteLeave(t *testing.T) {
	t.Parallel()
	put := Request{API: "test", Operation: "replace", Method: http.MethodPut, Path: "/v1/thing", Body: answer{"please"}}
	odd := Request{API: "test", Operation: "odd", Method: "get", Path: "/v1/thing"} // methods are case-sensitive
	for _, r := range []Request{post(), del(), put, odd} {
		t.Run(r.Method, func(t *testing.T) {
			t.Parallel()
			b := setup(t, serve(t, unreachable(t)).URL, readOnlyBase)
			e := b.fail(t, b.ctx, r)
			require.ErrorIs(t, e, ErrReadOnly)
			require.Contains(t, e.Error(), "test "+r.Operation)
			require.False(t, e.MaybeSent())
			require.False(t, e.Temporary())
			require.Zero(t, e.Status)
			require.Zero(t, b.counter.Requests)
		})
	}
}

// Whatever transport lies beneath, a refused write is in no doubt.
func TestReadOnlyOverAnyTransport(t *testing.T) {
	t.Parallel()
	b := setup(t, "http://api.example", func(c *Config) {
		c.Base = ReadOnly(roundTripper(func(*http.Request) (*http.Response, error) {
			t.Error("it was sent")
			return nil, http.ErrHandlerTimeout
		}))
	})
	e := b.fail(t, b.ctx, post())
	require.ErrorIs(t, e, ErrReadOnly)
	require.False(t, e.MaybeSent())
}

// Outside of Do there is no operation to name; the method will do.
func TestReadOnlyByItself(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://api.example", nil)
	require.NoError(t, err)
	_, err = ReadOnly(http.DefaultTransport).RoundTrip(req) //nolint:bodyclose // There is no answer.
	require.ErrorIs(t, err, ErrReadOnly)
	require.ErrorContains(t, err, http.MethodDelete)
}

func TestReadOnlyReads(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"word":"ok"}`)) })
	b := setup(t, srv.URL, readOnlyBase)
	var out answer
	_, err := b.client.Do(b.ctx, get(), &out)
	require.NoError(t, err)
	require.Equal(t, "ok", out.Word)
	require.Equal(t, 1, b.counter.Requests)
}
