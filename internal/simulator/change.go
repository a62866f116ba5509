package simulator

import (
	"fmt"
	"slices"

	"fleetd/internal/fleet"
)

// ChangeAction is what happens to a home behind the client's back. The set is closed.
type ChangeAction string

// The actions.
const (
	ChangeEnable  ChangeAction = "enable"  // the skill is enabled and linked, or in Status
	ChangeDisable ChangeAction = "disable" // the skill is not enabled
	ChangeForbid  ChangeAction = "forbid"  // every operation on the home is answered 403
	ChangeRemove  ChangeAction = "remove"  // the API does not know the home, and its records are gone
	ChangeReset   ChangeAction = "reset"   // its records are gone, and its unit ID stays
	ChangeRePair  ChangeAction = "re_pair" // it is removed, and there is a home with a new unit ID and no records in its place
	ChangeOccupy  ChangeAction = "occupy"  // a resident moves in
	ChangeVacate  ChangeAction = "vacate"  // the resident moves out
	ChangeAllow   ChangeAction = "allow"   // undo forbid and remove, and spare the home its fate
	ChangeAdd     ChangeAction = "add"     // a home that was not there, with the records that homes start with
)

// changeActions lists every action.
var changeActions = []ChangeAction{
	ChangeEnable, ChangeDisable, ChangeForbid, ChangeRemove, ChangeReset, ChangeRePair, ChangeOccupy, ChangeVacate, ChangeAllow, ChangeAdd,
}

// Change is what ChangeUnit does.
type Change struct {
	Action  ChangeAction `json:"action"`
	SkillID string       `json:"skill_id,omitempty"` // of enable and disable
	Stage   fleet.Stage  `json:"stage,omitempty"`    // of enable; live if empty
	Status  fleet.Status `json:"status,omitempty"`   // of enable; ENABLED if empty; ENABLING stays so until a write

	NewUnitID string `json:"new_unit_id,omitempty"` // of re_pair; a function of seed and unit if empty
}

// ChangeUnit changes a home behind the client's back. It is no request: it is
// not in the history and counts as no write.
func (s *Simulator) ChangeUnit(unitID string, change Change) error {
	return s.change(unitID, &change)
}

// change does ChangeUnit and fills in what it chose.
func (s *Simulator) change(unitID string, change *Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(changeActions, change.Action) {
		return fmt.Errorf("action %q: must be one of %v", change.Action, changeActions)
	}
	u := s.units.find(unitID)
	if change.Action == ChangeAdd {
		switch {
		case u != nil:
			return fmt.Errorf("unit %q: is there already", unitID)
		case !validID(unitID):
			return fmt.Errorf("unit %q: must be 1 to 255 characters without spaces", unitID)
		}
		s.units.add(unitID, s.units.template)
		return nil
	}
	if u == nil {
		return fmt.Errorf("unit %q: there is no such home; the action add makes one", unitID)
	}
	return s.changeHome(u, change)
}

func (s *Simulator) changeHome(u *unit, change *Change) error {
	switch change.Action {
	case ChangeEnable, ChangeDisable:
		return s.changeRecord(u, change)
	case ChangeForbid:
		u.forbidden = true
	case ChangeRemove:
		u.removed = true
		u.clear()
	case ChangeReset:
		u.clear()
	case ChangeRePair:
		return s.rePair(u, change)
	case ChangeOccupy:
		u.occupy(fleet.OccupancyOccupied)
	case ChangeVacate:
		u.occupy(fleet.OccupancyVacant)
	case ChangeAllow:
		u.removed, u.forbidden, u.allowed = false, false, true
	case ChangeAdd: // not of a home that is there
	}
	return nil
}

// rePair takes a home away under its unit ID and puts it back under another, as
// when its devices are registered anew.
func (s *Simulator) rePair(u *unit, change *Change) error {
	if u.removed {
		return fmt.Errorf("unit %q: is removed", s.units.id(u, false))
	}
	for i := uint64(0); change.NewUnitID == ""; i++ {
		id := unitPrefix + string(appendText(nil, hash(s.cfg.Seed, u.key, 'p', i), unitDigits))
		if s.units.find(id) == nil {
			change.NewUnitID = id
		}
	}
	switch {
	case !validID(change.NewUnitID):
		return fmt.Errorf("new_unit_id %q: must be 1 to 255 characters without spaces", change.NewUnitID)
	case s.units.find(change.NewUnitID) != nil:
		return fmt.Errorf("new_unit_id %q: is there already", change.NewUnitID)
	}
	again := s.units.add(change.NewUnitID, &template{})
	again.occupied, again.linked, again.drifted = u.occupied, u.linked, u.drifted
	s.units.replace(u, again)
	u.removed = true
	u.clear()
	return nil
}

func (s *Simulator) changeRecord(u *unit, change *Change) error {
	stage, status := change.Stage, change.Status
	setDefault(&stage, fleet.StageLive)
	setDefault(&status, fleet.StatusEnabled)
	if !validID(change.SkillID) {
		return fmt.Errorf("skill_id %q: must be 1 to 255 characters without spaces", change.SkillID)
	}
	if !slices.Contains(fleet.Stages(), stage) {
		return fmt.Errorf("stage %q: must be development, certification or live", change.Stage)
	}
	r := u.record(s.skill(change.SkillID))
	r.clear()
	if change.Action == ChangeEnable {
		r.set(stage, status)
	}
	return nil
}
