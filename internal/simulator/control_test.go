package simulator_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func TestIndexListsWhatThereIs(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	index := decode[struct {
		Controls []struct{ Method, Path, Does string }
	}](t, c.control("GET", "/_sim/", ""))
	require.Greater(t, len(index.Controls), 12)
	for _, control := range index.Controls {
		require.NotEmpty(t, control.Does)
		path := strings.NewReplacer("{$}", "", "{unit}", "u", "{skill}", "s", "{client}", "c", "{hook}", "hook-1",
			"{file}", "SimpleNotificationService-1.pem").Replace(control.Path)
		require.NotEqual(t, http.StatusNotFound, c.do(control.Method, path, `{"no":1}`).Code, path)
	}
	require.Equal(t, http.StatusNotFound, c.do("GET", "/_sim/nothing", "").Code)
}

func TestStateControls(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 1500, Properties: 3, FailEvery: 500})
	for i := range 10 {
		c.enable(c.sim.UnitID(i*100), skillID, "live")
	}
	one := decode[simulator.State](t, c.control("GET", "/_sim/state?unit="+c.sim.UnitID(100)+"&skill="+skillID, ""))
	require.Equal(t, c.sim.State(c.sim.UnitID(100), skillID), one)
	require.Len(t, decode[struct{ Items []simulator.State }](t, c.control("GET", "/_sim/state?unit="+c.sim.UnitID(100), "")).Items, 1)

	rec := c.control("GET", "/_sim/state", "")
	require.Equal(t, "application/x-ndjson", rec.Header().Get("Content-Type"))
	lines := 0
	for scanner := bufio.NewScanner(rec.Body); scanner.Scan(); lines++ {
		var st simulator.State
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &st))
		require.Equal(t, fleet.StatusEnabled, st.Status)
	}
	require.Equal(t, 10, lines)

	rows, err := csv.NewReader(c.control("GET", "/_sim/state?format=csv&skill="+skillID, "").Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1501)
	require.Equal(t, []string{"unit_id", "skill_id", "status", "stage", "account_link", "class", "writes"}, rows[0])
	require.Equal(t, []string{c.sim.UnitID(0), skillID, "ENABLED", "live", "", "ok", "1"}, rows[1])
	require.Equal(t, []string{c.sim.UnitID(1499), skillID, "ABSENT", "", "", "forbidden", "0"}, rows[1500])

	var paged []simulator.State
	for cursor := "0"; cursor != ""; {
		p := decode[struct {
			Items      []simulator.State
			NextCursor string `json:"next_cursor"`
		}](t, c.control("GET", "/_sim/truth?format=json&limit=400&class=forbidden&skill="+skillID+"&cursor="+cursor, ""))
		paged, cursor = append(paged, p.Items...), p.NextCursor
	}
	require.Len(t, paged, 3)
	require.Equal(t, c.sim.UnitID(499), paged[0].UnitID)
}

