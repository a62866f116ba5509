package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
)

// skillPreflightVerbs are the commands that check a skill before it is rolled out.
func skillPreflightVerbs(p *program) []*cobra.Command { return []*cobra.Command{newSkillCheck(p)} }

// skillCheckOptions are the inputs of `skill check`.
type skillCheckOptions struct {
	p     *program
	skill string

	account  string
	stage    string
	action   string
	last     bool
	exitCode bool

	changed func(flag string) bool
}

func newSkillCheck(p *program) *cobra.Command {
	o := &skillCheckOptions{p: p}
	cmd := &cobra.Command{
		Use: "check SKILL", Short: "Check what stands in the way of rolling a skill out; writes nothing", Args: oneArg("SKILL", &o.skill),
		Long: `Check what stands in the way of rolling a skill out, as every rollout plan and create does: whether the skill is there at
the stage, its last manifest update succeeded, it is neither hidden nor removed, it is distributed where the account's
homes are, its developer has it enabled at a stage that is not live, and the account's link mode suits it.

What could not be told is not_checked, with why, and is no failure. Without a developer credential nothing is asked.
The exit code is 1 where a check fails.`,
		Example: `  fleetctl skill check amzn1.ask.skill.x --account acme
  fleetctl skill check amzn1.ask.skill.x --account acme --stage development -o json`,
		RunE: p.do(o.run),
	}
	fs := cmd.Flags()
	accountFlag(cmd, p, &o.account)
	fs.StringVar(&o.stage, "stage", string(fleet.StageLive), "skill stage: development|certification|live")
	fs.StringVar(&o.action, "action", string(fleet.ActionEnable), "what shall be done: enable|disable")
	fs.BoolVar(&o.last, "last", false, "show what the latest checks saw, whoever asked for them; ask nothing anew")
	fs.BoolVar(&o.exitCode, "exit-code", false, "exit with 3 where a check warns, too")
	complete(cmd, "stage", texts(fleet.Stages())...)
	complete(cmd, "action", texts(fleet.Actions())...)
	o.changed = fs.Changed
	return cmd
}

func (o *skillCheckOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	if err := oneOf("--stage", o.stage, texts(fleet.Stages())); err != nil {
		return err
	}
	if err := oneOf("--action", o.action, texts(fleet.Actions())); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	if o.last {
		return o.showLast(ctx, api)
	}
	r, err := api.CheckSkill(ctx, o.account, o.skill, client.CheckBody{
		Stage: ref(client.CheckBodyStage(o.stage)), Action: ref(client.CheckBodyAction(o.action)),
	})
	if err != nil {
		return err
	}
	if err := o.print(r); err != nil {
		return err
	}
	return o.exit([]client.Preflight{r.Value})
}

func (o *skillCheckOptions) print(r *client.Response[client.Preflight]) error {
	if o.p.global.output == formatTable && r.Value.Result == string(preflight.NotChecked) && oneMessage(r.Value) {
		return o.p.say("not checked: %s", r.Value.Message)
	}
	if o.p.global.output == formatJSON {
		return writeJSON(o.p.stdout, r.Raw)
	}
	return newRowPrinter(o.p, checkColumns()).write(r.Value.Checks)
}

// exit is how the command ends: 1 where a check failed, and with --exit-code 3 where one
// warns.
func (o *skillCheckOptions) exit(reports []client.Preflight) error {
	warns := false
	for _, r := range reports {
		switch preflight.Result(r.Result) {
		case preflight.Fail:
			return &codeError{code: exitError, msg: fmt.Sprintf("%s of skill %s at stage %s: a check failed", r.Action, r.SkillID, r.Stage)}
		case preflight.Warn:
			warns = true
		case preflight.Pass, preflight.NotChecked:
		}
	}
	if o.exitCode && warns {
		return &codeError{code: exitDifference}
	}
	return nil
}

// lastCheck is a check with what it was made for.
type lastCheck struct {
	client.PreflightCheck

	of client.Preflight
}

