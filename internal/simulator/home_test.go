package simulator_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func TestTruthOfEveryHome(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 1200, SkillsPerUnit: 2, LinkingSkills: []string{simulator.BaseSkillID(2)}, ExtraUnits: []string{"extra"}})
	c.control("POST", "/_sim/units/"+c.sim.UnitID(3), `{"action":"remove"}`)
	c.control("POST", "/_sim/units/"+c.sim.UnitID(4), `{"action":"occupy"}`)
	c.control("POST", "/_sim/units/"+c.sim.UnitID(5), `{"action":"forbid"}`)
	c.walk(c.sim.UnitID(4), url.Values{})
	c.enable(c.sim.UnitID(6), "one-more", "development")

	var homes []simulator.HomeState
	rec := c.control("GET", "/_sim/truth", "")
	require.Equal(t, "application/x-ndjson", rec.Header().Get("Content-Type"))
	for scanner := bufio.NewScanner(rec.Body); scanner.Scan(); {
		var h simulator.HomeState
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &h))
		homes = append(homes, h)
	}
	require.Len(t, homes, 1201)
	base := []simulator.SkillState{
		{SkillID: simulator.BaseSkillID(1), Status: fleet.StatusEnabled, Stage: fleet.StageLive},
		{SkillID: simulator.BaseSkillID(2), Status: fleet.StatusEnabled, Stage: fleet.StageLive, AccountLink: fleet.Linked},
	}
	for i, h := range homes[:1200] {
		want := simulator.HomeState{
			UnitID: c.sim.UnitID(i), Property: c.sim.Home(i).Property, Occupancy: fleet.OccupancyVacant, Class: simulator.ClassOK, Skills: base,
		}
		switch i {
		case 3:
			want.Class, want.Skills = simulator.ClassNotFound, []simulator.SkillState{}
		case 4:
			want.Occupancy, want.ListPages, want.CompleteLists = fleet.OccupancyOccupied, 1, 1
		case 5:
			want.Class = simulator.ClassForbidden
		case 6:
			want.Writes = 1
			want.Skills = append(base[:2:2], simulator.SkillState{SkillID: "one-more", Status: fleet.StatusEnabled, Stage: fleet.StageDevelopment})
		}
		require.Equal(t, want, h)
	}
	require.Empty(t, homes[1200].Property)

	rows, err := csv.NewReader(c.control("GET", "/_sim/truth?format=csv", "").Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+1201*2+1-1, "one more skill, and one line for the home without any")
	require.Equal(t, []string{
		"unit_id", "property", "occupancy", "class", "list_pages", "complete_lists", "writes", "skill_id", "status", "stage", "account_link",
	}, rows[0])
	require.Equal(t, []string{c.sim.UnitID(3), "maple-court", "vacant", "not_found", "0", "0", "0", "", "", "", ""}, rows[7])
	require.Equal(t, []string{
		c.sim.UnitID(4), "maple-court", "occupied", "ok", "1", "1", "0", simulator.BaseSkillID(2), "ENABLED", "live", "LINKED",
	}, rows[9])
	rows, err = csv.NewReader(c.control("GET", "/_sim/truth?format=csv&class=not_found", "").Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
}

func TestStatsByHome(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 50, SkillsPerUnit: 27})
	for i := range 20 {
		c.walk(c.sim.UnitID(i), url.Values{})
	}
	c.walk(c.sim.UnitID(7), url.Values{})
	c.do("GET", "/v1/skills/enablements?unitId="+c.sim.UnitID(30), "")
	for _, skill := range []string{"a", "b", "c"} {
		c.enable(c.sim.UnitID(1), skill, "live")
	}
	c.disable(c.sim.UnitID(2), "a", "live")
	want := simulator.HomeStats{ListPages: 64, MaxListPages: 6, ListedHomes: 20, WrittenHomes: 2, MaxHomeWrites: 3}
	require.Equal(t, want, c.sim.Stats().HomeStats, "a first page is not a whole list")
	require.EqualValues(t, 64, c.sim.Stats().ByOperation[simulator.OperationList]["200"])
	require.Equal(t, want, decode[simulator.HomeStats](t, c.control("GET", "/_sim/stats", "")))
	states, _ := c.sim.HomeStates(0, 50)
	require.Equal(t, []int{6, 2, 0}, []int{states[7].ListPages, states[7].CompleteLists, states[7].Writes})
	require.Equal(t, []int{3, 1, 3}, []int{states[1].ListPages, states[1].CompleteLists, states[1].Writes})
	require.Equal(t, []int{1, 0, 0}, []int{states[30].ListPages, states[30].CompleteLists, states[30].Writes})
	c.sim.Reset(true)
	require.Zero(t, c.sim.Stats().HomeStats)
	states, _ = c.sim.HomeStates(7, 1)
	require.Zero(t, states[0].ListPages+states[0].CompleteLists+states[0].Writes)

	require.NoError(t, c.sim.ChangeUnit(c.sim.UnitID(0), simulator.Change{Action: simulator.ChangeReset}))
	require.NoError(t, c.sim.SetFaults(simulator.Faults{EmptyBody: 1}))
	c.enable(c.sim.UnitID(0), "a", "live")
	c.do("GET", "/v1/skills/enablements?unitId="+c.sim.UnitID(0), "")
	require.Equal(t, simulator.HomeStats{ListPages: 1, MaxListPages: 1, WrittenHomes: 1, MaxHomeWrites: 1}, c.sim.Stats().HomeStats,
		"a last page that cannot be read ends no list")
}
