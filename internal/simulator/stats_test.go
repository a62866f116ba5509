package simulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/simulator"
)

// TestDoubleWrites says which reads make a second write a good one.
func TestDoubleWrites(t *testing.T) {
	t.Parallel()
	const other = "amzn1.ask.skill.other"
	for name, tc := range map[string]struct {
		between func(c *client, unit string)
		double  bool
	}{
		"nothing":               {func(*client, string) {}, true},
		"a read":                {func(c *client, unit string) { c.get(unit, skillID) }, false},
		"a list":                {func(c *client, unit string) { c.do("GET", "/v1/skills/enablements?unitId="+unit, "") }, false},
		"a read of other skill": {func(c *client, unit string) { c.get(unit, other) }, true},
		"a read of other unit":  {func(c *client, _ string) { c.get(c.sim.UnitID(1), skillID) }, true},
		"a refused read": {func(c *client, unit string) {
			require.NoError(c.t, c.sim.SetLimit(simulator.Limit{RPS: 1e-9}))
			c.get(unit, skillID)
			require.Equal(c.t, http.StatusTooManyRequests, c.get(unit, skillID).Code)
			require.NoError(c.t, c.sim.SetLimit(simulator.Limit{}))
			c.sim.Reset(true)
			c.enable(unit, skillID, "live")
		}, true},
		"a write that finds no skill": {func(c *client, unit string) {
			exists := false
			require.NoError(c.t, c.sim.ChangeSkill(skillID, simulator.SkillChange{Exists: &exists}))
			c.sim.Reset(true)
			require.Equal(c.t, http.StatusNotFound, c.enable(unit, skillID, "live").Code)
		}, true},
		"a write that finds no home": {func(c *client, unit string) {
			require.NoError(c.t, c.sim.ChangeUnit(unit, simulator.Change{Action: simulator.ChangeRemove}))
			c.sim.Reset(true)
			require.Equal(c.t, http.StatusNotFound, c.enable(unit, skillID, "live").Code)
		}, true},
		"a spoiled read": {func(c *client, unit string) {
			require.NoError(c.t, c.sim.SetFaults(simulator.Faults{EmptyBody: 1}))
			c.get(unit, skillID)
			require.NoError(c.t, c.sim.SetFaults(simulator.Faults{}))
		}, true},
		"a failed read": {func(c *client, unit string) {
			require.NoError(c.t, c.sim.SetFaults(simulator.Faults{ErrorBefore: 1}))
			c.get(unit, skillID)
			require.NoError(c.t, c.sim.SetFaults(simulator.Faults{}))
		}, true},
		"a change behind the back": {func(c *client, unit string) {
			require.NoError(c.t, c.sim.ChangeUnit(unit, simulator.Change{Action: simulator.ChangeEnable, SkillID: skillID}))
		}, true},
	} {
		c := start(t, simulator.Config{Units: 10, Properties: 1})
		unit := c.sim.UnitID(0)
		c.enable(unit, skillID, "live")
		tc.between(c, unit)
		c.enable(unit, skillID, "live")
		st, e := c.sim.Stats(), last(c.sim.History())
		require.Equal(t, tc.double, e.DuplicateWrite, name)
		require.Equal(t, tc.double, st.DoubleWrites > 0, name)
		require.Equal(t, 2, st.MaxWrites, name)
		if tc.double {
			require.Equal(t, e.N, st.DoubleWriteExamples[0].N)
			require.Equal(t, unit, st.DoubleWriteExamples[0].UnitID)
		}
	}
}

// TestAWriteOfTheOtherKindIsNoDoubleWrite undoes what was done without looking,
// which is what the operator of two rollouts asks for.
func TestAWriteOfTheOtherKindIsNoDoubleWrite(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	unit := c.sim.UnitID(0)
	for range 2 {
		c.enable(unit, skillID, "live")
		c.disable(unit, skillID, "")
	}
	require.Zero(t, c.sim.Stats().DoubleWrites)
	require.Equal(t, 4, c.sim.Stats().MaxWrites)
	c.disable(unit, skillID, "")
	require.EqualValues(t, 1, c.sim.Stats().DoubleWrites)
	require.True(t, last(c.sim.History()).DuplicateWrite)
}

// TestAReadThatBeganBeforeTheWriteDoesNotCount has a read under way while a
// write comes: its answer is of before.
func TestAReadThatBeganBeforeTheWriteDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, Latency: time.Second})
		unit := c.sim.UnitID(0)
		var group sync.WaitGroup
		group.Go(func() { c.get(unit, skillID) })
		time.Sleep(time.Millisecond)
		c.enable(unit, skillID, "live")
		group.Wait()
		c.enable(unit, skillID, "live")
		require.EqualValues(t, 1, c.sim.Stats().DoubleWrites)

		// One that arrived but was not answered yet does not either.
		c.sim.Reset(true)
		c.enable(unit, skillID, "live")
		group.Go(func() { c.get(unit, skillID) })
		time.Sleep(time.Millisecond)
		c.enable(unit, skillID, "live")
		group.Wait()
		require.EqualValues(t, 1, c.sim.Stats().DoubleWrites)
	})
}

