package topic_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/simulator/topic"
)

func TestRawDeliverySendsCredentialsWhenAsked(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{})
	hook := s.confirmed(topic.HookParams{URL: strings.Replace(s.url, "//", "//sns:secret@", 1), Raw: true})
	require.NotContains(t, hook.URL, "secret")
	s.mu.Lock()
	s.basic = "sns:secret"
	s.mu.Unlock()
	s.service.Publish(topic.Message{TopicARN: hook.TopicARN, Text: event})
	deliveries := s.settled()
	require.Len(t, deliveries, 1)
	require.True(t, deliveries[0].Challenged)
	require.Equal(t, 200, deliveries[0].Status)
	got := s.received(2)
	require.Empty(t, got[0].header.Get("Authorization"), "kept back until it is asked for")
	require.Equal(t, "true", got[1].header.Get("x-amz-sns-rawdelivery"))
	require.Equal(t, "Notification", got[1].header.Get("x-amz-sns-message-type"))
	require.Equal(t, event, string(got[1].body))

	d, err := s.service.Send(t.Context(), topic.SendParams{As: topic.AsRawWrongPassword, Text: event})
	require.NoError(t, err)
	require.False(t, d.Challenged, "the right one does not follow")
	require.Equal(t, 401, d.Status)
	s.mu.Lock()
	s.basic = "sns:other"
	s.mu.Unlock()
	d, err = s.service.Send(t.Context(), topic.SendParams{As: topic.AsRaw, Text: event})
	require.NoError(t, err)
	require.Equal(t, 401, d.Status)
	require.Equal(t, topic.Refused, d.Outcome)
}

func TestFaultsDuplicateReorderAndDelay(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{})
	hook := s.confirmed(topic.HookParams{})
	publish := func(text string, f topic.Faults) {
		s.service.Publish(topic.Message{TopicARN: hook.TopicARN, Text: text, Faults: f})
	}
	publish("twice", topic.Faults{Duplicate: 1})
	s.settled()
	publish("late", topic.Faults{Reorder: 1})
	publish("early", topic.Faults{})
	publish("third", topic.Faults{})
	s.settled()
	publish("alone", topic.Faults{Reorder: 1})
	publish("delayed", topic.Faults{Delay: 5 * time.Millisecond})
	var texts []string
	deliveries := s.settled()
	for _, d := range deliveries {
		texts = append(texts, d.Message)
	}
	require.Equal(t, []string{"twice", "twice", "early", "late", "third", "delayed", "alone"}, texts)
	require.Equal(t, deliveries[0].MessageID, deliveries[1].MessageID)
	require.True(t, deliveries[1].Duplicate)
	got := s.received(7)
	require.True(t, bytes.Equal(got[0].body, got[1].body))
}

func TestSendAsAnythingThatMustBeRefused(t *testing.T) {
	t.Parallel()
	s := start(t, topic.Config{})
	hook := s.confirmed(topic.HookParams{})
	_, err := s.service.Send(t.Context(), topic.SendParams{As: topic.AsReplay})
	require.ErrorContains(t, err, "no notification yet")
	_, err = s.service.Send(t.Context(), topic.SendParams{As: "nonsense"})
	require.ErrorContains(t, err, "must be one of")
	_, err = s.service.Send(t.Context(), topic.SendParams{Hook: "hook-9"})
	require.ErrorContains(t, err, "hook-9")
	var previous received
	for i, as := range topic.Ases() {
		d, err := s.service.Send(t.Context(), topic.SendParams{Hook: hook.ID, As: as, Text: event})
		require.NoError(t, err, as)
		require.Equal(t, 200, d.Status)
		require.Equal(t, as, d.As)
		got := s.received(i + 1)[i]
		switch as { //nolint:exhaustive // the others are envelopes
		case topic.AsMalformed:
			require.False(t, json.Valid(got.body))
			continue
		case topic.AsRaw, topic.AsRawWrongPassword:
			require.Equal(t, []byte(event), got.body)
			require.Equal(t, as == topic.AsRawWrongPassword, got.header.Get("Authorization") != "")
			continue
		}
		m := message(t, got.body)
		err = s.verify(m)
		at, _ := time.Parse(time.RFC3339, m["Timestamp"])
		age := time.Since(at)
		switch as {
		case topic.AsNotification:
			require.NoError(t, err)
			require.Less(t, age, time.Minute)
			previous = got
		case topic.AsReplay:
			require.Equal(t, previous, got)
		case topic.AsForged, topic.AsUnsigned:
			require.ErrorIs(t, err, rsa.ErrVerification)
		case topic.AsSHA1:
			require.NoError(t, err)
			require.Equal(t, "1", m["SignatureVersion"])
		case topic.AsOld:
			require.NoError(t, err)
			require.Greater(t, age, 23*time.Hour)
		case topic.AsFuture:
			require.NoError(t, err)
			require.Less(t, age, -23*time.Hour)
		case topic.AsWrongTopic:
			require.NoError(t, err)
			require.NotEqual(t, hook.TopicARN, m["TopicArn"])
			require.Equal(t, m["TopicArn"], got.header.Get("x-amz-sns-topic-arn"))
		case topic.AsForeignCertificate:
			require.ErrorAs(t, err, &x509.UnknownAuthorityError{})
		case topic.AsForeignHost:
			require.ErrorContains(t, err, "elsewhere")
		case topic.AsMissingCertificate:
			require.ErrorContains(t, err, "no certificate")
		case topic.AsWrongName:
			require.ErrorAs(t, err, &x509.HostnameError{})
		case topic.AsExpiredCertificate:
			require.ErrorAs(t, err, &x509.CertificateInvalidError{})
		case topic.AsMismatchedHeader:
			require.NoError(t, err)
			require.NotEqual(t, m["Type"], got.header.Get("x-amz-sns-message-type"))
		case topic.AsForeignSubscribeURL:
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(m["SubscribeURL"], "http://example.com/"))
		case topic.AsHuge:
			require.NoError(t, err)
			require.Len(t, m["Message"], 5<<20)
		case topic.AsMalformed, topic.AsRaw, topic.AsRawWrongPassword:
		}
	}
}
