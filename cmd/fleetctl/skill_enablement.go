package main

import "github.com/spf13/cobra"

// skillEnablementVerbs are the commands of the skill enablement API.
func skillEnablementVerbs(*program) []*cobra.Command { return nil }
