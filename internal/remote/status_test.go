package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// One table lists every status, and what a read and a write make of it.
func TestErrorSaysWhatFollowsEveryStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status                               int
		temporary, throttled, writeMaybeSent bool
	}{
		{status: 301},
		{status: 302},
		{status: 400},
		{status: 401},
		{status: 403},
		{status: 404},
		{status: 405},
		{status: 408, temporary: true, writeMaybeSent: true},
		{status: 409},
		{status: 410},
		{status: 413},
		{status: 415},
		{status: 422},
		{status: 425, temporary: true},
		{status: 429, temporary: true, throttled: true},
		{status: 500, temporary: true, writeMaybeSent: true},
		{status: 501, writeMaybeSent: true},
		{status: 502, temporary: true, writeMaybeSent: true},
		{status: 503, temporary: true, throttled: true, writeMaybeSent: true},
		{status: 504, temporary: true, writeMaybeSent: true},
		{status: 599, temporary: true, writeMaybeSent: true},
	}
	for _, tt := range tests {
		for _, r := range []Request{get(), post(), del()} {
			t.Run(r.Method+" "+strconv.Itoa(tt.status), func(t *testing.T) {
				t.Parallel()
				srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Amzn-RequestId", "req-1")
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(tt.status)
					_, _ = io.WriteString(w, `{"type":"T","message":"not for people"}`)
				})
				b := setup(t, srv.URL)
				b.budget.refuse = onlyOnce
				e := b.fail(t, b.ctx, r)
				require.Equal(t, tt.status, e.Status)
				require.Equal(t, "req-1", e.RequestID)
				require.Equal(t, "T", e.Type)
				require.Equal(t, "not for people", e.Detail)
				require.NotContains(t, e.Error(), "not for people")
				require.Contains(t, e.Error(), strconv.Itoa(tt.status))
				require.Equal(t, tt.temporary, e.Temporary(), "temporary")
				require.Equal(t, tt.throttled, e.Throttled(), "throttled")
				require.Equal(t, tt.writeMaybeSent && r.write(), e.MaybeSent(), "maybe sent")
			})
		}
	}
}

// onlyOnce gives one slot (and one more after a 401), then none, so that refusals
// come back to the caller.
func onlyOnce(_ context.Context, nth int) error {
	if nth > 2 {
		return errors.New("no more slots")
	}
	return nil
}

func TestErrorKeepsWhatItCanOfAnyBody(t *testing.T) {
	t.Parallel()
	page := "<!DOCTYPE html><html><title>Website Temporarily Unavailable</title></html>"
	tests := map[string]struct {
		body, contentType       string
		kind, code, detail, typ string
		html                    bool
	}{
		"type and message":     {body: `{"type":"FORBIDDEN","message":"no"}`, typ: "FORBIDDEN", detail: "no"},
		"message only":         {body: `{"message":"no"}`, detail: "no"},
		"message and code":     {body: `{"message":"no","code":"incorrectEndpoint"}`, code: "incorrectEndpoint", detail: "no"},
		"violations":           {body: `{"message":"Skill is not ready.","violations":[{"code":"V","message":"missing (\"endpoint\")"}]}`, code: "V", detail: `Skill is not ready. missing ("endpoint")`},
		"violations are odd":   {body: `{"message":"m","violations":"odd"}`, detail: "m"},
		"oauth":                {body: `{"error":"invalid_grant","error_description":"d"}`, code: "invalid_grant", detail: "d"},
		"aws":                  {body: `{"__type":"ThrottlingException","Message":"m"}`, typ: "ThrottlingException", detail: "m"},
		"numbers":              {body: `{"type":7,"code":12,"message":null}`, typ: "7", code: "12"},
		"odd members":          {body: `{"type":{"a":1},"code":[2],"message":true}`},
		"html":                 {body: page, contentType: "text/html; charset=utf-8", detail: page, html: true},
		"html called json":     {body: page, contentType: "application/json", detail: page, html: true},
		"plain text":           {body: "upstream connect error", contentType: "text/plain", detail: "upstream connect error"},
		"empty":                {},
		"truncated json":       {body: `{"type":"FORBIDDEN","mess`, detail: `{"type":"FORBIDDEN","mess`},
		"array":                {body: `["a"]`, detail: `["a"]`},
		"null":                 {body: `null`, detail: "null"},
		"string":               {body: `"no"`, detail: `"no"`},
		"control characters":   {body: "{\"message\":\"a\\u0000b\\nc\\u001b[31m\"}", detail: "ab c[31m"},
		"invalid utf-8":        {body: "\xff\xfe no", detail: "no"},
		"longer than the caps": {body: `{"type":"` + strings.Repeat("t", 999) + `","message":"` + strings.Repeat("é", 999) + `"}`, typ: strings.Repeat("t", 128), detail: strings.Repeat("é", 256)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.contentType != "" {
					w.Header().Set("Content-Type", tt.contentType)
				}
				w.Header().Set("X-Amzn-RequestId", "req-2")
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, tt.body)
			})
			b := setup(t, srv.URL)
			e := b.fail(t, b.ctx, get())
			require.Equal(t, 403, e.Status)
			require.Equal(t, "req-2", e.RequestID)
			require.Equal(t, tt.typ, e.Type)
			require.Equal(t, tt.code, e.ErrCode)
			require.Equal(t, tt.detail, e.Detail)
			require.Equal(t, tt.html, e.HTML)
			require.False(t, e.Temporary())
		})
	}
}

