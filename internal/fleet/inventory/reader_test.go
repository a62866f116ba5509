package inventory_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/inventory"
)

// readAll reads every good row, and what the last Read returned.
func readAll(src io.Reader) ([]inventory.Row, error) {
	r := inventory.NewReader(src)
	var rows []inventory.Row
	for {
		row, err := r.Read()
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
}

const header = "unit_id,property,name,occupancy,labels\n"

func TestReaderReads(t *testing.T) {
	t.Parallel()
	plain := inventory.Row{Line: 2, UnitID: "u1", Property: "Maple", Occupancy: fleet.OccupancyVacant}
	with := func(change func(*inventory.Row)) []inventory.Row {
		row := plain
		change(&row)
		return []inventory.Row{row}
	}
	for name, tc := range map[string]struct {
		file string
		want []inventory.Row
	}{
		"all columns": {header + "u1,Maple,12B,linked,floor=3;wing=east\n", with(func(r *inventory.Row) {
			r.Name, r.Occupancy, r.Labels = "12B", fleet.OccupancyLinked, map[string]string{"floor": "3", "wing": "east"}
		})},
		"columns in another order":         {"property,occupancy,unit_id\nMaple,occupied,u1\n", with(func(r *inventory.Row) { r.Occupancy = fleet.OccupancyOccupied })},
		"only the columns that must be":    {"unit_id,property\nu1,Maple\n", []inventory.Row{plain}},
		"empty optional fields":            {header + "u1,Maple,,,\n", []inventory.Row{plain}},
		"a byte order mark":                {"\uFEFF" + header + "u1,Maple,,,\n", []inventory.Row{plain}},
		"a byte order mark and quotes":     {"\uFEFF\"unit_id\",\"property\"\nu1,Maple\n", []inventory.Row{plain}},
		"CRLF":                             {"unit_id,property\r\nu1,Maple\r\n", []inventory.Row{plain}},
		"no end of the last line":          {"unit_id,property\nu1,Maple", []inventory.Row{plain}},
		"spaces around fields":             {"unit_id , property\n  u1 ,\tMaple \n", []inventory.Row{plain}},
		"quoted fields":                    {"unit_id,property,name\n\"u1\" , \"Maple\",\"a, \"\"b\"\"\"\n", with(func(r *inventory.Row) { r.Name = `a, "b"` })},
		"an empty quoted field at the end": {"unit_id,property,name\nu1,Maple,\"\"\n", []inventory.Row{plain}},
		"several quoted fields":            {"unit_id,property,name\n\"u1\",\"Maple\",\"12\"\n", with(func(r *inventory.Row) { r.Name = "12" })},
		"blank lines":                      {"unit_id,property\n\n \t\nu1,Maple\n\n", with(func(r *inventory.Row) { r.Line = 4 })},
		"labels with spaces and an end":    {"unit_id,property,labels\nu1,Maple,\" floor = 3 ; note=;\"\n", with(func(r *inventory.Row) { r.Labels = map[string]string{"floor": "3", "note": ""} })},
		"a label value with equals":        {"unit_id,property,labels\nu1,Maple,k=a=b\n", with(func(r *inventory.Row) { r.Labels = map[string]string{"k": "a=b"} })},
		"labels that are only semicolons":  {"unit_id,property,labels\nu1,Maple,;;\n", []inventory.Row{plain}},
		"a time zone":                      {"unit_id,property,labels\nu1,Maple,timezone=America/New_York\n", with(func(r *inventory.Row) { r.Labels = map[string]string{"timezone": "America/New_York"} })},
		"text of other scripts":            {"unit_id,property,name\nu1,Maple,خانه\u200cها 日本 🏠\n", with(func(r *inventory.Row) { r.Name = "خانه\u200cها 日本 🏠" })},
		"the longest unit ID":              {"unit_id,property\n" + strings.Repeat("é", 255) + ",Maple\n", with(func(r *inventory.Row) { r.UnitID = strings.Repeat("é", 255) })},
		"an ID with commas and equals":     {"unit_id,property\n\"a,b=c/+\",Maple\n", with(func(r *inventory.Row) { r.UnitID = "a,b=c/+" })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := readAll(strings.NewReader(tc.file))
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, tc.want, rows)
			rows, err = readAll(iotest.OneByteReader(strings.NewReader(tc.file)))
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, tc.want, rows, "read a byte at a time")
		})
	}
}

