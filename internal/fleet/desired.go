package fleet

import (
	"slices"
	"strings"
)

// DesiredState is what a skill should be on a unit, in the word that people write:
// the stage it is enabled at, or StateDisabled. The set is closed.
type DesiredState string

// StateDisabled says that the skill should not be enabled at any stage.
const StateDisabled DesiredState = "disabled"

// DesiredStates lists every desired state.
func DesiredStates() []DesiredState {
	states := make([]DesiredState, 0, len(Stages())+1)
	for _, s := range Stages() {
		states = append(states, DesiredState(s))
	}
	return append(states, StateDisabled)
}

// Valid reports whether s is one of DesiredStates.
func (s DesiredState) Valid() bool { return slices.Contains(DesiredStates(), s) }

// Stage is the stage of s as the database keeps it: empty when disabled.
func (s DesiredState) Stage() Stage {
	if s == StateDisabled {
		return ""
	}
	return Stage(s)
}

// DesiredStateOf is the desired state whose Stage is stage.
func DesiredStateOf(stage Stage) DesiredState {
	if stage == "" {
		return StateDisabled
	}
	return DesiredState(stage)
}

// MaxSkillIDBytes is the longest skill ID there is.
const MaxSkillIDBytes = 255

// ValidSkillID reports whether s can be a skill ID: 1 to 255 printable ASCII
// characters without spaces.
func ValidSkillID(s string) bool {
	return len(s) >= 1 && len(s) <= MaxSkillIDBytes && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
