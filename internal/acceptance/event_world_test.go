package acceptance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/simulator/topic"
)

// loseEvery is which of the answers that say "kept" never gets back to SNS.
const loseEvery = 9

// door is the address that SNS knows, whichever fleetd is behind it. It tells SNS of
// no answer where the fleetd died over a message, and loses some answers by itself.
type door struct {
	url string

	mu      sync.Mutex
	to      string        // of the fleetd that takes messages; empty: none
	open    chan struct{} // closed when there is one
	passed  int           // messages that were answered
	cut     int           // that a fleetd died over
	kept    int           // answers that say so
	answers map[int]int   // by status
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{open: make(chan struct{}), answers: map[int]int{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

// leadTo lets messages through to a fleetd; "" holds them until there is one again.
func (d *door) leadTo(url string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if url != "" {
		close(d.open)
	} else {
		d.open = make(chan struct{})
	}
	d.to = url
}

func (d *door) state() (passed, cut int, answers map[int]int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed, d.cut, maps.Clone(d.answers)
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	open := d.open
	d.mu.Unlock()
	select {
	case <-open:
	case <-r.Context().Done():
		return
	}
	d.mu.Lock()
	to := d.to
	d.mu.Unlock()
	status, answer, err := forward(r, to)
	d.mu.Lock()
	lost := false
	if err != nil {
		d.cut++
	} else {
		d.passed++
		d.answers[status]++
		if status == http.StatusOK {
			d.kept++
			lost = d.kept%loseEvery == 0
		}
	}
	d.mu.Unlock()
	if err != nil || lost {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

func forward(r *http.Request, to string) (status int, answer []byte, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, to+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = r.Header.Clone()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// The two topics that every event comes through, each by a subscription of its own.
var eventTopics = map[string]string{
	topic.DefaultARN:               "amzn1.ask-subscription.team",
	topic.DefaultARN + "-everyone": "amzn1.ask-subscription.everyone",
}

// office is a world whose account takes events, with a rule of every action.
type office struct {
	*world

	door    *door
	skills  []string // that rollouts wait for
	hidden  string   // the skill that is withdrawn
	starts  []string // rollouts that begin when their skill is published, one a skill
	resumes []string // that are resumed when it is certified, one a skill
	halts   string   // the rollout of the hidden skill
}

// serve starts a fleetd that believes the simulator's SNS, behind the door.
func (o *office) serve() {
	o.t.Helper()
	f := o.world.serve("--sns-cert-origin", o.simURL, "--sns-ca-file", o.ca())
	o.door.leadTo(f.url)
}

func (o *office) ca() string {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, o.simURL+topic.Path+"ca.pem", http.NoBody)
	require.NoError(o.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(o.t, err)
	defer res.Body.Close()
	pem, err := io.ReadAll(res.Body)
	require.NoError(o.t, err)
	return o.file("sns.pem", string(pem))
}

// open makes the account, its hook, what is prepared for events, and the rules.
func (o *office) open() {
	o.t.Helper()
	o.account("acme", defaultClient, "--rate", "500", "--link-mode", "delegated")
	o.must("account", "credential", "set", "acme", "--kind", "developer", "--vendor-id", simulator.DefaultVendorID, "--rate", "500",
		"--client-id", simulator.DefaultDeveloperClientID,
		"--client-secret-file", o.file("dev.secret", simulator.DefaultDeveloperClientSecret+"\n"),
		"--refresh-token-file", o.file("dev.refresh", simulator.DefaultDeveloperRefreshToken+"\n"))
	o.importHomes("acme")
	var homes client.UnitList
	require.NoError(o.t, json.Unmarshal([]byte(o.must("unit", "list", "--account", "acme", "--limit", "0", "-o", "json")), &homes))
	var properties []string
	seen := map[string]bool{}
	for _, h := range homes.Items {
		if !seen[h.Property] {
			seen[h.Property], properties = true, append(properties, h.Property)
		}
	}
	require.GreaterOrEqual(o.t, len(properties), 3)
	prepare := func(skill, property string, flags ...string) string {
		var r client.Rollout
		out := o.must(append([]string{
			"rollout", "create", "enable", "--account", "acme", "--skill", skill, "--select", "property=" + property,
			"--yes", "-o", "json", "--observation-max-age", "any",
		}, flags...)...)
		require.NoError(o.t, json.Unmarshal([]byte(out), &r))
		return r.ID
	}
	rule := func(flags ...string) {
		o.must(append([]string{"event", "rule", "create", "--account", "acme"}, flags...)...)
	}
	rule("--action", "halt_rollouts", "--status", "FAILED")
	rule("--action", "refresh_preflight", "--event", "SkillCertification")
	rule("--action", "start_audit", "--event", "ManifestUpdate", "--select", "property="+properties[2])
	for _, skill := range o.skills {
		start := prepare(skill, properties[0], "--start-at", "2099-01-01T00:00:00Z")
		resume := prepare(skill, properties[1], "--paused")
		rule("--action", "start_rollout", "--event", "SkillPublish", "--rollout", start)
		rule("--action", "resume_rollout", "--event", "SkillCertification", "--rollout", resume)
		o.starts, o.resumes = append(o.starts, start), append(o.resumes, resume)
	}
	o.halts = prepare(o.hidden, properties[0], "--start-at", "2099-01-01T00:00:00Z")
	require.NoError(o.t, o.sim.ChangeSkill(o.hidden, simulator.SkillChange{PublicationStatus: new(simulator.Publication("HIDDEN"))}))

	hook := []string{"event", "hook", "set", "--account", "acme"}
	for arn := range eventTopics {
		hook = append(hook, "--topic", arn)
	}
	o.must(hook...)
	for arn := range eventTopics {
		_, err := o.sim.AddHook(topic.HookParams{URL: o.door.url + "/hooks/sns/acme", TopicARN: arn, Base: o.simURL})
		require.NoError(o.t, err)
	}
	eventually(o.t, 30*time.Second, "the subscriptions are confirmed", func() bool {
		for _, h := range o.sim.Hooks() {
			if h.State != topic.Confirmed {
				return false
			}
		}
		return true
	})
}

// happenings makes n things that happen, a second apart, of all kinds. The last of each
// skill is that it is certified and published.
func (o *office) happenings(n int, seed uint64) (out []simulator.EventParams) {
	dice := rand.New(rand.NewPCG(seed, 4))
	started := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	add := func(p simulator.EventParams) {
		p.RequestID, p.Timestamp = fmt.Sprintf("request-%04d", len(out)), started.Add(time.Duration(len(out))*time.Second)
		out = append(out, p)
	}
	names := fleet.EventNames()
	add(simulator.EventParams{Name: fleet.EventManifestUpdate, SkillID: o.hidden, Status: "FAILED"})
	for len(out) < n {
		p := simulator.EventParams{Name: names[dice.IntN(len(names))], SkillID: o.skills[dice.IntN(len(o.skills))]}
		if dice.IntN(10) == 0 {
			p.Name = "AlexaDevelopmentEvent.SkillTeleport"
		}
		if dice.IntN(3) == 0 {
			p.Status = "FAILED"
		}
		if dice.IntN(3) == 0 {
			p.Locale = "de-DE"
		}
		add(p)
	}
	for _, skill := range o.skills {
		add(simulator.EventParams{Name: fleet.EventSkillCertification, SkillID: skill})
		add(simulator.EventParams{Name: fleet.EventSkillPublish, SkillID: skill})
	}
	for i := range out { // what is published a little later may come first
		j := min(i+dice.IntN(4), len(out)-1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// publish has every event told through both topics, until it is done or ctx ends.
func (o *office) publish(ctx context.Context, events []simulator.EventParams) error {
	for _, p := range events {
		for arn, subscription := range eventTopics {
			p.TopicARN, p.SubscriptionID = arn, subscription
			if _, err := o.sim.PublishEvent(p); err != nil || ctx.Err() != nil {
				return err
			}
		}
	}
	return nil
}
