package simulator_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func TestLinkingNeedsAGoodCode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1})
		unit, other := c.sim.UnitID(0), c.sim.UnitID(1)

		require.Equal(t, http.StatusBadRequest, c.link(unit, linkID, "invented", redirect).Code)
		require.Equal(t, http.StatusBadRequest, c.link(unit, linkID, c.mint(unit, linkID), redirect+"/").Code, "another redirect URI")
		require.Equal(t, http.StatusBadRequest, c.link(unit, linkID, c.mint(other, linkID), redirect).Code, "another unit")
		old := c.mint(unit, linkID)
		time.Sleep(5*time.Minute + 1)
		require.Equal(t, http.StatusBadRequest, c.link(unit, linkID, old, redirect).Code, "too old")
		require.Equal(t, fleet.StatusAbsent, c.sim.State(unit, linkID).Status)

		code := c.mint(unit, linkID)
		rec := c.link(unit, linkID, code, redirect)
		require.Equal(t, http.StatusCreated, rec.Code)
		require.Equal(t, "LINKED", decode[record](t, rec).AccountLink.Status)
		require.Equal(t, http.StatusBadRequest, c.link(unit, linkID, code, redirect).Code, "used")
		require.Equal(t, http.StatusCreated, c.link(unit, linkID, c.mint(unit, linkID), redirect).Code)
		require.False(t, last(c.sim.History()).Applied, "linked again is linked")
		require.Equal(t, fleet.Linked, c.sim.State(unit, linkID).AccountLink, "which unlinks nothing")

		st := c.sim.Stats()
		require.EqualValues(t, 5, st.CodesMinted)
		require.EqualValues(t, 2, st.CodesUsed)
		require.EqualValues(t, 1, st.CodesReused)
		require.EqualValues(t, 4, st.CodesRefused)
	})
}

func TestLinkingWithoutCode(t *testing.T) {
	t.Parallel()
	for delegated, want := range map[bool]fleet.LinkStatus{false: fleet.NotLinked, true: fleet.Linked} {
		c := start(t, simulator.Config{Units: 10, Properties: 1, DelegatedLinking: delegated})
		unit := c.sim.UnitID(0)
		require.Equal(t, http.StatusCreated, c.enable(unit, linkID, "live").Code)
		require.Equal(t, want, c.sim.State(unit, linkID).AccountLink)
		if delegated {
			continue
		}
		c.link(unit, linkID, c.mint(unit, linkID), redirect)
		require.True(t, last(c.sim.History()).Applied, "a code later links")
		require.Equal(t, fleet.Linked, c.sim.State(unit, linkID).AccountLink)
	}
}

func TestCodeServerRefuses(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	ask := func(body string) int { return c.do("POST", "/_sim/codes", body).Code }
	require.Equal(t, http.StatusBadRequest, ask(`{`))
	require.Equal(t, http.StatusBadRequest, ask(`{"account":"a","unit_id":"u","skill_id":"s"}`))
	require.Equal(t, http.StatusNotFound, ask(`{"account":"a","unit_id":"u","skill_id":"s","redirect_uri":"r"}`))
	require.NoError(t, c.sim.SetFaults(simulator.Faults{CodeError: 1}))
	require.Equal(t, http.StatusServiceUnavailable, ask(`{"account":"a","unit_id":"u","skill_id":"s","redirect_uri":"r"}`))
	require.Equal(t, map[string]uint64{"400": 2, "404": 1, "503": 1}, c.sim.Stats().ByOperation[simulator.OperationCode])
	require.Zero(t, c.sim.Stats().Requests, "no API request")
}
