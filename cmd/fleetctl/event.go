package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// newEvent is the noun of what Amazon tells about skills, and what is done about it.
func newEvent(p *program) *cobra.Command {
	cmd := noun("event", "fleet", "Events of skills: what Amazon tells of them, and what is done about it",
		newEventList(p), newEventShow(p), newEventTail(p), newEventHook(p), newEventRule(p))
	cmd.AddCommand(eventSubscriberVerbs(p)...)
	return cmd
}

// eventFilter picks events.
type eventFilter struct{ account, name, skill string }

func (f *eventFilter) flags(cmd *cobra.Command, p *program) {
	accountFlag(cmd, p, &f.account)
	cmd.Flags().Lookup("account").Usage = "only those of this account"
	cmd.Flags().StringVar(&f.name, "name", "", "only those of this name, such as SkillPublish")
	cmd.Flags().StringVar(&f.skill, "skill", "", "only those about this skill")
	complete(cmd, "name", shortEvents()...)
}

func (f *eventFilter) params(since, cursor string, limit int) client.ListEventsParams {
	return client.ListEventsParams{
		Account: ref(f.account), Name: ref(f.name), SkillID: ref(f.skill), Since: ref(since), Cursor: ref(cursor), Limit: ref(int64(limit)),
	}
}

// shortEvent is the name of an event as people say it: what stands after the dot.
func shortEvent(name string) string {
	if _, short, ok := strings.Cut(name, "."); ok {
		return short
	}
	return name
}

func shortEvents() []string {
	names := fleet.EventNames()
	for i, name := range names {
		names[i] = shortEvent(name)
	}
	return names
}

// moment is a time to the second, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// lateText is how long after it happened an event was received; empty where it does not say.
func lateText(e client.Event) string {
	if e.EventAt == nil {
		return ""
	}
	return span(e.ReceivedAt.Sub(*e.EventAt))
}

// eventColor is the color of what became of an event.
func eventColor(e client.Event) string {
	switch fleet.EventDisposition(e.Disposition) {
	case fleet.EventActed:
		return green
	case fleet.EventReceived, fleet.EventActing, fleet.EventUnknown:
		return yellow
	case fleet.EventNoRule, fleet.EventSuperseded, fleet.EventDuplicate, fleet.EventEmpty, fleet.EventSubscription:
	}
	return ""
}

// actedText says in a few words what the rules did: "resume_rollout done".
func actedText(e client.Event) string {
	parts := make([]string, len(e.Actions))
	for i, a := range e.Actions {
		parts[i] = a.Action + " " + a.State
	}
	return strings.Join(parts, ", ")
}

func eventColumns() []column[client.Event] {
	type event = client.Event
	return []column[event]{
		{head: "id", text: func(e event) string { return e.ID }},
		{
			head: "received", text: func(e event) string { return moment(e.ReceivedAt) },
			csvHead: "received_at", csv: func(e event) string { return stamp(e.ReceivedAt) },
		},
		{
			head: "late", right: true, text: lateText,
			csvHead: "event_at", csv: func(e event) string { return stampOf(e.EventAt) },
		},
		{head: "account", text: func(e event) string { return e.Account }},
		{head: "name", text: func(e event) string { return shortEvent(e.Name) }, csv: func(e event) string { return e.Name }},
		{head: "status", text: func(e event) string { return e.Status }},
		{head: "skill_id", text: func(e event) string { return e.SkillID }},
		{head: "locale", text: func(e event) string { return e.Locale }, wide: true},
		{head: "disposition", text: func(e event) string { return e.Disposition }, color: eventColor},
		{head: "actions", text: actedText},
		{head: "duplicate_of", text: func(e event) string { return e.DuplicateOf }, wide: true},
		{head: "vendor_id", text: func(e event) string { return e.VendorID }, wide: true},
		{head: "request_id", text: func(e event) string { return e.RequestID }, wide: true},
		{head: "message_id", text: func(e event) string { return e.MessageID }, wide: true},
	}
}

func newEventList(p *program) *cobra.Command {
	var (
		filter eventFilter
		list   listOptions
		since  string
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List events, newest first", Args: cobra.NoArgs,
		Example: `  fleetctl event list --account acme --name SkillPublish
  fleetctl event list --since 2026-03-01T00:00:00Z --limit 0 -o csv`,
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			return printList(ctx, p, list, eventColumns(), "No events.",
				func(ctx context.Context, cursor string, limit int) (page[client.Event], error) {
					r, err := api.ListEvents(ctx, filter.params(since, cursor, limit))
					if err != nil {
						return page[client.Event]{}, err
					}
					return page[client.Event]{items: r.Value.Items, next: r.Value.NextCursor, raw: r.Raw}, nil
				})
		}),
	}
	filter.flags(cmd, p)
	cmd.Flags().StringVar(&since, "since", "", "only what came after this event or this time (RFC 3339), oldest first")
	list.flags(cmd.Flags(), 100)
	return cmd
}

func newEventShow(p *program) *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show an event, what was done about it, and its message", Args: oneArg("ID", &id),
		RunE: p.do(func(ctx context.Context) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			r, err := api.GetEvent(ctx, id)
			if err != nil {
				return err
			}
			e := plainEvent(r.Value)
			return printOne(p, eventColumns(), e, r.Raw, func(w io.Writer) { p.showEvent(w, e, r.Value.Body) })
		}),
	}
	return cmd
}

// plainEvent is the event without its message.
func plainEvent(e client.EventDetail) client.Event {
	return client.Event{
		ID: e.ID, Account: e.Account, Name: e.Name, Status: e.Status, SkillID: e.SkillID, VendorID: e.VendorID, Locale: e.Locale,
		SubscriptionID: e.SubscriptionID, RequestID: e.RequestID, ReviewID: e.ReviewID, Actor: e.Actor, EventAt: e.EventAt,
		SentAt: e.SentAt, ReceivedAt: e.ReceivedAt, ProcessedAt: e.ProcessedAt, Disposition: e.Disposition, DuplicateOf: e.DuplicateOf,
		MessageID: e.MessageID, Topic: e.Topic, RawDelivery: e.RawDelivery, Actions: e.Actions,
	}
}

func (p *program) showEvent(w io.Writer, e client.Event, body any) {
	var f facts
	f.add("Event", "%s", joinNonEmpty(" ", orText(e.Name, "(no name)"), e.Status))
	f.add("ID", "%s", e.ID)
	f.add("Account", "%s", e.Account)
	f.add("Skill", "%s", joinNonEmpty(" ", e.SkillID, e.Locale))
	f.add("Vendor", "%s", e.VendorID)
	f.add("By", "%s", e.Actor)
	if e.EventAt != nil {
		f.add("Happened", "%s", p.whenAndAge(*e.EventAt))
	}
	f.add("Received", "%s%s", p.whenAndAge(e.ReceivedAt), mark(e.RawDelivery, ", as a raw message"))
	f.add("Message", "%s from %s", e.MessageID, e.Topic)
	f.add("Request", "%s", e.RequestID)
	f.add("Subscription", "%s", e.SubscriptionID)
	f.add("Review", "%s", e.ReviewID)
	f.add("State", "%s%s", e.Disposition, mark(e.DuplicateOf != "", " of "+e.DuplicateOf))
	for _, a := range e.Actions {
		f.add("Rule "+a.Rule, "%s %s", joinNonEmpty(" ", a.Action, a.Argument)+":", joinNonEmpty(": ", a.State, a.Message))
	}
	f.write(w)
	if text := indented(body); text != "" {
		_, _ = fmt.Fprintf(w, "\n%s\n", cleanText(text))
	}
}
