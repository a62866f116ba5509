package simulator

import (
	"slices"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// statusUndocumented is what unknown-status homes answer.
const statusUndocumented fleet.Status = "PENDING_REVIEW"

// skill is one skill ID that was heard of.
type skill struct {
	id      string
	key     uint64 // stands for the skill in every hash
	exists  bool
	linking bool
	product *product // nil: only homes know it
}

// skill interns an ID.
func (s *Simulator) skill(id string) *skill {
	if k := s.skills[id]; k != nil {
		return k
	}
	id = strings.Clone(id) // not the request it is part of
	k := &skill{id: id, key: hashText(id)}
	if s.cfg.Skills == nil {
		k.exists = validID(id) && !strings.Contains(id, "unknown")
	} else {
		k.exists = slices.Contains(s.cfg.Skills, id)
	}
	if s.cfg.LinkingSkills == nil {
		k.linking = strings.Contains(id, "link")
	} else {
		k.linking = slices.Contains(s.cfg.LinkingSkills, id)
	}
	s.skills[id] = k
	return k
}

// record is what one home holds of one skill, and how it was asked about.
type record struct {
	skill  *skill
	status fleet.Status // "" is not enabled
	stage  fleet.Stage
	linked bool
	until  time.Duration // when status becomes next; 0 is never
	next   fleet.Status

	requests  uint32 // for the dice
	writes    uint32
	lastWrite uint64    // its number in the history
	unread    Operation // the last write, until it is read; "" is none
	held      bool      // ENABLING by a control: it stays so until it is written to
	shared    bool      // of a template
}

// settle lets time pass.
func (r *record) settle(now time.Duration) {
	if r.until != 0 && now >= r.until {
		r.status, r.until = r.next, 0
		if r.status == "" {
			r.clear()
		}
	}
}

func (r *record) clear() {
	r.status, r.stage, r.linked, r.until, r.next, r.held = "", "", false, 0, "", false
}

// set makes the record as a control wants it, linked.
func (r *record) set(stage fleet.Stage, status fleet.Status) {
	r.clear()
	r.status, r.stage, r.linked = status, stage, true
	r.held = status == fleet.StatusEnabling
}

// present reports whether the API shows the record, at the stage asked for.
func (r *record) present(stage fleet.Stage) bool {
	return r.status != "" && r.skill.exists && (stage == "" || stage == r.stage)
}

// on reports whether the skill is enabled at stage or on its way there.
func (r *record) on(stage fleet.Stage) bool {
	switch r.status {
	case fleet.StatusEnabled, fleet.StatusEnabling, statusUndocumented:
		return r.stage == stage
	case fleet.StatusAbsent, fleet.StatusEnablingFailed, fleet.StatusDisabled, fleet.StatusDisabling,
		fleet.StatusDisablingFailed, fleet.StatusNoAssociation:
	}
	return false
}

// link is the accountLink status shown, "" for none.
func (r *record) link() fleet.LinkStatus {
	switch {
	case !r.skill.linking:
		return ""
	case r.linked && r.status == fleet.StatusEnabled:
		return fleet.Linked
	}
	return fleet.NotLinked
}

// State is the true state of one skill on one home.
type State struct {
	UnitID      string           `json:"unit_id"`
	SkillID     string           `json:"skill_id"`
	Status      fleet.Status     `json:"status"` // ABSENT where nothing is enabled
	Stage       fleet.Stage      `json:"stage,omitempty"`
	AccountLink fleet.LinkStatus `json:"account_link,omitempty"`
	Class       Class            `json:"class"`
	Writes      int              `json:"writes"` // that could have changed it
}

// State returns the true state of a skill on a home. The class of a home that
// does not exist is not_found.
func (s *Simulator) State(unitID, skillID string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, k := s.units.find(unitID), s.skill(skillID)
	if u == nil {
		return State{UnitID: unitID, SkillID: skillID, Status: fleet.StatusAbsent, Class: ClassNotFound}
	}
	st := s.stateOf(u, k, s.now())
	st.UnitID = unitID
	return st
}

func (s *Simulator) stateOf(u *unit, k *skill, now time.Duration) State {
	st := State{UnitID: s.units.id(u, false), SkillID: k.id, Status: fleet.StatusAbsent, Class: s.class(u, k)}
	r := u.peek(k.id)
	if r == nil {
		return st
	}
	r.settle(now)
	st.Writes = int(r.writes)
	if r.present("") {
		st.Status, st.Stage, st.AccountLink = r.status, r.stage, r.link()
	}
	return st
}

// States returns the true states of up to limit homes from the one at index
// from on, and the index to go on from, 0 at the end. With a skill every home
// has one; without, one for each record that is not ABSENT.
func (s *Simulator) States(skillID string, from, limit int) (states []State, next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, end := s.now(), min(from+limit, s.units.len())
	for i := from; i < end; i++ {
		u := s.units.peek(i)
		if skillID != "" {
			states = append(states, s.stateOf(u, s.skill(skillID), now))
			continue
		}
		for _, r := range u.records {
			if st := s.stateOf(u, r.skill, now); st.Status != fleet.StatusAbsent {
				states = append(states, st)
			}
		}
	}
	if end < s.units.len() {
		next = end
	}
	return states, next
}
