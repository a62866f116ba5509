package document

import (
	"fmt"
	"strings"
	"unicode"

	"fleetd/internal/fleet"
)

// MaxFaults is how many faults of one file are named; the others are counted.
const MaxFaults = 100

// maxValueRunes is how much of a wrong value is shown.
const maxValueRunes = 64

// faults is what is wrong with one document. The zero value is ready.
type faults struct {
	details []fleet.Detail
	total   int
}

// add notes a fault at a place; value is what stands there, if that is worth showing.
func (f *faults) add(where, value, format string, args ...any) {
	f.total++
	if len(f.details) < MaxFaults {
		f.details = append(f.details, fleet.Detail{Location: where, Message: fmt.Sprintf(format, args...), Value: shown(value)})
	}
}

// err is the faults as a *fleet.Error, or nil when there are none.
func (f *faults) err() error {
	if f.total == 0 {
		return nil
	}
	return Refusal(f.details, f.total)
}

// Refusal is the error of a document with total faults, of which details name the first.
func Refusal(details []fleet.Detail, total int) error {
	what, more := "1 thing is wrong with the document: mend it", ""
	if total != 1 {
		what = fmt.Sprintf("%d things are wrong with the document: mend them", total)
	}
	if n := total - len(details); n > 0 {
		more = fmt.Sprintf(" (%d more than are named)", n)
	}
	err := fleet.Invalidf("file", "%s and apply it again, nothing was changed%s", what, more)
	err.Details = details
	return err
}

// shown is a value as an error may show it.
func shown(value string) string {
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
