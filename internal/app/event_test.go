package app_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator/topic"
	"fleetd/internal/store"
)

// Whatever is not what it says it is gets a 4xx, is counted under its name, and
// changes nothing: not a row, not a job.
func TestForgedMessagesChangeNothing(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.rule(fleet.EventStartAudit, "all")
	s.subscribed("", false)
	require.Equal(t, http.StatusOK, s.tell("first", "SUCCEEDED", 0).Status)
	s.last(fleet.EventActed)
	before := s.tables()
	for as, want := range map[topic.As]struct {
		status int
		result string
	}{
		topic.AsReplay:              {409, "replayed"},
		topic.AsForged:              {403, "signature"},
		topic.AsUnsigned:            {400, "malformed"},
		topic.AsSHA1:                {400, "signature_version"},
		topic.AsOld:                 {400, "too_old"},
		topic.AsFuture:              {400, "future"},
		topic.AsWrongTopic:          {403, "wrong_topic"},
		topic.AsForeignCertificate:  {403, "certificate"},
		topic.AsForeignHost:         {400, "certificate_url"},
		topic.AsWrongName:           {403, "certificate"},
		topic.AsExpiredCertificate:  {403, "certificate"},
		topic.AsMissingCertificate:  {403, "certificate"},
		topic.AsMismatchedHeader:    {400, "header_mismatch"},
		topic.AsForeignSubscribeURL: {400, "subscribe_url"},
		topic.AsMalformed:           {400, "malformed"},
		topic.AsHuge:                {413, "too_large"},
		topic.AsRaw:                 {403, "raw"},
	} {
		t.Run(string(as), func(t *testing.T) {
			counted := s.messages(want.result)
			more := `,"message":"{\"eventName\":\"AlexaDevelopmentEvent.SkillPublish\",\"payload\":{}}"`
			if as == topic.AsReplay || as == topic.AsHuge {
				more = ""
			}
			d := s.send(as, more)
			require.Equal(t, want.status, d.Status, d.Answer)
			require.Contains(t, d.Answer, `"detail"`)
			require.NotEqual(t, counted, s.messages(want.result), "it is counted")
			require.Equal(t, before, s.tables(), "and changes nothing")
		})
	}
}

func TestASubscriptionIsConfirmedForAnAllowedTopicOnly(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	before := s.tables()
	foreign := s.hook(eventTopic+"-of-others", "", false)
	require.Eventually(t, func() bool { return s.messages("wrong_topic") == "1" }, eventWaits, eventLooks)
	s.settled()
	require.Equal(t, topic.Pending, s.hookState(foreign.ID))
	require.Equal(t, before, s.tables())

	h := s.subscribed("", false)
	require.Equal(t, "1", s.messages("subscription"))
	e := s.last(fleet.EventSubscription)
	require.Equal(t, "SubscriptionConfirmation", e.Name)
	log, _, err := s.app.Store().ListLog(t.Context(), store.LogFilter{Actor: "sns"})
	require.NoError(t, err)
	require.Len(t, log, 1)
	require.Equal(t, "event.subscription", log[0].Action)
	require.NotContains(t, fmt.Sprint(log), "Token")

	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.url+"/_sim/hooks/"+h.ID, http.NoBody)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	s.settled()
	require.Equal(t, "UnsubscribeConfirmation", s.last(fleet.EventSubscription).Name)
	require.Equal(t, topic.Unsubscribed, s.hookState(h.ID), "it is not subscribed again")

	// Nobody takes events for an account without a hook.
	require.NoError(t, s.app.Store().DeleteEventHook(t.Context(), "acme", "", s.by))
	require.Equal(t, http.StatusNotFound, s.send(topic.AsNotification, fmt.Sprintf(`,"hook":%q`, h.ID)).Status)
	require.Equal(t, "1", s.counted(`fleet_hook_messages_total{account="",result="wrong_topic"}`))
}

