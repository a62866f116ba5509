package jobs

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A process that starts deletes the keys that are too old, group by group, and no other.
func TestOldIdempotencyKeysAreDeleted(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	_, err := w.pool.Exec(t.Context(), `
		INSERT INTO idempotency_keys (actor, key, request_hash, object, created_at)
		SELECT 'ann', 'k' || n, '', '', now() - make_interval(hours => CASE WHEN n <= $1 THEN 25 ELSE 23 END)
		FROM generate_series(1, $1 + 10) AS n`, 2*tidyGroup+1)
	require.NoError(t, err)

	w.start()

	require.Eventually(t, func() bool { return w.count("SELECT count(*) FROM idempotency_keys") == 10 }, waitAtMost, pollEvery)
	require.Zero(t, w.count("SELECT count(*) FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"))
}
