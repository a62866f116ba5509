package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"

	"fleetd/internal/fleet"
)

// Read reads a document to its end: see Parse.
func Read(r io.Reader) (*Document, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return Parse(text)
}

// Parse reads a document and checks all that can be seen without the account's units.
// What is wrong comes back as a *fleet.Error about the field file, each fault a detail
// with its line, and its column unless the text is no YAML.
func Parse(text []byte) (*Document, error) {
	if len(text) > MaxBytes {
		return nil, fleet.Invalidf("file", "the document is longer than %d KiB: select units by property or label instead of one by one, or give each account a file of its own", MaxBytes>>10)
	}
	root, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	var bad faults
	r := reader{bad: &bad}
	d := r.document(root)
	if r.versioned { // a wrong version says so once, and the rest may mean something else
		d.check(&bad, nil)
	}
	if bad.total > 0 {
		slices.SortStableFunc(bad.details, byPlace)
		return nil, bad.err()
	}
	return d, nil
}

func byPlace(a, b fleet.Detail) int {
	return slices.Compare(numbers(a.Location), numbers(b.Location))
}

// numbers are the line and the column of a place, as far as it has them.
func numbers(place string) []int {
	at := make([]int, 2)
	_, _ = fmt.Sscanf(place, "line %d, column %d", &at[0], &at[1]) // Zero where there is none.
	return at
}

// fault makes the error of a document with one fault.
func fault(where, format string, args ...any) error {
	var bad faults
	bad.add(where, "", format, args...)
	return bad.err()
}

// parseYAML reads the one YAML document of a text. A node of yaml.v3 is the tree as it
// was written: aliases stand in it unresolved, so that a bomb of them stays small.
func parseYAML(text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	err := dec.Decode(&first)
	if errors.Is(err, io.EOF) || (err == nil && empty(&first)) {
		return nil, fault("line 1", "the document is empty: begin it with version: 1, and write desired: [] when nothing is desired")
	}
	if err == nil {
		if err = dec.Decode(&second); err == nil {
			return nil, fault(Place{Line: max(second.Line, 1)}.String(), "a second YAML document begins here: write one file for each account, without --- between")
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fault(fmt.Sprintf("line %d", faultLine(text, err)), "this is no YAML: %s", yamlFault(err))
	}
	return first.Content[0], nil
}

// empty reports whether a YAML document holds nothing.
func empty(n *yaml.Node) bool {
	return len(n.Content) == 0 || (n.Content[0].Kind == yaml.ScalarNode && n.Content[0].ShortTag() == "!!null")
}

// decodeAll is the error that reading a text as YAML ends with.
func decodeAll(text []byte) string {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		if err := dec.Decode(new(yaml.Node)); err != nil {
			return err.Error()
		}
	}
}

// manyLines is how many lines of a wrong text are searched for the fault: that takes
// reading the text some fifteen times, which should not take seconds.
const manyLines = 20_000

// faultLine finds the line that makes a text no YAML. The line that yaml.v3 names is
// that of the block around it, or the one before; so the text is cut after fewer and
// fewer lines, as long as reading it fails in the same way.
func faultLine(text []byte, err error) int {
	ends := lineEnds(text)
	want := err.Error()
	if len(ends) > manyLines {
		line := 1
		_, _ = fmt.Sscanf(want, "yaml: line %d:", &line) // It stays where there is none.
		return max(line, 1)
	}
	return 1 + sort.Search(len(ends)-1, func(i int) bool { return decodeAll(text[:ends[i]]) == want })
}

// lineEnds is where each line ends, its line break included.
func lineEnds(text []byte) []int {
	var ends []int
	for i, c := range text {
		if c == '\n' || i == len(text)-1 {
			ends = append(ends, i+1)
		}
	}
	return ends
}

var yamlPlace = regexp.MustCompile(`^yaml: (line \d+: )?`)

// yamlFault is what yaml.v3 said, without the line, and with the mend where it is known.
func yamlFault(err error) string {
	text := yamlPlace.ReplaceAllString(err.Error(), "")
	switch {
	case strings.Contains(text, "anchor"):
		return anchorFault
	case strings.Contains(text, "tab character"):
		return text + ": indent by spaces"
	case strings.Contains(text, "did not find expected key"), strings.Contains(text, "'-' indicator"),
		strings.Contains(text, "mapping values are not allowed"):
		return text + ": look at how far this line and the one before are indented"
	case strings.Contains(text, "could not find expected ':'"):
		return text + ": write key: value, here or on the line before"
	case strings.Contains(text, "node content"), strings.Contains(text, "',' or "):
		return text + ": close every [ and { that was opened, and quote text that begins with a special character"
	}
	return text
}

const anchorFault = "anchors and aliases (& and *) are not read here: write the value out"
