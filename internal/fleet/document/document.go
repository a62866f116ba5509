package document

import (
	"fmt"
	"slices"
	"strings"

	"fleetd/internal/fleet"
)

// Version is the only version of the file there is.
const Version = 1

// MaxBytes is the longest file that is read.
const MaxBytes = 1 << 20

// Document is what one file says. The API takes it as JSON, with the places of the
// file, so that its errors can name them.
type Document struct {
	Version int     `json:"version" doc:"The version of the document: 1."`
	Account string  `json:"account,omitempty" doc:"The account it is about, when the document says so."`
	Entries []Entry `json:"desired" doc:"What should be on which units, in the order of the file."`

	// AccountPlace is where the file names the account.
	AccountPlace Place `json:"-"`
}

// Entry says what some skills should be on every unit that a selector picks.
type Entry struct {
	Place

	Select string  `json:"select" doc:"Which units: all, or key=value, key!=value, key in (a,b), has(key), with commas between."`
	Skills []Skill `json:"skills" doc:"What each skill should be on these units."`

	// Selector is Select once it was read, by Check.
	Selector fleet.Selector `json:"-"`
}

// Skill is what one skill should be on the units of an entry.
type Skill struct {
	Place

	SkillID string             `json:"skill_id" doc:"The skill's ID."`
	State   fleet.DesiredState `json:"state" enum:"development,certification,live,disabled" doc:"The stage it should be enabled at, or disabled."`
}

// Place is where something stands in the file, both counted from 1; zero: nowhere.
type Place struct {
	Line   int `json:"line,omitempty" minimum:"0" doc:"The line it stands on, for errors."`
	Column int `json:"column,omitempty" minimum:"0" doc:"The column it begins at, for errors."`
}

// String names the place for people; empty for none.
func (p Place) String() string {
	switch {
	case p.Line <= 0:
		return ""
	case p.Column <= 0:
		return fmt.Sprintf("line %d", p.Line)
	}
	return fmt.Sprintf("line %d, column %d", p.Line, p.Column)
}

// Where names the place of an entry for people: its line, or its index where it
// has none.
func (d *Document) Where(entry int) string {
	if s := d.Entries[entry].String(); s != "" {
		return s
	}
	return fmt.Sprintf("desired[%d]", entry)
}

// WhereSkill names the place of a skill of an entry for people.
func (d *Document) WhereSkill(entry, skill int) string {
	if s := d.Entries[entry].Skills[skill].String(); s != "" {
		return s
	}
	return fmt.Sprintf("desired[%d].skills[%d]", entry, skill)
}

// Check reads the selectors into Selector and says what is wrong that can be seen
// without the account's units: a *fleet.Error of code invalid about the field file,
// each fault a detail with its place. protected is the account's own protected
// skills, which no document may name.
func (d *Document) Check(protected ...string) error {
	var bad faults
	d.check(&bad, protected)
	return bad.err()
}

func (d *Document) check(bad *faults, protected []string) {
	if d.Version != Version {
		bad.add("version", "", "the version is %d, and only %d is known: write version: %d", d.Version, Version, Version)
	}
	for i := range d.Entries {
		d.checkEntry(bad, i, protected)
	}
}

func (d *Document) checkEntry(bad *faults, i int, protected []string) {
	e := &d.Entries[i]
	sel, err := fleet.ParseSelector(e.Select)
	if err != nil {
		bad.add(d.Where(i), e.Select, "the selector is wrong: %s", selectorFault(err))
	}
	e.Selector = sel
	if len(e.Skills) == 0 {
		bad.add(d.Where(i), e.Select, "the entry names no skill: write what a skill should be under skills, as in amzn1.ask.skill.x: live, or leave the entry out")
	}
	first := make(map[string]int, len(e.Skills))
	for j, s := range e.Skills {
		at := d.WhereSkill(i, j)
		if k, doubled := first[s.SkillID]; doubled {
			bad.add(at, s.SkillID, "the skill stands in this entry already, at %s: leave one of the two out", d.WhereSkill(i, k))
			continue
		}
		first[s.SkillID] = j
		switch {
		case !fleet.ValidSkillID(s.SkillID):
			bad.add(at, s.SkillID, "this is no skill ID: it has 1 to %d characters without spaces, as in amzn1.ask.skill.0f4a", fleet.MaxSkillIDBytes)
		case fleet.ProtectedSkill(s.SkillID), slices.Contains(protected, s.SkillID):
			bad.add(at, s.SkillID, "this is a protected skill (a subscription, or one that the account protects), which nobody may enable or disable: leave it out")
		}
		if !s.State.Valid() {
			bad.add(at, string(s.State), "this is no state of a skill: write development, certification or live for the stage it should be enabled at, or disabled")
		}
	}
}

// selectorFault is what is wrong with a selector, in words that suit a file.
func selectorFault(err error) string {
	text := strings.TrimPrefix(err.Error(), "select: ")
	return strings.ReplaceAll(text, "name the units in a file with --units-file", "use several entries")
}
