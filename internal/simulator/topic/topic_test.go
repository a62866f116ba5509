package topic_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/simulator/topic"
)

// event is compared byte by byte: it must arrive as it was published.
var event = `{"eventName":"AlexaDevelopmentEvent.ManifestUpdate","text":"<\"ü\">\n"}`

func TestHandshakeComesBeforeNotifications(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{})
	hook, err := s.service.Subscribe(topic.HookParams{URL: s.url, Base: s.base})
	require.NoError(t, err)
	require.Equal(t, topic.Pending, hook.State)
	require.Equal(t, topic.DefaultARN, hook.TopicARN)
	require.Empty(t, s.service.Publish(topic.Message{TopicARN: topic.DefaultARN, Text: event}).Hooks, "published before the confirmation")
	got := s.received(1)[0]
	require.Equal(t, "SubscriptionConfirmation", got.header.Get("x-amz-sns-message-type"))
	require.Empty(t, got.header.Get("x-amz-sns-subscription-arn"))
	require.Equal(t, "text/plain; charset=UTF-8", got.header.Get("Content-Type"))
	m := message(t, got.body)
	require.NoError(t, s.verify(m))
	require.NotEmpty(t, m["Token"])
	require.Equal(t, m["MessageId"], got.header.Get("x-amz-sns-message-id"))

	status, body := get(t, s.base+"/_sim/sns/confirm?Token=guessed")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "<Code>InvalidParameter</Code>")
	status, body = get(t, m["SubscribeURL"])
	require.Equal(t, http.StatusOK, status)
	hook = s.service.Hooks()[0]
	require.Equal(t, topic.Confirmed, hook.State)
	require.Contains(t, body, "<SubscriptionArn>"+hook.SubscriptionARN+"</SubscriptionArn>")

	sent := s.service.Publish(topic.Message{TopicARN: topic.DefaultARN, Subject: "Hello", Text: event})
	require.Equal(t, []string{hook.ID}, sent.Hooks)
	got = s.received(2)[1]
	require.Equal(t, "Notification", got.header.Get("x-amz-sns-message-type"))
	require.Equal(t, hook.SubscriptionARN, got.header.Get("x-amz-sns-subscription-arn"))
	require.Equal(t, topic.DefaultARN, got.header.Get("x-amz-sns-topic-arn"))
	m = message(t, got.body)
	require.NoError(t, s.verify(m))
	require.Equal(t, event, m["Message"])
	require.Equal(t, "Hello", m["Subject"])
	require.Equal(t, "2", m["SignatureVersion"])
	require.Equal(t, sent.MessageID, m["MessageId"])
	at, err := time.Parse("2006-01-02T15:04:05.000Z", m["Timestamp"])
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, time.Minute)
}

func TestSubscribeAgainIsTheSameHook(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{})
	p := topic.HookParams{URL: s.url, Base: s.base}
	first, err := s.service.Subscribe(p)
	require.NoError(t, err)
	again, err := s.service.Subscribe(p)
	require.NoError(t, err)
	require.Equal(t, first.ID, again.ID)
	got := s.received(2)
	require.Equal(t, message(t, got[0].body)["Token"], message(t, got[1].body)["Token"], "either confirmation does")
	get(t, message(t, got[0].body)["SubscribeURL"])
	p.Raw = true
	again, err = s.service.Subscribe(p)
	require.NoError(t, err)
	require.Equal(t, topic.Confirmed, again.State)
	require.True(t, again.Raw)
	s.settled()
	s.received(2)
}

func TestUnsubscribeIsToldAndEndsDeliveries(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{})
	hook := s.confirmed(topic.HookParams{})
	s.service.Publish(topic.Message{TopicARN: hook.TopicARN, Text: event})
	status, _ := get(t, message(t, s.received(1)[0].body)["UnsubscribeURL"])
	require.Equal(t, http.StatusOK, status)
	got := s.received(2)[1]
	require.Equal(t, "UnsubscribeConfirmation", got.header.Get("x-amz-sns-message-type"))
	require.NoError(t, s.verify(message(t, got.body)))
	require.Empty(t, s.service.Publish(topic.Message{TopicARN: hook.TopicARN, Text: event}).Hooks)
	status, _ = get(t, s.base+"/_sim/sns/unsubscribe?SubscriptionArn=other")
	require.Equal(t, http.StatusNotFound, status)
	get(t, message(t, got.body)["SubscribeURL"])
	require.Equal(t, topic.Confirmed, s.service.Hooks()[0].State, "the subscription is restored")
}

func TestSubscribeRefusesBadHooks(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{})
	for name, p := range map[string]topic.HookParams{
		"loopback":  {URL: "http://example.com/hook"},
		"http or":   {URL: "ftp://127.0.0.1/"},
		"such as":   {URL: "http://user:secret@127.0.0.1:x/"},
		"topic_arn": {URL: "http://127.0.0.1:1/", TopicARN: "arn:aws:sqs:us-east-1:123456789012:queue"},
	} {
		_, err := s.service.Subscribe(p)
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "secret")
	}
	require.Empty(t, s.service.Hooks())
}

