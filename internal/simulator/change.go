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
	ChangeOccupy  ChangeAction = "occupy"  // a resident moves in
	ChangeVacate  ChangeAction = "vacate"  // the resident moves out
	ChangeAllow   ChangeAction = "allow"   // undo forbid and remove, and spare the home its fate
	ChangeAdd     ChangeAction = "add"     // a home that was not there
)

// Change is what ChangeUnit does.
type Change struct {
	Action  ChangeAction `json:"action"`
	SkillID string       `json:"skill_id,omitempty"` // of enable and disable
	Stage   fleet.Stage  `json:"stage,omitempty"`    // of enable; live if empty
	Status  fleet.Status `json:"status,omitempty"`   // of enable; ENABLED if empty
}

// ChangeUnit changes a home behind the client's back. It is no request: it is
// not in the history and counts as no write.
func (s *Simulator) ChangeUnit(unitID string, change Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units.find(unitID)
	if change.Action == ChangeAdd {
		switch {
		case u != nil:
			return fmt.Errorf("unit %q: is there already", unitID)
		case !validID(unitID):
			return fmt.Errorf("unit %q: must be 1 to 255 characters without spaces", unitID)
		}
		s.units.add(unitID)
		return nil
	}
	if u == nil {
		return fmt.Errorf("unit %q: there is no such home; the action add makes one", unitID)
	}
	switch change.Action {
	case ChangeEnable, ChangeDisable:
		return s.changeRecord(u, change)
	case ChangeForbid:
		u.forbidden = true
	case ChangeRemove:
		u.removed = true
		for _, r := range u.records {
			r.clear()
		}
	case ChangeOccupy:
		u.occupancy = fleet.OccupancyOccupied
	case ChangeVacate:
		u.occupancy = fleet.OccupancyVacant
	case ChangeAllow:
		u.removed, u.forbidden, u.allowed = false, false, true
	case ChangeAdd: // above
	default:
		return fmt.Errorf("action %q: must be enable, disable, forbid, remove, occupy, vacate, allow or add", change.Action)
	}
	return nil
}

func (s *Simulator) changeRecord(u *unit, change Change) error {
	setDefault(&change.Stage, fleet.StageLive)
	setDefault(&change.Status, fleet.StatusEnabled)
	if !validID(change.SkillID) {
		return fmt.Errorf("skill_id %q: must be 1 to 255 characters without spaces", change.SkillID)
	}
	if !slices.Contains(fleet.Stages(), change.Stage) {
		return fmt.Errorf("stage %q: must be development, certification or live", change.Stage)
	}
	r := u.record(s.skill(change.SkillID))
	r.clear()
	if change.Action == ChangeEnable {
		r.status, r.stage, r.linked = change.Status, change.Stage, true
	}
	return nil
}

// SkillChange is what ChangeSkill does; nil leaves things as they are.
type SkillChange struct {
	Exists  *bool `json:"exists,omitempty"`
	Linking *bool `json:"linking,omitempty"`
}

// ChangeSkill changes whether a skill exists and whether it links accounts.
func (s *Simulator) ChangeSkill(skillID string, change SkillChange) error {
	if !validID(skillID) {
		return fmt.Errorf("skill %q: must be 1 to 255 characters without spaces", skillID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.skill(skillID)
	if change.Exists != nil {
		k.exists = *change.Exists
	}
	if change.Linking != nil {
		k.linking = *change.Linking
	}
	return nil
}
