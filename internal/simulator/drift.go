package simulator

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"fleetd/internal/fleet"
)

// DriftKind is what Drift does to a home. The set is closed: five changes of one
// record, named like what an audit should call them, and five of whole homes,
// named like the actions of ChangeUnit.
type DriftKind string

// The kinds.
const (
	DriftMissing       = DriftKind(fleet.DriftMissing)       // an enabled skill is not enabled any more
	DriftUnexpected    = DriftKind(fleet.DriftUnexpected)    // a skill that was not enabled is
	DriftWrongStage    = DriftKind(fleet.DriftWrongStage)    // an enabled skill is enabled at another stage
	DriftNotLinked     = DriftKind(fleet.DriftNotLinked)     // an enabled, linked skill is not linked any more
	DriftStuckEnabling = DriftKind(fleet.DriftStuckEnabling) // an enabled skill is ENABLING until it is written to

	DriftReset  = DriftKind(ChangeReset)
	DriftRePair = DriftKind(ChangeRePair)
	DriftRemove = DriftKind(ChangeRemove)
	DriftForbid = DriftKind(ChangeForbid)
	DriftOccupy = DriftKind(ChangeOccupy)
)

// DriftKinds lists every kind.
func DriftKinds() []DriftKind {
	return []DriftKind{
		DriftMissing, DriftUnexpected, DriftWrongStage, DriftNotLinked, DriftStuckEnabling,
		DriftReset, DriftRePair, DriftRemove, DriftForbid, DriftOccupy,
	}
}

// whole reports whether k changes a whole home.
func (k DriftKind) whole() bool {
	switch k {
	case DriftReset, DriftRePair, DriftRemove, DriftForbid, DriftOccupy:
		return true
	case DriftMissing, DriftUnexpected, DriftWrongStage, DriftNotLinked, DriftStuckEnabling:
	}
	return false
}

// DriftParams is what to change where: Count homes drawn from all or from a
// Property, or the named Units.
//
// Drawn are vacant homes that can be read and written, where the kind is possible
// and which no Drift changed before, so that kinds do not lie on top of each
// other. Each home is changed in one skill.
type DriftParams struct {
	Kind     DriftKind   `json:"kind"`
	Count    int         `json:"count,omitempty"`
	Units    []string    `json:"units,omitempty"`
	Property string      `json:"property,omitempty"`
	SkillID  string      `json:"skill_id,omitempty"` // any that fits if empty; unexpected needs one
	Stage    fleet.Stage `json:"stage,omitempty"`    // that unexpected enables at, live if empty, and wrong_stage: development, or live where it was that
	Seed     *uint64     `json:"seed,omitempty"`     // of the draw; the simulator's if nil
}

// Drift is one change that Drift made. A change of a whole home is one for each
// record that it took away, or one without a skill.
type Drift struct {
	At        time.Time `json:"at"`
	Kind      DriftKind `json:"kind"`
	UnitID    string    `json:"unit_id"`
	Property  string    `json:"property,omitempty"`
	SkillID   string    `json:"skill_id,omitempty"`
	Before    Sight     `json:"before,omitzero"`
	After     Sight     `json:"after,omitzero"`
	NewUnitID string    `json:"new_unit_id,omitempty"` // of re_pair
}

// Sight is what the API shows of a skill.
type Sight struct {
	Status      fleet.Status     `json:"status"` // ABSENT where nothing is enabled
	Stage       fleet.Stage      `json:"stage,omitempty"`
	AccountLink fleet.LinkStatus `json:"account_link,omitempty"`
}

// Drift changes homes behind the client's back, as ChangeUnit does one, and
// returns every change. When there are not so many homes to change, or one that
// is named cannot be changed so, it changes none.
func (s *Simulator) Drift(p DriftParams) ([]Drift, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	units, err := s.choose(p.Units, p.Property)
	if err != nil {
		return nil, err
	}
	picks, err := s.pick(p, units)
	if err != nil {
		return nil, err
	}
	var made []Drift
	for _, pick := range picks {
		made = append(made, s.drift(p, s.units.keep(pick.unit), pick.skill)...)
	}
	s.drifts = append(s.drifts, made...)
	return made, nil
}

