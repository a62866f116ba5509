package acceptance_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// slotLayout is how a slot says its wall-clock time.
const slotLayout = "2006-01-02T15:04"

// importProperty imports the homes of one property.
func (w *world) importProperty(account, property string) {
	w.t.Helper()
	var homes bytes.Buffer
	require.NoError(w.t, w.sim.WriteInventory(&homes))
	var kept []string
	for i, line := range strings.Split(homes.String(), "\n") {
		if i == 0 || strings.Contains(line, ","+property+",") {
			kept = append(kept, line)
		}
	}
	w.must("unit", "import", w.file(property+".csv", strings.Join(kept, "\n")+"\n"), "--account", account)
}

// slots lists the audits of an account that its schedule began, by slot, oldest
// first; every slot is there once.
func (w *world) slots(account string) []client.Audit {
	w.t.Helper()
	limit := int64(100)
	got, err := w.up().api.ListAudits(w.t.Context(), client.ListAuditsParams{Account: &account, Limit: &limit})
	require.NoError(w.t, err)
	var slots []client.Audit
	seen := map[string]bool{}
	for _, a := range got.Value.Items {
		if a.Slot != nil {
			require.False(w.t, seen[a.Slot.Time], "slot %s of %s ran twice", a.Slot.Time, account)
			seen[a.Slot.Time] = true
			slots = append([]client.Audit{a}, slots...)
		}
	}
	return slots
}

// TestScheduledAudits: two processes, two accounts that are audited every minute. Each
// slot runs once; what is found in one account is repaired by itself, and what is
// found in the other is too much for that.
func TestScheduledAudits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: size(60, 400), Properties: 2, SkillsPerUnit: 5, Seed: 85})
	few, many := w.sim.Home(0).Property, w.sim.Home(w.sim.Units()-1).Property
	require.NotEqual(t, few, many)
	first := w.serve()
	w.serve()
	for account, property := range map[string]string{"few": few, "many": many} {
		w.account(account, defaultClient, "--rate", "200")
		w.importProperty(account, property)
		w.baseline(account)
	}
	// What nobody ever wanted in a home of its own accord is for a person to judge.
	drift := func(p simulator.DriftParams) []simulator.Drift {
		made, err := w.sim.Drift(p)
		require.NoError(t, err)
		return made
	}
	drift(simulator.DriftParams{Kind: simulator.DriftMissing, Property: few, Count: 4, SkillID: simulator.BaseSkillID(1)})
	drift(simulator.DriftParams{Kind: simulator.DriftWrongStage, Property: few, Count: 2, SkillID: simulator.BaseSkillID(2)})
	left := drift(simulator.DriftParams{Kind: simulator.DriftMissing, Property: many, Count: 4, SkillID: simulator.BaseSkillID(1)})
	began := time.Now()
	for account, ceiling := range map[string]string{"few": "6", "many": "3"} {
		w.must("audit", "schedule", "set", "--account", account, "--cron", "* * * * *", "--timezone", "America/New_York", "--repair", "--repair-ceiling", ceiling)
	}
	w.sim.Reset(true)

	repaired := func(a client.Audit) bool {
		return strings.HasPrefix(a.StateReason, "repair of 6 of 6 findings by 2 rollouts")
	}
	eventually(t, 2*time.Minute, "the slot of the next minute runs, and its repair is made", func() bool {
		slots := w.slots("few")
		return len(slots) > 0 && repaired(slots[0])
	})
	eventually(t, time.Minute, "the other account's too, and nothing is repaired", func() bool {
		slots := w.slots("many")
		return len(slots) > 0 && strings.Contains(slots[0].StateReason, "more findings than the ceiling of 3")
	})
	if full {
		w.runsOn(first)
	}
	for _, account := range []string{"few", "many"} {
		w.must("audit", "schedule", "set", "--account", account, "--off")
		w.inOrder(account, began)
	}
	eventually(t, time.Minute, "all that was begun has ended", func() bool {
		yes := true
		audits, err := w.up().api.ListAudits(t.Context(), client.ListAuditsParams{Active: &yes})
		require.NoError(t, err)
		rollouts, err := w.up().api.ListRollouts(t.Context(), client.ListRolloutsParams{Active: &yes})
		require.NoError(t, err)
		return len(audits.Value.Items)+len(rollouts.Value.Items) == 0
	})

	rollouts, err := w.up().api.ListRollouts(t.Context(), client.ListRolloutsParams{})
	require.NoError(t, err)
	require.Len(t, rollouts.Value.Items, 2, "one for each action and skill, once")
	for _, r := range rollouts.Value.Items {
		require.Equal(t, "few", r.Account)
		require.EqualValues(t, fleet.OriginRepair, r.Origin)
		require.EqualValues(t, fleet.RolloutSucceeded, r.State)
	}
	require.Zero(t, w.audit("few").Drifted, "clean")
	require.Empty(t, w.findings("few"))
	require.Len(t, w.findings("many"), len(left))
	truth := w.homeStates()
	for _, d := range left {
		require.Len(t, truth[d.UnitID].Skills, 4, "nothing was written where it was too much")
	}
}

// inOrder sees that the slots of an account are of whole minutes, one after the other,
// each begun soon after it came.
func (w *world) inOrder(account string, since time.Time) {
	w.t.Helper()
	zone, err := time.LoadLocation("America/New_York")
	require.NoError(w.t, err)
	last := time.Time{}
	for _, a := range w.slots(account) {
		require.Equal(w.t, "schedule", a.CreatedBy)
		require.Equal(w.t, zone.String(), a.Slot.Timezone)
		at, err := time.ParseInLocation(slotLayout, a.Slot.Time, zone)
		require.NoError(w.t, err)
		require.True(w.t, at.After(since), "slot %s was before the schedule", a.Slot.Time)
		require.WithinRange(w.t, a.CreatedAt, at, at.Add(time.Minute), "slot %s", a.Slot.Time)
		require.True(w.t, at.After(last))
		last = at
	}
}

// runsOn waits for more slots, with one of the processes killed, and then across a
// minute in which none runs.
func (w *world) runsOn(victim *fleetd) {
	w.t.Helper()
	n := len(w.slots("few"))
	victim.kill()
	eventually(w.t, 150*time.Second, "two more slots ran in one process", func() bool { return len(w.slots("few")) >= n+2 })
	w.up().kill()
	away := time.NewTimer(130 * time.Second)
	defer away.Stop()
	<-away.C
	w.serve()
	w.serve()
	n = len(w.slots("few"))
	eventually(w.t, 150*time.Second, "the latest slot that was missed is caught up, and the next one runs", func() bool {
		return len(w.slots("few")) >= n+2
	})
	slots := w.slots("few")
	var gaps int
	for i := 1; i < len(slots); i++ {
		a, err := time.Parse(slotLayout, slots[i-1].Slot.Time)
		require.NoError(w.t, err)
		b, err := time.Parse(slotLayout, slots[i].Slot.Time)
		require.NoError(w.t, err)
		if b.Sub(a) > time.Minute {
			gaps++
		}
	}
	require.Equal(w.t, 1, gaps, "one absence, and of the slots in it only the latest is caught up")
}
