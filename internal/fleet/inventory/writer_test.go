package inventory_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/inventory"
)

func TestWriter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := inventory.NewWriter(&out)
	require.NoError(t, w.Write(inventory.Row{UnitID: "u1", Property: "Maple, North", Name: `the "12B"`, Occupancy: fleet.OccupancyLinked, Labels: map[string]string{"wing": "east", "floor": "3"}}))
	require.NoError(t, w.Write(inventory.Row{UnitID: "u2", Property: "Oak", Occupancy: fleet.OccupancyVacant}))
	require.NoError(t, w.Flush())
	require.Equal(t, "unit_id,property,name,occupancy,labels\n"+
		"u1,\"Maple, North\",\"the \"\"12B\"\"\",linked,floor=3;wing=east\n"+
		"u2,Oak,,vacant,\n", out.String())
}

func TestWriterWithoutRowsWritesTheHeader(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, inventory.NewWriter(&out).Flush())
	require.Equal(t, "unit_id,property,name,occupancy,labels\n", out.String())
}

func TestWriterRefusesLabelsItCannotSpell(t *testing.T) {
	t.Parallel()
	for _, labels := range []map[string]string{{"a": "1;2"}, {"a;b": "1"}, {"a=b": "1"}} {
		err := inventory.NewWriter(io.Discard).Write(inventory.Row{UnitID: "u1", Labels: labels})
		require.ErrorContains(t, err, "write unit u1: the label")
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriterKeepsTheTargetsError(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	w := inventory.NewWriter(brokenWriter{full})
	require.NoError(t, w.Write(inventory.Row{UnitID: "u1", Property: "Oak"}), "buffered")
	require.ErrorIs(t, w.Flush(), full)
	require.ErrorIs(t, w.Write(inventory.Row{UnitID: strings.Repeat("u", 10000)}), full)
}

// anyRow draws rows as an import lets in, with the characters that CSV and labels
// give a meaning to.
func anyRow() *rapid.Generator[inventory.Row] {
	trimmed := func(least int, alphabet string) *rapid.Generator[string] {
		return rapid.Map(rapid.StringOfN(rapid.RuneFrom([]rune(alphabet)), least, 12, -1), strings.TrimSpace).
			Filter(func(s string) bool { return len(s) >= least })
	}
	return rapid.Custom(func(t *rapid.T) inventory.Row {
		row := inventory.Row{
			UnitID:    trimmed(1, `ab1,"=;.+é日`).Draw(t, "unit"),
			Property:  trimmed(1, `ab ,"';=é日`).Draw(t, "property"),
			Name:      trimmed(0, `ab ,"';=é日\`).Draw(t, "name"),
			Occupancy: rapid.SampledFrom(fleet.Occupancies()).Draw(t, "occupancy"),
			Labels: rapid.MapOfN(rapid.StringMatching(`[a-z][a-z._/-]{0,6}`).Filter(func(k string) bool {
				return fleet.CheckLabelKey(k) == nil && k != inventory.TimezoneLabel
			}), trimmed(0, `ab ,"'=é`), 0, 3).Draw(t, "labels"),
		}
		if len(row.Labels) == 0 {
			row.Labels = nil
		}
		return row
	})
}

// TestWriterRoundTripProperty proves that whatever an import lets in, an export
// writes so that an import reads the same.
func TestWriterRoundTripProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(anyRow(), 1, 10).Draw(t, "rows")
		var out bytes.Buffer
		w := inventory.NewWriter(&out)
		for i := range rows {
			rows[i].Line = i + 2
			require.NoError(t, w.Write(rows[i]))
		}
		require.NoError(t, w.Flush())
		got, err := readAll(&out)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, rows, got)
	})
}

// FuzzInventory looks for bytes that break the reader, that pass what they should
// not, or that an export would not give back.
func FuzzInventory(f *testing.F) {
	for _, seed := range []string{
		"", header, header + "u1,Maple,12B,linked,floor=3;wing=east\n", "\uFEFFunit_id,property\r\nu1,\"a \"\"b\"\"\"\r\n",
		"unit_id,property\n\"u1,Maple\nu2,Oak\n", "unit_id,property\nu\xff,Maple\x00\n", "unit_id,property,labels\nu1,Maple,timezone=UTC;a=\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, err := readAll(bytes.NewReader(file))
		require.LessOrEqual(t, len(rows), bytes.Count(file, []byte("\n"))+1)
		if !errors.Is(err, io.EOF) {
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.LessOrEqual(t, len(e.Details), inventory.MaxDetails)
		}
		if len(rows) == 0 {
			return
		}
		var out bytes.Buffer
		w := inventory.NewWriter(&out)
		for i, row := range rows {
			require.NotEmpty(t, row.UnitID)
			require.NotEmpty(t, row.Property)
			require.Contains(t, fleet.Occupancies(), row.Occupancy)
			require.False(t, strings.ContainsFunc(row.UnitID+row.Property+row.Name, unicode.IsControl))
			require.NoError(t, w.Write(row))
			rows[i].Line = i + 2
		}
		require.NoError(t, w.Flush())
		again, err := readAll(&out)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, rows, again)
	})
}
