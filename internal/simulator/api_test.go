package simulator_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func TestEnableGetDisable(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	unit := c.sim.UnitID(3)

	rec := c.get(unit, skillID)
	require.Equal(t, http.StatusNotFound, rec.Code)
	require.Equal(t, "NotFound", decode[map[string]string](t, rec)["type"])

	rec = c.enable(unit, skillID, "live")
	require.Equal(t, http.StatusCreated, rec.Code)
	require.Regexp(t, "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", rec.Header().Get("X-Amzn-RequestId"))
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
	require.JSONEq(t, `{"skill":{"stage":"live","id":"`+skillID+`"},"unit":{"id":"`+unit+`"},"status":"ENABLED"}`, rec.Body.String())
	require.True(t, last(c.sim.History()).Applied)

	require.Equal(t, http.StatusOK, c.get(unit, skillID).Code)
	require.Equal(t, simulator.State{
		UnitID: unit, SkillID: skillID, Status: fleet.StatusEnabled, Stage: fleet.StageLive, Class: simulator.ClassOK, Writes: 1,
	}, c.sim.State(unit, skillID))

	require.Equal(t, http.StatusCreated, c.enable(unit, skillID, "live").Code, "again is no conflict")
	require.False(t, last(c.sim.History()).Applied, "and changes nothing")

	require.Equal(t, http.StatusCreated, c.enable(unit, skillID, "development").Code)
	require.Equal(t, fleet.StageDevelopment, c.sim.State(unit, skillID).Stage, "one stage at a time")
	require.Equal(t, http.StatusNotFound, c.do("GET", "/v1/skills/"+skillID+"/enablements?stage=live&unitId="+unit, "").Code)

	rec = c.disable(unit, skillID, "live")
	require.Equal(t, http.StatusNoContent, rec.Code)
	require.Equal(t, fleet.StatusEnabled, c.sim.State(unit, skillID).Status, "another stage is not touched")
	rec = c.disable(unit, skillID, "")
	require.Equal(t, http.StatusNoContent, rec.Code)
	require.Empty(t, rec.Body.Bytes())
	require.Equal(t, fleet.StatusAbsent, c.sim.State(unit, skillID).Status)
	require.Equal(t, http.StatusNoContent, c.disable(unit, skillID, "").Code)
	require.False(t, last(c.sim.History()).Applied)
}

func TestErrorsOfRequests(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1, FailEvery: 5, Occupied: 1})
	unit := c.sim.UnitID(0)
	record := "/v1/skills/" + skillID + "/enablements"
	for name, tc := range map[string]struct {
		method, target, body string
		status               int
	}{
		"no unit":                {"GET", record, "", 400},
		"bad stage":              {"GET", record + "?stage=beta&unitId=" + unit, "", 400},
		"bad stage in body":      {"POST", record, `{"unitId":"` + unit + `","stage":"LIVE"}`, 400},
		"not JSON":               {"POST", record, `{"unitId":`, 400},
		"null":                   {"POST", record, `null`, 400},
		"unit is a number":       {"POST", record, `{"unitId":7}`, 400},
		"unit spelled otherwise": {"POST", record, `{"unitID":"` + unit + `"}`, 400},
		"body too large":         {"POST", record, `{"unitId":"` + strings.Repeat("x", 70_000) + `"}`, 400},
		"half a link":            {"POST", record, `{"unitId":"` + unit + `","accountLinkRequest":{"authCode":"x"}}`, 400},
		"maxResults 0":           {"GET", "/v1/skills/enablements?maxResults=0&unitId=" + unit, "", 400},
		"maxResults 11":          {"GET", "/v1/skills/enablements?maxResults=11&unitId=" + unit, "", 400},
		"token of nobody":        {"GET", "/v1/skills/enablements?nextToken=abc&unitId=" + unit, "", 400},
		"unknown unit GET":       {"GET", record + "?unitId=nobody", "", 404},
		"unknown unit list":      {"GET", "/v1/skills/enablements?unitId=nobody", "", 404},
		"unknown unit POST":      {"POST", record, `{"unitId":"nobody"}`, 404},
		"unknown unit DELETE":    {"DELETE", record + "?unitId=nobody", "", 404},
		"unknown skill POST":     {"POST", "/v1/skills/unknown/enablements", `{"unitId":"` + unit + `"}`, 404},
		"unknown skill DELETE":   {"DELETE", "/v1/skills/unknown/enablements?unitId=" + unit, "", 404},
		"forbidden write":        {"POST", record, `{"unitId":"` + c.sim.UnitID(4) + `"}`, 403},
		"forbidden home read":    {"GET", record + "?unitId=" + c.sim.UnitID(4), "", 404},
		"occupied write":         {"DELETE", record + "?unitId=" + c.sim.UnitID(9), "", 403},
		"method":                 {"PUT", record, "", 405},
		"method of list":         {"POST", "/v1/skills/enablements", "{}", 405},
		"path":                   {"GET", "/v1/skills/a/b/enablements", "", 404},
		"elsewhere":              {"GET", "/v2/units", "", 404},
		"stage is optional":      {"POST", record, `{"unitId":"` + unit + `","later":{"more":1}}`, 201},
		"escaped skill":          {"POST", "/v1/skills/a%2Fb/enablements", `{"unitId":"` + unit + `"}`, 201},
	} {
		rec := c.do(tc.method, tc.target, tc.body)
		require.Equal(t, tc.status, rec.Code, name)
		if tc.status >= 400 && !strings.HasPrefix(tc.target, "/v2") {
			require.NotEmpty(t, decode[map[string]string](t, rec)["message"], name)
			require.NotEmpty(t, rec.Header().Get("X-Amzn-RequestId"), name)
		}
	}
	require.Equal(t, fleet.StatusEnabled, c.sim.State(unit, "a/b").Status)
	require.Equal(t, fleet.StageLive, c.sim.State(unit, skillID).Stage)
}

