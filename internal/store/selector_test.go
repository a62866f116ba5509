package store

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
)

// TestSelectorSQLPicksWhatMatchesPicks holds the two readings of a selector
// together: the SQL over units and Selector.Matches.
func TestSelectorSQLPicksWhatMatchesPicks(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.New(t))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	text := rapid.SampledFrom([]string{"", "a", "b", "vacant", "occupied", "O'Brien", `"`, "%", "$1", "x;--"})
	key := rapid.SampledFrom([]string{"property", "occupancy", "name", "unit", "floor", "wing", "o'key", "a/b"})
	rapid.Check(t, func(rt *rapid.T) {
		unit := fleet.UnitFacts{
			UnitID: text.Draw(rt, "unit_id"), Property: text.Draw(rt, "property"), Name: text.Draw(rt, "name"),
			Occupancy: rapid.SampledFrom(fleet.Occupancies()).Draw(rt, "occupancy"),
			Labels:    rapid.MapOfN(rapid.SampledFrom([]string{"floor", "wing", "o'key", "a/b"}), text, 0, 3).Draw(rt, "labels"),
		}
		var sel fleet.Selector
		for range rapid.IntRange(0, 3).Draw(rt, "terms") {
			term := fleet.Term{Key: key.Draw(rt, "key"), Op: rapid.SampledFrom(fleet.Ops()).Draw(rt, "op")}
			switch term.Op {
			case fleet.OpEq, fleet.OpNotEq:
				term.Values = []string{text.Draw(rt, "value")}
			case fleet.OpIn:
				term.Values = rapid.SliceOfN(text, 1, 3).Draw(rt, "values")
			case fleet.OpHas:
			}
			sel.Terms = append(sel.Terms, term)
		}
		labels, err := json.Marshal(unit.Labels)
		require.NoError(rt, err)

		where, args := selectorSQL(sel, []any{unit.UnitID, unit.Property, unit.Name, string(unit.Occupancy), string(labels)})
		var picked bool
		err = conn.QueryRow(t.Context(), `
			SELECT `+where+`
			FROM (SELECT $1::text AS unit_id, $2::text AS property, $3::text AS name, $4::text AS occupancy, $5::jsonb AS labels) AS u`,
			args...).Scan(&picked)

		require.NoError(rt, err)
		require.Equal(rt, sel.Matches(unit), picked, "%s", sel)
	})
}
