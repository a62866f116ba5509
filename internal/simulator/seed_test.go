package simulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func TestHomesStartWithSkills(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{
		Units: 400, SkillsPerUnit: 27, Skills: []string{skillID}, Enabled: []simulator.Enablement{{SkillID: linkID, Stage: fleet.StageDevelopment}},
	})
	require.Equal(t, "amzn1.ask.skill.base-01", simulator.BaseSkillID(1))
	ids, pages := c.walk(c.sim.UnitID(399), url.Values{"stage": {"live"}})
	require.Len(t, pages, 3)
	require.Len(t, ids, 27)
	require.Equal(t, simulator.BaseSkillID(27), ids[26], "they exist, whatever Skills says")
	ids, _ = c.walk(c.sim.UnitID(0), url.Values{"stage": {"development"}})
	require.Equal(t, []string{linkID}, ids)
	c.control("POST", "/_sim/reset", "")
	ids, _ = c.walk(c.sim.UnitID(0), url.Values{})
	require.Len(t, ids, 28)
}

func TestEnablingManyHomesAtOnce(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 100, Properties: 4, ExtraUnits: []string{"extra"}})
	touched, removed := c.sim.UnitID(1), c.sim.UnitID(2)
	c.enable(touched, simulator.BaseSkillID(2), "development")
	c.control("POST", "/_sim/units/"+removed, `{"action":"remove"}`)
	c.control("POST", "/_sim/reset", `{"keep_state":true}`)
	require.JSONEq(t, `{"homes":100}`, c.control("POST", "/_sim/enable", `{"skills_per_unit":11,"skills":["a","b@certification"]}`).Body.String())
	for _, unit := range []string{c.sim.UnitID(0), touched, c.sim.UnitID(99), "extra"} {
		records := c.sim.Records(unit)
		require.Len(t, records, 13)
		require.Equal(t, "b", records[12].SkillID)
		require.Equal(t, fleet.StageCertification, records[12].Stage)
		require.Equal(t, fleet.StatusEnabled, records[3].Status)
		require.Equal(t, fleet.StageLive, records[3].Stage)
	}
	require.Empty(t, c.sim.Records(removed))

	c.control("POST", "/_sim/enable", `{"skills":["some"],"units":["extra","`+c.sim.UnitID(5)+`"]}`)
	require.JSONEq(t, `{"homes":25}`, c.control("POST", "/_sim/enable", `{"skills":["theirs"],"property":"`+c.sim.Home(99).Property+`"}`).Body.String())
	count := func(skill string) (n int) {
		states, _ := c.sim.States(skill, 0, 1000)
		for _, st := range states {
			if st.Status == fleet.StatusEnabled {
				n++
			}
		}
		return n
	}
	require.Equal(t, 2, count("some"))
	require.Equal(t, 25, count("theirs"))
	require.Zero(t, c.sim.Stats().Writes)
	require.Empty(t, c.sim.History())
	require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/enable", `{"skills":["a"],"units":["extra","extra"]}`).Code)
	require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/enable", `{"skills":["a"],"units":["extra"],"property":"maple-court"}`).Code)
	require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/enable", `{"skills":["a"],"units":["`+removed+`"]}`).Code)
}

// TestHomesThatShareDoNotShareChanges changes homes in every way there is and
// compares them with a model that shares nothing.
func TestHomesThatShareDoNotShareChanges(t *testing.T) {
	t.Parallel()
	const homes = 6
	rapid.Check(t, func(rt *rapid.T) {
		c := start(t, simulator.Config{Units: homes, Properties: 1, SkillsPerUnit: 3})
		model := make([]map[string]string, homes)
		for i := range model {
			model[i] = map[string]string{}
			for n := range 3 {
				model[i][simulator.BaseSkillID(n+1)] = "live"
			}
		}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			i := rapid.IntRange(0, homes-1).Draw(rt, "home")
			skill := simulator.BaseSkillID(rapid.IntRange(1, 5).Draw(rt, "skill"))
			unit := c.sim.UnitID(i)
			switch rapid.IntRange(0, 7).Draw(rt, "what") {
			case 0:
				c.enable(unit, skill, "development")
				model[i][skill] = "development"
			case 1:
				c.disable(unit, skill, "")
				delete(model[i], skill)
			case 2:
				c.get(unit, skill)
			case 3:
				c.walk(unit, url.Values{})
			case 4:
				require.NoError(rt, c.sim.ChangeUnit(unit, simulator.Change{Action: simulator.ChangeReset}))
				clear(model[i])
			case 5:
				_, err := c.sim.Enable(simulator.EnableParams{Skills: []string{skill}})
				require.NoError(rt, err)
				for _, m := range model {
					m[skill] = "live"
				}
			case 6:
				_, err := c.sim.Enable(simulator.EnableParams{Skills: []string{skill + "@certification"}, Units: []string{unit}})
				require.NoError(rt, err)
				model[i][skill] = "certification"
			case 7:
				c.sim.Reset(true)
			}
			for i, m := range model {
				got := map[string]string{}
				for _, st := range c.sim.Records(c.sim.UnitID(i)) {
					got[st.SkillID] = string(st.Stage)
				}
				require.Equal(rt, m, got)
			}
		}
	})
}

// BenchmarkMemory says what homes cost: MiB after the simulator began, after every
// home was listed, and after a skill of every home was written.
func BenchmarkMemory(b *testing.B) {
	for _, size := range []struct{ homes, skills int }{{1_000_000, 1}, {100_000, 10}} {
		b.Run(fmt.Sprintf("%dx%d", size.homes, size.skills), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				sim := simulator.New(simulator.Config{Units: size.homes, SkillsPerUnit: size.skills, HistoryCap: 1})
				c := &client{t: &testing.T{}, sim: sim}
				c.token = c.refresh(simulator.DefaultRefreshToken)
				b.ReportMetric(heap()-before, "MiB-begun")
				for i := range size.homes {
					c.do(http.MethodGet, "/v1/skills/enablements?unitId="+sim.UnitID(i), "")
				}
				require.EqualValues(b, size.homes, sim.Stats().ListPages)
				b.ReportMetric(heap()-before, "MiB-listed")
				for i := range size.homes {
					r := httptest.NewRequest(http.MethodDelete, "/v1/skills/"+simulator.BaseSkillID(1)+"/enablements?unitId="+sim.UnitID(i), nil)
					r.Header.Set("Authorization", "Bearer "+c.token)
					sim.ServeHTTP(httptest.NewRecorder(), r)
				}
				b.ReportMetric(heap()-before, "MiB-written")
				runtime.KeepAlive(sim)
			}
		})
	}
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
