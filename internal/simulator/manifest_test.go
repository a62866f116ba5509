package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// buildDelay is long enough that nothing is built before a test says so.
const buildDelay = time.Hour

// aManifest is the manifest of a custom skill of that name.
func aManifest(name string) string {
	return `{"manifestVersion":"1.0","apis":{"custom":{},"smartHome":{}},` +
		`"publishingInformation":{"locales":{"en-US":{"name":"` + name + `"}},"distributionCountries":["US"]}}`
}

func createBody(name string) string {
	return `{"vendorId":"` + simulator.DefaultVendorID + `","manifest":` + aManifest(name) + `}`
}

// create makes a skill, which may be being built still.
func (c *client) create(name string) (skill string) {
	c.t.Helper()
	rec := c.do(http.MethodPost, "/v1/skills", createBody(name))
	require.Equal(c.t, http.StatusAccepted, rec.Code, rec.Body)
	return decode[map[string]string](c.t, rec)["skillId"]
}

func manifestOf(skill, stage string) string {
	return "/v1/skills/" + skill + "/stages/" + stage + "/manifest"
}

// update puts a manifest at development, with an entity tag or without.
func (c *client) update(skill, name, etag string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(http.MethodPut, manifestOf(skill, "development"), strings.NewReader(`{"manifest":`+aManifest(name)+`}`))
	r.Header.Set("Authorization", "Bearer "+c.token)
	if etag != "" {
		r.Header.Set("If-Match", etag)
	}
	return c.serve(r)
}

// skillStatus is what a status says, as far as tests ask.
type skillStatus struct {
	Manifest struct {
		ETag              string
		LastUpdateRequest struct {
			Status           string
			Version          string
			Errors, Warnings []simulator.BuildMessage
		}
	}
	InteractionModel        map[string]struct{ LastUpdateRequest struct{ Status string } }
	HostedSkillProvisioning *struct{ LastUpdateRequest struct{ Status string } }
	HostedSkillProvision    *struct{ LastUpdatedRequest struct{ Status string } }
}

func (c *client) status(skill, query string) skillStatus {
	c.t.Helper()
	rec := c.do(http.MethodGet, "/v1/skills/"+skill+"/status"+query, "")
	require.Equal(c.t, http.StatusOK, rec.Code, rec.Body)
	return decode[skillStatus](c.t, rec)
}

func newDeveloper(t *testing.T, cfg simulator.Config) *client {
	t.Helper()
	cfg.Units, cfg.Properties = 10, 1
	return start(t, cfg).as(fleet.CredentialDeveloper)
}

func TestSkillFromCreateToDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newDeveloper(t, simulator.Config{BuildDelay: 200 * time.Millisecond})
		rec := c.do("POST", "/v1/skills", createBody("First"))
		require.Equal(t, http.StatusAccepted, rec.Code)
		skill := decode[map[string]string](t, rec)["skillId"]
		require.Regexp(t, `^amzn1\.ask\.skill\.[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`, skill)
		location := "/v1/skills/" + skill + "/status?resource=manifest"
		require.Equal(t, location, rec.Header().Get("Location"))
		require.Equal(t, skill, last(c.sim.History()).SkillID)

		require.Equal(t, "IN_PROGRESS", c.status(skill, "").Manifest.LastUpdateRequest.Status)
		rec = c.do("GET", manifestOf(skill, "development"), "")
		require.Equal(t, http.StatusSeeOther, rec.Code)
		require.Equal(t, location, rec.Header().Get("Location"))
		require.Empty(t, rec.Body.String())
		require.Equal(t, http.StatusNotFound, c.do("GET", manifestOf(skill, "live"), "").Code)

		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		st := c.status(skill, "?resource=manifest")
		require.Equal(t, "SUCCEEDED", st.Manifest.LastUpdateRequest.Status)
		require.Equal(t, "1", st.Manifest.LastUpdateRequest.Version)
		require.Nil(t, st.InteractionModel, "only what was asked for")

		rec = c.do("GET", manifestOf(skill, "development"), "")
		require.Equal(t, http.StatusOK, rec.Code)
		require.JSONEq(t, `{"manifest":`+aManifest("First")+`}`, rec.Body.String())
		etag := rec.Header().Get("ETag")
		require.NotEmpty(t, etag)
		require.Equal(t, etag, st.Manifest.ETag)
		require.Equal(t, etag, rec.Header().Get("If-Match"), "as seed 002 names it")

		rec = c.update(skill, "Second", etag)
		require.Equal(t, http.StatusAccepted, rec.Code)
		require.Empty(t, rec.Body.Bytes())
		require.Equal(t, "application/json", rec.Header().Get("Content-Type"), "official clients look for a body first")
		require.Equal(t, location, rec.Header().Get("Location"))
		require.Equal(t, http.StatusConflict, c.update(skill, "Third", "").Code, "while it is built")
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, http.StatusPreconditionFailed, c.update(skill, "Third", etag).Code, "stale")
		require.False(t, last(c.sim.History()).Applied)
		require.Equal(t, http.StatusAccepted, c.update(skill, "Third", `"`+c.status(skill, "").Manifest.ETag+`"`).Code, "quoted")
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, http.StatusAccepted, c.update(skill, "Fourth", "").Code, "without one")
		time.Sleep(200 * time.Millisecond)
		require.Contains(t, c.do("GET", manifestOf(skill, "development"), "").Body.String(), "Fourth")

		rec = c.do("DELETE", "/v1/skills/"+skill+"/", "")
		require.Equal(t, http.StatusNoContent, rec.Code)
		require.Empty(t, rec.Body.Bytes())
		require.Equal(t, http.StatusNotFound, c.do("DELETE", "/v1/skills/"+skill, "").Code)
		require.Equal(t, http.StatusNotFound, c.do("GET", location, "").Code)
	})
}

