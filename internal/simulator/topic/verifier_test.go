package topic_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/notifications/sns"
	"fleetd/internal/simulator/topic"
)

// TestMessagesAreJudgedRightlyByTheVerifier holds messages against what fleetd
// verifies them with: the good ones pass, each bad one is refused for its reason.
func TestMessagesAreJudgedRightlyByTheVerifier(t *testing.T) {
	t.Parallel()
	service := topic.New(topic.Config{})
	server := httptest.NewServer(service.Handler())
	verifier, err := sns.NewVerifier(sns.Config{Origin: server.URL, OriginCA: service.CA()})
	require.NoError(t, err)
	verdicts := make(chan sns.Reason, 2)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := sns.ReadBody(r.Body)
		var m sns.Message
		if err == nil {
			m, err = verifier.Verify(r.Context(), sns.Delivery{Header: r.Header, Body: body, Topics: []string{topic.DefaultARN}})
		}
		if err == nil && m.Type == sns.SubscriptionConfirmation {
			err = verifier.Confirm(r.Context(), m)
		}
		if refusal, ok := errors.AsType[*sns.Refusal](err); ok {
			w.WriteHeader(refusal.Status)
			verdicts <- refusal.Reason
			return
		}
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
		verdicts <- ""
	}))
	t.Cleanup(func() { service.Close(); endpoint.Close(); server.Close() })
	_, err = service.Subscribe(topic.HookParams{URL: endpoint.URL, Base: server.URL})
	require.NoError(t, err)
	require.Empty(t, <-verdicts)
	require.Equal(t, topic.Confirmed, service.Hooks()[0].State)

	want := map[topic.As]sns.Reason{
		topic.AsNotification:        "",
		topic.AsReplay:              "", // It takes a memory to know.
		topic.AsForged:              sns.ReasonSignature,
		topic.AsUnsigned:            sns.ReasonMalformed,
		topic.AsSHA1:                sns.ReasonSignatureVersion,
		topic.AsOld:                 sns.ReasonTooOld,
		topic.AsFuture:              sns.ReasonFuture,
		topic.AsWrongTopic:          sns.ReasonWrongTopic,
		topic.AsForeignCertificate:  sns.ReasonCertificate,
		topic.AsForeignHost:         sns.ReasonCertificateURL,
		topic.AsWrongName:           sns.ReasonCertificate,
		topic.AsExpiredCertificate:  sns.ReasonCertificate,
		topic.AsMissingCertificate:  sns.ReasonCertificate,
		topic.AsMismatchedHeader:    sns.ReasonHeaderMismatch,
		topic.AsForeignSubscribeURL: sns.ReasonSubscribeURL,
		topic.AsMalformed:           sns.ReasonMalformed,
		topic.AsHuge:                sns.ReasonTooLarge,
		topic.AsRaw:                 sns.ReasonRaw,
		topic.AsRawWrongPassword:    sns.ReasonRaw,
	}
	for _, as := range topic.Ases() {
		d, err := service.Send(t.Context(), topic.SendParams{As: as, Text: event})
		require.NoError(t, err)
		reason := <-verdicts
		require.Equal(t, want[as], reason, as)
		status := http.StatusOK
		if reason != "" {
			status = reason.Status()
		}
		require.Equal(t, status, d.Status, as)
	}
	service.Rotate()
	_, err = service.Send(t.Context(), topic.SendParams{Text: event})
	require.NoError(t, err)
	require.Empty(t, <-verdicts)
}
