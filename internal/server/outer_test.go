package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
)

func TestPagesForMachinesNeedNoToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)

	require.Equal(t, "ok\n", f.call(t, "none", http.MethodGet, "/healthz", nil).body)
	require.Equal(t, "ok\n", f.call(t, "none", http.MethodGet, "/readyz", nil).body)
	require.Contains(t, f.call(t, "none", http.MethodGet, "/metrics", nil).body, "promhttp_metric_handler_errors_total")
	spec := f.call(t, "none", http.MethodGet, "/openapi.json", nil)
	require.Contains(t, spec.body, `"version": "v1.2.3"`)
	require.Equal(t, http.StatusNotFound, f.call(t, "none", http.MethodGet, "/docs", nil).status)
}

func TestReadyzTellsWhyNot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.ready = func(context.Context) error { return errors.New("dial tcp 10.0.0.1: secret detail") }

	a := f.call(t, "none", http.MethodGet, "/readyz", nil)

	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NotContains(t, a.body, "10.0.0.1")
	require.Contains(t, f.log.String(), "10.0.0.1")

	f.ready = func(context.Context) error {
		return &fleet.Error{Code: fleet.CodeUnavailable, Message: "the database is older than this fleetd"}
	}
	require.Contains(t, f.call(t, "none", http.MethodGet, "/readyz", nil).body, "older than this fleetd")
	require.Equal(t, http.StatusOK, f.call(t, "none", http.MethodGet, "/healthz", nil).status)
}

func TestEveryErrorIsAProblem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		code               fleet.Code
		says               string
	}{
		{"GET", "/nothing", "", 404, fleet.CodeNotFound, "/openapi.json"},
		{"GET", "/api/v1/nothing", "", 404, fleet.CodeNotFound, ""},
		{"PUT", "/api/v1/accounts", "", 405, fleet.CodeInvalid, "GET, HEAD, POST"},
		{"DELETE", "/healthz", "", 405, fleet.CodeInvalid, "GET, HEAD"},
		{"POST", "/api/v1/accounts", "", 400, fleet.CodeInvalid, "body"},
		{"POST", "/api/v1/accounts", "{", 400, fleet.CodeInvalid, "ends too early"},
		{"POST", "/api/v1/accounts", `{"name":"x"}`, 422, fleet.CodeInvalid, "errors says where"},
		{"POST", "/api/v1/accounts", strings.Repeat(" ", 1<<20) + "{}", 413, fleet.CodeTooLarge, "too large"},
		{"GET", "/api/v1/accounts?limit=0", "", 422, fleet.CodeInvalid, "limit"},
		{"GET", "/api/v1/accounts?limit=1001", "", 422, fleet.CodeInvalid, "limit"},
		{"GET", "/api/v1/accounts?limit=many", "", 422, fleet.CodeInvalid, "limit"},
		{"GET", "/api/v1/accounts?cursor=%21", "", 422, fleet.CodeInvalid, "without one"},
		{"GET", "/api/v1/accounts?page=2", "", 422, fleet.CodeInvalid, "page"},
		{"GET", "/api/v1/accounts/nobody", "", 404, fleet.CodeNotFound, "account list"},
		{"GET", "/api/v1/units/nowhere", "", 404, fleet.CodeNotFound, "unit list"},
		{"GET", "/api/v1/accounts/acme/units?select=floor", "", 422, fleet.CodeInvalid, ""},
		{"GET", "/api/v1/accounts/acme/units/export?select=floor", "", 422, fleet.CodeInvalid, ""},
		{"GET", "/api/v1/rollouts?state=asleep", "", 422, fleet.CodeInvalid, "state"},
		{"GET", "/api/v1/rollouts/nothing", "", 404, fleet.CodeNotFound, ""},
		{"GET", "/api/v1/rollouts/nothing/targets?reason=bad_luck", "", 422, fleet.CodeInvalid, "bad_luck"},
		{"POST", "/api/v1/rollouts/nothing/pause", `{"because":"x"}`, 422, fleet.CodeInvalid, "because"},
		{"POST", "/api/v1/accounts/acme/units/import", "unit_id\n", 415, fleet.CodeInvalid, "text/csv"},
		{"POST", "/api/v1/tokens", `{"name":"x","role":"viewer","ttl":"1 day"}`, 422, fleet.CodeInvalid, "duration"},
		{"POST", "/api/v1/tokens", `{"name":"x","role":"root"}`, 422, fleet.CodeInvalid, "role"},
	} {
		var body io.Reader
		if c.body != "" {
			body = strings.NewReader(c.body)
		}
		a := f.call(t, "admin", c.method, c.path, body)
		at := fmt.Sprintf("%s %s %.30s: %s", c.method, c.path, c.body, a.body)
		require.Equal(t, c.status, a.status, at)
		require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), at)
		require.Contains(t, a.body, `"code":"`+string(c.code)+`"`, at)
		require.Contains(t, a.body, `"type":"about:blank"`, at)
		require.Contains(t, a.body, a.header.Get("X-Request-Id"), at)
		require.Contains(t, a.body, c.says, at)
	}
}

