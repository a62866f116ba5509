package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWatchAnAuditToTheEnd(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		looks []string
		code  int
		want  string
	}{
		"succeeded": {[]string{"audit", "audit_waiting", "audit", "audit_succeeded"}, exitDone, ""},
		"unknown":   {[]string{"audit", "audit_unknown"}, exitShort, "error: audit au-7k2m could not see 3 homes: 2 forbidden, 1 server_error"},
		"canceled":  {[]string{"audit", "audit_canceled"}, exitShort, "error: audit au-7k2m was canceled"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			looks := make([]reply, len(tt.looks))
			for i, l := range tt.looks {
				looks[i] = ok(t, l)
			}
			f := newFake(t, map[string][]reply{"GET /audits/au-7k2m": looks, "GET /accounts/acme": {ok(t, "account")}})
			c := newConsole(t, f)
			require.Equal(t, tt.code, c.do(t, "audit", "watch", "au-7k2m", "-o", "json"), c.err)
			require.Equal(t, ok(t, tt.looks[len(tt.looks)-1]).body, c.out.String(), "the final state goes to stdout")
			require.Contains(t, c.err.String(), tt.want)
			golden(t, "watch_audit_"+name+".lines", c.err.String())
		})
	}
}

// An answer that is lost is asked for again, with the same key, and then watched.
func TestRunAnAuditAndWatch(t *testing.T) {
	t.Parallel()
	lost := reply{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
	f := newFake(t, map[string][]reply{
		"POST /audits":        {lost, ok(t, "audit")},
		"GET /audits/au-7k2m": {ok(t, "audit"), ok(t, "audit_unknown")},
		"GET /accounts/acme":  {ok(t, "account")},
	})
	stdout, stderr := fleetctl(t, f, exitShort, "audit", "run", "--account", "acme", "--watch")
	require.Contains(t, stderr, "asking again with the same key")
	require.Contains(t, stderr, "audit au-7k2m created")
	require.Contains(t, stdout, "fleetctl audit units au-7k2m --result unknown")
	keys := map[string]bool{}
	for _, r := range f.seen() {
		if r.method == http.MethodPost {
			keys[r.key] = true
			require.JSONEq(t, `{"account":"acme","selector":"all"}`, strings.TrimSpace(r.body))
		}
	}
	require.Len(t, keys, 1)
}

func TestWatchAnAuditForAWhile(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /audits/au-7k2m": {ok(t, "audit")}})
	stdout, stderr := fleetctl(t, f, exitRunning, "audit", "watch", "au-7k2m", "--timeout", "30ms")
	require.Contains(t, stderr, "the timeout of 30ms passed and audit au-7k2m goes on: it is running, 40% of its homes have a result")
	require.Contains(t, stdout, "fleetctl audit cancel au-7k2m")
}
