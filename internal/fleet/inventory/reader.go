package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"fleetd/internal/fleet"
)

// MaxRowBytes is the longest line that is read, its end included.
const MaxRowBytes = 64 << 10

// The columns, in the order of an export.
const (
	columnUnitID    = "unit_id"
	columnProperty  = "property"
	columnName      = "name"
	columnOccupancy = "occupancy"
	columnLabels    = "labels"
)

// Columns lists the columns in the order of an export.
func Columns() []string {
	return []string{columnUnitID, columnProperty, columnName, columnOccupancy, columnLabels}
}

// Row is one home.
type Row struct {
	Line      int // in the file, from 1; the header is a line too
	UnitID    string
	Property  string
	Name      string
	Occupancy fleet.Occupancy
	Labels    map[string]string // nil when there are none; rows may share one: not to be changed
}

// Reader reads the homes of one file.
type Reader struct {
	src     *bufio.Reader
	columns []string // as the header has them; nil before it was read
	fields  [][]byte // of the row in hand, into unquoted or src's buffer
	scratch []byte   // where fields with doubled quotes are put together
	line    int
	rows    int
	bad     RowsError
	zones   zones
	labels  map[string]map[string]string // as read, by their text: a fleet has few different ones
	last    string                       // the last property: rows of one property share the text
	err     error                        // what every further Read returns
}

// NewReader returns a reader of the CSV in r.
func NewReader(r io.Reader) *Reader {
	return &Reader{src: bufio.NewReaderSize(r, MaxRowBytes), zones: zones{}, labels: map[string]map[string]string{}}
}

// Read returns the next good row. Bad rows are passed over and collected, so
// that one pass finds every fault of a file. At its end Read returns io.EOF when
// all rows were good, else a *RowsError; a caller that acts on rows as they come
// must therefore be able to undo. A header that cannot be used, and a file
// without rows, is a *fleet.Error at once. Other errors are those of the source.
func (r *Reader) Read() (Row, error) {
	if r.err != nil {
		return Row{}, r.err
	}
	row, err := r.read()
	r.err = err
	return row, err
}

// Errors returns what is wrong so far. A caller may add to it, and need not go on
// storing rows once it holds anything.
func (r *Reader) Errors() *RowsError { return &r.bad }

// UnitIDColumn is the number, from 1, of the column with the unit IDs: for a caller
// that finds something wrong with one. It is 0 before the first Read.
func (r *Reader) UnitIDColumn() int { return slices.Index(r.columns, columnUnitID) + 1 }

// Rows is how many good rows were read so far.
func (r *Reader) Rows() int { return r.rows }