func TestReaderRefusesHeader(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ file, field, want string }{
		"an empty file":          {"", "file", "line 1: the file is empty: begin it with unit_id,property"},
		"only a byte order mark": {"\uFEFF", "file", `line 1: column 1: "" is no column`},
		"no header":              {"u1,Maple\n", "file", `line 1: column 1: "u1" is no column of an inventory: use unit_id,property,name,occupancy,labels`},
		"an unknown column":      {"unit_id,property,colour\n", "file", `line 1: column 3: "colour" is no column`},
		"a missing column":       {"unit_id,name\n", "property", "line 1: the column property is missing: add it"},
		"a doubled column":       {"unit_id,property,unit_id\n", "unit_id", "line 1: column 3: unit_id stands in the header twice: leave one out"},
		"semicolons":             {"unit_id;property\n", "file", `"unit_id;property" is no column of an inventory (separate columns by commas)`},
		"an open quote":          {"unit_id,\"property\nu1,Maple\n", "file", "line 1: column 2: the field's quote is not closed"},
		"UTF-16":                 {"\xFF\xFEu\x00n\x00", "file", "line 1: the file is UTF-16 text: save it as CSV in UTF-8"},
		"NUL":                    {"unit\x00id,property\n", "file", "line 1: byte 5 is not UTF-8"},
		"not UTF-8":              {"unit_id,propri\xe9t\xe9\n", "file", "line 1: byte 15 is not UTF-8"},
		"no line ends":           {strings.Repeat("x,", 64<<10), "file", "line 1: the line is longer than 65536 bytes"},
		"no rows":                {header, "file", "the file has a header and no rows"},
		"no rows but blanks":     {header + "\n\n", "file", "the file has a header and no rows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := readAll(strings.NewReader(tc.file))
			require.Empty(t, rows)
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.Equal(t, tc.field, e.Field)
			require.Contains(t, e.Message, tc.want)
		})
	}
}

func TestReaderNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const cols = "unit_id,property,name,occupancy,labels\n"
	for name, tc := range map[string]struct{ row, location, message, value string }{
		"no unit ID":            {",Maple,,,", "line 2, column 1 (unit_id)", "the unit ID is empty: write", ""},
		"a space in a unit ID":  {"u 1,Maple,,,", "line 2, column 1 (unit_id)", "holds a space", "u 1"},
		"a long unit ID":        {strings.Repeat("u", 256) + ",Maple,,,", "line 2, column 1 (unit_id)", "has 256 characters, at most 255", strings.Repeat("u", 64) + "..."},
		"an invisible unit ID":  {"u\u200b1,Maple,,,", "line 2, column 1 (unit_id)", "cannot be printed", "u\uFFFD1"},
		"no property":           {"u1, ,,,", "line 2, column 2 (property)", "the property is empty: name", ""},
		"a long property":       {"u1," + strings.Repeat("p", 256) + ",,,", "line 2, column 2 (property)", "has 256 characters", strings.Repeat("p", 64) + "..."},
		"a control character":   {"u1,Maple,a\x07b,,", "line 2, column 3 (name)", "cannot be printed", "a\uFFFDb"},
		"a lone CR":             {"u1,Maple,a\rb,,", "line 2, column 3 (name)", "cannot be printed", "a\uFFFDb"},
		"a wrong occupancy":     {"u1,Maple,,empty,", "line 2, column 4 (occupancy)", "write vacant, occupied or linked", "empty"},
		"occupancy in capitals": {"u1,Maple,,Vacant,", "line 2, column 4 (occupancy)", "write vacant, occupied or linked", "Vacant"},
		"a label without value": {"u1,Maple,,,floor", "line 2, column 5 (labels)", `the label "floor" has no value: write key=value`, "floor"},
		"a label without key":   {"u1,Maple,,,=3", "line 2, column 5 (labels)", `"" cannot name a label`, "=3"},
		"a label called unit":   {"u1,Maple,,,unit=3", "line 2, column 5 (labels)", `"unit" cannot name a label, because`, "unit=3"},
		"a long label key":      {"u1,Maple,,," + strings.Repeat("k", 70) + "=3", "line 2, column 5 (labels)", "more than 63 characters", strings.Repeat("k", 64) + "..."},
		"a doubled label":       {"u1,Maple,,,a=1;a=2", "line 2, column 5 (labels)", "the label a stands there twice", "a=1;a=2"},
		"a long label value":    {"u1,Maple,,,a=" + strings.Repeat("v", 256), "line 2, column 5 (labels)", "label a: the text has 256 characters", "a=" + strings.Repeat("v", 62) + "..."},
		"too many labels":       {"u1,Maple,,," + labels65(), "line 2, column 5 (labels)", "there are more than 64 labels", labels65()[:64] + "..."},
		"an unknown time zone":  {"u1,Maple,,,timezone=Mars/Base", "line 2, column 5 (labels)", `the time zone "Mars/Base" is not known: write an IANA name`, "timezone=Mars/Base"},
		"the machine's zone":    {"u1,Maple,,,timezone=Local", "line 2, column 5 (labels)", "is not known", "timezone=Local"},
		"an empty time zone":    {"u1,Maple,,,timezone=", "line 2, column 5 (labels)", "is not known", "timezone="},
		"a path as time zone":   {"u1,Maple,,,timezone=../../etc/passwd", "line 2, column 5 (labels)", "is not known", "timezone=../../etc/passwd"},
		"too few fields":        {"u1,Maple", "line 2", "the row has 2 fields and the header 5", ""},
		"too many fields":       {"u1,Maple,,,,", "line 2", "the row has 6 fields and the header 5", ""},
		"an open quote":         {"u1,\"Maple,,,", "line 2, column 2 (property)", "quote is not closed on this line", ""},
		"text after a quote":    {"u1,\"Maple\"x,,,", "line 2, column 2 (property)", "text after the field's closing quote", ""},
		"a quote inside":        {"u1,Maple,5\" pipe,,", "line 2, column 3 (name)", "quote inside a field", ""},
		"a quote far beyond":    {"u1,Maple,,,,,\"x", "line 2, column 7 (beyond the header)", "quote is not closed", ""},
		"not UTF-8":             {"u1,Maple,caf\xe9,,", "line 2", "byte 13 is not UTF-8 text", "u1,Maple,caf\uFFFD,,"},
		"NUL":                   {"u1,Maple,a\x00b,,", "line 2", "byte 11 is not UTF-8 text", "u1,Maple,a\uFFFDb,,"},
		"a long line":           {"u1,Maple," + strings.Repeat("x", 64<<10) + ",,", "line 2", "the line is longer than 65536 bytes", "u1,Maple," + strings.Repeat("x", 55) + "..."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := readAll(strings.NewReader(cols + tc.row + "\nu2,Oak,,,\n"))
			require.Equal(t, []inventory.Row{{Line: 3, UnitID: "u2", Property: "Oak", Occupancy: fleet.OccupancyVacant}}, rows, "the next row is read all the same")
			var bad *inventory.RowsError
			require.ErrorAs(t, err, &bad)
			require.Len(t, bad.Details(), 1)
			require.Equal(t, tc.location, bad.Details()[0].Location)
			require.Contains(t, bad.Details()[0].Message, tc.message)
			require.Equal(t, tc.value, bad.Details()[0].Value)
		})
	}
}