func TestEventsAreKeptOnceHoweverOftenTheyAreTold(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.rule(fleet.EventStartAudit, "all")
	s.subscribed("", false)
	require.Equal(t, http.StatusOK, s.tell("one", "SUCCEEDED", 0).Status)
	first := s.last(fleet.EventActed)
	require.Equal(t, publishName, first.Name)
	require.Equal(t, eventSkill, first.SkillID)
	require.Len(t, first.Actions, 1)
	require.Equal(t, fleet.ActionDone, first.Actions[0].State, first.Actions[0].Message)

	twin := fmt.Sprintf(`,"event":{"name":"SkillPublish","skill_id":%q,"request_id":"one","timestamp":%q}`, eventSkill, first.EventAt.Format(time.RFC3339))
	require.Equal(t, http.StatusOK, s.send(topic.AsNotification, twin).Status)
	require.Equal(t, first.ID, s.last(fleet.EventDuplicate).DuplicateOf)
	require.Equal(t, http.StatusOK, s.send(topic.AsNotification, `,"message":"{}"`).Status)
	s.last(fleet.EventEmpty)
	unknown := `{\"eventName\":\"AlexaDevelopmentEvent.SkillTeleport\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"news\":[1]}`
	require.Equal(t, http.StatusOK, s.send(topic.AsNotification, `,"message":"`+unknown+`"`).Status)
	e := s.last(fleet.EventUnknown)
	require.Equal(t, "AlexaDevelopmentEvent.SkillTeleport", e.Name)
	detail, err := s.app.Store().Event(t.Context(), e.ID)
	require.NoError(t, err)
	require.Contains(t, string(detail.Body), `"news"`)
	require.Equal(t, http.StatusOK, s.send(topic.AsNotification, `,"message":"not JSON"`).Status)
	s.last(fleet.EventUnknown)

	require.Equal(t, "4", s.messages("accepted"))
	require.Equal(t, "1", s.messages("duplicate"))
	require.Equal(t, "1", s.counted(`fleet_events_total{account="acme",event="AlexaDevelopmentEvent.SkillPublish",status="SUCCEEDED"}`))
	require.Equal(t, "1", s.counted(`fleet_events_total{account="acme",event="empty",status=""}`))
	require.Equal(t, "2", s.counted(`fleet_events_total{account="acme",event="other",status=""}`))
	require.Equal(t, 1, s.tables()["audits"], "one audit, for one event")
}

func TestAnEventThatComesLateDoesNothing(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	rollout := s.paused()
	s.rule(fleet.EventResumeRollout, rollout)
	s.subscribed("", false)
	require.Equal(t, http.StatusOK, s.tell("late", "FAILED", 20).Status)
	s.last(fleet.EventNoRule)
	require.Equal(t, http.StatusOK, s.tell("early", "SUCCEEDED", 10).Status)
	s.last(fleet.EventSuperseded)
	require.Equal(t, fleet.RolloutPaused, s.rolloutState(rollout))

	require.Equal(t, http.StatusOK, s.tell("later", "SUCCEEDED", 30).Status)
	s.last(fleet.EventActed)
	require.Equal(t, fleet.RolloutScheduled, s.rolloutState(rollout), "it goes on as it was made")
}

// An event that says it is of next year would keep every later one from acting.
func TestAnEventOfTheFutureDoesNothing(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.rule(fleet.EventStartAudit, "all")
	s.subscribed("", false)
	require.Equal(t, http.StatusOK, s.tell("soon", "SUCCEEDED", 24*60*365).Status)
	s.last(fleet.EventUnknown)
	require.Equal(t, http.StatusOK, s.tell("now", "SUCCEEDED", 59).Status)
	s.last(fleet.EventActed)
}

