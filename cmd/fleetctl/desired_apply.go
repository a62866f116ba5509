package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
)

// desiredApplyOptions are the inputs of `desired apply`.
type desiredApplyOptions struct {
	desiredChange

	file       string
	account    string
	allowEmpty bool
	allowNew   []string
}

func newDesiredApply(p *program) *cobra.Command {
	o := &desiredApplyOptions{desiredChange: desiredChange{p: p}}
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make a file the whole desired state of an account: show the plan, ask, and do it", Args: cobra.NoArgs,
		Long: `Make a file the whole desired state of an account: show the plan, ask, and do it. What the file does not
name is desired no more. It is kept in Git, and looks so:

  version: 1
  account: acme
  desired:
    - select: property=maple-court,occupancy=vacant
      skills:
        amzn1.ask.skill.aaa: live       # a stage, or disabled
        amzn1.ask.skill.bbb: disabled

Nothing is sent to the homes: an audit finds what differs, and a repair mends it. All or nothing: one mistake
and nothing changes. A file that would take away more than half of what is desired is refused unless
--allow-empty. A skill to enable that the account never met, while it has met others (nobody saw it on a home,
nothing was ever desired of it, no rollout was of it) is taken for a mistake unless --allow-new-skill names it.

Exit codes of --dry-run: 0 nothing would change; 3 something would.`,
		Example: `  fleetctl desired apply -f fleet.yaml --dry-run
  fleetctl desired apply -f fleet.yaml --allow-new-skill amzn1.ask.skill.ccc
  git show HEAD:fleet.yaml | fleetctl desired apply -f - --yes --reason "ticket 4711"`,
		RunE: p.do(o.run),
	}
	cmd.Flags().StringVarP(&o.file, "file", "f", "", `file to apply ("-": stdin)`)
	accountFlag(cmd, p, &o.account)
	cmd.Flags().Lookup("account").Usage = "the account, unless the file names it; both must agree"
	cmd.Flags().BoolVar(&o.allowEmpty, "allow-empty", false, "also take away more than half of what is desired, or all of it")
	allowNewFlag(cmd, &o.allowNew)
	o.flags(cmd)
	return cmd
}

func allowNewFlag(cmd *cobra.Command, dst *[]string) {
	cmd.Flags().StringArrayVar(dst, "allow-new-skill", nil, "skill ID that may be new to the account; repeatable (all: any)")
}

func (o *desiredApplyOptions) run(ctx context.Context) error {
	if o.file == "" {
		return usagef(`--file is missing: name the file to apply ("-": stdin)`)
	}
	o.decide()
	doc, err := o.read(ctx)
	if err != nil {
		return err
	}
	body := client.DesiredApplyRequest{
		Account: ref(o.account), Document: documentBody(doc), AllowEmpty: ref(o.allowEmpty), AllowNewSkills: list(o.allowNew),
		Reason: ref(o.reason),
	}
	o.question = "Make this what is desired in account " + orText(o.account, doc.Account) + "?"
	o.refused = func(plan client.DesiredPlan) string {
		if o.allowEmpty {
			return ""
		}
		return plan.Refusal
	}
	return o.change(ctx, func(ctx context.Context, api *client.Client, c desiredCall) (*client.Response[client.DesiredPlan], error) {
		body.DryRun, body.Expect = ref(c.dryRun), ref(c.expect)
		r, err := api.ApplyDesired(ctx, client.ApplyDesiredParams{IdempotencyKey: ref(c.key)}, body)
		return r, o.explain(err)
	})
}

