package simulator_test

import (
	"math"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// TestLimitIsExact sends requests at any times and compares each answer with a
// bucket kept in whole tokens.
func TestLimitIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rps := rapid.IntRange(1, 1000).Draw(rt, "rps")
		burst := rapid.IntRange(0, 30).Draw(rt, "burst")
		gaps := rapid.SliceOfN(rapid.IntRange(0, 20), 1, 200).Draw(rt, "gaps in ms")
		synctest.Test(t, func(t *testing.T) {
			c := start(t, simulator.Config{Units: 10, Properties: 1, RPS: float64(rps), Burst: burst})
			if burst == 0 {
				burst = max(1, rps/10)
			}
			// A token is worth 1000 units: rps units come in a millisecond.
			held, accepted := 1000*burst, uint64(0)
			for _, gap := range gaps {
				time.Sleep(time.Duration(gap) * time.Millisecond)
				held = min(1000*burst, held+gap*rps)
				want := http.StatusTooManyRequests
				if held >= 1000 {
					held -= 1000
					accepted++
					want = http.StatusNotFound
				}
				require.Equal(t, want, c.get(c.sim.UnitID(0), skillID).Code)
			}
			require.Equal(t, accepted, c.sim.Stats().Accepted)
			require.Equal(t, uint64(len(gaps))-accepted, c.sim.Stats().Refused)
		})
	})
}

func TestATokenMustBeWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, RPS: 999, Burst: 1})
		ask := func() int { return c.get(c.sim.UnitID(0), skillID).Code }
		require.Equal(t, http.StatusNotFound, ask())
		time.Sleep(time.Millisecond)
		require.Equal(t, http.StatusTooManyRequests, ask(), "0.999 of a token")
		time.Sleep(2 * time.Microsecond)
		require.Equal(t, http.StatusNotFound, ask())
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for form, check := range map[simulator.RetryAfter]func(t *testing.T, header string){
		simulator.RetryAfterNone: func(t *testing.T, header string) {
			t.Helper()
			require.Empty(t, header)
		},
		simulator.RetryAfterSeconds: func(t *testing.T, header string) {
			t.Helper()
			require.Equal(t, "3", header)
		},
		simulator.RetryAfterDate: func(t *testing.T, header string) {
			t.Helper()
			at, err := http.ParseTime(header)
			require.NoError(t, err)
			require.InDelta(t, 3, time.Until(at).Seconds(), 1)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := start(t, simulator.Config{Units: 10, Properties: 1, RPS: 0.4, RetryAfter: form})
			unit := c.sim.UnitID(0)
			require.Equal(t, http.StatusCreated, c.enable(unit, skillID, "live").Code)
			rec := c.enable(unit, skillID, "live")
			require.Equal(t, http.StatusTooManyRequests, rec.Code)
			require.Equal(t, "TooManyRequests", decode[map[string]string](t, rec)["type"])
			check(t, rec.Header().Get("Retry-After"))
			require.False(t, last(c.sim.History()).Write, "a 429 is no write")
			time.Sleep(2500 * time.Millisecond)
			require.Equal(t, http.StatusCreated, c.enable(unit, skillID, "live").Code, "when it said")
		})
	}
}

func TestRetryAfterIsAtLeastOneSecond(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1, RPS: 1000, Burst: 1, RetryAfter: simulator.RetryAfterSeconds})
	for range 10_000 {
		if rec := c.get(c.sim.UnitID(0), skillID); rec.Code == http.StatusTooManyRequests {
			require.Equal(t, "1", rec.Header().Get("Retry-After"))
			return
		}
	}
	t.Fatal("never refused")
}

func TestMovingTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, RPS: 100, Burst: 10})
		accepted := func() (n int) {
			before := c.sim.Stats().Accepted
			for range 1000 {
				c.get(c.sim.UnitID(0), skillID)
				time.Sleep(time.Millisecond)
			}
			return int(c.sim.Stats().Accepted - before)
		}
		require.InDelta(t, 110, accepted(), 1)
		require.NoError(t, c.sim.SetLimit(simulator.Limit{RPS: 20}))
		require.InDelta(t, 20, accepted(), 3)
		c.control("POST", "/_sim/limit", `{"rps":0}`)
		require.Equal(t, 1000, accepted())
		require.JSONEq(t, `{"rps":200,"burst":20}`, c.control("POST", "/_sim/limit", `{"rps":200}`).Body.String())
		require.InDelta(t, 220, accepted(), 1)
		for _, bad := range []simulator.Limit{{RPS: -1}, {RPS: math.NaN()}, {RPS: math.Inf(1)}, {Burst: -1}} {
			require.Error(t, c.sim.SetLimit(bad))
		}
	})
}

func TestRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, RPS: 50, Burst: 5})
		for i := range 400 { // 40 a second for 5 s, then 80 a second for 2.5 s of which 50 are let through
			c.get(c.sim.UnitID(0), skillID)
			time.Sleep(map[bool]time.Duration{true: 25 * time.Millisecond, false: 12500 * time.Microsecond}[i < 200])
		}
		st := c.sim.StatsOf(10 * time.Second)
		require.EqualValues(t, 400, st.Requests)
		require.InDelta(t, 200+2.5*50+5, st.Accepted, 2)
		require.Equal(t, st.Requests, st.Accepted+st.Refused)
		require.Equal(t, 80, st.MaxRequestsIn1s)
		require.InDelta(t, 55, st.MaxAcceptedIn1s, 1)
		require.InDelta(t, float64(st.Accepted)/(7.5*50), st.LimitShare, 0.01)
		require.InDelta(t, float64(st.Accepted)/7.5, st.AcceptedRate, 0.5)
		require.Len(t, st.PerSecond, 8)
		require.Equal(t, 40, st.PerSecond[1].Accepted)
		require.InDelta(t, 30, st.PerSecond[6].Refused, 1)

		// The share is of the limit as it was.
		c.sim.Reset(true)
		for range 100 {
			c.get(c.sim.UnitID(0), skillID)
			time.Sleep(20 * time.Millisecond)
		}
		require.NoError(t, c.sim.SetLimit(simulator.Limit{RPS: 10}))
		for range 20 {
			c.get(c.sim.UnitID(0), skillID)
			time.Sleep(100 * time.Millisecond)
		}
		require.InDelta(t, 1, c.sim.Stats().LimitShare, 0.02)

		// Time in which nobody asks counts too, under each limit there was.
		c.sim.Reset(true)
		c.get(c.sim.UnitID(0), skillID)
		time.Sleep(time.Second)
		require.NoError(t, c.sim.SetLimit(simulator.Limit{RPS: 90}))
		time.Sleep(time.Second)
		require.NoError(t, c.sim.SetLimit(simulator.Limit{RPS: 300}))
		time.Sleep(time.Second)
		c.get(c.sim.UnitID(0), skillID)
		require.InDelta(t, 400, c.sim.Stats().AcceptedCapacity, 0.001)
	})
}

func TestNoLimit(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	for i := range 1000 {
		require.Equal(t, http.StatusNotFound, c.get(c.sim.UnitID(i%10), skillID).Code, strconv.Itoa(i))
	}
	require.Zero(t, c.sim.Stats().LimitShare)
}

func TestEachClientHasItsOwnLimitAtEachAPI(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1})
	dev := c.as(fleet.CredentialDeveloper)
	c.control("POST", "/_sim/limit", `{"rps":0.001,"burst":2,"kind":"developer","api":"manifest"}`)
	list := func() int { return dev.do("GET", "/v1/skills?vendorId="+simulator.DefaultVendorID, "").Code }
	require.Equal(t, []int{200, 200, 429}, []int{list(), list(), list()})
	require.Equal(t, http.StatusNotFound, dev.do("GET", "/v1/skills/a/stages/live/enablement", "").Code, "another API of the client")
	require.Equal(t, http.StatusNotFound, c.get(c.sim.UnitID(0), skillID).Code, "another client")

	st := c.sim.Stats()
	require.EqualValues(t, 1, st.Requests, "of homes only")
	require.EqualValues(t, 2, st.APIs[simulator.APIManifest][simulator.DefaultDeveloperClientID].Accepted)
	require.EqualValues(t, 1, st.APIs[simulator.APIManifest][simulator.DefaultDeveloperClientID].Refused)
	require.EqualValues(t, 1, st.APIs[simulator.APIEnablement][simulator.DefaultDeveloperClientID].Accepted)
	require.Contains(t, st.Accounts, simulator.DefaultClientID)
	require.Len(t, st.Accounts, 1)
	require.EqualValues(t, 1, st.ByOperation[simulator.OperationListSkills]["429"])

	require.Zero(t, st.Limit.RPS, "the limit of homes did not move")
	var limited []simulator.ClientLimit
	for _, l := range c.sim.Limits() {
		if l.RPS != 0 {
			limited = append(limited, l)
		}
	}
	require.Equal(t, []simulator.ClientLimit{{
		Client: simulator.DefaultDeveloperClientID, Kind: fleet.CredentialDeveloper, API: simulator.APIManifest, Limit: simulator.Limit{RPS: 0.001, Burst: 2},
	}}, limited)
	require.Len(t, decode[map[string][]any](t, c.control("GET", "/_sim/limits", ""))["items"], 5)

	require.NoError(t, c.sim.SetLimitOf(simulator.LimitParams{Limit: simulator.Limit{RPS: 7}, Client: simulator.DefaultCustomerClientID}))
	require.NoError(t, c.sim.SetLimitOf(simulator.LimitParams{Limit: simulator.Limit{RPS: 9}, API: simulator.APIResidential}))
	require.InDelta(t, 9, c.sim.Stats().Limit.RPS, 0)
	require.NoError(t, c.sim.SetLimit(simulator.Limit{}))
	require.Equal(t, 200, list(), "all of them")
	for _, none := range []string{
		`{"rps":1,"kind":"customer","api":"residential"}`, `{"rps":1,"client":"nobody"}`, `{"rps":-1}`, `{"rps":1,"api":"weather"}`,
	} {
		require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/limit", none).Code, none)
	}
	c.sim.Reset(false)
	require.EqualValues(t, 0, c.sim.Stats().APIs[simulator.APIManifest][simulator.DefaultDeveloperClientID].Requests)
}
