package document

import (
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"fleetd/internal/fleet"
)

// reader makes a document of a YAML tree, and notes what is not as it should be.
type reader struct {
	bad       *faults
	versioned bool // the version is there, and known
}

func place(n *yaml.Node) Place { return Place{Line: n.Line, Column: n.Column} }

func (r *reader) addf(n *yaml.Node, format string, args ...any) {
	value := ""
	if n.Kind == yaml.ScalarNode {
		value = n.Value
	}
	r.bad.add(place(n).String(), value, format, args...)
}

// plain refuses what the document has no use for: anchors, aliases, and tags that
// make a value something else than it looks like.
func (r *reader) plain(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.addf(n, anchorFault)
		return false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		r.addf(n, "the tag %s is not read here: leave it out", shown(n.Tag))
		return false
	}
	return true
}

// pairs calls each for every key of a mapping with its value. Every key stands once
// and, where known lists keys, is one of them. It reports whether n is a mapping.
func (r *reader) pairs(n *yaml.Node, what string, known []string, each func(key, value *yaml.Node)) bool {
	if !r.plain(n) {
		return false
	}
	if n.Kind != yaml.MappingNode {
		if len(known) > 0 {
			r.addf(n, "%s must be a mapping with the keys %s: write key: value", what, strings.Join(known, ", "))
		} else {
			r.addf(n, "%s must be a mapping: write key: value", what)
		}
		return false
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !r.plain(key) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			r.addf(key, "a key of %s must be a word", what)
			continue
		}
		if first := seen[key.Value]; first != nil {
			r.addf(key, "the key stands in %s already, at %s: leave one of the two out", what, place(first))
			continue
		}
		seen[key.Value] = key
		if len(known) > 0 && !slices.Contains(known, key.Value) {
			r.addf(key, "there is no such key in %s: it has the keys %s", what, strings.Join(known, ", "))
			continue
		}
		each(key, value)
	}
	return true
}

// text reads a scalar that is meant as text; null is none.
func (r *reader) text(n *yaml.Node, format string, args ...any) (string, bool) {
	if !r.plain(n) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		r.addf(n, format, args...)
		return "", false
	}
	return n.Value, true
}

func (r *reader) document(root *yaml.Node) *Document {
	d := &Document{}
	var version, desired *yaml.Node
	mapped := r.pairs(root, "the document", []string{"version", "account", "desired"}, func(key, value *yaml.Node) {
		switch key.Value {
		case "version":
			version = value
			d.Version = r.version(value)
		case "account":
			d.AccountPlace = place(value)
			d.Account, _ = r.text(value, "account must be the name of the account: write account: acme, or leave it out")
		case "desired":
			desired = value
			d.Entries = r.entries(value)
		}
	})
	if !mapped {
		return d
	}
	if version == nil {
		r.addf(root, "the version is missing: write version: %d at the top", Version)
	}
	if desired == nil {
		r.addf(root, "the key desired is missing: write desired: [] when nothing is desired")
	}
	return d
}

func (r *reader) version(n *yaml.Node) int {
	text, ok := r.text(n, "version must be a number: write version: %d", Version)
	if !ok {
		return 0
	}
	v, err := strconv.Atoi(text)
	if err != nil || v != Version || n.ShortTag() != "!!int" {
		r.addf(n, "this version is not known: write version: %d", Version)
		return 0
	}
	r.versioned = true
	return v
}

func (r *reader) entries(n *yaml.Node) []Entry {
	if !r.plain(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.addf(n, "desired must be a list of entries: write - select: ..., or desired: [] when nothing is desired")
		return nil
	}
	entries := make([]Entry, 0, len(n.Content))
	for _, item := range n.Content {
		if e, ok := r.entry(item); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// entry reads one entry. It is left out when it is not whole, which was noted then.
func (r *reader) entry(n *yaml.Node) (Entry, bool) {
	e := Entry{Place: place(n)}
	var selected, skilled, whole bool
	whole = true
	mapped := r.pairs(n, "an entry", []string{"select", "skills"}, func(key, value *yaml.Node) {
		switch key.Value {
		case "select":
			selected = true
			e.Place = place(value)
			var ok bool
			e.Select, ok = r.text(value, "select must be a selector: write all, or a condition as in property=maple-court")
			whole = whole && ok
		case "skills":
			skilled = true
			e.Skills = r.skills(value)
			whole = whole && len(e.Skills) > 0
		}
	})
	if !mapped {
		return e, false
	}
	if !selected {
		r.addf(n, "the entry says not which units: write select: all, or a condition as in select: property=maple-court")
	}
	if !skilled {
		r.addf(n, "the entry says not which skills: write skills: and under it amzn1.ask.skill.x: live")
	}
	return e, whole && selected && skilled
}

func (r *reader) skills(n *yaml.Node) []Skill {
	var skills []Skill
	mapped := r.pairs(n, "skills", nil, func(key, value *yaml.Node) {
		state, ok := r.text(value, "what should %s be? Write development, certification, live or disabled", shown(key.Value))
		if ok {
			skills = append(skills, Skill{Place: skillPlace(key, value, state), SkillID: key.Value, State: fleet.DesiredState(state)})
		}
	})
	if mapped && len(n.Content) == 0 {
		r.addf(n, "the entry names no skill: write what a skill should be, as in amzn1.ask.skill.x: live, or leave the entry out")
	}
	return skills
}

// skillPlace is where a fault of a skill is: at its state when that is wrong, else at
// its ID.
func skillPlace(key, value *yaml.Node, state string) Place {
	if fleet.ValidSkillID(key.Value) && !fleet.DesiredState(state).Valid() {
		return place(value)
	}
	return place(key)
}
