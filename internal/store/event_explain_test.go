package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// forAnother is a statement as it comes for another event: what it wrote is there.
func forAnother(name string, q pgx.TraceQueryStartData) pgx.TraceQueryStartData {
	q.Args = slices.Clone(q.Args)
	switch name {
	case "EventInsert": // key, message_id and event_key
		q.Args[0], q.Args[2], q.Args[3] = "ev-another", "another", "another"
	case "EventPlan": // event_id
		q.Args[0] = int64(1)
	}
	return q
}

// No page of events costs more where there are many of them, whatever is picked, nor
// does taking one, planning what it does, or forgetting some.
func TestEventsAreServedByIndexes(t *testing.T) {
	t.Parallel()
	const events = 200_000
	m := newMailbox(t, 0)
	m.account(t, "zenith")
	m.account(t, "globex")
	m.set(t, fmt.Sprintf(`
		INSERT INTO events (key, account_id, message_id, event_key, topic, raw_delivery, name, status, skill_id, vendor_id, locale,
			subscription_id, request_id, review_id, actor, event_at, received_at, disposition)
		SELECT 'ev-' || n, CASE WHEN n %% 50000 = 7 THEN 2 WHEN n %% 3 = 0 THEN 3 ELSE 1 END, 'm' || n, 'k' || n, 'arn', false,
			CASE WHEN n %% 40000 = 3 THEN 'rare' ELSE 'AlexaDevelopmentEvent.InteractionModelUpdate' END, 'SUCCEEDED',
			CASE WHEN n %% 30000 = 9 THEN 'quiet' WHEN n %% 3 = 0 THEN 'theirs-' || n %% 5 ELSE 'skill-' || n %% 5 END, 'v', 'en-US', 's', 'r' || n, '', '',
			now() - interval '80 days' + n * interval '1 second', now() - interval '80 days' + n * interval '1 second', 'no_rule'
		FROM generate_series(1, %d) AS n`, events))
	m.set(t, "INSERT INTO event_bodies SELECT id, '{}' FROM events")
	m.set(t, "INSERT INTO accounts (name, api_url, token_url) SELECT 'other-' || n, 'x', 'x' FROM generate_series(1, 10) AS n")
	m.set(t, `
		INSERT INTO event_rules (account_id, event, status, skill_id, action, created_by)
		SELECT accounts.id, 'any', 'any', 'any', 'start_audit', 'ann'
		FROM accounts, generate_series(1, 100)
		WHERE accounts.name LIKE 'other-%'`)
	for range 4 {
		m.rule(t, fleet.EventStartAudit, "none=0")
	}
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
			blocks, plan := explainedIn(t, m.pool, forAnother(name, statement))
			require.Less(t, blocks, 400, "%s: %s:\n%s", what, name, plan)
			require.NotContains(t, plan, "Seq Scan on events ", "%s: %s", what, name)
			require.NotContains(t, plan, "Seq Scan on event_rules ", "%s: %s", what, name)
		}
		heard.got = map[string]pgx.TraceQueryStartData{}
	}
	middle := "ev-30000"
	for _, f := range []store.EventFilter{
		{},
		{Account: "acme"},
		{Account: "zenith"},
		{Name: "rare"},
		{Name: fleet.EventInteractionModelUpdate},
		{SkillID: "quiet"},
		{SkillID: "skill-3"},
		{Account: "acme", Name: "rare"},
		{Account: "zenith", Name: "rare"},
		{SkillID: "skill-3", Name: "rare"},
		{Account: "acme", SkillID: "quiet"},
		{Account: "acme", SkillID: "skill-3", Name: fleet.EventInteractionModelUpdate},
		{Account: "acme", Name: "none"},
		{Account: "globex", SkillID: "skill-3"}, // another account's
		{Account: "globex", SkillID: "skill-3", Name: fleet.EventInteractionModelUpdate},
		{Account: "globex", SkillID: "theirs-2", Name: "rare"},
		{Account: "zenith", SkillID: "skill-3"},
		{SkillID: "none"},
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
	check("a message", "EventFirst", "EventInsert", "EventPlan", "EventTotalsAdd", "EventTaken", "EventLock", "EventHeadMove", "EventHeadLock",
		"EventHaltable", "EventActionEnd", "EventActionsLeft", "EventDispose")
	_, err = m.AdoptEvents(t.Context(), 100, m.job)
	require.NoError(t, err)
	check("what is left to be done", "EventOrphans")
	_, err = m.EventTotals(t.Context())
	require.NoError(t, err)
	check("a scrape", "EventTotals")
	_, err = m.ForgetEvents(t.Context(), 500)
	require.NoError(t, err)
	check("forget", "EventForget")
}
