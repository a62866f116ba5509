package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// IdempotencyAge is how long a key is remembered at least, as the API promises.
const IdempotencyAge = 24 * time.Hour

// ForgetIdempotencyKeys deletes keys that are older than IdempotencyAge, the oldest
// first and at most so many: fewer deleted than that means that none is left.
func (s *Store) ForgetIdempotencyKeys(ctx context.Context, most int) (int, error) {
	n, err := s.q().IdempotencyForget(ctx, db.IdempotencyForgetParams{
		AgeSeconds: IdempotencyAge.Seconds(), MaxRows: int32(most), //nolint:gosec // A batch is small.
	})
	if err != nil {
		return 0, mapError(fmt.Errorf("forget idempotency keys: %w", err))
	}
	return int(n), nil
}

// claimIdempotency takes a key for a creating call inside its transaction. It
// returns the object the key's first call created ("" when this is that call,
// which then must call keepIdempotency before it commits).
//
// A second call with the key while the first is still running waits for it: the
// insert blocks on the first one's row, and a first call that rolls back leaves
// the key free.
func claimIdempotency(ctx context.Context, tx querier, actor fleet.Actor, k Idempotency) (object string, err error) {
	if k.Key == "" {
		return "", nil
	}
	q := db.New(tx)
	claimed, err := q.IdempotencyClaim(ctx, db.IdempotencyClaimParams{Actor: actor.Name, Key: k.Key, RequestHash: k.Hash})
	if err != nil {
		return "", fmt.Errorf("claim idempotency key: %w", err)
	}
	if claimed == 1 {
		return "", nil
	}
	object, err = usedFor(ctx, q, actor, k)
	if err == nil && object == "" {
		return "", &fleet.Error{Code: fleet.CodeUnavailable, Message: "the idempotency key was being given up by another call; try again"}
	}
	return object, err
}

// usedFor is what was created with a key, empty where it was not used. A key that was used
// for another request is an error.
func usedFor(ctx context.Context, q *db.Queries, actor fleet.Actor, k Idempotency) (object string, err error) {
	if k.Key == "" {
		return "", nil
	}
	kept, err := q.IdempotencyGet(ctx, db.IdempotencyGetParams{Actor: actor.Name, Key: k.Key})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", mapError(fmt.Errorf("read idempotency key: %w", err))
	}
	if !bytes.Equal(kept.RequestHash, k.Hash) {
		return "", fleet.Invalidf("Idempotency-Key",
			"the key %q was used before for another request; send the same request again, or use a new key for this one", k.Key)
	}
	return kept.Object, nil
}

// keepIdempotency writes down what the call that claimed the key created.
func keepIdempotency(ctx context.Context, tx querier, actor fleet.Actor, k Idempotency, object string) error {
	if k.Key == "" {
		return nil
	}
	err := db.New(tx).IdempotencyKeep(ctx, db.IdempotencyKeepParams{Actor: actor.Name, Key: k.Key, Object: object})
	if err != nil {
		return fmt.Errorf("keep idempotency key: %w", err)
	}
	return nil
}

// BeginCall takes a key for a call that creates something elsewhere than in this
// database, before it is sent: the two share no transaction. It returns what the key's
// first call created, "" when this is that call, which then must call EndCall. A key
// whose first call has not ended is a conflict: whether it created anything is not
// known, and a second one is not sent.
func (s *Store) BeginCall(ctx context.Context, by fleet.Actor, k Idempotency) (object string, err error) {
	if k.Key == "" {
		return "", nil
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if object, err = claimIdempotency(ctx, tx, by, k); err != nil || object != "" {
			return err
		}
		return keepIdempotency(ctx, tx, by, k, callBegun)
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("begin a call: %w", err)
	case object == callBegun:
		return "", &fleet.Error{
			Code: fleet.CodeConflict, Field: "Idempotency-Key",
			Message: fmt.Sprintf("a call with the key %q was begun and has not ended, so what it did is not known: "+
				"look whether it was done, and if not, use a new key", k.Key),
		}
	}
	return object, nil
}

// callBegun stands for the object of a call that has not ended. No ID has a space.
const callBegun = "not ended"

// EndCall writes down what a call that began with BeginCall created. With nothing
// created the key is free again.
func (s *Store) EndCall(ctx context.Context, by fleet.Actor, k Idempotency, object string) error {
	if k.Key == "" {
		return nil
	}
	if object == "" {
		if err := s.q().IdempotencyRelease(ctx, db.IdempotencyReleaseParams{Actor: by.Name, Key: k.Key, Begun: callBegun}); err != nil {
			return mapError(fmt.Errorf("give up idempotency key: %w", err))
		}
		return nil
	}
	return mapError(keepIdempotency(ctx, s.pool, by, k, object))
}