// Drifts returns every change that Drift made since the start or the last reset
// of the state, oldest first.
func (s *Simulator) Drifts() []Drift {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.drifts)
}

func (p DriftParams) validate() error {
	switch {
	case !slices.Contains(DriftKinds(), p.Kind):
		return fmt.Errorf("kind %q: must be one of %v", p.Kind, DriftKinds())
	case (p.Count > 0) == (len(p.Units) > 0) || p.Count < 0:
		return errors.New("count, units: say how many homes, or name them")
	case p.Kind.whole() && (p.SkillID != "" || p.Stage != ""):
		return fmt.Errorf("kind %s: is of whole homes: leave out skill_id and stage", p.Kind)
	case p.Kind == DriftUnexpected && p.SkillID == "":
		return errors.New("skill_id: is required for unexpected")
	case p.SkillID != "" && !validID(p.SkillID):
		return fmt.Errorf("skill_id %q: must be 1 to 255 characters without spaces", p.SkillID)
	case p.Stage != "" && p.Kind != DriftUnexpected && p.Kind != DriftWrongStage:
		return fmt.Errorf("kind %s: leave out stage", p.Kind)
	case p.Stage != "" && !slices.Contains(fleet.Stages(), p.Stage):
		return fmt.Errorf("stage %q: must be development, certification or live", p.Stage)
	}
	return nil
}

// pick is a home, by its index, and the skill to change on it.
type pick struct {
	unit  int
	skill *skill // nil for a whole home
}

// pick picks the homes and skills: of the homes at the indexes units, of all if
// nil.
func (s *Simulator) pick(p DriftParams, units []int) ([]pick, error) {
	seed := s.cfg.Seed
	if p.Seed != nil {
		seed = *p.Seed
	}
	salt := hash(seed, hashText(string(p.Kind)), hashText(p.SkillID))
	if p.Count > 0 {
		return s.drawHomes(p, units, salt)
	}
	picks := make([]pick, 0, len(units))
	for _, i := range units {
		u := s.units.peek(i)
		k, ok := s.pickSkill(p, u, salt)
		if !ok {
			return nil, fmt.Errorf("unit %q: nothing on it can be made %s", s.units.id(u, false), p.Kind)
		}
		picks = append(picks, pick{unit: i, skill: k})
	}
	return picks, nil
}

func (s *Simulator) drawHomes(p DriftParams, units []int, salt uint64) ([]pick, error) {
	n := s.units.len()
	if units != nil {
		n = len(units)
	}
	var picks []pick
	for i := range shuffled(n, dice{state: salt}) {
		if len(picks) == p.Count {
			break
		}
		if units != nil {
			i = units[i]
		}
		u := s.units.peek(i)
		if u.drifted || u.occupied || s.home(u) != ClassOK || s.writesForbidden(u) {
			continue
		}
		if k, ok := s.pickSkill(p, u, salt); ok {
			picks = append(picks, pick{unit: i, skill: k})
		}
	}
	if len(picks) < p.Count {
		need := "vacant ones that can be read and written and did not drift before"
		if p.Kind == DriftNotLinked {
			need += `, with a skill that links: POST /_sim/skills/{skill} {"linking":true} makes one`
		}
		return nil, fmt.Errorf("count: %d: only %d homes can be made %s: %s", p.Count, len(picks), p.Kind, need)
	}
	return picks, nil
}

// shuffled yields the numbers from 0 to n-1 in an order that the dice decide. It
// remembers only what it moved, so a few of a million cost little.
func shuffled(n int, d dice) iter.Seq[int] {
	return func(yield func(int) bool) {
		moved := map[int]int{}
		at := func(i int) int {
			if j, ok := moved[i]; ok {
				return j
			}
			return i
		}
		for i := range n {
			j := i + d.below(n-i)
			drawn := at(j)
			moved[j] = at(i)
			delete(moved, i)
			if !yield(drawn) {
				return
			}
		}
	}
}

