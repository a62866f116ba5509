package simulator_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func enablementOf(skill, stage string) string {
	return "/v1/skills/" + skill + "/stages/" + stage + "/enablement"
}

func customerPath(skill string) string { return "/v1/users/~current/skills/" + skill + "/enablement" }

func (c *client) status3(target string) (put, get, remove int) {
	c.t.Helper()
	return c.do("PUT", target, "").Code, c.do("GET", target, "").Code, c.do("DELETE", target, "").Code
}

func TestDeveloperEnablesOneStage(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	skill := c.create("First")
	development, live := enablementOf(skill, "development"), enablementOf(skill, "live")
	require.Equal(t, http.StatusNotFound, c.do("GET", development, "").Code, "before enable")
	require.Equal(t, http.StatusNotFound, c.do("DELETE", development, "").Code)
	rec := c.do("PUT", development, "")
	require.Equal(t, http.StatusNoContent, rec.Code)
	require.Empty(t, rec.Body.Bytes())
	require.True(t, last(c.sim.History()).Applied)
	require.Equal(t, http.StatusNoContent, c.do("PUT", development, "").Code, "again")
	require.False(t, last(c.sim.History()).Applied)
	require.Equal(t, http.StatusNotFound, c.do("PUT", live, "").Code, "no such stage")
	require.Equal(t, http.StatusNoContent, c.do("GET", development, "").Code, "which took nothing away")

	c.control("POST", "/_sim/publish", `{"skill_id":"`+skill+`"}`)
	require.Equal(t, http.StatusNoContent, c.do("PUT", live, "").Code)
	require.Equal(t, http.StatusNotFound, c.do("GET", development, "").Code, "it was disabled first")
	require.Equal(t, http.StatusNoContent, c.do("GET", live, "").Code)
	require.Equal(t, http.StatusNotFound, c.do("DELETE", development, "").Code)
	require.Equal(t, http.StatusNoContent, c.do("DELETE", live, "").Code)
	require.Equal(t, http.StatusNotFound, c.do("GET", live, "").Code)

	require.Equal(t, http.StatusNoContent, c.do("PUT", live, "").Code)
	c.control("POST", "/_sim/skills/"+skill, `{"publication_status":"DEVELOPMENT"}`)
	put, get, remove := c.status3(live)
	require.Equal(t, []int{404, 404, 404}, []int{put, get, remove}, "the stage is gone")
}

func TestDeveloperCannotEnableWhatIsNotReady(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{BuildDelay: buildDelay})
	skill := c.create("Will FAIL")
	require.Equal(t, http.StatusConflict, c.do("PUT", enablementOf(skill, "development"), "").Code)
	c.sim.SetBuilds(simulator.BuildsParams{Finish: true})
	rec := c.do("PUT", enablementOf(skill, "development"), "")
	require.Equal(t, http.StatusForbidden, rec.Code)
	require.Contains(t, rec.Body.String(), `"violations":[{"code":"BUILD_FAILED"`)
	require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/skills/"+skill, `{"publication_status":"HIDDEN"}`).Code, "it has no stage")
	require.Error(t, c.sim.Publish(simulator.PublishParams{SkillID: skill}))
	require.Equal(t, http.StatusAccepted, c.update(skill, "Mended", "").Code)
	c.sim.SetBuilds(simulator.BuildsParams{Finish: true})
	for _, status := range []string{"HIDDEN", "REMOVED"} {
		c.control("POST", "/_sim/skills/"+skill, `{"publication_status":"`+status+`"}`)
		require.Equal(t, http.StatusForbidden, c.do("PUT", enablementOf(skill, "live"), "").Code, status)
	}
	put, get, remove := c.status3(enablementOf(skill, "certification"))
	require.Equal(t, []int{400, 400, 400}, []int{put, get, remove}, "not a stage of this API")
}

// association is what an answer says of a customer's skill.
type association struct {
	Skill       struct{ ID, Stage string }
	User        struct{ ID string }
	AccountLink *struct{ Status string }
	Status      string
}

func startCustomer(t *testing.T, cfg simulator.Config) *client {
	t.Helper()
	cfg.Units, cfg.Properties = 10, 1
	return start(t, cfg).as(fleet.CredentialCustomer)
}

