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

// unit is a home that was asked about. Others exist only as an index. There may
// be a million: its fields are in an order that makes it 64 bytes.
type unit struct {
	key       uint64    // stands for the home in every hash
	records   []*record // sorted by skill ID
	template  *template // whose records these are, until one becomes the home's own
	index     int32     // in the inventory; from cfg.Units on, the extra units
	lists     uint32    // list pages asked for, for the dice
	pages     uint32    // list pages answered 200
	writes    uint32    // that could have changed it
	wholes    uint16    // lists served to their last page; it stays at the most it can be
	occupied  bool
	linked    bool // occupied, and the resident linked an account
	removed   bool // the API does not know it, by ChangeUnit
	forbidden bool // 403, by ChangeUnit
	allowed   bool // its fate does not apply, by ChangeUnit
	drifted   bool // by Drift
}

func (u *unit) occupancy() fleet.Occupancy {
	switch {
	case u.linked:
		return fleet.OccupancyLinked
	case u.occupied:
		return fleet.OccupancyOccupied
	}
	return fleet.OccupancyVacant
}

func (u *unit) occupy(o fleet.Occupancy) {
	u.occupied, u.linked = o != fleet.OccupancyVacant, o == fleet.OccupancyLinked
}

// template is what many homes hold alike, so that they share the memory. A record
// of it is never changed: unit.record copies it first.
type template struct{ records []*record }

// directory knows every home. Unit IDs are a function of seed and index and can
// be read back, so a million homes nobody asked about cost 8 MB.
type directory struct {
	cfg      Config
	seed     uint64
	size     int
	touched  []*unit          // by index, nil until asked about
	extras   map[string]*unit // by both spellings
	extra    []extra
	moved    map[int]*unit // by index: the home that a home was paired anew as
	template *template     // of homes nobody asked about
}

// extra is a home that is not one of the generated ones.
type extra struct {
	unit  *unit
	id    string
	place int // the index whose place in the inventory it took, -1 for none
}

func newDirectory(cfg Config, base *template) *directory {
	d := &directory{
		cfg: cfg, seed: cfg.Seed, size: cfg.Units, touched: make([]*unit, cfg.Units),
		extras: map[string]*unit{}, moved: map[int]*unit{}, template: base,
	}
	for _, id := range cfg.ExtraUnits {
		d.add(id, base)
	}
	return d
}

// add makes an extra unit that holds what t says.
func (d *directory) add(id string, t *template) *unit {
	u := &unit{key: hash(hashText(id)), index: int32(d.size + len(d.extra))} //nolint:gosec // both are far from 2^31
	u.hold(t)
	d.extra = append(d.extra, extra{unit: u, id: id, place: -1})
	d.extras[id] = u
	d.extras[d.id(u, true)] = u
	return u
}

// place is the index in the inventory where u is, -1 for none.
func (d *directory) place(u *unit) int {
	if i := int(u.index); i >= d.size {
		return d.extra[i-d.size].place
	}
	return int(u.index)
}

// replace puts u in the place of another home.
func (d *directory) replace(old, u *unit) {
	if place := d.place(old); place >= 0 {
		d.extra[int(u.index)-d.size].place = place
		d.moved[place] = u
	}
}

// at returns the home that the inventory has at index, or nil if nobody asked about it.
func (d *directory) at(index int) *unit {
	if u := d.moved[index]; u != nil {
		return u
	}
	return d.touched[index]
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
	i := int(u.index)
	switch {
	case i < d.size:
		return unitID(d.seed, i, respelled)
	case respelled:
		return string(appendText([]byte(unitPrefix), hash(d.seed, u.key), unitDigits))
	}
	return d.extra[i-d.size].id
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
	return d.keep(i)
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
	u := &unit{key: hash(d.seed, uint64(i)), index: int32(i)} //nolint:gosec // an index is from 0 to maxUnits
	u.occupy(occupancyAt(d.cfg, i))
	u.hold(d.template)
	return u
}

// len is the number of homes, extra ones too.
func (d *directory) len() int { return d.size + len(d.extra) }

// peek returns the home at index; one that nobody asked about is made and not kept.
func (d *directory) peek(i int) *unit {
	if i >= d.size {
		return d.extra[i-d.size].unit
	}
	if u := d.touched[i]; u != nil {
		return u
	}
	return d.make(i)
}

// known returns the home at index, or nil if nobody asked about it.
func (d *directory) known(i int) *unit {
	if i >= d.size {
		return d.extra[i-d.size].unit
	}
	return d.touched[i]
}

// keep returns the home at index, made and kept if nobody asked about it.
func (d *directory) keep(i int) *unit {
	u := d.peek(i)
	if i < d.size {
		d.touched[i] = u
	}
	return u
}

// hold makes u hold what t says.
func (u *unit) hold(t *template) { u.template, u.records = t, t.records }

// record returns what u holds of a skill, to be changed, making it if need be.
func (u *unit) record(skill *skill) *record {
	i, ok := u.search(skill.id)
	if ok && !u.records[i].shared {
		return u.records[i]
	}
	if u.template != nil {
		u.template, u.records = nil, slices.Clone(u.records)
	}
	if !ok {
		u.records = slices.Insert(u.records, i, &record{skill: skill})
		return u.records[i]
	}
	own := *u.records[i]
	own.shared = false
	u.records[i] = &own
	return &own
}

// clear takes every enablement from u.
func (u *unit) clear() {
	if u.template != nil {
		u.template, u.records = nil, nil
		return
	}
	u.records = slices.DeleteFunc(u.records, func(r *record) bool { return r.shared })
	for _, r := range u.records {
		r.clear()
	}
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
