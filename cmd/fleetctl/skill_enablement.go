package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// skillEnablementVerbs are the commands of the skill enablement API.
func skillEnablementVerbs(p *program) []*cobra.Command {
	return []*cobra.Command{newSkillEnable(p), newSkillDisable(p), newSkillEnablement(p), newSkillCustomer(p)}
}

// enablementStages are the stages that the skill enablement API knows.
func enablementStages() []string {
	return []string{string(fleet.StageDevelopment), string(fleet.StageLive)}
}

// enablementOptions are the inputs of the commands about one skill.
type enablementOptions struct {
	p       *program
	skill   string
	account string
	stage   string
	reason  string
}

func (o *enablementOptions) flags(cmd *cobra.Command) {
	accountFlag(cmd, o.p, &o.account)
	cmd.Args = oneArg("SKILL", &o.skill)
}

func (o *enablementOptions) stageFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.stage, "stage", "", "which stage: "+strings.Join(enablementStages(), "|"))
	complete(cmd, "stage", enablementStages()...)
}

func (o *enablementOptions) check() error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	return checkSkillID(o.skill)
}

func (o *enablementOptions) checkStage() error {
	if err := o.check(); err != nil {
		return err
	}
	if o.stage == "" {
		return usagef("--stage is missing: say which, %s", strings.Join(enablementStages(), "|"))
	}
	return oneOf("--stage", o.stage, enablementStages())
}

// checkSkillID refuses what would be another address.
func checkSkillID(id string) error {
	if strings.ContainsAny(id, " \t\r\n") || id == "." || id == ".." {
		return usagef("SKILL %s is not a skill ID, such as amzn1.ask.skill.0a1b2c3d", quote(id))
	}
	return nil
}

func developerEnablementColumns() []column[client.DeveloperEnablement] {
	type enablement = client.DeveloperEnablement
	return []column[enablement]{
		{head: "skill_id", text: func(e enablement) string { return e.SkillID }},
		{head: "stage", text: func(e enablement) string { return e.Stage }},
		{head: "enabled", text: func(e enablement) string { return fmt.Sprint(e.Enabled) }},
	}
}

func (o *enablementOptions) print(r *client.Response[client.DeveloperEnablement], word string) error {
	return printOne(o.p, developerEnablementColumns(), r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "skill %s %s at %s for the developer of account %s\n", clean(r.Value.SkillID), word, clean(r.Value.Stage), clean(o.account))
	})
}

func newSkillEnable(p *program) *cobra.Command {
	o := &enablementOptions{p: p}
	cmd := &cobra.Command{
		Use: "enable SKILL", Short: "Enable a stage of a skill for its developer",
		Long: `Enable a stage of a skill for its developer: for the developer's own devices and tests. Homes get a skill by
"fleetctl rollout create". A stage that is not live must be enabled so before any home can have it. Another stage that is
enabled is disabled first.`,
		Example: `  fleetctl skill enable amzn1.ask.skill.0a1b2c3d --stage development --account acme`,
		RunE: p.call(o.checkStage, func(ctx context.Context, api *client.Client) error {
			r, err := api.EnableSkill(ctx, o.account, o.skill, client.EnableSkillParamsStage(o.stage), client.ReasonBody{Reason: ref(o.reason)})
			if err != nil {
				return err
			}
			return o.print(r, "enabled")
		}),
	}
	o.flags(cmd)
	o.stageFlag(cmd)
	reasonFlag(cmd, &o.reason)
	return cmd
}

func newSkillDisable(p *program) *cobra.Command {
	o := &enablementOptions{p: p}
	cmd := &cobra.Command{
		Use: "disable SKILL", Short: "Disable a stage of a skill for its developer",
		RunE: p.call(o.checkStage, func(ctx context.Context, api *client.Client) error {
			r, err := api.DisableSkill(ctx, o.account, o.skill, client.DisableSkillParamsStage(o.stage), client.DisableSkillParams{Reason: ref(o.reason)})
			if err != nil {
				return err
			}
			return o.print(r, "disabled")
		}),
	}
	o.flags(cmd)
	o.stageFlag(cmd)
	reasonFlag(cmd, &o.reason)
	return cmd
}

func newSkillEnablement(p *program) *cobra.Command {
	o := &enablementOptions{p: p}
	cmd := &cobra.Command{
		Use: "enablement SKILL", Short: "Say whether a stage of a skill is enabled for its developer",
		Long: `Say whether a stage of a skill is enabled for its developer. One that is not there at all is not enabled either:
the API tells no difference. "fleetctl skill status" does.`,
		RunE: p.call(o.checkStage, func(ctx context.Context, api *client.Client) error {
			r, err := api.GetEnablement(ctx, o.account, o.skill, client.GetEnablementParamsStage(o.stage))
			if err != nil {
				return err
			}
			word := "is not enabled"
			if r.Value.Enabled {
				word = "is enabled"
			}
			return o.print(r, word)
		}),
	}
	o.flags(cmd)
	o.stageFlag(cmd)
	return cmd
}
