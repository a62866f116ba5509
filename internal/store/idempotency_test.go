package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestAKeyIsRememberedForADay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	_, _, err := f.CreateAccount(t.Context(), plainAccount("acme"), f.by, once)
	require.NoError(t, err)
	age := func(hours float64) {
		_, err := f.pool.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - make_interval(secs => $1)", hours*3600)
		require.NoError(t, err)
	}

	age(23.9)
	n, err := f.ForgetIdempotencyKeys(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, n)
	_, again, err := f.CreateAccount(t.Context(), plainAccount("acme"), f.by, once)
	require.NoError(t, err)
	require.True(t, again)

	age(24.1)
	n, err = f.ForgetIdempotencyKeys(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, again, err = f.CreateAccount(t.Context(), plainAccount("other"), f.by, store.Idempotency{Key: "k", Hash: []byte("another")})
	require.NoError(t, err)
	require.False(t, again, "the key is free again")
}

func TestOldKeysAreForgottenAFewAtATimeAndTheOldestFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.pool.Exec(t.Context(), `
		INSERT INTO idempotency_keys (actor, key, request_hash, object, created_at)
		SELECT 'ann', n::text, '', '', now() - make_interval(hours => 24 + n)
		FROM generate_series(1, 7) AS n`)
	require.NoError(t, err)
	// Another process is deleting the oldest.
	tx, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), "SELECT FROM idempotency_keys WHERE key = '7' FOR UPDATE")
	require.NoError(t, err)

	var deleted []int
	for range 3 {
		n, err := f.ForgetIdempotencyKeys(t.Context(), 4)
		require.NoError(t, err)
		deleted = append(deleted, n)
		if len(deleted) == 1 {
			require.Equal(t, 2, f.count(t, "SELECT count(*) FROM idempotency_keys WHERE key IN ('1', '2')"))
		}
	}
	require.Equal(t, []int{4, 2, 0}, deleted)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM idempotency_keys"))
}

// A call that creates elsewhere is made once, also where fleetd dies before it knows
// what came of it.
func TestACallIsBegunOnceAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	conflict := func(err error) {
		t.Helper()
		var e *fleet.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, fleet.CodeConflict, e.Code)
		require.ErrorContains(t, err, "look whether it was done")
	}
	object, err := f.BeginCall(ctx, f.by, once)
	require.NoError(t, err)
	require.Empty(t, object)
	_, err = f.BeginCall(ctx, f.by, once)
	conflict(err)
	_, err = f.BeginCall(ctx, f.by, store.Idempotency{Key: "k", Hash: []byte("another")})
	require.ErrorContains(t, err, "used before for another request")
	object, err = f.BeginCall(ctx, fleet.Actor{Name: "bob"}, once)
	require.NoError(t, err)
	require.Empty(t, object, "keys are each caller's own")

	require.NoError(t, f.EndCall(ctx, f.by, once, ""))
	object, err = f.BeginCall(ctx, f.by, once)
	require.NoError(t, err)
	require.Empty(t, object, "nothing was created: the key is free again")

	require.NoError(t, f.EndCall(ctx, f.by, once, "amzn1.ask.skill.1"))
	object, err = f.BeginCall(ctx, f.by, once)
	require.NoError(t, err)
	require.Equal(t, "amzn1.ask.skill.1", object)
	require.NoError(t, f.EndCall(ctx, f.by, once, ""))
	object, err = f.BeginCall(ctx, f.by, once)
	require.NoError(t, err)
	require.Equal(t, "amzn1.ask.skill.1", object, "what was created stays")

	for range 2 {
		object, err = f.BeginCall(ctx, f.by, store.Idempotency{})
		require.NoError(t, err)
		require.Empty(t, object, "no key, no memory")
	}
	require.NoError(t, f.EndCall(ctx, f.by, store.Idempotency{}, "x"))
}
