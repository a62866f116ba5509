package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve starts a server and a client of it.
func serve(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(handle)
	t.Cleanup(srv.Close)
	c, err := New(Config{Server: srv.URL + "/", Token: "secret-token", UserAgent: "test"})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func answer(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestNewRefusesAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "localhost:8080", "ftp://x", "http://", "http://u:p@h", "http://h?x=1", "http://h#f", ":"} {
		_, err := New(Config{Server: address})
		require.Error(t, err, "%q", address)
		require.NotContains(t, err.Error(), "u:p")
	}
}

func TestReceiveKeepsBytesAndDecodes(t *testing.T) {
	t.Parallel()
	const body = `{"version":"v1", "go_version":"go1.26","of_a_later_version":[1,2]}`
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/api/v1/version", r.URL.Path)
		require.Equal(t, "Bearer secret-token", r.Header.Get("Authorization"))
		require.Equal(t, "test", r.Header.Get("User-Agent"))
		answer(w, http.StatusOK, "application/json; charset=utf-8", body)
	})
	r, err := c.GetVersion(t.Context())
	require.NoError(t, err)
	require.JSONEq(t, body, string(r.Raw))
	require.Len(t, r.Raw, len(body), "not a byte is changed")
	require.Equal(t, "v1", r.Value.Version)
}

func TestRequestSpellsParameters(t *testing.T) {
	t.Parallel()
	type seen struct{ uri, key, contentType, body string }
	got := make(chan seen, 1)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- seen{r.RequestURI, r.Header.Get("Idempotency-Key"), r.Header.Get("Content-Type"), string(b)}
		answer(w, http.StatusOK, "application/json", "{}")
	})
	unit := "a/b c?d"
	account := "acme"
	_, err := c.GetUnit(t.Context(), unit, GetUnitParams{Account: &account})
	require.NoError(t, err)
	require.Equal(t, "/api/v1/units/a%2Fb%20c%3Fd?account=acme", (<-got).uri)

	key := "k1"
	_, err = c.CreateRollout(t.Context(), CreateRolloutParams{IdempotencyKey: &key}, RolloutRequest{Account: "acme", Action: "enable", SkillID: "s"})
	require.NoError(t, err)
	s := <-got
	require.Equal(t, "k1", s.key)
	require.Equal(t, "application/json", s.contentType)
	require.JSONEq(t, `{"account":"acme","action":"enable","skill_id":"s"}`, s.body)

	r := newRequest("x", http.MethodGet, "/p/{id}", "id", text(7))
	r.addQuery("at", false, time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)))
	r.addQuery("each", true, []string{"a", "b,c"})
	r.addQuery("all", false, []string{"a", "b"})
	r.addQuery("none", false, []string{})
	require.Equal(t, "/p/7", r.path)
	require.Equal(t, "all=a%2Cb&at=2026-01-02T02%3A04%3A05Z&each=a&each=b%2Cc", r.query.Encode())
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status      int
		contentType string
		body        string
		location    string

		want      string
		denied    bool
		temporary bool
		details   []Fault
	}{
		"a problem document": {
			status: 422, contentType: "application/problem+json",
			body:    `{"type":"about:blank","title":"Unprocessable Entity","status":422,"code":"invalid","detail":"two rows are bad","errors":[{"location":"line 3","message":"empty","value":"x"},{"message":"no"}]}`,
			want:    "two rows are bad",
			details: []Fault{{Location: "line 3", Message: "empty", Value: "x"}, {Message: "no"}},
		},
		"a failure of the server is named": {
			status: 500, contentType: "application/problem+json",
			body: `{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal","detail":"something went wrong","request_id":"R1"}`,
			want: "something went wrong (request_id R1)",
		},
		"unauthenticated": {
			status: 401, contentType: "application/problem+json",
			body: `{"title":"Unauthorized","status":401,"code":"unauthenticated","detail":"no"}`, want: "no", denied: true,
		},
		"forbidden":            {status: 403, contentType: "application/json", body: `{"title":"Forbidden"}`, want: "Forbidden", denied: true},
		"a proxy's page":       {status: 502, contentType: "text/html", body: "<html>", want: "answered 502 Bad Gateway, but not as fleetd does", temporary: true},
		"another JSON":         {status: 404, contentType: "application/json", body: `{"error":"x"}`, want: "answered 404 Not Found, but not as fleetd does"},
		"a write in doubt":     {status: 502, contentType: "application/problem+json", body: `{"title":"Bad Gateway","code":"in_doubt","detail":"perhaps"}`, want: "perhaps"},
		"broken JSON":          {status: 503, contentType: "application/problem+json", body: `{"title`, want: "answered 503", temporary: true},
		"a redirect":           {status: 308, location: "https://elsewhere.example/", want: "redirect to https://elsewhere.example/"},
		"success of a website": {status: 200, contentType: "text/html", body: "<html>hello", want: "answered 200 OK, but not as fleetd does"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.location != "" {
					w.Header().Set("Location", tt.location)
				}
				answer(w, tt.status, tt.contentType, tt.body)
			})
			_, err := c.GetVersion(t.Context())
			var api *Error
			require.ErrorAs(t, err, &api)
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, tt.status, api.Status)
			require.Equal(t, tt.denied, api.Denied())
			require.Equal(t, tt.temporary, api.Temporary())
			require.Equal(t, tt.details, api.Details)
			require.NotContains(t, err.Error(), "secret-token")
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	t.Run("nothing listens", func(t *testing.T) {
		t.Parallel()
		srv := httptest.NewServer(http.NotFoundHandler())
		srv.Close()
		c, err := New(Config{Server: srv.URL})
		require.NoError(t, err)
		_, err = c.GetVersion(t.Context())
		var away *UnreachableError
		require.ErrorAs(t, err, &away)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.ErrorContains(t, err, srv.URL)
		require.True(t, away.Temporary())
		err = c.DeleteSkill(t.Context(), "acme", "s1", DeleteSkillParams{})
		require.ErrorAs(t, err, &away)
		require.False(t, away.Sent, "nothing left")
	})
	t.Run("the server dies in a write", func(t *testing.T) {
		t.Parallel()
		c := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		var away *UnreachableError
		require.ErrorAs(t, c.DeleteSkill(t.Context(), "acme", "s1", DeleteSkillParams{}), &away)
		require.True(t, away.Sent)
		_, err := c.GetVersion(t.Context())
		require.ErrorAs(t, err, &away)
		require.False(t, away.Sent, "a read changes nothing")
	})
	t.Run("the server dies in a call that may be a read", func(t *testing.T) {
		t.Parallel()
		c := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		for name, tt := range map[string]struct {
			call func(dry *bool) error
			read bool // always
		}{
			"plan a rollout": {read: true, call: func(*bool) error {
				_, err := c.PlanRollout(t.Context(), RolloutRequest{})
				return err
			}},
			"plan a rollback": {read: true, call: func(*bool) error {
				_, err := c.PlanRollback(t.Context(), "ro-1", PlanRollbackJSONRequestBody{})
				return err
			}},
			"check an account": {read: true, call: func(*bool) error {
				_, err := c.CheckAccount(t.Context(), "acme")
				return err
			}},
			"check a skill": {read: true, call: func(*bool) error {
				_, err := c.CheckSkill(t.Context(), "acme", "s1", CheckBody{})
				return err
			}},
			"repair": {call: func(dry *bool) error {
				_, err := c.RepairDrift(t.Context(), RepairDriftParams{}, RepairBody{DryRun: dry})
				return err
			}},
			"set what is desired": {call: func(dry *bool) error {
				_, err := c.SetDesired(t.Context(), SetDesiredParams{}, DesiredSetRequest{DryRun: dry})
				return err
			}},
			"import units": {call: func(dry *bool) error {
				_, err := c.ImportUnits(t.Context(), "acme", ImportUnitsParams{DryRun: dry}, strings.NewReader("unit_id\n"))
				return err
			}},
		} {
			for _, dry := range []bool{true, false} {
				var away *UnreachableError
				require.ErrorAs(t, tt.call(&dry), &away, name)
				require.Equal(t, !tt.read && !dry, away.Sent, "%s, dry: %v", name, dry)
			}
		}
	})
	t.Run("the answer breaks off", func(t *testing.T) {
		t.Parallel()
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			answer(w, http.StatusOK, "application/json", `{"version":`)
			panic(http.ErrAbortHandler)
		})
		_, err := c.GetVersion(t.Context())
		var away *UnreachableError
		require.ErrorAs(t, err, &away)
	})
	t.Run("the caller gives up", func(t *testing.T) {
		t.Parallel()
		c := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, why)
		defer cancel()
		_, err := c.GetVersion(ctx)
		require.ErrorIs(t, err, why)
	})
}

