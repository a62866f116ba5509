package sns

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// forged has the length of a signature.
var forged = base64.StdEncoding.EncodeToString(make([]byte, 256))

// The strings of the developer guide's examples.
func TestCanonical(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		letter letter
		want   string
	}{
		"notification with a subject": {
			letter{
				"Type": "Notification", "MessageId": "4d4dc071-ddbf-465d-bba8-08f81c89da64", "Subject": "My subject", "Message": "My Test Message",
				"TopicArn": "arn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P", "Timestamp": "2019-01-31T04:37:04.321Z",
			},
			"Message\nMy Test Message\nMessageId\n4d4dc071-ddbf-465d-bba8-08f81c89da64\nSubject\nMy subject\nTimestamp\n2019-01-31T04:37:04.321Z\n" +
				"TopicArn\narn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P\nType\nNotification\n",
		},
		"notification without": {
			letter{"Type": "Notification", "MessageId": "i", "Message": "a\nb", "TopicArn": "t", "Timestamp": "2019-01-31T04:37:04.321Z", "Token": "k", "SubscribeURL": "u"},
			"Message\na\nb\nMessageId\ni\nTimestamp\n2019-01-31T04:37:04.321Z\nTopicArn\nt\nType\nNotification\n",
		},
		"confirmation": {
			letter{
				"Type": "SubscriptionConfirmation", "MessageId": "3d891288-136d-417f-bc05-901c108273ee", "Message": "You have chosen to subscribe",
				"TopicArn": "arn:aws:sns:us-east-2:123456789012:s4", "Timestamp": "2019-01-31T19:25:13.719Z", "Token": "233641",
				"SubscribeURL": "https://sns.us-east-2.amazonaws.com/?Action=ConfirmSubscription&Token=233641", "Subject": "not signed",
			},
			"Message\nYou have chosen to subscribe\nMessageId\n3d891288-136d-417f-bc05-901c108273ee\n" +
				"SubscribeURL\nhttps://sns.us-east-2.amazonaws.com/?Action=ConfirmSubscription&Token=233641\nTimestamp\n2019-01-31T19:25:13.719Z\n" +
				"Token\n233641\nTopicArn\narn:aws:sns:us-east-2:123456789012:s4\nType\nSubscriptionConfirmation\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := json.Marshal(c.letter.with("SignatureVersion", "2").with("Signature", forged).with("SigningCertURL", certURL))
			require.NoError(t, err)
			e, refusal := parseEnvelope(body)
			require.Nil(t, refusal)
			require.Equal(t, c.want, string(e.canonical()))
		})
	}
}

// The string to sign has no quoting. It has one reading all the same: no two
// envelopes that pass mean different things and have the same string, however their
// values are made of each other's names and lines.
func TestCanonicalHasOneReading(t *testing.T) {
	t.Parallel()
	pieces := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type", "Token", "SubscribeURL", "Notification", "2019-01-31T04:37:04Z", "x", "\n", "\n", "\n"}
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, name), "")
		}
		// Cut one string to sign in two ways: take any line break as the end of Message.
		whole := "Message\n" + text("m") + "\nMessageId\n" + text("id") + "\nSubject\n" + text("s") + "\nTimestamp\n2019-01-31T04:37:04Z\nTopicArn\nt\nType\nNotification\n"
		seen := map[string]bool{}
		for _, subject := range []bool{false, true} {
			for at := range len(whole) {
				l, ok := cut(whole, at, subject)
				if !ok {
					continue
				}
				body, err := json.Marshal(l.with("SignatureVersion", "2").with("Signature", forged).with("SigningCertURL", certURL))
				require.NoError(t, err)
				e, refusal := parseEnvelope(body)
				if refusal != nil || string(e.canonical()) != whole {
					continue
				}
				seen[l["Message"]+"\x00"+l["MessageId"]+"\x00"+l["Subject"]] = true
			}
		}
		require.LessOrEqual(t, len(seen), 1, "%q reads as %q", whole, seen)
	})
}

// cut reads a string to sign with the MessageId that begins at a position.
func cut(whole string, at int, subject bool) (letter, bool) {
	const name = "\nMessageId\n"
	if !strings.HasPrefix(whole[at:], name) || at < len("Message\n") {
		return nil, false
	}
	l := letter{"Type": "Notification", "TopicArn": "t", "Timestamp": "2019-01-31T04:37:04Z", "Message": whole[len("Message\n"):at]}
	rest, ok := strings.CutSuffix(whole[at+len(name):], "\nTimestamp\n2019-01-31T04:37:04Z\nTopicArn\nt\nType\nNotification\n")
	if subject && ok {
		l["MessageId"], l["Subject"], ok = strings.Cut(rest, "\nSubject\n")
	} else {
		l["MessageId"] = rest
	}
	return l, ok
}

