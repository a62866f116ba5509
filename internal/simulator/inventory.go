package simulator

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"fleetd/internal/fleet"
)

// Home is one line of the inventory.
type Home struct {
	UnitID    string
	Property  string
	Name      string
	Occupancy fleet.Occupancy
	Labels    string // key=value;key=value
}

// Units is how many homes the inventory has.
func (s *Simulator) Units() int { return s.cfg.Units }

// UnitID is the ID that the home at an index from 0 to Units()-1 starts with.
func (s *Simulator) UnitID(index int) string { return unitID(s.cfg.Seed, index, false) }

// Home returns the line of the home at an index from 0 to Units()-1.
func (s *Simulator) Home(index int) Home {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.homeAt(index)
}

const (
	homesPerFloor    = 12
	floorsPerTower   = 8
	homesPerBuilding = homesPerFloor * floorsPerTower
)

func (s *Simulator) homeAt(index int) Home {
	property := propertyOf(s.cfg, index)
	nth := index - firstOf(s.cfg, property)
	building, floor := nth/homesPerBuilding, nth%homesPerBuilding/homesPerFloor+1
	name := buildingName(building)
	h := Home{
		UnitID: s.UnitID(index), Property: propertyName(property),
		Name:      fmt.Sprintf("%s-%d%02d", name, floor, nth%homesPerFloor+1),
		Occupancy: occupancyAt(s.cfg, index),
		Labels:    "floor=" + strconv.Itoa(floor) + ";building=" + name,
	}
	if u := s.units.at(index); u != nil {
		h.UnitID, h.Occupancy = s.units.id(u, false), u.occupancy()
	}
	return h
}

// propertyOf spreads homes over properties in runs of equal length.
func propertyOf(cfg Config, index int) int { return index * cfg.Properties / cfg.Units }

func firstOf(cfg Config, property int) int {
	return (property*cfg.Units + cfg.Properties - 1) / cfg.Properties
}

func occupancyAt(cfg Config, index int) fleet.Occupancy {
	before, after := index*cfg.Occupied/cfg.Units, (index+1)*cfg.Occupied/cfg.Units
	switch {
	case before == after:
		return fleet.OccupancyVacant
	case after%3 == 0:
		return fleet.OccupancyLinked
	}
	return fleet.OccupancyOccupied
}

var (
	trees  = []string{"maple", "birch", "cedar", "willow", "aspen", "linden", "juniper", "alder", "hazel", "rowan", "laurel", "cypress"}
	places = []string{"court", "house", "park", "terrace", "gardens", "heights", "row", "square", "commons", "yard", "view"}
)

// propertyName names properties maple-court, birch-house and so on; the lists
// have no common divisor, so 132 are different before numbers are added.
func propertyName(property int) string {
	name := trees[property%len(trees)] + "-" + places[property%len(places)]
	if round := property / (len(trees) * len(places)); round > 0 {
		name += "-" + strconv.Itoa(round+1)
	}
	return name
}

// buildingName counts a to z, then aa, ab and so on.
func buildingName(building int) string {
	name := ""
	for building++; building > 0; building = (building - 1) / 26 {
		name = string(rune('a'+(building-1)%26)) + name
	}
	return name
}

// WriteInventory writes the inventory as fleetctl unit import reads it, with
// the occupancies and the unit IDs of now.
func (s *Simulator) WriteInventory(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"unit_id", "property", "name", "occupancy", "labels"}); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	const chunk = 500
	for from := 0; from < s.cfg.Units; from += chunk {
		for _, h := range s.homes(from, min(from+chunk, s.cfg.Units)) {
			if err := out.Write([]string{h.UnitID, h.Property, h.Name, string(h.Occupancy), h.Labels}); err != nil {
				return fmt.Errorf("write inventory: %w", err)
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}

func (s *Simulator) homes(from, to int) []Home {
	s.mu.Lock()
	defer s.mu.Unlock()
	homes := make([]Home, 0, to-from)
	for i := from; i < to; i++ {
		homes = append(homes, s.homeAt(i))
	}
	return homes
}
