package simulator_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// homesOf is the world of the drift tests: homes of 27 skills, one of them
// linking; some homes cannot be written.
func homesOf(t *testing.T, homes int, seed uint64) *client {
	t.Helper()
	return start(t, simulator.Config{
		Units: homes, SkillsPerUnit: 27, LinkingSkills: []string{simulator.BaseSkillID(3)}, Occupied: homes / 10, FailEvery: 10, Seed: seed,
	})
}

// skillsOf is everything that the homes have.
func skillsOf(c *client) map[string]map[string]simulator.SkillState {
	homes := map[string]map[string]simulator.SkillState{}
	states, _ := c.sim.HomeStates(0, 1_000_000)
	for _, h := range states {
		homes[h.UnitID] = map[string]simulator.SkillState{}
		for _, k := range h.Skills {
			homes[h.UnitID][k.SkillID] = k
		}
	}
	return homes
}

func sightOf(k simulator.SkillState) simulator.Sight {
	if k.Status == "" {
		return simulator.Sight{Status: fleet.StatusAbsent}
	}
	return simulator.Sight{Status: k.Status, Stage: k.Stage, AccountLink: k.AccountLink}
}

// TestDriftOfEachKindIsWhatItSays injects every kind and compares all homes
// before and after with what Drift said it changed.
func TestDriftOfEachKindIsWhatItSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := homesOf(t, 60, rapid.Uint64().Draw(rt, "seed"))
		const extra = "amzn1.ask.skill.extra"
		before := skillsOf(c)
		drifted := map[string]bool{}
		after := map[simulator.DriftKind]func(simulator.Sight) bool{
			simulator.DriftMissing:    func(s simulator.Sight) bool { return s.Status == fleet.StatusAbsent },
			simulator.DriftUnexpected: func(s simulator.Sight) bool { return s.Status == fleet.StatusEnabled },
			simulator.DriftWrongStage: func(s simulator.Sight) bool {
				return s.Status == fleet.StatusEnabled && s.Stage == fleet.StageDevelopment
			},
			simulator.DriftNotLinked:     func(s simulator.Sight) bool { return s.AccountLink == fleet.NotLinked },
			simulator.DriftStuckEnabling: func(s simulator.Sight) bool { return s.Status == fleet.StatusEnabling },
		}
		for kind, right := range after {
			p := simulator.DriftParams{Kind: kind, Count: rapid.IntRange(1, 8).Draw(rt, string(kind))}
			if kind == simulator.DriftUnexpected {
				p.SkillID = extra
			}
			made, err := c.sim.Drift(p)
			require.NoError(rt, err)
			require.Len(rt, made, p.Count)
			now := skillsOf(c)
			for _, d := range made {
				require.Equal(rt, kind, d.Kind)
				require.False(rt, drifted[d.UnitID], "no home twice")
				drifted[d.UnitID] = true
				require.Equal(rt, sightOf(before[d.UnitID][d.SkillID]), d.Before)
				require.Equal(rt, sightOf(now[d.UnitID][d.SkillID]), d.After)
				require.True(rt, right(d.After), d)
				require.Equal(rt, simulator.ClassOK, c.sim.Truth(d.UnitID, d.SkillID), "it can be repaired")
			}
			for unit, skills := range now {
				if !drifted[unit] {
					require.Equal(rt, before[unit], skills)
				}
			}
		}
		require.Len(rt, c.sim.Drifts(), len(drifted))
		differences := 0
		for unit, skills := range skillsOf(c) {
			for id, k := range before[unit] {
				if skills[id] != k {
					differences++
				}
			}
			if _, there := skills[extra]; there {
				differences++
			}
		}
		require.Equal(rt, len(drifted), differences, "and nothing else")
		require.Zero(rt, c.sim.Stats().Writes)
		require.Empty(rt, c.sim.History()[1:], "it is no request")
	})
}

func TestDriftIsRepairedByWrites(t *testing.T) {
	t.Parallel()
	enable := func(c *client, d simulator.Drift) {
		require.Equal(c.t, http.StatusCreated, c.enable(d.UnitID, d.SkillID, "live").Code)
	}
	for kind, repair := range map[simulator.DriftKind]func(*client, simulator.Drift){
		simulator.DriftMissing:       enable,
		simulator.DriftWrongStage:    enable,
		simulator.DriftStuckEnabling: enable,
		simulator.DriftNotLinked: func(c *client, d simulator.Drift) {
			require.Equal(c.t, http.StatusCreated, c.link(d.UnitID, d.SkillID, c.mint(d.UnitID, d.SkillID), redirect).Code)
		},
		simulator.DriftUnexpected: func(c *client, d simulator.Drift) {
			require.Equal(c.t, http.StatusNoContent, c.disable(d.UnitID, d.SkillID, "live").Code)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := homesOf(t, 400, 1)
			p := simulator.DriftParams{Kind: kind, Count: 1}
			if kind == simulator.DriftUnexpected {
				p.SkillID = "extra"
			}
			made, err := c.sim.Drift(p)
			require.NoError(t, err)
			d := made[0]
			time.Sleep(1000 * time.Hour)
			c.token = c.refresh(simulator.DefaultRefreshToken)
			require.Equal(t, d.After.Status, c.sim.State(d.UnitID, d.SkillID).Status, "it stays until it is changed")
			repair(c, d)
			require.True(t, last(c.sim.History()).Applied)
			got := c.sim.State(d.UnitID, d.SkillID)
			require.Equal(t, d.Before.Status, got.Status)
			require.Equal(t, d.Before.Stage, got.Stage)
		})
	}
}

