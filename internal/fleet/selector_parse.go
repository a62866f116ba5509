package fleet

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSelectorBytes is the longest selector that is read. A list of units that
// needs more belongs in a file (--units-file).
const MaxSelectorBytes = 64 << 10

// selectorField is the flag that errors about selectors name.
const selectorField = "select"

// ParseSelector reads "all", or terms separated by commas that must all hold:
//
//	key=value  key!=value  key in (a,b)  has(key)
//
// Keys are SelectorKeys and labels. A value stands bare or in double quotes,
// where \" and \\ stand for a quote and a backslash; bare, it ends before a comma
// or parenthesis, keeps spaces only inside, and holds none of = " ( ). Spaces
// between words do not matter. A key!=value picks units without that label too.
// Errors are about the flag select and name the position, counted in characters
// from 1, and the mend.
func ParseSelector(s string) (Selector, error) {
	if len(s) > MaxSelectorBytes {
		return Selector{}, tooLong(len(s))
	}
	if !utf8.ValidString(s) {
		return Selector{}, Invalidf(selectorField, "the selector is not UTF-8 text: write it in UTF-8")
	}
	switch strings.TrimSpace(s) {
	case "":
		return Selector{}, Invalidf(selectorField, "the selector is empty: write all for every unit, or a condition as in property=maple-court")
	case "all":
		return Selector{}, nil
	}
	p := selectorParser{text: s}
	var sel Selector
	for {
		term, err := p.term()
		if err != nil {
			return Selector{}, err
		}
		sel.Terms = append(sel.Terms, term)
		p.spaces()
		if p.done() {
			// The canonical spelling is what is kept, and must be read back: it may be longer.
			if n := len(sel.String()); n > MaxSelectorBytes {
				return Selector{}, tooLong(n)
			}
			return sel, nil
		}
		if !p.take(",") {
			return Selector{}, p.failf(p.at, "%s after a condition: separate conditions by commas, and put values that hold special characters in double quotes", p.next())
		}
	}
}

func tooLong(n int) *Error {
	return Invalidf(selectorField, "the selector is %d bytes long, at most %d are read: name the units in a file with --units-file", n, MaxSelectorBytes)
}

// selectorParser walks text; at is a byte offset that only grows.
type selectorParser struct {
	text string
	at   int
}

// term reads one condition.
func (p *selectorParser) term() (Term, error) {
	p.spaces()
	keyAt := p.at
	key := p.word()
	if key == "" {
		return Term{}, p.failf(p.at, "%s where a key should be: write a condition as in property=maple-court", p.next())
	}
	p.spaces()
	if key == "has" && p.take("(") {
		return p.has()
	}
	if key == "all" && (p.done() || p.peek(",")) {
		return Term{}, p.failf(keyAt, "all picks every unit and stands alone: leave it out, or leave out the other conditions")
	}
	if !isKey(key) {
		return Term{}, p.failf(keyAt, "%q is no key: use property, occupancy, name, unit, or a label of at most 63 letters, digits and . _ / -", key)
	}
	t := Term{Key: key}
	var err error
	switch {
	case p.take("!="):
		t.Op = OpNotEq
		t.Values, err = p.single(t)
	case p.take("="):
		t.Op = OpEq
		t.Values, err = p.single(t)
	case p.takeWord("in"):
		t.Op = OpIn
		t.Values, err = p.list(t)
	default:
		return Term{}, p.failf(p.at, "%s after the key %s: write %s=value, %s!=value, %s in (a,b) or has(%s)", p.next(), key, key, key, key, key)
	}
	return t, err
}

// has reads the rest of has(key).
func (p *selectorParser) has() (Term, error) {
	p.spaces()
	keyAt := p.at
	key := p.word()
	if !isKey(key) {
		return Term{}, p.failf(keyAt, "has( needs one key: write has(name), or a label in place of name")
	}
	p.spaces()
	if !p.take(")") {
		return Term{}, p.failf(p.at, "%s where the parenthesis of has( should close: write has(%s)", p.next(), key)
	}
	return Term{Key: key, Op: OpHas}, nil
}

