package main

import "github.com/spf13/cobra"

// newSkill is the noun of everything about a skill beside rolling it out.
func newSkill(p *program) *cobra.Command {
	cmd := noun("skill", "fleet", "Skills of the account's vendor: their manifests, their state, where they are enabled")
	cmd.AddCommand(skillManifestVerbs(p)...)
	cmd.AddCommand(skillEnablementVerbs(p)...)
	cmd.AddCommand(skillPreflightVerbs(p)...)
	return cmd
}
