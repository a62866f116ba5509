package app_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// Two subscriptions at Amazon each tell of what happened once: it acts once, and both
// messages can be seen.
func TestAnEventOfTwoSubscriptionsActsOnce(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.rule(fleet.EventStartAudit, "all")
	s.subscribed("", false)
	at := time.Now().Add(-time.Minute)
	for _, subscription := range []string{"amzn1.ask-subscription.team", "amzn1.ask-subscription.everybody"} {
		events, err := s.sim.PublishEvent(simulator.EventParams{
			Name: "SkillPublish", SkillID: eventSkill, RequestID: "one", Timestamp: at, SubscriptionID: subscription, TopicARN: eventTopic,
		})
		require.NoError(t, err)
		require.Len(t, events, 1)
		s.settled()
	}
	require.Eventually(t, func() bool { return s.events()[1].Disposition == fleet.EventActed }, eventWaits, eventLooks)

	events := s.events()
	require.Len(t, events, 3, "the subscription of the hook, and a message of each of Amazon's")
	first, second := events[1], events[2]
	require.Equal(t, "amzn1.ask-subscription.team", first.SubscriptionID)
	require.Equal(t, "amzn1.ask-subscription.everybody", second.SubscriptionID)
	require.Equal(t, fleet.EventDuplicate, second.Disposition)
	require.Equal(t, first.ID, second.DuplicateOf)
	require.Empty(t, second.Actions)
	require.Equal(t, 1, s.tables()["audits"])
	require.Equal(t, "1", s.counted(`fleet_events_total{account="acme",event="AlexaDevelopmentEvent.SkillPublish",status="SUCCEEDED"}`))

	// The same call in another locale, and of another skill, is something else.
	for _, more := range []simulator.EventParams{{Locale: "de-DE"}, {Locale: "de-DE", SkillID: "another"}, {Locale: "fr-FR"}} {
		more.Name, more.RequestID, more.TopicARN = "InteractionModelUpdate", "one", eventTopic
		more.SkillID = cmp.Or(more.SkillID, eventSkill)
		_, err := s.sim.PublishEvent(more)
		require.NoError(t, err)
	}
	s.settled()
	events = s.events()
	require.Len(t, events, 6)
	for _, e := range events[3:] {
		require.Empty(t, e.DuplicateOf)
	}
}
