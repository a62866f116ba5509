package lwa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

func TestARefusedCredentialStopsTheAccountAndNamesTheMend(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		ReasonInvalidGrant:    "fleetctl account set acme --refresh-token-file F",
		ReasonInvalidClient:   "fleetctl account set acme --client-id ID --client-secret-file F --refresh-token-file F",
		"unauthorized_client": "fleetctl account set acme",
		"invalid_request":     "fleetctl account set acme",
	}
	for code, mend := range tests {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				b := setup(t, func(_ *bundle, c *Config) { c.Metrics = NewMetrics(reg) },
					answering(func(nth int, form url.Values) (*http.Response, error) {
						if form.Get("refresh_token") == "Atzr|c4nary-new" {
							return good(nth, time.Hour, "")
						}
						return refusal(code)
					}))
				for range 3 {
					_, err := b.Token(t.Context())
					var e *UnauthorizedError
					require.ErrorAs(t, err, &e)
					require.Equal(t, UnauthorizedError{Account: "acme", Kind: fleet.CredentialEnterprise, Reason: code}, *e)
					require.False(t, e.Temporary())
					require.ErrorContains(t, err, mend)
					require.NotContains(t, err.Error(), "c4nary")
				}
				require.Equal(t, 1, b.endpoint.asked(), "it is not asked again until it is mended")
				require.Len(t, b.store.marks, 1)
				require.Contains(t, b.store.marks[0], code)
				require.NotContains(t, b.store.marks[0], "c4nary")
				require.True(t, b.store.lease.IsZero(), "the lease is over")

				b.store.set("Atzr|c4nary-new")
				require.Equal(t, "Atza|2", b.token(t), "it works again at once")

				require.InDelta(t, 1, testutil.ToFloat64(b.cfg.Metrics.refreshes.WithLabelValues("acme", "unauthorized")), 0)
				require.InDelta(t, 1, testutil.ToFloat64(b.cfg.Metrics.refreshes.WithLabelValues("acme", "success")), 0)
				problems, err := testutil.GatherAndLint(reg)
				require.NoError(t, err)
				require.Empty(t, problems)
			})
		})
	}
}

// Each kind of credential is mended by the command that sets it.
func TestARefusedCredentialOfAnotherKindNamesItsMend(t *testing.T) {
	t.Parallel()
	for kind, want := range map[fleet.CredentialKind]string{
		fleet.CredentialDeveloper: "the developer credential of account acme is not authorized: Login with Amazon refused its refresh token (invalid_grant); set a new one with " +
			"fleetctl account credential set acme --kind developer --client-id ID --client-secret-file F --refresh-token-file F --vendor-id V",
		fleet.CredentialCustomer: "the customer credential of account acme is not authorized: Login with Amazon refused its refresh token (invalid_grant); set a new one with " +
			"fleetctl account credential set acme --kind customer --client-id ID --client-secret-file F --refresh-token-file F",
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, func(_ *bundle, c *Config) { c.Kind = kind },
					answering(func(int, url.Values) (*http.Response, error) { return refusal(ReasonInvalidGrant) }))
				_, first := b.Token(t.Context())
				_, again := b.Token(t.Context())
				require.EqualError(t, first, want)
				require.EqualError(t, again, want)
				require.Len(t, b.store.marks, 1)
				require.Contains(t, b.store.marks[0], want)
			})
		})
	}
}

// Another process rotated the refresh token, or the operator set one, between the
// load and the refusal: the new one is tried, and nobody is marked.
func TestARefusalOfAnOldCredentialIsNotBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answering(func(nth int, form url.Values) (*http.Response, error) {
			if form.Get("refresh_token") == "Atzr|c4nary-1" {
				return refusal(ReasonInvalidGrant)
			}
			return good(nth, time.Hour, "")
		}))
		b.store.onLoad = func(nth int, cred *Credential) {
			if nth == 3 { // the first, the one under the lease, the one after the refusal
				cred.RefreshToken = "Atzr|c4nary-2"
			}
		}
		require.Equal(t, "Atza|2", b.token(t))
		require.Empty(t, b.store.marks)
	})
}

