package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// all lists every page and returns the IDs in order.
func (m *mailbox) all(t *testing.T, f store.EventFilter) (ids []string) {
	t.Helper()
	f.Limit = 3
	for {
		events, next, err := m.ListEvents(t.Context(), f)
		require.NoError(t, err)
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		if f.After = next; next == (store.EventCursor{}) {
			return ids
		}
		require.Len(t, events, 3)
	}
}

func TestEventsAreListedAndFollowed(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 0)
	m.account(t, "zenith")
	var keys []string
	for i := range 10 {
		p := m.published(t, i, i)
		if i%2 == 1 {
			p.Name = fleet.EventManifestUpdate
		}
		if i%5 == 0 {
			p.SkillID, p.AccountID = "another", m.accountID(t, "zenith")
		}
		key, _ := m.receive(t, p)
		keys = append(keys, key)
	}
	pick := func(of ...int) (out []string) {
		for _, i := range of {
			out = append(out, keys[i])
		}
		return out
	}
	require.Equal(t, pick(9, 8, 7, 6, 5, 4, 3, 2, 1, 0), m.all(t, store.EventFilter{}))
	require.Equal(t, pick(5, 0), m.all(t, store.EventFilter{Account: "zenith"}))
	require.Equal(t, pick(9, 7, 5, 3, 1), m.all(t, store.EventFilter{Name: fleet.EventManifestUpdate}))
	require.Equal(t, pick(9, 7, 3, 1), m.all(t, store.EventFilter{Name: fleet.EventManifestUpdate, SkillID: testSkill}))
	require.Equal(t, pick(7, 8, 9), m.all(t, store.EventFilter{Since: keys[6]}), "oldest first")
	require.Equal(t, pick(7, 9), m.all(t, store.EventFilter{Since: keys[5], Name: fleet.EventManifestUpdate}))
	require.Empty(t, m.all(t, store.EventFilter{Since: keys[9]}))
	require.Equal(t, keys, m.all(t, store.EventFilter{Since: "1970-01-01T00:00:00Z"}))
	require.Empty(t, m.all(t, store.EventFilter{Since: time.Now().Add(time.Hour).Format(time.RFC3339)}))
	_, _, err := m.ListEvents(t.Context(), store.EventFilter{Since: "yesterday"})
	require.ErrorContains(t, err, "since")
	_, _, err = m.ListEvents(t.Context(), store.EventFilter{Account: "nobody"})
	require.ErrorContains(t, err, "nobody")
	_, err = m.Event(t.Context(), "ev-none")
	require.ErrorContains(t, err, "event list")
}

func TestOldEventsAreForgotten(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 20)
	m.rule(t, fleet.EventStartAudit, "all")
	old, oldKey := m.receiveOne(t, m.published(t, 1, 0))
	m.work(t, old, store.EventFinding{})
	_, key := m.receiveOne(t, m.published(t, 2, 1))
	m.set(t, "UPDATE events SET received_at = now() - interval '90 days 1 minute' WHERE key = $1", oldKey)
	m.set(t, "UPDATE events SET received_at = now() - interval '89 days 23 hours' WHERE key = $1", key)
	m.set(t, "UPDATE event_heads SET event_at = now() - interval '91 days'")

	n, err := m.ForgetEvents(t.Context(), 500)

	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{key}, m.all(t, store.EventFilter{}))
	for _, table := range []string{"event_actions", "event_heads"} {
		require.Zero(t, m.count(t, "SELECT count(*) FROM "+table))
	}
	require.Equal(t, 1, m.count(t, "SELECT count(*) FROM event_bodies"))
	totals, err := m.EventTotals(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, totals[0].N, "counters outlive what they count")
	_, _, err = m.ReceiveEvent(t.Context(), m.published(t, 2, 1), m.job)
	require.ErrorIs(t, err, store.ErrEventReplayed, "what is kept is known again")
}
