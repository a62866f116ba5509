package acceptance_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// TestAuditMetrics scrapes two fleetds, and one that was started anew, after audits
// that found drift, that could not see all homes, and that found it repaired.
func TestAuditMetrics(t *testing.T) {
	t.Parallel()
	const homes = 40
	w := newWorld(t, simulator.Config{Units: homes, SkillsPerUnit: 3, Seed: 86})
	first := w.serve()
	second := w.serve()
	w.settle("200")
	for name := range audited {
		require.NotContains(t, w.raw(first, "GET", "/metrics", ""), "\n"+name+"{", "an account that was never audited has no coverage, not one of zero")
	}
	require.Equal(t, map[string]float64{"missing": 0, "unexpected": 0, "wrong_stage": 0, "not_linked": 0, "stuck_enabling": 0},
		w.driftMetrics(first), "at zero, so that it can be alerted on")

	w.baseline("acme")
	w.drift(simulator.DriftMissing, 4, "")
	w.drift(simulator.DriftWrongStage, 3, "")
	a := w.audit("acme")
	success := float64(a.EndedAt.UnixMilli()) / 1000
	w.drift(simulator.DriftForbid, 2, "")
	blind := w.audit("acme")
	require.EqualValues(t, fleet.AuditCompletedWithUnknown, blind.State)

	check := func(f *fleetd) {
		t.Helper()
		sums := w.scrape(t, f, a.ID, audited)
		require.InDelta(t, homes, sums["fleet_audit_units"], 0)
		text := w.raw(f, "GET", "/metrics", "")
		for line, want := range map[string]int64{
			`fleet_audit_units{account="acme",result="in_sync"}`: blind.InSync,
			`fleet_audit_units{account="acme",result="drifted"}`: 7,
			`fleet_audit_units{account="acme",result="unknown"}`: 2,
		} {
			require.Contains(t, text, fmt.Sprintf("\n%s %d\n", line, want))
		}
		require.Contains(t, text, fmt.Sprintf("\nfleet_audit_coverage_ratio{account=\"acme\"} %g\n", blind.Coverage))
		require.InDelta(t, success, sums["fleet_audit_last_success_timestamp_seconds"], 1e-3, "of the last that saw every home")
		require.Equal(t, map[string]float64{"missing": 4, "unexpected": 0, "wrong_stage": 3, "not_linked": 0, "stuck_enabling": 0}, w.driftMetrics(f))
	}
	check(second)
	check(first)
	both := w.raw(first, "GET", "/metrics", "") + w.raw(second, "GET", "/metrics", "")
	require.Contains(t, both, `fleet_budget_wait_seconds_count{account="acme",class="audit"}`, "audits have a class of their own")

	// What is ignored is not counted, until its time is over.
	w.must("drift", "ignore", "--account", "acme", "--kind", "missing", "--until", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "--reason", "renovation", "--yes")
	require.Zero(t, w.driftMetrics(first)["missing"])
	w.must("drift", "repair", "--account", "acme", "--kind", "wrong_stage", "--max-failures", "100%", "--yes", "--watch")
	require.Zero(t, w.driftMetrics(second)["wrong_stage"])

	// The database keeps them.
	before := w.auditMetrics(first)
	require.Len(t, before, 5)
	require.Zero(t, first.stop(t))
	require.Zero(t, second.stop(t))
	require.Equal(t, before, w.auditMetrics(w.serve()))
}

var driftMetric = regexp.MustCompile(`(?m)^fleet_drift\{account="acme",kind="(\w+)"\} (\S+)$`)

// driftMetrics are the open findings by kind, as a scrape shows them.
func (w *world) driftMetrics(f *fleetd) map[string]float64 {
	w.t.Helper()
	kinds := map[string]float64{}
	for _, m := range driftMetric.FindAllStringSubmatch(w.raw(f, "GET", "/metrics", ""), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		require.NoError(w.t, err)
		kinds[m[1]] = n
	}
	return kinds
}

var auditMetric = regexp.MustCompile(`(?m)^fleet_audit_.*$`)

func (w *world) auditMetrics(f *fleetd) []string {
	w.t.Helper()
	return auditMetric.FindAllString(w.raw(f, "GET", "/metrics", ""), -1)
}
