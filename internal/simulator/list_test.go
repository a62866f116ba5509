package simulator_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/simulator"
)

// walk follows every page of a list and returns the skill IDs as they came.
func (c *client) walk(unit string, query url.Values) (ids []string, pages []page) {
	c.t.Helper()
	query.Set("unitId", unit)
	seen := map[string]bool{}
	for {
		rec := c.do(http.MethodGet, "/v1/skills/enablements?"+query.Encode(), "")
		require.Equal(c.t, http.StatusOK, rec.Code, rec.Body)
		p := decode[page](c.t, rec)
		pages = append(pages, p)
		for _, item := range p.Items {
			ids = append(ids, item.Skill.ID)
		}
		if p.PaginationContext == nil || p.PaginationContext.NextToken == nil {
			return ids, pages
		}
		token := *p.PaginationContext.NextToken
		require.False(c.t, seen[token], "a token never repeats")
		seen[token] = true
		require.Less(c.t, len(pages), 10_000, "a list ends")
		query.Set("nextToken", token)
	}
}

func skills(n int) (ids []string, enabled []simulator.Enablement) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("amzn1.ask.skill.%04d", i))
		enabled = append(enabled, simulator.Enablement{SkillID: ids[i]})
	}
	return ids, enabled
}

func TestListInPagesOfTen(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]int{0: {0}, 1: {1}, 10: {10}, 11: {10, 1}, 25: {10, 10, 5}} {
		ids, enabled := skills(n)
		c := start(t, simulator.Config{Units: 5, Properties: 1, Enabled: enabled})
		got, pages := c.walk(c.sim.UnitID(2), url.Values{})
		require.Equal(t, ids, got)
		var sizes []int
		for _, p := range pages {
			sizes = append(sizes, len(p.Items))
		}
		require.Equal(t, want, sizes)
		require.EqualValues(t, len(want), c.sim.Stats().ByOperation[simulator.OperationList]["200"])
	}
}

func TestListIsWholeWhateverItsPagesLookLike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 60).Draw(rt, "skills")
		size := rapid.IntRange(1, 10).Draw(rt, "maxResults")
		ids, enabled := skills(n)
		c := start(t, simulator.Config{
			Units: 5, Properties: 1, Enabled: enabled, Seed: rapid.Uint64().Draw(rt, "seed"),
			Faults: simulator.Faults{ShortPage: 0.5, EmptyPage: 0.3, NullToken: 0.6, DuplicateItem: 0.6, RespelledUnit: 0.5},
		})
		got, pages := c.walk(c.sim.UnitID(2), url.Values{"maxResults": {fmt.Sprint(size)}})
		for _, p := range pages {
			require.LessOrEqual(rt, len(p.Items), size)
		}
		require.True(rt, slices.IsSorted(got))
		require.Equal(rt, ids, slices.Compact(got))
	})
}

func TestListFaultsHappen(t *testing.T) {
	t.Parallel()
	_, enabled := skills(40)
	c := start(t, simulator.Config{Units: 100, Properties: 1, Enabled: enabled, Faults: simulator.Faults{
		ShortPage: 0.5, EmptyPage: 0.3, NullToken: 0.6, DuplicateItem: 0.6, RespelledUnit: 0.5,
	}})
	for i := range 100 {
		c.walk(c.sim.UnitID(i), url.Values{})
	}
	st := c.sim.Stats()
	for _, fault := range []simulator.Fault{"short_page", "empty_page", "null_token", "duplicate_item", "respelled_unit"} {
		require.Greater(t, st.Faults[fault], uint64(20), fault)
	}
}

func TestListOfOneStage(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 5, Properties: 1})
	unit := c.sim.UnitID(0)
	c.enable(unit, "b", "live")
	c.enable(unit, "a", "development")
	ids, _ := c.walk(unit, url.Values{"stage": {"live"}})
	require.Equal(t, []string{"b"}, ids)
	ids, _ = c.walk(unit, url.Values{})
	require.Equal(t, []string{"a", "b"}, ids)
	require.Len(t, c.sim.Records(unit), 2)
}

func TestTokenIsBoundToItsQuery(t *testing.T) {
	t.Parallel()
	_, enabled := skills(25)
	c := start(t, simulator.Config{Units: 5, Properties: 1, Enabled: enabled})
	unit, other := c.sim.UnitID(0), c.sim.UnitID(1)
	list := func(unit, rest string) page {
		rec := c.do(http.MethodGet, "/v1/skills/enablements?unitId="+unit+rest, "")
		if rec.Code == http.StatusBadRequest {
			return page{}
		}
		return decode[page](t, rec)
	}
	token := "&nextToken=" + *list(unit, "").PaginationContext.NextToken
	require.Len(t, list(unit, token).Items, 10)
	require.Len(t, list(unit, "&maxResults=10"+token).Items, 10, "the default said aloud is the same query")
	for _, rest := range []string{"&stage=live" + token, "&maxResults=5" + token, "&nextToken=" + strings.ToLower(token[11:]), token + "x"} {
		require.Empty(t, list(unit, rest).Items, rest)
	}
	require.Empty(t, list(other, token).Items)
}
