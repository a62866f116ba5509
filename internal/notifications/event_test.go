package notifications

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const (
	skillID        = "amzn1.ask.skill.11111111-2222-3333-4444-555555555555"
	vendorID       = "M2VENDOR000"
	subscriptionID = "amzn1.ask-subscription.66666666-7777-8888-9999-000000000000"
	customerID     = "amzn1.account.123456example"
)

// development is a development event of facts 8.
func development(name EventName, status EventStatus, requestID string) string {
	return fmt.Sprintf(`{"requestId":%q,"timestamp":"2026-11-22T05:08:13Z","eventName":%q,"payload":{"status":%q,
		"actor":{"customerId":%q},"subscription":{"subscriptionId":%q},"skill":{"skillId":%q,"vendorId":%q}}}`,
		requestID, name, status, customerID, subscriptionID, skillID, vendorID)
}

func parsed(t *testing.T, message string) Event {
	t.Helper()
	e, err := ParseEvent([]byte(message))
	require.NoError(t, err)
	require.JSONEq(t, message, string(e.Raw))
	return e
}

// without is the event but for Raw and key.
func without(e Event) Event {
	e.Raw, e.key = nil, ""
	return e
}

func TestParseEvent(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 5, 8, 13, 0, time.UTC)
	for _, name := range []EventName{EventManifestUpdate, EventSkillCertification, EventSkillPublish} {
		for _, status := range []EventStatus{EventSucceeded, EventFailed} {
			t.Run(string(name)+" "+string(status), func(t *testing.T) {
				t.Parallel()
				e := parsed(t, development(name, status, "r-1"))
				require.Equal(t, Event{
					Name: name, Timestamp: at, RequestID: "r-1", Status: status, SkillID: skillID, VendorID: vendorID,
					SubscriptionID: subscriptionID, Actor: customerID,
				}, without(e))
				require.True(t, e.Known())
				require.False(t, e.Empty())
				require.NotEmpty(t, e.Key())
			})
		}
	}
	t.Run("InteractionModelUpdate", func(t *testing.T) {
		t.Parallel()
		e := parsed(t, `{"requestId":"r","timestamp":"2026-11-22T06:08:13+01:00","eventName":"AlexaDevelopmentEvent.InteractionModelUpdate","payload":{
			"status":"FAILED","actor":{"customerId":"c"},"subscription":{"subscriptionId":"s"},
			"interactionModel":{"skillId":"k","vendorId":"v","locale":"en-US"}}}`)
		require.Equal(t, Event{
			Name: EventInteractionModelUpdate, Timestamp: at, RequestID: "r", Status: EventFailed, SkillID: "k", VendorID: "v",
			SubscriptionID: "s", Locale: "en-US", Actor: "c",
		}, without(e))
		require.True(t, e.Known())
	})
	for _, stars := range []string{`"4"`, `4`} {
		t.Run("SkillReviewPublish "+stars, func(t *testing.T) {
			t.Parallel()
			e := parsed(t, `{"timestamp":"2026-11-22T05:08:13Z","eventName":"AlexaCustomerFeedbackEvent.SkillReviewPublish","payload":{
				"skill":{"skillId":"k","vendorId":"v"},"subscription":{"subscriptionId":"s"},
				"review":{"reviewId":"R1","url":"https://www.amazon.com/review/R1","starRating":`+stars+`}}}`)
			require.Equal(t, Event{
				Name: EventSkillReviewPublish, Timestamp: at, SkillID: "k", VendorID: "v", SubscriptionID: "s",
				Review: Review{ID: "R1", URL: "https://www.amazon.com/review/R1", Stars: 4},
			}, without(e))
			require.True(t, e.Known())
		})
	}
	t.Run("the empty object of a new subscriber", func(t *testing.T) {
		t.Parallel()
		for _, message := range []string{`{}`, " {\n} "} {
			e := parsed(t, message)
			require.True(t, e.Empty())
			require.False(t, e.Known())
			require.Equal(t, Event{}, without(e))
			require.Empty(t, e.Key())
			require.Equal(t, `{}`, string(e.Raw))
		}
	})
	t.Run("an event that nobody documents", func(t *testing.T) {
		t.Parallel()
		e := parsed(t, `{"requestId":"r","eventName":"AlexaDevelopmentEvent.SkillSuspend","timestamp":"2026-11-22T05:08:13Z","version":2,
			"payload":{"skill":{"skillId":"k","more":[1,2.50,null,true,{"deep":"x"}]},"status":"PARTIAL","reason":"a & b <c>"}}`)
		require.False(t, e.Known())
		require.False(t, e.Empty())
		require.Equal(t, Event{
			Name: "AlexaDevelopmentEvent.SkillSuspend", Timestamp: at, RequestID: "r", Status: "PARTIAL", SkillID: "k",
		}, without(e))
		require.NotEmpty(t, e.Key())
	})
	t.Run("fields of other types and names than documented are none", func(t *testing.T) {
		t.Parallel()
		for _, message := range []string{
			`{"eventName":null,"requestId":{},"timestamp":"yesterday","payload":[]}`, `{"EVENTNAME":"x","eventname":"x"}`,
			`{"payload":{"skill":"k","review":{"starRating":"6"},"actor":null}}`, `{"payload":{"review":{"starRating":"-1"}}}`,
			`{"timestamp":"0000-01-01T00:00:00+23:00"}`, `{"timestamp":"9999-12-31T23:59:59-23:00"}`,
		} {
			e := parsed(t, message)
			require.Equal(t, Event{}, without(e), message)
			require.False(t, e.Empty())
			require.NotEmpty(t, e.Key())
		}
	})
	t.Run("the last of duplicate names counts, as in jsonb", func(t *testing.T) {
		t.Parallel()
		e, err := ParseEvent([]byte(`{"eventName":"a","eventName":"b"}`))
		require.NoError(t, err)
		require.Equal(t, EventName("b"), e.Name)
		require.JSONEq(t, `{"eventName":"b"}`, string(e.Raw))
	})
}