func TestControlsRefuse(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	unit := "/_sim/units/" + c.sim.UnitID(0)
	for _, tc := range [][3]string{
		{"GET", "/_sim/truth?format=json", ""},
		{"GET", "/_sim/truth?class=stuck", ""},
		{"GET", "/_sim/truth?skill=s&class=good", ""},
		{"POST", "/_sim/enable", ``},
		{"POST", "/_sim/enable", `{"skills_per_unit":1001}`},
		{"POST", "/_sim/enable", `{"skills":["a@beta"]}`},
		{"POST", "/_sim/enable", `{"skills":["unknown"]}`},
		{"POST", "/_sim/enable", `{"skills":["a"],"units":["nobody"]}`},
		{"POST", "/_sim/enable", `{"skills":["a"],"property":"nowhere"}`},
		{"POST", "/_sim/drift", `{"kind":"worn","count":1}`},
		{"GET", "/_sim/state?format=xml", ""},
		{"GET", "/_sim/state?class=good", ""},
		{"GET", "/_sim/state?cursor=x", ""},
		{"GET", "/_sim/history?limit=-1", ""},
		{"GET", "/_sim/history?since=yesterday", ""},
		{"GET", "/_sim/history?operation=peek", ""},
		{"GET", "/_sim/stats?seconds=x", ""},
		{"POST", "/_sim/limit", `{"rps":-1}`},
		{"POST", "/_sim/limit", `{"rate":1}`},
		{"POST", "/_sim/faults", `{"cut_after":2}`},
		{"POST", unit, `{"action":"sell"}`},
		{"POST", unit, `{"action":"add"}`},
		{"POST", unit, `{"action":"re_pair","new_unit_id":"a b"}`},
		{"POST", unit, `{"action":"re_pair","new_unit_id":"` + c.sim.UnitID(1) + `"}`},
		{"POST", unit, `{"action":"enable"}`},
		{"POST", unit, `{"action":"enable","skill_id":"s","stage":"beta"}`},
		{"POST", "/_sim/units/nobody", `{"action":"forbid"}`},
		{"POST", "/_sim/units/a%20b", `{"action":"add"}`},
		{"POST", "/_sim/skills/a%20b", `{}`},
	} {
		rec := c.do(tc[0], tc[1], tc[2])
		require.Equal(t, http.StatusBadRequest, rec.Code, tc)
		require.NotEmpty(t, decode[map[string]string](t, rec)["error"], tc)
	}
}

func TestChangingUnits(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1, FailEvery: 1})
	unit := c.sim.UnitID(0)
	change := func(body string) { c.control("POST", "/_sim/units/"+unit, body) }
	enable := func() int { return c.enable(unit, skillID, "live").Code }

	require.Equal(t, http.StatusForbidden, enable())
	change(`{"action":"allow"}`)
	require.Equal(t, http.StatusCreated, enable())
	change(`{"action":"forbid"}`)
	require.Equal(t, http.StatusForbidden, c.get(unit, skillID).Code)
	require.Equal(t, simulator.ClassForbidden, c.sim.Truth(unit, skillID))
	change(`{"action":"allow"}`)
	require.Equal(t, http.StatusOK, c.get(unit, skillID).Code)
	change(`{"action":"remove"}`)
	require.Equal(t, http.StatusNotFound, enable())
	require.Equal(t, simulator.ClassNotFound, c.sim.Truth(unit, skillID))
	change(`{"action":"allow"}`)
	require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code, "what it had is gone")
	change(`{"action":"occupy"}`)
	require.Equal(t, http.StatusForbidden, enable())
	require.Equal(t, fleet.OccupancyOccupied, c.sim.Home(0).Occupancy)
	change(`{"action":"vacate"}`)
	require.Equal(t, http.StatusCreated, enable())
	change(`{"action":"disable","skill_id":"` + skillID + `"}`)
	require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
	change(`{"action":"enable","skill_id":"` + skillID + `","stage":"development","status":"DISABLING_FAILED"}`)
	got := decode[record](t, c.get(unit, skillID))
	require.Equal(t, []string{"development", "DISABLING_FAILED"}, []string{got.Skill.Stage, got.Status})

	change(`{"action":"reset"}`)
	require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
	require.Equal(t, http.StatusCreated, enable())

	require.Equal(t, http.StatusNotFound, c.enable("new", skillID, "live").Code)
	c.control("POST", "/_sim/units/new", `{"action":"add"}`)
	c.control("POST", "/_sim/units/new", `{"action":"allow"}`)
	require.Equal(t, http.StatusCreated, c.enable("new", skillID, "live").Code)
	states, _ := c.sim.States(skillID, 10, 10)
	require.Equal(t, "new", states[0].UnitID)
}

