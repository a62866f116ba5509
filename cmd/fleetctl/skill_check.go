package main

import "github.com/spf13/cobra"

// skillPreflightVerbs are the commands that check a skill before it is rolled out.
func skillPreflightVerbs(*program) []*cobra.Command { return nil }
