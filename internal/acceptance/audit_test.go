package acceptance_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// skillExtra is desired on the homes of one property alone.
const skillExtra = "amzn1.ask.skill.extra"

// begin begins an audit of all homes of an account and returns its ID. What the
// simulator counts is of this audit from here on.
func (w *world) begin(account string, flags ...string) string {
	w.t.Helper()
	w.sim.Reset(true)
	out := w.must(append([]string{"audit", "run", "--account", account, "-o", "json"}, flags...)...)
	var a client.Audit
	require.NoError(w.t, json.Unmarshal([]byte(out), &a))
	return a.ID
}

// audit audits all homes of an account to the end.
func (w *world) audit(account string, flags ...string) client.Audit {
	w.t.Helper()
	return w.awaitAudit(w.begin(account, flags...), time.Minute)
}

// lookAudit reads an audit and sees that its counts are sound.
func (w *world) lookAudit(id string) client.Audit {
	w.t.Helper()
	got, err := w.up().api.GetAudit(w.t.Context(), id)
	require.NoError(w.t, err)
	a := got.Value
	reasons := int64(0)
	for _, n := range a.UnknownReasons {
		reasons += n
	}
	require.Equal(w.t, a.Unknown, reasons, "every unknown home has a reason: %+v", a)
	require.LessOrEqual(w.t, a.InSync+a.Drifted+a.Unknown, a.Units)
	require.InDelta(w.t, float64(a.InSync+a.Drifted)/float64(a.Units), a.Coverage, 1e-9)
	if a.EndedAt != nil {
		require.Equal(w.t, a.Units, a.InSync+a.Drifted+a.Unknown, "every home is answered: %+v", a)
	}
	return a
}

// awaitAudit looks at an audit until it has ended.
func (w *world) awaitAudit(id string, limit time.Duration) client.Audit {
	w.t.Helper()
	return w.awaitAuditThat(id, limit, "the audit ends", func(a client.Audit) bool { return a.EndedAt != nil })
}

func (w *world) awaitAuditThat(id string, limit time.Duration, what string, holds func(client.Audit) bool) client.Audit {
	w.t.Helper()
	var a client.Audit
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("audit %s was last seen so: %+v", id, a)
		}
	})
	eventually(w.t, limit, what, func() bool {
		a = w.lookAudit(id)
		return holds(a)
	})
	return a
}

// adopt makes what was last seen in all homes what is desired.
func (w *world) adopt(account string) client.DesiredPlan {
	w.t.Helper()
	made, err := w.up().api.AdoptDesired(w.t.Context(), client.AdoptDesiredParams{}, client.DesiredAdoptRequest{Account: account, Selector: "all"})
	require.NoError(w.t, err)
	require.Zero(w.t, made.Value.NeverSeen)
	require.Zero(w.t, made.Value.UnknownSeen)
	return made.Value
}

// baseline sees every home for the first time; what is there is desired from here on.
func (w *world) baseline(account string) client.DesiredPlan {
	w.t.Helper()
	a := w.audit(account)
	require.EqualValues(w.t, fleet.AuditSucceeded, a.State)
	return w.adopt(account)
}

// drift changes homes behind fleetd's back.
func (w *world) drift(kind simulator.DriftKind, homes int, skill string) []simulator.Drift {
	w.t.Helper()
	made, err := w.sim.Drift(simulator.DriftParams{Kind: kind, Count: homes, SkillID: skill})
	require.NoError(w.t, err)
	return made
}

// findings lists the open findings of an account that are not ignored.
func (w *world) findings(account string) []client.Drift {
	w.t.Helper()
	var all []client.Drift
	limit := int64(500)
	params := client.ListDriftParams{Account: &account, Limit: &limit}
	for {
		page, err := w.up().api.ListDrift(w.t.Context(), params)
		require.NoError(w.t, err)
		all = append(all, page.Value.Items...)
		if page.Value.NextCursor == "" {
			return all
		}
		params.Cursor = &page.Value.NextCursor
	}
}

// audited lists what an audit said of its homes.
func (w *world) audited(id string) []client.AuditedUnit {
	w.t.Helper()
	var all []client.AuditedUnit
	limit := int64(500)
	params := client.ListAuditUnitsParams{Limit: &limit}
	for {
		page, err := w.up().api.ListAuditUnits(w.t.Context(), id, params)
		require.NoError(w.t, err)
		all = append(all, page.Value.Items...)
		if page.Value.NextCursor == "" {
			return all
		}
		params.Cursor = &page.Value.NextCursor
	}
}

