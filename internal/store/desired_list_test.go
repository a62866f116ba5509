package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestListDesiredWalksEveryPageOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, homes(50)...)
	require.NoError(t, err)
	_, err = f.apply(t, "- {select: all, skills: {a: live, b: disabled}}\n- {select: floor=1, skills: {c: certification}}")
	require.NoError(t, err)

	seen := map[string]bool{}
	var after store.DesiredCursor
	last := ""
	for {
		items, next, err := f.ListDesired(t.Context(), "acme", store.DesiredFilter{After: after, Limit: 7})
		require.NoError(t, err)
		for _, i := range items {
			require.GreaterOrEqual(t, i.Property, last)
			require.False(t, seen[i.UnitID+i.SkillID])
			seen[i.UnitID+i.SkillID], last = true, i.Property
		}
		if next == (store.DesiredCursor{}) {
			break
		}
		require.Len(t, items, 7)
		after = next
	}
	require.Len(t, seen, 50*2+17)
}

func TestListDesiredFilters(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	_, err := f.apply(t, mapleAndAll)
	require.NoError(t, err)
	list := func(filter store.DesiredFilter) (all []string) {
		items, next, err := f.ListDesired(t.Context(), "acme", filter)
		require.NoError(t, err)
		require.Zero(t, next)
		for _, i := range items {
			all = append(all, i.UnitID+"/"+i.SkillID+"="+string(i.State))
		}
		return all
	}
	require.Len(t, list(store.DesiredFilter{}), 12)
	require.Equal(t, []string{"u2/a=live", "u2/b=disabled", "u2/c=certification"}, list(store.DesiredFilter{UnitID: "u2"}))
	require.Equal(t, []string{"u4/c=certification", "u5/c=certification"}, list(store.DesiredFilter{Property: "oak"}))
	require.Equal(t, []string{"u1/b=disabled", "u2/b=disabled", "u3/b=disabled"}, list(store.DesiredFilter{SkillID: "b"}))
	require.Equal(t, []string{"u1/b=disabled"}, list(store.DesiredFilter{SkillID: "b", UnitID: "u1", Property: "maple"}))
	require.Empty(t, list(store.DesiredFilter{SkillID: "z"}))
	require.Empty(t, list(store.DesiredFilter{UnitID: "u9"}))
	_, _, err = f.ListDesired(t.Context(), "nobody", store.DesiredFilter{})
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

func TestListDesiredSaysWhoAndWhen(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	_, err := f.setDesired(t, store.DesiredSetParams{AllowNew: anySkill, UnitIDs: []string{"u3"}, SkillID: "a", State: "live"})
	require.NoError(t, err)

	items, _, err := f.ListDesired(t.Context(), "acme", store.DesiredFilter{})

	require.NoError(t, err)
	require.Len(t, items, 1)
	require.WithinDuration(t, time.Now(), items[0].ChangedAt, soon)
	items[0].ChangedAt = time.Time{}
	require.Equal(t, store.DesiredItem{
		Account: "acme", UnitID: "u3", Property: "maple", SkillID: "a", State: "live", Source: fleet.DesiredBySet, Actor: "ann",
	}, items[0])
}

func TestHistoryWalksEveryPageOnce(t *testing.T) {
	t.Parallel()
	f := newHomes(t)
	for i := range 5 {
		state := fleet.DesiredStates()[i%4]
		_, err := f.apply(t, "- {select: all, skills: {a: "+string(state)+", b: "+string(state)+"}}")
		require.NoError(t, err)
	}
	var got []fleet.DesiredState
	var before store.HistoryCursor
	for {
		items, next, err := f.DesiredHistory(t.Context(), store.HistoryFilter{UnitID: "u1", Account: "acme", Before: before, Limit: 3})
		require.NoError(t, err)
		for _, i := range items {
			got = append(got, *i.State)
		}
		if next == (store.HistoryCursor{}) {
			break
		}
		before = next
	}
	require.Equal(t, []fleet.DesiredState{
		"development", "development", "disabled", "disabled", "live", "live", "certification", "certification", "development", "development",
	}, got, "newest first")
	f.historyIsTrue(t)

	_, _, err := f.DesiredHistory(t.Context(), store.HistoryFilter{UnitID: "u9"})
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
	items, _, err := f.DesiredHistory(t.Context(), store.HistoryFilter{UnitID: "u1", SkillID: "z"})
	require.NoError(t, err)
	require.Empty(t, items)
}
