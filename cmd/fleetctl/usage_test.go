package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const planArgs = "enable --account acme --skill s --select all"

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ args, want string }{
		"an unknown noun":                              {"acount list", `unknown command "acount" for "fleetctl"; did you mean account?`},
		"an unknown verb":                              {"account lst", `unknown command "lst" for "fleetctl account"; did you mean list`},
		"an unknown flag":                              {"account list --bogus", "unknown flag: --bogus"},
		"an unknown output format":                     {"account list -o yaml", `output format "yaml" is not one of table, json, csv, wide`},
		"a missing argument":                           {"account show", "NAME is missing"},
		"one argument too many":                        {"account show a b", `unexpected argument "b"`},
		"an account without secrets":                   {"account create acme --client-id x", "--client-secret-file is missing"},
		"a rate of 0":                                  {"account set acme --rate 0", `--rate "0" is not a rate: give requests a second above 0`},
		"a negative rate":                              {"account set acme --rate=-1", "is not a rate"},
		"a rate that is no number":                     {"account set acme --rate fast", "is not a rate"},
		"a rate beyond numbers":                        {"account set acme --rate NaN", "is not a rate"},
		"a burst of 0":                                 {"account set acme --burst 0", "--burst 0 is too small"},
		"an unknown region":                            {"account set acme --region us", `--region "us" is not one of na, eu, fe`},
		"an unknown link mode":                         {"account set acme --link-mode x", "is not one of none, delegated, codes"},
		"region and URL":                               {"account set acme --region na --api-url http://x", "exclude each other"},
		"nothing to set":                               {"account set acme", "nothing to set"},
		"a credential without a kind":                  {"account credential set acme", "--kind is missing: say which credential, enterprise|developer|customer"},
		"an unknown kind":                              {"account credential list acme --kind partner", `--kind "partner" is not one of enterprise, developer, customer`},
		"a credential without secrets":                 {"account credential set acme --kind customer --client-id x", "--client-secret-file is missing"},
		"a developer without a vendor":                 {"account credential set acme --kind developer --client-id x --client-secret-file s --refresh-token-file r", "--vendor-id is missing"},
		"a vendor of a customer":                       {"account credential set acme --kind customer --client-id x --client-secret-file s --refresh-token-file r --vendor-id V", "--vendor-id is for developer only"},
		"a credential at a rate of 0":                  {developerFlags + " --client-secret-file s --refresh-token-file r --rate 0", `--rate "0" is not a rate`},
		"an enterprise deleted":                        {"account credential delete acme --kind enterprise", "fleetctl account delete acme"},
		"a delete of no kind":                          {"account credential delete acme", "--kind is missing"},
		"an import without an account":                 {"unit import x.csv", "--account is missing"},
		"a bad selector":                               {"unit list --account acme --select occupancy=gone", "--select: "},
		"an unknown action":                            {"rollout plan toggle --account acme --skill s --select all", `action "toggle" is not one of enable, disable`},
		"no action":                                    {"rollout plan --account acme --skill s --select all", "enable|disable is missing"},
		"no skill":                                     {"rollout plan enable --account acme --select all", "--skill is missing"},
		"no homes":                                     {"rollout plan enable --account acme --skill s", "say which homes"},
		"homes twice":                                  {"rollout plan " + planArgs + " --units-file x", "exclude each other"},
		"a stage that does not exist":                  {"rollout plan " + planArgs + " --stage prod", `--stage "prod" is not one of development, certification, live`},
		"a window that never opens":                    {"rollout plan " + planArgs + " --window 22:00-22:00", "--window: "},
		"a window that is none":                        {"rollout plan " + planArgs + " --window night", "--window: "},
		"an empty wave":                                {"rollout plan " + planArgs + " --wave 0", "--wave: "},
		"a wave beyond all":                            {"rollout plan " + planArgs + " --wave 101%", "--wave: "},
		"a bad tolerance":                              {"rollout plan " + planArgs + " --max-failures x", "--max-failures: "},
		"an unknown time zone":                         {"rollout plan " + planArgs + " --timezone Mars/Base", "is not a time zone"},
		"a bad start":                                  {"rollout plan " + planArgs + " --start-at tomorrow", `--start-at "tomorrow" is not a time`},
		"a bad soak":                                   {"rollout plan " + planArgs + " --soak 10", `--soak "10" is not a length of time`},
		"a verify timeout of 0":                        {"rollout plan " + planArgs + " --verify-timeout 0s", "--verify-timeout is 0"},
		"a bad observation age":                        {"rollout plan " + planArgs + " --observation-max-age old", "--observation-max-age"},
		"a negative canary":                            {"rollout plan " + planArgs + " --canary=-1", "--canary -1 is negative"},
		"nobody to confirm":                            {"rollout create " + planArgs, "stdin is not a terminal"},
		"a timeout without a watch":                    {"rollout create " + planArgs + " --yes --timeout 1s", "give it with --watch"},
		"an unknown rollout state":                     {"rollout list --state done", "is not one of scheduled, running"},
		"an unknown target reason":                     {"rollout targets x --reason bad", "is not one of forbidden"},
		"retry of what did not fail":                   {"rollout retry x --only occupied", "is not a reason of failure"},
		"an unknown kind of drift":                     {"drift list --kind lost", `--kind "lost" is not one of missing, unexpected`},
		"an unknown cause of drift":                    {"drift list --cause magic", "is not one of write_failed"},
		"an odd ignored":                               {"drift list --ignored=maybe", `--ignored "maybe" is not one of false, true, any`},
		"drift to ignore, of none":                     {"drift ignore --until 2026-12-24 --reason x", "say which findings"},
		"drift to ignore, twice":                       {"drift ignore dr-1 --account acme --until 2026-12-24 --reason x", "exclude each other"},
		"drift to count again, of none":                {"drift unignore --reason x", "say which findings"},
		"drift to count again, twice":                  {"drift unignore dr-1 --kind missing", "exclude each other"},
		"drift to count again, of a kind that is none": {"drift unignore --kind lost", `--kind "lost" is not one of`},
		"drift ignored forever":                        {"drift ignore dr-1 --reason x", "--until is missing"},
		"drift ignored until the past":                 {"drift ignore dr-1 --until 2026-03-01 --reason x", "--until 2026-03-01 is past"},
		"drift ignored until no date":                  {"drift ignore dr-1 --until tomorrow --reason x", `--until "tomorrow" is not a date: write it like 2026-12-24`},
		"drift ignored until no day":                   {"drift ignore dr-1 --until 2026-02-30 --reason x", "is not a date"},
		"drift ignored for no reason":                  {"drift ignore dr-1 --until 2026-12-24", "--reason is missing"},
		"a repair of an unknown kind":                  {"drift repair --kind lost --yes", "--kind "},
		"a repair with a bad wave":                     {"drift repair --yes --wave 0", "--wave: "},
		"a repair with a bad start":                    {"drift repair --yes --start-at soon", "--start-at"},
		"a dry run to watch":                           {"drift repair --dry-run --watch", "exclude each other"},
		"a repair timeout, unwatched":                  {"drift repair --yes --timeout 1s", "give it with --watch"},
		"occupied homes repaired":                      {"drift repair --yes --include-occupied", "unknown flag: --include-occupied"},
		"an audit of nobody":                           {"audit run", "--account is missing"},
		"an audit of homes twice":                      {"audit run --account acme --select all --units-file x", "exclude each other"},
		"an audit by a bad selector":                   {"audit run --account acme --select occupancy=gone", "--select: "},
		"an audit that cannot wait":                    {"audit run --account acme --timeout 1s", "give it with --watch"},
		"an unknown audit state":                       {"audit list --state done", "is not one of running, waiting"},
		"an unknown audit result":                      {"audit units x --result fine", "is not one of in_sync, drifted, unknown"},
		"an unknown audit reason":                      {"audit units x --reason tired", "is not one of forbidden"},
		"a schedule of nothing":                        {"audit schedule set --account acme", "--cron is missing"},
		"a schedule of one field":                      {"audit schedule set --account acme --cron 30", "--cron: "},
		"a schedule on Mars":                           {"audit schedule set --account acme --cron @daily --timezone Mars/Base", "--cron: "},
		"no schedule on Mars":                          {"audit schedule set --account acme --off --timezone Mars/Base", "--timezone: "},
		"a repair without a ceiling":                   {"audit schedule set --account acme --off --repair", "--repair needs --repair-ceiling"},
		"an apply of no file":                          {"desired apply --yes", "--file is missing"},
		"a set to no state":                            {"desired set prod --account acme --skill s --select all --yes", `STATE "prod" is not one of development, certification, live, disabled`},
		"a set without a state":                        {"desired set --account acme --skill s --select all", "STATE is missing"},
		"a set without a skill":                        {"desired set live --account acme --select all --yes", "--skill is missing"},
		"a set on no homes":                            {"desired set live --account acme --skill s --yes", "say which homes"},
		"a set on homes twice":                         {"desired set live --account acme --skill s --select all --units-file x --yes", "exclude each other"},
		"an adopt of no homes":                         {"desired adopt --account acme --yes", "say which homes"},
		"an adopt of a bad selector":                   {"desired adopt --account acme --select floor --yes", "--select: "},
		"a list of no account":                         {"desired list", "--account is missing"},
		"an export of no account":                      {"desired export", "--account is missing"},
		"a history of nothing":                         {"desired history", "UNIT is missing"},
		"a token without a role":                       {"token create --name x", `--role "" is not one of viewer, operator, admin`},
		"a negative limit":                             {"account list --limit=-1", "--limit is negative"},
		"an unknown context":                           {"account list --context prod", `there is no context "prod"`},
		"a server that is no URL":                      {"account list --server example.com", "is not an http:// or https:// URL"},
		"skills of no account":                         {"skill list", "--account is missing"},
		"a manifest of no account":                     {"skill get s", "--account is missing"},
		"a manifest of no stage":                       {"skill get s --account acme --stage beta", `--stage "beta" is not one of development, certified, live`},
		"a manifest as CSV":                            {"skill get s --account acme -o csv", "a manifest has no CSV"},
		"a status of no resource":                      {"skill status s --account acme --resource model", `--resource "model" is not one of manifest`},
		"a timeout without a wait":                     {"skill status s --account acme --timeout 1s", "--timeout is for --wait only"},
		"a negative timeout":                           {"skill status s --account acme --wait --timeout=-1s", "--timeout is negative"},
		"a skill of no manifest":                       {"skill create --account acme", "--file is missing"},
		"a skill of no account":                        {"skill create -f testdata/skill.json", "--account is missing"},
		"an update of no manifest":                     {"skill update s --account acme --yes", "--file is missing"},
		"an update nobody agreed to":                   {"skill update s --account acme -f testdata/skill.json", "--yes is missing"},
		"a blind dry run":                              {"skill update s --account acme -f testdata/skill.json --force --dry-run", "exclude each other"},
		"a blind entity tag":                           {"skill update s --account acme -f testdata/skill.json --force --etag t --yes", "exclude each other"},
		"a dry run that waits":                         {"skill update s --account acme -f testdata/skill.json --dry-run --wait", "exclude each other"},
		"a skill deleted by a script":                  {"skill delete s --account acme", "--yes is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, nil)
			stdout, stderr := fleetctl(t, f, exitUsage, strings.Fields(tt.args)...)
			require.Empty(t, stdout)
			require.True(t, strings.HasPrefix(stderr, "error: "), stderr)
			require.Contains(t, stderr, tt.want)
			require.Contains(t, stderr, "--help")
			require.Empty(t, f.seen(), "nothing was sent")
		})
	}
}