func TestRawMessagesNeedTheSecret(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	_, err := s.app.Store().SetEventHook(t.Context(), store.EventHookParams{Account: "acme", Topics: []string{eventTopic}, RawSecret: new(rawSecret)}, s.by)
	require.NoError(t, err)
	h := s.subscribed(rawSecret, true)
	guess := s.subscribed("not-the-secret-of-the-hook", true)
	none := s.subscribed("", true)
	before := s.tables()
	of := func(h topic.Hook, d time.Duration) string {
		return fmt.Sprintf(`,"hook":%q,"event":{"name":"SkillPublish","skill_id":%q,"timestamp":%q}`, h.ID, eventSkill, time.Now().UTC().Add(d).Format(time.RFC3339))
	}
	at := func(d time.Duration) string { return of(h, d) }
	d := s.send(topic.AsRaw, of(guess, 0))
	require.Equal(t, http.StatusUnauthorized, d.Status)
	require.True(t, d.Challenged)
	require.Equal(t, "2", s.messages("raw_secret"), "without a password, and with a wrong one")
	require.Equal(t, http.StatusUnauthorized, s.send(topic.AsRaw, of(none, 0)).Status)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.app.URL()+"/hooks/sns/acme", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("X-Amz-Sns-Rawdelivery", "true")
	req.Header.Set("X-Amz-Sns-Message-Type", "Notification")
	req.Header.Set("X-Amz-Sns-Message-Id", "m-1")
	req.Header.Set("X-Amz-Sns-Topic-Arn", eventTopic)
	req.SetBasicAuth(rawSecret, "")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "the user name is no secret")
	d = s.send(topic.AsRaw, at(-9*time.Hour))
	require.Equal(t, http.StatusBadRequest, d.Status)
	require.Equal(t, "1", s.messages("too_old"), "raw messages have the age of their event")
	require.Equal(t, before, s.tables())

	d = s.send(topic.AsRaw, at(0))
	require.Equal(t, http.StatusOK, d.Status, d.Answer)
	require.True(t, d.Challenged, "SNS shows the secret when it is asked to")
	e := s.last(fleet.EventNoRule)
	require.True(t, e.RawDelivery)
	require.Nil(t, e.SentAt)
	signed := s.send(topic.AsNotification, at(time.Second))
	require.Equal(t, http.StatusOK, signed.Status, "signed messages go on being taken")

	_, err = s.app.Store().SetEventHook(t.Context(), store.EventHookParams{Account: "acme", Topics: []string{eventTopic}, RawSecret: new("")}, s.by)
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, s.send(topic.AsRaw, at(2*time.Second)).Status)
	require.Equal(t, "1", s.messages("raw"))
}

func TestAWithdrawnSkillHaltsItsRollouts(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.rule(fleet.EventHaltRollouts, "")
	s.rule(fleet.EventRefreshPreflight, "")
	s.subscribed("", false)
	rollout, _, err := s.app.Store().CreateRollout(t.Context(), store.RolloutParams{
		Account: "acme", Action: fleet.ActionEnable, SkillID: eventSkill, Selector: "all", StartAt: time.Now().Add(time.Hour),
	}, s.by, store.Idempotency{})
	require.NoError(t, err)

	s.tell("a", "FAILED", 1)
	e := s.last(fleet.EventActed)
	require.Equal(t, fleet.ActionNotAvailable, e.Actions[0].State)
	require.Contains(t, e.Actions[0].Message, "no developer credential")
	require.Equal(t, fleet.ActionNotAvailable, e.Actions[1].State)
	require.Contains(t, e.Actions[1].Message, "no developer credential")
	s.developer()
	s.tell("b", "FAILED", 2)
	e = s.last(fleet.EventActed)
	require.Equal(t, fleet.ActionNothing, e.Actions[0].State, e.Actions[0].Message)
	require.Contains(t, e.Actions[0].Message, "PUBLISHED")
	require.Equal(t, fleet.RolloutScheduled, s.rolloutState(rollout.ID))

	s.control("skills/"+eventSkill, `{"publication_status":"HIDDEN"}`, nil)
	s.tell("c", "FAILED", 3)
	e = s.last(fleet.EventActed)
	require.Equal(t, fleet.ActionDone, e.Actions[0].State, e.Actions[0].Message)
	halted, err := s.app.Store().Rollout(t.Context(), rollout.ID)
	require.NoError(t, err)
	require.Equal(t, fleet.RolloutHalted, halted.State)
	require.Equal(t, "skill "+eventSkill+" was withdrawn: publication status HIDDEN, event "+e.ID, halted.StateReason)
}

// A 2xx says that the message is kept: without a database there is none.
func TestNothingIsAcknowledgedThatIsNotKept(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.subscribed("", false)
	pool := s.app.Store().Pool()
	_, err := pool.Exec(t.Context(), "ALTER TABLE events RENAME TO events_away")
	require.NoError(t, err)
	d := s.tell("lost", "SUCCEEDED", 0)
	require.Equal(t, http.StatusServiceUnavailable, d.Status)
	require.NotContains(t, d.Answer, "events_away")
	require.Equal(t, "1", s.messages("failed"))
	_, err = pool.Exec(t.Context(), "ALTER TABLE events_away RENAME TO events")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, s.tell("lost", "SUCCEEDED", 0).Status)
	s.last(fleet.EventNoRule)
}