func (c *client) customerCode(skill, challenge string) string {
	c.t.Helper()
	rec := c.control("POST", "/_sim/customer-codes", `{"skill_id":"`+skill+`","redirect_uri":"`+redirect+`","code_challenge":"`+challenge+`"}`)
	return decode[map[string]string](c.t, rec)["code"]
}

func linkBody(code, verifier string) string {
	more := ""
	if verifier != "" {
		more = `,"codeVerifier":"` + verifier + `"`
	}
	return `{"stage":"live","accountLinkRequest":{"redirectUri":"` + redirect + `","authCode":"` + code + `","type":"AUTH_CODE"` + more + `}}`
}

func TestCustomerEnablesAndDisables(t *testing.T) {
	t.Parallel()
	c := startCustomer(t, simulator.Config{})
	target := customerPath(linkID)
	rec := c.do("GET", target, "")
	require.Equal(t, http.StatusOK, rec.Code)
	require.JSONEq(t, `{"skill":{"id":"`+linkID+`"},"status":"NO_ASSOCIATION"}`, rec.Body.String())
	require.Equal(t, http.StatusNotFound, c.do("DELETE", target, "").Code)

	rec = c.do("POST", target, linkBody(c.customerCode(linkID, ""), ""))
	require.Equal(t, http.StatusCreated, rec.Code)
	got := decode[association](t, rec)
	require.Equal(t, "ENABLED", got.Status)
	require.Equal(t, "LINKED", got.AccountLink.Status)
	require.Equal(t, "live", got.Skill.Stage)
	require.Regexp(t, `^amzn1\.ask\.account\.`, got.User.ID)
	require.Equal(t, got, decode[association](t, c.do("GET", target, "")))

	rec = c.do("DELETE", target, "")
	require.Equal(t, http.StatusOK, rec.Code)
	require.Empty(t, rec.Body.Bytes())
	gone := decode[association](t, c.do("GET", target, ""))
	require.Equal(t, "DISABLED", gone.Status)
	require.Equal(t, "NOT_LINKED", gone.AccountLink.Status)
	again := decode[association](t, c.do("POST", target, `{"stage":"live"}`))
	require.Equal(t, "NOT_LINKED", again.AccountLink.Status, "enabled, but not linked")
	require.NotEqual(t, got.User.ID, again.User.ID, "it changes with each enable")

	plain := decode[association](t, c.do("POST", customerPath(skillID), `{"stage":"development"}`))
	require.Nil(t, plain.AccountLink, "it links no accounts")
	require.Equal(t, "development", plain.Skill.Stage)
}

func TestCustomerCodesAndVerifiers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := startCustomer(t, simulator.Config{CodeTTL: time.Minute})
		post := func(body string) int { return c.do("POST", customerPath(linkID), body).Code }
		verifier := strings.Repeat("a-._~Z9", 7) // 49 characters
		sum := sha256.Sum256([]byte(verifier))
		challenge := base64.RawURLEncoding.EncodeToString(sum[:])

		code := c.customerCode(linkID, challenge)
		require.Equal(t, http.StatusCreated, post(linkBody(code, verifier)))
		require.Equal(t, http.StatusBadRequest, post(linkBody(code, verifier)), "used")
		require.Equal(t, http.StatusBadRequest, post(linkBody(c.customerCode(linkID, challenge), "")), "no verifier")
		require.Equal(t, http.StatusBadRequest, post(linkBody(c.customerCode(linkID, challenge), strings.Repeat("b", 49))), "another verifier")
		require.Equal(t, http.StatusBadRequest, post(linkBody(c.customerCode(skillID, ""), "")), "of another skill")
		require.Equal(t, http.StatusBadRequest, post(linkBody("invented", "")))
		require.Equal(t, http.StatusBadRequest, post(linkBody(c.mint(c.sim.UnitID(0), linkID), "")), "of a home")
		require.Equal(t, http.StatusBadRequest, c.as(fleet.CredentialEnterprise).link(c.sim.UnitID(0), linkID, c.customerCode(linkID, ""), redirect).Code, "of a customer")
		old := c.customerCode(linkID, "")
		time.Sleep(time.Minute + 1)
		require.Equal(t, http.StatusBadRequest, post(linkBody(old, "")), "too old")

		for length, want := range map[int]int{42: 400, 43: 201, 128: 201, 129: 400} {
			require.Equal(t, want, post(linkBody(c.customerCode(linkID, ""), strings.Repeat("v", length))), "%d characters", length)
		}
		require.Equal(t, http.StatusBadRequest, post(linkBody(c.customerCode(linkID, ""), strings.Repeat("v", 50)+"+")), "a character that may not be")
		require.Equal(t, http.StatusBadRequest, c.do("POST", customerPath(skillID), linkBody("x", "short")).Code, "checked where nothing is linked, too")
	})
}

func TestCustomerEnablingTakesItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := startCustomer(t, simulator.Config{EnablingDelay: 3 * time.Second})
		got := decode[association](t, c.do("POST", customerPath(linkID), linkBody(c.customerCode(linkID, ""), "")))
		require.Equal(t, "ENABLING", got.Status)
		require.Equal(t, "NOT_LINKED", got.AccountLink.Status)
		time.Sleep(3 * time.Second)
		got = decode[association](t, c.do("GET", customerPath(linkID), ""))
		require.Equal(t, "ENABLED", got.Status)
		require.Equal(t, "LINKED", got.AccountLink.Status)
	})
}

func TestCustomerStatuses(t *testing.T) {
	t.Parallel()
	c := startCustomer(t, simulator.Config{})
	for _, status := range []string{
		"ENABLED", "ENABLING", "ENABLING_FAILED", "DISABLED", "DISABLING", "DISABLING_FAILED", "NO_ASSOCIATION",
	} {
		c.control("POST", "/_sim/accounts/"+simulator.DefaultCustomerClientID+"/skills/"+linkID, `{"status":"`+status+`","linked":true}`)
		require.Equal(t, status, decode[association](t, c.do("GET", customerPath(linkID), "")).Status)
	}
}

func TestCustomersHaveTheirRegion(t *testing.T) {
	t.Parallel()
	c := startCustomer(t, simulator.Config{})
	endpoints := func(prefix string) []string {
		return decode[map[string][]string](t, c.do("GET", prefix+"/v1/alexaApiEndpoint", ""))["endpoints"]
	}
	require.Equal(t, []string{"http://example.com/na"}, endpoints(""))
	require.Equal(t, http.StatusCreated, c.do("POST", "/na"+customerPath(skillID), `{"stage":"live"}`).Code)
	require.Equal(t, "ENABLED", decode[association](t, c.do("GET", customerPath(skillID), "")).Status, "without a prefix it is North America")
	require.Equal(t, http.StatusNotFound, c.do("GET", "/eu/v1/skills/a/status", "").Code, "only customers have regions")

	c.control("POST", "/_sim/accounts/"+simulator.DefaultCustomerClientID, `{"region":"eu"}`)
	require.Equal(t, []string{"http://example.com/eu"}, endpoints("/fe"), "wherever it is asked")
	for _, prefix := range []string{"", "/na", "/fe"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			rec := c.do(method, prefix+customerPath(skillID), `{"stage":"live"}`)
			require.Equal(t, http.StatusBadRequest, rec.Code)
			require.JSONEq(t, `{"message":"Incorrect endpoint for customer.","code":"incorrectEndpoint"}`, rec.Body.String())
		}
	}
	require.Equal(t, http.StatusOK, c.do("GET", "/eu"+customerPath(skillID), "").Code)

	c.control("POST", "/_sim/regions", `{"discovery_endpoints":["na","eu","fe"]}`)
	require.Equal(t, []string{"http://example.com/na", "http://example.com/eu", "http://example.com/fe"}, endpoints(""))
	c.control("POST", "/_sim/regions", `{"discovery_endpoints":[],"discovery_status":500}`)
	require.Equal(t, http.StatusInternalServerError, c.do("GET", "/v1/alexaApiEndpoint", "").Code)
	c.control("POST", "/_sim/regions", `{"discovery_status":0}`)
	require.Equal(t, []string{"http://example.com/eu"}, endpoints(""))
}

