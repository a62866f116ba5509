package migrations_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"fleetd/internal/postgres/pgtest"
	"fleetd/migrations"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// schema lists every column, constraint, index, type and function of the database,
// but for goose's own table.
func schema(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT format('column %s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
		FROM pg_attribute a
		JOIN pg_class c ON c.oid = a.attrelid
		LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped AND c.relname NOT LIKE 'goose_%'
		UNION ALL
		SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid))
		FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'goose_%'
		UNION ALL
		SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'goose_%'
		UNION ALL
		SELECT format('enum %s %s', enumtypid::regtype, enumlabel) FROM pg_enum
		UNION ALL
		SELECT format('function %s', proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		ORDER BY 1`)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	conn := connect(t, url)
	require.Empty(t, schema(t, conn))

	require.NoError(t, migrations.Up(t.Context(), url))
	first := schema(t, conn)
	require.Contains(t, first, "enum target_state verifying")
	require.Contains(t, first, "enum river_job_state pending")

	require.NoError(t, migrations.DownTo(t.Context(), url, 0))
	require.Empty(t, schema(t, conn), "down must take back all that up made")
	require.NoError(t, migrations.DownTo(t.Context(), url, 0), "down on an empty database is nothing")

	require.NoError(t, migrations.Up(t.Context(), url))
	require.Equal(t, first, schema(t, conn))
	require.NoError(t, migrations.Up(t.Context(), url), "up on a current database is nothing")
}

func TestDownStepByStep(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	conn := connect(t, url)
	list, err := migrations.Status(t.Context(), url)
	require.NoError(t, err)
	for i, m := range slices.Backward(list) {
		require.NoError(t, migrations.DownTo(t.Context(), url, m.Version-1))
		pending, err := migrations.Pending(t.Context(), url)
		require.NoError(t, err)
		require.Equal(t, len(list)-i, pending)
	}
	require.Empty(t, schema(t, conn))
	require.ErrorContains(t, migrations.DownTo(t.Context(), url, -1), "0 or more")
}

// A step that was taken back with data in the tables goes up again, and what an older
// schema can hold is still there.
func TestBackAndForthWithData(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	conn := connect(t, url)
	_, err := conn.Exec(t.Context(), `
		INSERT INTO accounts (name, api_url, token_url, countries) VALUES ('acme', 'https://api', 'https://token', '{US}');
		INSERT INTO credentials (account_id, kind, client_id, client_secret, refresh_token, vendor_id, endpoint) VALUES
			(1, 'enterprise', 'e', '', '', '', ''), (1, 'developer', 'd', '', '', 'M2V', ''), (1, 'customer', 'c', '', '', '', 'https://eu');
		INSERT INTO preflights (account_id, skill_id, stage, action, result, why, report, checked_at) VALUES (1, 's', 'live', 'enable', 'pass', 'check', '{}', now());
		INSERT INTO event_hooks (account_id, topics) VALUES (1, '{arn}');
		INSERT INTO event_rules (account_id, event, status, skill_id, action, created_by) VALUES (1, 'any', 'any', 'any', 'halt_rollouts', 'me');
		INSERT INTO events (key, account_id, message_id, event_key, topic, raw_delivery, name, status, skill_id, vendor_id, locale, subscription_id,
			request_id, review_id, actor, disposition) VALUES ('ev-1', 1, 'm', '', 'arn', false, '', '', '', '', '', '', '', '', '', 'empty')`)
	require.NoError(t, err)
	list, err := migrations.Status(t.Context(), url)
	require.NoError(t, err)
	for _, m := range slices.Backward(list) {
		require.NoError(t, migrations.DownTo(t.Context(), url, m.Version-1))
		require.NoError(t, migrations.Up(t.Context(), url), "after %s was taken back", m.Name)
		if m.Name == "fleet" {
			break
		}
		rows, err := conn.Query(t.Context(), `SELECT kind FROM credentials WHERE kind <> 'developer' ORDER BY kind`)
		require.NoError(t, err)
		kinds, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Equal(t, []string{"customer", "enterprise"}, kinds, m.Name)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	list, err := migrations.Status(t.Context(), url)
	require.NoError(t, err)
	require.Equal(t, migrations.Migration{Version: 1, Name: "river"}, list[0])
	require.Equal(t, migrations.Migration{Version: 2, Name: "fleet"}, list[1])
	var exists bool
	require.NoError(t, connect(t, url).QueryRow(t.Context(), `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&exists))
	require.False(t, exists, "looking must change nothing")

	require.NoError(t, migrations.Up(t.Context(), url))
	after, err := migrations.Status(t.Context(), url)
	require.NoError(t, err)
	require.Len(t, after, len(list))
	for _, m := range after {
		require.True(t, m.Applied, m.Name)
		require.WithinDuration(t, time.Now(), m.AppliedAt, time.Minute)
		require.Equal(t, time.UTC, m.AppliedAt.Location())
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	var errs [4]error
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() { errs[i] = migrations.Up(t.Context(), url) })
	}
	group.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	pending, err := migrations.Pending(t.Context(), url)
	require.NoError(t, err)
	require.Zero(t, pending)
}

func TestWaitingForTheLockEndsWithItsContext(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	_, err := connect(t, url).Exec(t.Context(), `SELECT pg_advisory_lock(x'666c65657464'::bigint)`)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, migrations.Up(ctx, url), "another process to finish migrating")
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	conn := connect(t, url)
	_, err := conn.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, true)`)
	require.NoError(t, err)
	before := schema(t, conn)

	_, pendingErr := migrations.Pending(t.Context(), url)
	for name, err := range map[string]error{
		"up":      migrations.Up(t.Context(), url),
		"down":    migrations.DownTo(t.Context(), url, 0),
		"pending": pendingErr,
	} {
		var newer *migrations.NewerError
		require.ErrorAs(t, err, &newer, name)
		require.EqualValues(t, 900, newer.Database, name)
		require.ErrorContains(t, err, "900", name)
	}
	list, err := migrations.Status(t.Context(), url)
	require.Error(t, err)
	require.NotEmpty(t, list, "status shows what there is even so")
	require.Equal(t, before, schema(t, conn))
}

func TestErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://fleetd:canary-5d1f@127.0.0.1:1/fleetd",
		"postgres://fleetd:canary-5d1f@127.0.0.1:port/fleetd",
		"postgres://fleetd:canary-5d1f@[::1/fleetd",
	} {
		err := migrations.Up(t.Context(), url)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "canary")
	}
}

// TestRiverSchemaIsCurrent fails when River was updated and brings a schema that no
// step here applies: add a Go step that migrates River on to its new version.
func TestRiverSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	require.NoError(t, err)
	result, err := migrator.Validate(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, result.OK, result.Messages)
}

func TestFingerprintIsStable(t *testing.T) {
	t.Parallel()
	first, err := migrations.Fingerprint()
	require.NoError(t, err)
	second, err := migrations.Fingerprint()
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Len(t, first, 64)
}