func TestChangingSkills(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	unit := c.sim.UnitID(0)
	c.control("POST", "/_sim/skills/"+skillID, `{"linking":true}`)
	require.Equal(t, "NOT_LINKED", decode[record](t, c.enable(unit, skillID, "live")).AccountLink.Status)
	c.control("POST", "/_sim/skills/"+skillID, `{"exists":false}`)
	require.Equal(t, http.StatusNotFound, c.disable(unit, skillID, "").Code)
	require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
	ids, _ := c.walk(unit, url.Values{})
	require.Empty(t, ids, "a list leaves out what was withdrawn")
	require.Equal(t, fleet.StatusAbsent, c.sim.State(unit, skillID).Status)
	require.Empty(t, c.sim.Records(unit))
	c.control("POST", "/_sim/skills/"+skillID, `{"exists":true}`)
	ids, _ = c.walk(unit, url.Values{})
	require.Equal(t, []string{skillID}, ids)
}

func TestAHomePairedAnew(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 2, Occupied: 10, SkillsPerUnit: 3, OccupiedWritable: true})
	old := c.sim.UnitID(7)
	answer := decode[simulator.Change](t, c.control("POST", "/_sim/units/"+old, `{"action":"re_pair"}`))
	require.NotEqual(t, old, answer.NewUnitID)
	require.Regexp(t, `^amzn1\.alexa\.unit\.did\.[A-Z2-7]{100}$`, answer.NewUnitID)
	require.Equal(t, http.StatusNotFound, c.get(old, simulator.BaseSkillID(1)).Code)
	ids, _ := c.walk(answer.NewUnitID, url.Values{})
	require.Empty(t, ids)
	require.Equal(t, old, c.sim.UnitID(7))
	home := c.sim.Home(7)
	require.Equal(t, answer.NewUnitID, home.UnitID, "the inventory has it in the place of the old one")
	require.Equal(t, fleet.OccupancyOccupied, home.Occupancy)

	third := "amzn1.alexa.unit.did.third"
	require.NoError(t, c.sim.ChangeUnit(answer.NewUnitID, simulator.Change{Action: simulator.ChangeRePair, NewUnitID: third}))
	require.Equal(t, third, c.sim.Home(7).UnitID)
	require.Error(t, c.sim.ChangeUnit(old, simulator.Change{Action: simulator.ChangeRePair}), "it is gone")
	homes, err := c.sim.Enable(simulator.EnableParams{Skills: []string{skillID}, Property: home.Property})
	require.NoError(t, err)
	require.Equal(t, 5, homes)
	require.Equal(t, fleet.StatusEnabled, c.sim.State(third, skillID).Status)
	require.Equal(t, fleet.StatusAbsent, c.sim.State(old, skillID).Status)

	again := start(t, simulator.Config{Units: 10, Properties: 2})
	require.Equal(t, answer.NewUnitID, decode[simulator.Change](t, again.control("POST", "/_sim/units/"+old, `{"action":"re_pair"}`)).NewUnitID)
}

func TestFaultsHistoryAndStatsControls(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	c.control("POST", "/_sim/faults", `{"cut_after":1}`)
	require.Contains(t, c.control("GET", "/_sim/faults", "").Body.String(), `"cut_after": 1`)
	require.Zero(t, c.enable(c.sim.UnitID(0), skillID, "live").Code)
	p := decode[struct {
		Items     []simulator.Entry
		NextSince uint64 `json:"next_since"`
	}](t, c.control("GET", "/_sim/history?operation=enable&unit="+c.sim.UnitID(0), ""))
	require.Len(t, p.Items, 1)
	require.Equal(t, []simulator.Fault{"cut_after"}, p.Items[0].Faults)
	require.Equal(t, p.NextSince, p.Items[0].N)
	require.NotContains(t, c.control("GET", "/_sim/stats", "").Body.String(), "per_second")
	st := decode[simulator.Stats](t, c.control("GET", "/_sim/stats?seconds=60", ""))
	require.EqualValues(t, 1, st.ByOperation[simulator.OperationEnable]["0"])
	require.NotEmpty(t, st.PerSecond)
	later := decode[struct{ Items []simulator.Entry }](t, c.control("GET", "/_sim/history?since=2999-01-01T00:00:00Z", ""))
	require.Empty(t, later.Items)
}

