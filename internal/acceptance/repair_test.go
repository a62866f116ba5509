package acceptance_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// repair puts right what the filters pick, as rollouts that are watched to their end.
func (w *world) repair(filters ...string) result {
	w.t.Helper()
	r := w.ctl(append([]string{"drift", "repair", "--account", "acme", "--yes", "--watch", "--timeout", "2m", "--max-failures", "100%"}, filters...)...)
	require.Zero(w.t, r.code, "%s%s", r.stdout, r.stderr)
	return r
}

// TestRepair puts drift of every kind right, also in homes that were reset, leaves
// alone what nobody may write to, and ends with a clean audit.
func TestRepair(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"delegated", "codes"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			homes, each := size(60, 400), size(3, 8)
			skills := size(5, 27)
			w := newWorld(t, simulator.Config{
				Units: homes, Occupied: homes / 20, SkillsPerUnit: skills,
				LinkingSkills: []string{simulator.BaseSkillID(3)}, DelegatedLinking: mode == "delegated", Seed: 83,
			})
			_, err := w.sim.Enable(simulator.EnableParams{Skills: []string{skillExtra}, Property: w.sim.Home(0).Property})
			require.NoError(t, err)
			w.serve()
			flags := []string{"--link-mode", mode}
			if mode == "codes" {
				flags = append(flags, "--code-url", w.simURL+"/_sim/codes", "--redirect-uri", "https://example.com/linked")
			}
			w.settle("200", flags...)
			w.baseline("acme")

			// Of each kind some homes, a home that lost all, and what residents did in theirs.
			made := w.drift(simulator.DriftMissing, each, simulator.BaseSkillID(1))
			forbidden := made[0].UnitID
			made = append(made, w.drift(simulator.DriftUnexpected, each, skillExtra)...)
			made = append(made, w.drift(simulator.DriftWrongStage, each, simulator.BaseSkillID(2))...)
			made = append(made, w.drift(simulator.DriftNotLinked, each, simulator.BaseSkillID(3))...)
			made = append(made, w.drift(simulator.DriftStuckEnabling, each, simulator.BaseSkillID(4))...)
			reset := w.drift(simulator.DriftReset, 1, "")
			occupied := w.occupiedHomes()
			theirs, err := w.sim.Drift(simulator.DriftParams{Kind: simulator.DriftMissing, Units: occupied, SkillID: simulator.BaseSkillID(1)})
			require.NoError(t, err)
			all := len(made) + len(reset) + len(theirs)

			a := w.audit("acme")
			w.requireSight(a, true)
			require.EqualValues(t, all, a.Drift.Opened)
			causes := map[string]int{}
			for _, f := range w.findings("acme") {
				causes[f.Cause]++
			}
			require.Equal(t, map[string]int{"changed_outside": len(made), "unit_reset": len(reset), "occupied": len(theirs)}, causes)

			// One of the homes cannot be seen any more: what was found in it is left as it is.
			require.NoError(t, w.sim.ChangeUnit(forbidden, simulator.Change{Action: simulator.ChangeForbid}))
			a = w.audit("acme")
			require.EqualValues(t, 1, a.Unknown)
			require.Zero(t, a.Drift)
			require.Len(t, w.findings("acme"), all)
			w.sim.Reset(true)
			planned := w.must("drift", "repair", "--account", "acme", "--dry-run")
			require.Regexp(t, `(?m)left alone: \d+ occupied, 1 unit_unknown\.$`, planned)
			require.Zero(t, w.sim.Stats().Requests, "a plan sends nothing")
			said := w.repair()
			require.Regexp(t, `left alone: \d+ occupied, 1 unit_unknown\.`, said.stderr)
			truth := w.homeStates()
			for _, unit := range append(occupied, forbidden) {
				require.Zero(t, truth[unit].Writes, unit)
			}
			stats := w.sim.Stats()
			require.Equal(t, 1, stats.MaxWrites)
			require.EqualValues(t, len(made)-1+len(reset), stats.Writes, "one write for each finding")
			require.Len(t, w.findings("acme"), len(theirs)+1, "what was repaired is resolved without an audit")

			// It can be seen again, and is repaired; the residents keep what they have.
			require.NoError(t, w.sim.ChangeUnit(forbidden, simulator.Change{Action: simulator.ChangeAllow}))
			a = w.audit("acme")
			w.requireSight(a, true)
			require.EqualValues(t, 1+len(theirs), a.Drifted)
			require.Zero(t, a.Drift.Opened)
			w.repair("--unit", forbidden)
			a = w.audit("acme")
			w.requireSight(a, true)
			require.EqualValues(t, len(theirs), a.Drifted)
			for _, f := range w.findings("acme") {
				require.EqualValues(t, fleet.CauseOccupied, f.Cause)
			}
			require.Equal(t, 3, w.ctl("drift", "list", "--exit-code").code)

			// They move out.
			for _, unit := range occupied {
				require.NoError(t, w.sim.ChangeUnit(unit, simulator.Change{Action: simulator.ChangeVacate}))
			}
			w.importHomes("acme")
			w.repair()
			a = w.audit("acme", "--reason", "is all well?")
			w.requireSight(a, true)
			require.EqualValues(t, fleet.AuditSucceeded, a.State)
			require.EqualValues(t, homes, a.InSync, "clean")
			require.Empty(t, w.findings("acme"))
			require.Zero(t, w.ctl("drift", "list", "--exit-code").code)
			if mode == "codes" {
				stats := w.sim.Stats()
				require.Zero(t, stats.CodesReused)
				require.Zero(t, stats.CodesRefused)
			}
		})
	}
}

// occupiedHomes are the homes with residents.
func (w *world) occupiedHomes() []string {
	var homes []string
	for i := range w.sim.Units() {
		if home := w.sim.Home(i); home.Occupancy != fleet.OccupancyVacant {
			homes = append(homes, home.UnitID)
		}
	}
	return homes
}
