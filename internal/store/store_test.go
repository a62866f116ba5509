package store_test

import (
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestADatabaseThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://fleet:hunter2@127.0.0.1:1/fleet")
	require.NoError(t, err)
	defer pool.Close()
	s := store.New(pool, testKeys(t, 1))

	_, err = s.Account(t.Context(), "acme")

	e := asFleet(t, err)
	require.Equal(t, fleet.CodeUnavailable, e.Code)
	require.NotContains(t, err.Error(), "hunter2")
	require.Equal(t, fleet.CodeUnavailable, asFleet(t, s.Ping(t.Context())).Code)
}

func TestCallsWithOneKeyAtOnceCreateOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	var mu sync.Mutex
	var group sync.WaitGroup
	created := 0
	for range 8 {
		group.Go(func() {
			a, again, err := f.CreateAccount(t.Context(), plainAccount("acme"), f.by, once)
			mu.Lock()
			defer mu.Unlock()
			require.NoError(t, err)
			require.Equal(t, "acme", a.Name)
			if !again {
				created++
			}
		})
	}
	group.Wait()

	require.Equal(t, 1, created)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM log_entries"))
}

func TestAKeyIsFreeAgainWhenItsCallFailed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	_, _, err := f.CreateAccount(t.Context(), plainAccount("acme"), f.by, once)
	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)

	_, again, err := f.CreateAccount(t.Context(), plainAccount("other"), f.by, store.Idempotency{Key: "k", Hash: []byte("another")})

	require.NoError(t, err)
	require.False(t, again)
}