func TestRolloutRequestsAreChecked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t)
	for change, field := range map[string]string{
		`"account":""`:               "account",
		`"action":"destroy"`:         "action",
		`"skill_id":""`:              "skill_id",
		`"stage":"beta"`:             "stage",
		`"selector":""`:              "selector",
		`"unit_ids":["u1"]`:          "selector",
		`"canary":-1`:                "canary",
		`"weight":-1`:                "weight",
		`"soak":"soon"`:              "soak",
		`"soak":"-1m"`:               "soak",
		`"verify_timeout":"0"`:       "verify_timeout",
		`"observation_max_age":"a"`:  "observation_max_age",
		`"max_failure":"3"`:          "max_failure",
		`"waves":"10%"`:              "waves",
		`"selector":"floor=9"`:       "no unit",
		`"max_failures":"-1"`:        "failures",
		`"window":"22:00-22:00"`:     "window",
		`"timezone":"Mars/Olympus"`:  "timezone",
		`"selector":"occupancy=sad"`: "occupancy",
	} {
		body := `{"account":"acme","action":"enable","skill_id":"s","selector":"all",` + change + `}`
		for _, path := range []string{"/api/v1/rollouts/plan", "/api/v1/rollouts"} {
			a := f.call(t, "operator", http.MethodPost, path, strings.NewReader(body))
			require.GreaterOrEqual(t, a.status, 400, "%s: %s", change, a.body)
			require.Less(t, a.status, 500, "%s: %s", change, a.body)
			require.Contains(t, a.body, field, change)
		}
	}
	require.Contains(t, f.call(t, "viewer", http.MethodGet, "/api/v1/rollouts", nil).body, `"items":[]`)
}

func TestExportReadsBackAsImport(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t)

	out := f.call(t, "viewer", http.MethodGet, "/api/v1/accounts/acme/units/export", nil)
	require.Equal(t, http.StatusOK, out.status)
	in := f.call(t, "operator", http.MethodPost, "/api/v1/accounts/acme/units/import?prune=true", strings.NewReader(out.body),
		"Content-Type", "text/csv; charset=utf-8")

	require.Equal(t, http.StatusOK, in.status)
	require.Contains(t, in.body, `"unchanged":3`)
	require.Contains(t, in.body, `"removed":0`)
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t)
	first := f.call(t, "viewer", http.MethodGet, "/api/v1/accounts/acme/units?limit=2", nil)
	cursor := between(first.body, `"next_cursor":"`, `"`)
	require.NotEmpty(t, cursor)

	second := f.call(t, "viewer", http.MethodGet, "/api/v1/accounts/acme/units?limit=2&cursor="+cursor, nil)

	require.Contains(t, second.body, `"unit_id":"u3"`)
	require.NotContains(t, second.body, `"unit_id":"u1"`)
	require.Contains(t, second.body, `"next_cursor":""`)
	wrong := f.call(t, "viewer", http.MethodGet, "/api/v1/log?cursor="+cursor, nil)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status, "a cursor of another list")
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}