func TestParseEventRefuses(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"nothing":         ``,
		"text":            `SkillPublish`,
		"null":            `null`,
		"an array":        `[{}]`,
		"a string":        `"{}"`,
		"cut short":       `{"eventName":"x"`,
		"two objects":     `{}{}`,
		"trailing text":   `{} x`,
		"too large":       `{"x":"` + strings.Repeat("x", MaxEvent) + `"}`,
		"too deep":        strings.Repeat(`{"x":`, maxDepth) + `{}` + strings.Repeat(`}`, maxDepth),
		"too deep a list": `{"x":` + strings.Repeat(`[`, 2*maxDepth) + strings.Repeat(`]`, 2*maxDepth) + `}`,
		"far too deep":    `{"x":` + strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000) + `}`,
	} {
		_, err := ParseEvent([]byte(message))
		require.ErrorIs(t, err, ErrNotEvent, name)
	}
	_, err := ParseEvent([]byte(strings.Repeat(`{"x":`, maxDepth-1) + `{}` + strings.Repeat(`}`, maxDepth-1)))
	require.NoError(t, err)
}

// What is odd is escaped, not dropped: nothing becomes a name, a status or a skill
// that is known.
func TestParseEventCleans(t *testing.T) {
	t.Parallel()
	message, err := json.Marshal(map[string]any{
		"eventName": "AlexaDevelopmentEvent.SkillPublish\x00\u202e", "requestId": strings.Repeat("r", 300),
		"payload": map[string]any{"status": "SUCCEEDED\n", "skill": map[string]any{"skillId": "\x1b[31m" + skillID, "vendorId": strings.Repeat("é", 200)}},
	})
	require.NoError(t, err)
	e, err := ParseEvent(message)
	require.NoError(t, err)
	require.False(t, e.Known())
	require.Equal(t, EventName(`AlexaDevelopmentEvent.SkillPublish\ufffd\u202e`), e.Name)
	require.Equal(t, EventStatus(`SUCCEEDED\n`), e.Status)
	require.Equal(t, `\x1b[31m`+skillID, e.SkillID)
	require.Equal(t, strings.Repeat("r", maxID-3)+"...", e.RequestID)
	require.True(t, utf8.ValidString(e.VendorID))
	require.LessOrEqual(t, len(e.VendorID), maxID)

	message = []byte(`{"a\u0000":1,"a\ufffd":2,"s":"\ud800","h":"<&>","n":[1e400,1e-400,1e99999999999,0e99999999999,0e5,-0,` + strings.Repeat("1", 200) + `]}`)
	want := `{"a` + "\ufffd" + `":2,"h":"<&>","n":["1e400","1e-400","1e99999999999","0e99999999999",0e5,-0,"` + strings.Repeat("1", 200) + `"],"s":"` + "\ufffd" + `"}`
	for range 20 { // the order of names in a map is not the same each time
		e, err = ParseEvent(message)
		require.NoError(t, err)
		require.Equal(t, want, string(e.Raw))
	}
}

// Equal for redeliveries, whatever else of the message differs.
func TestKeyOfRedelivery(t *testing.T) {
	t.Parallel()
	first := development(EventSkillPublish, EventSucceeded, "r-1")
	key := parsed(t, first).Key()
	for name, again := range map[string]string{
		"the same":                 first,
		"in one line":              strings.Join(strings.Fields(first), ""),
		"escaped":                  strings.Replace(first, "SkillPublish", `Skill\u0050ublish`, 1),
		"a later timestamp":        strings.Replace(first, "05:08:13", "05:09:00", 1),
		"with a new field":         strings.Replace(first, `{"requestId"`, `{"version":"2","requestId"`, 1),
		"by a second subscription": strings.Replace(first, subscriptionID, subscriptionID+"1", 1),
		"by none that it names":    strings.Replace(first, `"subscriptionId"`, `"x"`, 1),
	} {
		e, err := ParseEvent([]byte(again))
		require.NoError(t, err)
		require.Equal(t, key, e.Key(), name)
	}
	for name, other := range map[string]string{
		"another event":       strings.Replace(first, "SkillPublish", "ManifestUpdate", 1),
		"another status":      strings.Replace(first, "SUCCEEDED", "FAILED", 1),
		"another request":     strings.Replace(first, "r-1", "r-2", 1),
		"another skill":       strings.Replace(first, skillID, skillID+"1", 1),
		"a review of that ID": strings.Replace(strings.Replace(first, `"requestId":"r-1"`, `"x":1`, 1), `"actor"`, `"review":{"reviewId":"r-1"},"actor"`, 1),
		"without a request":   strings.Replace(first, `"requestId":"r-1"`, `"x":1`, 1),
	} {
		require.NotEqual(t, key, parsed(t, other).Key(), name)
	}
}

