package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestAMessageIsTakenOnce(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 0)
	first := m.published(t, 1, 0)
	key, d := m.receive(t, first)
	require.Equal(t, fleet.EventReceived, d)

	_, _, err := m.ReceiveEvent(t.Context(), first, m.job)
	require.ErrorIs(t, err, store.ErrEventReplayed)
	again := m.published(t, 2, 0)
	again.Key = first.Key
	twin, d := m.receive(t, again)
	require.Equal(t, fleet.EventDuplicate, d, "another message that tells the same")
	require.Equal(t, key, m.event(t, twin).DuplicateOf)
	_, _, err = m.ReceiveEvent(t.Context(), again, m.job)
	require.ErrorIs(t, err, store.ErrEventReplayed, "a duplicate is a message too")
	none := m.published(t, 3, 0)
	none.Key = ""
	m.receive(t, none)
	none.MessageID = "message-4"
	_, d = m.receive(t, none)
	require.Equal(t, fleet.EventReceived, d, "what does not say what it tells of is no duplicate of anything")

	require.Len(t, m.jobs, 3)
	events, _, err := m.ListEvents(t.Context(), store.EventFilter{})
	require.NoError(t, err)
	require.Len(t, events, 4)
	totals, err := m.EventTotals(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.EventTotal{{Account: "acme", Event: fleet.EventSkillPublish, Status: "SUCCEEDED", N: 3}}, totals, "duplicates are not counted")
}

// Of messages that come at the same time in several processes one is the first.
func TestTheSameMessageManyTimesAtOnceIsTakenOnce(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 0)
	p := m.published(t, 1, 0)
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		taken  int
		others []error
	)
	for range 8 {
		group.Go(func() {
			_, _, err := m.ReceiveEvent(t.Context(), p, m.job)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				taken++
			} else {
				others = append(others, err)
			}
		})
	}
	group.Wait()
	require.Equal(t, 1, taken)
	for _, err := range others {
		require.ErrorIs(t, err, store.ErrEventReplayed)
	}
	require.Len(t, m.jobs, 1)
}

func TestWhatASenderWritesIsKeptAsText(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 0)
	p := m.published(t, 1, 0)
	p.Name, p.Status, p.SkillID = "A\x00B\xff", strings.Repeat("x", 5000), "s\u0000"
	p.Body, p.Disposition, p.EventAt = []byte("no json \x00 \xff at all"), fleet.EventUnknown, time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
	key, _ := m.receive(t, p)

	e := m.event(t, key)
	require.Equal(t, "AB", e.Name)
	require.Len(t, e.Status, 200)
	require.Equal(t, "s", e.SkillID)
	require.Nil(t, e.EventAt, "a time that Postgres has not")
	require.JSONEq(t, `"no json   at all"`, string(e.Body))
	require.Empty(t, m.jobs, "an unknown event does nothing")
	totals, err := m.EventTotals(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.EventTotal{{Account: "acme", Event: "other", Status: "other", N: 1}}, totals, "labels are of closed sets")
}

