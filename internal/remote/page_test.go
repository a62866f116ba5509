package remote

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What stands before the API answers with pages, of every status: none is the API's
// word, and what mends the API's refusals does not mend these.
func TestAWebPageIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	const mend = "something before the API answered, with a web page: check the account's API URL and the way there"
	bare := strings.Replace(mend, ", with a web page", "", 1)
	for status, says := range map[int]string{
		http.StatusOK:              "the API answered 200 OK (request ID req-1): the answer cannot be read: it is a web page; " + bare,
		http.StatusForbidden:       "the API answered 403 Forbidden (request ID req-1); " + mend,
		http.StatusNotFound:        "the API answered 404 Not Found (request ID req-1); " + mend,
		http.StatusTooManyRequests: "the API answered 429 Too Many Requests (request ID req-1): wait for a slot of the budget: no more slots",
		http.StatusBadGateway:      "the API answered 502 Bad Gateway (request ID req-1)",
	} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-RequestId", "req-1")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "\n<html><body>Website Temporarily Unavailable</body></html>")
		})
		b := setup(t, srv.URL)
		b.budget.refuse = onlyOnce
		r := get()
		r.Advice = map[int]string{http.StatusForbidden: "ask for the scope", http.StatusNotFound: "check the ID"}
		e := b.fail(t, b.ctx, r)
		require.True(t, e.HTML)
		require.Equal(t, "test read: "+says, e.Error())
	}
}

func TestAWriteInDoubtNamesTheCommandThatReads(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	b := setup(t, srv.URL)
	r := post()
	r.Look = "fleetctl thing list"
	require.ErrorContains(t, b.fail(t, b.ctx, r), "whether it was done is not known: read before writing again, with `fleetctl thing list --account acme`")
	e := b.client.Unreadable(r, Meta{Status: http.StatusCreated, RequestID: "req-1"}, ErrUnreadable)
	require.True(t, e.MaybeSent())
	require.ErrorIs(t, e, ErrUnreadable)
	require.ErrorContains(t, e, "test write: the API answered 201 Created (request ID req-1): the answer cannot be read; whether it was done is not known")
	require.False(t, b.client.Unreadable(get(), Meta{}, ErrUnreadable).MaybeSent())
}
