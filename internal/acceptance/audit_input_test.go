package acceptance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// TestBadAuditCommands gives the commands of audits, drift and desired state everything
// that people get wrong: each is told what, where and how to mend it, and changes
// nothing in the database.
func TestBadAuditCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 24, Properties: 3, SkillsPerUnit: 3, Seed: 87})
	w.serve()
	w.settle("200")
	w.baseline("acme")
	made := w.drift(simulator.DriftMissing, 2, simulator.BaseSkillID(2))
	w.audit("acme")
	rollout := w.awaitEnd(w.create("enable", "acme", skillMain, "--max-failures", "100%"), time.Minute).ID
	property := w.sim.Home(0).Property
	everything := func() string { // but what a living fleetd moves by itself
		return w.rows("processes", "river_client", "river_leader", "river_queue", "river_job", "budgets", "tokens")
	}
	before := everything()

	apply := func(name, text string, flags ...string) []string {
		return append([]string{"desired", "apply", "-f", w.file(name, text), "--yes"}, flags...)
	}
	const head = "version: 1\naccount: acme\ndesired:\n"
	entry := func(selector, skill, state string) string {
		return "  - select: " + selector + "\n    skills:\n      " + skill + ": " + state + "\n"
	}
	set := func(flags ...string) []string {
		return append([]string{"audit", "schedule", "set", "--account", "acme"}, flags...)
	}
	const base = "amzn1.ask.skill.base-01"
	for _, c := range []refusal{
		{"no YAML", apply("a.yaml", head+"  - select: all\n    skills:\n     "+base+": live\n    - x: live\n"), 1, []string{"a.yaml", "line 7", "no YAML"}},
		{"a tab", apply("b.yaml", head+"\t- select: all\n"), 1, []string{"b.yaml", "line 4"}},
		{"an empty file", apply("c.yaml", ""), 1, []string{"c.yaml", "empty"}},
		{"two documents", apply("d.yaml", head+entry("all", base, "live")+"---\nversion: 1\n"), 1, []string{"d.yaml", "line 7"}},
		{"no version", apply("e.yaml", "account: acme\ndesired: []\n"), 1, []string{"e.yaml", "version"}},
		{"a version to come", apply("f.yaml", "version: 2\naccount: acme\ndesired: []\n"), 1, []string{"line 1", "version"}},
		{"a key nobody knows", apply("g.yaml", head+entry("all", base, "live")+"    stage: live\n"), 1, []string{"line 7", "no such key"}},
		{"a key that is there twice", apply("h.yaml", head+entry("all", base, "live")+"      "+base+": live\n"), 1, []string{"line 7"}},
		{"a state that is none", apply("i.yaml", head+entry("all", base, "prod")), 1, []string{"line 6", "prod", "live"}},
		{"a skill that is none", apply("j.yaml", head+entry("all", `"my skill"`, "live")), 1, []string{"line 6", "my skill", "no skill ID"}},
		{"a skill that is protected", apply("k.yaml", head+entry("all", fleet.ProtectedSkills()[0], "disabled")), 1, []string{"line 6", "protected"}},
		{"a skill that nobody knows", apply("s.yaml", head+entry("all", base+"x", "live")), 1, []string{"s.yaml", "line 6", "never met the skill " + base + "x", "--allow-new-skill"}},
		{"a skill that nobody knows, set", []string{"desired", "set", "live", "--account", "acme", "--skill", base + "x", "--select", "all", "--yes"}, 1, []string{base + "x", "--allow-new-skill"}},
		{"a selector that is none", apply("l.yaml", head+entry("floor", base, "live")), 1, []string{"line 4", "selector"}},
		{"a selector that matches nothing", apply("m.yaml", head+entry("property=nowhere", base, "live")), 1, []string{"line 4", "matches no unit"}},
		{
			"selectors that overlap and disagree",
			apply("n.yaml", head+entry("all", base, "live")+entry("property="+property, base, "disabled")), 1,
			[]string{"n.yaml", "line 6", "line 9", base, "disabled", "live"},
		},
		{"several mistakes at once", apply("o.yaml", head+entry("floor", base, "prod")+entry("property=nowhere", base, "gone")), 1, []string{"line 4", "line 6", "line 9"}},
		{"another account", apply("p.yaml", head+"  []\n", "--account", "other"), 1, []string{"p.yaml", "other"}},
		{"an account that is none", apply("q.yaml", "version: 1\naccount: nobody\ndesired: []\n"), 1, []string{"nobody"}},
		{"a file that would empty it", apply("r.yaml", "version: 1\naccount: acme\ndesired: []\n"), 1, []string{"--allow-empty"}},
		{"no such file", []string{"desired", "apply", "-f", "no-such.yaml", "--yes"}, 1, []string{"no-such.yaml"}},
		{"adopting for nobody", []string{"desired", "adopt", "--account", "nobody", "--select", "all", "--yes"}, 1, []string{"nobody"}},
		{"adopting nowhere", []string{"desired", "adopt", "--account", "acme", "--select", "property=nowhere", "--yes"}, 1, []string{"property=nowhere"}},
		{"a state that is none, set", []string{"desired", "set", "on", "--account", "acme", "--skill", base, "--select", "all", "--yes"}, 2, []string{"on", "live"}},

		{"a schedule that never comes", set("--cron", "30 2 31 2 *"), 2, []string{"--cron", "30 2 31 2 *", "never comes"}},
		{"a schedule that is none", set("--cron", "every night"), 2, []string{"--cron", "five"}},
		{"a schedule with seconds", set("--cron", "0 30 2 * * *"), 2, []string{"--cron", "seconds"}},
		{"a zone that is none", set("--cron", "0 2 * * *", "--timezone", "Mars/Olympus"), 2, []string{"--timezone", "Mars/Olympus", "America/New_York"}},
		{"a repair without a ceiling", set("--cron", "0 2 * * *", "--repair"), 2, []string{"--repair-ceiling"}},
		{"a schedule of nobody", []string{"audit", "schedule", "set", "--account", "nobody", "--cron", "0 2 * * *"}, 1, []string{"nobody"}},

		{"an expiry that is past", []string{"drift", "ignore", "--account", "acme", "--until", "2020-01-01", "--reason", "x", "--yes"}, 2, []string{"--until", "2020-01-01", "past"}},
		{"an expiry that is none", []string{"drift", "ignore", "--account", "acme", "--until", "soon", "--reason", "x", "--yes"}, 2, []string{"--until", "soon"}},
		{"no expiry", []string{"drift", "ignore", "--account", "acme", "--reason", "x", "--yes"}, 2, []string{"--until"}},
		{"no reason", []string{"drift", "ignore", "--account", "acme", "--until", "2999-01-01", "--yes"}, 2, []string{"--reason"}},
		{"all of everything", []string{"drift", "ignore", "--until", "2999-01-01", "--reason", "x", "--yes"}, 2, []string{"--account"}},
		{"a finding that is none", []string{"drift", "ignore", "dr-nothing", "--until", "2999-01-01", "--reason", "x"}, 1, []string{"dr-nothing"}},
		{"drift of nobody", []string{"drift", "list", "--account", "nobody"}, 1, []string{"nobody"}},
		{"a kind that is none", []string{"drift", "list", "--kind", "lost"}, 2, []string{"lost", "missing"}},
		{"a repair of nothing", []string{"drift", "repair", "--account", "acme", "--kind", "not_linked", "--yes"}, 1, []string{"not_linked", "nothing was changed"}},
		{"a repair of a skill nobody knows", []string{"drift", "repair", "--account", "acme", "--skill", "amzn1.ask.skill.unknown", "--yes"}, 1, []string{"amzn1.ask.skill.unknown"}},

		{"an audit of nobody", []string{"audit", "run", "--account", "nobody"}, 1, []string{"nobody", "fleetctl account list"}},
		{"an audit of no account", []string{"audit", "run"}, 2, []string{"--account"}},
		{"an audit of nothing", []string{"audit", "run", "--account", "acme", "--select", "property=nowhere"}, 1, []string{"property=nowhere"}},
		{"an audit of what cannot be read", []string{"audit", "run", "--account", "acme", "--select", "property"}, 2, []string{"--select"}},
		{"an audit that is none", []string{"audit", "show", "au-nothing"}, 1, []string{"au-nothing"}},
		{"an audit that is none, watched", []string{"audit", "watch", "au-nothing"}, 1, []string{"au-nothing"}},
		{"a rollback of nothing", []string{"rollout", "rollback", "ro-nothing", "--yes"}, 1, []string{"ro-nothing"}},
		{"a rollback that never reads", []string{"rollout", "rollback", rollout, "--observation-max-age", "any", "--yes"}, 2, []string{"--observation-max-age"}},
	} {
		w.refused(c)
		require.Equal(t, before, everything(), "%s: it changed something", c.name)
	}
	w.auditExitCodes(made)
}

