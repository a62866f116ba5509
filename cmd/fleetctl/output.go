package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/pflag"
)

// The output formats.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatCSV   = "csv"
	formatWide  = "wide"
)

func formats() []string { return []string{formatTable, formatJSON, formatCSV, formatWide} }

// pageSize is the most items the API gives in one page.
const pageSize = 1000

// column is one column of a table and of its CSV.
type column[T any] struct {
	head string         // as JSON spells it; tables print it in capitals
	text func(T) string // for people
	csv  func(T) string // for programs; nil: text
	// csvHead is the head in CSV where it differs: an age for people is a time there.
	csvHead string
	wide    bool           // only in wide tables and in CSV
	right   bool           // a number: aligned to the right
	color   func(T) string // of the cell on a terminal; nil or empty: none
}

// rowPrinter prints the rows of a list in one format, as they come.
type rowPrinter[T any] struct {
	p       *program
	columns []column[T]
	widths  []int // nil: no row was printed yet
	csv     *csv.Writer
}

func newRowPrinter[T any](p *program, columns []column[T]) *rowPrinter[T] {
	r := &rowPrinter[T]{p: p}
	for _, c := range columns {
		if !c.wide || p.global.output != formatTable {
			r.columns = append(r.columns, c)
		}
	}
	return r
}

// write prints rows, and the header before the first of them.
func (r *rowPrinter[T]) write(rows []T) error {
	if r.p.global.output == formatCSV {
		return r.writeCSV(rows)
	}
	var b bytes.Buffer
	cells := make([][]string, len(rows))
	widths := make([]int, len(r.columns))
	for i, c := range r.columns {
		widths[i] = len(c.head)
	}
	for i, row := range rows {
		cells[i] = make([]string, len(r.columns))
		for j, c := range r.columns {
			cells[i][j] = clean(c.text(row))
			widths[j] = max(widths[j], runewidth.StringWidth(cells[i][j]))
		}
	}
	if r.widths == nil {
		// Later pages keep the widths of the first, so that a million rows can be
		// printed as they come.
		r.widths = widths
		heads := make([]string, len(r.columns))
		for i, c := range r.columns {
			heads[i] = strings.ToUpper(strings.ReplaceAll(c.head, "_", " "))
		}
		r.line(&b, heads, nil)
	}
	for i, row := range rows {
		r.line(&b, cells[i], func(j int) string {
			if c := r.columns[j].color; c != nil {
				return c(row)
			}
			return ""
		})
	}
	_, err := r.p.stdout.Write(b.Bytes())
	return wrote(err)
}

// line writes the cells of one row, without blanks at its end.
func (r *rowPrinter[T]) line(b *bytes.Buffer, cells []string, color func(int) string) {
	end := len(cells)
	for end > 0 && cells[end-1] == "" {
		end--
	}
	for j, cell := range cells[:end] {
		pad := max(0, r.widths[j]-runewidth.StringWidth(cell))
		last := j == end-1
		if r.columns[j].right {
			b.WriteString(strings.Repeat(" ", pad))
		}
		if color != nil {
			b.WriteString(r.p.paint(r.p.stdout, color(j), cell))
		} else {
			b.WriteString(cell)
		}
		if !last {
			if !r.columns[j].right {
				b.WriteString(strings.Repeat(" ", pad))
			}
			b.WriteString("   ")
		}
	}
	b.WriteByte('\n')
}

func (r *rowPrinter[T]) writeCSV(rows []T) error {
	record := make([]string, len(r.columns))
	onTerminal := r.p.terminal(r.p.stdout)
	if r.csv == nil {
		r.csv = csv.NewWriter(r.p.stdout)
		for i, c := range r.columns {
			record[i] = orText(c.csvHead, c.head)
		}
		if err := r.csv.Write(record); err != nil {
			return wrote(err)
		}
	}
	for _, row := range rows {
		for i, c := range r.columns {
			if c.csv != nil {
				record[i] = c.csv(row)
			} else {
				record[i] = c.text(row)
			}
			if onTerminal {
				record[i] = clean(record[i]) // elsewhere it is data, and kept as it is
			}
		}
		if err := r.csv.Write(record); err != nil {
			return wrote(err)
		}
	}
	r.csv.Flush()
	return wrote(r.csv.Error())
}

// listOptions are the flags of commands that list.
type listOptions struct {
	limit  int
	cursor string
}

func (o *listOptions) flags(fs *pflag.FlagSet, limit int) {
	fs.IntVar(&o.limit, "limit", limit, "print at most this many (0: all)")
	fs.StringVar(&o.cursor, "cursor", "", "go on from the next_cursor of an earlier -o json --limit")
}

// page is one page of a list of the API.
type page[T any] struct {
	items []T
	next  string
	raw   []byte // the answer as it came
}

