package enablement

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

const (
	refusedBody = `{"message":"m","code":"C"}`
	elsewhere   = `{"message":"Incorrect endpoint for customer.","code":"incorrectEndpoint"}`
	verifier    = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// enablement is a record as the reference shows it.
func enablement(status, link string) string {
	if link != "" {
		link = `"accountLink":{"status":"` + link + `"},`
	}
	return `{"skill":{"id":"amzn1.ask.skill.1","stage":"live"},"user":{"id":"amzn1.ask.account.1"},` + link + `"status":"` + status + `"}`
}

func linked() *Link {
	return &Link{RedirectURI: "https://example.com/cb", AuthCode: "c4nary-code", CodeVerifier: verifier}
}

// calls are the customer's three operations on the skill.
func calls(c *Customer) map[string]func(ctx context.Context) (Result, error) {
	return map[string]func(ctx context.Context) (Result, error){
		OpEnableAndLink: func(ctx context.Context) (Result, error) {
			return c.EnableAndLink(ctx, EnableParams{SkillID: skill, Stage: fleet.StageLive, Link: linked()})
		},
		OpDisableAndUnlink: func(ctx context.Context) (Result, error) { return c.DisableAndUnlink(ctx, skill) },
		OpCustomerStatus:   func(ctx context.Context) (Result, error) { return c.Status(ctx, skill) },
	}
}

// Every status of the reference, operation by operation, at an endpoint that is known.
func TestCustomerEveryStatusOfTheReference(t *testing.T) {
	t.Parallel()
	tests := []struct {
		op     string
		status int
		body   string
		want   fleet.Status // empty: an error that keeps the status
		says   string
	}{
		{OpEnableAndLink, 201, enablement("ENABLED", "LINKED"), fleet.StatusEnabled, ""},
		{OpEnableAndLink, 200, enablement("ENABLING", ""), fleet.StatusEnabling, ""},
		{OpEnableAndLink, 400, refusedBody, "", "the auth code is unused"},
		{OpEnableAndLink, 401, refusedBody, "", "fleetctl account credential set"},
		{OpEnableAndLink, 403, refusedBody, "", "alexa::skills:account_linking"},
		{OpEnableAndLink, 404, refusedBody, "", "there is no such skill"},
		{OpEnableAndLink, 409, refusedBody, "", "another change is under way"},
		{OpEnableAndLink, 429, refusedBody, "", "429"},
		{OpEnableAndLink, 500, refusedBody, "", "read before writing again, with `fleetctl skill customer status " + skill + " --account acme`"},
		{OpEnableAndLink, 503, refusedBody, "", "read before writing again"},
		{OpDisableAndUnlink, 200, "", fleet.StatusAbsent, ""},
		{OpDisableAndUnlink, 204, "", fleet.StatusAbsent, ""},
		{OpDisableAndUnlink, 202, "", fleet.StatusDisabling, ""},
		{OpDisableAndUnlink, 200, enablement("DISABLING", "LINKED"), fleet.StatusDisabling, ""},
		{OpDisableAndUnlink, 200, "{}", fleet.StatusAbsent, ""},
		{OpDisableAndUnlink, 202, `{"message":"done"}`, fleet.StatusDisabling, ""},
		{OpDisableAndUnlink, 400, refusedBody, "", "check the skill ID"},
		{OpDisableAndUnlink, 401, refusedBody, "", "fleetctl account credential set"},
		{OpDisableAndUnlink, 403, refusedBody, "", "alexa::skills:account_linking"},
		{OpDisableAndUnlink, 404, refusedBody, "", "there is no such skill"},
		{OpDisableAndUnlink, 429, refusedBody, "", "429"},
		{OpDisableAndUnlink, 500, refusedBody, "", "read before writing again, with `fleetctl skill customer status " + skill + " --account acme`"},
		{OpDisableAndUnlink, 503, refusedBody, "", "read before writing again"},
		{OpCustomerStatus, 200, enablement("ENABLED", "LINKED"), fleet.StatusEnabled, ""},
		{OpCustomerStatus, 200, enablement("ENABLING", ""), fleet.StatusEnabling, ""},
		{OpCustomerStatus, 200, enablement("ENABLING_FAILED", ""), fleet.StatusEnablingFailed, ""},
		{OpCustomerStatus, 200, enablement("DISABLED", "NOT_LINKED"), fleet.StatusDisabled, ""},
		{OpCustomerStatus, 200, enablement("DISABLING", ""), fleet.StatusDisabling, ""},
		{OpCustomerStatus, 200, enablement("DISABLING_FAILED", ""), fleet.StatusDisablingFailed, ""},
		{OpCustomerStatus, 200, enablement("NO_ASSOCIATION", ""), fleet.StatusAbsent, ""},
		{OpCustomerStatus, 200, enablement("SOMETHING_NEW", ""), "SOMETHING_NEW", ""},
		{OpCustomerStatus, 404, refusedBody, fleet.StatusAbsent, ""},
		{OpCustomerStatus, 400, refusedBody, "", "check the skill ID"},
		{OpCustomerStatus, 401, refusedBody, "", "fleetctl account credential set"},
		{OpCustomerStatus, 403, refusedBody, "", "alexa::skills:account_linking"},
		{OpCustomerStatus, 429, refusedBody, "", "429"},
		{OpCustomerStatus, 500, refusedBody, "", "500"},
		{OpCustomerStatus, 503, refusedBody, "", "503"},
	}
	for _, tt := range tests {
		t.Run(tt.op+" "+strconv.Itoa(tt.status)+" "+tt.body, func(t *testing.T) {
			t.Parallel()
			n := &network{serves: map[string]http.HandlerFunc{eu: always(tt.status, tt.body)}}
			if tt.status == 429 || tt.status == 503 {
				n.slots = 1 // else a refusal is sent again until the caller gives up
			}
			m := &memory{endpoint: eu}
			r, err := calls(customer(n, m))[tt.op](t.Context())
			require.Equal(t, eu, m.endpoint)
			if tt.want != "" {
				require.NoError(t, err)
				require.Equal(t, tt.want, r.Status)
				require.Equal(t, "req-1", r.RequestID)
				require.Equal(t, eu, r.Endpoint)
				require.False(t, r.At.IsZero())
				return
			}
			e := asRemote(t, err)
			require.Equal(t, tt.op, e.Operation)
			require.Equal(t, tt.status, e.Status)
			require.Equal(t, "req-1", e.RequestID)
			require.Equal(t, tt.status >= 500 && tt.op != OpCustomerStatus, e.MaybeSent())
			require.Contains(t, e.Error(), tt.says)
		})
	}
}

// Every status of the reference for the operation that finds the endpoint.
func TestEndpointsEveryStatusOfTheReference(t *testing.T) {
	t.Parallel()
	regions := []string{home, eu, fe}
	tests := []struct {
		status int
		body   string
		want   []string // nil: an error that keeps the status
		source Source
	}{
		{200, `{"endpoints":["https://api.eu.amazonalexa.com"]}`, []string{eu}, SourceAPI},
		{200, `{"endpoints":["api.eu.amazonalexa.com","https://API.FE.amazonalexa.com/","` + eu + `"]}`, []string{eu, fe}, SourceAPI},
		{200, `{"endpoints":[]}`, regions, SourceRegions},
		{400, refusedBody, nil, ""},
		{400, elsewhere, regions, SourceRegions},
		{401, refusedBody, nil, ""},
		{403, refusedBody, nil, ""},
		{404, refusedBody, nil, ""},
		{429, refusedBody, nil, ""},
		{500, refusedBody, regions, SourceRegions},
		{502, "<html>", regions, SourceRegions},
		{503, refusedBody, regions, SourceRegions},
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(tt.status)+" "+tt.body, func(t *testing.T) {
			t.Parallel()
			n := &network{serves: map[string]http.HandlerFunc{home: always(tt.status, tt.body)}}
			if tt.status == 429 || tt.status == 503 {
				n.slots = 1
			}
			found, err := customer(n, &memory{endpoint: fe}).Endpoints(t.Context())
			require.Equal(t, []string{"GET " + home + " /v1/alexaApiEndpoint"}, n.log()[:1])
			require.Equal(t, fe, found.Remembered)
			if tt.want == nil {
				require.Equal(t, tt.status, asRemote(t, err).Status)
				require.Equal(t, OpEndpoint, asRemote(t, err).Operation)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Endpoints{Endpoints: tt.want, Source: tt.source, Remembered: fe, RequestID: "req-1"}, found)
		})
	}
}

