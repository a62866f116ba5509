package drift

import (
	"slices"

	"fleetd/internal/fleet"
)

// Action is what a repair of a finding does, and at which stage: what is desired
// is enabled at the desired stage, and what is unexpected is disabled at the stage
// it was observed at. ok is false where nothing can be done: the stage is not one
// the API would take, or the kind does not go with what is desired.
func Action(kind fleet.DriftKind, desired *fleet.Desired, observedStage fleet.Stage) (action fleet.Action, stage fleet.Stage, ok bool) {
	wanted := desired != nil && desired.Enabled
	switch kind {
	case fleet.DriftMissing, fleet.DriftWrongStage, fleet.DriftNotLinked, fleet.DriftStuckEnabling:
		if wanted && slices.Contains(fleet.Stages(), desired.Stage) {
			return fleet.ActionEnable, desired.Stage, true
		}
	case fleet.DriftUnexpected:
		if !wanted && slices.Contains(fleet.Stages(), observedStage) {
			return fleet.ActionDisable, observedStage, true
		}
	}
	return "", "", false
}
