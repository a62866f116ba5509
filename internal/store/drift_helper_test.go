package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// finding is an open finding as a test puts it on record.
type finding struct {
	account string // empty: acme
	unit    string
	skill   string // empty: testSkill
	kind    fleet.DriftKind
	cause   fleet.DriftCause // empty: changed_outside
	desired *string          // nil: none of its own
	status  fleet.Status     // empty: ABSENT
	stage   fleet.Stage
	ago     time.Duration // since it was first seen; zero: an hour
}

// missing is the finding that most tests need.
func missing(unit string) finding {
	return finding{unit: unit, kind: fleet.DriftMissing, desired: new("live")}
}

// found puts a finding on record, with the desired state it is about and what the
// audit that opened it saw, and returns its ID.
func (f fixture) found(t *testing.T, d finding) string {
	t.Helper()
	if d.account == "" {
		d.account = "acme"
	}
	if d.skill == "" {
		d.skill = testSkill
	}
	if d.cause == "" {
		d.cause = fleet.CauseChangedOutside
	}
	if d.status == "" {
		d.status = fleet.StatusAbsent
	}
	if d.ago == 0 {
		d.ago = time.Hour
	}
	var id string
	err := f.pool.QueryRow(t.Context(), `
		WITH s AS (
			INSERT INTO skills (skill_id) VALUES ($3) ON CONFLICT (skill_id) DO UPDATE SET skill_id = excluded.skill_id RETURNING id
		), u AS (
			SELECT u.id, u.account_id, u.property FROM units AS u JOIN accounts AS a ON a.id = u.account_id WHERE a.name = $1 AND u.unit_id = $2
		), w AS (
			INSERT INTO desired (unit_id, skill_id, stage, change_id, changed_at)
			SELECT u.id, s.id, $6, 0, now() - interval '1 day' FROM u, s WHERE $6::text IS NOT NULL
		), o AS (
			INSERT INTO observed (unit_id, skill_id, status, stage, observed_at, changed_at)
			SELECT u.id, s.id, $7, $8, now() - $9::interval, now() - $9::interval FROM u, s
		), seen AS (
			INSERT INTO unit_sights (unit_id, account_id, seen_at, result) SELECT u.id, u.account_id, now() - $9::interval, 'drifted' FROM u
			ON CONFLICT (unit_id) DO NOTHING
		)
		INSERT INTO drifts (key, account_id, unit_id, property, skill_id, kind, desired_stage, status, stage, first_seen_at, last_good_at, cause, cause_detail, opened_by)
		SELECT 'dr-' || u.id || '-' || s.id, u.account_id, u.id, u.property, s.id, $4, $6, $7, $8, now() - $9::interval, now() - interval '1 day', $5, 'because', 1
		FROM u, s
		RETURNING key`,
		d.account, d.unit, d.skill, string(d.kind), string(d.cause), d.desired, string(d.status), string(d.stage), d.ago.String()).Scan(&id)
	require.NoError(t, err)
	return id
}

// drift lists all findings that a filter picks.
func (f fixture) drift(t *testing.T, filter store.DriftFilter) []store.Drift {
	t.Helper()
	items, next, err := f.ListDrift(t.Context(), filter, store.DriftCursor{}, store.MaxLimit)
	require.NoError(t, err)
	require.Zero(t, next)
	return items
}

func driftIDs(items []store.Drift) []string {
	out := []string{}
	for _, d := range items {
		out = append(out, d.ID)
	}
	return out
}

// newDrifted makes acme with homes u1 to un in the properties maple-court (odd) and
// oak-park (even).
func newDrifted(t *testing.T, n int) fixture {
	t.Helper()
	f := newFixture(t)
	f.account(t, "acme")
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("u%d,%s,,vacant,", i+1, []string{"maple-court", "oak-park"}[i%2])
	}
	_, err := f.load(t, "acme", store.ImportParams{}, lines...)
	require.NoError(t, err)
	return f
}
