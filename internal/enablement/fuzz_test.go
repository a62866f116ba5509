package enablement

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// Whatever the regions do: a write is done once at most, none follows one in doubt, one
// whose outcome is not known is never said to be refused or done, and "absent" is said
// only where every endpoint could be asked.
func TestAnyRegions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		done, doubts, strangersWritten := 0, 0, 0
		blind := map[string]bool{}
		regions := map[string]region{}
		all := []string{home, eu, fe}
		for _, url := range all {
			read := rapid.SampledFrom([]string{"elsewhere", "missing", "known", "none", "refused", "lost", "500"}).Draw(t, "read of "+url)
			write := rapid.SampledFrom([]string{"elsewhere", "done", "refused", "lost", "500", "unreadable"}).Draw(t, "write to "+url)
			answers := map[string]http.HandlerFunc{
				"elsewhere": always(400, elsewhere), "missing": always(404, refusedBody), "known": always(200, enablement("ENABLED", "")),
				"none": always(200, enablement("NO_ASSOCIATION", "")), "refused": always(403, refusedBody), "lost": lost, "500": always(500, ""),
				"done": always(201, enablement("ENABLING", "")), "unreadable": always(201, `{"status":`),
			}
			blind[url] = read == "lost" || read == "500"
			regions[url] = region{answers[read], func(w http.ResponseWriter, r *http.Request) {
				require.Zero(t, done+doubts, "a write follows one that was done or may have been")
				switch write {
				case "done":
					done++
				case "lost", "500", "unreadable":
					doubts++
				}
				if read != "known" && read != "none" && read != "missing" {
					strangersWritten++
				}
				answers[write](w, r)
			}}
		}
		discovery := rapid.SampledFrom([]http.HandlerFunc{names(all...), always(500, ""), lost}).Draw(t, "discovery")
		kept := rapid.SampledFrom([]string{"", home, "http://evil.example"}).Draw(t, "remembered")
		m := &memory{endpoint: kept}
		n := world(discovery, regions)
		c := customer(n, m)
		op := rapid.SampledFrom([]string{OpEnableAndLink, OpDisableAndUnlink, OpCustomerStatus}).Draw(t, "operation")
		r, err := calls(c)[op](t.Context())
		for _, line := range n.log() {
			require.Contains(t, all, strings.Fields(line)[1])
		}
		if op == OpCustomerStatus {
			require.Zero(t, done+doubts)
			sees := kept != home && !slices.ContainsFunc(all, func(url string) bool { return blind[url] })
			if err == nil && r.missing && kept != home {
				require.True(t, sees, "absent, and one could not be asked")
			}
			return
		}
		if kept != home {
			require.Zero(t, strangersWritten, "a write went where no read said that it may")
		}
		require.Equal(t, done == 1, err == nil)
		if err != nil {
			require.Equal(t, doubts == 1, asRemote(t, err).MaybeSent())
			return
		}
		require.Equal(t, r.Endpoint, m.endpoint)
	})
}

// A record decodes to what it says, or is unreadable, and a write is then in doubt.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		enablement("ENABLED", "LINKED"), enablement("NO_ASSOCIATION", ""), ``, `{}`, `null`, `[]`, `{"status":""}`, `{"status":7}`, `{"status":"A\u0000"}`,
		`{"status":"ENABLED","accountLink":null,"user":{"id":"\u2028"}}`, `{"status":"ENABLED",}`, `<html>`, `{"status":"ENABLED","skill":[]}`,
	} {
		f.Add(200, []byte(s))
		f.Add(404, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 || status == 429 || status == 503 || status == 204 || status == 304 {
			return // 429 and 503 are sent again until the caller gives up; the others have no body
		}
		n := &network{serves: map[string]http.HandlerFunc{eu: always(status, string(body))}}
		for name, call := range calls(customer(n, &memory{endpoint: eu})) {
			r, err := call(t.Context())
			if err != nil {
				e := asRemote(t, err)
				require.NotContains(t, e.Error(), "\n")
				if status < 300 {
					require.ErrorIs(t, e, remote.ErrUnreadable)
					require.Equal(t, name != OpCustomerStatus, e.MaybeSent())
				}
				continue
			}
			require.True(t, status < 300 || status == 404 && name == OpCustomerStatus)
			for _, word := range []string{string(r.Status), string(r.Stage), string(r.AccountLink), r.UserID} {
				require.LessOrEqual(t, len(word), maxID)
				require.False(t, strings.ContainsAny(word, "\x00\n\r\x1b "))
			}
			require.NotEmpty(t, r.Status)
			require.NotEqual(t, fleet.StatusNoAssociation, r.Status)
		}
		if d, err := developer(t, &network{serves: map[string]http.HandlerFunc{home: always(status, string(body))}}).Status(t.Context(), skill, fleet.StageLive); err == nil {
			require.Equal(t, status < 300, d)
			if d {
				require.True(t, len(strings.TrimSpace(string(body))) == 0 || json.Valid(body))
			}
		}
	})
}

// Whatever discovery answers, the customer's token goes to no host but the allowed ones.
func FuzzEndpoints(f *testing.F) {
	for _, s := range []string{
		`{"endpoints":["https://api.eu.amazonalexa.com"]}`, `{"endpoints":["evil.example",1]}`, `{"endpoints":["https://api.eu.amazonalexa.com@evil.example/"]}`,
		`{"endpoints":["api.eu.amazonalexa.com\\.evil"]}`, `{"endpoints":null}`, `{}`, `{"endpoints":["\u0000"]}`, `{"endpoints":["https://api.amazonalexa.com/%2e%2e/x"]}`,
		`{"endpoints":["HTTPS://API.amazonalexa.com:443"]}`, `{"endpoints":["https://api.amazonalexa.com\t"]}`, `{"endpoints":["//evil.example/"]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var to []string
		n := &network{}
		n.serves = map[string]http.HandlerFunc{home: func(w http.ResponseWriter, r *http.Request) {
			to = append(to, r.URL.String())
			if r.URL.Path == "/v1/alexaApiEndpoint" {
				always(200, string(body))(w, r)
				return
			}
			always(404, "")(w, r)
		}}
		c := customer(n, &memory{})
		found, err := c.Endpoints(t.Context())
		if err == nil {
			require.NotEmpty(t, found.Endpoints)
		}
		for _, endpoint := range found.Endpoints {
			u, err := url.Parse(endpoint)
			require.NoError(t, err)
			require.Equal(t, "https", u.Scheme)
			require.Contains(t, hosts, u.Host)
			again, ok := c.admit(endpoint)
			require.True(t, ok)
			require.Equal(t, endpoint, again, "what is remembered is known again")
		}
		_, _ = c.DisableAndUnlink(t.Context(), skill)
		for _, line := range n.log() {
			u, err := url.Parse(strings.Fields(line)[1])
			require.NoError(t, err)
			require.Contains(t, hosts, u.Host)
		}
		require.NotEmpty(t, to)
	})
}
