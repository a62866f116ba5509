package remote

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Whatever an error body holds, the status and request ID stay, and what is kept
// of it is short, printable, valid UTF-8 and without the secret.
func FuzzErrorBody(f *testing.F) {
	for _, s := range []string{
		`{"type":"T","message":"m"}`, `{"message":"m","violations":[{"code":"c","message":"n"}]}`, `{"error":"e","error_description":"d"}`,
		`{"type":"T","mess`, `<html>`, ``, `null`, `[1]`, `"x"`, "{\"message\":\"\\u0000\\ud800s3cret\"}", "\xff", `{"violations":{}}`,
	} {
		f.Add([]byte(s), "text/html", "3")
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType, header string) {
		resp := &http.Response{StatusCode: http.StatusTeapot, Header: http.Header{
			"Content-Type": {contentType}, "Retry-After": {header}, "X-Amzn-Requestid": {header}, "X-Amzn-Errortype": {header},
		}}
		e := parseError(resp, body, []string{"s3cret"})
		require.Equal(t, http.StatusTeapot, e.Status)
		require.False(t, e.Temporary())
		require.GreaterOrEqual(t, e.RetryAfter, time.Duration(0))
		require.LessOrEqual(t, e.RetryAfter, MaxRetryAfter)
		require.LessOrEqual(t, len(e.Violations), maxViolations)
		for _, s := range append([]string{e.Type, e.ErrCode, e.Detail, e.Message, e.RequestID}, e.Violations...) {
			require.True(t, utf8.ValidString(s))
			require.False(t, strings.ContainsAny(s, "\x00\n\r\x1b"))
			require.LessOrEqual(t, len(s), maxDetail)
		}
		if !strings.Contains(header, "s3") {
			require.NotContains(t, e.Detail+e.Type+e.Message+strings.Join(e.Violations, " "), "s3cret")
		}
		require.NotContains(t, e.Error(), "\n")
	})
}

// A body decodes to what encoding/json says of it, or is unreadable; never to an
// empty answer.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"word":"x"}`, `{"word":"x",}`, ``, ` `, `null`, `{}`, `[]`, `{"word":1}`, `{"word":"x"} {}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var out, want answer
		err := decode(body, nil, false, &out)
		if bad := json.Unmarshal(body, &want); bad != nil || len(bytes.TrimSpace(body)) == 0 {
			require.ErrorIs(t, err, ErrUnreadable)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, out)
	})
}
