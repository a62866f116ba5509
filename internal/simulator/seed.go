package simulator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fleetd/internal/fleet"
)

// maxSkillsPerUnit is the most base skills there are.
const maxSkillsPerUnit = 1000

// BaseSkillID is the ID of the nth of the skills that Config.SkillsPerUnit and
// EnableParams.SkillsPerUnit enable, counted from 1: amzn1.ask.skill.base-01.
func BaseSkillID(n int) string { return fmt.Sprintf("amzn1.ask.skill.base-%02d", n) }

// baseSkills are the first n of them, live.
func baseSkills(n int) []Enablement {
	enabled := make([]Enablement, n)
	for i := range enabled {
		enabled[i] = Enablement{SkillID: BaseSkillID(i + 1), Stage: fleet.StageLive}
	}
	return enabled
}

// ParseEnablement reads ID or ID@stage; the stage is empty where there is none.
func ParseEnablement(text string) Enablement {
	id, stage, _ := strings.Cut(text, "@")
	return Enablement{SkillID: id, Stage: fleet.Stage(stage)}
}

func (e Enablement) validate() error {
	if !validID(e.SkillID) || !slices.Contains(fleet.Stages(), e.Stage) {
		return fmt.Errorf("enabled %s@%s: must be a skill ID, or one with @development, @certification or @live", e.SkillID, e.Stage)
	}
	return nil
}

// EnableParams is which skills Enable gives to which homes.
type EnableParams struct {
	Skills        []string `json:"skills,omitempty"`          // IDs, each with @stage where it is not live
	SkillsPerUnit int      `json:"skills_per_unit,omitempty"` // so many base skills besides
	Units         []string `json:"units,omitempty"`           // all homes if neither this nor Property is given
	Property      string   `json:"property,omitempty"`        // the homes of one property
}

// Enable gives homes skills behind the client's back, linked, as ChangeUnit does
// with one, and returns how many homes it gave them to. Removed homes get none
// unless they are named, which is an error. Homes that are alike share what they
// hold, so this takes next to no memory.
func (s *Simulator) Enable(p EnableParams) (homes int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	skills, err := s.enablements(p)
	if err != nil {
		return 0, err
	}
	units, err := s.choose(p.Units, p.Property)
	if err != nil {
		return 0, err
	}
	extended := map[*template]*template{}
	give := func(u *unit) {
		switch {
		case u.removed:
			return
		case u.template == nil:
			for _, e := range skills {
				u.record(s.skill(e.SkillID)).set(e.Stage, fleet.StatusEnabled)
			}
		default:
			if extended[u.template] == nil {
				extended[u.template] = s.extend(u.template, skills)
			}
			u.hold(extended[u.template])
		}
		homes++
	}
	if units != nil {
		for _, i := range units {
			give(s.units.keep(i))
		}
		return homes, nil
	}
	for i, n := 0, s.units.len(); i < n; i++ {
		if u := s.units.known(i); u != nil {
			give(u)
		} else {
			homes++
		}
	}
	s.units.template = s.extend(s.units.template, skills)
	return homes, nil
}

func (s *Simulator) enablements(p EnableParams) ([]Enablement, error) {
	if p.SkillsPerUnit < 0 || p.SkillsPerUnit > maxSkillsPerUnit {
		return nil, fmt.Errorf("skills_per_unit: %d: must be from 0 to %d", p.SkillsPerUnit, maxSkillsPerUnit)
	}
	skills := baseSkills(p.SkillsPerUnit)
	for _, text := range p.Skills {
		e := ParseEnablement(text)
		setDefault(&e.Stage, fleet.StageLive)
		skills = append(skills, e)
	}
	if len(skills) == 0 {
		return nil, errors.New("skills: name some, or say skills_per_unit")
	}
	for _, e := range skills {
		if err := e.validate(); err != nil {
			return nil, err
		}
		if !s.skill(e.SkillID).exists {
			return nil, fmt.Errorf("skill %q: does not exist", e.SkillID)
		}
	}
	return skills, nil
}

// choose returns the indexes of homes that are named or are those of a property
// now; nil means every home.
func (s *Simulator) choose(ids []string, property string) ([]int, error) {
	switch {
	case len(ids) > 0 && property != "":
		return nil, errors.New("units, property: name one of them, not both")
	case len(ids) > 0:
		var units []int
		seen := map[*unit]bool{}
		for _, id := range ids {
			u := s.units.find(id)
			switch {
			case u == nil || u.removed:
				return nil, fmt.Errorf("unit %q: there is no such home", id)
			case seen[u]:
				return nil, fmt.Errorf("unit %q: is named twice", id)
			}
			seen[u] = true
			units = append(units, int(u.index))
		}
		return units, nil
	case property == "":
		return nil, nil
	}
	for n := range s.cfg.Properties {
		if propertyName(n) != property {
			continue
		}
		var units []int
		for i := firstOf(s.cfg, n); i < firstOf(s.cfg, n+1); i++ {
			if u := s.units.moved[i]; u != nil {
				units = append(units, int(u.index))
			} else {
				units = append(units, i)
			}
		}
		return units, nil
	}
	return nil, fmt.Errorf("property %q: there is no such one", property)
}

// extend makes a template of t and the skills, enabled and linked.
func (s *Simulator) extend(t *template, skills []Enablement) *template {
	u := &unit{}
	u.hold(t)
	for _, e := range skills {
		u.record(s.skill(e.SkillID)).set(e.Stage, fleet.StatusEnabled)
	}
	for _, r := range u.records {
		r.shared = true
	}
	return &template{records: slices.Clip(u.records)}
}