// pickSkill picks the skill of u to change, and reports whether there is one, or
// whether a whole home can be changed so.
func (s *Simulator) pickSkill(p DriftParams, u *unit, salt uint64) (*skill, bool) {
	now := s.now()
	var fit []*skill
	for _, r := range u.records {
		r.settle(now)
		if r.present("") && p.fits(r) {
			fit = append(fit, r.skill)
		}
	}
	switch p.Kind {
	case DriftUnexpected:
		k, r := s.skill(p.SkillID), u.peek(p.SkillID)
		return k, k.exists && (r == nil || r.status == "")
	case DriftReset:
		return nil, len(fit) > 0
	case DriftRePair, DriftRemove:
		return nil, !u.removed
	case DriftForbid:
		return nil, !u.forbidden
	case DriftOccupy:
		return nil, !u.occupied
	case DriftMissing, DriftWrongStage, DriftNotLinked, DriftStuckEnabling:
	}
	if len(fit) == 0 {
		return nil, false
	}
	d := dice{state: hash(salt, u.key)}
	return fit[d.below(len(fit))], true
}

// fits reports whether the kind can happen to a record that the API shows.
func (p DriftParams) fits(r *record) bool {
	if p.Kind.whole() {
		return true
	}
	return r.status == fleet.StatusEnabled && (p.SkillID == "" || p.SkillID == r.skill.id) &&
		(p.Kind != DriftNotLinked || r.link() == fleet.Linked) && (p.Kind != DriftWrongStage || p.Stage != r.stage)
}

// drift makes one change.
func (s *Simulator) drift(p DriftParams, u *unit, k *skill) []Drift {
	now := s.now()
	made := Drift{At: s.wall(now).UTC(), Kind: p.Kind, UnitID: s.units.id(u, false)}
	if place := s.units.place(u); place >= 0 {
		made.Property = propertyName(propertyOf(s.cfg, place))
	}
	u.drifted = true
	if k == nil {
		return s.driftHome(p, u, made)
	}
	made.SkillID, made.Before = k.id, s.sight(u, k, now)
	r := u.record(k)
	switch p.Kind {
	case DriftUnexpected:
		stage := p.Stage
		setDefault(&stage, fleet.StageLive)
		r.set(stage, fleet.StatusEnabled)
	case DriftWrongStage:
		stage := p.Stage
		if setDefault(&stage, fleet.StageDevelopment); stage == r.stage {
			stage = fleet.StageLive
		}
		r.stage = stage
	case DriftNotLinked:
		r.linked = false
	case DriftStuckEnabling:
		r.status, r.held = fleet.StatusEnabling, true
	case DriftMissing, DriftReset, DriftRePair, DriftRemove, DriftForbid, DriftOccupy:
		r.clear()
	}
	made.After = s.sight(u, k, now)
	return []Drift{made}
}

// driftHome changes a whole home.
func (s *Simulator) driftHome(p DriftParams, u *unit, made Drift) []Drift {
	var gone []Drift
	if p.Kind == DriftReset || p.Kind == DriftRePair || p.Kind == DriftRemove {
		for _, r := range u.records {
			if r.present("") {
				one := made
				one.SkillID, one.Before, one.After = r.skill.id, s.sight(u, r.skill, s.now()), Sight{Status: fleet.StatusAbsent}
				gone = append(gone, one)
			}
		}
	}
	if len(gone) == 0 {
		gone = []Drift{made}
	}
	change := Change{Action: ChangeAction(p.Kind)}
	if err := s.changeHome(u, &change); err != nil { // It was seen to be possible.
		panic(fmt.Sprintf("simulator: drift %s: %v", p.Kind, err))
	}
	for i := range gone {
		gone[i].NewUnitID = change.NewUnitID
	}
	return gone
}

func (s *Simulator) sight(u *unit, k *skill, now time.Duration) Sight {
	st := s.stateOf(u, k, now)
	return Sight{Status: st.Status, Stage: st.Stage, AccountLink: st.AccountLink}
}
