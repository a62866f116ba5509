package enablement

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
)

// region is one endpoint: what it answers to reads and to writes.
type region struct{ read, write http.HandlerFunc }

func (r region) serve(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		r.read(w, req)
		return
	}
	r.write(w, req)
}

var (
	stranger = region{always(400, elsewhere), always(400, elsewhere)}
	gone     = region{lost, lost}
	missing  = region{always(404, refusedBody), always(400, elsewhere)}
	refusing = region{always(403, refusedBody), always(403, refusedBody)}
	own      = region{always(200, enablement("ENABLED", "LINKED")), always(200, enablement("DISABLED", ""))}
	unheard  = region{always(404, refusedBody), always(201, enablement("ENABLING", ""))}
)

// world is the API with its regions; discovery answers with status and body.
func world(discovery http.HandlerFunc, regions map[string]region) *network {
	n := &network{serves: map[string]http.HandlerFunc{}}
	for url, r := range regions {
		n.serves[url] = r.serve
	}
	at := n.serves[home]
	n.serves[home] = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/alexaApiEndpoint" {
			discovery(w, r)
			return
		}
		at(w, r)
	}
	return n
}

func names(endpoints ...string) http.HandlerFunc {
	return always(200, `{"endpoints":["`+strings.Join(endpoints, `","`)+`"]}`)
}

func TestTheEndpointThatDiscoveryNamesIsCalledAndRemembered(t *testing.T) {
	t.Parallel()
	n := world(names(eu), map[string]region{home: stranger, eu: own})
	m := &memory{}
	c := customer(n, m)
	for range 2 {
		r, err := c.DisableAndUnlink(t.Context(), skill)
		require.NoError(t, err)
		require.Equal(t, eu, r.Endpoint)
	}
	require.Equal(t, eu, m.endpoint)
	require.Equal(t, []string{
		"GET " + home + " /v1/alexaApiEndpoint",
		"DELETE " + eu + " /v1/users/~current/skills/" + skill + "/enablement",
		"DELETE " + eu + " /v1/users/~current/skills/" + skill + "/enablement",
	}, n.log())
}

func TestACustomerWhoMovedIsFoundAnew(t *testing.T) {
	t.Parallel()
	for name := range calls(nil) {
		n := world(names(fe), map[string]region{home: stranger, eu: stranger, fe: own})
		m := &memory{endpoint: eu}
		r, err := calls(customer(n, m))[name](t.Context())
		require.NoError(t, err)
		require.Equal(t, fe, r.Endpoint)
		require.Equal(t, fe, m.endpoint)
		require.Len(t, n.log(), 3)
	}
}

func TestWhatToDoWhereDiscoveryDoesNotSay(t *testing.T) {
	t.Parallel()
	for name, discovery := range map[string]http.HandlerFunc{
		"several": names(home, eu, fe), "none": always(200, `{"endpoints":[]}`), "500": always(500, refusedBody), "502 page": always(502, "<html>"),
		"elsewhere": always(400, elsewhere), "lost": lost,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := world(discovery, map[string]region{home: stranger, eu: own, fe: gone})
			m := &memory{}
			c := customer(n, m)
			r, err := calls(c)[OpEnableAndLink](t.Context())
			require.NoError(t, err)
			require.Equal(t, eu, r.Endpoint)
			require.Equal(t, eu, m.endpoint)
			require.Equal(t, []string{
				"GET " + home + " /v1/alexaApiEndpoint",
				"GET " + home + " /v1/users/~current/skills/" + skill + "/enablement",
				"GET " + eu + " /v1/users/~current/skills/" + skill + "/enablement",
				"POST " + eu + " /v1/users/~current/skills/" + skill + "/enablement",
			}, n.log(), "the auth code goes to the customer's own endpoint only")
			_, err = c.Status(t.Context(), skill)
			require.NoError(t, err)
			require.Len(t, n.log(), 5, "what was found out is remembered")
		})
	}
}

