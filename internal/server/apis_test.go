package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
)

// What becomes of a failed call of an API: one row for each kind of failure.
func TestProblemsOfAPICalls(t *testing.T) {
	t.Parallel()
	said := func(status int) *remote.Error {
		return &remote.Error{
			Account: "acme", API: "manifest", Operation: "get_manifest", Status: status, RequestID: "req-1", ErrCode: "C", Detail: "the API's words",
		}
	}
	with := func(e *remote.Error, change func(*remote.Error)) *remote.Error {
		change(e)
		return e
	}
	tests := map[string]struct {
		err    error
		status int
		code   fleet.Code
		detail string
		words  bool // the API's own are shown
		after  time.Duration
	}{
		"400":       {err: said(400), status: 422, code: fleet.CodeInvalid, detail: "answered 400", words: true},
		"422":       {err: said(422), status: 422, code: fleet.CodeInvalid, detail: "answered 422", words: true},
		"401":       {err: said(401), status: 409, code: fleet.CodeConflict, detail: "fleetctl account check acme", words: true},
		"403":       {err: said(403), status: 409, code: fleet.CodeConflict, detail: "API access", words: true},
		"404":       {err: said(404), status: 404, code: fleet.CodeNotFound, detail: "answered 404", words: true},
		"409":       {err: said(409), status: 409, code: fleet.CodeConflict, detail: "answered 409", words: true},
		"412":       {err: said(412), status: 412, code: fleet.CodeConflict, detail: "answered 412", words: true},
		"303":       {err: said(303), status: 409, code: fleet.CodeConflict, detail: "answered 303", words: true},
		"a new 4xx": {err: said(418), status: 409, code: fleet.CodeConflict, detail: "answered 418", words: true},
		"wrapped":   {err: fmt.Errorf("get the manifest: %w", said(404)), status: 404, code: fleet.CodeNotFound, words: true},
		"throttled": {
			err:    with(said(429), func(e *remote.Error) { e.RetryAfter = 2500 * time.Millisecond }),
			status: 503, code: fleet.CodeUnavailable, detail: "try again later", words: true, after: 2500 * time.Millisecond,
		},
		"throttled without a time": {err: said(429), status: 503, code: fleet.CodeUnavailable, words: true, after: time.Second},
		"the budget is closed": {
			err:    &remote.Error{API: "manifest", Err: &remote.BudgetError{}},
			status: 503, code: fleet.CodeUnavailable, detail: "budget is closed", after: time.Second,
		},
		"a read that found it down": {err: said(500), status: 503, code: fleet.CodeUnavailable, detail: "answered 500", words: true},
		"no answer to a read": {
			err: &remote.Error{API: "manifest", Err: remote.ErrTimeout}, status: 503, code: fleet.CodeUnavailable, detail: "no whole answer",
		},
		"a write that may have been done": {
			err:    with(said(503), func(e *remote.Error) { e.InDoubt = true }),
			status: 502, code: fleet.CodeInDoubt, detail: "read before writing again", words: true,
		},
		"a write without an answer": {
			err: &remote.Error{API: "manifest", InDoubt: true, Err: context.Canceled}, status: 502, code: fleet.CodeInDoubt, detail: "read before writing again",
		},
		"an unreadable answer that names a field": {
			err: with(said(200), func(e *remote.Error) {
				e.Detail, e.Err = "", fmt.Errorf("%w: %w", remote.ErrUnreadable, fleet.Invalidf("skillId", "empty"))
			}),
			status: 503, code: fleet.CodeUnavailable, detail: "cannot be read",
		},
		"no token for good": {
			err:    &remote.Error{API: "manifest", Err: &lwa.UnauthorizedError{Account: "acme", Kind: fleet.CredentialDeveloper, Reason: "invalid_grant"}},
			status: 409, code: fleet.CodeConflict, detail: "fleetctl account credential set acme --kind developer",
		},
		"a body that could not be made": {
			err:    &remote.Error{API: "enablement", Refused: true, Err: fleet.Invalidf("code", "no code")},
			status: 422, code: fleet.CodeInvalid, detail: "no code",
		},
		"fleetd's own judgment of it": {
			err:    &fleet.Error{Code: fleet.CodeConflict, Message: "the manifest has changed", Err: said(412)},
			status: 409, code: fleet.CodeConflict, detail: "the manifest has changed",
		},
		"a request that cannot be built": {err: &remote.Error{API: "manifest", Err: remote.ErrBuild}, status: 500, code: fleet.CodeInternal, detail: internalDetail},
		"the residential API's words": {
			err:    with(said(400), func(e *remote.Error) { e.API = residential.API }),
			status: 422, code: fleet.CodeInvalid,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := problemOf(t.Context(), tt.err)
			require.Equal(t, tt.status, p.Status)
			require.Equal(t, http.StatusText(tt.status), p.Title)
			require.Equal(t, tt.code, p.Code)
			require.Contains(t, p.Detail, tt.detail)
			require.Equal(t, tt.after, p.retryAfter)
			words := false
			for _, d := range p.Errors {
				words = words || d.Message == "the API's words"
			}
			require.Equal(t, tt.words, words)
		})
	}
	p := problemOf(t.Context(), &remote.Error{API: "manifest", Err: &remote.BudgetError{}})
	require.Equal(t, 1, strings.Count(p.Detail, "try again"), p.Detail)
	wrong := said(400)
	wrong.Message, wrong.Violations = "the manifest is wrong", []string{"no icon (A)", "no name"}
	require.Equal(t, []ProblemDetail{{Message: "the manifest is wrong"}, {Message: "no icon (A)"}, {Message: "no name"}}, problemOf(t.Context(), wrong).Errors)
	wrong.Message = "no name"
	require.Equal(t, []ProblemDetail{{Message: "no icon (A)"}, {Message: "no name"}}, problemOf(t.Context(), wrong).Errors)
	wrong = said(400)
	wrong.HTML = true
	require.Empty(t, problemOf(t.Context(), wrong).Errors, "a page is not what the API said")
	require.Equal(t, http.Header{"Retry-After": {"3"}}, problemOf(t.Context(), tests["throttled"].err).GetHeaders())
	require.Empty(t, problemOf(t.Context(), errors.New("x")).GetHeaders())
}
