package sns

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Wrong hosts, look-alikes and tricks: nothing is fetched for any of them.
func TestCertificateURL(t *testing.T) {
	t.Parallel()
	const file = "/SimpleNotificationService-1.pem"
	for name, url := range map[string]string{
		"wrong host":                 "https://evil.test" + file,
		"http":                       "http://sns.us-east-1.amazonaws.com" + file,
		"no scheme":                  "//sns.us-east-1.amazonaws.com" + file,
		"another scheme":             "file://sns.us-east-1.amazonaws.com" + file,
		"scheme in upper case":       "HTTPS://sns.us-east-1.amazonaws.com" + file,
		"look-alike: suffix":         "https://sns.us-east-1.amazonaws.com.evil.test" + file,
		"look-alike: prefix":         "https://evil-sns.us-east-1.amazonaws.com" + file,
		"look-alike: host below":     "https://sns.us-east-1.evil.amazonaws.com" + file,
		"look-alike: host above":     "https://evil.sns.us-east-1.amazonaws.com" + file,
		"look-alike: no dot":         "https://sns.us-east-1xamazonaws.com" + file,
		"look-alike: hyphen":         "https://sns-us-east-1.amazonaws.com" + file,
		"look-alike: domain":         "https://sns.us-east-1.amazonaws.co" + file,
		"look-alike: China":          "https://sns.us-east-1.amazonaws.com.cn.evil.test" + file,
		"a bucket":                   "https://sns.s3.amazonaws.com" + file,
		"a bucket of a region":       "https://sns.s3-us-west-2.amazonaws.com" + file,
		"a bucket's site":            "https://sns.s3-website-us-east-1.amazonaws.com" + file,
		"another service":            "https://sqs.us-east-1.amazonaws.com" + file,
		"no region":                  "https://sns.amazonaws.com" + file,
		"a region that is none":      "https://sns.evil.amazonaws.com" + file,
		"another region":             "https://sns.eu-west-1.amazonaws.com" + file,
		"userinfo":                   "https://sns.us-east-1.amazonaws.com@evil.test" + file,
		"userinfo at the right host": "https://user@sns.us-east-1.amazonaws.com" + file,
		"empty userinfo":             "https://@sns.us-east-1.amazonaws.com" + file,
		"password":                   "https://a:b@sns.us-east-1.amazonaws.com" + file,
		"port":                       "https://sns.us-east-1.amazonaws.com:8443" + file,
		"port 443":                   "https://sns.us-east-1.amazonaws.com:443" + file,
		"empty port":                 "https://sns.us-east-1.amazonaws.com:" + file,
		"upper case":                 "https://SNS.us-east-1.amazonaws.com" + file,
		"upper case in the domain":   "https://sns.us-east-1.AmazonAWS.com" + file,
		"trailing dot":               "https://sns.us-east-1.amazonaws.com." + file,
		"escaped host":               "https://sns.us-east-1.amazonaws.com%2eevil.test" + file,
		"IP":                         "https://127.0.0.1" + file,
		"metadata":                   "http://169.254.169.254/latest/meta-data/iam.pem",
		"IPv6":                       "https://[::1]" + file,
		"IP as a number":             "https://2130706433" + file,
		"backslash":                  `https://evil.test\.sns.us-east-1.amazonaws.com` + file,
		"backslash in the path":      `https://sns.us-east-1.amazonaws.com\@evil.test` + file,
		"path up":                    "https://sns.us-east-1.amazonaws.com/../a.pem",
		"path down":                  "https://sns.us-east-1.amazonaws.com/a/b.pem",
		"path escaped":               "https://sns.us-east-1.amazonaws.com/a%2fb.pem",
		"path with a null":           "https://sns.us-east-1.amazonaws.com/a%00.pem",
		"path doubled":               "https://sns.us-east-1.amazonaws.com//evil.test/a.pem",
		"path of another kind":       "https://sns.us-east-1.amazonaws.com/a.pem.txt",
		"path in upper case":         "https://sns.us-east-1.amazonaws.com/a.PEM",
		"no path":                    "https://sns.us-east-1.amazonaws.com",
		"only an extension":          "https://sns.us-east-1.amazonaws.com/.pem",
		"an answer of the API":       "https://sns.us-east-1.amazonaws.com/?Action=x&y=.pem",
		"query":                      "https://sns.us-east-1.amazonaws.com" + file + "?x",
		"empty query":                "https://sns.us-east-1.amazonaws.com" + file + "?",
		"fragment":                   "https://sns.us-east-1.amazonaws.com" + file + "#x",
		"empty fragment":             "https://sns.us-east-1.amazonaws.com" + file + "#",
		"opaque":                     "https:sns.us-east-1.amazonaws.com" + file,
		"not a URL":                  "%%",
		"long":                       "https://sns.us-east-1.amazonaws.com/" + strings.Repeat("a", 200) + ".pem",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, err := w.verifier.Verify(t.Context(), signed(t, notification().with("SigningCertURL", url)))
			requireRefused(t, err, ReasonCertificateURL, 400)
			require.Empty(t, w.net.log())
		})
	}
	for name, url := range map[string]string{
		"control character": "https://sns.us-east-1.amazonaws.com/a\n.pem",
		"space":             "https://sns.us-east-1.amazonaws.com/a .pem",
		"other letters":     "https://sns.us-east-1.\u0430mazonaws.com" + file,
		"empty":             "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, err := w.verifier.Verify(t.Context(), signed(t, notification().with("SigningCertURL", url)))
			requireRefused(t, err, ReasonMalformed, 400)
			require.Empty(t, w.net.log())
		})
	}
}