func TestWritesAmongSeveralEndpoints(t *testing.T) {
	t.Parallel()
	inDoubt := region{own.read, always(500, refusedBody)}
	inDoubtNew := region{unheard.read, lost}
	answers := func(status int) region { return region{unheard.read, always(status, refusedBody)} }
	tests := map[string]struct {
		home, eu, fe region
		writes       []string
		at           string // empty: an error
		status       int    // of the error
		from         string // the endpoint that the error names; empty: all of them
		inDoubt      bool
	}{
		"the first loses answers":             {home: gone, eu: own, fe: stranger, writes: []string{eu}, at: eu},
		"the last":                            {home: stranger, eu: gone, fe: own, writes: []string{fe}, at: fe},
		"never enabled":                       {home: stranger, eu: unheard, fe: stranger, writes: []string{eu}, at: eu},
		"never enabled, and one is gone":      {home: gone, eu: unheard, fe: stranger, writes: []string{eu}, at: eu},
		"never enabled, and all say 404":      {home: missing, eu: missing, fe: unheard, writes: []string{home, eu, fe}, at: fe},
		"one refuses to be read":              {home: refusing, eu: own, fe: stranger, writes: []string{eu}, at: eu},
		"in doubt at its own":                 {home: stranger, eu: inDoubt, fe: own, writes: []string{eu}, status: 500, from: eu, inDoubt: true},
		"in doubt where it is not known":      {home: inDoubtNew, eu: unheard, fe: unheard, writes: []string{home}, from: home, inDoubt: true},
		"in doubt after one that is not it":   {home: missing, eu: inDoubtNew, fe: unheard, writes: []string{home, eu}, from: eu, inDoubt: true},
		"in doubt as the answer is a 500":     {home: answers(500), eu: unheard, fe: unheard, writes: []string{home}, status: 500, from: home, inDoubt: true},
		"in doubt as the answer is a 503":     {home: answers(503), eu: unheard, fe: unheard, writes: []string{home}, status: 503, from: home, inDoubt: true},
		"in doubt as the answer is a 408":     {home: answers(408), eu: unheard, fe: unheard, writes: []string{home}, status: 408, from: home, inDoubt: true},
		"in doubt as the answer is a page":    {home: region{unheard.read, always(201, "<html>")}, eu: unheard, fe: unheard, writes: []string{home}, status: 201, from: home, inDoubt: true},
		"all are strangers":                   {home: stranger, eu: stranger, fe: stranger, status: 400},
		"one is gone, the rest are strangers": {home: stranger, eu: gone, fe: stranger, from: eu},
		"one refuses, the rest are strangers": {home: stranger, eu: refusing, fe: stranger, status: 403, from: eu},
		"404 at all, and no writes are taken": {home: missing, eu: missing, fe: missing, writes: []string{home, eu, fe}, status: 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := world(names(home, eu, fe), map[string]region{home: tt.home, eu: tt.eu, fe: tt.fe})
			m := &memory{}
			r, err := calls(customer(n, m))[OpEnableAndLink](t.Context())
			require.Equal(t, tt.writes, n.writes())
			if tt.at != "" {
				require.NoError(t, err)
				require.Equal(t, tt.at, r.Endpoint)
				require.Equal(t, tt.at, m.endpoint)
				return
			}
			e := asRemote(t, err)
			require.Equal(t, tt.status, e.Status)
			require.Equal(t, tt.inDoubt, e.MaybeSent())
			requireFrom(t, tt.from, err)
			var none *EndpointError
			require.Equal(t, tt.status == 400, errors.As(err, &none))
			if none != nil {
				require.Contains(t, err.Error(), home+", "+eu+", "+fe+" takes this customer's calls")
			}
		})
	}
}

// requireFrom sees that an error names the host that it came from.
func requireFrom(t *testing.T, endpoint string, err error) {
	t.Helper()
	if endpoint != "" {
		require.Contains(t, err.Error(), " at "+strings.TrimPrefix(endpoint, "https://")+": ")
	}
}

func TestReadsAmongSeveralEndpoints(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		home, eu, fe region
		want         fleet.Status // empty: an error
		remembered   string
		status       int    // of the error
		from         string // the endpoint that it names
	}{
		"known to one":                  {home: gone, eu: missing, fe: own, want: fleet.StatusEnabled, remembered: fe},
		"no association is known":       {home: stranger, eu: region{always(200, enablement("NO_ASSOCIATION", "")), nil}, fe: stranger, want: fleet.StatusAbsent, remembered: eu},
		"absent at the only one left":   {home: stranger, eu: missing, fe: stranger, want: fleet.StatusAbsent, remembered: eu},
		"absent at several":             {home: missing, eu: missing, fe: stranger, want: fleet.StatusAbsent},
		"absent where it can be seen":   {home: missing, eu: gone, fe: stranger, from: eu},
		"absent at one, refused by one": {home: missing, eu: refusing, fe: stranger, status: 403, from: eu},
		"all are strangers":             {home: stranger, eu: stranger, fe: stranger, status: 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := world(names(home, eu, fe), map[string]region{home: tt.home, eu: tt.eu, fe: tt.fe})
			m := &memory{}
			r, err := customer(n, m).Status(t.Context(), skill)
			require.Equal(t, tt.remembered, m.endpoint)
			require.Empty(t, n.writes())
			if tt.want == "" {
				require.Equal(t, tt.status, asRemote(t, err).Status)
				requireFrom(t, tt.from, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, r.Status)
			require.NotEmpty(t, r.Endpoint)
		})
	}
}

