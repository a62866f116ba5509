package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSubscriberUpdateKeepsWhatNoFlagNames(t *testing.T) {
	t.Parallel()
	const path = "/accounts/acme/subscribers/r1"
	f := newFake(t, map[string][]reply{"GET " + path: {ok(t, "subscriber")}, "PUT " + path: {ok(t, "subscriber")}})
	fleetctl(t, f, exitDone, strings.Fields("event subscriber update r1 --account acme --name other --reason why")...)
	require.JSONEq(t, `{"name":"other","uri":"arn:aws:sns:us-east-1:123456789012:events","role_arn":"arn:aws:iam::123456789012:role/alexa","reason":"why"}`, f.last().body)
	require.Len(t, f.seen(), 2)
	fleetctl(t, f, exitDone, strings.Fields("event subscriber update r1 --account acme --name a --topic b --role c")...)
	require.JSONEq(t, `{"name":"a","uri":"b","role_arn":"c"}`, f.last().body)
	require.Len(t, f.seen(), 3, "what is given whole is not read first")
}

func TestSubscriptionUpdateKeepsWhatNoFlagNames(t *testing.T) {
	t.Parallel()
	const path = "/accounts/acme/subscriptions/n1"
	f := newFake(t, map[string][]reply{
		"GET " + path: {ok(t, "subscription")}, "PUT " + path: {ok(t, "subscription")}, "POST /accounts/acme/subscriptions": {ok(t, "subscription")},
	})
	for args, want := range map[string]string{
		"--name other":         `{"name":"other","events":["AlexaDevelopmentEvent.ManifestUpdate","AlexaDevelopmentEvent.SkillPublish"]}`,
		"--event SkillPublish": `{"name":"builds","events":["AlexaDevelopmentEvent.SkillPublish"]}`,
		"--name x --event all": `{"name":"x","events":["AlexaDevelopmentEvent.ALL"]}`,
		"--name x --event AlexaCustomerFeedbackEvent.SkillReviewPublish --event Newest": `{"name":"x","events":["AlexaCustomerFeedbackEvent.SkillReviewPublish","Newest"]}`,
	} {
		fleetctl(t, f, exitDone, append(strings.Fields("event subscription update n1 --account acme"), strings.Fields(args)...)...)
		require.JSONEq(t, want, f.last().body)
	}
	fleetctl(t, f, exitDone, strings.Fields("event subscription create --account acme --name n --subscriber r1 --event SkillReviewPublish")...)
	require.JSONEq(t, `{"name":"n","subscriber_id":"r1","events":["AlexaCustomerFeedbackEvent.SkillReviewPublish"]}`, f.last().body)
}

func TestNotificationListsAndDeletes(t *testing.T) {
	t.Parallel()
	gone := reply{next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }}
	f := newFake(t, map[string][]reply{
		"GET /accounts/acme/subscribers":         {{status: 200, body: `{"items":[],"next_cursor":""}`}},
		"GET /accounts/acme/subscriptions":       {{status: 200, body: `{"items":[],"next_cursor":""}`}},
		"DELETE /accounts/acme/subscribers/r1":   {problem(422, `{"title":"x","detail":"delete its subscriptions first"}`)},
		"DELETE /accounts/acme/subscriptions/n1": {gone},
	})
	_, stderr := fleetctl(t, f, exitDone, strings.Fields("event subscriber list --account acme")...)
	require.Contains(t, stderr, "fleetctl event subscriber create --account acme")
	_, stderr = fleetctl(t, f, exitDone, strings.Fields("event subscription list --account acme --subscriber r1")...)
	require.Contains(t, stderr, "fleetctl event subscription create --account acme")
	require.Equal(t, "subscriber=r1", f.last().query)
	_, stderr = fleetctl(t, f, exitError, strings.Fields("event subscriber delete r1 --account acme")...)
	require.Contains(t, stderr, "delete its subscriptions first")
	stdout, _ := fleetctl(t, f, exitDone, strings.Fields("event subscription delete n1 --account acme --reason done")...)
	require.Equal(t, "subscription n1 deleted\n", stdout)
	require.Equal(t, "reason=done", f.last().query)
	asked := len(f.seen())
	c := newConsole(t, f)
	c.onTerminal("n\n")
	require.Equal(t, exitError, c.do(t, strings.Fields("event subscription delete n1 --account acme")...))
	require.Contains(t, c.err.String(), "Delete subscription n1 of account acme? [y/N]")

	for args, want := range map[string]string{
		"subscriber list":                                             "--account is missing",
		"subscriber get --account acme":                               "ID is missing",
		"subscriber create --account acme --name n --role r":          "--topic is missing",
		"subscriber update r1 --account acme":                         "nothing to change",
		"subscription create --account acme --name n --event e":       "--subscriber is missing",
		"subscription create --account acme --name n --subscriber r1": "--event is missing",
		"subscription create --account acme --subscriber r1":          "--name is missing",
		"subscription update n1 --account acme":                       "nothing to change",
		"subscription delete n1":                                      "--account is missing",
	} {
		_, stderr := fleetctl(t, f, exitUsage, append([]string{"event"}, strings.Fields(args)...)...)
		require.Contains(t, stderr, want, args)
	}
	require.Len(t, f.seen(), asked)
}