func (o *skillCheckOptions) showLast(ctx context.Context, api *client.Client) error {
	r, err := api.ListSkillChecks(ctx, o.account, o.skill)
	if err != nil {
		return err
	}
	var rows []lastCheck
	var picked []client.Preflight
	for _, of := range r.Value.Items {
		if o.changed("stage") && of.Stage != o.stage || o.changed("action") && of.Action != o.action {
			continue
		}
		picked = append(picked, of)
		for _, c := range of.Checks {
			rows = append(rows, lastCheck{c, of})
		}
	}
	columns := []column[lastCheck]{
		{head: "action", text: func(c lastCheck) string { return c.of.Action }},
		{head: "stage", text: func(c lastCheck) string { return c.of.Stage }},
		{head: "asked_by", text: func(c lastCheck) string { return c.of.Why }},
		{
			head: "age", text: func(c lastCheck) string { return o.p.age(c.of.CheckedAt) }, right: true,
			csvHead: "checked_at", csv: func(c lastCheck) string { return stamp(c.of.CheckedAt) },
		},
	}
	for _, plain := range checkColumns() {
		columns = append(columns, column[lastCheck]{
			head: plain.head, text: func(c lastCheck) string { return plain.text(c.PreflightCheck) },
			color: colorOf(plain.color),
		})
	}
	if err := printAll(o.p, columns, rows, r.Raw, "Nothing was checked. Check it: fleetctl skill check "+o.skill+" --account "+o.account); err != nil {
		return err
	}
	return o.exit(picked)
}

func colorOf(color func(client.PreflightCheck) string) func(lastCheck) string {
	if color == nil {
		return nil
	}
	return func(c lastCheck) string { return color(c.PreflightCheck) }
}

func checkColumns() []column[client.PreflightCheck] {
	type check = client.PreflightCheck
	return []column[check]{
		{head: "check", text: func(c check) string { return c.Name }},
		{head: "result", text: func(c check) string { return c.Result }, color: func(c check) string { return resultColor(c.Result) }},
		{head: "message", text: func(c check) string { return c.Message }},
	}
}

func resultColor(result string) string {
	switch preflight.Result(result) {
	case preflight.Pass:
		return green
	case preflight.Warn:
		return yellow
	case preflight.Fail:
		return red
	case preflight.NotChecked:
		return dim
	}
	return ""
}

// oneMessage reports whether all checks say the same, as where nothing was asked.
func oneMessage(r client.Preflight) bool {
	for _, c := range r.Checks {
		if c.Message != r.Message {
			return false
		}
	}
	return true
}

// preflightText says what was checked before a rollout: what stands in its way first, and
// what does not in a line.
func preflightText(r *client.Preflight) string {
	if r == nil {
		return ""
	}
	if r.Result == string(preflight.NotChecked) && oneMessage(*r) {
		return "not checked: " + r.Message
	}
	var lines []string
	for _, result := range []preflight.Result{preflight.Fail, preflight.Warn, preflight.NotChecked, preflight.Pass} {
		var messages []string
		names := map[string][]string{} // by message: what one thing keeps from being told is one line
		for _, c := range r.Checks {
			if c.Result != string(result) {
				continue
			}
			message := ": " + c.Message
			if result == preflight.Pass {
				message = ""
			}
			if len(names[message]) == 0 {
				messages = append(messages, message)
			}
			names[message] = append(names[message], c.Name)
		}
		for _, message := range messages {
			lines = append(lines, strings.ReplaceAll(string(result), "_", " ")+" "+strings.Join(names[message], ", ")+message)
		}
	}
	if r.Forced {
		lines = append(lines, "it was made in spite of what failed")
	}
	return strings.Join(lines, "\n")
}

// preflightResult is what came of all checks together; empty where nobody looked.
func preflightResult(r *client.Preflight) string {
	if r == nil {
		return ""
	}
	return r.Result
}

// blocked reports whether a check stands in the way of what is not forced.
func blocked(r *client.Preflight, force bool) bool {
	return r != nil && r.Result == string(preflight.Fail) && !force
}

// needReason refuses --force without --reason.
func needReason(force bool, reason string) error {
	if force && reason == "" {
		return usagef("--force needs --reason: say why it is done in spite of a failed check")
	}
	return nil
}