func TestTheTokenGoesToAllowedHostsOnly(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{
		"https://evil.example", "evil.example", "http://api.eu.amazonalexa.com", "https://api.eu.amazonalexa.com.evil.example",
		"https://api.eu.amazonalexa.com@evil.example", "https://evil.example/api.eu.amazonalexa.com", "https://api.eu.amazonalexa.com:8443",
		"//evil.example", "ftp://api.eu.amazonalexa.com", "", " ", "https://", "https://api.eu.amazonalexa.com?x=1", "api.eu.amazonalexa.com#x", "https://api.eu.amazonalexa.com\\\\.evil.example",
		"api.fe.amazon.com", "http://api.amazonalexa.com",
	} {
		t.Run(evil, func(t *testing.T) {
			t.Parallel()
			n := world(names(eu, evil), map[string]region{home: own, eu: own})
			m := &memory{}
			_, err := calls(customer(n, m))[OpEnableAndLink](t.Context())
			require.ErrorContains(t, err, "the customer's token is not sent there")
			require.NotContains(t, err.Error(), "evil")
			require.Equal(t, []string{"GET " + home + " /v1/alexaApiEndpoint"}, n.log())
			require.Empty(t, m.endpoint)
		})
		kept := &memory{endpoint: evil}
		n := world(names(eu), map[string]region{home: own, eu: own})
		r, err := customer(n, kept).Status(t.Context(), skill)
		require.NoError(t, err)
		require.Equal(t, eu, r.Endpoint, "what is remembered is looked at again")
		require.Equal(t, eu, kept.endpoint)
	}
}

func TestAStandInHasItsRegionsUnderItsOwnAddress(t *testing.T) {
	t.Parallel()
	const sim = "http://127.0.0.1:8090"
	n := &network{serves: map[string]http.HandlerFunc{sim: always(500, ""), sim + "/na": stranger.serve, sim + "/eu": own.serve, sim + "/fe": gone.serve}}
	m := &memory{}
	c := NewCustomer(CustomerConfig{BaseURL: sim, Connect: n.connect, Memory: m})
	r, err := c.Status(t.Context(), skill)
	require.NoError(t, err)
	require.Equal(t, sim+"/eu", r.Endpoint)
	require.Equal(t, sim+"/eu", m.endpoint)

	for endpoint, want := range map[string]string{sim + "/fe/": sim + "/fe", "127.0.0.1:8090/eu": sim + "/eu", "127.0.0.1:8090": sim, home: home} {
		got, ok := c.admit(endpoint)
		require.True(t, ok, endpoint)
		require.Equal(t, want, got)
	}
	for _, endpoint := range []string{"http://127.0.0.1:8091", "https://127.0.0.1:8090", "127.0.0.1"} {
		_, ok := c.admit(endpoint)
		require.False(t, ok, endpoint)
	}
	shouted := NewCustomer(CustomerConfig{BaseURL: "https://API.AmazonAlexa.com"})
	require.Equal(t, []string{home, eu, fe}, shouted.regions(), "Amazon's is no stand-in, however it is spelled")
}

func TestAFailingMemoryUndoesNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("no database")
	n := world(names(eu), map[string]region{home: stranger, eu: own})
	_, err := calls(customer(n, &memory{err: broken}))[OpDisableAndUnlink](t.Context())
	require.ErrorIs(t, err, broken, "nothing is sent to an endpoint that may be the wrong one")
	require.Empty(t, n.log())

	r, err := calls(customer(n, &writeOnly{broken}))[OpDisableAndUnlink](t.Context())
	require.NoError(t, err)
	require.Equal(t, fleet.StatusDisabled, r.Status)
}

// writeOnly is a Memory that can keep nothing.
type writeOnly struct{ err error }

func (*writeOnly) Endpoint(context.Context) (string, error)                 { return "", nil }
func (m *writeOnly) RememberEndpoint(context.Context, string, string) error { return m.err }

// An endpoint that hangs, or says 503 without end, takes its share of the time and
// leaves the others theirs.
func TestAnEndpointThatHangsLeavesTheOthersTheirTime(t *testing.T) {
	t.Parallel()
	hangs := func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(r.Context().Err())
	}
	slow503 := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			panic(r.Context().Err())
		case <-time.After(100 * time.Millisecond):
			always(503, refusedBody)(w, r)
		}
	}
	for name, stuck := range map[string]http.HandlerFunc{"hangs": hangs, "503": slow503} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := world(stuck, map[string]region{home: {stuck, stuck}, eu: {stuck, stuck}, fe: own})
				for _, patience := range []time.Duration{10 * time.Second, 30 * time.Second} {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					r, err := calls(customer(n, &memory{}))[OpDisableAndUnlink](ctx)
					cancel()
					require.NoError(t, err, patience)
					require.Equal(t, fe, r.Endpoint)
				}
			})
		})
	}
}

func TestNothingMoreIsAskedOnceTheCallerIsGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := world(names(home, eu, fe), map[string]region{
		home: {read: func(w http.ResponseWriter, _ *http.Request) { cancel(); _, _ = io.WriteString(w, "") }}, eu: own, fe: own,
	})
	_, err := calls(customer(n, &memory{}))[OpDisableAndUnlink](ctx)
	require.Error(t, err)
	require.False(t, slices.ContainsFunc(n.log(), func(s string) bool { return strings.Contains(s, eu) }))
}
