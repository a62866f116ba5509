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

func newEventRule(p *program) *cobra.Command {
	return noun("rule", "", "What is done when an event comes", newEventRuleCreate(p), newEventRuleList(p), newEventRuleDelete(p))
}

func eventRuleColumns(p *program) []column[client.EventRule] {
	type rule = client.EventRule
	return []column[rule]{
		{head: "id", text: func(r rule) string { return r.ID }},
		{head: "account", text: func(r rule) string { return r.Account }},
		{head: "event", text: func(r rule) string { return shortEvent(r.Event) }, csv: func(r rule) string { return r.Event }},
		{head: "status", text: func(r rule) string { return r.Status }},
		{head: "skill_id", text: func(r rule) string { return r.SkillID }},
		{head: "action", text: func(r rule) string { return r.Action }},
		{head: "argument", text: func(r rule) string { return r.Argument }},
		{
			head: "created", right: true, wide: true, text: func(r rule) string { return p.age(r.CreatedAt) },
			csvHead: "created_at", csv: func(r rule) string { return stamp(r.CreatedAt) },
		},
		{head: "created_by", text: func(r rule) string { return r.CreatedBy }, wide: true},
		{head: "reason", text: func(r rule) string { return r.Reason }, wide: true},
	}
}

// eventRuleOptions are the inputs of `event rule create`.
type eventRuleOptions struct {
	p        *program
	account  string
	event    string
	status   string
	skill    string
	action   string
	rollout  string
	selector string
	reason   string
	key      string
}

func newEventRuleCreate(p *program) *cobra.Command {
	o := &eventRuleOptions{p: p}
	statuses := []string{fleet.EventAny, fleet.EventSucceeded, fleet.EventFailed}
	cmd := &cobra.Command{
		Use: "create", Short: "Say what is done when an event comes", Args: cobra.NoArgs,
		Long: `Say what is done when an event comes. The actions:

  resume_rollout     sets --rollout going again, which is paused or halted
  start_rollout      begins --rollout, which was made paused or waits for its time
  halt_rollouts      halts what enables the event's skill, where the developer API says that it was withdrawn
  refresh_preflight  looks anew whether the event's skill can be rolled out
  start_audit        audits the homes of --select

Each event acts once. One that comes late, after a newer one of its kind, does not act. What came of it stands on the
event (event show ID) and in the log as the actor "rule ID".`,
		Example: `  fleetctl event rule create --account acme --event SkillPublish --action resume_rollout --rollout ro-7k2m
  fleetctl event rule create --account acme --action halt_rollouts --reason "withdrawn skills fail everywhere"`,
		RunE: p.do(o.run),
	}
	accountFlag(cmd, p, &o.account)
	fs := cmd.Flags()
	fs.StringVar(&o.event, "event", "", "the event: "+strings.Join(shortEvents(), "|")+" (any when not given)")
	fs.StringVar(&o.status, "status", "", "its status: "+strings.Join(statuses, "|")+" (SUCCEEDED for what sets a rollout going, else any)")
	fs.StringVar(&o.skill, "skill", "", "its skill, or any (that of the rollout, else any)")
	fs.StringVar(&o.action, "action", "", "what is done: "+strings.Join(texts(fleet.EventActions()), "|"))
	fs.StringVar(&o.rollout, "rollout", "", "the rollout, of resume_rollout and start_rollout")
	fs.StringVar(&o.selector, "select", "", "which homes, of start_audit (all when not given): "+selectorHelp)
	reasonFlag(cmd, &o.reason)
	keyFlag(fs, &o.key)
	complete(cmd, "event", append(shortEvents(), fleet.EventAny)...)
	complete(cmd, "status", statuses...)
	complete(cmd, "action", texts(fleet.EventActions())...)
	_ = cmd.RegisterFlagCompletionFunc("rollout", p.completeRollouts)
	return cmd
}

