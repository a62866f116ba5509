package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every command that prints something, in every format: the outputs are files to
// be read.
func TestGoldenOutputs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		route string
		file  string
		args  string
	}{
		{"account_list", "GET /accounts", "accounts", "account list"},
		{"account_show", "GET /accounts/acme", "account", "account show acme"},
		{"account_check", "POST /accounts/acme/check", "check", "account check acme"},
		{"account_set", "PATCH /accounts/acme", "account", "account set acme --rate 50"},
		{"credential_list", "GET /accounts/acme/credentials", "credentials", "account credential list acme"},
		{"credential_set", "PUT /accounts/acme/credentials/developer", "credential", developerFlags + " --client-secret-file testdata/any-secret --refresh-token-file testdata/any-secret"},
		{"skill_enable", "PUT /accounts/acme/skills/amzn1.ask.skill.x/stages/development/enablement", "developer_enablement", "skill enable amzn1.ask.skill.x --stage development --account acme"},
		{"skill_customer_status", "GET /accounts/acme/customer/skills/amzn1.ask.skill.x/enablement", "customer_enablement", "skill customer status amzn1.ask.skill.x --account acme"},
		{"skill_customer_endpoint", "GET /accounts/acme/customer/endpoint", "customer_endpoint", "skill customer endpoint --account acme"},
		{"subscriber_list", "GET /accounts/acme/subscribers", "subscribers", "event subscriber list --account acme"},
		{"subscriber_get", "GET /accounts/acme/subscribers/r1", "subscriber", "event subscriber get r1 --account acme"},
		{"subscription_list", "GET /accounts/acme/subscriptions", "subscriptions", "event subscription list --account acme"},
		{"subscription_get", "GET /accounts/acme/subscriptions/n1", "subscription", "event subscription get n1 --account acme"},
		{"unit_list", "GET /accounts/acme/units", "units", "unit list --account acme"},
		{"unit_show", "GET /units/unit-0001", "unit", "unit show unit-0001"},
		{"rollout_plan", "POST /rollouts/plan", "plan", "rollout plan enable --account acme --skill amzn1.ask.skill.x --select property=maple-court"},
		{"rollout_plan_nothing", "POST /rollouts/plan", "plan_nothing", "rollout plan enable --account acme --skill amzn1.ask.skill.x --select all"},
		{"rollout_plan_checked", "POST /rollouts/plan", "plan_checked", "rollout plan enable --account acme --skill amzn1.ask.skill.x --select all"},
		{"rollout_plan_blocked", "POST /rollouts/plan", "plan_blocked", "rollout plan enable --account acme --skill amzn1.ask.skill.x --select all"},
		{"rollout_show_forced", "GET /rollouts/r7k2", "rollout_forced", "rollout show r7k2"},
		{"skill_check", "POST /accounts/acme/skills/amzn1.ask.skill.x/check", "preflight_warn", "skill check amzn1.ask.skill.x --account acme"},
		{"skill_check_none", "POST /accounts/acme/skills/amzn1.ask.skill.x/check", "preflight_none", "skill check amzn1.ask.skill.x --account acme"},
		{"rollout_list", "GET /rollouts", "rollouts", "rollout list"},
		{"rollout_show", "GET /rollouts/r7k2", "rollout", "rollout show r7k2"},
		{"rollout_show_succeeded", "GET /rollouts/r7k2", "rollout_succeeded", "rollout show r7k2"},
		{"rollout_show_halted", "GET /rollouts/r7k2", "rollout_halted", "rollout show r7k2"},
		{"rollout_show_failed", "GET /rollouts/r7k2", "rollout_failed", "rollout show r7k2"},
		{"rollout_show_canceled", "GET /rollouts/r7k2", "rollout_canceled", "rollout show r7k2"},
		{"rollout_show_paused", "GET /rollouts/r7k2", "rollout_paused", "rollout show r7k2"},
		{"rollout_show_scheduled", "GET /rollouts/r7k2", "rollout_scheduled", "rollout show r7k2"},
		{"rollout_targets", "GET /rollouts/r7k2/targets", "targets", "rollout targets r7k2"},
		{"rollout_pause", "POST /rollouts/r7k2/pause", "rollout_paused", "rollout pause r7k2"},
		{"rollout_resume", "POST /rollouts/r7k2/resume", "rollout", "rollout resume r7k2"},
		{"rollout_cancel", "POST /rollouts/r7k2/cancel", "rollout_canceled", "rollout cancel r7k2"},
		{"rollout_retry", "POST /rollouts/r7k2/retry", "rollout", "rollout retry r7k2"},
		{"drift_ignore", "POST /drift/ignore", "drift_ignored", "drift ignore dr-1 dr-2 --until 2026-12-24 --reason renovation"},
		{"drift_unignore", "POST /drift/unignore", "drift_unignored", "drift unignore dr-1 dr-2 --reason done"},
		{"drift_repair_plan", "POST /drift/repair", "repair_plan", "drift repair --account acme --dry-run"},
		{"drift_repair_nothing", "POST /drift/repair", "repair_nothing", "drift repair --account acme --dry-run"},
		{"audit_list", "GET /audits", "audits", "audit list"},
		{"audit_run", "POST /audits", "audit", "audit run --account acme --select all"},
		{"audit_show", "GET /audits/au-7k2m", "audit", "audit show au-7k2m"},
		{"audit_show_succeeded", "GET /audits/au-7k2m", "audit_succeeded", "audit show au-7k2m"},
		{"audit_show_unknown", "GET /audits/au-7k2m", "audit_unknown", "audit show au-7k2m"},
		{"audit_units", "GET /audits/au-7k2m/units", "audit_units", "audit units au-7k2m"},
		{"audit_cancel", "POST /audits/au-7k2m/cancel", "audit_canceled", "audit cancel au-7k2m"},
		{"audit_schedule_show", "GET /accounts/acme/audit-schedule", "schedule", "audit schedule show --account acme"},
		{"audit_schedule_set", "PUT /accounts/acme/audit-schedule", "schedule_none", "audit schedule set --account acme --off"},
		{"desired_list", "GET /desired", "desired", "desired list --account acme"},
		{"desired_history", "GET /desired/history", "desired_history", "desired history unit-0001"},
		{"desired_apply", "POST /desired/apply", "desired_applied", "desired apply -f testdata/fleet.yaml --yes"},
		{"desired_apply_nothing", "POST /desired/apply", "desired_nothing", "desired apply -f testdata/fleet.yaml --dry-run"},
		{"desired_set", "POST /desired", "desired_set", "desired set disabled --account acme --skill amzn1.ask.skill.aaa --select property=maple-court --yes"},
		{"desired_adopt", "POST /desired/adopt", "desired_adopted", "desired adopt --account acme --select all --yes"},
		{"event_list", "GET /events", "events", "event list"},
		{"event_show", "GET /events/ev-3", "event", "event show ev-3"},
		{"event_hook_show", "GET /accounts/acme/event-hook", "event_hook", "event hook show --account acme"},
		{"event_rule_list", "GET /event-rules", "event_rules", "event rule list"},
		{"event_rule_create", "POST /event-rules", "event_rule", "event rule create --account acme --event SkillPublish --action resume_rollout --rollout ro-7k2m"},
		{"skill_list", "GET /accounts/acme/skills", "skills", "skill list --account acme"},
		{"skill_status", "GET /accounts/acme/skills/amzn1.ask.skill.aaa/status", "skill_status", "skill status amzn1.ask.skill.aaa --account acme"},
		{"skill_create", "POST /accounts/acme/skills", "skill_created", "skill create -f testdata/skill.json --account acme"},
		{"skill_update", "PUT /accounts/acme/skills/amzn1.ask.skill.aaa/stages/development/manifest", "skill_accepted", "skill update amzn1.ask.skill.aaa -f testdata/skill.json --account acme --yes --force"},
		{"token_list", "GET /tokens", "tokens", "token list --all"},
		{"token_create", "POST /tokens", "token_created", "token create --name night-shift --role operator"},
		{"token_revoke", "POST /tokens/old/revoke", "token_revoked", "token revoke old"},
		{"log", "GET /log", "log", "log"},
	}
	for _, tt := range tests {
		for _, format := range formats() {
			t.Run(tt.name+"."+format, func(t *testing.T) {
				t.Parallel()
				answer := ok(t, tt.file)
				f := newFake(t, map[string][]reply{tt.route: {answer}})
				stdout, _ := fleetctl(t, f, exitDone, append(strings.Fields(tt.args), "-o", format)...)
				require.Len(t, f.seen(), 1)
				if format == formatJSON {
					require.Equal(t, answer.body, stdout, "JSON is the API's own")
					return
				}
				golden(t, tt.name+"."+format, stdout)
			})
		}
	}
}

