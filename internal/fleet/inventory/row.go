package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a static image has no zone files, and the answer must not depend on the machine
	"unicode"
	"unicode/utf8"

	"fleetd/internal/fleet"
)

const (
	maxField  = 255 // characters of a unit ID, property, name or label value
	maxLabels = 64

	// TimezoneLabel is the label that gives the time zone of a unit's property.
	TimezoneLabel = "timezone"
)

// row reads one line. What is wrong with it goes to r.bad.
func (r *Reader) row(line []byte) Row {
	if i := invalidText(line); i >= 0 {
		r.bad.Add(r.line, 0, "", fmt.Sprintf("byte %d is not UTF-8 text: save the file as CSV in UTF-8", i+1), string(line[:min(len(line), 256)]))
		return Row{}
	}
	if column, fault := r.split(line); fault != "" {
		name := "beyond the header"
		if column <= len(r.columns) {
			name = r.columns[column-1]
		}
		r.bad.Add(r.line, column, name, fault, "")
		return Row{}
	}
	if len(r.fields) != len(r.columns) {
		r.bad.Add(r.line, 0, "", fmt.Sprintf("the row has %d fields and the header %d: give every row the header's columns, and quote fields that hold commas", len(r.fields), len(r.columns)), "")
		return Row{}
	}
	row := Row{Line: r.line, Occupancy: fleet.OccupancyVacant}
	for i, name := range r.columns {
		field := r.fields[i]
		var fault string
		switch name {
		case columnUnitID:
			row.UnitID = string(field)
			fault = unitIDFault(row.UnitID)
		case columnProperty:
			if r.last != string(field) {
				r.last = string(field)
			}
			row.Property = r.last
			fault = propertyFault(row.Property)
		case columnName:
			row.Name = string(field)
			fault = textFault(row.Name)
		case columnOccupancy:
			row.Occupancy, fault = occupancy(field)
		case columnLabels:
			row.Labels, fault = r.labelsOf(field)
		}
		if fault != "" {
			r.bad.Add(r.line, i+1, name, fault, string(field))
		}
	}
	return row
}

// unitIDFault says what is wrong with a unit ID. The API chose it and no page
// gives its form, so only what cannot be a sensible ID is refused.
func unitIDFault(s string) string {
	if s == "" {
		return "the unit ID is empty: write the ID that the API gave the unit"
	}
	if plain(s, '!') {
		return ""
	}
	if n := utf8.RuneCountInString(s); n > maxField {
		return fmt.Sprintf("the unit ID has %d characters, at most %d are possible: write the ID that the API gave the unit", n, maxField)
	}
	if strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }) {
		return "the unit ID holds a space or a character that cannot be printed: write the ID that the API gave the unit"
	}
	return ""
}

func propertyFault(s string) string {
	if s == "" {
		return "the property is empty: name the community or building the unit belongs to"
	}
	return textFault(s)
}

// textFault says what is wrong with text that people read.
func textFault(s string) string {
	if plain(s, ' ') {
		return ""
	}
	if n := utf8.RuneCountInString(s); n > maxField {
		return fmt.Sprintf("the text has %d characters, at most %d are possible: shorten it", n, maxField)
	}
	if strings.ContainsFunc(s, unseen) {
		return "the text holds a character that cannot be printed: leave it out"
	}
	return ""
}

// plain reports whether s is short and ASCII from the character least to '~', which
// is nearly always so and quickly seen.
func plain(s string, least byte) bool {
	for i := range len(s) {
		if s[i] < least || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxField
}

// unseen reports characters that would make two texts differ that look the same,
// or break a line. Joiners and direction marks are part of how names are written.
func unseen(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || c == '\uFEFF'
}

// occupancy reads an occupancy; empty is vacant.
func occupancy(field []byte) (fleet.Occupancy, string) {
	switch string(field) {
	case "", string(fleet.OccupancyVacant):
		return fleet.OccupancyVacant, ""
	case string(fleet.OccupancyOccupied):
		return fleet.OccupancyOccupied, ""
	case string(fleet.OccupancyLinked):
		return fleet.OccupancyLinked, ""
	}
	return "", "this is no occupancy: write vacant, occupied or linked, or leave it empty for vacant"
}

// How many texts of labels are remembered, and how long they may be.
const (
	maxLabelTexts = 512
	maxLabelText  = 256 // bytes
)

// labelsOf reads the labels in field, or remembers them.
func (r *Reader) labelsOf(field []byte) (map[string]string, string) {
	if len(field) == 0 {
		return nil, ""
	}
	if labels, ok := r.labels[string(field)]; ok {
		return labels, ""
	}
	text := string(field)
	labels, fault := r.parseLabels(text)
	if fault == "" && len(text) <= maxLabelText {
		if len(r.labels) == maxLabelTexts {
			clear(r.labels)
		}
		r.labels[text] = labels
	}
	return labels, fault
}

// parseLabels reads "key=value;key2=value2". Spaces around keys and values do not count.
func (r *Reader) parseLabels(s string) (map[string]string, string) {
	labels := make(map[string]string, 1+strings.Count(s, ";"))
	for pair := range strings.SplitSeq(s, ";") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue // a semicolon at the end
		}
		if len(labels) == maxLabels {
			return nil, fmt.Sprintf("there are more than %d labels: leave some out", maxLabels)
		}
		key, value, ok := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok {
			return nil, fmt.Sprintf("the label %q has no value: write key=value;key2=value2", shown(pair))
		}
		if err := fleet.CheckLabelKey(key); err != nil {
			return nil, labelFault(err, key)
		}
		if _, doubled := labels[key]; doubled {
			return nil, fmt.Sprintf("the label %s stands there twice: leave one out", key)
		}
		if fault := textFault(value); fault != "" {
			return nil, fmt.Sprintf("label %s: %s", key, fault)
		}
		if key == TimezoneLabel && !r.zones.known(value) {
			return nil, fmt.Sprintf("the time zone %q is not known: write an IANA name, as in America/New_York", shown(value))
		}
		labels[key] = value
	}
	if len(labels) == 0 {
		return nil, ""
	}
	return labels, ""
}

// labelFault is what fleet.CheckLabelKey said of a key, cut to a bearable length.
func labelFault(err error, key string) string {
	if utf8.RuneCountInString(key) > maxValueRunes {
		return fmt.Sprintf("%q cannot name a label, because it has more than 63 characters: shorten it", shown(key))
	}
	if e, ok := errors.AsType[*fleet.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// zones remembers which time zones are known: loading one reads and parses a file.
type zones map[string]bool

// maxZones bounds what is remembered; there are fewer than 600 names.
const maxZones = 1000

func (z zones) known(name string) bool {
	known, seen := z[name]
	if seen {
		return known
	}
	_, err := time.LoadLocation(name)
	// LoadLocation also takes "" for UTC and "Local" for the machine's own.
	known = err == nil && !slices.Contains([]string{"", "Local"}, name)
	if len(z) < maxZones {
		z[strings.Clone(name)] = known
	}
	return known
}
