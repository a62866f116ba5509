package main

import "github.com/spf13/cobra"

// skillManifestVerbs are the commands of the skill manifest API.
func skillManifestVerbs(*program) []*cobra.Command { return nil }