func labels65() string {
	var b strings.Builder
	for i := range 65 {
		fmt.Fprintf(&b, "k%d=v;", i)
	}
	return b.String()
}

func TestReaderCountsBeyondTheFirstHundred(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString(header)
	for i := range 250 {
		fmt.Fprintf(&file, "u%d,,,gone,\n", i) // two faults each
	}
	r := inventory.NewReader(strings.NewReader(file.String()))
	_, err := r.Read()
	var bad *inventory.RowsError
	require.ErrorAs(t, err, &bad)
	require.Len(t, bad.Details(), 100)
	require.Equal(t, "line 51, column 4 (occupancy)", bad.Details()[99].Location)
	require.Equal(t, 500, bad.Total())
	require.Equal(t, 400, bad.More())
	require.EqualError(t, err, "file: 250 rows are not valid: mend them and import the file again, nothing was changed (400 more faults than are named)")

	var e *fleet.Error
	require.ErrorAs(t, err, &e, "the server answers it like any other error")
	require.Equal(t, fleet.CodeInvalid, e.Code)
	require.Equal(t, bad.Details(), e.Details)

	_, again := r.Read()
	require.Equal(t, err, again)
}

// A caller adds what only the whole file shows.
func TestRowsErrorTakeTheCallersFindings(t *testing.T) {
	t.Parallel()
	r := inventory.NewReader(strings.NewReader("unit_id,property\nu1,Maple\nu1,Oak\n"))
	for range 2 {
		_, err := r.Read()
		require.NoError(t, err)
	}
	require.NoError(t, r.Errors().Err())
	require.Equal(t, 2, r.Rows())
	r.Errors().Add(3, 1, "unit_id", "the unit stands on line 2 too: leave one out", "u1")
	_, err := r.Read()
	require.EqualError(t, err, "file: 1 row is not valid: mend it and import the file again, nothing was changed")
	require.Equal(t, []fleet.Detail{{Location: "line 3, column 1 (unit_id)", Message: "the unit stands on line 2 too: leave one out", Value: "u1"}}, r.Errors().Details())
}

func TestReaderKeepsTheSourcesError(t *testing.T) {
	t.Parallel()
	broken := errors.New("cable cut")
	for _, text := range []string{"", "unit_id", header, header + "u1,Maple,,,\nu2", header + strings.Repeat("x", 100<<10)} {
		_, err := readAll(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "of the file")
	}
}

// TestReaderRowsAreTheCallers proves that rows stay as they were while others are
// read, though the reader uses its buffers again.
func TestReaderRowsAreTheCallers(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	file.WriteString(header)
	const n = 5000
	for i := range n {
		fmt.Fprintf(&file, "u%d,p%d,\"n \"\"%d\"\"\",,k=%d\n", i, i/7, i, i)
	}
	rows, err := readAll(&file)
	require.ErrorIs(t, err, io.EOF)
	require.Len(t, rows, n)
	for i, row := range rows {
		require.Equal(t, inventory.Row{
			Line: i + 2, UnitID: fmt.Sprintf("u%d", i), Property: fmt.Sprintf("p%d", i/7), Name: fmt.Sprintf(`n "%d"`, i),
			Occupancy: fleet.OccupancyVacant, Labels: map[string]string{"k": fmt.Sprint(i)},
		}, row)
	}
}
