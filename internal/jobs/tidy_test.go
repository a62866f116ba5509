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

// So are preflights that nobody made for months.
func TestOldPreflightsAreDeleted(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.exec(`
		INSERT INTO preflights (account_id, skill_id, stage, action, result, why, report, checked_at)
		SELECT accounts.id, 's' || n, 'live', 'enable', 'pass', 'check', '{}', now() - make_interval(days => CASE WHEN n <= $1 THEN 91 ELSE 89 END)
		FROM accounts, generate_series(1, $1 + 10) AS n`, tidyGroup+1)

	w.start()

	require.Eventually(t, func() bool { return w.count("SELECT count(*) FROM preflights") == 10 }, waitAtMost, pollEvery)
	require.Zero(t, w.count("SELECT count(*) FROM preflights WHERE checked_at < now() - interval '90 days'"))
}

// So are the units of audits of weeks past. What was said of them stays.
func TestTheUnitsOfOldAuditsAreDeleted(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.exec(`
		INSERT INTO audits (key, account_id, state, selector, units, created_by, ended_at)
		SELECT 'au-' || n, accounts.id, 'succeeded', 'all', 0, 'ann', now() - n * interval '1 day' FROM accounts, generate_series(12, 16) AS n`)
	w.exec(`INSERT INTO audit_chunks (audit_id, seq, units) SELECT id, n, '{1}' FROM audits, generate_series(1, $1) AS n`, tidyGroup)

	w.start()

	require.Eventually(t, func() bool { return w.count("SELECT count(*) FROM audit_chunks") == 2*tidyGroup }, waitAtMost, pollEvery)
	require.Equal(t, 5, w.count("SELECT count(*) FROM audits"))
}
