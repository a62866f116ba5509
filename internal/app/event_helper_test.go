package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/simulator/topic"
	"fleetd/internal/store"
)

const (
	eventSkill  = "amzn1.ask.skill.published"
	eventTopic  = topic.DefaultARN
	rawSecret   = "canary-raw-secret-7f3a9c"
	eventWaits  = 30 * time.Second
	eventLooks  = 20 * time.Millisecond
	eventHomes  = 30
	publishName = "AlexaDevelopmentEvent.SkillPublish"
)

// station is a fleetd that takes events of a simulated SNS, whose authority it was
// told of by --sns-ca-file and --sns-cert-origin.
type station struct {
	t   *testing.T
	app *app.App
	sim *simulator.Simulator
	url string // of the simulator
	by  fleet.Actor
}

func newStation(t *testing.T, change ...func(*app.Config)) *station {
	t.Helper()
	s := &station{t: t, by: fleet.Actor{Name: "ann", Role: fleet.RoleAdmin}}
	s.sim = simulator.New(simulator.Config{Units: eventHomes, Properties: 3, Published: []string{eventSkill}})
	server := httptest.NewServer(s.sim)
	t.Cleanup(func() { s.sim.Close(); server.Close() })
	s.url = server.URL
	_, pem := get(t, s.url+topic.Path+"ca.pem")
	cfg := config(t)
	cfg.SNSCAFile, cfg.SNSCertOrigin = filepath.Join(t.TempDir(), "ca.pem"), s.url
	require.NoError(t, os.WriteFile(cfg.SNSCAFile, []byte(pem), 0o600))
	for _, f := range change {
		f(&cfg)
	}
	s.app = start(t, cfg)
	st := s.app.Store()
	_, _, err := st.CreateAccount(t.Context(), store.AccountParams{
		Name: "acme", ClientID: simulator.DefaultClientID, ClientSecret: simulator.DefaultClientSecret, RefreshToken: simulator.DefaultRefreshToken,
		APIURL: s.url, TokenURL: s.url + "/auth/o2/token", Rate: "500",
	}, s.by, store.Idempotency{})
	require.NoError(t, err)
	var csv strings.Builder
	require.NoError(t, s.sim.WriteInventory(&csv))
	_, _, err = st.ImportUnits(t.Context(), "acme", strings.NewReader(csv.String()), store.ImportParams{}, s.by, store.Idempotency{})
	require.NoError(t, err)
	_, err = st.SetEventHook(t.Context(), store.EventHookParams{Account: "acme", Topics: []string{eventTopic}}, s.by)
	require.NoError(t, err)
	return s
}

// developer gives acme the developer credential of the simulator's first developer.
func (s *station) developer() {
	s.t.Helper()
	_, err := s.app.Store().SetCredential(s.t.Context(), "acme", store.CredentialParams{
		Kind: fleet.CredentialDeveloper, ClientID: simulator.DefaultDeveloperClientID, ClientSecret: simulator.DefaultDeveloperClientSecret,
		RefreshToken: simulator.DefaultDeveloperRefreshToken, VendorID: simulator.DefaultVendorID,
	}, s.by)
	require.NoError(s.t, err)
}

// hook subscribes acme's address to a topic, with a user and a password if there is one.
func (s *station) hook(arn, secret string, raw bool) topic.Hook {
	s.t.Helper()
	address := s.app.URL() + "/hooks/sns/acme"
	if secret != "" {
		address = strings.Replace(address, "http://", "http://sns:"+secret+"@", 1)
	}
	h, err := s.sim.AddHook(topic.HookParams{URL: address, TopicARN: arn, Raw: raw, Base: s.url})
	require.NoError(s.t, err)
	return h
}

// subscribed is hook, and waits until the subscription is confirmed.
func (s *station) subscribed(secret string, raw bool) topic.Hook {
	s.t.Helper()
	h := s.hook(eventTopic, secret, raw)
	require.Eventually(s.t, func() bool { return s.hookState(h.ID) == topic.Confirmed }, eventWaits, eventLooks)
	s.settled()
	return h
}