// single reads the one value of = and !=.
func (p *selectorParser) single(t Term) ([]string, error) {
	v, err := p.value(t)
	if err != nil {
		return nil, err
	}
	return []string{v}, nil
}

// list reads "(a,b)".
func (p *selectorParser) list(t Term) ([]string, error) {
	p.spaces()
	if !p.take("(") {
		return nil, p.failf(p.at, "%s after in: write %s in (a,b)", p.next(), t.Key)
	}
	var values []string
	for {
		v, err := p.value(t)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		p.spaces()
		switch {
		case p.take(")"):
			return values, nil
		case !p.take(","):
			return nil, p.failf(p.at, "%s in a list of values: separate them by commas and close the list with a parenthesis", p.next())
		}
	}
}

// value reads one value of t, bare or quoted.
func (p *selectorParser) value(t Term) (string, error) {
	p.spaces()
	start := p.at
	var v string
	if p.take(`"`) {
		var err error
		if v, err = p.quoted(start); err != nil {
			return "", err
		}
	} else {
		v = p.bare()
		if v == "" {
			return "", p.failf(p.at, `%s where a value of %s should be: write one, or "" for the empty value`, p.next(), t.Key)
		}
	}
	if strings.ContainsFunc(v, unicode.IsControl) {
		return "", p.failf(start, "the value of %s holds a control character: leave it out", t.Key)
	}
	if t.Key == KeyOccupancy && !slices.Contains(Occupancies(), Occupancy(v)) {
		return "", p.failf(start, "%q is no occupancy: use vacant, occupied or linked", v)
	}
	return v, nil
}

// bare reads up to the next special character, without the spaces before it.
func (p *selectorParser) bare() string {
	rest := p.text[p.at:]
	if i := strings.IndexAny(rest, `,()="`); i >= 0 {
		rest = rest[:i]
	}
	rest = strings.TrimRightFunc(rest, unicode.IsSpace)
	p.at += len(rest)
	return rest
}

// quoted reads up to the closing quote; the opening one was at byte start.
func (p *selectorParser) quoted(start int) (string, error) {
	var v strings.Builder
	for !p.done() {
		c := p.text[p.at]
		p.at++
		switch c {
		case '"':
			return v.String(), nil
		case '\\':
			if !p.peek(`\`) && !p.peek(`"`) {
				return "", p.failf(p.at-1, `a backslash in quotes stands before a quote or a backslash: write \\ for one backslash`)
			}
			c = p.text[p.at]
			p.at++
		}
		v.WriteByte(c)
	}
	return "", p.failf(start, `the quote that opens here is never closed: add a "`)
}

// word reads the characters of a key, which may be none.
func (p *selectorParser) word() string {
	rest := p.text[p.at:]
	if i := strings.IndexFunc(rest, func(r rune) bool { return !isKeyRune(r) }); i >= 0 {
		rest = rest[:i]
	}
	p.at += len(rest)
	return rest
}

func (p *selectorParser) spaces() {
	rest := p.text[p.at:]
	p.at += len(rest) - len(strings.TrimLeftFunc(rest, unicode.IsSpace))
}

func (p *selectorParser) done() bool { return p.at == len(p.text) }

func (p *selectorParser) peek(s string) bool { return strings.HasPrefix(p.text[p.at:], s) }

func (p *selectorParser) take(s string) bool {
	if !p.peek(s) {
		return false
	}
	p.at += len(s)
	return true
}

// takeWord takes the word w when it is the whole next word.
func (p *selectorParser) takeWord(w string) bool {
	start := p.at
	if p.word() == w {
		return true
	}
	p.at = start
	return false
}

// next names what comes next, for an error.
func (p *selectorParser) next() string {
	if p.done() {
		return "the selector ends"
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return fmt.Sprintf("there is %q", r)
}

// failf makes an error about the character at byte offset at.
func (p *selectorParser) failf(at int, format string, args ...any) *Error {
	position := utf8.RuneCountInString(p.text[:at]) + 1
	return Invalidf(selectorField, "at position %d: %s", position, fmt.Sprintf(format, args...))
}