// A manifest may be wrong in many ways: each comes with its code, without the secret.
func TestErrorKeepsEveryViolation(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`{"message":"v"},`, 99) + `{"message":"v"}`
	for body, want := range map[string][]string{
		`{"message":"m","violations":[{"code":"A","message":"a s3cret+code"},{"message":"b"},{"code":"C"},{},{"code":4,"message":"d\nd"}]}`: {
			"a [redacted] (A)", "b", "C", "d d (4)",
		},
		`{"message":"m"}`: nil,
		`{"message":"m","violations":[` + many + `]}`: slices.Repeat([]string{"v"}, maxViolations),
	} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, body)
		})
		b := setup(t, srv.URL)
		r := post()
		r.Secrets = []string{"s3cret+code"}
		e := b.fail(t, b.ctx, r)
		require.Equal(t, "m", e.Message)
		require.Equal(t, want, e.Violations)
	}
}

func TestErrorTypeComesFromTheHeaderWhereTheBodyHasNone(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException:http://internal.amazon.com/x")
		w.WriteHeader(http.StatusForbidden)
	})
	b := setup(t, srv.URL)
	require.Equal(t, "AccessDeniedException", b.fail(t, b.ctx, get()).Type)
}

func TestErrorDoesNotEchoSecrets(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"type":"code s3cret+code","message":"bad %s, s3cret+code or s3cret%%2Bcode"}`, r.Header.Get("Authorization"))
	})
	b := setup(t, srv.URL)
	r := post()
	r.Secrets = []string{"s3cret+code"}
	e := b.fail(t, b.ctx, r)
	require.Equal(t, "bad Bearer [redacted], [redacted] or [redacted]", e.Detail)
	require.Equal(t, "code [redacted]", e.Type)
	require.NotContains(t, fmt.Sprintf("%+v %#v", e, *e), "s3cret")
}

func TestAnswerWithAGoodStatusThatCannotBeRead(t *testing.T) {
	t.Parallel()
	bodies := map[string]func(w http.ResponseWriter){
		"empty":     func(http.ResponseWriter) {},
		"html":      func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>hello</html>") },
		"not json":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"word":"x",}`) },
		"two":       func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"word":"x"}{"word":"y"}`) },
		"an array":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, `[]`) },
		"odd types": func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"word":7}`) },
		"cut short": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"word":"x"}`)
		},
		"too large": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"word":"`+strings.Repeat("x", MaxBody)+`"}`)
		},
	}
	for name, write := range bodies {
		for _, r := range []Request{get(), post()} {
			t.Run(r.Method+" "+name, func(t *testing.T) {
				t.Parallel()
				srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Amzn-RequestId", "req-3")
					write(w)
				})
				b := setup(t, srv.URL)
				e := b.fail(t, b.ctx, r)
				require.ErrorIs(t, e, ErrUnreadable)
				require.Equal(t, 200, e.Status)
				require.Equal(t, "req-3", e.RequestID)
				require.True(t, e.Temporary())
				require.Equal(t, r.write(), e.MaybeSent())
				require.Equal(t, 1, b.counter.Requests)
			})
		}
	}
}

func TestOptionalBodyMayBeEmptyButNotGarbage(t *testing.T) {
	t.Parallel()
	body := make(chan string, 1)
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, <-body) })
	b := setup(t, srv.URL)
	r := del()
	r.OptionalBody = true
	var out answer

	body <- ""
	_, err := b.client.Do(b.ctx, r, &out)
	require.NoError(t, err)
	require.Empty(t, out)

	body <- `{"word":"done"}`
	_, err = b.client.Do(b.ctx, r, &out)
	require.NoError(t, err)
	require.Equal(t, answer{"done"}, out)

	body <- "<html>"
	require.True(t, b.fail(t, b.ctx, r).MaybeSent())
}

func TestHugeBodiesAreCutOff(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	for _, status := range []int{http.StatusOK, http.StatusForbidden} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			wrote := make(chan int, 1)
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				chunk, n := []byte(strings.Repeat("x", 1<<16)), 0
				for n < size {
					m, err := w.Write(chunk)
					n += m
					if err != nil {
						break
					}
				}
				wrote <- n
			})
			b := setup(t, srv.URL)
			e := b.fail(t, b.ctx, get())
			require.Equal(t, status, e.Status)
			require.Less(t, <-wrote, size, "the connection was read to the end")
		})
	}
}