func TestInventory(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 2000, Occupied: 100})
	rows, err := csv.NewReader(c.control("GET", "/_sim/inventory.csv", "").Body).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"unit_id", "property", "name", "occupancy", "labels"}, rows[0])
	require.Len(t, rows, 2001)
	ids, places, properties, occupancies := map[string]bool{}, map[string]bool{}, map[string]int{}, map[string]int{}
	for i, row := range rows[1:] {
		require.Regexp(t, `^amzn1\.alexa\.unit\.did\.[A-Z2-7]{100}$`, row[0])
		require.Equal(t, c.sim.UnitID(i), row[0])
		require.Regexp(t, `^floor=\d;building=[a-z]+$`, row[4])
		ids[row[0]], places[row[1]+" "+row[2]] = true, true
		properties[row[1]]++
		occupancies[row[3]]++
	}
	require.Len(t, ids, 2000)
	require.Len(t, places, 2000, "no two homes of a property have one name")
	require.Len(t, properties, 12)
	require.Contains(t, properties, "maple-court")
	for _, homes := range properties {
		require.InDelta(t, 2000.0/12, homes, 1)
	}
	require.Equal(t, 1900, occupancies["vacant"])
	require.Equal(t, 100, occupancies["occupied"]+occupancies["linked"])
	require.Positive(t, occupancies["linked"])
	require.NotEqual(t, simulator.New(simulator.Config{Seed: 2}).UnitID(0), c.sim.UnitID(0))
	require.Equal(t, simulator.New(simulator.Config{Units: 7, Properties: 2}).UnitID(5), c.sim.UnitID(5), "IDs come from the seed alone")
}

func TestPropertyNamesAreDifferent(t *testing.T) {
	t.Parallel()
	sim := simulator.New(simulator.Config{Units: 1000, Properties: 1000})
	var names []string
	for i := range sim.Units() {
		names = append(names, sim.Home(i).Property)
	}
	slices.Sort(names)
	require.Len(t, slices.Compact(names), 1000)
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, simulator.Config{}.Validate())
	require.NoError(t, simulator.DefaultConfig().Validate())
	for i, bad := range []simulator.Config{
		{Units: -1},
		{Units: 10_000_001},
		{Units: 5, Properties: 6},
		{Properties: -1},
		{Occupied: -1},
		{Occupied: 2001},
		{FailEvery: -1},
		{SkillsPerUnit: -1},
		{SkillsPerUnit: 1001},
		{RPS: -1},
		{Burst: -1},
		{RetryAfter: "soon"},
		{Latency: -1},
		{TokenTTL: -1},
		{HistoryCap: -1},
		{Faults: simulator.Faults{CutAfter: 2}},
		{ExtraUnits: []string{"a b"}},
		{Enabled: []simulator.Enablement{{SkillID: "a", Stage: "beta"}}},
		{Accounts: []simulator.Account{{ClientID: "a"}}},
		{Accounts: []simulator.Account{
			{ClientID: "a", ClientSecret: "b", RefreshToken: "c"}, {ClientID: "a", ClientSecret: "b", RefreshToken: "c"},
		}},
		{Accounts: []simulator.Account{{ClientID: "a", ClientSecret: "b", RefreshToken: "c", Kind: "admin"}}},
		{Accounts: []simulator.Account{{ClientID: "a", ClientSecret: "b", RefreshToken: "c", Kind: fleet.CredentialDeveloper}}},
		{Accounts: []simulator.Account{{ClientID: "a", ClientSecret: "b", RefreshToken: "c", VendorID: "M1"}}},
		{Accounts: []simulator.Account{{ClientID: "a", ClientSecret: "b", RefreshToken: "c", Kind: fleet.CredentialCustomer, Region: "us"}}},
	} {
		require.Error(t, bad.Validate(), strconv.Itoa(i))
	}
	require.Panics(t, func() { simulator.New(simulator.Config{Units: -1}) })
}