func TestABuildFailsByNameOrControl(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	skill := c.create("Will FAIL")
	st := c.status(skill, "").Manifest.LastUpdateRequest
	require.Equal(t, "FAILED", st.Status)
	require.Len(t, st.Errors, 2)
	require.Empty(t, st.Version)
	require.Equal(t, http.StatusSeeOther, c.do("GET", manifestOf(skill, "development"), "").Code, "there is none")
	require.Equal(t, http.StatusAccepted, c.update(skill, "Mended WARN", "").Code)
	st = c.status(skill, "").Manifest.LastUpdateRequest
	require.Equal(t, "SUCCEEDED", st.Status)
	require.Len(t, st.Warnings, 1)
	etag := c.status(skill, "").Manifest.ETag

	c.control("POST", "/_sim/skills/"+skill, `{"build":{"fail":true,"errors":[{"code":"E1","message":"no"}]}}`)
	require.Equal(t, http.StatusAccepted, c.update(skill, "Fine", etag).Code)
	st = c.status(skill, "").Manifest.LastUpdateRequest
	require.Equal(t, []simulator.BuildMessage{{Code: "E1", Message: "no"}}, st.Errors)
	rec := c.do("GET", manifestOf(skill, "development"), "")
	require.Contains(t, rec.Body.String(), "Mended", "a failed update changes nothing")
	require.Equal(t, etag, rec.Header().Get("ETag"))

	c.control("POST", "/_sim/skills/"+skill, `{"build":{"fail":false,"delay":"1h"}}`)
	require.Equal(t, http.StatusAccepted, c.update(skill, "FAIL but no", etag).Code)
	require.Equal(t, "IN_PROGRESS", c.status(skill, "").Manifest.LastUpdateRequest.Status)
	c.control("POST", "/_sim/builds", `{"finish":true}`)
	require.Equal(t, "SUCCEEDED", c.status(skill, "").Manifest.LastUpdateRequest.Status)
}

func TestSkillStatusResources(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	skill := c.create("First")
	st := c.status(skill, "")
	require.Equal(t, "SUCCEEDED", st.InteractionModel["en-US"].LastUpdateRequest.Status)
	require.Nil(t, st.HostedSkillProvisioning)
	c.control("POST", "/_sim/skills/"+skill, `{"hosted":true}`)
	st = c.status(skill, "?resource=interactionModel&resource=hostedSkillProvisioning")
	require.Empty(t, st.Manifest.ETag)
	require.NotEmpty(t, st.InteractionModel)
	require.Equal(t, "SUCCEEDED", st.HostedSkillProvisioning.LastUpdateRequest.Status)
	c.control("POST", "/_sim/skills/"+skill, `{"seed_spelling":true}`)
	st = c.status(skill, "?resource=hostedSkillProvision")
	require.Nil(t, st.HostedSkillProvisioning)
	require.Equal(t, "SUCCEEDED", st.HostedSkillProvision.LastUpdatedRequest.Status)
}