// printList prints the pages of a list as they come, however many there are.
//
// JSON is the API's own: one page byte for byte, several as one document of the
// same shape, its items as they came.
func printList[T any](ctx context.Context, p *program, o listOptions, columns []column[T], empty string,
	fetch func(ctx context.Context, cursor string, limit int) (page[T], error),
) error {
	if o.limit < 0 {
		return usagef("--limit is negative; 0 prints all")
	}
	rows := newRowPrinter(p, columns)
	joined := &jsonPages{w: p.stdout}
	cursor, printed := o.cursor, 0
	for {
		size := pageSize
		if o.limit > 0 {
			size = min(size, o.limit-printed)
		}
		pg, err := fetch(ctx, cursor, size)
		if err != nil {
			return err
		}
		printed += len(pg.items)
		last := pg.next == "" || (o.limit > 0 && printed >= o.limit)
		switch {
		case p.global.output == formatJSON:
			err = joined.add(pg.raw, pg.next, last)
		case printed > 0 || p.global.output == formatCSV:
			err = rows.write(pg.items)
		case last:
			p.note("%s", empty)
		}
		if err != nil || last {
			return err
		}
		if cursor == pg.next {
			return fmt.Errorf("the server repeats the cursor %s: the list would never end", quote(cursor))
		}
		cursor = pg.next
	}
}

// printAll prints a list that is there as a whole.
func printAll[T any](p *program, columns []column[T], items []T, raw []byte, empty string) error {
	return printList(context.Background(), p, listOptions{}, columns, empty,
		func(context.Context, string, int) (page[T], error) { return page[T]{items: items, raw: raw}, nil })
}

// jsonPages joins pages of JSON.
type jsonPages struct {
	w     io.Writer
	begun bool // the first page was not the last
	items int
}

func (j *jsonPages) add(raw []byte, next string, last bool) error {
	if last && !j.begun {
		return writeJSON(j.w, raw)
	}
	var doc struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("read a page of the list: %w", err)
	}
	var b bytes.Buffer
	if !j.begun {
		b.WriteString(`{"items":[`)
		j.begun = true
	}
	for _, item := range doc.Items {
		if j.items > 0 {
			b.WriteByte(',')
		}
		b.Write(item)
		j.items++
	}
	if last {
		cursor, err := json.Marshal(next)
		if err != nil {
			return fmt.Errorf("write the cursor: %w", err)
		}
		b.WriteString(`],"next_cursor":` + string(cursor) + "}\n")
	}
	_, err := j.w.Write(b.Bytes())
	return wrote(err)
}

// writeJSON writes an answer as it came, and ends it with a line end.
func writeJSON(w io.Writer, raw []byte) error {
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		raw = append(slices.Clip(raw), '\n')
	}
	_, err := w.Write(raw)
	return wrote(err)
}

// printOne prints one object: JSON as it came, a row of CSV, or what human writes.
func printOne[T any](p *program, columns []column[T], v T, raw []byte, human func(w io.Writer)) error {
	switch p.global.output {
	case formatJSON:
		return writeJSON(p.stdout, raw)
	case formatCSV:
		return newRowPrinter(p, columns).write([]T{v})
	}
	var b bytes.Buffer
	human(&b)
	_, err := p.stdout.Write(b.Bytes())
	return wrote(err)
}

// say prints what was done, for people: nothing where a program reads.
func (p *program) say(format string, args ...any) error {
	if p.global.output == formatJSON || p.global.output == formatCSV {
		return nil
	}
	_, err := fmt.Fprintln(p.stdout, cleanText(fmt.Sprintf(format, args...)))
	return wrote(err)
}

// wrote names the place of an output error.
func wrote(err error) error {
	if err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// printTo prints a table inside a view of something else.
func printTo[T any](p *program, w io.Writer, rows []T, columns []column[T]) {
	sub := *p
	sub.stdout = w
	sub.global.output = formatWide
	_ = newRowPrinter(&sub, columns).write(rows) // w is a buffer
}

// facts are pairs of a label and what it says, printed in two columns; pairs with
// nothing to say are left out.
type facts struct{ pairs [][2]string }

func (f *facts) add(label, format string, args ...any) {
	if text := cleanText(fmt.Sprintf(format, args...)); text != "" {
		f.pairs = append(f.pairs, [2]string{label, text})
	}
}

func (f *facts) write(w io.Writer) {
	width := 0
	for _, pair := range f.pairs {
		width = max(width, len(pair[0]))
	}
	for _, pair := range f.pairs {
		text := strings.ReplaceAll(pair[1], "\n", "\n"+strings.Repeat(" ", width+2))
		_, _ = fmt.Fprintf(w, "%-*s  %s\n", width, pair[0], text)
	}
}