func TestCustomerWhatIsSent(t *testing.T) {
	t.Parallel()
	n := &network{serves: map[string]http.HandlerFunc{eu: always(200, enablement("ENABLED", "LINKED"))}}
	c := customer(n, &memory{endpoint: eu})
	for _, p := range []EnableParams{
		{SkillID: skill, Stage: fleet.StageLive, Link: linked()},
		{SkillID: skill, Stage: fleet.StageLive, Link: &Link{RedirectURI: "https://example.com", AuthCode: "code"}},
		{SkillID: "a/b?#%", Stage: fleet.StageDevelopment},
	} {
		r, err := c.EnableAndLink(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, Result{
			Status: fleet.StatusEnabled, Stage: fleet.StageLive, AccountLink: fleet.Linked, UserID: "amzn1.ask.account.1",
			Endpoint: eu, RequestID: "req-1", At: r.At,
		}, r)
	}
	_, err := c.DisableAndUnlink(t.Context(), skill)
	require.NoError(t, err)
	_, err = c.Status(t.Context(), skill)
	require.NoError(t, err)
	require.Equal(t, []string{
		"POST " + eu + " /v1/users/~current/skills/amzn1.ask.skill.S1/enablement",
		"POST " + eu + " /v1/users/~current/skills/amzn1.ask.skill.S1/enablement",
		"POST " + eu + " /v1/users/~current/skills/a%2Fb%3F%23%25/enablement",
		"DELETE " + eu + " /v1/users/~current/skills/amzn1.ask.skill.S1/enablement",
		"GET " + eu + " /v1/users/~current/skills/amzn1.ask.skill.S1/enablement",
	}, n.log())
	require.Equal(t, []string{
		`{"stage":"live","accountLinkRequest":{"redirectUri":"https://example.com/cb","authCode":"c4nary-code","type":"AUTH_CODE","codeVerifier":"` + verifier + `"}}`,
		`{"stage":"live","accountLinkRequest":{"redirectUri":"https://example.com","authCode":"code","type":"AUTH_CODE"}}`,
		`{"stage":"development"}`, ``, ``,
	}, n.bodies)
}

