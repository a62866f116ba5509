package simulator

// Class is what is to be expected of enabling a skill on a home. The set is closed.
type Class string

// The classes.
const (
	ClassOK             Class = "ok"
	ClassForbidden      Class = "forbidden"       // writes are answered 403
	ClassNotFound       Class = "not_found"       // the API does not know the home or the skill
	ClassStuck          Class = "stuck"           // ENABLING for ever
	ClassEnablingFailed Class = "enabling_failed" // ENABLING ends ENABLING_FAILED
	ClassUnknownStatus  Class = "unknown_status"  // a status that no page documents
)

// Classes lists every class.
func Classes() []Class {
	return []Class{ClassOK, ClassForbidden, ClassNotFound, ClassStuck, ClassEnablingFailed, ClassUnknownStatus}
}

// Truth says what is to be expected of enabling a skill on a home, as things
// stand: the faults, FailEvery, the home's occupancy and what ChangeUnit did.
func (s *Simulator) Truth(unitID, skillID string) Class { return s.State(unitID, skillID).Class }

func (s *Simulator) class(u *unit, k *skill) Class {
	if c := s.home(u); c == ClassNotFound || !k.exists {
		return ClassNotFound
	} else if c == ClassForbidden || s.writesForbidden(u) {
		return ClassForbidden
	}
	return s.fate(u, k)
}

// home is the fate of the whole home: not found, forbidden, or ok.
func (s *Simulator) home(u *unit) Class {
	switch {
	case u.removed:
		return ClassNotFound
	case u.forbidden:
		return ClassForbidden
	case u.allowed:
		return ClassOK
	}
	f := fraction(hash(s.cfg.Seed, u.key, 'h'))
	switch {
	case f < s.faults.NotFoundHome:
		return ClassNotFound
	case f < s.faults.NotFoundHome+s.faults.ForbiddenHome:
		return ClassForbidden
	}
	return ClassOK
}

// writesForbidden reports whether writes to the home are refused and reads are not.
func (s *Simulator) writesForbidden(u *unit) bool {
	if u.occupied && !s.cfg.OccupiedWritable {
		return true
	}
	return !u.allowed && s.cfg.FailEvery > 0 && (int(u.index)+1)%s.cfg.FailEvery == 0
}

// fate is how enabling the skill on the home goes.
func (s *Simulator) fate(u *unit, k *skill) Class {
	if u.allowed {
		return ClassOK
	}
	f, faults := fraction(hash(s.cfg.Seed, u.key, k.key)), s.faults
	switch {
	case f < faults.StuckEnabling:
		return ClassStuck
	case f < faults.StuckEnabling+faults.FailedEnabling:
		return ClassEnablingFailed
	case f < faults.StuckEnabling+faults.FailedEnabling+faults.UnknownStatus:
		return ClassUnknownStatus
	}
	return ClassOK
}