func TestAFailingEndpointIsAskedAgainAndRefusesNobody(t *testing.T) {
	t.Parallel()
	tests := map[string]func() (*http.Response, error){
		"500":               func() (*http.Response, error) { return respond(500, `{"error":"server_error"}`) },
		"500 invalid_grant": func() (*http.Response, error) { return respond(500, `{"error":"invalid_grant"}`) },
		"503 html":          func() (*http.Response, error) { return respond(503, "<html>", "Content-Type", "text/html") },
		"429":               func() (*http.Response, error) { return respond(429, `{"error":"slow_down"}`, "Retry-After", "3") },
		"200 html":          func() (*http.Response, error) { return respond(200, "<html>", "Content-Type", "text/html") },
		"200 empty":         func() (*http.Response, error) { return respond(200, ``) },
		"200 truncated":     func() (*http.Response, error) { return respond(200, `{"access_token":"Atza|c4nary`) },
		"200 no token":      func() (*http.Response, error) { return respond(200, `{"token_type":"bearer"}`) },
		"200 odd token":     func() (*http.Response, error) { return respond(200, `{"access_token":"a\r\nb"}`) },
		"200 huge token": func() (*http.Response, error) {
			return respond(200, `{"access_token":"`+strings.Repeat("c4nary", 999)+`"}`)
		},
		"200 huge": func() (*http.Response, error) { return respond(200, strings.Repeat("c4nary", 1<<18)) },
		"lost":     func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"quoting":  func() (*http.Response, error) { return nil, errors.New(`malformed HTTP response "c4nary"`) },
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answering(func(nth int, _ url.Values) (*http.Response, error) {
					if nth < 3 {
						return answer()
					}
					return good(nth, time.Hour, "")
				}))
				began := time.Now()
				require.Equal(t, "Atza|3", b.token(t))
				require.Empty(t, b.store.marks)
				require.Len(t, b.budget.classes, 3, "each try has a slot")
				require.Equal(t, 3, b.budget.done)
				if name == "429" {
					require.GreaterOrEqual(t, time.Since(began), 6*time.Second)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answering(func(int, url.Values) (*http.Response, error) { return answer() }))
				_, err := b.Token(t.Context())
				var e *TokenError
				require.ErrorAs(t, err, &e)
				require.True(t, e.Temporary())
				require.NotContains(t, err.Error(), "c4nary")
				require.Greater(t, b.endpoint.asked(), 3)
				require.Less(t, b.endpoint.asked(), 20)
				require.Empty(t, b.store.marks)
			})
		})
	}
}

func TestAWrongAddressIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answering(func(int, url.Values) (*http.Response, error) {
			return respond(http.StatusNotFound, "<html>", "X-Amzn-RequestId", "req-7")
		}))
		for range 5 {
			_, err := b.Token(t.Context())
			var e *TokenError
			require.ErrorAs(t, err, &e)
			require.Equal(t, 404, e.Status)
			require.Equal(t, "req-7", e.RequestID)
			require.ErrorContains(t, err, "check the account's token URL")
		}
		require.Equal(t, 1, b.endpoint.asked(), "the failure is shared for a moment")
		time.Sleep(2 * time.Second)
		_, err := b.Token(t.Context())
		require.Error(t, err)
		require.Equal(t, 2, b.endpoint.asked(), "the lease is still ours")
	})
}

func TestAHangingEndpointTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(b *bundle, _ *Config) { b.endpoint.hold = make(chan struct{}) })
		began := time.Now()
		_, err := b.Token(t.Context())
		require.ErrorIs(t, err, remote.ErrTimeout)
		require.LessOrEqual(t, time.Since(began), flightTimeout+time.Second)
		require.GreaterOrEqual(t, b.endpoint.asked(), 2)
	})
}

func TestAnOldTokenOutlivesAnOutageOfTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := false
		b := setup(t, answering(func(nth int, _ url.Values) (*http.Response, error) {
			if down {
				return respond(404, "")
			}
			return good(nth, time.Hour, "")
		}))
		require.Equal(t, "Atza|1", b.token(t))
		time.Sleep(59*time.Minute + time.Second)
		down = true
		for range 100 {
			require.Equal(t, "Atza|1", b.token(t))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		require.LessOrEqual(t, b.endpoint.asked(), 5, "not once for each caller")
		down = false
		time.Sleep(7 * time.Second)
		b.token(t)
		time.Sleep(leaseTTL / 2) // our own last lease may have to end first
		require.NotEqual(t, "Atza|1", b.token(t))
	})
}

func TestABudgetThatIsClosedIsThrottling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.budget.err = &remote.BudgetError{Until: time.Now().Add(time.Hour)}
		_, err := b.Token(t.Context())
		var closed *remote.BudgetError
		require.ErrorAs(t, err, &closed)
		require.Zero(t, b.endpoint.asked())
		b.budget.err = nil
		require.Equal(t, "Atza|1", b.token(t))
	})
}

func TestATokenThatTheStoreDoesNotTakeIsUsedAndSavedLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("database is away")
		b := setup(t, answering(func(nth int, _ url.Values) (*http.Response, error) {
			return good(nth, time.Hour, fmt.Sprintf("Atzr|c4nary-%d", nth+1))
		}))
		b.store.saveErr = func(int) error { return away }
		require.Equal(t, "Atza|1", b.token(t))
		require.Empty(t, b.store.saves)
		require.Contains(t, b.logs.String(), "refreshed token not saved")
		b.store.saveErr = nil
		time.Sleep(2 * time.Hour)
		require.Equal(t, "Atza|2", b.token(t))
		require.Equal(t, "Atzr|c4nary-2", b.endpoint.forms[1].Get("refresh_token"), "the rotated one was not lost")
		require.Equal(t, "Atzr|c4nary-3", b.store.cred.RefreshToken)
	})
}

func TestASaveIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.store.saveErr = func(nth int) error {
			if nth < 3 {
				return errors.New("connection lost")
			}
			return nil
		}
		require.Equal(t, "Atza|1", b.token(t))
		require.Len(t, b.store.saves, 1)
	})
}

func TestALoadThatFailsIsNotAMissingCredential(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.store.loadErr = context.DeadlineExceeded
		_, err := b.Token(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "load the credential of account acme")
	})
}

func TestAnEndpointThatRepeatsTheRejectedTokenIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answering(func(int, url.Values) (*http.Response, error) { return good(1, time.Hour, "") }))
		first := b.token(t)
		_, err := b.Refresh(t.Context(), first)
		var e *TokenError
		require.ErrorAs(t, err, &e)
		require.LessOrEqual(t, b.endpoint.asked(), 3)
	})
}

// A redirect would carry the credential to wherever it points.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var once sync.Once
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		once.Do(func() { t.Error("the credential went elsewhere") })
	}))
	t.Cleanup(elsewhere.Close)
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(srv.Close)
	transport := remote.NewTransport(1)
	t.Cleanup(transport.CloseIdleConnections)
	b := setup(t, func(_ *bundle, c *Config) {
		c.TokenURL, c.HTTPClient = srv.URL, &http.Client{Transport: transport}
	})
	_, err := b.Token(t.Context())
	var e *TokenError
	require.ErrorAs(t, err, &e)
	require.Equal(t, 307, e.Status)
}

func TestNewSourceRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	ok := Config{Account: "acme", Store: newStore(), Limiter: &budget{}}
	s, err := NewSource(ok)
	require.NoError(t, err)
	require.Equal(t, DefaultTokenURL, s.cfg.TokenURL)
	for want, change := range map[string]func(*Config){
		"Account": func(c *Config) { c.Account = "" },
		"Store":   func(c *Config) { c.Store = nil },
		"Limiter": func(c *Config) { c.Limiter = nil },
		"Skew":    func(c *Config) { c.Skew = -1 },
		"Timeout": func(c *Config) { c.Timeout = -1 },
	} {
		cfg := ok
		change(&cfg)
		_, err := NewSource(cfg)
		require.ErrorContains(t, err, want)
	}
	for _, u := range []string{"ftp://x", "lwa.example/token", "https://", "https://a:c4nary@x", "http://x/#f", "http://c4nary:\x7f"} {
		cfg := ok
		cfg.TokenURL = u
		_, err := NewSource(cfg)
		require.ErrorContains(t, err, "token URL", u)
		require.NotContains(t, err.Error(), "c4nary")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	cred := newStore().cred
	cred.AccessToken = "Atza|c4nary"
	save := SaveParams{AccessToken: "Atza|c4nary", RefreshToken: "Atzr|c4nary", RefreshTokenUsed: "Atzr|c4nary"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, cred), "c4nary")
		require.NotContains(t, fmt.Sprintf(verb, save), "c4nary")
		require.NotContains(t, fmt.Sprintf(verb, &save), "c4nary")
	}
	require.NotContains(t, cred.LogValue().String(), "c4nary")
	require.NotContains(t, save.LogValue().String(), "c4nary")
}

// Whatever the endpoint answers, there is a token that fits a header or an error
// without a word of the answer's secrets, and nobody is marked by a server error.
func FuzzTokenAnswer(f *testing.F) {
	for _, s := range []string{
		`{"access_token":"Atza|x","refresh_token":"Atzr|y","token_type":"bearer","expires_in":3600}`, `{"access_token":"x","expires_in":"15"}`,
		`{"error":"invalid_grant"}`, `{"access_token":"c4nary`, `access_token=x&expires_in=9`, `null`, ``, `<html>`, `{"access_token":"x","expires_in":-1}`,
	} {
		f.Add(200, "application/json", []byte(s))
		f.Add(400, "text/plain", []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		b := &bundle{store: newStore(), budget: &budget{}, endpoint: &endpoint{answer: func(int, url.Values) (*http.Response, error) {
			return respond(status, string(body), "Content-Type", contentType)
		}}}
		source, err := NewSource(Config{Account: "acme", Store: b.store, Limiter: b.budget, HTTPClient: &http.Client{Transport: b.endpoint}})
		require.NoError(t, err)
		p, life, err := source.grant(t.Context(), b.store.cred)
		if err == nil {
			require.NoError(t, checkToken(p.AccessToken))
			require.Positive(t, life)
			require.LessOrEqual(t, life, maxLifetime)
			require.True(t, p.RefreshToken == "" || checkToken(p.RefreshToken) == nil)
			return
		}
		require.NotContains(t, err.Error(), "c4nary")
		if refused, ok := errors.AsType[*refusedError](err); ok {
			require.Less(t, status, 500)
			require.NotEmpty(t, refused.code)
		}
	})
}