func (r *Reader) read() (Row, error) {
	if r.columns == nil {
		if err := r.readHeader(); err != nil {
			return Row{}, err
		}
	}
	for {
		line, err := r.readLine()
		switch {
		case errors.Is(err, io.EOF):
			return Row{}, r.end()
		case errors.Is(err, bufio.ErrBufferFull):
			r.bad.Add(r.line, 0, "", fmt.Sprintf("the line is longer than %d bytes: a row is one line of %d short fields", MaxRowBytes, len(r.columns)), string(line))
			continue
		case err != nil:
			return Row{}, fmt.Errorf("read line %d of the file: %w", r.line, err)
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		before := r.bad.total
		row := r.row(line)
		if r.bad.total > before {
			continue
		}
		r.rows++
		return row, nil
	}
}

// end is what Read returns after the last line.
func (r *Reader) end() error {
	if err := r.bad.Err(); err != nil {
		return err
	}
	if r.rows == 0 {
		return fleet.Invalidf("file", "the file has a header and no rows: add one line for each unit")
	}
	return io.EOF
}

// readLine returns the next line without its end, valid until the next call. For
// one that is too long it returns the beginning and bufio.ErrBufferFull, and the
// next call goes on after it.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.src.ReadSlice('\n')
	r.line++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return r.skipLine(line)
	case errors.Is(err, io.EOF) && len(line) > 0: // the last line needs no end
	case err != nil:
		return nil, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// skipLine reads past the end of a line that is too long and returns a copy of
// its beginning: reading on overwrites the line itself.
func (r *Reader) skipLine(line []byte) ([]byte, error) {
	r.scratch = append(r.scratch[:0], line[:256]...)
	for {
		_, err := r.src.ReadSlice('\n')
		if err == nil || errors.Is(err, io.EOF) {
			return r.scratch, bufio.ErrBufferFull
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// readHeader reads line 1 and finds the columns in it.
func (r *Reader) readHeader() error {
	line, err := r.readLine()
	switch {
	case errors.Is(err, io.EOF):
		return headerErrorf("file", "the file is empty: begin it with %s", strings.Join(Columns(), ","))
	case errors.Is(err, bufio.ErrBufferFull):
		return headerErrorf("file", "the line is longer than %d bytes: begin the file with %s", MaxRowBytes, strings.Join(Columns(), ","))
	case err != nil:
		return fmt.Errorf("read line 1 of the file: %w", err)
	}
	line = bytes.TrimPrefix(line, []byte("\xEF\xBB\xBF"))
	if bytes.HasPrefix(line, []byte("\xFF\xFE")) || bytes.HasPrefix(line, []byte("\xFE\xFF")) {
		return headerErrorf("file", "the file is UTF-16 text: save it as CSV in UTF-8")
	}
	if i := invalidText(line); i >= 0 {
		return headerErrorf("file", "byte %d is not UTF-8 text: save the file as CSV in UTF-8", i+1)
	}
	if column, fault := r.split(line); fault != "" {
		return headerErrorf("file", "column %d: %s", column, fault)
	}
	return r.setColumns()
}

// setColumns takes the fields in hand as the header.
func (r *Reader) setColumns() error {
	columns := make([]string, 0, len(r.fields))
	for i, field := range r.fields {
		name := string(field)
		switch {
		case !slices.Contains(Columns(), name):
			mend := ""
			if len(r.fields) == 1 && strings.ContainsAny(name, ";\t|") {
				mend = " (separate columns by commas)"
			}
			return headerErrorf("file", "column %d: %q is no column of an inventory%s: use %s", i+1, shown(name), mend, strings.Join(Columns(), ","))
		case slices.Contains(columns, name):
			return headerErrorf(name, "column %d: %s stands in the header twice: leave one out", i+1, name)
		}
		columns = append(columns, name)
	}
	for _, name := range []string{columnUnitID, columnProperty} {
		if !slices.Contains(columns, name) {
			return headerErrorf(name, "the column %s is missing: add it to the header and to every row", name)
		}
	}
	r.columns = columns
	return nil
}

// split cuts a line into r.fields, without the spaces around them. A fault comes
// with the number of its column, from 1.
func (r *Reader) split(line []byte) (column int, fault string) {
	r.fields = r.fields[:0]
	r.scratch = r.scratch[:0]
	for {
		if start := bytes.TrimLeft(line, " \t"); len(start) > 0 && start[0] == '"' {
			field, rest, fault := r.quoted(start[1:])
			if fault != "" {
				return len(r.fields) + 1, fault
			}
			r.fields = append(r.fields, bytes.TrimSpace(field))
			if rest == nil {
				return 0, ""
			}
			line = rest
			continue
		}
		field, rest, more := bytes.Cut(line, []byte{','})
		if bytes.IndexByte(field, '"') >= 0 {
			return len(r.fields) + 1, `there is a quote inside a field that does not begin with one: quote the whole field and write "" for each quote in it`
		}
		r.fields = append(r.fields, bytes.TrimSpace(field))
		if !more {
			return 0, ""
		}
		line = rest
	}
}

// quoted reads a field after its opening quote. What follows the comma after the
// field is the rest, nil at the end of the line.
func (r *Reader) quoted(line []byte) (field, rest []byte, fault string) {
	start := len(r.scratch)
	for {
		i := bytes.IndexByte(line, '"')
		if i < 0 {
			return nil, nil, "the field's quote is not closed on this line: close it; a field cannot hold a line break"
		}
		r.scratch = append(r.scratch, line[:i]...)
		line = line[i+1:]
		if len(line) > 0 && line[0] == '"' {
			r.scratch = append(r.scratch, '"')
			line = line[1:]
			continue
		}
		break
	}
	field = r.scratch[start:]
	line = bytes.TrimLeft(line, " \t")
	switch {
	case len(line) == 0:
		return field, nil, ""
	case line[0] != ',':
		return nil, nil, `there is text after the field's closing quote: put a comma there, or write "" for a quote inside the field`
	}
	return field, line[1:], ""
}

// invalidText is the index of the first byte that is NUL or not UTF-8, or -1.
func invalidText(b []byte) int {
	nul := bytes.IndexByte(b, 0)
	if utf8.Valid(b) {
		return nul
	}
	for i := 0; i < len(b); {
		c, size := utf8.DecodeRune(b[i:])
		if c == 0 || (c == utf8.RuneError && size == 1) {
			return i
		}
		i += size
	}
	return nul
}
