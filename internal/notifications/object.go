package notifications

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrNotEvent is in the chain of an error of ParseEvent.
var ErrNotEvent = errors.New("not an event of the skill development notifications")

// MaxEvent is the largest notification that is read, in bytes: as large as an SNS
// message can be.
const MaxEvent = 256 << 10

// maxDepth is how deep a notification may be nested. Those documented have three
// levels; PostgreSQL's own limit is a stack's.
const maxDepth = 32

// Caps of what is taken out of a notification, in bytes.
const (
	maxWord = 128
	maxID   = 256
	maxURL  = 1 << 10
)

// object is a JSON object whose values a jsonb column takes.
type object map[string]any

// parseObject reads one JSON object and nothing after it.
func parseObject(message []byte) (object, error) {
	if len(message) > MaxEvent {
		return nil, fmt.Errorf("%w: it is larger than 256 KiB", ErrNotEvent)
	}
	dec := json.NewDecoder(bytes.NewReader(message))
	dec.UseNumber()
	var all map[string]any
	if err := dec.Decode(&all); err != nil || all == nil {
		return nil, fmt.Errorf("%w: it is no JSON object", ErrNotEvent)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the JSON object", ErrNotEvent)
	}
	storable, err := storable(all, 1)
	if err != nil {
		return nil, err
	}
	return storable.(map[string]any), nil
}

// storable makes of a JSON value one that jsonb takes: it refuses the NUL character,
// numbers out of the range of numeric, and what is nested too deep.
func storable(value any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: it is nested deeper than %d levels", ErrNotEvent, maxDepth)
	}
	switch v := value.(type) {
	case string:
		return withoutNUL(v), nil
	case json.Number:
		if !fits(v) {
			return v.String(), nil
		}
	case []any:
		for i := range v {
			var err error
			if v[i], err = storable(v[i], depth+1); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) { // sorted: two names may become one
			member, err := storable(v[name], depth+1)
			if err != nil {
				return nil, err
			}
			clean[withoutNUL(name)] = member
		}
		return clean, nil
	}
	return value, nil
}

// fits reports whether a number is of a size that float64 and numeric both hold.
func fits(n json.Number) bool {
	_, power, _ := strings.Cut(strings.ToLower(n.String()), "e")
	exponent, err := strconv.Atoi(firstOf(power, "0"))
	if err != nil || exponent < -308 || exponent > 308 || len(n) > maxWord {
		return false
	}
	_, err = strconv.ParseFloat(n.String(), 64)
	return err == nil
}

func withoutNUL(s string) string { return strings.ReplaceAll(s, "\x00", "\ufffd") }

func encode(o object) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotEvent, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// object is a member that is an object; an empty one for anything else.
func (o object) object(name string) object {
	member, _ := o[name].(map[string]any)
	return member
}

// text is a member that is a string or a number; empty for anything else.
func (o object) text(name string) string {
	switch v := o[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// plain makes remote text fit for a log line, a table and a text column: valid
// UTF-8 on one line, at most limit bytes. What is not printable is escaped and not
// dropped, so that no odd spelling of a name becomes that name.
func plain(s string, limit int) string {
	var b []byte
	for _, r := range s[:min(len(s), limit)] {
		if strconv.IsPrint(r) && r != utf8.RuneError {
			b = utf8.AppendRune(b, r)
			continue
		}
		quoted := strconv.AppendQuoteRuneToASCII(nil, r)
		b = append(b, quoted[1:len(quoted)-1]...)
	}
	const cut = "..."
	if len(s) <= limit && len(b) <= limit {
		return string(b)
	}
	end := limit - len(cut)
	for end > 0 && (end >= len(b) || !utf8.RuneStart(b[end])) {
		end--
	}
	return string(b[:end]) + cut
}