func TestDriftOfWholeHomes(t *testing.T) {
	t.Parallel()
	c := homesOf(t, 400, 2)
	property := c.sim.Home(0).Property
	for kind, want := range map[simulator.DriftKind]struct{ changes, read, write int }{
		simulator.DriftReset:  {27, http.StatusNotFound, http.StatusCreated},
		simulator.DriftRePair: {27, http.StatusNotFound, http.StatusNotFound},
		simulator.DriftRemove: {27, http.StatusNotFound, http.StatusNotFound},
		simulator.DriftForbid: {1, http.StatusForbidden, http.StatusForbidden},
		simulator.DriftOccupy: {1, http.StatusOK, http.StatusForbidden},
	} {
		made, err := c.sim.Drift(simulator.DriftParams{Kind: kind, Count: 2, Property: property})
		require.NoError(t, err)
		homes := map[string]int{}
		for _, d := range made {
			homes[d.UnitID]++
			require.Equal(t, property, d.Property)
			require.Equal(t, kind == simulator.DriftRePair, d.NewUnitID != "")
		}
		require.Len(t, homes, 2)
		for unit, changes := range homes {
			require.Equal(t, want.changes, changes, kind)
			require.Equal(t, want.read, c.get(unit, simulator.BaseSkillID(1)).Code, kind)
			require.Equal(t, want.write, c.enable(unit, skillID, "live").Code, kind)
		}
		if kind == simulator.DriftRePair {
			require.Equal(t, http.StatusCreated, c.enable(made[0].NewUnitID, skillID, "live").Code)
		}
	}
}

func TestDriftIsDrawnBySeed(t *testing.T) {
	t.Parallel()
	inject := func(body string) []simulator.Drift {
		c := homesOf(t, 400, 3)
		made := decode[struct{ Items []simulator.Drift }](t, c.control("POST", "/_sim/drift", body)).Items
		require.Equal(t, made, decode[struct{ Items []simulator.Drift }](t, c.control("GET", "/_sim/drift", "")).Items)
		for i := range made {
			made[i].At = time.Time{}
		}
		return made
	}
	once := inject(`{"kind":"missing","count":40}`)
	require.Equal(t, once, inject(`{"kind":"missing","count":40,"seed":3}`), "the simulator's is the default")
	require.Equal(t, once[:7], inject(`{"kind":"missing","count":7}`))
	require.NotEqual(t, once, inject(`{"kind":"missing","count":40,"seed":4}`))
	skills := map[string]bool{}
	for _, d := range once {
		skills[d.SkillID] = true
	}
	require.Greater(t, len(skills), 10, "of any skill")
	for _, d := range inject(`{"kind":"wrong_stage","count":5,"skill_id":"` + simulator.BaseSkillID(9) + `","stage":"certification"}`) {
		require.Equal(t, simulator.BaseSkillID(9), d.SkillID)
		require.Equal(t, fleet.StageCertification, d.After.Stage)
	}
}

func TestDriftThatCannotBeChangesNothing(t *testing.T) {
	t.Parallel()
	c := homesOf(t, 400, 4)
	a, b := c.sim.UnitID(0), c.sim.UnitID(1)
	c.control("POST", "/_sim/units/"+b, `{"action":"reset"}`)
	before := skillsOf(c)
	for body, want := range map[string]string{
		`{}`:                            "kind",
		`{"kind":"missing"}`:            "how many homes",
		`{"kind":"missing","count":-1}`: "how many homes",
		`{"kind":"missing","count":1,"units":["` + a + `"]}`:                            "how many homes",
		`{"kind":"missing","units":["nobody"]}`:                                         "no such home",
		`{"kind":"missing","units":["` + a + `","` + a + `"]}`:                          "named twice",
		`{"kind":"missing","units":["` + a + `","` + b + `"]}`:                          "nothing on it can be made missing",
		`{"kind":"missing","count":1,"property":"nowhere"}`:                             "no such one",
		`{"kind":"missing","count":1,"stage":"live"}`:                                   "leave out stage",
		`{"kind":"missing","count":1,"skill_id":"a b"}`:                                 "skill_id",
		`{"kind":"missing","count":1,"skill_id":"other"}`:                               "only 0 homes",
		`{"kind":"missing","count":401}`:                                                "homes can be made missing",
		`{"kind":"unexpected","count":1}`:                                               "skill_id: is required",
		`{"kind":"unexpected","count":1,"skill_id":"x","stage":"beta"}`:                 "stage",
		`{"kind":"unexpected","count":2,"skill_id":"unknown"}`:                          "only 0 homes",
		`{"kind":"not_linked","count":1,"skill_id":"` + simulator.BaseSkillID(1) + `"}`: "a skill that links",
		`{"kind":"reset","count":1,"skill_id":"x"}`:                                     "whole homes",
		`{"kind":"reset","units":["` + b + `"]}`:                                        "nothing on it can be made reset",
	} {
		rec := c.do("POST", "/_sim/drift", body)
		require.Equal(t, http.StatusBadRequest, rec.Code, body)
		require.Contains(t, rec.Body.String(), want, body)
		require.Equal(t, before, skillsOf(c), body)
	}
	require.Empty(t, c.sim.Drifts())
	require.NotContains(t, c.control("GET", "/_sim/drift", "").Body.String(), "null")
	c.control("POST", "/_sim/drift", `{"kind":"occupy","units":["`+a+`"]}`)
	c.control("POST", "/_sim/drift", `{"kind":"missing","units":["`+a+`"]}`)
	require.Len(t, c.sim.Drifts(), 2, "a home that is named is changed whatever it is")
	c.control("POST", "/_sim/reset", "")
	require.Empty(t, c.sim.Drifts())
}
