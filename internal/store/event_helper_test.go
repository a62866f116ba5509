package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

const topic = "arn:aws:sns:us-east-1:123456789012:skill-events"

// mailbox is a yard that takes events, and remembers which were given a job.
type mailbox struct {
	*yard

	jobs    []int64
	started time.Time
}

func newMailbox(t *testing.T, homes int) *mailbox {
	t.Helper()
	return &mailbox{yard: newYard(t, homes), started: time.Now().Add(-time.Hour).Truncate(time.Second)}
}

func (m *mailbox) job(_ context.Context, _ pgx.Tx, id int64) error {
	m.jobs = append(m.jobs, id)
	return nil
}

// published is an event of the test's skill; minute orders them.
func (m *mailbox) published(t *testing.T, n, minute int) store.EventParams {
	t.Helper()
	return store.EventParams{
		AccountID: m.accountID(t, "acme"), Account: "acme", MessageID: fmt.Sprintf("message-%d", n), Key: fmt.Sprintf("key-%d", n), Topic: topic,
		Name: fleet.EventSkillPublish, Status: fleet.EventSucceeded, SkillID: testSkill, VendorID: "M2VENDOR", RequestID: fmt.Sprint(n),
		EventAt: m.started.Add(time.Duration(minute) * time.Minute), SentAt: m.started, Body: []byte(`{"n":1}`), Disposition: fleet.EventReceived,
	}
}

func (m *mailbox) receive(t *testing.T, p store.EventParams) (key string, d fleet.EventDisposition) {
	t.Helper()
	key, d, err := m.ReceiveEvent(t.Context(), p, m.job)
	require.NoError(t, err)
	return key, d
}

// receiveOne receives an event that acts, and returns its row too.
func (m *mailbox) receiveOne(t *testing.T, p store.EventParams) (id int64, key string) {
	t.Helper()
	key, d := m.receive(t, p)
	require.Equal(t, fleet.EventReceived, d)
	return m.jobs[len(m.jobs)-1], key
}

func (m *mailbox) rule(t *testing.T, action fleet.EventAction, argument string, change ...func(*store.EventRuleParams)) store.EventRule {
	t.Helper()
	p := store.EventRuleParams{Account: "acme", Action: action, Argument: argument}
	for _, f := range change {
		f(&p)
	}
	rule, again, err := m.CreateEventRule(t.Context(), p, m.by, store.Idempotency{})
	require.NoError(t, err)
	require.False(t, again)
	return rule
}

// work does what an event's job does, with nothing to ask elsewhere and nothing in the way
// of what begins.
func (m *mailbox) work(t *testing.T, id int64, found store.EventFinding) []store.EventActed {
	t.Helper()
	work, ok, err := m.ClaimEvent(t.Context(), id)
	require.NoError(t, err)
	var out []store.EventActed
	if found.Preflight == nil {
		found.Preflight = resuming("", m.by).Preflight
	}
	for _, a := range work.Actions {
		require.True(t, ok)
		acted, err := m.ActOnEvent(t.Context(), id, a.Seq, found)
		require.NoError(t, err)
		out = append(out, acted)
	}
	return out
}

func (m *mailbox) event(t *testing.T, key string) store.EventDetail {
	t.Helper()
	e, err := m.Event(t.Context(), key)
	require.NoError(t, err)
	return e
}

func (m *mailbox) state(t *testing.T, id string) fleet.RolloutState {
	t.Helper()
	r, err := m.Rollout(t.Context(), id)
	require.NoError(t, err)
	return r.State
}

// logged counts log entries by actor and action.
func (m *mailbox) logged(t *testing.T, actor, action string) int {
	t.Helper()
	entries, _, err := m.ListLog(t.Context(), store.LogFilter{Actor: actor, Action: action})
	require.NoError(t, err)
	return len(entries)
}

// properties names the properties of acme.
func (m *mailbox) properties(t *testing.T) []string {
	t.Helper()
	rows, err := m.pool.Query(t.Context(), "SELECT DISTINCT property FROM units ORDER BY property")
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

func (m *mailbox) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, m.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}
