package remote

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestParseBaseURL(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"https://api.amazonalexa.com":     "https://api.amazonalexa.com",
		"https://api.eu.amazonalexa.com/": "https://api.eu.amazonalexa.com",
		"http://127.0.0.1:8090":           "http://127.0.0.1:8090",
		"http://[::1]:8090/prefix/":       "http://[::1]:8090/prefix",
	}
	for in, want := range good {
		u, err := ParseBaseURL(in)
		require.NoError(t, err, in)
		require.Equal(t, want, u.String())
	}
	bad := map[string]string{
		"":                            "scheme",
		"api.amazonalexa.com":         "scheme",
		"ftp://api.amazonalexa.com":   "scheme",
		"https://":                    "host",
		"https://:443":                "host",
		"https://me:s3cret@h.example": "credentials",
		"https://h.example?a=b":       "query",
		"https://h.example#f":         "query",
		"http://s3cret:\x7f@h":        "parsed",
	}
	for in, want := range bad {
		_, err := ParseBaseURL(in)
		require.ErrorContains(t, err, want, in)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func TestNewClientRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	ok := Config{Account: "acme", BaseURL: "https://h.example", Tokens: &fakeTokens{}, Limiter: &fakeBudget{}}
	_, err := NewClient(ok)
	require.NoError(t, err)
	for want, change := range map[string]func(*Config){
		"Config.Account": func(c *Config) { c.Account = "" },
		"API URL":        func(c *Config) { c.BaseURL = "" },
		"Config.Tokens":  func(c *Config) { c.Tokens = nil },
		"Config.Limiter": func(c *Config) { c.Limiter = nil },
		"Config.Timeout": func(c *Config) { c.Timeout = -1 },
	} {
		cfg := ok
		change(&cfg)
		_, err := NewClient(cfg)
		require.ErrorContains(t, err, want)
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	body := make(chan string, 1)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- r
		body <- string(b)
		_, _ = io.WriteString(w, `{"word":"ok"}`)
	})
	b := setup(t, srv.URL+"/prefix/", func(c *Config) { c.UserAgent = "fleetd/1.2" })
	for _, r := range []Request{get(), post(), del()} {
		r.Path, r.Query = "/v1/a%2Fb", url.Values{"unitId": {"x&y z"}}
		_, err := b.client.Do(b.ctx, r, nil)
		require.NoError(t, err)
		req := <-got
		require.Equal(t, "/prefix/v1/a%2Fb?unitId=x%26y+z", req.RequestURI)
		require.Equal(t, "Bearer Atza|first", req.Header.Get("Authorization"))
		require.Equal(t, "application/json", req.Header.Get("Accept"))
		require.Equal(t, "fleetd/1.2", req.Header.Get("User-Agent"))
		require.Empty(t, req.TransferEncoding)
		if r.Body == nil {
			require.Empty(t, <-body)
			require.Zero(t, req.ContentLength)
			require.Empty(t, req.Header.Get("Content-Type"))
			continue
		}
		require.JSONEq(t, `{"word":"please"}`, <-body)
		require.EqualValues(t, len(`{"word":"please"}`), req.ContentLength)
		require.Equal(t, "application/json", req.Header.Get("Content-Type"))
	}
}

func TestRequestsThatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	b := setup(t, serve(t, unreachable(t)).URL)
	for name, r := range map[string]Request{
		"path":   {API: "test", Operation: "x", Method: http.MethodGet, Path: "v1"},
		"escape": {API: "test", Operation: "x", Method: http.MethodGet, Path: "/%zz"},
		"method": {API: "test", Operation: "x", Method: "NO GOOD", Path: "/"},
		"body":   {API: "test", Operation: "x", Method: http.MethodPost, Path: "/", Body: make(chan int)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := b.fail(t, t.Context(), r)
			require.ErrorIs(t, e, ErrBuild)
			require.False(t, e.Temporary())
			require.False(t, e.MaybeSent())
		})
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	statuses := make(chan int, 8)
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		status := <-statuses
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"word":"ok"}`)
	})
	b := setup(t, srv.URL)
	for _, s := range []int{429, 200} {
		statuses <- s
	}
	_, err := b.client.Do(b.ctx, get(), &answer{})
	require.NoError(t, err)
	statuses <- 503
	require.Equal(t, 503, b.fail(t, b.ctx, post()).Status)
	statuses <- 0
	require.Zero(t, b.fail(t, b.ctx, post()).Status)

	problems, err := testutil.GatherAndLint(b.reg)
	require.NoError(t, err)
	require.Empty(t, problems)
	count := func(op, code string) float64 {
		return testutil.ToFloat64(b.client.cfg.Metrics.requests.WithLabelValues("acme", "test", op, code))
	}
	require.InDelta(t, 1, count("read", "429"), 0)
	require.InDelta(t, 1, count("read", "200"), 0)
	require.InDelta(t, 1, count("write", "503"), 0)
	require.InDelta(t, 1, count("write", "error"), 0)
	require.InDelta(t, 2, testutil.ToFloat64(b.client.cfg.Metrics.throttled), 0)
	n, err := testutil.GatherAndCount(b.reg, "fleet_api_requests_total", "fleet_api_request_duration_seconds", "fleet_api_throttled_total")
	require.NoError(t, err)
	require.Equal(t, 4+2+1, n, "series: labels hold no IDs")
}

func TestClassesAreNamed(t *testing.T) {
	t.Parallel()
	names := make([]string, 0, 4)
	for _, c := range Classes() {
		names = append(names, c.String())
	}
	require.Equal(t, []string{"interactive", "verify", "rollout", "audit"}, names)
	require.Equal(t, "unknown", Class(9).String())
	require.Equal(t, ClassInteractive, ClassFrom(t.Context()))
	require.Equal(t, ClassAudit, ClassFrom(WithClass(t.Context(), ClassAudit)))
}