func TestRulesActOnceAndSayWhatTheyDid(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 20)
	paused := m.create(t)
	m.pause(t, paused.ID)
	resume := m.rule(t, fleet.EventResumeRollout, paused.ID)
	require.Equal(t, fleet.EventSucceeded, resume.Status, "what sets a rollout going is for what succeeded")
	require.Equal(t, testSkill, resume.SkillID, "and for the rollout's own skill")
	audit := m.rule(t, fleet.EventStartAudit, "all", func(p *store.EventRuleParams) { p.Event = "SkillPublish" })
	m.rule(t, fleet.EventStartAudit, "all", func(p *store.EventRuleParams) { p.SkillID = "another" })
	m.rule(t, fleet.EventStartAudit, "all", func(p *store.EventRuleParams) { p.Status = "FAILED" })
	id, key := m.receiveOne(t, m.published(t, 1, 0))

	acted := m.work(t, id, store.EventFinding{})

	require.Len(t, acted, 2)
	require.Equal(t, fleet.ActionDone, acted[0].State, acted[0].Message)
	require.Equal(t, fleet.ActionDone, acted[1].State, acted[1].Message)
	require.Equal(t, fleet.RolloutRunning, m.state(t, paused.ID))
	audits, _, err := m.ListAudits(t.Context(), store.AuditFilter{})
	require.NoError(t, err)
	require.Len(t, audits, 1)
	require.Equal(t, "rule "+audit.ID, audits[0].CreatedBy)
	require.Contains(t, audits[0].Reason, key)
	e := m.event(t, key)
	require.Equal(t, fleet.EventActed, e.Disposition)
	require.NotNil(t, e.ProcessedAt)
	require.Equal(t, acted, e.Actions)
	require.Equal(t, 1, m.logged(t, "rule "+resume.ID, "rollout.resume"))
	require.Equal(t, 1, m.logged(t, "rule "+resume.ID, "event.act"))

	// A person pauses it again: the event, whose job runs again, does not undo that.
	m.pause(t, paused.ID)
	require.Empty(t, m.work(t, id, store.EventFinding{}))
	for seq := range int32(3) {
		_, err := m.ActOnEvent(t.Context(), id, seq, store.EventFinding{Preflight: resuming("", m.by).Preflight})
		require.NoError(t, err)
	}
	require.Equal(t, fleet.RolloutPaused, m.state(t, paused.ID))
	require.Equal(t, e, m.event(t, key))
	require.Equal(t, 1, m.logged(t, "rule "+resume.ID, "event.act"))
}

// A rule does not begin what fails its checks: the event says so, and what to do.
func TestARuleDoesNotBeginWhatFailsItsChecks(t *testing.T) {
	t.Parallel()
	for _, action := range []fleet.EventAction{fleet.EventResumeRollout, fleet.EventStartRollout} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			m := newMailbox(t, 20)
			r := m.create(t, func(p *store.RolloutParams) { p.Paused = true })
			m.rule(t, action, r.ID)
			id, key := m.receiveOne(t, m.published(t, 1, 0))
			work, _, err := m.ClaimEvent(t.Context(), id)
			require.NoError(t, err)

			_, err = m.ActOnEvent(t.Context(), id, work.Actions[0].Seq, store.EventFinding{})
			require.ErrorAs(t, err, new(*store.UncheckedError))
			require.Equal(t, fleet.EventActing, m.event(t, key).Disposition, "nothing was done")

			failed := checked(time.Now())
			acted := m.work(t, id, store.EventFinding{Preflight: &failed})

			require.Equal(t, fleet.ActionRefused, acted[0].State)
			require.Equal(t, "rollout "+r.ID+" was not begun, for it failed its checks: manifest_build: "+failed.Failed()[0].Message+
				". Mend it and run `fleetctl rollout resume "+r.ID+"`, or add --force and a --reason", acted[0].Message)
			require.Equal(t, fleet.RolloutPaused, m.state(t, r.ID))
			require.Equal(t, fleet.EventActed, m.event(t, key).Disposition)
			require.Empty(t, m.work(t, id, store.EventFinding{}), "and the event does not come back to it")
		})
	}
}

// A crash between two actions: the job goes on with the second, whatever became of
// the rules.
func TestAnEventGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 20)
	r := m.create(t)
	m.pause(t, r.ID)
	first := m.rule(t, fleet.EventResumeRollout, r.ID)
	second := m.rule(t, fleet.EventStartAudit, "")
	id, key := m.receiveOne(t, m.published(t, 1, 0))
	work, ok, err := m.ClaimEvent(t.Context(), id)
	require.NoError(t, err)
	require.True(t, ok)
	_, err = m.ActOnEvent(t.Context(), id, work.Actions[0].Seq, store.EventFinding{Preflight: resuming("", m.by).Preflight})
	require.NoError(t, err)
	require.Equal(t, fleet.EventActing, m.event(t, key).Disposition)
	for _, rule := range []store.EventRule{first, second} {
		require.NoError(t, m.DeleteEventRule(t.Context(), rule.ID, "", m.by))
	}
	m.pause(t, r.ID)

	acted := m.work(t, id, store.EventFinding{})

	require.Len(t, acted, 1)
	require.Equal(t, fleet.EventStartAudit, acted[0].Action)
	require.Equal(t, fleet.ActionDone, acted[0].State, acted[0].Message)
	require.Equal(t, fleet.RolloutPaused, m.state(t, r.ID))
	require.Equal(t, fleet.EventActed, m.event(t, key).Disposition)
}

