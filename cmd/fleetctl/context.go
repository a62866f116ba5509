package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

func newContext(p *program) *cobra.Command {
	return noun("context", "access", "Remember servers and tokens, and choose among them",
		newContextList(p), newContextUse(p), newContextSet(p), newContextDelete(p))
}

// contextRow is a context as it is shown: without its token.
type contextRow struct {
	Name    string `json:"name"`
	Server  string `json:"server"`
	Token   bool   `json:"token"` // whether there is one
	Current bool   `json:"current"`
}

func contextColumns() []column[contextRow] {
	return []column[contextRow]{
		{head: "current", text: func(c contextRow) string { return mark(c.Current, "*") }, csv: func(c contextRow) string { return fmt.Sprint(c.Current) }},
		{head: "name", text: func(c contextRow) string { return c.Name }},
		{head: "server", text: func(c contextRow) string { return c.Server }},
		{head: "token", text: func(c contextRow) string { return mark(c.Token, "yes") }, csv: func(c contextRow) string { return fmt.Sprint(c.Token) }},
	}
}

func newContextList(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the contexts", Args: cobra.NoArgs,
		RunE: p.do(func(context.Context) error {
			file, err := p.readContexts()
			if err != nil {
				return err
			}
			rows := []contextRow{}
			for _, name := range slices.Sorted(maps.Keys(file.Contexts)) {
				c := file.Contexts[name]
				rows = append(rows, contextRow{Name: name, Server: c.Server, Token: c.Token != "", Current: name == file.Current})
			}
			raw, err := json.Marshal(map[string]any{"items": rows, "next_cursor": ""})
			if err != nil {
				return fmt.Errorf("list contexts: %w", err)
			}
			return printAll(p, contextColumns(), rows, raw, "No contexts. Make one: fleetctl context set NAME --server URL --token-file FILE")
		}),
	}
}

func newContextUse(p *program) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "use NAME", Short: "Make a context the current one", Args: oneArg("NAME", &name),
		RunE: p.do(func(context.Context) error {
			file, err := p.readContexts()
			if err != nil {
				return err
			}
			if _, ok := file.Contexts[name]; !ok {
				return unknownContext(name, file)
			}
			file.Current = name
			if err := p.writeContexts(file); err != nil {
				return err
			}
			return p.say("context %s is the current one (%s)", name, file.Contexts[name].Server)
		}),
	}
	return cmd
}

// contextSetOptions are the inputs of `context set`.
type contextSetOptions struct {
	p         *program
	name      string
	tokenFile string
}

func newContextSet(p *program) *cobra.Command {
	o := &contextSetOptions{p: p}
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Make or change a context; the first one becomes the current one", Args: oneArg("NAME", &o.name),
		Long: `Make or change a context: the server named by --server and the token in --token-file ("-": stdin).
What is not named stays as it is. The file is FLEETCTL_CONFIG, else fleetctl/contexts.json under the
user's config folder, and only its owner may read it.`,
		Example: `  fleetctl context set prod --server https://fleet.example.com --token-file ./token
  fleetd token create --name me --role admin | fleetctl context set local --server http://127.0.0.1:8080 --token-file -`,
		RunE: p.do(o.run),
	}
	cmd.Flags().StringVar(&o.tokenFile, "token-file", "", `file that holds the token ("-": stdin)`)
	return cmd
}

func (o *contextSetOptions) run(ctx context.Context) error {
	file, err := o.p.readContexts()
	if err != nil {
		return err
	}
	entry := file.Contexts[o.name]
	if server := o.p.global.server; server != "" {
		if _, err := client.New(client.Config{Server: server}); err != nil {
			return usagef("%s", err)
		}
		if !sameServer(server, entry.Server) {
			entry.Token = "" // a token is for one server
		}
		entry.Server = server
	}
	if entry.Server == "" {
		return usagef("--server is missing: a context needs the address of its fleetd")
	}
	if o.p.global.token != "" {
		return usagef("--token is not kept: put the token into a file, or into stdin, and name it with --token-file")
	}
	if o.tokenFile != "" {
		if entry.Token, err = o.p.secret(ctx, "token-file", o.tokenFile); err != nil {
			return err
		}
	}
	file.Contexts[o.name] = entry
	if file.Current == "" {
		file.Current = o.name
	}
	if err := o.p.writeContexts(file); err != nil {
		return err
	}
	if entry.Token == "" {
		o.p.note("The context has no token yet: name a file that holds one with --token-file.")
	}
	return o.p.say("context %s set", o.name)
}

func newContextDelete(p *program) *cobra.Command {
	var name string
	return &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Forget a context and its token", Args: oneArg("NAME", &name),
		RunE: p.do(func(context.Context) error {
			file, err := p.readContexts()
			if err != nil {
				return err
			}
			if _, ok := file.Contexts[name]; !ok {
				return unknownContext(name, file)
			}
			delete(file.Contexts, name)
			if file.Current == name {
				file.Current = ""
			}
			if err := p.writeContexts(file); err != nil {
				return err
			}
			return p.say("context %s deleted", name)
		}),
	}
}