// check refuses what cannot be right before anything is sent.
func (o *eventRuleOptions) check() error {
	if err := needAccount(o.account); err != nil {
		return err
	}
	action := fleet.EventAction(o.action)
	switch {
	case o.action == "":
		return usagef("--action is missing: say what is done, %s", strings.Join(texts(fleet.EventActions()), "|"))
	case action.OfRollout() && o.rollout == "":
		return usagef("--rollout is missing: %s needs the rollout", o.action)
	case !action.OfRollout() && o.rollout != "":
		return usagef("--rollout is for resume_rollout and start_rollout only")
	case action != fleet.EventStartAudit && o.selector != "":
		return usagef("--select is for start_audit only")
	}
	if err := oneOf("--action", o.action, texts(fleet.EventActions())); err != nil {
		return err
	}
	if err := oneOf("--status", o.status, []string{fleet.EventAny, fleet.EventSucceeded, fleet.EventFailed}); err != nil {
		return err
	}
	if _, ok := fleet.EventName(o.event); !ok && o.event != "" && o.event != fleet.EventAny {
		return usagef("--event %q is not one of %s", o.event, strings.Join(append(shortEvents(), fleet.EventAny), ", "))
	}
	if o.selector != "" {
		return checkSelector(o.selector)
	}
	return nil
}

func (o *eventRuleOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	api, err := o.p.api()
	if err != nil {
		return err
	}
	key := key(o.key)
	r, err := insist(ctx, o.p, key, "the rule was made", func() (*client.Response[client.EventRule], error) {
		return api.CreateEventRule(ctx, client.CreateEventRuleParams{IdempotencyKey: ref(key)}, client.EventRuleRequest{
			Account: o.account, Event: ref(o.event), Status: ref(client.EventRuleRequestStatus(o.status)), SkillID: ref(o.skill),
			Action: client.EventRuleRequestAction(o.action), Argument: ref(orText(o.rollout, o.selector)), Reason: ref(o.reason),
		})
	})
	if err != nil {
		return err
	}
	return printOne(o.p, eventRuleColumns(o.p), r.Value, r.Raw, func(w io.Writer) {
		_, _ = fmt.Fprintln(w, clean(ruleText(r.Value)))
	})
}

// ruleText is a rule as a sentence.
func ruleText(r client.EventRule) string {
	event := "any event"
	if r.Event != fleet.EventAny {
		event = shortEvent(r.Event)
	}
	about := ""
	if r.SkillID != fleet.EventAny {
		about = " of " + r.SkillID
	}
	return fmt.Sprintf("rule %s of account %s: on %s%s%s do %s", r.ID, r.Account, event,
		mark(r.Status != fleet.EventAny, " "+r.Status), about, joinNonEmpty(" ", r.Action, r.Argument))
}

func newEventRuleList(p *program) *cobra.Command {
	var (
		account string
		list    listOptions
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the rules of events", Args: cobra.NoArgs,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			return printList(ctx, p, list, eventRuleColumns(p), "No rules. Make one: fleetctl event rule create",
				func(ctx context.Context, cursor string, limit int) (page[client.EventRule], error) {
					r, err := api.ListEventRules(ctx, client.ListEventRulesParams{Account: ref(account), Cursor: ref(cursor), Limit: ref(int64(limit))})
					if err != nil {
						return page[client.EventRule]{}, err
					}
					return page[client.EventRule]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
				})
		}),
	}
	accountFlag(cmd, p, &account)
	cmd.Flags().Lookup("account").Usage = "only those of this account"
	list.flags(cmd.Flags(), 0)
	return cmd
}

func newEventRuleDelete(p *program) *cobra.Command {
	var (
		id     string
		agreed consent
	)
	cmd := &cobra.Command{
		Use: "delete ID", Aliases: []string{"rm"}, Short: "Delete a rule of events", Args: oneArg("ID", &id),
		RunE: p.do(func(ctx context.Context) error {
			if err := agreed.ask(ctx, p, "Delete event rule %s?", clean(id)); err != nil {
				return err
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			if err := api.DeleteEventRule(ctx, id, client.DeleteEventRuleParams{Reason: ref(agreed.reason)}); err != nil {
				return err
			}
			return p.say("rule %s deleted", id)
		}),
	}
	agreed.flags(cmd)
	return cmd
}