func TestCustomerSecretsDoNotComeBack(t *testing.T) {
	t.Parallel()
	n := &network{serves: map[string]http.HandlerFunc{eu: func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"code":%q,"message":"bad"}`, "c4nary-code "+verifier+string(body))
	}}}
	_, err := calls(customer(n, &memory{endpoint: eu}))[OpEnableAndLink](t.Context())
	e := asRemote(t, err)
	require.Contains(t, e.ErrCode, "[redacted]")
	for _, secret := range []string{"c4nary-code", verifier} {
		require.NotContains(t, fmt.Sprintf("%+v %s", *e, e), secret)
	}
}

func TestCustomerSendsNothingThatCannotBe(t *testing.T) {
	t.Parallel()
	n := &network{}
	c := customer(n, nil)
	enable := func(skillID string, stage fleet.Stage, l *Link) error {
		_, err := c.EnableAndLink(t.Context(), EnableParams{SkillID: skillID, Stage: stage, Link: l})
		return err
	}
	for _, id := range []string{"", ".", "a b", "\xff", strings.Repeat("x", 256)} {
		require.Equal(t, "skill_id", field(t, enable(id, fleet.StageLive, nil)))
		_, err := c.DisableAndUnlink(t.Context(), id)
		require.Equal(t, "skill_id", field(t, err))
		_, err = c.Status(t.Context(), id)
		require.Equal(t, "skill_id", field(t, err))
	}
	require.Equal(t, "stage", field(t, enable(skill, "", nil)))
	require.Equal(t, "stage", field(t, enable(skill, fleet.StageCertification, nil)))
	for want, links := range map[string][]Link{
		"redirect_uri":  {{AuthCode: "c"}, {AuthCode: "c", RedirectURI: "https://x y"}},
		"auth_code":     {{RedirectURI: "https://x"}},
		"code_verifier": {{RedirectURI: "https://x", AuthCode: "c", CodeVerifier: "short"}, {RedirectURI: "https://x", AuthCode: "c", CodeVerifier: strings.Repeat("x", 129)}, {RedirectURI: "https://x", AuthCode: "c", CodeVerifier: strings.Repeat("x", 42) + "+"}},
	} {
		for _, l := range links {
			err := enable(skill, fleet.StageLive, &l)
			require.Equal(t, want, field(t, err))
			require.NotContains(t, err.Error(), "xxxxxxxx")
		}
	}
	for _, n := range []int{43, 128} {
		require.NoError(t, Link{RedirectURI: "https://x", AuthCode: "c", CodeVerifier: strings.Repeat("x", n)}.check())
	}
	require.Empty(t, n.log())
}

func TestCustomerTheGateStopsAWrite(t *testing.T) {
	t.Parallel()
	paused := errors.New("paused")
	n := &network{serves: map[string]http.HandlerFunc{eu: always(200, "")}}
	ctx := remote.WithGate(t.Context(), func(context.Context) error { return paused })
	_, err := customer(n, &memory{endpoint: eu}).DisableAndUnlink(ctx, skill)
	require.ErrorIs(t, err, paused)
	require.False(t, asRemote(t, err).MaybeSent())
	require.Empty(t, n.log())
}
