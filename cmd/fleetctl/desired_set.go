package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// desiredSetOptions are the inputs of `desired set`.
type desiredSetOptions struct {
	desiredChange

	state     string
	account   string
	skill     string
	selector  string
	unitsFile string
	allowNew  []string
}

func newDesiredSet(p *program) *cobra.Command {
	o := &desiredSetOptions{desiredChange: desiredChange{p: p}}
	cmd := &cobra.Command{
		Use: "set STATE", Short: "Set what one skill should be on some homes: a stage, or disabled", Args: oneArg("STATE", &o.state),
		Long: `Set what one skill should be on some homes: development, certification or live for the stage it should be
enabled at, or disabled. Nothing is sent to the homes. Occupied homes take part: this is what should be on them,
and a repair leaves them alone until they are vacant. A skill to enable that the account never met, while it has met
others, is taken for a mistake unless --allow-new-skill names it again.`,
		Example: `  fleetctl desired set live --account acme --skill amzn1.ask.skill.x --select property=maple-court
  fleetctl desired set live --account acme --skill amzn1.ask.skill.y --select all --allow-new-skill amzn1.ask.skill.y`,
		ValidArgs: texts(fleet.DesiredStates()),
		RunE:      p.do(o.run),
	}
	fs := cmd.Flags()
	accountFlag(cmd, p, &o.account)
	fs.StringVar(&o.skill, "skill", "", "skill ID")
	fs.StringVar(&o.selector, "select", "", "which homes: "+selectorHelp)
	fs.StringVar(&o.unitsFile, "units-file", "", `file that lists the homes, instead of --select ("-": stdin)`)
	allowNewFlag(cmd, &o.allowNew)
	o.flags(cmd)
	return cmd
}

func (o *desiredSetOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	if err := oneOf("STATE", o.state, texts(fleet.DesiredStates())); err != nil {
		return err
	}
	switch {
	case o.skill == "":
		return usagef("--skill is missing: name the skill by its ID")
	case o.selector == "" && o.unitsFile == "":
		return usagef("say which homes: --select all, --select property=NAME, or --units-file FILE")
	case o.selector != "" && o.unitsFile != "":
		return usagef("--select and --units-file exclude each other")
	case o.selector != "":
		if err := checkSelector(o.selector); err != nil {
			return err
		}
	}
	o.decide()
	body := client.DesiredSetRequest{
		Account: o.account, SkillID: o.skill, State: client.DesiredSetRequestState(o.state), Selector: ref(o.selector),
		AllowNewSkills: list(o.allowNew), Reason: ref(o.reason),
	}
	if o.unitsFile != "" {
		f, err := o.p.open("--units-file", o.unitsFile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		ids, err := readUnitIDs(f)
		if err != nil {
			return fmt.Errorf("--units-file %s: %w", fileName(o.unitsFile), err)
		}
		body.UnitIDs = &ids
	}
	o.question = fmt.Sprintf("Set %s %s?", o.skill, o.state)
	return o.change(ctx, func(ctx context.Context, api *client.Client, c desiredCall) (*client.Response[client.DesiredPlan], error) {
		body.DryRun, body.Expect = ref(c.dryRun), ref(c.expect)
		return api.SetDesired(ctx, client.SetDesiredParams{IdempotencyKey: ref(c.key)}, body)
	})
}

// desiredAdoptOptions are the inputs of `desired adopt`.
type desiredAdoptOptions struct {
	desiredChange

	account  string
	selector string
	skills   []string
	disabled bool
}

func newDesiredAdopt(p *program) *cobra.Command {
	o := &desiredAdoptOptions{desiredChange: desiredChange{p: p}}
	cmd := &cobra.Command{
		Use: "adopt", Short: "Make what was last seen enabled on homes what should be", Args: cobra.NoArgs,
		Long: `Make what was last seen enabled on homes what should be: every skill that an audit, a write or a read last saw
ENABLED, at the stage it was seen at. Homes that were never seen whole are counted; an audit sees them. What should
be enabled and was seen not to be stays as it is, unless --disabled: then it should be disabled from here on.
Protected skills take no part.`,
		Example: `  fleetctl desired adopt --account acme --select property=maple-court --dry-run
  fleetctl desired adopt --account acme --select all --skill amzn1.ask.skill.x --reason "as the installer left it"`,
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	cmd.Flags().StringVar(&o.selector, "select", "", "which homes: "+selectorHelp)
	cmd.Flags().StringArrayVar(&o.skills, "skill", nil, "only this skill; repeatable")
	cmd.Flags().BoolVar(&o.disabled, "disabled", false, "also take what should be enabled and was seen not to be: it becomes disabled")
	o.flags(cmd)
	return cmd
}

func (o *desiredAdoptOptions) run(ctx context.Context) error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	if o.selector == "" {
		return usagef("say which homes: --select all, or --select property=NAME")
	}
	if err := checkSelector(o.selector); err != nil {
		return err
	}
	o.decide()
	body := client.DesiredAdoptRequest{
		Account: o.account, Selector: o.selector, Skills: list(o.skills), Disabled: ref(o.disabled), Reason: ref(o.reason),
	}
	o.question = "Make what was seen what is desired in account " + o.account + "?"
	return o.change(ctx, func(ctx context.Context, api *client.Client, c desiredCall) (*client.Response[client.DesiredPlan], error) {
		body.DryRun, body.Expect = ref(c.dryRun), ref(c.expect)
		return api.AdoptDesired(ctx, client.AdoptDesiredParams{IdempotencyKey: ref(c.key)}, body)
	})
}
