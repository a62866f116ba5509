package fleet

import (
	"slices"
	"strings"
	"unicode"
)

// Op is how a term of a selector compares. The set is closed.
type Op string

// The operators.
const (
	OpEq    Op = "="   // the value is Values[0]
	OpNotEq Op = "!="  // it is not, or the unit has no such label
	OpIn    Op = "in"  // it is one of Values
	OpHas   Op = "has" // the unit has such a label, whatever its value; Values is empty
)

// Ops lists every operator.
func Ops() []Op { return []Op{OpEq, OpNotEq, OpIn, OpHas} }

// The keys of a selector that are no labels. A label may not be called so.
const (
	KeyProperty  = "property"
	KeyOccupancy = "occupancy"
	KeyName      = "name"
	KeyUnit      = "unit" // the unit ID
)

// SelectorKeys lists the keys that are no labels.
func SelectorKeys() []string { return []string{KeyProperty, KeyOccupancy, KeyName, KeyUnit} }

// Selector picks units: those that meet every term. Without terms it picks all.
type Selector struct {
	Terms []Term
}

// Term is one condition of a selector.
type Term struct {
	Key    string // one of SelectorKeys, else a label
	Op     Op
	Values []string // one for OpEq and OpNotEq, one or more for OpIn, none for OpHas
}

// UnitFacts is what a selector can ask of a unit.
type UnitFacts struct {
	UnitID    string
	Property  string
	Name      string
	Occupancy Occupancy
	Labels    map[string]string
}

// All reports whether the selector picks every unit.
func (s Selector) All() bool { return len(s.Terms) == 0 }

// Matches reports whether the selector picks u.
func (s Selector) Matches(u UnitFacts) bool {
	for _, t := range s.Terms {
		if !t.Matches(u) {
			return false
		}
	}
	return true
}

// Matches reports whether u meets the term.
func (t Term) Matches(u UnitFacts) bool {
	value, present := u.value(t.Key)
	switch t.Op {
	case OpEq, OpIn:
		return present && slices.Contains(t.Values, value)
	case OpNotEq:
		return !present || !slices.Contains(t.Values, value)
	case OpHas:
		return present
	}
	return false
}

// value is what u has under key, and whether it has it. Every unit has a unit ID,
// a property and an occupancy; one without a name has the name "", and has(name)
// does not pick it.
func (u UnitFacts) value(key string) (string, bool) {
	switch key {
	case KeyProperty:
		return u.Property, true
	case KeyOccupancy:
		return string(u.Occupancy), true
	case KeyUnit:
		return u.UnitID, true
	case KeyName:
		return u.Name, u.Name != ""
	}
	v, ok := u.Labels[key]
	return v, ok
}

// String is the selector in its one canonical spelling, which ParseSelector reads
// back to the same terms.
func (s Selector) String() string {
	if s.All() {
		return "all"
	}
	terms := make([]string, len(s.Terms))
	for i, t := range s.Terms {
		terms[i] = t.String()
	}
	return strings.Join(terms, ",")
}

// String is the term in its canonical spelling.
func (t Term) String() string {
	values := make([]string, len(t.Values))
	for i, v := range t.Values {
		values[i] = quoteValue(v)
	}
	list := strings.Join(values, ",")
	switch t.Op {
	case OpIn:
		return t.Key + " in (" + list + ")"
	case OpHas:
		return "has(" + t.Key + ")"
	case OpEq, OpNotEq:
	}
	return t.Key + string(t.Op) + list
}

// quoteValue writes v as a selector reads it: bare where that is read back whole.
func quoteValue(v string) string {
	plain := func(r rune) bool { return isKeyRune(r) || r == ':' || r == '@' || r == '+' }
	if v != "" && !strings.ContainsFunc(v, func(r rune) bool { return !plain(r) }) {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}

// CheckLabelKey says why key cannot name a label, or nil. A key is 1 to 63
// letters, digits and . _ / -, begins with a letter or digit, and is none of
// SelectorKeys.
func CheckLabelKey(key string) error {
	if slices.Contains(SelectorKeys(), key) {
		return Invalidf("labels", "%q cannot name a label, because a selector reads it as the unit's own: choose another name", key)
	}
	if !isKey(key) {
		return Invalidf("labels", "%q cannot name a label: use 1 to 63 letters, digits and . _ / -, the first a letter or digit", key)
	}
	return nil
}

// isKey reports whether s has the form of a key. Length is counted in characters.
func isKey(s string) bool {
	n := 0
	for _, r := range s {
		if !isKeyRune(r) || (n == 0 && !unicode.IsLetter(r) && !unicode.IsDigit(r)) {
			return false
		}
		n++
	}
	return n >= 1 && n <= 63
}

func isKeyRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._/-", r)
}
