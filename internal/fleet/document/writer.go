package document

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Writer writes a document entry by entry, in a form that Parse reads back.
type Writer struct {
	w       *bufio.Writer
	account string
	entries int
}

// NewWriter makes a writer of the document of an account. Nothing is written before
// the first entry, or Close.
func NewWriter(w io.Writer, account string) *Writer {
	return &Writer{w: bufio.NewWriter(w), account: account}
}

// Entry writes one entry: the Select and the Skills of e. The latter go in order of
// their IDs, so that the same state is the same text.
func (w *Writer) Entry(e Entry) error {
	if w.entries == 0 {
		w.head("desired:\n")
	}
	w.entries++
	_, err := fmt.Fprintf(w.w, "  - select: %s\n    skills:\n", scalar(e.Select))
	skills := slices.Clone(e.Skills)
	slices.SortFunc(skills, func(a, b Skill) int { return strings.Compare(a.SkillID, b.SkillID) })
	for _, s := range skills {
		_, err = fmt.Fprintf(w.w, "      %s: %s\n", scalar(s.SkillID), s.State)
	}
	if err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// Close ends the document.
func (w *Writer) Close() error {
	if w.entries == 0 {
		w.head("desired: []\n")
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

func (w *Writer) head(desired string) {
	account := ""
	if w.account != "" {
		account = "account: " + scalar(w.account) + "\n"
	}
	_, _ = fmt.Fprintf(w.w, "# What should be on the homes. Look: fleetctl desired apply -f FILE --dry-run\nversion: %d\n%s%s",
		Version, account, desired) // A bufio.Writer keeps its error for the next call.
}

// The texts that YAML reads as text when they stand bare: selectors, and words.
var (
	bareSelector = regexp.MustCompile(`^[a-z][A-Za-z0-9_./-]*(=|!=| in \(|\()[A-Za-z0-9=!,()_./@+-]*$`)
	bareWord     = regexp.MustCompile(`^[a-z][a-z0-9]*([.-][A-Za-z0-9_-]+)*$`)
	// notText are the words that YAML, or an older one, reads as something else.
	notText = []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
)

// scalar writes text as YAML reads it. JSON's quotes are YAML's.
func scalar(text string) string {
	if bareSelector.MatchString(text) || (bareWord.MatchString(text) && !slices.Contains(notText, text)) {
		return text
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil { // A string always encodes.
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}
