package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/manifest"
	"fleetd/internal/preflight"
	"fleetd/internal/store"
)

// desk answers how a skill is published, as the test says.
type desk struct {
	mu     sync.Mutex
	asked  int
	answer func(asked int) (Publication, error)
}

func (d *desk) Publication(context.Context, string, string) (Publication, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return d.answer(d.asked)
}

func hidden(int) (Publication, error) {
	return Publication{VendorID: "M2VENDOR", Found: true, Statuses: []string{"DEVELOPMENT", "HIDDEN"}}, nil
}

// scheduled is a world with a rollout that waits for its time, and a rule that halts it.
func scheduled(t *testing.T) (w *world, rollout string) {
	t.Helper()
	w = newStore(t)
	w.account("acme")
	w.exec("INSERT INTO units (account_id, unit_id, property) SELECT id, 'home-' || n, 'p' FROM accounts, generate_series(1, 5) AS n")
	rollout = w.create(func(p *store.RolloutParams) { p.StartAt = time.Now().Add(time.Hour) }).ID
	w.rule(fleet.EventHaltRollouts, "")
	return w, rollout
}

func (w *world) rule(action fleet.EventAction, argument string) {
	w.t.Helper()
	_, _, err := w.store.CreateEventRule(w.t.Context(), store.EventRuleParams{Account: "acme", Action: action, Argument: argument}, w.by, store.Idempotency{})
	require.NoError(w.t, err)
}

// take keeps an event, its job with a runner's queue or, without one, nowhere.
func (w *world) take(n int, enqueue store.EventEnqueue) (key string) {
	w.t.Helper()
	key, d, err := w.store.ReceiveEvent(w.t.Context(), store.EventParams{
		AccountID: w.accountID("acme"), Account: "acme", MessageID: fmt.Sprintf("m-%d", n), Key: fmt.Sprintf("k-%d", n), Topic: "arn", Name: fleet.EventSkillPublish,
		Status: "FAILED", SkillID: skill, VendorID: "M2VENDOR", EventAt: time.Now().Add(time.Duration(n) * time.Second), Disposition: fleet.EventReceived,
	}, enqueue)
	require.NoError(w.t, err)
	require.Equal(w.t, fleet.EventReceived, d)
	return key
}

func (w *world) event(key string) store.Event {
	w.t.Helper()
	e, err := w.store.Event(w.t.Context(), key)
	require.NoError(w.t, err)
	return e.Event
}

// work runs an event's job once, as River does.
func (w *world) work(events *Events, key string) error {
	w.t.Helper()
	var id int64
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), "SELECT id FROM events WHERE key = $1", key).Scan(&id))
	return events.Work(w.t.Context(), &river.Job[EventArgs]{JobRow: &rivertype.JobRow{}, Args: EventArgs{EventID: id}})
}

// noChecks finds nothing in the way of anything.
func noChecks(_ context.Context, queries ...preflight.Query) ([]preflight.Report, error) {
	return make([]preflight.Report, len(queries)), nil
}

func nowhere(context.Context, pgx.Tx, int64) error { return nil }