func TestRegionsGetLost(t *testing.T) {
	t.Parallel()
	c := startCustomer(t, simulator.Config{})
	enabled := func() bool {
		c.control("POST", "/_sim/regions", `{"states":{"na":""}}`)
		return decode[association](t, c.do("GET", customerPath(skillID), "")).Status == "ENABLED"
	}
	for _, tc := range []struct {
		state  string
		status int
		done   bool
	}{{"down", 0, false}, {"error", 503, false}, {"no_answer", 0, true}} {
		c.control("POST", "/_sim/regions", `{"states":{"na":"`+tc.state+`"}}`)
		require.Equal(t, tc.status, c.do("POST", customerPath(skillID), `{"stage":"live"}`).Code, tc.state)
		require.Equal(t, []simulator.Fault{"lost_region"}, last(c.sim.History()).Faults)
		require.Equal(t, tc.done, enabled(), tc.state)
	}
}

// TestHomesGetWhatTheVendorAllows says what the residential API makes of skills
// that the manifest API knows.
func TestHomesGetWhatTheVendorAllows(t *testing.T) {
	t.Parallel()
	home := start(t, simulator.Config{Units: 10, Properties: 1, BuildDelay: buildDelay})
	dev, customer := home.as(fleet.CredentialDeveloper), home.as(fleet.CredentialCustomer)
	unit, later := home.sim.UnitID(0), home.sim.UnitID(1)
	skill := dev.create("First")
	require.Equal(t, http.StatusNotFound, home.enable(unit, skill, "development").Code, "not built")
	home.sim.SetBuilds(simulator.BuildsParams{Finish: true})
	require.Equal(t, http.StatusNotFound, home.enable(unit, skill, "live").Code)
	require.Equal(t, http.StatusForbidden, home.enable(unit, skill, "development").Code, "not enabled by its developer")
	require.Equal(t, http.StatusForbidden, customer.do("POST", customerPath(skill), `{"stage":"development"}`).Code)
	require.Equal(t, http.StatusNoContent, dev.do("PUT", enablementOf(skill, "development"), "").Code)
	require.Equal(t, http.StatusCreated, home.enable(unit, skill, "development").Code)
	require.Equal(t, http.StatusCreated, customer.do("POST", customerPath(skill), `{"stage":"development"}`).Code)

	home.control("POST", "/_sim/publish", `{"skill_id":"`+skill+`"}`)
	require.Equal(t, http.StatusCreated, home.enable(unit, skill, "").Code, "live")
	for _, status := range []string{"HIDDEN", "REMOVED"} {
		home.control("POST", "/_sim/skills/"+skill, `{"publication_status":"`+status+`"}`)
		require.Equal(t, http.StatusForbidden, home.enable(later, skill, "live").Code, status)
		require.Equal(t, http.StatusForbidden, customer.do("POST", customerPath(skill), `{"stage":"live"}`).Code)
		require.Equal(t, http.StatusCreated, home.enable(unit, skill, "live").Code, "who has it keeps it")
		require.Equal(t, "ENABLED", decode[record](t, home.get(unit, skill)).Status)
	}
	require.Equal(t, http.StatusNoContent, home.disable(unit, skill, "live").Code)
	require.Equal(t, http.StatusForbidden, home.enable(unit, skill, "live").Code, "but does not get it back")
	home.control("POST", "/_sim/skills/"+skill, `{"publication_status":"PUBLISHED"}`)
	require.Equal(t, http.StatusCreated, home.enable(unit, skill, "live").Code)

	require.Equal(t, http.StatusNoContent, dev.do("DELETE", "/v1/skills/"+skill, "").Code)
	require.Equal(t, http.StatusNotFound, home.get(unit, skill).Code)
	require.Equal(t, http.StatusNotFound, home.enable(later, skill, "live").Code)
	require.Equal(t, http.StatusNotFound, customer.do("GET", customerPath(skill), "").Code)
	for _, stage := range []string{"development", "certification", "live"} {
		require.Equal(t, http.StatusCreated, home.enable(unit, skillID, stage).Code, "homes alone know this one")
	}
}
