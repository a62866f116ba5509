package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// completeTimeout keeps the shell from hanging on a server that does not answer.
const completeTimeout = 2 * time.Second

// completeAccounts offers the names of accounts.
func (p *program) completeAccounts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.offer(cmd, args, func(ctx context.Context, api *client.Client) []string {
		r, err := api.ListAccounts(ctx, client.ListAccountsParams{})
		if err != nil {
			return nil
		}
		names := make([]string, len(r.Value.Items))
		for i, a := range r.Value.Items {
			names[i] = a.Name
		}
		return names
	})
}

// completeRollouts offers the IDs of the latest rollouts.
func (p *program) completeRollouts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.offer(cmd, args, func(ctx context.Context, api *client.Client) []string {
		r, err := api.ListRollouts(ctx, client.ListRolloutsParams{Limit: ref(int64(50))})
		if err != nil {
			return nil
		}
		ids := make([]string, len(r.Value.Items))
		for i, x := range r.Value.Items {
			ids[i] = x.ID + "\t" + x.State + ", " + x.Action + " " + x.SkillID
		}
		return ids
	})
}

// completeAudits offers the IDs of the latest audits.
func (p *program) completeAudits(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.offer(cmd, args, func(ctx context.Context, api *client.Client) []string {
		r, err := api.ListAudits(ctx, client.ListAuditsParams{Limit: ref(int64(50))})
		if err != nil {
			return nil
		}
		ids := make([]string, len(r.Value.Items))
		for i, x := range r.Value.Items {
			ids[i] = x.ID + "\t" + x.State + ", " + x.Account + ", " + things(x.Units, "home")
		}
		return ids
	})
}

// offer asks the server for what completes an argument; without an answer in time
// there is nothing to offer.
func (p *program) offer(cmd *cobra.Command, args []string, ask func(context.Context, *client.Client) []string) ([]string, cobra.ShellCompDirective) {
	if cmd.Flags().NArg() == 0 && len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	api, err := p.api()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	return ask(ctx, api), cobra.ShellCompDirectiveNoFileComp
}
