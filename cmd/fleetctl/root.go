package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"charm.land/fang/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fleetd/internal/client"
)

// defaultServer is where `fleetd serve` listens when nothing is configured.
const defaultServer = "http://127.0.0.1:8080"

// globalOptions are the flags of every command.
type globalOptions struct {
	server  string
	token   string
	context string
	output  string
	noColor bool
}

func (o *globalOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&o.server, "server", "", "address of fleetd (FLEETCTL_SERVER, else the context's, else "+defaultServer+")")
	fs.StringVar(&o.token, "token", "", "bearer token (FLEETCTL_TOKEN, else the context's)")
	fs.StringVar(&o.context, "context", "", "context to use from the contexts file (FLEETCTL_CONTEXT, else the current one)")
	fs.StringVarP(&o.output, "output", "o", formatTable, "output format: "+strings.Join(formats(), "|"))
	fs.BoolVar(&o.noColor, "no-color", false, "print no colors (NO_COLOR)")
}

// newRoot builds the command tree.
func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetctl",
		Short: "Roll voice skills out to homes, and see what came of it",
		Long: `fleetctl asks fleetd to enable or disable Alexa skills in many homes, and shows what came of it.

The main job: account create, unit import, rollout plan, rollout create --watch.

Exit codes: 0 done; 1 error; 2 usage; 3 a difference was found; 4 not authenticated or not allowed;
5 a watched rollout or audit stopped or ended short of success; 8 still running when --timeout passed.

(The command of the same name of Fleet Device Management is unrelated.)`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
		Args:              noVerb,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if !slices.Contains(formats(), p.global.output) {
				return usagef("output format %q is not one of %s", p.global.output, strings.Join(formats(), ", "))
			}
			return nil
		},
	}
	p.global.flags(root.PersistentFlags())
	complete(root, "output", formats()...)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.AddGroup(&cobra.Group{ID: "fleet", Title: "fleet"}, &cobra.Group{ID: "access", Title: "access"})
	root.AddCommand(
		newAccount(p), newUnit(p), newRollout(p), newAudit(p), newDrift(p), newDesired(p), newSkill(p), newEvent(p),
		newLog(p), newToken(p), newContext(p),
		newVersion(p),
	)
	return root
}

// noun makes the command that holds the verbs of a noun.
func noun(use, group, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, GroupID: group, Short: short, Args: noVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// noVerb refuses what is not a command. Without it cobra answers `account lst` with help and success.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	msg := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		msg += fmt.Sprintf("; did you mean %s?", strings.Join(near, ", "))
	}
	return usagef("%s", msg)
}

// nameArgs takes exactly the named arguments, and says which one is missing.
func nameArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef("%s is missing: %s", names[len(args)], cmd.UseLine())
		}
		if len(args) > len(names) {
			return usagef("unexpected argument %q: %s", args[len(names)], cmd.UseLine())
		}
		return nil
	}
}

// do makes a command of a function. What the function returns is kept apart from
// what cobra returns, which is about usage.
func (p *program) do(run func(ctx context.Context) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		p.failure = run(cmd.Context())
		return nil
	}
}

// call makes a command of a function that asks fleetd, once check has found nothing
// wrong with the command line.
func (p *program) call(check func() error, run func(ctx context.Context, api *client.Client) error) func(*cobra.Command, []string) error {
	return p.do(func(ctx context.Context) error {
		if err := check(); err != nil {
			return err
		}
		api, err := p.api()
		if err != nil {
			return err
		}
		return run(ctx, api)
	})
}

// run runs one command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := newRoot(p) //nolint:contextcheck // Commands get the context when they run.
	root.SetArgs(args)
	plain := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if !p.colored(p.stdout) || p.drawHelp(ctx, cmd) != nil {
			plain(cmd, args)
		}
	})
	if err := root.ExecuteContext(ctx); err != nil {
		return p.fail(asUsage(err))
	}
	return p.fail(p.failure)
}

// drawHelp has fang draw the help of a command on a terminal. fang is given that
// and nothing else to do: it would ask the terminal for its colors at every error,
// and its padding and cut-off examples are in the way where there is no terminal.
func (p *program) drawHelp(ctx context.Context, cmd *cobra.Command) error {
	root := newRoot(p) //nolint:contextcheck // Commands get the context when they run.
	root.SetArgs(append(strings.Fields(cmd.CommandPath())[1:], "--help"))
	return fang.Execute(ctx, root, fang.WithoutVersion(), fang.WithoutManpage(),
		fang.WithErrorHandler(func(io.Writer, fang.Styles, error) {}))
}

// api makes the client of the server that this run talks to.
func (p *program) api() (*client.Client, error) {
	target, err := p.target()
	if err != nil {
		return nil, err
	}
	if target.token == "" {
		return nil, &deniedError{msg: fmt.Sprintf("no token for fleetd at %s", target.server), mend: tokenMend}
	}
	c, err := client.New(client.Config{Server: target.server, Token: target.token, UserAgent: "fleetctl/" + programVersion(), Transport: p.patience()})
	if err != nil {
		return nil, usagef("%s", err)
	}
	return c, nil
}

// complete registers the values of a flag for the shell's completion.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}