// The job of an event that runs twice, also at the same time, acts once.
func TestAnEventsJobThatRunsTwiceActsOnce(t *testing.T) {
	t.Parallel()
	w, rollout := scheduled(t)
	w.rule(fleet.EventStartAudit, "all")
	asked := &desk{answer: hidden}
	var refreshed atomic.Int32
	w.rule(fleet.EventRefreshPreflight, "")
	events := NewEvents(w.store, asked, noChecks, func(context.Context, string, string) (string, error) {
		refreshed.Add(1)
		return "1 check failed", nil
	}, w.runner().cfg.Logger)
	key := w.take(1, nowhere)

	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() { errs[i] = w.work(events, key) })
	}
	group.Wait()
	require.NoError(t, errors.Join(errs...))
	require.NoError(t, w.work(events, key))

	require.Equal(t, fleet.RolloutHalted, w.rollout(rollout).State)
	require.Equal(t, 1, w.count("SELECT count(*) FROM log_entries WHERE action = 'rollout.halt'"))
	require.Equal(t, 1, w.count("SELECT count(*) FROM audits"))
	require.Equal(t, 3, w.count("SELECT count(*) FROM log_entries WHERE action = 'event.act'"))
	e := w.event(key)
	require.Equal(t, fleet.EventActed, e.Disposition)
	for i, message := range []string{"HIDDEN", "audit au-", "1 check failed"} {
		require.Equal(t, fleet.ActionDone, e.Actions[i].State)
		require.Contains(t, e.Actions[i].Message, message)
	}
	_, err := w.store.ResumeRollout(t.Context(), rollout, store.ResumeParams{Actor: w.by, Preflight: &preflight.Report{}})
	require.NoError(t, err)
	n := asked.asked
	require.NoError(t, w.work(events, key), "nor does it undo what a person did since")
	require.NotEqual(t, fleet.RolloutHalted, w.rollout(rollout).State)
	require.Equal(t, n, asked.asked, "nobody is asked again")
}

// A process that is killed in the middle of an event: its job begins again, in the
// same process or another, and does what is left and nothing twice.
func TestAnEventGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	w, rollout := scheduled(t)
	w.rule(fleet.EventStartAudit, "all")
	w.rule(fleet.EventHaltRollouts, "")
	asked := &desk{answer: func(asked int) (Publication, error) {
		if asked == 2 { // the first rule's rollout is halted, the audit is begun
			panic("killed")
		}
		return hidden(asked)
	}}
	r := w.runner(func(c *RunnerConfig) { c.Publications = asked })
	require.NoError(t, r.Start(t.Context()))
	t.Cleanup(func() { w.stop(r) })

	key := w.take(1, r.EnqueueEvent)

	require.Eventually(t, func() bool { return w.event(key).Disposition == fleet.EventActed }, waitAtMost, pollEvery)
	require.Equal(t, fleet.RolloutHalted, w.rollout(rollout).State)
	require.Equal(t, 1, w.count("SELECT count(*) FROM log_entries WHERE action = 'rollout.halt'"))
	require.Equal(t, 1, w.count("SELECT count(*) FROM audits WHERE created_by LIKE 'rule %'"))
	e := w.event(key)
	require.Equal(t, fleet.ActionNothing, e.Actions[2].State, "the first rule had halted it")
	require.Equal(t, 3, asked.asked)
}

// What a rule begins is checked first, and not by the word of the event.
func TestWhatARuleBeginsIsCheckedFirst(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.exec("INSERT INTO units (account_id, unit_id, property) SELECT id, 'home-' || n, 'p' FROM accounts, generate_series(1, 5) AS n")
	rollout := w.create(func(p *store.RolloutParams) { p.Paused = true }).ID
	_, _, err := w.store.CreateEventRule(t.Context(), store.EventRuleParams{
		Account: "acme", Event: "SkillPublish", Status: "any", Action: fleet.EventResumeRollout, Argument: rollout,
	}, w.by, store.Idempotency{})
	require.NoError(t, err)
	var answer func() ([]preflight.Report, error)
	var asked []preflight.Query
	checks := func(_ context.Context, queries ...preflight.Query) ([]preflight.Report, error) {
		asked = append(asked, queries...)
		return answer()
	}
	events := NewEvents(w.store, &desk{}, checks, nil, w.runner().cfg.Logger)

	away := w.take(1, nowhere)
	answer = func() ([]preflight.Report, error) { return nil, errors.New("the database is away") }
	require.ErrorContains(t, w.work(events, away), "the database is away")
	require.Equal(t, fleet.EventActing, w.event(away).Disposition, "the job comes again")
	answer = func() ([]preflight.Report, error) {
		return []preflight.Report{{SkillID: skill, Checks: []preflight.Check{{Name: preflight.StageExists, Result: preflight.Fail, Message: "no stage live"}}}}, nil
	}
	var snooze *river.JobSnoozeError
	require.ErrorAs(t, w.work(events, away), &snooze, "the API may not know of the event yet")
	require.Equal(t, fleet.ActionPlanned, w.event(away).Actions[0].State)
	require.Equal(t, "asked again in a moment: it failed its checks: stage_exists: no stage live", w.event(away).Actions[0].Message)
	require.Equal(t, fleet.RolloutPaused, w.rollout(rollout).State)
	w.exec("UPDATE events SET received_at = received_at - interval '11 minutes'")
	require.NoError(t, w.work(events, away))
	require.Equal(t, fleet.ActionRefused, w.event(away).Actions[0].State)
	require.Contains(t, w.event(away).Actions[0].Message, "stage_exists: no stage live")
	require.Equal(t, fleet.RolloutPaused, w.rollout(rollout).State)
	require.Equal(t, preflight.Query{Account: "acme", Action: fleet.ActionEnable, SkillID: skill, Stage: fleet.StageLive, Why: preflight.WhyEvent}, asked[0])

	unknown := w.take(2, nowhere)
	answer = func() ([]preflight.Report, error) { return []preflight.Report{{Result: preflight.NotChecked}}, nil }
	require.NoError(t, w.work(events, unknown))
	require.Equal(t, fleet.ActionDone, w.event(unknown).Actions[0].State)
	require.Equal(t, fleet.RolloutRunning, w.rollout(rollout).State)
}