// Whatever comes, it is refused with a reason and a status of the closed set, and
// what is taken means what encoding/json reads in it, to the letter.
func FuzzEnvelope(f *testing.F) {
	for _, l := range []letter{notification(), notification().with("Subject", "s"), confirmation(SubscriptionConfirmation), confirmation(UnsubscribeConfirmation)} {
		body, err := json.Marshal(l.with("Signature", forged))
		require.NoError(f, err)
		f.Add(body)
		f.Add(append(body[:len(body)-1:len(body)-1], `,"message":"x"}`...))
		f.Add(append(body[:len(body)-1:len(body)-1], `,"Message":"x"}`...))
	}
	for _, s := range []string{``, `{}`, `{"Type":null}`, `{"Type":"Notification"}`, `[]`, `{"Type":"Notification","Message":"\ud800\u0000"}`, "{\"\xff\":1}", `{"a":{"b":[1,{"c":null}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, refusal := parseEnvelope(body)
		if refusal != nil {
			require.Contains(t, Reasons(), refusal.Reason)
			require.Equal(t, 400, refusal.Status)
			require.True(t, utf8.ValidString(refusal.Error()))
			return
		}
		var plain map[string]any
		require.NoError(t, json.Unmarshal(body, &plain))
		m := e.message()
		require.Equal(t, plain["Message"], string(m.Message))
		require.Equal(t, plain["MessageId"], m.MessageID)
		require.Equal(t, plain["TopicArn"], m.TopicARN)
		require.Equal(t, plain["Type"], string(m.Type))
		// A reader that minds no case reads the same.
		var loose struct{ Message, MessageID, TopicArn, Type, Token, Subject string }
		if json.Unmarshal(body, &loose) == nil {
			require.Equal(t, loose.Message, string(m.Message))
			require.Equal(t, loose.MessageID, m.MessageID)
			require.Equal(t, loose.TopicArn, m.TopicARN)
			require.Equal(t, loose.Type, string(m.Type))
		}
		s := e.canonical()
		require.True(t, bytes.HasPrefix(s, []byte("Message\n"+string(m.Message)+"\nMessageId\n"+m.MessageID+"\n")))
		require.True(t, bytes.HasSuffix(s, []byte("\nTopicArn\n"+m.TopicARN+"\nType\n"+string(m.Type)+"\n")))
		for _, word := range []string{m.MessageID, m.TopicARN, m.Token, m.SubscribeURL} {
			require.False(t, strings.ContainsAny(word, " \x00\r\n\x1b"))
		}
	})
}

// No address makes Verify fetch from anywhere but SNS of the topic's region, and
// nothing makes it take a message that nobody signed.
func FuzzVerify(f *testing.F) {
	f.Add(certURL, topic, "Notification", "m", subscribeURL(), token)
	f.Add("https://sns.us-east-1.amazonaws.com@evil.test/a.pem", topic, "SubscriptionConfirmation", "", "https://evil.test", "t")
	f.Add("https://sns.us-east-1.amazonaws.com.evil.test/a.pem", "arn", "UnsubscribeConfirmation", "{}", "http://127.0.0.1", "")
	f.Fuzz(func(t *testing.T, url, topicARN, kind, message, subscribe, token string) {
		n := &internet{pages: map[string]func() (*http.Response, error){}}
		w := &world{now: noon}
		v, err := NewVerifier(Config{Transport: n, Now: w.clock})
		require.NoError(t, err)
		l := notification().with("SigningCertURL", url).with("TopicArn", topicARN).with("Type", kind).with("Message", message).
			with("SubscribeURL", subscribe).with("Token", token).with("Signature", forged)
		d := l.deliver(t)
		d.Topics = []string{topicARN}
		_, err = v.Verify(t.Context(), d)
		var refusal *Refusal
		require.ErrorAs(t, err, &refusal)
		require.GreaterOrEqual(t, refusal.Status, 400)
		for _, asked := range n.log() {
			region := strings.Split(topicARN, ":")[3]
			ok := strings.HasPrefix(asked, "https://sns."+region+".amazonaws.com/") || strings.HasPrefix(asked, "https://sns."+region+".amazonaws.com.cn/")
			require.True(t, ok, asked)
			require.True(t, strings.HasSuffix(asked, ".pem"), asked)
		}
		err = v.Confirm(t.Context(), Message{Type: SubscriptionConfirmation, TopicARN: topicARN, Token: token, SubscribeURL: subscribe})
		require.Error(t, err) // every page is a 404
		if len(token) > 8 {
			require.NotContains(t, err.Error(), token)
		}
	})
}
