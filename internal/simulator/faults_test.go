package simulator_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// TestEachFault sets one fault to always and looks at what an enable does.
func TestEachFault(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		faults  simulator.Faults
		applied bool
		check   func(t *testing.T, status int, header http.Header, body string)
	}{
		"overload": {simulator.Faults{Overload: 1, OverloadRetryAfter: 1}, false, func(t *testing.T, status int, header http.Header, _ string) {
			t.Helper()
			require.Equal(t, 503, status)
			require.Equal(t, "1", header.Get("Retry-After"))
		}},
		"error_before": {simulator.Faults{ErrorBefore: 1}, false, func(t *testing.T, status int, _ http.Header, body string) {
			t.Helper()
			require.Contains(t, []int{500, 502, 504}, status)
			require.Contains(t, body, `"type"`)
		}},
		"cut_before": {simulator.Faults{CutBefore: 1}, false, func(t *testing.T, status int, _ http.Header, _ string) {
			t.Helper()
			require.Zero(t, status)
		}},
		"error_after": {simulator.Faults{ErrorAfter: 1, HTMLError: 1}, true, func(t *testing.T, status int, header http.Header, body string) {
			t.Helper()
			require.GreaterOrEqual(t, status, 500)
			require.Contains(t, body, "<html>")
			require.Contains(t, header.Get("Content-Type"), "text/html")
		}},
		"cut_after": {simulator.Faults{CutAfter: 1}, true, func(t *testing.T, status int, _ http.Header, _ string) {
			t.Helper()
			require.Zero(t, status)
		}},
		"truncated_body": {simulator.Faults{TruncatedBody: 1}, true, func(t *testing.T, status int, _ http.Header, body string) {
			t.Helper()
			require.Contains(t, []int{0, 201}, status)
			require.False(t, json.Valid([]byte(body)))
		}},
		"empty_body": {simulator.Faults{EmptyBody: 1}, true, func(t *testing.T, status int, header http.Header, body string) {
			t.Helper()
			require.Equal(t, 201, status)
			require.Empty(t, body)
			require.Equal(t, "0", header.Get("Content-Length"))
		}},
		"empty_error": {simulator.Faults{ErrorBefore: 1, EmptyError: 1}, false, func(t *testing.T, status int, _ http.Header, body string) {
			t.Helper()
			require.GreaterOrEqual(t, status, 500)
			require.Empty(t, body)
		}},
		"not_found_home": {simulator.Faults{NotFoundHome: 1}, false, func(t *testing.T, status int, _ http.Header, _ string) {
			t.Helper()
			require.Equal(t, 404, status)
		}},
		"forbidden_home": {simulator.Faults{ForbiddenHome: 1}, false, func(t *testing.T, status int, _ http.Header, _ string) {
			t.Helper()
			require.Equal(t, 403, status)
		}},
		"unknown_status": {simulator.Faults{UnknownStatus: 1}, true, func(t *testing.T, status int, _ http.Header, body string) {
			t.Helper()
			require.Equal(t, 201, status)
			require.Contains(t, body, "PENDING_REVIEW")
		}},
	} {
		c := start(t, simulator.Config{Units: 10, Properties: 1, Faults: tc.faults})
		for i := range 10 {
			unit := c.sim.UnitID(i)
			rec := c.enable(unit, skillID, "live")
			tc.check(t, rec.Code, rec.Header(), rec.Body.String())
			e := last(c.sim.History())
			require.Contains(t, e.Faults, simulator.Fault(name))
			require.Equal(t, tc.applied, e.Applied, name)
			require.Equal(t, tc.applied, c.sim.State(unit, skillID).Status != fleet.StatusAbsent, name)
			require.True(t, e.Write, "whatever the answer, it could have")
		}
		require.EqualValues(t, 10, c.sim.Stats().Faults[simulator.Fault(name)], name)
	}
}

func TestSlowAndBadEnabling(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		faults simulator.Faults
		end    fleet.Status
		class  simulator.Class
	}{
		{simulator.Faults{SlowEnabling: 1, SlowFor: 2 * time.Second}, fleet.StatusEnabled, simulator.ClassOK},
		{simulator.Faults{FailedEnabling: 1, SlowFor: 2 * time.Second}, fleet.StatusEnablingFailed, simulator.ClassEnablingFailed},
		{simulator.Faults{StuckEnabling: 1}, fleet.StatusEnabling, simulator.ClassStuck},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := start(t, simulator.Config{Units: 10, Properties: 1, Faults: tc.faults})
			unit := c.sim.UnitID(0)
			require.Equal(t, tc.class, c.sim.Truth(unit, skillID))
			require.Equal(t, "ENABLING", decode[record](t, c.enable(unit, skillID, "live")).Status)
			time.Sleep(999 * time.Millisecond)
			require.Equal(t, "ENABLING", decode[record](t, c.get(unit, skillID)).Status)
			time.Sleep(2001 * time.Millisecond)
			require.Equal(t, string(tc.end), decode[record](t, c.get(unit, skillID)).Status)
			require.Equal(t, tc.end, c.sim.State(unit, skillID).Status)
			require.Equal(t, http.StatusNoContent, c.disable(unit, skillID, "").Code)
			require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
		})
	}
}

func TestDisablingIsSeenForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{
			Units: 10, Properties: 1, Enabled: []simulator.Enablement{{SkillID: skillID}}, Faults: simulator.Faults{SlowDisabling: 1},
		})
		unit := c.sim.UnitID(0)
		require.Equal(t, http.StatusNoContent, c.disable(unit, skillID, "").Code)
		require.Equal(t, "DISABLING", decode[record](t, c.get(unit, skillID)).Status)
		require.Equal(t, http.StatusNoContent, c.disable(unit, skillID, "").Code)
		require.False(t, last(c.sim.History()).Applied)
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
	})
}

func TestReadsAreSpoiledTooAndNeverByAfterFaults(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1, Faults: simulator.Faults{ErrorAfter: 0.5, CutAfter: 0.5}})
	for range 50 {
		require.Equal(t, http.StatusNotFound, c.get(c.sim.UnitID(0), skillID).Code)
	}
	require.Empty(t, c.sim.Stats().Faults)
	require.NoError(t, c.sim.SetFaults(simulator.Faults{CutBefore: 1}))
	require.Zero(t, c.get(c.sim.UnitID(0), skillID).Code)
}

func TestFatesComeAtTheirRates(t *testing.T) {
	t.Parallel()
	const units = 20_000
	c := start(t, simulator.Config{Units: units, Faults: simulator.FaultsHarsh()})
	count := map[simulator.Class]int{}
	for i := range units {
		count[c.sim.Truth(c.sim.UnitID(i), skillID)]++
	}
	for class, share := range map[simulator.Class]float64{
		simulator.ClassForbidden: 0.01, simulator.ClassNotFound: 0.01, simulator.ClassStuck: 0.01,
		simulator.ClassEnablingFailed: 0.01, simulator.ClassUnknownStatus: 0.005,
	} {
		require.InDelta(t, share, float64(count[class])/units, 0.003, class)
	}
	require.NoError(t, c.sim.SetFaults(simulator.Faults{}))
	for i := range 100 {
		require.Equal(t, simulator.ClassOK, c.sim.Truth(c.sim.UnitID(i), skillID))
	}
}

// TestASeedReplaysARun sends the same requests to two simulators, and to a
// third in another order of homes.
func TestASeedReplaysARun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seed, faults := rapid.Uint64().Draw(rt, "seed"), simulator.FaultsHarsh()
		faults.EarlyTokenExpiry = 0 // It goes by the clock.
		requests := rapid.SliceOfN(rapid.IntRange(0, 39), 1, 100).Draw(rt, "requests")
		run := func(order []int, delayed bool) map[int][]string {
			answers := map[int][]string{}
			synctest.Test(t, func(t *testing.T) {
				c := start(t, simulator.Config{Units: 10, Properties: 1, Seed: seed, TokenTTL: time.Hour, Faults: faults})
				for _, n := range order {
					unit := c.sim.UnitID(n % 10)
					rec := [](func() (int, string)){
						func() (int, string) { r := c.get(unit, skillID); return r.Code, r.Body.String() },
						func() (int, string) { r := c.enable(unit, skillID, "live"); return r.Code, r.Body.String() },
						func() (int, string) { r := c.disable(unit, skillID, ""); return r.Code, r.Body.String() },
						func() (int, string) {
							r := c.do("GET", "/v1/skills/enablements?unitId="+unit, "")
							return r.Code, r.Body.String()
						},
					}[n/10]
					code, body := rec()
					answers[n%10] = append(answers[n%10], fmt.Sprint(code, body))
					if delayed {
						time.Sleep(time.Minute) // so that nothing depends on how long ENABLING takes
					}
				}
			})
			return answers
		}
		once, again := run(requests, false), run(requests, false)
		require.Equal(rt, once, again)
		var byHome []int
		for home := range 10 {
			for _, n := range requests {
				if n%10 == home {
					byHome = append(byHome, n)
				}
			}
		}
		require.Equal(rt, run(requests, true), run(byHome, true))
	})
}

func TestFaultSettings(t *testing.T) {
	t.Parallel()
	harsh := simulator.FaultsHarsh()
	data, err := json.Marshal(harsh)
	require.NoError(t, err)
	var back simulator.Faults
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, harsh, back)

	require.NoError(t, json.Unmarshal([]byte(`{"preset":"default","slow_for":"3s","cut_after":0.25}`), &back))
	want := simulator.FaultsDefault()
	want.SlowFor, want.CutAfter = 3*time.Second, 0.25
	require.Equal(t, want, back)
	for _, bad := range []string{`{"preset":"mild"}`, `{"cut":1}`, `{"cut_after":"often"}`, `{"slow_for":7}`, `[]`} {
		require.Error(t, json.Unmarshal([]byte(bad), &back), bad)
		require.Equal(t, want, back, "an error changes nothing")
	}
	for _, name := range simulator.FaultNames() {
		require.Equal(t, name, strings.ToLower(name))
	}
	for _, bad := range []simulator.Faults{
		{CutAfter: -0.1},
		{CutAfter: 1.1},
		{CutAfter: math.NaN()},
		{Jitter: -1},
		{CutAfter: 0.6, CutBefore: 0.6},
		{NotFoundHome: 0.6, ForbiddenHome: 0.6},
		{StuckEnabling: 0.6, FailedEnabling: 0.6},
		{HTMLError: 0.6, EmptyError: 0.6},
		{EmptyPage: 1},
	} {
		require.Error(t, bad.Validate())
	}
	for _, name := range []string{"none", "default", "harsh"} {
		faults, err := simulator.FaultsNamed(name)
		require.NoError(t, err)
		require.NoError(t, faults.Validate())
	}
}