func TestGoldenHelp(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "account", "account create", "account credential", "account credential set", "account check", "account set", "skill check", "unit import", "rollout", "rollout create", "rollout watch",
		"event", "event tail", "event hook set", "event rule create",
		"audit", "audit run", "audit schedule set", "drift", "drift list", "drift repair", "drift ignore", "drift unignore", "desired", "desired apply", "context set",
		"skill", "skill get", "skill status", "skill create", "skill update", "skill delete",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			stdout, stderr := fleetctl(t, nil, exitDone, append(strings.Fields(args), "--help")...)
			require.Empty(t, stderr)
			golden(t, "help_"+strings.ReplaceAll(args, " ", "_")+".txt", stdout)
		})
	}
}

// On a terminal the help is fang's, and colors can be had without.
func TestHelpOnATerminal(t *testing.T) {
	t.Parallel()
	for _, env := range []string{"", "1"} {
		c := newConsole(t, nil)
		c.env["NO_COLOR"] = env
		c.terminal = func(s any) bool { return s == any(c.out) }
		require.Equal(t, exitDone, c.do(t, "rollout", "--help"))
		require.Contains(t, c.out.String(), "watch")
		require.NotContains(t, c.out.String(), "\x1b")
	}
}

func TestColors(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /rollouts": {ok(t, "rollouts")}})
	show := func(env string, args ...string) string {
		c := newConsole(t, f)
		c.env["NO_COLOR"] = env
		c.terminal = func(s any) bool { return s == any(c.out) }
		require.Equal(t, exitDone, c.do(t, append([]string{"rollout", "list"}, args...)...))
		return c.out.String()
	}
	colored, plain := show(""), show("1")
	require.Contains(t, colored, "\x1b[31mcompleted_with_failures\x1b[0m")
	require.NotContains(t, plain, "\x1b")
	require.Equal(t, plain, show("", "--no-color"))
	require.Equal(t, plain, strings.NewReplacer("\x1b[31m", "", "\x1b[0m", "").Replace(colored), "colors do not move columns")
}

// What comes from elsewhere cannot steer the terminal.
func TestControlCharactersAreNotPrinted(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{
		"GET /rollouts/r7k2/targets": {ok(t, "targets")},
		"GET /rollouts/evil":         {problem(http.StatusNotFound, `{"title":"x","detail":"no \u001b]0;evil\u0007 rollout\u202e"}`)},
	})
	stdout, _ := fleetctl(t, f, exitDone, "rollout", "targets", "r7k2", "-o", "wide")
	require.NotContains(t, stdout, "\x1b")
	c := newConsole(t, f)
	c.terminal = func(s any) bool { return s == any(c.out) }
	require.Equal(t, exitDone, c.do(t, "rollout", "targets", "r7k2", "-o", "csv"))
	require.NotContains(t, c.out.String(), "\x1b")
	_, stderr := fleetctl(t, f, exitError, "rollout", "show", "evil")
	require.NotContains(t, stderr, "\x1b")
	require.NotContains(t, stderr, "\u202e")
}