func TestCountersAddUp(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 200, Faults: simulator.FaultsHarsh(), RPS: 100_000, TokenTTL: time.Hour})
	require.NoError(t, c.sim.SetFaults(noJitter(simulator.FaultsHarsh())))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 100 {
				unit := c.sim.UnitID((worker*100 + i) % 200)
				c.enable(unit, skillID, "live")
				c.get(unit, skillID)
				c.disable(unit, skillID, "")
			}
		})
	}
	group.Wait()
	st, history := c.sim.Stats(), c.sim.History()
	require.EqualValues(t, 2400, st.Requests)
	require.Equal(t, st.Requests, st.Accepted+st.Refused)
	var byCode, writes, doubles, applied uint64
	for operation, codes := range st.ByOperation {
		for _, n := range codes {
			if operation != simulator.OperationToken {
				byCode += n
			}
		}
	}
	for i, e := range history {
		require.EqualValues(t, i+1, e.N)
		if e.Write {
			writes++
		}
		if e.DuplicateWrite {
			doubles++
		}
		if e.Applied {
			applied++
		}
	}
	require.Equal(t, st.Requests, byCode)
	require.Equal(t, st.Writes, writes)
	require.Equal(t, st.DoubleWrites, doubles)
	require.Equal(t, st.Applied, applied)
}

func noJitter(f simulator.Faults) simulator.Faults {
	f.Jitter = 0
	return f
}

func TestHistoryIsBoundedAndPaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, HistoryCap: 50})
		var middle time.Time
		for i := range 120 {
			if i == 100 {
				middle = time.Now()
				time.Sleep(time.Second)
			}
			c.get(c.sim.UnitID(i%10), skillID)
		}
		history := c.sim.History()
		require.Len(t, history, 50)
		require.EqualValues(t, 72, history[0].N, "the token request was the first of 121")
		require.EqualValues(t, 121, last(history).N)
		require.EqualValues(t, 120, c.sim.Stats().Requests, "the counters are of all")
		require.Equal(t, "test", history[0].UserAgent)
		require.Equal(t, simulator.DefaultClientID, history[0].Client)

		of, next := c.sim.HistoryPage(simulator.HistoryParams{UnitID: c.sim.UnitID(3)})
		require.Len(t, of, 5)
		require.EqualValues(t, 121, next)
		require.Empty(t, first(c.sim.HistoryPage(simulator.HistoryParams{UnitID: "nobody"})))
		require.Len(t, first(c.sim.HistoryPage(simulator.HistoryParams{After: middle})), 20)
		require.Empty(t, first(c.sim.HistoryPage(simulator.HistoryParams{Operation: simulator.OperationEnable})))
		require.Empty(t, first(c.sim.HistoryPage(simulator.HistoryParams{SkillID: "other"})))

		var paged []simulator.Entry
		for since := uint64(0); ; {
			entries, next := c.sim.HistoryPage(simulator.HistoryParams{Since: since, Limit: 7})
			if since = next; len(entries) == 0 {
				break
			}
			paged = append(paged, entries...)
		}
		require.Equal(t, history, paged)
	})
}

func first[A, B any](a A, _ B) A { return a }

func TestReset(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1, RPS: 1e-6, Burst: 3})
	unit := c.sim.UnitID(0)
	c.enable(unit, skillID, "live")
	c.control("POST", "/_sim/reset", `{"keep_state":true}`)
	require.Zero(t, c.sim.Stats().Requests)
	require.Empty(t, c.sim.History())
	require.Equal(t, http.StatusOK, c.get(unit, skillID).Code)
	require.Equal(t, http.StatusCreated, c.enable(unit, skillID, "live").Code)
	require.Zero(t, c.sim.Stats().DoubleWrites, "what was forgotten counts no more")
	c.control("POST", "/_sim/reset", "")
	require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
}

// TestManyClients runs everything there is at the same time, for the race detector.
func TestManyClients(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 100, RPS: 5000, Faults: noJitter(simulator.FaultsHarsh()), HistoryCap: 100})
	const rounds = 20
	var group sync.WaitGroup
	for _, control := range []string{"stats?seconds=5", "history", "state?format=csv", "truth?skill=" + skillID, "inventory.csv", "faults", "limit", ""} {
		group.Go(func() {
			for range rounds {
				c.do("GET", "/_sim/"+control, "")
			}
		})
	}
	group.Go(func() {
		for i := range rounds {
			c.do("POST", "/_sim/units/"+c.sim.UnitID(i%100), `{"action":"enable","skill_id":"x"}`)
			c.do("POST", "/_sim/limit", fmt.Sprintf(`{"rps":%d}`, 1000+i%5000))
			c.lwa(refreshForm(simulator.DefaultRefreshToken))
		}
	})
	for worker := range 4 {
		group.Go(func() {
			for i := range 200 {
				unit := c.sim.UnitID((worker + i) % 100)
				c.enable(unit, skillID, "live")
				c.do("GET", "/v1/skills/enablements?unitId="+unit, "")
				c.do("POST", "/_sim/codes", `{"account":"a","unit_id":"`+unit+`","skill_id":"link","redirect_uri":"r"}`)
			}
		})
	}
	group.Wait()
	require.EqualValues(t, 1600, c.sim.Stats().Requests)
}

// BenchmarkAPI measures the handler alone: an enable and a read of it by turns.
func BenchmarkAPI(b *testing.B) {
	sim := simulator.New(simulator.Config{Units: 100_000, RPS: 1e9})
	c := &client{t: &testing.T{}, sim: sim}
	c.token = c.refresh(simulator.DefaultRefreshToken)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		r := httptest.NewRequest(http.MethodGet, "/v1/skills/"+skillID+"/enablements?stage=live&unitId="+sim.UnitID(i%100_000), nil)
		r.Header.Set("Authorization", "Bearer "+c.token)
		sim.ServeHTTP(httptest.NewRecorder(), r)
	}
}