func TestWhatCannotBeFoundOutIsAskedAgain(t *testing.T) {
	t.Parallel()
	w, rollout := scheduled(t)
	w.rule(fleet.EventStartAudit, "all")
	asked := &desk{answer: func(int) (Publication, error) { return Publication{}, errors.New("503 from the API") }}
	events := NewEvents(w.store, asked, noChecks, nil, w.runner().cfg.Logger)
	key := w.take(1, nowhere)

	var snooze *river.JobSnoozeError
	require.ErrorAs(t, w.work(events, key), &snooze)

	e := w.event(key)
	require.Equal(t, fleet.EventActing, e.Disposition)
	require.Equal(t, fleet.ActionPlanned, e.Actions[0].State)
	require.Equal(t, fleet.ActionDone, e.Actions[1].State, "what does not depend on it is done")
	asked.answer = hidden
	require.NoError(t, w.work(events, key))
	require.Equal(t, fleet.RolloutHalted, w.rollout(rollout).State)
	require.Equal(t, 1, w.count("SELECT count(*) FROM audits"))
}

// A preflight that an API did not answer is asked for again; one that nobody can answer is not.
func TestARefreshThatWasNotAnsweredIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.rule(fleet.EventRefreshPreflight, "")
	var err error = &fleet.Error{Code: fleet.CodeUnavailable, Message: "the API pushes back"}
	events := NewEvents(w.store, nil, noChecks, func(context.Context, string, string) (string, error) { return "all is well", err }, w.runner().cfg.Logger)
	key := w.take(1, nowhere)

	var snooze *river.JobSnoozeError
	require.ErrorAs(t, w.work(events, key), &snooze)
	require.Equal(t, fleet.ActionPlanned, w.event(key).Actions[0].State)
	err = nil
	require.NoError(t, w.work(events, key))
	require.Equal(t, fleet.ActionDone, w.event(key).Actions[0].State)
	require.Equal(t, "all is well", w.event(key).Actions[0].Message)

	err = noAccess("acme", fleet.CredentialDeveloper)
	key = w.take(2, nowhere)
	require.NoError(t, w.work(events, key))
	require.Equal(t, fleet.ActionNotAvailable, w.event(key).Actions[0].State)
}

func TestAnEventIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	w, rollout := scheduled(t)
	asked := &desk{answer: func(int) (Publication, error) { return Publication{}, errors.New("503 from the API") }}
	key := w.take(1, nowhere)
	events := NewEvents(w.store, asked, noChecks, nil, w.runner().cfg.Logger)
	w.exec("UPDATE events SET received_at = now() - interval '5 hours 50 minutes'")
	require.ErrorAs(t, w.work(events, key), new(*river.JobSnoozeError))
	w.exec("UPDATE events SET received_at = now() - interval '6 hours 10 minutes'")

	require.NoError(t, w.work(events, key))

	e := w.event(key)
	require.Equal(t, fleet.EventActed, e.Disposition)
	require.Equal(t, fleet.ActionFailed, e.Actions[0].State)
	require.Contains(t, e.Actions[0].Message, "503 from the API")
	require.Equal(t, fleet.RolloutScheduled, w.rollout(rollout).State)
}

// Nothing is halted on a guess.
func TestOnlyAWithdrawnSkillHaltsRollouts(t *testing.T) {
	t.Parallel()
	w, rollout := scheduled(t)
	n := 0
	for _, c := range []struct {
		name  string
		p     Publication
		err   error
		state fleet.EventActionState
		says  string
	}{
		{"published", Publication{VendorID: "M2VENDOR", Found: true, Statuses: []string{"PUBLISHED"}}, nil, fleet.ActionNothing, "PUBLISHED"},
		{"a new word", Publication{VendorID: "M2VENDOR", Found: true, Statuses: []string{"HIDDEN_SOON"}}, nil, fleet.ActionNothing, "HIDDEN_SOON"},
		{"another vendor's", Publication{VendorID: "M2OTHER"}, nil, fleet.ActionNotAvailable, "M2OTHER"},
		{"no credential", Publication{}, noAccess("acme", fleet.CredentialDeveloper), fleet.ActionNotAvailable, "credential set"},
	} {
		n++
		key := w.take(n, nowhere)
		require.NoError(t, w.work(NewEvents(w.store, &desk{answer: func(int) (Publication, error) { return c.p, c.err }}, noChecks, nil, w.runner().cfg.Logger), key))
		e := w.event(key)
		require.Equal(t, c.state, e.Actions[0].State, c.name)
		require.Contains(t, e.Actions[0].Message, c.says, c.name)
		require.Equal(t, fleet.RolloutScheduled, w.rollout(rollout).State, c.name)
	}
}

func TestWithdrawn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    Publication
		want string
	}{
		{Publication{}, "its vendor has it no more"},
		{Publication{Found: true, Statuses: []string{manifest.PublicationDevelopment, manifest.PublicationPublished}}, ""},
		{Publication{Found: true, Statuses: []string{manifest.PublicationHidden}}, "publication status HIDDEN"},
		{Publication{Found: true, Statuses: []string{manifest.PublicationDevelopment, "removed"}}, "publication status REMOVED"},
		{Publication{Found: true}, ""},
	} {
		require.Equal(t, c.want, c.p.Withdrawn(), c.p)
	}
}

// The events of an account that is deleted are nobody's any more.
func TestAnEventOfAnAccountThatIsGoneDoesNothing(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	key := w.take(1, nowhere)
	var id int64
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT id FROM events WHERE key = $1", key).Scan(&id))
	require.NoError(t, w.store.DeleteAccount(t.Context(), "acme", false, "", w.by))
	require.Zero(t, w.count("SELECT count(*) FROM events"))
	events := NewEvents(w.store, &desk{answer: hidden}, noChecks, nil, w.runner().cfg.Logger)
	require.NoError(t, events.Work(t.Context(), &river.Job[EventArgs]{JobRow: &rivertype.JobRow{}, Args: EventArgs{EventID: id}}))
}

// Events of 90 days ago are deleted like other old things.
func TestOldEventsAreDeleted(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.take(1, nowhere)
	w.exec("UPDATE events SET received_at = now() - interval '91 days', disposition = 'no_rule'")
	key := w.take(2, nowhere)

	w.start()

	require.Eventually(t, func() bool { return w.count("SELECT count(*) FROM events") == 1 }, waitAtMost, pollEvery)
	require.Equal(t, key, w.event(key).ID)
}