func TestEventsActInTheOrderOfTheirTime(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 20)
	r := m.create(t)
	m.pause(t, r.ID)
	m.rule(t, fleet.EventResumeRollout, r.ID)
	failed := m.published(t, 2, 20)
	failed.Status = fleet.EventFailed
	newer, newerKey := m.receiveOne(t, failed)
	older, olderKey := m.receiveOne(t, m.published(t, 1, 10))
	twin, _ := m.receiveOne(t, m.published(t, 4, 20))
	other := m.published(t, 3, 5)
	other.Locale = "de-DE"
	elsewhere, elsewhereKey := m.receiveOne(t, other)

	require.Empty(t, m.work(t, newer, store.EventFinding{}))
	require.Equal(t, fleet.EventNoRule, m.event(t, newerKey).Disposition)
	require.Empty(t, m.work(t, older, store.EventFinding{}))
	require.Equal(t, fleet.EventSuperseded, m.event(t, olderKey).Disposition)
	require.Equal(t, fleet.RolloutPaused, m.state(t, r.ID), "the news from before the failure is no news")
	require.Len(t, m.work(t, twin, store.EventFinding{}), 1, "of two of one second neither is older")
	require.Len(t, m.work(t, elsewhere, store.EventFinding{}), 1, "another locale has an order of its own")
	require.Equal(t, fleet.EventActed, m.event(t, elsewhereKey).Disposition)
}

// An event that was begun, and then overtaken while it waited: the rest of it is not done.
func TestANewerEventTakesThePlaceOfOneThatWaits(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 20)
	r := m.create(t)
	m.pause(t, r.ID)
	m.rule(t, fleet.EventResumeRollout, r.ID)
	older, key := m.receiveOne(t, m.published(t, 1, 10))
	work, _, err := m.ClaimEvent(t.Context(), older)
	require.NoError(t, err)
	failed := m.published(t, 2, 20)
	failed.Status = fleet.EventFailed
	newer, newerKey := m.receiveOne(t, failed)
	m.work(t, newer, store.EventFinding{})

	acted, err := m.ActOnEvent(t.Context(), older, work.Actions[0].Seq, store.EventFinding{Preflight: resuming("", m.by).Preflight})

	require.NoError(t, err)
	require.Equal(t, fleet.ActionSuperseded, acted.State)
	require.Contains(t, acted.Message, newerKey)
	require.Equal(t, fleet.RolloutPaused, m.state(t, r.ID))
	require.Equal(t, fleet.EventActed, m.event(t, key).Disposition)
}

func TestReviewsStandBesideEachOther(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 5)
	m.rule(t, fleet.EventRefreshPreflight, "")
	for i, minute := range []int{20, 10} {
		p := m.published(t, i, minute)
		p.Name, p.ReviewID, p.Status = fleet.EventSkillReviewPublish, p.RequestID, ""
		id, _ := m.receiveOne(t, p)
		acted := m.work(t, id, store.EventFinding{State: fleet.ActionDone, Message: "all well"})
		require.Len(t, acted, 1)
		require.Equal(t, "all well", acted[0].Message)
	}
}