func TestRetriesAreOfServerErrorsAndThrottlingOnly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answers  []int
		outcomes []topic.Outcome
	}{
		{[]int{500, 429, 503}, []topic.Outcome{topic.Retrying, topic.Retrying, topic.Retrying, topic.Delivered}},
		{[]int{500, 500, 500, 500}, []topic.Outcome{topic.Retrying, topic.Retrying, topic.Retrying, topic.GivenUp}},
		{[]int{403}, []topic.Outcome{topic.Refused}},
		{[]int{404}, []topic.Outcome{topic.Refused}},
		{[]int{302}, []topic.Outcome{topic.Refused}},
		{[]int{503, 409}, []topic.Outcome{topic.Retrying, topic.Refused}},
		{[]int{204}, []topic.Outcome{topic.Delivered}},
	} {
		t.Run(fmt.Sprint(test.answers), func(t *testing.T) {
			t.Parallel()
			s := start(t, topic.Config{})
			hook := s.confirmed(topic.HookParams{})
			s.mu.Lock()
			s.answers = test.answers
			s.mu.Unlock()
			s.service.Publish(topic.Message{TopicARN: hook.TopicARN, Text: event})
			deliveries := s.settled()
			var outcomes []topic.Outcome
			for i, d := range deliveries {
				outcomes = append(outcomes, d.Outcome)
				require.Equal(t, i+1, d.Attempt)
				require.Equal(t, event, d.Message)
			}
			require.Equal(t, test.outcomes, outcomes)
			require.Equal(t, test.answers[0], deliveries[0].Status)
			for _, got := range s.received(len(deliveries)) {
				require.Equal(t, deliveries[0].MessageID, got.header.Get("x-amz-sns-message-id"), "the same message each time")
			}
		})
	}
}

func TestNoAnswerIsRetriedAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{RetryDelay: 20 * time.Millisecond})
	hook := s.confirmed(topic.HookParams{})
	s.mu.Lock()
	s.answers = []int{500}
	s.mu.Unlock()
	for _, text := range []string{"a", "b", "c"} {
		s.service.Publish(topic.Message{TopicARN: hook.TopicARN, Text: text})
	}
	var texts []string
	for _, d := range s.settled() {
		texts = append(texts, d.Message)
	}
	require.Equal(t, []string{"a", "b", "c", "a"}, texts)

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	_, err := s.service.Subscribe(topic.HookParams{URL: strings.Replace(gone.URL, "//", "//user:secret@", 1), Base: s.base})
	require.NoError(t, err)
	deliveries := s.settled()[4:]
	require.Len(t, deliveries, 1+topic.DefaultRetries)
	require.Equal(t, topic.GivenUp, deliveries[3].Outcome)
	require.Contains(t, deliveries[3].Error, "refused")
	require.NotContains(t, deliveries[3].Error, "secret")
}

func TestRotateSignsWithANewCertificate(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{})
	s.confirmed(topic.HookParams{})
	send := func() map[string]string {
		_, err := s.service.Send(t.Context(), topic.SendParams{})
		require.NoError(t, err)
		s.mu.Lock()
		defer s.mu.Unlock()
		return message(t, s.got[len(s.got)-1].body)
	}
	before := send()
	s.service.Rotate()
	after := send()
	require.NotEqual(t, before["SigningCertURL"], after["SigningCertURL"])
	require.NoError(t, s.verify(before))
	require.NoError(t, s.verify(after))
	for _, file := range []string{"SimpleNotificationService-0.pem", "SimpleNotificationService-3.pem", "SimpleNotificationService-x.pem", "other.pem"} {
		status, _ := get(t, s.base+"/_sim/sns/"+file)
		require.Equal(t, http.StatusNotFound, status, file)
	}
	status, ca := get(t, s.base+"/_sim/sns/ca.pem")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, string(s.service.CA()), ca)
}

func TestDeliveriesPageByPage(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{HistoryCap: 4})
	hook := s.confirmed(topic.HookParams{})
	for range 3 {
		_, err := s.service.Send(t.Context(), topic.SendParams{})
		require.NoError(t, err)
	}
	first := s.service.Deliveries(topic.DeliveriesParams{Limit: 2})
	require.Len(t, first.Items, 2)
	next := s.service.Deliveries(topic.DeliveriesParams{Since: first.NextSince, Hook: hook.ID})
	require.Len(t, next.Items, 1)
	require.Empty(t, s.service.Deliveries(topic.DeliveriesParams{Hook: "hook-2"}).Items)
	require.Empty(t, s.service.Deliveries(topic.DeliveriesParams{Since: next.NextSince}).Items)
	for range 3 {
		_, err := s.service.Send(t.Context(), topic.SendParams{})
		require.NoError(t, err)
	}
	kept := s.service.Deliveries(topic.DeliveriesParams{}).Items
	require.LessOrEqual(t, len(kept), 4)
	require.EqualValues(t, 7, kept[len(kept)-1].N)
	s.service.Reset()
	require.Empty(t, s.service.Hooks())
	require.Empty(t, s.service.Deliveries(topic.DeliveriesParams{}).Items)
}

func TestCloseGivesUpWhatWaits(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{RetryDelay: time.Hour})
	hook := s.confirmed(topic.HookParams{})
	s.mu.Lock()
	s.answers = []int{500}
	s.mu.Unlock()
	s.service.Publish(topic.Message{TopicARN: hook.TopicARN, Text: "a"})
	s.service.Publish(topic.Message{TopicARN: hook.TopicARN, Text: "b", Faults: topic.Faults{Delay: time.Hour}})
	require.Eventually(t, func() bool { return len(s.service.Deliveries(topic.DeliveriesParams{}).Items) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 2, s.service.Deliveries(topic.DeliveriesParams{}).Pending)
	s.service.Close() // It would take an hour to come back.
}
