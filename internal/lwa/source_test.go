package lwa

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/remote"
)

func TestTheGrantIsAFormAndTakesASlot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, "Atza|1", b.token(t))
	require.Equal(t, []url.Values{{
		"grant_type": {"refresh_token"}, "refresh_token": {"Atzr|c4nary-1"},
		"client_id": {"client"}, "client_secret": {"c4nary-secret"},
	}}, b.endpoint.forms)
	require.Equal(t, []remote.Class{remote.ClassInteractive}, b.budget.classes)
	require.Equal(t, 1, b.budget.done)
	require.Equal(t, "Atza|1", b.Current())
	require.Equal(t, "Atza|1", b.store.cred.AccessToken)
}

func TestTwoHundredCallersCauseOneRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(b *bundle, _ *Config) { b.endpoint.hold = make(chan struct{}) })
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				token, err := b.Token(t.Context())
				require.NoError(t, err)
				require.Equal(t, "Atza|1", token)
			})
		}
		synctest.Wait() // all of them wait for the one answer
		close(b.endpoint.hold)
		all.Wait()
		require.Equal(t, 1, b.endpoint.asked())
		require.Len(t, b.store.saves, 1)
	})
}

func TestThe401sOfManyWorkersRefreshOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		first := b.token(t)
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond) // virtual: some come after the refresh is over
				token, err := b.Refresh(t.Context(), first)
				require.NoError(t, err)
				require.Equal(t, "Atza|2", token)
			})
		}
		all.Wait()
		require.Equal(t, 2, b.endpoint.asked())
		require.Equal(t, "Atza|2", b.token(t))
	})
}

func TestTwoProcessesShareOneRefresh(t *testing.T) {
	t.Parallel()
	for _, rejected := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := setup(t, func(b *bundle, _ *Config) {
				b.endpoint.answer = func(nth int, _ url.Values) (*http.Response, error) {
					time.Sleep(700 * time.Millisecond)
					return good(nth, time.Hour, "")
				}
			})
			b := setup(t, func(b *bundle, _ *Config) { b.store, b.endpoint = a.store, a.endpoint })
			want := 1
			get := func(s *bundle) (string, error) { return s.Token(t.Context()) }
			if rejected {
				require.Equal(t, "Atza|1", a.token(t))
				require.Equal(t, "Atza|1", b.token(t))
				want = 2
				get = func(s *bundle) (string, error) { return s.Refresh(t.Context(), "Atza|1") }
			}
			var all sync.WaitGroup
			for _, s := range []*bundle{a, b} {
				for range 20 {
					all.Go(func() {
						token, err := get(s)
						require.NoError(t, err)
						require.Equal(t, a.store.cred.AccessToken, token)
					})
				}
			}
			all.Wait()
			require.Equal(t, want, a.endpoint.asked())
			require.True(t, a.store.lease.IsZero(), "the lease is over")
		})
	}
}

func TestAProcessThatDiesWithTheLeaseStopsNobodyForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		taken, err := b.store.AcquireLease(t.Context(), leaseTTL)
		require.NoError(t, err)
		require.True(t, taken)
		began := time.Now()
		require.Equal(t, "Atza|1", b.token(t))
		require.GreaterOrEqual(t, time.Since(began), leaseTTL)
		require.Less(t, time.Since(began), leaseTTL+time.Second)
	})
}

func TestATokenIsRefreshedEarlyAndUsedMeanwhile(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ life, early time.Duration }{
		"an hour":         {time.Hour, time.Minute},
		"fifteen seconds": {15 * time.Second, 7500 * time.Millisecond},
		"two minutes":     {2 * time.Minute, time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, answering(func(nth int, _ url.Values) (*http.Response, error) { return good(nth, tt.life, "") }))
				require.Equal(t, "Atza|1", b.token(t))
				time.Sleep(tt.life - tt.early - time.Millisecond)
				require.Equal(t, "Atza|1", b.token(t))
				synctest.Wait()
				require.Equal(t, 1, b.endpoint.asked())

				time.Sleep(2 * time.Millisecond)
				require.Equal(t, "Atza|1", b.token(t), "nobody waits while the old one is good")
				for range 50 { // the refresh may end at any time from here on
					require.Contains(t, []string{"Atza|1", "Atza|2"}, b.token(t))
				}
				synctest.Wait()
				require.Equal(t, 2, b.endpoint.asked())
				require.Equal(t, "Atza|2", b.token(t))
			})
		})
	}
}

func TestAnExpiredTokenIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		require.Equal(t, "Atza|1", b.token(t))
		time.Sleep(time.Hour)
		require.Empty(t, b.Current())
		require.Equal(t, "Atza|2", b.token(t))
	})
}

func TestAStoredTokenIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.store.cred.AccessToken, b.store.cred.ExpiresAt = "Atza|stored", time.Now().Add(30*time.Minute)
		require.Equal(t, "Atza|stored", b.token(t))
		require.Zero(t, b.endpoint.asked())
		time.Sleep(29*time.Minute + time.Second)
		b.token(t)
		synctest.Wait()
		require.Equal(t, "Atza|1", b.token(t))

		// The stored one that the API rejects is not taken over.
		token, err := b.Refresh(t.Context(), "Atza|1")
		require.NoError(t, err)
		require.Equal(t, "Atza|2", token)
	})
}

func TestARotatedRefreshTokenIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answering(func(nth int, form url.Values) (*http.Response, error) {
			if nth == 1 {
				return good(nth, time.Hour, "Atzr|c4nary-2")
			}
			if form.Get("refresh_token") != "Atzr|c4nary-2" {
				return refusal(ReasonInvalidGrant)
			}
			return good(nth, time.Hour, "")
		}))
		b.token(t)
		require.Equal(t, "Atzr|c4nary-2", b.store.cred.RefreshToken)
		time.Sleep(2 * time.Hour)
		require.Equal(t, "Atza|2", b.token(t))
		require.Equal(t, "Atzr|c4nary-2", b.store.cred.RefreshToken, "an answer without one changes nothing")
	})
}

// The caller that caused the refresh is gone when the answer comes: what it
// brought is saved all the same.
func TestARefreshOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, answering(func(nth int, _ url.Values) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return good(nth, time.Hour, "Atzr|c4nary-2")
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Token(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Error(t, b.Wait(ctx))
		require.NoError(t, b.Wait(t.Context()))
		require.Equal(t, "Atzr|c4nary-2", b.store.cred.RefreshToken)
		require.Equal(t, "Atza|1", b.token(t))
	})
}

// The operator sets a credential while the old one is being refreshed: what the
// old one brings does not overwrite the new.
func TestARefreshOfAnOldCredentialChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(b *bundle, _ *Config) {
			b.endpoint.hold = make(chan struct{})
			b.endpoint.answer = func(nth int, _ url.Values) (*http.Response, error) { return good(nth, time.Hour, "Atzr|c4nary-old") }
		})
		var all sync.WaitGroup
		all.Go(func() { _, _ = b.Token(t.Context()) })
		synctest.Wait()
		b.store.set("Atzr|c4nary-new")
		close(b.endpoint.hold)
		all.Wait()
		require.Equal(t, "Atzr|c4nary-new", b.store.cred.RefreshToken)
		require.Empty(t, b.store.cred.AccessToken)
	})
}
