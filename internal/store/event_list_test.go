package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
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

// No page of events costs more where there are many of them, whatever is picked, nor
// does taking one, or forgetting some.
func TestEventsAreServedByIndexes(t *testing.T) {
	t.Parallel()
	const events = 60_000
	m := newMailbox(t, 0)
	m.account(t, "zenith")
	m.set(t, fmt.Sprintf(`
		INSERT INTO events (key, account_id, message_id, event_key, topic, raw_delivery, name, status, skill_id, vendor_id, locale,
			subscription_id, request_id, review_id, actor, event_at, received_at, disposition)
		SELECT 'ev-' || n, CASE WHEN n %% 50000 = 7 THEN 2 ELSE 1 END, 'm' || n, 'k' || n, 'arn', false,
			CASE WHEN n %% 40000 = 3 THEN 'rare' ELSE 'AlexaDevelopmentEvent.InteractionModelUpdate' END, 'SUCCEEDED',
			CASE WHEN n %% 30000 = 9 THEN 'quiet' ELSE 'skill-' || n %% 5 END, 'v', 'en-US', 's', 'r' || n, '', '',
			now() - interval '80 days' + n * interval '1 second', now() - interval '80 days' + n * interval '1 second', 'no_rule'
		FROM generate_series(1, %d) AS n`, events))
	m.set(t, "INSERT INTO event_bodies SELECT id, '{}' FROM events")
	m.set(t, "ANALYZE")
	conf := m.pool.Config()
	heard := &listener{got: map[string]pgx.TraceQueryStartData{}}
	conf.ConnConfig.Tracer = heard
	conf.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan" // as fleetd has it
	pool, err := pgxpool.NewWithConfig(t.Context(), conf)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	m.Store = store.New(pool, testKeys(t, 1))

	check := func(what string, wanted ...string) {
		t.Helper()
		for _, name := range wanted {
			var statement pgx.TraceQueryStartData
			for line, q := range heard.got {
				if strings.HasPrefix(line, "-- name: "+name+" ") {
					statement = q
				}
			}
			require.NotEmpty(t, statement.SQL, "%s: %s was not asked", what, name)
			blocks, plan := explainedIn(t, m.pool, statement)
			require.Less(t, blocks, 2000, "%s: %s:\n%s", what, name, plan)
			require.NotContains(t, plan, "Seq Scan on events ", "%s: %s", what, name)
		}
		heard.got = map[string]pgx.TraceQueryStartData{}
	}
	middle := "ev-30000"
	for _, f := range []store.EventFilter{
		{}, {Account: "acme"}, {Account: "zenith"}, {Name: "rare"}, {Name: fleet.EventInteractionModelUpdate}, {SkillID: "quiet"}, {SkillID: "skill-3"},
		{Account: "acme", Name: "rare"}, {Account: "zenith", Name: "rare"}, {SkillID: "skill-3", Name: "rare"}, {Account: "acme", SkillID: "quiet"},
		{Account: "acme", SkillID: "skill-3", Name: fleet.EventInteractionModelUpdate}, {Account: "acme", Name: "none"}, {SkillID: "none"},
	} {
		what := fmt.Sprintf("%+v", f)
		_, next, err := m.ListEvents(t.Context(), f)
		require.NoError(t, err)
		check(what, "EventList", "EventActionsOf")
		if f.After = next; next.Before > 0 {
			_, _, err = m.ListEvents(t.Context(), f)
			require.NoError(t, err)
			check("page 2 of "+what, "EventList")
		}
		f.After = store.EventCursor{}
		f.Since = middle
		_, _, err = m.ListEvents(t.Context(), f)
		require.NoError(t, err)
		check("since "+what, "EventSince", "EventID")
	}
	_, _, err = m.ListEvents(t.Context(), store.EventFilter{Since: time.Now().Add(-79 * 24 * time.Hour).Format(time.RFC3339)})
	require.NoError(t, err)
	check("since a time", "EventLastBefore", "EventSince")
	_, err = m.Event(t.Context(), middle)
	require.NoError(t, err)
	check("one", "EventGet")
	m.rule(t, fleet.EventHaltRollouts, "")
	id, _ := m.receiveOne(t, m.published(t, 1, 0))
	m.work(t, id, store.EventFinding{Withdrawn: "gone"})
	taken, err := m.EventTaken(t.Context(), m.accountID(t, "acme"), "m77")
	require.NoError(t, err)
	require.True(t, taken)
	check("a message", "EventFirst", "EventTaken", "EventLock", "EventHeadMove", "EventHeadLock", "EventHaltable")
	_, err = m.ForgetEvents(t.Context(), 500)
	require.NoError(t, err)
	check("forget", "EventForget")
}