// facts of an event that tell it from others.
type facts struct{ name, status, skill, subscription, locale, requestID, reviewID string }

func (f *facts) fields() []*string {
	return []*string{&f.name, &f.status, &f.skill, &f.subscription, &f.locale, &f.requestID, &f.reviewID}
}

// Two events have one key if and only if they tell of the same; spaces and the order
// of names do not count, and no value of one field passes for another's.
func TestKeyProperty(t *testing.T) {
	t.Parallel()
	word := rapid.SampledFrom([]string{"", "a", "b", "ab", "a\x00b", "a\nb", strings.Repeat("long", 100), strings.Repeat("long", 100) + "er", "é"})
	key := func(t *rapid.T, f facts, indent string) string {
		message, err := json.MarshalIndent(map[string]any{
			"eventName": f.name, "requestId": f.requestID, "timestamp": "2026-11-22T05:08:13Z",
			"payload": map[string]any{
				"status": f.status, "skill": map[string]any{"skillId": f.skill}, "subscription": map[string]any{"subscriptionId": f.subscription},
				"interactionModel": map[string]any{"locale": f.locale}, "review": map[string]any{"reviewId": f.reviewID},
			},
		}, "", indent)
		require.NoError(t, err)
		e, err := ParseEvent(message)
		require.NoError(t, err)
		again, err := ParseEvent(e.Raw)
		require.NoError(t, err)
		require.Equal(t, e, again, "what was kept reads as what came")
		return e.Key()
	}
	rapid.Check(t, func(t *rapid.T) {
		a := facts{}
		for _, f := range a.fields() {
			*f = word.Draw(t, "a")
		}
		b := a
		for _, f := range b.fields() {
			if rapid.IntRange(0, 3).Draw(t, "another") == 0 {
				*f = word.Draw(t, "b")
			}
		}
		switch {
		case a.requestID != "" && a.requestID == b.requestID: // the request is what tells, to whomever
			b.reviewID, b.subscription = a.reviewID, a.subscription
		case a.requestID+b.requestID == "" && a.reviewID != "" && a.reviewID == b.reviewID: // there is one skill that it is of
			b.skill = a.skill
		}
		require.Equal(t, a == b, key(t, a, "") == key(t, b, "  "))
	})
}

// Whatever comes is an event or no event, never a panic; what is kept can be shown
// and stored, and reads again as the same.
func FuzzParseEvent(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, ``, `[]`, `{"eventName":"\u0000"}`, `{"payload":{"review":{"starRating":"5","reviewId":"R"}}}`, `{"requestId":1e400}`,
		development(EventSkillPublish, EventSucceeded, "r"), development(EventManifestUpdate, EventFailed, "\u202e"), `{"a":{"a":{"a":[[[{}]]]}}}`,
		`{"eventName":"AlexaDevelopmentEvent.InteractionModelUpdate","payload":{"interactionModel":{"locale":"en-US"}}}`, "{\"\xff\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		e, err := ParseEvent(message)
		if err != nil {
			require.ErrorIs(t, err, ErrNotEvent)
			require.Equal(t, Event{}, e)
			return
		}
		for _, s := range []string{
			string(e.Name), e.RequestID, string(e.Status), e.SkillID, e.VendorID, e.SubscriptionID, e.Locale, e.Actor, e.Review.ID, e.Review.URL,
		} {
			require.True(t, utf8.ValidString(s))
			require.LessOrEqual(t, len(s), maxURL)
			require.False(t, strings.ContainsAny(s, "\x00\r\n\x1b"))
		}
		require.True(t, e.Timestamp.IsZero() || e.Timestamp.Location() == time.UTC)
		_, err = json.Marshal(e.Timestamp)
		require.NoError(t, err)
		require.True(t, json.Valid(e.Raw))
		require.True(t, utf8.Valid(e.Raw))
		require.False(t, bytes.ContainsAny(e.Raw, "\x00\n"))
		require.NotContains(t, strings.ReplaceAll(string(e.Raw), `\\`, ``), `\u0000`)
		require.Equal(t, e.Empty(), e.Key() == "")
		again, err := ParseEvent(e.Raw)
		if len(e.Raw) <= MaxEvent { // replacements may make it longer
			require.NoError(t, err)
			require.Equal(t, e, again)
		}
	})
}
