package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// modelUnits are the homes of newHomes, as a selector sees them.
var modelUnits = []fleet.UnitFacts{
	{UnitID: "u1", Property: "maple", Occupancy: "vacant", Labels: map[string]string{"floor": "1"}},
	{UnitID: "u2", Property: "maple", Occupancy: "occupied", Labels: map[string]string{"floor": "2"}},
	{UnitID: "u3", Property: "maple", Occupancy: "vacant", Labels: map[string]string{"floor": "2"}},
	{UnitID: "u4", Property: "oak", Occupancy: "vacant", Labels: map[string]string{"floor": "1"}},
	{UnitID: "u5", Property: "oak", Occupancy: "vacant", Labels: map[string]string{"floor": "2"}},
	{UnitID: "u6", Property: "elm", Occupancy: "vacant"},
}

// model is what should be desired: states by unit and skill.
type model map[[2]string]fleet.DesiredState

func (m model) list() []string {
	all := make([]string, 0, len(m))
	for k, v := range m {
		all = append(all, k[0]+"/"+k[1]+"="+string(v))
	}
	slices.Sort(all)
	return all
}

// drawEntries draws entries, and what they want; clash says that two disagree.
func drawEntries(t *rapid.T) (text string, want model, clash bool) {
	want = model{}
	selectors := []string{"all", "property=maple", "property in (oak,elm,oak)", "floor=2", "unit in (u1,u6)", "unit!=u3", "occupancy=vacant,has(floor)", "unit=u5"}
	var b strings.Builder
	for range rapid.IntRange(1, 4).Draw(t, "entries") {
		selector := rapid.SampledFrom(selectors).Draw(t, "select")
		sel, err := fleet.ParseSelector(selector)
		require.NoError(t, err)
		fmt.Fprintf(&b, "- select: %s\n  skills:\n", selector)
		for _, skill := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3, rapid.ID).Draw(t, "skills") {
			state := rapid.SampledFrom(fleet.DesiredStates()[2:]).Draw(t, "state")
			fmt.Fprintf(&b, "    %s: %s\n", skill, state)
			for _, u := range modelUnits {
				if !sel.Matches(u) {
					continue
				}
				key := [2]string{u.UnitID, skill}
				if old, known := want[key]; known && old != state {
					clash = true
				}
				want[key] = state
			}
		}
	}
	return b.String(), want, clash
}

// counts is what a change from one model to another comes to.
func counts(from, to model) (c store.DesiredCounts) {
	for k, v := range to {
		switch old, known := from[k]; {
		case old == v:
			c.Unchanged++
		case v == fleet.StateDisabled:
			c.Disable++
		case !known || old == fleet.StateDisabled:
			c.Enable++
		default:
			c.Stage++
		}
	}
	for k := range from {
		if _, stays := to[k]; !stays {
			c.Remove++
		}
	}
	return c
}

// TestDesiredIsItsModelProperty proves that whatever is applied, set and released in
// whatever order, what is desired is what a map would hold, plans count it, entries that
// disagree and documents that take away too much change nothing, and the history ends
// with what is there.
func TestDesiredIsItsModelProperty(t *testing.T) {
	t.Parallel()
	f, _, row := newRelease(t)
	rapid.Check(t, func(rt *rapid.T) {
		for _, sql := range []string{"desired", "desired_history", "desired_changes", "managed_skills"} {
			_, err := f.pool.Exec(t.Context(), "DELETE FROM "+sql)
			require.NoError(rt, err)
		}
		have := model{}
		for range rapid.IntRange(1, 5).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				have = f.applyModel(rt, have)
			case 2:
				state := rapid.SampledFrom(fleet.DesiredStates()).Draw(rt, "state")
				_, _, err := f.SetDesired(t.Context(), store.DesiredSetParams{AllowNew: anySkill, Account: "acme", Selector: "floor=2", SkillID: "b", State: state}, f.by, store.Idempotency{})
				require.NoError(rt, err)
				for _, u := range []string{"u2", "u3", "u5"} {
					have[[2]string{u, "b"}] = state
				}
			case 3:
				state := rapid.SampledFrom(fleet.DesiredStates()).Draw(rt, "state")
				err := pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
					_, err := store.ReleaseDesired(t.Context(), tx, row, []int64{4, 1}, []string{string(state.Stage()), string(state.Stage())})
					return err
				})
				require.NoError(rt, err)
				have[[2]string{"u1", "a"}], have[[2]string{"u4", "a"}] = state, state
			}
			require.ElementsMatch(rt, have.list(), f.desired(rt))
			f.historyIsTrue(rt)
		}
	})
}

// applyModel applies drawn entries and returns what is desired after that.
func (f fixture) applyModel(t *rapid.T, have model) model {
	text, want, clash := drawEntries(t)
	p := store.DesiredApplyParams{AllowNew: anySkill, Document: parse(t, text), AllowEmpty: rapid.Bool().Draw(t, "allow empty")}
	plan, _, err := f.ApplyDesired(context.Background(), p, f.by, store.Idempotency{})
	c := counts(have, want)
	var e *fleet.Error
	switch {
	case clash:
		require.True(t, errors.As(err, &e) && e.Code == fleet.CodeInvalid, "%v", err)
		return have
	case !p.AllowEmpty && c.Remove*2 > len(have):
		require.True(t, errors.As(err, &e) && e.Code == fleet.CodeConflict, "%v", err)
		return have
	}
	require.NoError(t, err, text)
	require.Equal(t, c, plan.Counts, text)
	units := 0
	for _, g := range plan.Groups {
		units += g.Units
	}
	require.Equal(t, c.Changes(), units, "the groups hold every change once")
	return want
}
