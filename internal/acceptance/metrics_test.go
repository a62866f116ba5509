package acceptance_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"fleetd/internal/simulator"
)

// labels are the metrics of the contract that this much of fleetd can fill, and
// the labels that each has.
var labels = map[string][]string{
	"fleet_api_requests_total":           {"account", "api", "code", "operation"},
	"fleet_api_request_duration_seconds": {"api", "operation"},
	"fleet_api_throttled_total":          {"account", "api"},
	"fleet_budget_rate":                  {"account"},
	"fleet_budget_wait_seconds":          {"account", "class"},
	"fleet_targets_total":                {"account", "action", "reason", "state"},
	"fleet_rollouts":                     {"state"},
	"fleet_rollout_targets":              {"account", "state"},
	"fleet_queue_jobs":                   {"queue", "state"},
	"fleet_drift":                        {"account", "kind"},
	"fleet_token_refreshes_total":        {"account", "result"},
}

// audited are those that come with the first audit.
var audited = map[string][]string{
	"fleet_audit_units":                          {"account", "result"},
	"fleet_audit_coverage_ratio":                 {"account"},
	"fleet_audit_last_success_timestamp_seconds": {"account"},
}

// TestMetrics scrapes fleetd in the middle of its work, and after a restart.
func TestMetrics(t *testing.T) {
	t.Parallel()
	cfg := simulator.Config{Units: 80, RPS: 30, FailEvery: 10, Latency: 50 * time.Millisecond, Seed: 71}
	w := newWorld(t, cfg)
	f := w.serve()
	w.settle("60")
	id := w.create("enable", "acme", skillMain, "--max-failures", "100%")
	w.awaitState(id, time.Minute, "running")
	eventually(t, time.Minute, "the limit was met and some targets ended", func() bool {
		return w.sim.Stats().Refused > 0 && ended(w.look(id)) > 10
	})
	sums := w.scrape(t, f, id, labels)
	require.InDelta(t, 80, sums["fleet_rollout_targets"], 0, "every target of what has not ended")
	require.NotZero(t, sums["fleet_queue_jobs"], "the jobs of what has not ended")
	r := w.awaitEnd(id, time.Minute)
	total := w.scrape(t, f, id, labels)["fleet_targets_total"]
	require.InDelta(t, float64(r.Targets), total, 0)
	require.Zero(t, w.scrape(t, f, id, labels)["fleet_rollout_targets"], "it is there, at zero")

	w.must("account", "set", "acme", "--rate", "25")
	w.must("audit", "run", "--account", "acme", "--watch")
	sums = w.scrape(t, f, id, labels)
	require.InDelta(t, 80, sums["fleet_audit_units"], 0)
	for name := range audited {
		require.Contains(t, sums, name)
	}

	// What the database can give is there after a restart.
	require.Zero(t, f.stop(t))
	f = w.serve()
	text := w.raw(f, "GET", "/metrics", "")
	require.Contains(t, text, `fleet_targets_total{account="acme",action="enable",reason="forbidden",state="failed"} 8`)
	require.Contains(t, text, `fleet_rollouts{state="completed_with_failures"} 1`)
	require.Contains(t, text, `fleet_audit_units{account="acme",result="in_sync"}`)
	require.Contains(t, text, `fleet_audit_units{account="acme",result="unknown"} 0`)
	require.Contains(t, text, `fleet_audit_coverage_ratio{account="acme"} 1`)
	require.Regexp(t, `fleet_audit_last_success_timestamp_seconds{account="acme"} 1\.\d+e\+09`, text)
}

var (
	linted = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	// An ID of a unit, a skill, a rollout or an audit, or anything as long as one.
	identifier = regexp.MustCompile(`amzn1\.|^(ro|au|dr|de)-|.{60}`)
)

// scrape reads all metrics and sees that they are those of the contract, that those
// of there are there, and that no label is an ID, nor this one. It returns the sum of
// each family.
func (w *world) scrape(t *testing.T, f *fleetd, id string, there map[string][]string) map[string]float64 {
	t.Helper()
	body := w.raw(f, "GET", "/metrics", "")
	body = body[strings.Index(body, "# "):] // after the headers
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	require.NoError(t, err)
	sums := map[string]float64{}
	for name, family := range families {
		require.Regexp(t, linted, name)
		require.NotEmpty(t, family.GetHelp(), name)
		for _, m := range family.GetMetric() {
			sums[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			var names []string
			for _, l := range m.GetLabel() {
				names = append(names, l.GetName())
				require.NotRegexp(t, identifier, l.GetValue(), "%s{%s}", name, l.GetName())
				require.NotEqual(t, id, l.GetValue())
			}
			for _, known := range []map[string][]string{labels, audited} {
				if want, ok := known[name]; ok {
					require.ElementsMatch(t, want, names, name)
				}
			}
		}
	}
	for name := range there {
		require.Contains(t, families, name)
	}
	for _, prefix := range []string{"go_", "process_", "pgxpool_"} {
		require.Contains(t, body, "\n"+prefix)
	}
	return sums
}
