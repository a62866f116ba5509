package lwa

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
)

// A token answer is one by what is in it: some gateways name JSON text/plain, or not
// at all.
func TestATokenAnswerCountsWhateverItIsCalled(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "text/html", "", ";"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answering(func(nth int, _ url.Values) (*http.Response, error) {
					resp, err := good(nth, time.Hour, "")
					resp.Header.Set("Content-Type", kind)
					return resp, err
				}))
				require.Equal(t, "Atza|1", b.token(t))
			})
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answering(func(int, url.Values) (*http.Response, error) {
					resp, err := refusal(ReasonInvalidGrant)
					resp.Header.Set("Content-Type", kind)
					return resp, err
				}))
				_, err := b.Token(t.Context())
				var refused *UnauthorizedError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, ReasonInvalidGrant, refused.Reason)
			})
		})
	}
}

func TestWhatIsNoTokenAnswerIsSaid(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"\n<html>c4nary</html>": "the developer credential of account acme: get an access token from Login with Amazon: status 200 OK, request ID req-7: " +
			"a web page came, not a token answer; check the account's token URL",
		`{"c4nary":1}`: "the developer credential of account acme: get an access token from Login with Amazon: status 200 OK, request ID req-7: " +
			"the answer cannot be read, or is not a token answer; check the account's token URL",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, func(_ *bundle, c *Config) { c.Kind = fleet.CredentialDeveloper },
				answering(func(int, url.Values) (*http.Response, error) {
					return respond(http.StatusOK, body, "X-Amzn-RequestId", "req-7")
				}))
			_, err := b.Token(t.Context())
			require.EqualError(t, err, want)
		})
	}
}

// A caller may have less time than a refresh with all its tries: it is told what they
// came to so far, and not that a deadline passed.
func TestACallerWhoseTimeEndsHearsWhyThereIsNoToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answering(func(int, url.Values) (*http.Response, error) {
			return respond(http.StatusServiceUnavailable, "<html>", "X-Amzn-RequestId", "req-7")
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := b.Token(ctx)
		var e *TokenError
		require.ErrorAs(t, err, &e)
		require.Equal(t, http.StatusServiceUnavailable, e.Status)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "status 503 Service Unavailable, request ID req-7: a web page came")
		require.NoError(t, b.Wait(t.Context()))
	})
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answering(func(int, url.Values) (*http.Response, error) { return respond(http.StatusServiceUnavailable, "") }))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		_, err := b.Token(ctx)
		require.Equal(t, context.Canceled, err, "who went away is not told")
		require.NoError(t, b.Wait(t.Context()))
	})
}

func TestARefusedScopeOrClientNamesWhatComesBeforeANewToken(t *testing.T) {
	t.Parallel()
	for kind, scope := range map[fleet.CredentialKind]string{
		fleet.CredentialEnterprise: "alexa::enterprise:management",
		fleet.CredentialDeveloper:  "alexa::ask:skills:readwrite",
		fleet.CredentialCustomer:   "alexa::skills:account_linking",
	} {
		err := &UnauthorizedError{Account: "acme", Kind: kind, Reason: ReasonInvalidScope}
		require.ErrorContains(t, err, "refused the scope of its refresh token (invalid_scope); have its user consent anew, to the scope "+scope+
			", and set the refresh token of that with fleetctl account ")
	}
	require.ErrorContains(t, &UnauthorizedError{Account: "acme", Reason: ReasonUnauthorizedClient}, "refused its client (unauthorized_client); "+
		"check that the refresh token was granted to this client ID, and that its security profile may use it, then set a new one with fleetctl account set acme ")
}