func TestAWithdrawnSkillHaltsWhatEnablesIt(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 60)
	of := func(skill, property string, action fleet.Action, change ...func(*store.RolloutParams)) string {
		return m.create(t, append(change, func(p *store.RolloutParams) {
			p.SkillID, p.Selector, p.Action = skill, "property="+property, action
		})...).ID
	}
	properties := m.properties(t)
	running := of(testSkill, properties[0], fleet.ActionEnable)
	m.tick(t, running, 3)
	waiting := of(testSkill, properties[6], fleet.ActionEnable)
	m.set(t, "UPDATE rollouts SET state = 'waiting' WHERE key = '"+waiting+"'")
	scheduled := of(testSkill, properties[1], fleet.ActionEnable, func(p *store.RolloutParams) { p.StartAt = time.Now().Add(time.Hour) })
	paused := of(testSkill, properties[2], fleet.ActionEnable)
	m.pause(t, paused)
	disabling := of(testSkill, properties[3], fleet.ActionDisable)
	other := of("another", properties[4], fleet.ActionEnable)
	ended := of(testSkill, properties[5], fleet.ActionEnable)
	m.cancel(t, ended)
	rule := m.rule(t, fleet.EventHaltRollouts, "")
	id, key := m.receiveOne(t, m.published(t, 1, 0))

	acted := m.work(t, id, store.EventFinding{Withdrawn: "publication status HIDDEN"})

	require.Len(t, acted, 1)
	require.Equal(t, fleet.ActionDone, acted[0].State, acted[0].Message)
	for _, halted := range []string{running, waiting, scheduled} {
		r, err := m.Rollout(t.Context(), halted)
		require.NoError(t, err)
		require.Equal(t, fleet.RolloutHalted, r.State)
		require.Equal(t, "skill "+testSkill+" was withdrawn: publication status HIDDEN, event "+key, r.StateReason)
		require.Zero(t, r.Counts.Queued, "what was released is called back")
		require.Contains(t, acted[0].Message, halted)
	}
	require.Equal(t, fleet.RolloutPaused, m.state(t, paused))
	require.NotEqual(t, fleet.RolloutHalted, m.state(t, disabling), "what takes it away goes on")
	require.NotEqual(t, fleet.RolloutHalted, m.state(t, other))
	require.Equal(t, fleet.RolloutCanceled, m.state(t, ended))
	require.Equal(t, 3, m.logged(t, "rule "+rule.ID, "rollout.halt"))

	second, _ := m.receiveOne(t, m.published(t, 2, 1))
	acted = m.work(t, second, store.EventFinding{Withdrawn: "publication status REMOVED"})
	require.Equal(t, fleet.ActionNothing, acted[0].State, "there is nothing left to halt")
}

func TestStartBeginsWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 40)
	properties := m.properties(t)
	create := func(property string, change ...func(*store.RolloutParams)) string {
		return m.create(t, append(change, func(p *store.RolloutParams) { p.Selector = "property=" + property })...).ID
	}
	scheduled := create(properties[0], func(p *store.RolloutParams) { p.StartAt = time.Now().Add(time.Hour) })
	made := create(properties[1])
	m.pause(t, made)
	begun := create(properties[2])
	m.tick(t, begun, 1)
	m.pause(t, begun)
	over := create(properties[3])
	m.cancel(t, over)
	for _, id := range []string{scheduled, made, begun, over} {
		m.rule(t, fleet.EventStartRollout, id)
	}
	id, _ := m.receiveOne(t, m.published(t, 1, 0))

	acted := m.work(t, id, store.EventFinding{})

	require.Len(t, acted, 4)
	require.Equal(t, fleet.ActionDone, acted[0].State, acted[0].Message)
	require.Equal(t, fleet.RolloutRunning, m.state(t, scheduled))
	m.tick(t, scheduled, 3)
	require.Equal(t, fleet.RolloutRunning, m.state(t, scheduled), "its time counts no more")
	require.Equal(t, fleet.ActionDone, acted[1].State, acted[1].Message)
	require.Equal(t, fleet.RolloutRunning, m.state(t, made))
	require.Equal(t, fleet.ActionRefused, acted[2].State)
	require.Equal(t, fleet.RolloutPaused, m.state(t, begun), "a person paused it while it ran")
	require.Equal(t, fleet.ActionRefused, acted[3].State)
	require.Contains(t, acted[3].Message, "canceled")
}

func TestWhatForbidsAnActionIsItsResult(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, 5)
	_, _, err := m.CreateAudit(t.Context(), store.AuditParams{Account: "acme", Selector: "all"}, m.by, store.Idempotency{})
	require.NoError(t, err)
	m.rule(t, fleet.EventStartAudit, "all")
	m.rule(t, fleet.EventStartAudit, "property=nowhere")
	id, key := m.receiveOne(t, m.published(t, 1, 0))

	acted := m.work(t, id, store.EventFinding{})

	require.Equal(t, fleet.ActionRefused, acted[0].State)
	require.Contains(t, acted[0].Message, "under way")
	require.Equal(t, fleet.ActionRefused, acted[1].State)
	require.Equal(t, fleet.EventActed, m.event(t, key).Disposition)
}
