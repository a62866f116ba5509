package simulator

import (
	"math"

	"fleetd/internal/fleet"
)

// HomeStats counts by homes: what an audit may cost, and what it may not do.
type HomeStats struct {
	ListPages     uint64 `json:"list_pages"`      // answered 200, of all homes
	MaxListPages  int    `json:"max_list_pages"`  // of any one home
	ListedHomes   int    `json:"listed_homes"`    // whose last list page was served whole
	WrittenHomes  int    `json:"written_homes"`   // that had a write
	MaxHomeWrites int    `json:"max_home_writes"` // of any one home, whatever the skills
}

// page counts a list page of u that was answered 200.
func (h *HomeStats) page(u *unit, whole bool) {
	u.pages++
	h.ListPages++
	h.MaxListPages = max(h.MaxListPages, int(u.pages))
	if !whole {
		return
	}
	if u.wholes == 0 {
		h.ListedHomes++
	}
	if u.wholes < math.MaxUint16 {
		u.wholes++
	}
}

// write counts a write to u.
func (h *HomeStats) write(u *unit) {
	if u.writes == 0 {
		h.WrittenHomes++
	}
	u.writes++
	h.MaxHomeWrites = max(h.MaxHomeWrites, int(u.writes))
}

// HomeState is the true state of one home and what was asked of it since the
// start or the last reset.
type HomeState struct {
	UnitID        string          `json:"unit_id"`
	Property      string          `json:"property,omitempty"` // none: the home is not in the inventory
	Occupancy     fleet.Occupancy `json:"occupancy"`
	Class         Class           `json:"class"`          // ok, forbidden or not_found, of reads
	ListPages     int             `json:"list_pages"`     // answered 200
	CompleteLists int             `json:"complete_lists"` // whose last page was served whole; it counts to 65,535
	Writes        int             `json:"writes"`         // that could have changed it
	Skills        []SkillState    `json:"skills"`         // what a complete list shows, in its order
}

// SkillState is what a home has of one skill.
type SkillState struct {
	SkillID     string           `json:"skill_id"`
	Status      fleet.Status     `json:"status"`
	Stage       fleet.Stage      `json:"stage"`
	AccountLink fleet.LinkStatus `json:"account_link,omitempty"`
}

// HomeStates returns the true states of up to limit homes from the one at index
// from on, removed ones too, and the index to go on from, 0 at the end. A home
// that a list of is not answered has the skills that it would show.
func (s *Simulator) HomeStates(from, limit int) (states []HomeState, next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, end := s.now(), min(from+limit, s.units.len())
	for i := from; i < end; i++ {
		u := s.units.peek(i)
		h := HomeState{
			UnitID: s.units.id(u, false), Occupancy: u.occupancy(), Class: s.home(u), Skills: []SkillState{},
			ListPages: int(u.pages), CompleteLists: int(u.wholes), Writes: int(u.writes),
		}
		if place := s.units.place(u); place >= 0 {
			h.Property = propertyName(propertyOf(s.cfg, place))
		}
		for _, r := range u.records {
			r.settle(now)
			if r.present("") {
				h.Skills = append(h.Skills, SkillState{SkillID: r.skill.id, Status: r.status, Stage: r.stage, AccountLink: r.link()})
			}
		}
		states = append(states, h)
	}
	if end < s.units.len() {
		next = end
	}
	return states, next
}
