package simulator

import (
	"slices"
	"strings"

	"fleetd/internal/fleet"
)

const (
	unitPrefix = "amzn1.alexa.unit.did."
	unitDigits = 100 // base32 digits after the prefix, as in real IDs
	headDigits = 13  // of which these hold the index
)

// unit is a home that was asked about. Others exist only as an index.
type unit struct {
	key       uint64 // stands for the home in every hash
	index     int    // in the inventory; from cfg.Units on, the extra units
	id        string // of extra units; the IDs of others are made when needed
	lists     uint32 // list pages asked for, for the dice
	removed   bool   // the API does not know it, by ChangeUnit
	forbidden bool   // 403, by ChangeUnit
	allowed   bool   // its fate does not apply, by ChangeUnit
	occupancy fleet.Occupancy
	records   []*record // sorted by skill ID
}

// directory knows every home. Unit IDs are a function of seed and index and can
// be read back, so a million homes nobody asked about cost 8 MB.
type directory struct {
	seed    uint64
	size    int
	touched []*unit          // by index, nil until asked about
	extras  map[string]*unit // by both spellings
	extra   []*unit
	fresh   func(u *unit) // gives a new unit the records it starts with
	occupy  func(index int) fleet.Occupancy
}

func newDirectory(cfg Config, fresh func(*unit)) *directory {
	d := &directory{seed: cfg.Seed, size: cfg.Units, touched: make([]*unit, cfg.Units), extras: map[string]*unit{}, fresh: fresh}
	d.occupy = func(i int) fleet.Occupancy { return occupancyAt(cfg, i) }
	for _, id := range cfg.ExtraUnits {
		d.add(id)
	}
	return d
}

// add makes an extra unit.
func (d *directory) add(id string) {
	u := &unit{key: hash(hashText(id)), index: d.size + len(d.extra), id: id, occupancy: fleet.OccupancyVacant}
	d.fresh(u)
	d.extra = append(d.extra, u)
	d.extras[id] = u
	d.extras[d.id(u, true)] = u
}

// unitID spells the ID of the home at index. Clients of the real API see the
// same home under different IDs: respelled is the other one.
func unitID(seed uint64, index int, respelled bool) string {
	k := spellingKey(seed, respelled)
	b := make([]byte, 0, len(unitPrefix)+unitDigits)
	b = append(b, unitPrefix...)
	head := mix(uint64(index) ^ k) //nolint:gosec // an index is not negative
	for range headDigits {
		b = append(b, digits[head&31])
		head >>= 5
	}
	b = appendText(b, hash(k, uint64(index)), unitDigits-headDigits) //nolint:gosec // as above
	return string(b)
}

func spellingKey(seed uint64, respelled bool) uint64 {
	if respelled {
		return hash(seed, 'r')
	}
	return hash(seed, 'u')
}

// id spells the ID of u.
func (d *directory) id(u *unit, respelled bool) string {
	switch {
	case u.index < d.size:
		return unitID(d.seed, u.index, respelled)
	case respelled:
		return string(appendText([]byte(unitPrefix), hash(d.seed, u.key), unitDigits))
	}
	return u.id
}

// find returns the home with that ID in either spelling, or nil.
func (d *directory) find(id string) *unit {
	if u := d.extras[id]; u != nil {
		return u
	}
	i, ok := d.index(id)
	if !ok {
		return nil
	}
	if d.touched[i] == nil {
		d.touched[i] = d.make(i)
	}
	return d.touched[i]
}

// index reads the index back from a generated ID.
func (d *directory) index(id string) (int, bool) {
	text, ok := strings.CutPrefix(id, unitPrefix)
	if !ok || len(text) != unitDigits {
		return 0, false
	}
	var head uint64
	for i := headDigits - 1; i >= 0; i-- {
		v := strings.IndexByte(digits, text[i])
		if v < 0 {
			return 0, false
		}
		head = head<<5 | uint64(v)
	}
	for _, respelled := range []bool{false, true} {
		i := unmix(head) ^ spellingKey(d.seed, respelled)
		if i < uint64(d.size) && unitID(d.seed, int(i), respelled) == id { //nolint:gosec // size is positive, i less than size
			return int(i), true //nolint:gosec // less than size
		}
	}
	return 0, false
}

func (d *directory) make(i int) *unit {
	u := &unit{key: hash(d.seed, uint64(i)), index: i, occupancy: d.occupy(i)} //nolint:gosec // an index is not negative
	d.fresh(u)
	return u
}

// len is the number of homes, extra ones too.
func (d *directory) len() int { return d.size + len(d.extra) }

// peek returns the home at index; one that nobody asked about is made and not kept.
func (d *directory) peek(i int) *unit {
	if i >= d.size {
		return d.extra[i-d.size]
	}
	if u := d.touched[i]; u != nil {
		return u
	}
	return d.make(i)
}

// known returns the home at index, or nil if nobody asked about it.
func (d *directory) known(i int) *unit {
	if i >= d.size {
		return d.extra[i-d.size]
	}
	return d.touched[i]
}

// record returns what u holds of a skill, making it if need be.
func (u *unit) record(skill *skill) *record {
	i, ok := u.search(skill.id)
	if !ok {
		u.records = slices.Insert(u.records, i, &record{skill: skill})
	}
	return u.records[i]
}

// peek returns what u holds of a skill, or nil.
func (u *unit) peek(skillID string) *record {
	if i, ok := u.search(skillID); ok {
		return u.records[i]
	}
	return nil
}

func (u *unit) search(skillID string) (int, bool) {
	return slices.BinarySearchFunc(u.records, skillID, func(r *record, id string) int { return strings.Compare(r.skill.id, id) })
}
