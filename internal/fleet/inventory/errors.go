package inventory

import (
	"fmt"
	"strings"
	"unicode"

	"fleetd/internal/fleet"
)

// MaxDetails is how many bad fields an import names; the others are counted.
const MaxDetails = 100

// maxValueRunes is how much of a bad value is shown.
const maxValueRunes = 64

// RowsError is what is wrong with the rows of one file: the first MaxDetails, in
// the order of the file, and how many there are in all. The zero value is ready.
type RowsError struct {
	details []fleet.Detail
	total   int
	rows    int
	line    int // of the last detail
}

// Add notes that something is wrong on a line, in the column with that number
// (from 1) and name; column 0 is the line as a whole. The value is shown cut to
// 64 characters, with what cannot be printed replaced. The reader calls it for
// what one row shows; a caller adds what only the whole file shows, such as a
// unit that stands on two lines.
func (e *RowsError) Add(line, column int, name, message, value string) {
	e.total++
	if e.rows == 0 || line != e.line {
		e.rows++
		e.line = line
	}
	if len(e.details) >= MaxDetails {
		return
	}
	at := fmt.Sprintf("line %d", line)
	if column > 0 {
		at = fmt.Sprintf("line %d, column %d (%s)", line, column, name)
	}
	e.details = append(e.details, fleet.Detail{Location: at, Message: message, Value: shown(value)})
}

// Details returns the first MaxDetails things that are wrong.
func (e *RowsError) Details() []fleet.Detail { return e.details }

// Total is how many things are wrong, those beyond MaxDetails included.
func (e *RowsError) Total() int { return e.total }

// More is how many things are wrong beyond Details.
func (e *RowsError) More() int { return e.total - len(e.details) }

// Err returns e when it holds anything, else nil.
func (e *RowsError) Err() error {
	if e.total == 0 {
		return nil
	}
	return e
}

// Error is one sentence, without the details.
func (e *RowsError) Error() string { return e.asFleet().Error() }

// Unwrap returns the same as a *fleet.Error of code invalid about the field file,
// with the details in it.
func (e *RowsError) Unwrap() error { return e.asFleet() }

func (e *RowsError) asFleet() *fleet.Error {
	what := "1 row is not valid: mend it"
	if e.rows != 1 {
		what = fmt.Sprintf("%d rows are not valid: mend them", e.rows)
	}
	more := ""
	if n := e.More(); n > 0 {
		more = fmt.Sprintf(" (%d more faults than are named)", n)
	}
	err := fleet.Invalidf("file", "%s and import the file again, nothing was changed%s", what, more)
	err.Details = e.details
	return err
}

// shown is a value as an error may show it.
func shown(value string) string {
	// Valid text first: the cut below must not make half a character.
	value = strings.ToValidUTF8(value[:min(len(value), 4*maxValueRunes)], "\uFFFD")
	var b strings.Builder
	n := 0
	for _, r := range value {
		if n++; n > maxValueRunes {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// headerErrorf is an error about the first line, and the column where it is one.
func headerErrorf(field, format string, args ...any) error {
	return fleet.Invalidf(field, "line 1: %s", fmt.Sprintf(format, args...))
}