// settled waits until no delivery is under way.
func (s *station) settled() {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.sim.Deliveries(topic.DeliveriesParams{}).Pending == 0 }, eventWaits, eventLooks)
}

func (s *station) hookState(id string) topic.State {
	for _, h := range s.sim.Hooks() {
		if h.ID == id {
			return h.State
		}
	}
	return ""
}

func (s *station) control(path, body string, out any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/_sim/"+path, strings.NewReader(body))
	require.NoError(s.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	require.Equal(s.t, http.StatusOK, res.StatusCode, path)
	if out != nil {
		require.NoError(s.t, json.NewDecoder(res.Body).Decode(out))
	}
}

// send has one message delivered, and returns how it was answered.
func (s *station) send(as topic.As, more string) (d topic.Delivery) {
	s.t.Helper()
	s.control("deliveries", fmt.Sprintf(`{"as":%q%s}`, as, more), &d)
	require.Empty(s.t, d.Error, "there is an answer")
	return d
}

// tell has one event delivered; minute orders them.
func (s *station) tell(request, status string, minute int) topic.Delivery {
	s.t.Helper()
	at := time.Now().UTC().Add(-time.Hour + time.Duration(minute)*time.Minute).Format(time.RFC3339)
	return s.send(topic.AsNotification, fmt.Sprintf(`,"event":{"name":"SkillPublish","skill_id":%q,"status":%q,"request_id":%q,"timestamp":%q}`,
		eventSkill, status, request, at))
}

func (s *station) events() []store.Event {
	s.t.Helper()
	events, _, err := s.app.Store().ListEvents(s.t.Context(), store.EventFilter{Since: "1970-01-01T00:00:00Z"})
	require.NoError(s.t, err)
	return events
}

// last waits until the last event has come to its end.
func (s *station) last(d fleet.EventDisposition) (e store.Event) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		events := s.events()
		if len(events) == 0 {
			return false
		}
		e = events[len(events)-1]
		return e.Disposition == d
	}, eventWaits, eventLooks, "%s, not %+v", d, &e)
	return e
}

func (s *station) rule(action fleet.EventAction, argument string) {
	s.t.Helper()
	_, _, err := s.app.Store().CreateEventRule(s.t.Context(), store.EventRuleParams{Account: "acme", Action: action, Argument: argument}, s.by, store.Idempotency{})
	require.NoError(s.t, err)
}

// paused makes a rollout and pauses it.
func (s *station) paused() string {
	s.t.Helper()
	r, _, err := s.app.Store().CreateRollout(s.t.Context(), store.RolloutParams{
		Account: "acme", Action: fleet.ActionEnable, SkillID: eventSkill, Selector: "all", StartAt: time.Now().Add(time.Hour),
	}, s.by, store.Idempotency{})
	require.NoError(s.t, err)
	_, err = s.app.Store().PauseRollout(s.t.Context(), r.ID, "", s.by)
	require.NoError(s.t, err)
	return r.ID
}

func (s *station) rolloutState(id string) fleet.RolloutState {
	s.t.Helper()
	r, err := s.app.Store().Rollout(s.t.Context(), id)
	require.NoError(s.t, err)
	return r.State
}

// tables is everything that a message could change.
func (s *station) tables() (out map[string]int) {
	s.t.Helper()
	out = map[string]int{}
	for _, table := range []string{"events", "event_bodies", "event_heads", "event_actions", "event_totals", "log_entries", "audits", "rollouts"} {
		var n int
		require.NoError(s.t, s.app.Store().Pool().QueryRow(s.t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		out[table] = n
	}
	var n int
	require.NoError(s.t, s.app.Store().Pool().QueryRow(s.t.Context(), "SELECT count(*) FROM river_job WHERE kind = 'event'").Scan(&n))
	out["jobs"] = n
	return out
}

// counted is the value of one line of /metrics; 0 where it is not there.
func (s *station) counted(line string) string {
	s.t.Helper()
	_, text := get(s.t, s.app.URL()+"/metrics")
	for l := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(l, line+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "0"
}

func (s *station) messages(result string) string {
	return s.counted(fmt.Sprintf(`fleet_hook_messages_total{account="acme",result=%q}`, result))
}