// TestAuditFindsDrift: what others changed is found once, named and explained, at
// the price of reading every home once.
func TestAuditFindsDrift(t *testing.T) {
	t.Parallel()
	const skills, each = 27, 8 // three pages
	homes := size(60, 400)
	w := newWorld(t, simulator.Config{Units: homes, SkillsPerUnit: skills, LinkingSkills: []string{simulator.BaseSkillID(3)}, Seed: 81})
	extra, err := w.sim.Enable(simulator.EnableParams{Skills: []string{skillExtra}, Property: w.sim.Home(0).Property})
	require.NoError(t, err)
	w.serve()
	w.settle("200", "--link-mode", "delegated")

	first := w.audit("acme")
	require.EqualValues(t, homes, first.InSync, "nothing is desired, so nothing can differ")
	require.EqualValues(t, skills*homes+extra, first.Unmanaged)
	require.Empty(t, w.findings("acme"))
	require.Zero(t, w.ctl("drift", "list", "--exit-code").code)
	require.EqualValues(t, skills*homes+extra, w.adopt("acme").Counts.Enable)

	var made []simulator.Drift
	for _, kind := range fleet.DriftKinds() {
		skill := ""
		if kind == fleet.DriftUnexpected {
			skill = skillExtra
		}
		made = append(made, w.drift(simulator.DriftKind(kind), each, skill)...)
	}
	require.Len(t, made, 5*each)

	second := w.audit("acme")
	w.requireSight(second, true)
	require.EqualValues(t, fleet.AuditSucceeded, second.State)
	require.EqualValues(t, len(made), second.Drifted)
	require.EqualValues(t, len(made), second.Drift.Opened)
	require.Zero(t, second.Drift.Resolved)
	require.Zero(t, second.Unmanaged, "no noise")
	w.requireCost(second, (skills+9)/10)

	found := w.findings("acme")
	require.Len(t, found, len(made), "exactly those that were changed")
	w.requireNamed(found, made)
	for _, f := range found {
		require.EqualValues(t, fleet.CauseChangedOutside, f.Cause, "%+v", f)
		require.NotEmpty(t, f.CauseDetail)
	}
	require.Equal(t, 3, w.ctl("drift", "list", "--exit-code").code)

	third := w.audit("acme")
	require.EqualValues(t, len(made), third.Drifted)
	require.Zero(t, third.Drift, "findings persist: %+v", third.Drift)
	w.requireCost(third, (skills+9)/10)
	require.Equal(t, found, w.findings("acme"), "the same findings, not new ones")

	// What nothing manages is counted and no drift; what is protected is neither.
	_, err = w.sim.Enable(simulator.EnableParams{
		Skills: []string{"amzn1.ask.skill.stranger", fleet.ProtectedSkills()[0]}, Units: []string{w.sim.UnitID(0), w.sim.UnitID(1)},
	})
	require.NoError(t, err)
	fourth := w.audit("acme")
	require.EqualValues(t, 2, fourth.Unmanaged)
	require.Zero(t, fourth.Drift)
	require.Equal(t, found, w.findings("acme"))
}

// requireCost sees that an audit that met no faults read each home once, and wrote
// nothing.
func (w *world) requireCost(a client.Audit, pages int) {
	w.t.Helper()
	stats := w.sim.Stats()
	require.Zero(w.t, stats.Writes, "an audit never writes")
	require.EqualValues(w.t, a.Units, stats.ListedHomes)
	require.Equal(w.t, pages, stats.MaxListPages, "of any one home")
	require.EqualValues(w.t, stats.ListPages, a.Pages)
	require.EqualValues(w.t, stats.Requests, a.Requests)
	require.LessOrEqual(w.t, a.Requests, a.Units*int64(pages))
}

// requireNamed sees that findings are the changes that were made, of one record
// each, and that each says when it was well last and seen wrong first.
func (w *world) requireNamed(found []client.Drift, made []simulator.Drift) {
	w.t.Helper()
	byPair := map[[2]string]client.Drift{}
	for _, f := range found {
		byPair[[2]string{f.UnitID, f.SkillID}] = f
	}
	require.Len(w.t, byPair, len(found), "a pair has one open finding at most")
	for _, m := range made {
		f, ok := byPair[[2]string{m.UnitID, m.SkillID}]
		require.True(w.t, ok, "not found: %+v", m)
		require.EqualValues(w.t, m.Kind, f.Kind, "%+v %+v", m, f)
		require.Equal(w.t, m.Property, f.Property)
		require.EqualValues(w.t, m.After.Status, f.Observed.Status, "%+v %+v", m, f)
		require.NotNil(w.t, f.LastGoodAt, "%+v", f)
		require.True(w.t, f.LastGoodAt.Before(m.At) && f.FirstSeenAt.After(m.At), "changed at %s: %+v", m.At, f)
	}
}
