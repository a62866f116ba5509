package acceptance_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/simulator"
	"fleetd/internal/simulator/topic"
)

// homesEach is how many homes a property has, and so each rollout.
const homesEach = 8

// TestEventsKilled has some hundred messages about events delivered, twice and out of
// order as SNS may, through two subscriptions, while fleetd is killed over them as kill
// -9 does, and answers get lost: every message is kept once, every event acts once, in
// the order of their time, and nothing is left undone.
func TestEventsKilled(t *testing.T) {
	t.Parallel()
	things, kills := size(120, 1000), size(4, 12)
	o := &office{
		world: newWorldOn(t, simulator.Config{
			Units: 3 * homesEach, Properties: 3, Latency: 5 * time.Millisecond, Seed: 31, HookRetryDelay: 300 * time.Millisecond,
			Published: []string{"amzn1.ask.skill.one", "amzn1.ask.skill.two", "amzn1.ask.skill.three", "amzn1.ask.skill.hidden"},
			Faults:    simulator.Faults{EventDuplicate: 0.1, DeliveryDuplicate: 0.15, DeliveryReorder: 0.2, DeliveryDelay: 100 * time.Millisecond},
		}, pgtest.New(t)),
		door: newDoor(t), hidden: "amzn1.ask.skill.hidden",
		skills: []string{"amzn1.ask.skill.one", "amzn1.ask.skill.two", "amzn1.ask.skill.three"},
	}
	o.serve()
	o.open()
	happened := o.happenings(things, 31)
	published := make(chan error, 1)
	go func() { published <- o.publish(t.Context(), happened) }()
	began, _, _ := o.door.state()
	for kill := 1; kill <= kills; kill++ {
		eventually(t, time.Minute, "the next part is delivered", func() bool {
			passed, _, _ := o.door.state()
			return passed-began > 2*things*kill/(kills+1)
		})
		o.door.leadTo("")
		o.up().kill()
		o.serve()
	}
	require.NoError(t, <-published)
	eventually(t, time.Minute, "everything is delivered", func() bool { return o.sim.Deliveries(topic.DeliveriesParams{Limit: 1}).Pending == 0 })
	conn, err := pgx.Connect(t.Context(), o.database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	l := &ledger{t: t, conn: conn}
	eventually(t, 30*time.Second, "nothing is left undone", func() bool {
		return l.count("SELECT count(*) FROM events WHERE disposition IN ('received', 'acting')") == 0
	})
	for _, id := range append(append([]string{}, o.starts...), o.resumes...) {
		require.EqualValues(t, fleet.RolloutSucceeded, o.awaitEnd(id, time.Minute).State)
	}

	o.requireKept(l, happened)
	l.requireOnce()
	l.requireOrder()
	o.requireEffects(l)
	_, cut, answers := o.door.state()
	t.Logf("%d things, %d messages, answers %v, fleetd died over %d", len(happened), l.count("SELECT count(*) FROM events"), answers, cut)
	for status := range answers {
		require.Contains(t, []int{200, 409, 503}, status)
	}
	require.Positive(t, answers[409], "SNS sent again what it was not told of")
}

// ledger is what the database says.
type ledger struct {
	t    *testing.T
	conn *pgx.Conn
}

func (l *ledger) count(sql string, args ...any) (n int) {
	l.t.Helper()
	require.NoError(l.t, l.conn.QueryRow(l.t.Context(), sql, args...).Scan(&n))
	return n
}

// none sees that a query finds nothing; each row is one text.
func (l *ledger) none(what, sql string) {
	l.t.Helper()
	rows, err := l.conn.Query(l.t.Context(), sql)
	require.NoError(l.t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(l.t, err)
	require.Empty(l.t, found, what)
}

// requireKept sees that every message that SNS was given is there once, and that all
// that tell of one thing are one event and its duplicates.
func (o *office) requireKept(l *ledger, happened []simulator.EventParams) {
	o.t.Helper()
	messages := map[string]bool{}
	for _, e := range o.sim.Events(0) {
		messages[e.MessageID] = true
	}
	subscriptions := len(eventTopics)
	require.GreaterOrEqual(o.t, len(messages), subscriptions*len(happened))
	require.Equal(o.t, len(messages)+subscriptions, l.count("SELECT count(*) FROM events"))
	require.Equal(o.t, len(messages)+subscriptions, l.count("SELECT count(*) FROM event_bodies"))
	var listed client.EventList
	require.NoError(o.t, json.Unmarshal([]byte(o.must("event", "list", "--account", "acme", "--limit", "0", "-o", "json")), &listed))
	require.Len(o.t, listed.Items, len(messages)+subscriptions)
	want := 0
	firsts, told := map[string]int{}, map[string]int{}
	for _, e := range listed.Items {
		if e.Disposition == string(fleet.EventSubscription) {
			continue
		}
		require.True(o.t, messages[e.MessageID], "a message that nobody sent, or one that is kept twice: %+v", e)
		delete(messages, e.MessageID)
		thing := strings.Join([]string{e.Name, e.Status, e.SkillID, e.Locale, e.RequestID}, " ")
		if e.ReviewID != "" {
			thing = e.SubscriptionID + e.ReviewID
		}
		told[thing]++
		if e.DuplicateOf == "" {
			firsts[thing]++
			require.Equal(o.t, 1, firsts[thing], "acts twice: %+v", e)
		} else {
			require.Equal(o.t, string(fleet.EventDuplicate), e.Disposition)
			require.Empty(o.t, e.Actions)
		}
	}
	require.Empty(o.t, messages, "every message is kept")
	for _, p := range happened {
		want++
		if p.Name == fleet.EventSkillReviewPublish {
			want++ // each subscription has its own
		}
	}
	require.Len(o.t, told, want)
	require.Len(o.t, firsts, want)
	l.none("the first of what a duplicate names tells of the same", `
		SELECT d.key FROM events AS d LEFT JOIN events AS f ON f.id = d.duplicate_of
		WHERE d.duplicate_of IS NOT NULL AND (f.id IS NULL OR f.event_key <> d.event_key OR f.duplicate_of IS NOT NULL OR f.id > d.id)`)
	require.Equal(o.t, want, l.count("SELECT sum(n) FROM event_totals"), "each is counted once, whatever was killed in between")
	require.Equal(o.t, want, int(o.scrape(o.t, o.up(), "none", nil)["fleet_events_total"]))
}

// requireOnce sees that every event came to its end, and that the rules that match it
// acted once each, and say what came of it.
func (l *ledger) requireOnce() {
	l.t.Helper()
	l.none("every first has an end", `
		SELECT key || ' ' || disposition FROM events
		WHERE (disposition IN ('acted', 'no_rule', 'superseded')) <> (processed_at IS NOT NULL)`)
	l.none("a rule that matches has one action, ended and said", `
		SELECT events.key || ' rule ' || rules.id
		FROM events
		JOIN event_rules AS rules ON rules.account_id = events.account_id
			AND rules.event IN ('any', events.name) AND rules.status IN ('any', events.status) AND rules.skill_id IN ('any', events.skill_id)
		LEFT JOIN event_actions AS actions ON actions.event_id = events.id AND actions.rule_id = rules.id
		WHERE events.disposition IN ('acted', 'no_rule')
		GROUP BY events.key, rules.id
		HAVING count(*) FILTER (WHERE actions.state <> 'planned' AND actions.message <> '' AND actions.ended_at IS NOT NULL) <> 1`)
	l.none("nothing else acts", `
		SELECT events.key FROM event_actions JOIN events ON events.id = event_actions.event_id WHERE events.disposition <> 'acted'`)
	l.none("what was done is logged once", `
		SELECT events.key || ' rule ' || actions.rule_id
		FROM event_actions AS actions
		JOIN events ON events.id = actions.event_id
		LEFT JOIN log_entries AS log ON log.action = 'event.act' AND log.object = 'event/' || events.key AND log.actor = 'rule ' || actions.rule_id
		GROUP BY events.key, actions.rule_id, actions.seq
		HAVING count(log.id) <> 1`)
	l.none("nothing failed", "SELECT state || ': ' || message FROM event_actions WHERE state IN ('failed', 'not_available')")
	l.none("no job is left over", "SELECT id::text FROM river_job WHERE kind = 'event' AND state IN ('available', 'pending', 'retryable', 'scheduled', 'discarded')")
}

// requireOrder sees that no event acted after a newer one of its kind.
func (l *ledger) requireOrder() {
	l.t.Helper()
	const ordered = `
		WITH ordered AS (
			SELECT events.*, (account_id, skill_id, name, locale)::text AS kind FROM events
			WHERE event_at IS NOT NULL AND review_id = '' AND disposition IN ('acted', 'no_rule', 'superseded')
		)`
	l.none("nothing was done after a newer event did something", ordered+`
		SELECT older.key FROM ordered AS older
		JOIN ordered AS newer ON newer.kind = older.kind AND newer.event_at > older.event_at
		JOIN log_entries AS did ON did.action = 'event.act' AND did.object = 'event/' || older.key AND did.detail ->> 'state' <> 'superseded'
		JOIN log_entries AS done ON done.action = 'event.act' AND done.object = 'event/' || newer.key
		WHERE did.id > done.id`)
	l.none("superseded is what a newer event took the place of", ordered+`
		SELECT older.key FROM ordered AS older
		WHERE disposition = 'superseded'
			AND NOT EXISTS (SELECT FROM ordered AS newer WHERE newer.kind = older.kind AND newer.event_at > older.event_at)`)
	l.none("the newest of each kind is the head", ordered+`
		SELECT newest.key FROM (SELECT DISTINCT ON (kind) * FROM ordered ORDER BY kind, event_at DESC) AS newest
		LEFT JOIN event_heads AS heads ON heads.event_id = newest.id
		WHERE heads.event_id IS NULL OR newest.disposition = 'superseded'`)
	require.Positive(l.t, l.count("SELECT count(*) FROM events WHERE disposition = 'superseded'"), "some came late")
}

// requireEffects sees that what rules began was begun once.
func (o *office) requireEffects(l *ledger) {
	o.t.Helper()
	for action, ids := range map[string][]string{"rollout.start": o.starts, "rollout.resume": o.resumes, "rollout.halt": {o.halts}} {
		for _, id := range ids {
			require.Equal(o.t, 1, l.count("SELECT count(*) FROM log_entries WHERE action = $1 AND object = 'rollout/' || $2", action, id), "%s %s", action, id)
		}
	}
	require.EqualValues(o.t, fleet.RolloutHalted, o.look(o.halts).State)
	for table, sql := range map[string]string{
		"audits":   "SELECT count(*) FROM audits",
		"distinct": "SELECT count(DISTINCT reason) FROM audits",
	} {
		require.Equal(o.t, l.count("SELECT count(*) FROM event_actions WHERE action = 'start_audit' AND state = 'done'"), l.count(sql), table)
	}
	for _, action := range fleet.EventActions() {
		require.Positive(o.t, l.count("SELECT count(*) FROM event_actions WHERE action = $1 AND state = 'done'", action), action)
	}
	stats := o.sim.Stats()
	require.Zero(o.t, stats.DoubleWrites)
	require.Equal(o.t, 1, stats.MaxWrites)
	require.EqualValues(o.t, homesEach*2*len(o.skills), stats.Writes)
}