// auditExitCodes sees that scripts are told what an audit found.
func (w *world) auditExitCodes(made []simulator.Drift) {
	w.t.Helper()
	run := func(code int, args ...string) {
		w.t.Helper()
		r := w.ctl(args...)
		require.Equal(w.t, code, r.code, "fleetctl %v: %s%s", args, r.stdout, r.stderr)
	}
	list := []string{"drift", "list", "--account", "acme", "--exit-code"}
	run(3, list...)
	run(0, "drift", "list", "--account", "acme")
	run(0, "audit", "run", "--account", "acme", "--watch") // it found drift, and saw every home
	run(0, "drift", "ignore", "--account", "acme", "--until", "2999-01-01", "--reason", "renovation", "--yes")
	run(0, list...)

	// A home that cannot be seen is short of success.
	require.NoError(w.t, w.sim.ChangeUnit(made[0].UnitID, simulator.Change{Action: simulator.ChangeForbid}))
	run(5, "audit", "run", "--account", "acme", "--watch")
	require.NoError(w.t, w.sim.ChangeUnit(made[0].UnitID, simulator.Change{Action: simulator.ChangeAllow}))

	// An audit that nobody can be got to answer goes on, and is canceled.
	require.NoError(w.t, w.sim.SetFaults(simulator.Faults{Throttle: 1}))
	run(8, "audit", "run", "--account", "acme", "--watch", "--timeout", "1s")
	yes := true
	open, err := w.up().api.ListAudits(w.t.Context(), client.ListAuditsParams{Active: &yes})
	require.NoError(w.t, err)
	require.Len(w.t, open.Value.Items, 1)
	run(1, "audit", "run", "--account", "acme") // one at a time
	run(0, "audit", "cancel", open.Value.Items[0].ID, "--yes")
	run(5, "audit", "watch", open.Value.Items[0].ID)
	require.EqualValues(w.t, fleet.AuditCanceled, w.lookAudit(open.Value.Items[0].ID).State)
}