// read reads the file; what is wrong with it is told as the server would.
func (o *desiredApplyOptions) read(ctx context.Context) (*document.Document, error) {
	f, err := o.p.open("--file", o.file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	doc, err := await(ctx, func() (*document.Document, error) { return document.Read(f) })
	var bad *fleet.Error
	switch {
	case errors.As(err, &bad):
		told := &client.Error{Detail: bad.Message}
		for _, d := range bad.Details {
			told.Details = append(told.Details, client.Fault{Location: d.Location, Message: d.Message, Value: d.Value})
		}
		return nil, o.explain(told)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", fileName(o.file), err)
	case doc.Account == "" && o.account == "":
		return nil, usagef("%s names no account: write account: NAME into it, or say --account", fileName(o.file))
	case doc.Account != "" && o.account != "" && doc.Account != o.account:
		return nil, fmt.Errorf("%s: %s: the file is about account %s, and --account says %s: they must be the same; nothing was changed",
			fileName(o.file), doc.AccountPlace, quote(doc.Account), quote(o.account))
	}
	return doc, nil
}

// explain names the file that an error is about.
func (o *desiredApplyOptions) explain(err error) error {
	var api *client.Error
	if errors.As(err, &api) && len(api.Details) > 0 && !api.Denied() {
		api.Detail = fileName(o.file) + ": " + api.Error()
	}
	return err
}

// documentBody is a document as the API takes it.
func documentBody(doc *document.Document) client.Document {
	body := client.Document{Version: int64(doc.Version), Account: ref(doc.Account), Desired: make([]client.DocumentEntry, len(doc.Entries))}
	for i, e := range doc.Entries {
		skills := make([]client.DocumentSkill, len(e.Skills))
		for j, s := range e.Skills {
			skills[j] = client.DocumentSkill{
				SkillID: s.SkillID, State: client.DocumentSkillState(s.State), Line: ref(int64(s.Line)), Column: ref(int64(s.Column)),
			}
		}
		body.Desired[i] = client.DocumentEntry{Select: e.Select, Skills: skills, Line: ref(int64(e.Line)), Column: ref(int64(e.Column))}
	}
	return body
}

// desiredChange is what the commands that change desired state have in common: plan,
// ask, do.
type desiredChange struct {
	p      *program
	dryRun bool
	yes    bool
	reason string
	key    string

	question string
	refused  func(client.DesiredPlan) string // why the server would refuse the plan; nil: it never does
}

// desiredCall is how a change is asked for.
type desiredCall struct {
	dryRun bool
	expect string // the fingerprint of the plan that was agreed to
	key    string
}

func (o *desiredChange) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show the plan and change nothing; exit with 3 when something would change, 0 when not")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	reasonFlag(cmd, &o.reason)
	keyFlag(cmd.Flags(), &o.key)
}

// decide says that what a script asks for is not asked again.
func (o *desiredChange) decide() { o.yes = o.yes || (!o.dryRun && !o.p.canAsk()) }

// change shows what a change does, asks unless --yes was said, and makes it: nothing
// else than what was shown.
func (o *desiredChange) change(ctx context.Context,
	call func(context.Context, *client.Client, desiredCall) (*client.Response[client.DesiredPlan], error),
) error {
	api, err := o.p.api()
	if err != nil {
		return err
	}
	made := desiredCall{key: key(o.key)}
	if o.dryRun || !o.yes {
		plan, err := call(ctx, api, desiredCall{dryRun: true})
		if err != nil {
			return err
		}
		done, err := o.show(ctx, plan)
		if done || err != nil {
			return err
		}
		made.expect = plan.Value.Fingerprint
	}
	r, err := insist(ctx, o.p, made.key, "the change was made", func() (*client.Response[client.DesiredPlan], error) {
		return call(ctx, api, made)
	})
	if err != nil {
		return err
	}
	return printOne(o.p, desiredPlanColumns(), r.Value, r.Raw, func(w io.Writer) {
		if o.yes {
			o.p.showDesired(w, r.Value)
		}
		if r.Value.ID == "" {
			return
		}
		_, _ = fmt.Fprintf(w, "Changed what is desired in account %s (%s): %s.\n", clean(r.Value.Account), clean(r.Value.ID), desiredText(r.Value.Counts))
		o.p.note("Nothing was sent to the homes: a rollout, or an audit and a repair, does that.")
	})
}

// show shows the plan of a dry run on stdout, and one to agree to on stderr. done says
// that there is nothing to do after it.
func (o *desiredChange) show(ctx context.Context, plan *client.Response[client.DesiredPlan]) (done bool, err error) {
	changes := desiredChanges(plan.Value.Counts)
	refusal := ""
	if o.refused != nil {
		refusal = o.refused(plan.Value)
	}
	if o.dryRun || (changes == 0 && len(plan.Value.Unmanaged) == 0) {
		err := printOne(o.p, desiredPlanColumns(), plan.Value, plan.Raw, func(w io.Writer) { o.p.showDesired(w, plan.Value) })
		if refusal != "" {
			o.p.note("It would be refused: %s", refusal)
		}
		if err == nil && changes > 0 {
			err = &codeError{code: exitDifference}
		}
		return true, err
	}
	aside := *o.p
	aside.stdout = o.p.stderr // stdout is for what was changed
	aside.showDesired(o.p.stderr, plan.Value)
	_, _ = fmt.Fprintln(o.p.stderr)
	if refusal != "" {
		return true, &codeError{code: exitError, msg: refusal + "; nothing was changed"}
	}
	if ok, err := o.p.confirm(ctx, o.question); err != nil || !ok {
		return true, declined(err)
	}
	return false, nil
}
