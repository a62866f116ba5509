package main

import "github.com/spf13/cobra"

// eventSubscriberVerbs are the commands of the skill development notifications API.
func eventSubscriberVerbs(*program) []*cobra.Command { return nil }