// What SNS signs as, by region (Amazon's SDK for Java).
func TestLeafNames(t *testing.T) {
	t.Parallel()
	v := newWorld(t).verifier
	for region, want := range map[string]string{
		"us-east-1":      "sns.amazonaws.com",
		"eu-central-1":   "sns.amazonaws.com",
		"me-south-1":     "sns-signing.me-south-1.amazonaws.com",
		"ap-southeast-5": "sns-signing.ap-southeast-5.amazonaws.com",
		"us-gov-west-1":  "sns-us-gov-west-1.amazonaws.com",
		"us-gov-east-1":  "sns-us-gov-west-1.amazonaws.com",
	} {
		p, err := v.certificatePlace("https://sns."+region+".amazonaws.com/a.pem", "arn:aws:sns:"+region+":1:t")
		require.NoError(t, err)
		require.Contains(t, p.leaves, want)
	}
	p, err := v.certificatePlace("https://sns.cn-northwest-1.amazonaws.com.cn/a.pem", "arn:aws-cn:sns:cn-northwest-1:1:t")
	require.NoError(t, err)
	require.Contains(t, p.leaves, "sns-cn-northwest-1.amazonaws.com.cn")
	require.NotContains(t, p.leaves, leafName)
}

// A SubscribeURL leads to SNS and confirms the message's own topic and token. Both
// Verify and Confirm look; Confirm asks nobody for any of these.
func TestSubscribeURL(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"wrong host":     strings.Replace(subscribeURL(), "sns.us-east-1.amazonaws.com", "evil.test", 1),
		"look-alike":     strings.Replace(subscribeURL(), "amazonaws.com", "amazonaws.com.evil.test", 1),
		"userinfo":       strings.Replace(subscribeURL(), "https://", "https://user@", 1),
		"port":           strings.Replace(subscribeURL(), ".com/", ".com:8443/", 1),
		"http":           strings.Replace(subscribeURL(), "https", "http", 1),
		"another region": strings.Replace(subscribeURL(), "sns.us-east-1", "sns.us-east-2", 1),
		"another action": strings.Replace(subscribeURL(), "ConfirmSubscription", "DeleteTopic", 1),
		"another topic":  strings.Replace(subscribeURL(), "skill-events", "other", 1),
		"another token":  strings.Replace(subscribeURL(), token, "x"+token, 1),
		"two actions":    subscribeURL() + "&Action=DeleteTopic",
		"another path":   strings.Replace(subscribeURL(), ".com/", ".com/x/", 1),
		"broken query":   subscribeURL() + "&%zz",
		"fragment":       subscribeURL() + "#x",
		"inside":         "http://169.254.169.254/?Action=ConfirmSubscription",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := signed(t, confirmation(SubscriptionConfirmation).with("SubscribeURL", url))
			_, err := w.verifier.Verify(t.Context(), d)
			requireRefused(t, err, ReasonSubscribeURL, 400)
			err = w.verifier.Confirm(t.Context(), Message{Type: SubscriptionConfirmation, TopicARN: topic, Token: token, SubscribeURL: url})
			requireRefused(t, err, ReasonSubscribeURL, 400)
			require.Empty(t, w.net.log())
		})
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	verified := func(t *testing.T, w *world, kind Type) Message {
		t.Helper()
		m, err := w.verifier.Verify(t.Context(), signed(t, confirmation(kind)))
		require.NoError(t, err)
		return m
	}
	t.Run("asks once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.net.serveBytes(subscribeURL(), []byte("<ConfirmSubscriptionResponse/>"))
		require.NoError(t, w.verifier.Confirm(t.Context(), verified(t, w, SubscriptionConfirmation)))
		require.Equal(t, []string{certURL, subscribeURL()}, w.net.log())
	})
	t.Run("follows no redirect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.net.serve(subscribeURL(), func() (*http.Response, error) {
			return answer(http.StatusFound, "", http.Header{"Location": {"https://evil.test/"}}), nil
		})
		requireRefused(t, w.verifier.Confirm(t.Context(), verified(t, w, SubscriptionConfirmation)), ReasonConfirm, 503)
		require.Len(t, w.net.log(), 2)
	})
	t.Run("a refusal of SNS", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.net.serve(subscribeURL(), func() (*http.Response, error) { return answer(http.StatusBadRequest, token, nil), nil })
		err := w.verifier.Confirm(t.Context(), verified(t, w, SubscriptionConfirmation))
		requireRefused(t, err, ReasonConfirm, 503)
		require.ErrorContains(t, err, "400")
	})
	t.Run("an unsubscription is not undone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		requireRefused(t, w.verifier.Confirm(t.Context(), verified(t, w, UnsubscribeConfirmation)), ReasonUnknownType, 400)
		require.Len(t, w.net.log(), 1)
	})
	t.Run("a raw message confirms nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		m := verified(t, w, SubscriptionConfirmation)
		m.Raw = true
		requireRefused(t, w.verifier.Confirm(t.Context(), m), ReasonUnknownType, 400)
		require.Len(t, w.net.log(), 1)
	})
	t.Run("at the origin", func(t *testing.T) {
		t.Parallel()
		const origin = "http://127.0.0.1:8090"
		w := newWorld(t, func(c *Config) { c.Origin, c.OriginCA = origin, inPEM(newAuthority(t, "Simulator", nil).cert) })
		url := origin + "/_sim/sns/confirm?Token=" + token
		w.net.serveBytes(url, nil)
		m := Message{Type: SubscriptionConfirmation, TopicARN: topic, Token: token, SubscribeURL: url}
		require.NoError(t, w.verifier.Confirm(t.Context(), m))
		m.SubscribeURL = origin + "/a/../b"
		requireRefused(t, w.verifier.Confirm(t.Context(), m), ReasonSubscribeURL, 400)
	})
}
