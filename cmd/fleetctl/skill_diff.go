package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// manifestDiff is what changes between two manifests, as a unified diff of their
// canonical JSON; empty: they say the same.
func manifestDiff(old, changed json.RawMessage, oldName, newName string) (string, error) {
	before, err := canonical(old)
	if err != nil {
		return "", err
	}
	after, err := canonical(changed)
	if err != nil {
		return "", err
	}
	text := string(diff.Diff(oldName, before, newName, after))
	_, text, _ = strings.Cut(text, "\n") // "diff OLD NEW" says what the next two lines do
	return located(text, paths(before), paths(after)), nil
}

// located says of each hunk of a diff where its first change is, as Git names the function:
// three lines of context do not tell one locale from another.
func located(text string, before, after []string) string {
	lines := strings.Split(text, "\n")
	hunk, old, fresh := -1, 0, 0
	for i, line := range lines {
		var where string
		switch {
		case strings.HasPrefix(line, "@@ "):
			if n, err := fmt.Sscanf(line, "@@ -%d,%d +%d,", &old, new(int), &fresh); n == 3 && err == nil {
				hunk = i
			}
			continue
		case hunk < 0:
			continue
		case strings.HasPrefix(line, "-") && old <= len(before):
			where = before[old-1]
		case strings.HasPrefix(line, "+") && fresh <= len(after):
			where = after[fresh-1]
		default:
			old, fresh = old+1, fresh+1
			continue
		}
		if where != "" {
			lines[hunk] += " " + where
		}
		hunk = -1
	}
	return strings.Join(lines, "\n")
}

// paths says of each line of canonical JSON in what it stands:
// publishingInformation.locales.en-US.
func paths(text []byte) []string {
	type open struct {
		name string
		next int // the index of its next element
		list bool
	}
	var (
		out   []string
		stack []open
	)
	for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
		line = strings.TrimSpace(line)
		closes := line[0] == '}' || line[0] == ']'
		if closes {
			stack = stack[:len(stack)-1]
		}
		where := ""
		for _, in := range stack {
			if where != "" && in.name != "" && in.name[0] != '[' {
				where += "."
			}
			where += in.name
		}
		out = append(out, where)
		name := ""
		if n := len(stack); closes {
			continue
		} else if n > 0 && stack[n-1].list {
			name = fmt.Sprintf("[%d]", stack[n-1].next)
			stack[n-1].next++
		} else if token, err := json.NewDecoder(strings.NewReader(line)).Token(); err == nil {
			name, _ = token.(string)
		}
		if last := line[len(line)-1]; last == '{' || last == '[' {
			stack = append(stack, open{name: name, list: last == '['})
		}
	}
	return out
}

// canonical is JSON with its keys in order, a line for each value, and its numbers as
// they came.
func canonical(raw json.RawMessage) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("compare the manifests: %w", err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("compare the manifests: %w", err)
	}
	return b.Bytes(), nil
}

// paintDiff colors a diff, and makes what came from elsewhere safe for a terminal.
func (p *program) paintDiff(w io.Writer, text string) string {
	lines := strings.Split(cleanText(text), "\n")
	for i, line := range lines {
		color := ""
		switch {
		case strings.HasPrefix(line, "+"):
			color = green
		case strings.HasPrefix(line, "-"):
			color = red
		case strings.HasPrefix(line, "@@"):
			color = dim
		}
		lines[i] = p.paint(w, color, line)
	}
	return strings.Join(lines, "\n")
}