func TestUnauthorized(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, TokenTTL: 15 * time.Second})
		unit, good := c.sim.UnitID(0), c.token
		for _, header := range []string{"", "Bearer", "Bearer nonsense", "bearer " + good, good} {
			r := httptest.NewRequest(http.MethodGet, "/v1/skills/enablements?unitId="+unit, nil)
			r.Header.Set("Authorization", header)
			rec := c.serve(r)
			require.Equal(t, http.StatusUnauthorized, rec.Code, header)
		}
		require.Equal(t, http.StatusCreated, c.enable(unit, skillID, "live").Code)
		time.Sleep(15 * time.Second)
		require.Equal(t, http.StatusUnauthorized, c.enable(unit, skillID, "live").Code, "expired")
		require.False(t, last(c.sim.History()).Write, "a 401 is no write")
		require.EqualValues(t, 15, decode[map[string]any](t, c.lwa(refreshForm(simulator.DefaultRefreshToken)))["expires_in"])
		c.token = c.refresh(simulator.DefaultRefreshToken)
		require.Equal(t, http.StatusOK, c.get(unit, skillID).Code)
		require.EqualValues(t, 3, c.sim.Stats().TokenRefreshes)
	})
}

func TestEnablingTakesItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, EnablingDelay: 3 * time.Second})
		unit := c.sim.UnitID(0)
		rec := c.link(unit, linkID, c.mint(unit, linkID), redirect)
		require.Equal(t, "ENABLING", decode[record](t, rec).Status)
		time.Sleep(3*time.Second - 1)
		require.Equal(t, "NOT_LINKED", decode[record](t, c.get(unit, linkID)).AccountLink.Status)
		rec = c.enable(unit, linkID, "live")
		require.Equal(t, "ENABLING", decode[record](t, rec).Status, "again starts nothing anew")
		time.Sleep(time.Nanosecond)
		got := decode[record](t, c.get(unit, linkID))
		require.Equal(t, "ENABLED", got.Status)
		require.Equal(t, "LINKED", got.AccountLink.Status)
	})
}

func TestLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, Latency: 100 * time.Millisecond, Faults: simulator.Faults{Jitter: 50 * time.Millisecond}})
		var least, most time.Duration = time.Hour, 0
		for range 200 {
			began := time.Now()
			c.get(c.sim.UnitID(0), skillID)
			took := time.Since(began)
			least, most = min(least, took), max(most, took)
		}
		require.InDelta(t, 100, least.Milliseconds(), 3)
		require.InDelta(t, 150, most.Milliseconds(), 3)
	})
}

func TestClientThatGivesUpHasWrittenAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, Latency: time.Second})
		unit := c.sim.UnitID(0)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "POST", "/v1/skills/"+skillID+"/enablements", strings.NewReader(`{"unitId":"`+unit+`"}`))
		r.Header.Set("Authorization", "Bearer "+c.token)
		c.serve(r)
		require.True(t, last(c.sim.History()).ClientGone)
		require.Equal(t, fleet.StatusEnabled, c.sim.State(unit, skillID).Status)
	})
}

func TestUnitIDsHaveTwoSpellings(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 50, Properties: 1, ExtraUnits: []string{"unit-1"}, Faults: simulator.Faults{RespelledUnit: 1}})
	for _, unit := range []string{c.sim.UnitID(7), "unit-1"} {
		echoed := decode[record](t, c.enable(unit, skillID, "live")).Unit.ID
		require.NotEqual(t, unit, echoed)
		require.Equal(t, http.StatusOK, c.get(echoed, skillID).Code, "it is as good as the first")
		require.Equal(t, unit, last(c.sim.History()).UnitID, "and the history knows one only")
		require.Equal(t, fleet.StatusEnabled, c.sim.State(echoed, skillID).Status)
	}
}

func TestKnownSkillsAndStartingEnablements(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{
		Units: 20, Properties: 1, Skills: []string{"a", "b"}, LinkingSkills: []string{"b"},
		Enabled: []simulator.Enablement{{SkillID: "a"}, {SkillID: "b", Stage: fleet.StageDevelopment}},
	})
	unit := c.sim.UnitID(19)
	require.Equal(t, http.StatusNotFound, c.enable(unit, "c", "live").Code)
	require.Equal(t, simulator.ClassNotFound, c.sim.Truth(unit, "c"))
	require.Equal(t, "live", decode[record](t, c.get(unit, "a")).Skill.Stage)
	require.Equal(t, "LINKED", decode[record](t, c.get(unit, "b")).AccountLink.Status)
	states, next := c.sim.States("", 0, 100)
	require.Len(t, states, 40)
	require.Zero(t, next)
}

func TestEscapedUnitIDs(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 1, Properties: 1, ExtraUnits: []string{"a+b&c/%"}})
	require.Equal(t, http.StatusCreated, c.enable("a+b&c/%", skillID, "live").Code)
	require.Equal(t, http.StatusOK, c.get("a+b&c/%", skillID).Code)
	require.Equal(t, http.StatusOK, c.do("GET", "/v1/skills/enablements?unitId="+url.QueryEscape("a+b&c/%"), "").Code)
}
