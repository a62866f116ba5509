package simulator_test

import (
	"net/http"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/simulator"
)

func manifestBody(name string) string {
	return `{"vendorId":"` + vendorID + `","manifest":{"manifestVersion":"1.0","publishingInformation":{"locales":{"en-US":{"name":"` + name + `"}}}}}`
}

func TestBuildsSendManifestUpdate(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]string{"Fine": "SUCCEEDED", "It will FAIL": "FAILED"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			c, _ := startDevelopers(t, simulator.Config{BuildDelay: 20 * time.Millisecond})
			b := startInbox(c)
			subscription := c.subscription(simulator.EventManifestUpdate)
			b.messages(1)
			created := c.do("POST", "/v1/skills", manifestBody(name))
			require.Equal(t, http.StatusAccepted, created.Code, created.Body)
			skill := path.Base(strings.TrimSuffix(created.Header().Get("Location"), "/status?resource=manifest"))
			e := eventOf(t, b.messages(2)[1])
			require.Equal(t, simulator.EventManifestUpdate, e.EventName)
			require.Equal(t, created.Header().Get("X-Amzn-RequestId"), e.RequestID)
			require.Equal(t, status, e.Payload.Status)
			require.Equal(t, skill, e.Payload.Skill.SkillID)
			require.Equal(t, vendorID, e.Payload.Skill.VendorID)
			require.Equal(t, subscription, e.Payload.Subscription.SubscriptionID)
			require.NotEmpty(t, e.Payload.Actor.CustomerID)

			updated := c.do("PUT", "/v1/skills/"+skill+"/stages/development/manifest", manifestBody("Fine"))
			require.Equal(t, http.StatusAccepted, updated.Code, updated.Body)
			e = eventOf(t, b.messages(3)[2])
			require.Equal(t, updated.Header().Get("X-Amzn-RequestId"), e.RequestID)
			require.Equal(t, "SUCCEEDED", e.Payload.Status)
		})
	}
}

func TestBuildsSendTheirEventWhenTheyEndAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := startDevelopers(t, simulator.Config{BuildDelay: time.Minute})
		c.subscription("AlexaDevelopmentEvent.All")
		require.Equal(t, http.StatusAccepted, c.do("POST", "/v1/skills", manifestBody("Fine")).Code)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.Empty(t, c.sim.Events(0))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, c.sim.Events(0), 1)
	})
}

func TestPublishSendsSkillPublish(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	b := startInbox(c)
	c.subscription(simulator.EventSkillPublish)
	b.messages(1)
	c.control("POST", "/_sim/publish", `{"skill_id":"amzn1.ask.skill.new"}`)
	c.control("POST", "/_sim/publish", `{"skill_id":"amzn1.ask.skill.new","fail":true}`)
	messages := b.messages(3)[1:]
	for i, status := range []string{"SUCCEEDED", "FAILED"} {
		e := eventOf(t, messages[i])
		require.Equal(t, simulator.EventSkillPublish, e.EventName)
		require.Equal(t, status, e.Payload.Status)
		require.Equal(t, "amzn1.ask.skill.new", e.Payload.Skill.SkillID)
		require.NotEmpty(t, e.RequestID)
	}
	require.NotEqual(t, eventOf(t, messages[0]).RequestID, eventOf(t, messages[1]).RequestID)
}