func TestAManifestThatCannotBeTakenSaysWhy(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	vendor := `"vendorId":"` + simulator.DefaultVendorID + `"`
	for name, tc := range map[string]struct {
		body  string
		codes []string
	}{
		"no JSON":      {`{`, nil},
		"null":         {`null`, nil},
		"no vendor":    {`{"manifest":` + aManifest("x") + `}`, []string{"MISSING_REQUIRED_PROPERTY"}},
		"no manifest":  {`{` + vendor + `}`, []string{"MISSING_REQUIRED_PROPERTY"}},
		"a text":       {`{` + vendor + `,"manifest":"x"}`, []string{"MISSING_REQUIRED_PROPERTY"}},
		"two things":   {`{` + vendor + `,"manifest":{"apis":7}}`, []string{"MISSING_REQUIRED_PROPERTY", "INVALID_DATA_TYPE"}},
		"no name text": {`{` + vendor + `,"manifest":{"manifestVersion":"1.0","publishingInformation":{"locales":{"en-US":{"name":7}}}}}`, []string{"INVALID_DATA_TYPE"}},
		"long name":    {`{` + vendor + `,"manifest":` + aManifest(strings.Repeat("x", 256)) + `}`, []string{"INVALID_STRING_LENGTH"}},
		"too large":    {`{` + vendor + `,"manifest":` + aManifest(strings.Repeat("x", 1<<20)) + `}`, nil},
	} {
		rec := c.do("POST", "/v1/skills", tc.body)
		require.Equal(t, http.StatusBadRequest, rec.Code, name)
		got := decode[struct {
			Message    string
			Code       string
			Violations []struct{ Code, Message string }
		}](t, rec)
		require.NotEmpty(t, got.Message, name)
		require.NotEmpty(t, got.Code, name)
		var codes []string
		for _, v := range got.Violations {
			codes = append(codes, v.Code)
		}
		require.Equal(t, tc.codes, codes, name)
	}
	require.Empty(t, decode[map[string]any](t, c.do("GET", "/v1/skills?vendorId="+simulator.DefaultVendorID, ""))["skills"])
}

func TestVendorsSeeTheirOwnSkills(t *testing.T) {
	t.Parallel()
	accounts := simulator.DefaultConfig().Accounts
	other := simulator.Account{ClientID: "two", ClientSecret: "s", RefreshToken: "Atzr|two", Kind: fleet.CredentialDeveloper, VendorID: "M2OTHER"}
	c := newDeveloper(t, simulator.Config{Accounts: append(accounts, other)})
	skill := c.create("Mine")
	form := refreshForm("Atzr|two")
	form.Set("client_id", "two")
	form.Set("client_secret", "s")
	mine := c.token
	c.token = decode[map[string]any](t, c.lwa(form))["access_token"].(string)
	require.Equal(t, http.StatusForbidden, c.do("GET", manifestOf(skill, "development"), "").Code)
	require.Equal(t, http.StatusForbidden, c.do("DELETE", "/v1/skills/"+skill, "").Code)
	require.Equal(t, http.StatusForbidden, c.do("GET", "/v1/skills?vendorId="+simulator.DefaultVendorID, "").Code)
	require.Empty(t, decode[map[string]any](t, c.do("GET", "/v1/skills?vendorId=M2OTHER", ""))["skills"])
	c.token = mine
	require.Len(t, decode[map[string]any](t, c.do("GET", "/v1/skills?vendorId="+simulator.DefaultVendorID, ""))["skills"], 1)
}

func TestAResetTakesSkillsAwayAndReplaysTheirIDs(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{BuildDelay: buildDelay, Published: []string{skillID}})
	first := c.create("First")
	require.NotEqual(t, first, c.create("Second"))
	c.sim.Reset(true)
	require.Equal(t, "IN_PROGRESS", c.status(first, "").Manifest.LastUpdateRequest.Status, "the state stays")
	c.sim.Reset(false)
	require.Equal(t, http.StatusNotFound, c.do("GET", "/v1/skills/"+first+"/status", "").Code)
	require.Equal(t, "SUCCEEDED", c.status(skillID, "").Manifest.LastUpdateRequest.Status)
	require.Equal(t, first, c.create("First"))
}

func TestABuildEndsWithItsSkill(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *client, skill string){
		"deleted": func(c *client, skill string) {
			require.Equal(c.t, http.StatusNoContent, c.do("DELETE", "/v1/skills/"+skill, "").Code)
		},
		"reset": func(c *client, _ string) {
			c.sim.Reset(false)
			c.subscription("AlexaDevelopmentEvent.All")
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newDeveloper(t, simulator.Config{BuildDelay: time.Minute})
			c.subscription("AlexaDevelopmentEvent.All")
			end(c, c.create("First"))
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			require.Empty(t, c.sim.Events(0), name)
			skill := c.create("Second")
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			require.Len(t, c.sim.Events(0), 1, name)
			require.Equal(t, "SUCCEEDED", c.status(skill, "").Manifest.LastUpdateRequest.Status)
		})
	}
}
