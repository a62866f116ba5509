// Package residential is the typed client of the Skill Management API for
// residential units (api/residential-skill-management.txt): read, list, enable
// and disable a skill on a unit.
//
// It stands on remote, whose transport holds the budget, the tokens and the
// gate. What it adds is what the answers mean: statuses are kept as they came, a
// 404 to a read is an observation (StatusAbsent) and not a failure, a list is
// walked to its end or fails, and an answer belongs to the unit that was asked
// for, whatever unit ID it echoes (the same unit has other IDs for other
// clients).
package residential
