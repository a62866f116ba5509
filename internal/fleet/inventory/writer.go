package inventory

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Writer writes homes as a CSV that Reader reads back to the same rows.
type Writer struct {
	csv    *csv.Writer
	record []string
	begun  bool
}

// NewWriter returns a writer to w. It buffers: call Flush at the end.
func NewWriter(w io.Writer) *Writer {
	return &Writer{csv: csv.NewWriter(w), record: make([]string, len(Columns()))}
}

// Write writes one row, after the header when it is the first. Row.Line does not
// matter. A label whose key or value holds a semicolon, or whose key holds an
// equals sign, has no spelling and is an error.
func (w *Writer) Write(row Row) error {
	if err := w.header(); err != nil {
		return err
	}
	labels, err := joinLabels(row.Labels)
	if err != nil {
		return fmt.Errorf("write unit %s: %w", row.UnitID, err)
	}
	w.record = append(w.record[:0], row.UnitID, row.Property, row.Name, string(row.Occupancy), labels)
	if err := w.csv.Write(w.record); err != nil {
		return fmt.Errorf("write unit %s: %w", row.UnitID, err)
	}
	return nil
}

// Flush writes what is buffered, and the header where there was no row.
func (w *Writer) Flush() error {
	if err := w.header(); err != nil {
		return err
	}
	w.csv.Flush()
	if err := w.csv.Error(); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}

func (w *Writer) header() error {
	if w.begun {
		return nil
	}
	w.begun = true
	if err := w.csv.Write(Columns()); err != nil {
		return fmt.Errorf("write inventory header: %w", err)
	}
	return nil
}

// joinLabels writes labels as "key=value;key2=value2", sorted by key.
func joinLabels(labels map[string]string) (string, error) {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value := labels[key]
		if strings.ContainsAny(key, ";=") || strings.Contains(value, ";") {
			return "", fmt.Errorf("the label %q holds a semicolon, which separates labels: rename it", key)
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(key + "=" + value)
	}
	return b.String(), nil
}