func TestEventsOfAStoppedFleetdAreActedOnByTheNext(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.subscribed("", false)
	st := s.app.Store()
	require.Equal(t, http.StatusOK, s.tell("x", "SUCCEEDED", 0).Status)
	s.last(fleet.EventNoRule)
	rollout := s.paused()
	s.rule(fleet.EventResumeRollout, rollout)
	id := int64(0)
	require.NoError(t, st.Pool().QueryRow(t.Context(), "SELECT max(id) FROM events").Scan(&id))
	// As a process leaves it that was killed between taking the event and acting on it.
	_, err := st.Pool().Exec(t.Context(), "UPDATE events SET disposition = 'received', processed_at = NULL WHERE id = $1", id)
	require.NoError(t, err)
	_, err = st.Pool().Exec(t.Context(), "UPDATE river_job SET state = 'available', finalized_at = NULL, attempt = 0 WHERE kind = 'event'")
	require.NoError(t, err)

	e := s.last(fleet.EventActed)

	require.Equal(t, fleet.ActionDone, e.Actions[0].State, e.Actions[0].Message)
	require.Equal(t, fleet.RolloutScheduled, s.rolloutState(rollout))
}

func TestAWrongAuthorityIsToldAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	const origin = "http://127.0.0.1:8090"
	for name, c := range map[string]struct{ origin, file, field, says string }{
		"no file":        {origin, "", "--sns-ca-file", "missing"},
		"no origin":      {"", write("x", "x"), "--sns-cert-origin", "missing"},
		"not there":      {origin, filepath.Join(dir, "none.pem"), "--sns-ca-file", "cannot be read"},
		"a folder":       {origin, dir, "--sns-ca-file", "no file"},
		"empty":          {origin, write("empty", ""), "--sns-ca-file", "empty"},
		"no certificate": {origin, write("text", "hello"), "", "no certificate"},
		"no address":     {"127.0.0.1:8090", write("text2", "hello"), "", "--sns-cert-origin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := app.Config{DatabaseURL: "postgres://127.0.0.1:1/none", DataDir: t.TempDir(), Listen: "127.0.0.1:0", SNSCertOrigin: c.origin, SNSCAFile: c.file}
			e := refused(t, cfg)
			require.Equal(t, fleet.CodeInvalid, e.Code, "before the database is asked for")
			require.Equal(t, c.field, e.Field)
			require.Contains(t, e.Error(), c.says)
		})
	}
}

// A slow sender, and a host of them, are sent away; others are served.
func TestSlowSendersDoNotHoldTheHook(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.subscribed("", false)
	blocked := make(chan struct{})
	t.Cleanup(func() { close(blocked) })
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	busy := func() bool {
		return s.counted(`fleet_hook_messages_total{account="",result="busy"}`) != "0"
	}
	for range 40 {
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.app.URL()+"/hooks/sns/acme", stalled{blocked})
			if err != nil {
				return
			}
			req.Header.Set("X-Amz-Sns-Topic-Arn", eventTopic)
			if res, err := http.DefaultClient.Do(req); err == nil {
				_ = res.Body.Close()
			}
		}()
	}
	require.Eventually(t, busy, eventWaits, eventLooks)
	require.Eventually(t, func() bool { return s.tell("through", "SUCCEEDED", 0).Status == http.StatusOK }, eventWaits, 200*time.Millisecond,
		"the slow ones are given up after seconds")
	require.NotEqual(t, "0", s.messages("malformed"))
}

// stalled is a body that does not come.
type stalled struct{ until chan struct{} }

func (s stalled) Read([]byte) (int, error) {
	<-s.until
	return 0, os.ErrClosed
}

func TestOtherMethodsAndPathsOfHooks(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	for path, status := range map[string]int{
		"/hooks/sns/acme": http.StatusMethodNotAllowed, "/hooks/sns/": http.StatusNotFound, "/hooks/sns": http.StatusNotFound, "/hooks/sns/acme/x": http.StatusNotFound,
	} {
		got, _ := get(t, s.app.URL()+path)
		require.Equal(t, status, got, path)
	}
	for _, path := range []string{"/hooks/sns/nobody", "/hooks/sns/%00", "/hooks/sns/" + strings.Repeat("a", 5000), "/hooks/sns/ACME", "/hooks/sns/a%2Fb"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.app.URL()+path, strings.NewReader("{}"))
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusNotFound, res.StatusCode, path)
	}
}
