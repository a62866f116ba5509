package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// night is an account with homes, and what an audit of it gave jobs to.
type night struct {
	fixture

	mu   sync.Mutex
	jobs []store.AuditRef
}

// newNight makes an account acme with n vacant homes home-1 to home-n.
func newNight(t *testing.T, n int) *night {
	t.Helper()
	w := &night{fixture: newFixture(t)}
	w.account(t, "acme")
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("home-%d,maple-court,,vacant,", i+1)
	}
	if n > 0 {
		_, err := w.load(t, "acme", store.ImportParams{}, lines...)
		require.NoError(t, err)
	}
	return w
}

// want sets what is desired of a skill on all homes, long before any audit.
func (w *night) want(t *testing.T, skill, state string) {
	t.Helper()
	_, _, err := w.SetDesired(t.Context(), store.DesiredSetParams{
		AllowNew: anySkill, Account: "acme", Selector: "all", SkillID: skill, State: fleet.DesiredState(state),
	}, w.by, store.Idempotency{})
	require.NoError(t, err)
	w.exec(t, "UPDATE desired SET changed_at = now() - interval '1 day' WHERE skill_id = (SELECT id FROM skills WHERE skill_id = $1)", skill)
}

func (w *night) exec(t *testing.T, sql string, args ...any) int64 {
	t.Helper()
	tag, err := w.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	return tag.RowsAffected()
}

func (w *night) begin(t *testing.T, change ...func(*store.AuditParams)) store.Audit {
	t.Helper()
	p := store.AuditParams{Account: "acme", Selector: "all"}
	for _, f := range change {
		f(&p)
	}
	a, again, err := w.CreateAudit(t.Context(), p, w.by, store.Idempotency{})
	require.NoError(t, err)
	require.False(t, again)
	return a
}

func (w *night) audit(t *testing.T, id string) store.Audit {
	t.Helper()
	a, err := w.Audit(t.Context(), id)
	require.NoError(t, err)
	require.LessOrEqual(t, a.Answered(), a.Units)
	return a
}

func (w *night) auditRow(t *testing.T, id string) (row int64) {
	t.Helper()
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT id FROM audits WHERE key = $1", id).Scan(&row))
	return row
}

// enqueue stands in for River.
func (w *night) enqueue(_ context.Context, _ pgx.Tx, _ int64, refs []store.AuditRef) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs = append(w.jobs, refs...)
	return nil
}

func (w *night) take() []store.AuditRef {
	w.mu.Lock()
	defer w.mu.Unlock()
	jobs := w.jobs
	w.jobs = nil
	return jobs
}

func (w *night) tick(t *testing.T, id string, horizon int) store.AuditTickResult {
	t.Helper()
	row := w.auditRow(t, id)
	for range 100 {
		got, err := w.TickAudit(t.Context(), row, store.AuditTick{Horizon: horizon, Enqueue: w.enqueue})
		require.NoError(t, err)
		if !got.Again {
			return got
		}
	}
	t.Fatal("a tick without end")
	return store.AuditTickResult{}
}

// sight is what a home shows: enablements as "skill STATUS stage link".
type sight map[string]fleet.Observation

func shows(status fleet.Status, stage fleet.Stage) fleet.Observation {
	return fleet.Observation{Status: status, Stage: stage}
}

var on = shows(fleet.StatusEnabled, fleet.StageLive)

// look makes the record of a job: what shows says of the home, or why it was not seen.
func look(target store.AuditTarget, shown sight, reason fleet.UnknownReason) store.AuditSight {
	s := store.AuditSight{AuditRef: target.AuditRef, Began: target.Began, Reason: reason, Whole: reason == "", Pages: 1, Requests: 2, Throttled: 1}
	for skill, o := range shown {
		s.Seen = append(s.Seen, store.SeenSkill{SkillID: skill, Observation: o})
	}
	slices.SortFunc(s.Seen, func(a, b store.SeenSkill) int { return len(a.SkillID) - len(b.SkillID) })
	return s
}

// run takes an audit to its end, every home showing what see says.
func (w *night) run(t *testing.T, see func(unit string) (sight, fleet.UnknownReason), change ...func(*store.AuditParams)) store.Audit {
	t.Helper()
	id := w.begin(t, change...).ID
	for range 1000 {
		if w.tick(t, id, 70).State.Ended() {
			break
		}
		loaded, err := w.LoadAuditUnits(t.Context(), w.take())
		require.NoError(t, err)
		var sights []store.AuditSight
		for _, target := range loaded {
			shown, reason := see(target.UnitID)
			sights = append(sights, look(target, shown, reason))
		}
		require.NoError(t, w.RecordAuditUnits(t.Context(), sights))
	}
	a := w.audit(t, id)
	require.NotNil(t, a.EndedAt)
	require.Equal(t, a.Units, a.Answered())
	return a
}

// every home shows the same.
func every(shown sight) func(string) (sight, fleet.UnknownReason) {
	return func(string) (sight, fleet.UnknownReason) { return shown, "" }
}

// found1 is the only open finding; the test fails if there is none or another.
func (w *night) found1(t *testing.T) store.Drift {
	t.Helper()
	all := w.drift(t, store.DriftFilter{})
	require.Len(t, all, 1)
	return all[0]
}

// observation is the row of observed for a home; ok is false when there is none.
func (w *night) observation(t *testing.T, unit, skill string) (o fleet.Observation, changedAt time.Time, ok bool) {
	t.Helper()
	err := w.pool.QueryRow(t.Context(), `
		SELECT status, stage, account_link, observed_at, changed_at
		FROM observed JOIN units ON units.id = observed.unit_id JOIN skills ON skills.id = observed.skill_id
		WHERE units.unit_id = $1 AND skills.skill_id = $2`, unit, skill).Scan(&o.Status, &o.Stage, &o.AccountLink, &o.ObservedAt, &changedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return o, changedAt, false
	}
	require.NoError(t, err)
	return o, changedAt, true
}
