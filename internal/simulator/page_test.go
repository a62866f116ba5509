package simulator_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/simulator"
)

// crawl lists a home as an audit should: it tries again what failed, starts over
// at a token that is refused or repeats, and refreshes the access token on a 401.
func (c *client) crawl(unit string) (ids []string) {
	c.t.Helper()
	query, seen := url.Values{"unitId": {unit}}, map[string]bool{}
	over := func() { ids, query, seen = nil, url.Values{"unitId": {unit}}, map[string]bool{} }
	for range 10_000 {
		rec := c.do(http.MethodGet, "/v1/skills/enablements?"+query.Encode(), "")
		switch {
		case rec.Code == http.StatusUnauthorized:
			c.token = c.refresh(simulator.DefaultRefreshToken)
			continue
		case rec.Code == http.StatusBadRequest:
			require.NotEmpty(c.t, query.Get("nextToken"))
			over()
			continue
		case rec.Code != http.StatusOK:
			require.Contains(c.t, []int{0, 429, 500, 502, 503, 504}, rec.Code)
			continue
		}
		p := decode[page](c.t, rec)
		for _, item := range p.Items {
			ids = append(ids, item.Skill.ID)
		}
		if p.PaginationContext == nil || p.PaginationContext.NextToken == nil {
			return slices.Compact(ids)
		}
		token := *p.PaginationContext.NextToken
		if seen[token] {
			over()
			continue
		}
		seen[token] = true
		query.Set("nextToken", token)
	}
	require.Fail(c.t, "a list did not end")
	return nil
}

// TestAListIsWholeUnderEveryFault crawls homes under the weather of the worst
// audit: whatever came in between, the list in the end is the true one.
func TestAListIsWholeUnderEveryFault(t *testing.T) {
	t.Parallel()
	faults := simulator.Faults{
		Throttle: 0.3, ErrorBefore: 0.05, CutBefore: 0.02, ShortPage: 0.3, EmptyPage: 0.2, NullToken: 0.5, DuplicateItem: 0.2,
		ExpiredPageToken: 0.03, RepeatedToken: 0.03, EarlyTokenExpiry: 0.5, TokenError: 0.2,
	}
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		run := func() (stats simulator.Stats) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, simulator.Config{Units: 5, Properties: 1, SkillsPerUnit: 27, Seed: seed, Faults: faults})
				for i := range 5 {
					ids := c.crawl(c.sim.UnitID(i))
					require.Len(t, ids, 27)
					require.True(t, slices.IsSorted(ids))
				}
				stats = c.sim.Stats()
				require.Equal(t, 5, stats.ListedHomes)
				require.Zero(t, stats.Writes)
				require.Equal(t, stats.ByOperation[simulator.OperationList]["429"], stats.Faults["throttle"])
				require.Equal(t, stats.Refused, stats.Faults["throttle"])
			})
			return stats
		}
		once := run()
		again := run()
		require.Equal(rt, once.Faults, again.Faults, "the seed decides")
		require.Equal(rt, once.ByOperation, again.ByOperation)
	})
}

func TestRatesOfListFaults(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 4000, SkillsPerUnit: 20})
	c.control("POST", "/_sim/faults", `{"throttle":0.3,"server_error":0.05}`)
	for i := range 4000 {
		c.do(http.MethodGet, "/v1/skills/enablements?unitId="+c.sim.UnitID(i), "")
	}
	st := c.sim.Stats()
	require.InDelta(t, 1200, st.Faults["throttle"], 120)
	require.InDelta(t, 0.05*2800, st.Faults["error_before"], 40)
	require.InDelta(t, 0.3, st.RefusedShare, 0.03)
	require.Contains(t, c.control("GET", "/_sim/faults", "").Body.String(), `"error_before": 0.05`)
	require.Equal(t, http.StatusBadRequest, c.do("POST", "/_sim/faults", `{"error_before":0.1,"server_error":0.05}`).Code)
}

func TestThrottlingByShareTakesNothingFromTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{
			Units: 10, Properties: 1, RPS: 1, Burst: 2, RetryAfter: simulator.RetryAfterSeconds, Faults: simulator.Faults{Throttle: 1},
		})
		unit := c.sim.UnitID(0)
		for range 10 {
			rec := c.enable(unit, skillID, "live")
			require.Equal(t, http.StatusTooManyRequests, rec.Code)
			require.Equal(t, "1", rec.Header().Get("Retry-After"))
			require.False(t, last(c.sim.History()).Write)
		}
		require.NoError(t, c.sim.SetFaults(simulator.Faults{}))
		require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
		require.Equal(t, http.StatusNotFound, c.get(unit, skillID).Code)
		require.Equal(t, http.StatusTooManyRequests, c.get(unit, skillID).Code)
	})
}

func TestPageTokensExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, SkillsPerUnit: 25, Faults: simulator.Faults{PageTokenTTL: time.Minute}})
		list := "/v1/skills/enablements?unitId=" + c.sim.UnitID(0)
		next := func(target string) string {
			return list + "&nextToken=" + *decode[page](t, c.do(http.MethodGet, target, "")).PaginationContext.NextToken
		}
		time.Sleep(30 * time.Minute)
		second := next(list)
		time.Sleep(time.Minute)
		third := next(second)
		time.Sleep(time.Millisecond)
		require.Equal(t, http.StatusOK, c.do(http.MethodGet, third, "").Code)
		require.Equal(t, http.StatusBadRequest, c.do(http.MethodGet, second, "").Code)
		require.Equal(t, []simulator.Fault{"expired_page_token"}, last(c.sim.History()).Faults)
		require.Equal(t, http.StatusOK, c.do(http.MethodGet, third, "").Code, "each has its own time")

		require.NoError(t, c.sim.SetFaults(simulator.Faults{ExpiredPageToken: 1}))
		require.Equal(t, http.StatusOK, c.do(http.MethodGet, list, "").Code, "a first page has no token")
		require.Equal(t, http.StatusBadRequest, c.do(http.MethodGet, third, "").Code)
		require.NoError(t, c.sim.SetFaults(simulator.Faults{}))
		require.Equal(t, http.StatusOK, c.do(http.MethodGet, second, "").Code)
	})
}

func TestATokenThatRepeats(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 10, Properties: 1, SkillsPerUnit: 25, Faults: simulator.Faults{RepeatedToken: 1}})
	list := "/v1/skills/enablements?unitId=" + c.sim.UnitID(0)
	token := *decode[page](t, c.do(http.MethodGet, list, "")).PaginationContext.NextToken
	for range 3 {
		p := decode[page](t, c.do(http.MethodGet, list+"&nextToken="+token, ""))
		require.Equal(t, token, *p.PaginationContext.NextToken)
		require.Len(t, p.Items, 10)
	}
	require.Zero(t, c.sim.Stats().ListedHomes)
}

func TestAccessTokensThatExpireEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, simulator.Config{Units: 10, Properties: 1, TokenTTL: 100 * time.Second, Faults: simulator.Faults{EarlyTokenExpiry: 1}})
		ends := map[time.Duration]bool{}
		for range 20 {
			rec := c.lwa(refreshForm(simulator.DefaultRefreshToken))
			reply := decode[struct {
				AccessToken string `json:"access_token"`
				ExpiresIn   int    `json:"expires_in"`
			}](t, rec)
			require.Equal(t, 100, reply.ExpiresIn, "it is not told")
			c.token = reply.AccessToken
			began := time.Now()
			for c.get(c.sim.UnitID(0), skillID).Code != http.StatusUnauthorized {
				time.Sleep(time.Second)
			}
			lived := time.Since(began)
			require.GreaterOrEqual(t, lived, 10*time.Second)
			require.LessOrEqual(t, lived, 90*time.Second)
			ends[lived] = true
		}
		require.Greater(t, len(ends), 10)
	})
}