// A refused import is told before its body has been sent: the reader blocks when
// more than a little of it is read.
func TestImportIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusUnauthorized, "application/problem+json", `{"title":"Unauthorized","status":401,"detail":"unknown token"}`)
	})
	body := &endless{}
	_, err := c.ImportUnits(t.Context(), "acme", ImportUnitsParams{}, body)
	require.ErrorContains(t, err, "unknown token")
	require.Zero(t, body.read)
}

type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	e.read += len(b)
	return len(b), nil
}

func TestStreams(t *testing.T) {
	t.Parallel()
	const csv = "unit_id,property\nu1,maple\n"
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			require.Equal(t, "all", r.URL.Query().Get("select"))
			answer(w, http.StatusOK, "text/csv; charset=utf-8", csv)
			return
		}
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, csv, string(b))
		require.Equal(t, "text/csv", r.Header.Get("Content-Type"))
		require.Equal(t, "true", r.URL.Query().Get("dry_run"))
		answer(w, http.StatusOK, "application/json", `{"rows":1}`)
	})
	dry, all := true, "all"
	r, err := c.ImportUnits(t.Context(), "acme", ImportUnitsParams{DryRun: &dry}, io.MultiReader(strings.NewReader(csv)))
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Value.Rows)

	s, err := c.ExportUnits(t.Context(), "acme", ExportUnitsParams{Select: &all})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Body.Close()) }()
	b, err := io.ReadAll(s.Body)
	require.NoError(t, err)
	require.Equal(t, csv, string(b))
}

func TestDeleteHasNoAnswer(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	require.NoError(t, c.DeleteAccount(t.Context(), "acme", DeleteAccountParams{}))
}
