package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
)

// eventTailOptions are the inputs of `event tail`.
type eventTailOptions struct {
	eventFilter

	p      *program
	since  string
	last   int
	follow bool

	api   *client.Client
	away  bool           // the server did not answer the last time
	looks map[string]int // how often an event was looked at that is not settled
}

// mostLooks is how often an event is looked at before it is printed without what its rules
// do: an action may wait for an API for hours.
const mostLooks = 5

func newEventTail(p *program) *cobra.Command {
	o := &eventTailOptions{p: p}
	cmd := &cobra.Command{
		Use: "tail", Short: "Print the last events and those that come, a line each", Args: cobra.NoArgs,
		Long: `Print the last events, oldest first, and then those that come, a line each, until Ctrl-C. No event is printed
twice, and none is left out, also when fleetd does not answer for a while. With -o json each line is an event.

A line begins with when the event was received, in UTC, for that is the order they are kept and acted on in; one that came
a minute or more after it happened says so. It ends with what became of the event, for which it is held back some seconds.`,
		Example: `  fleetctl event tail --account acme
  fleetctl event tail --last 0 -o json | jq -r 'select(.status=="FAILED").skill_id'`,
		RunE: p.do(o.run),
	}
	o.flags(cmd, p)
	cmd.Flags().StringVar(&o.since, "since", "", "begin after this event or this time (RFC 3339) instead of with the last ones")
	cmd.Flags().IntVarP(&o.last, "last", "n", 10, "begin with so many of the last events")
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", true, "go on with those that come; --follow=false ends after those that are there")
	return cmd
}

func (o *eventTailOptions) run(ctx context.Context) error {
	switch {
	case o.last < 0 || o.last > pageSize:
		return usagef("--last %d is out of range: use 0 to %d", o.last, pageSize)
	case o.p.global.output == formatCSV || o.p.global.output == formatWide:
		return usagef("event tail prints lines, or with -o json events; for -o %s use fleetctl event list", o.p.global.output)
	}
	var err error
	if o.api, err = o.p.api(); err != nil {
		return err
	}
	if err := o.tail(ctx); err != nil && ctx.Err() == nil { // Ctrl-C is how it ends
		return err
	}
	return nil
}

func (o *eventTailOptions) tail(ctx context.Context) error {
	if o.since == "" {
		if err := o.begin(ctx); err != nil {
			return err
		}
	}
	for {
		pause := o.p.pollInterval
		err := o.next(ctx)
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			if o.away {
				o.p.note("fleetd answers again")
			}
			o.away = false
		case o.follow && ctx.Err() == nil && errors.As(err, &temporary) && temporary.Temporary():
			if !o.away {
				o.p.note("no answer (%s); asking on", err)
			}
			o.away = true
			pause *= 2
		default:
			return err
		}
		if !o.follow {
			return nil
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// begin prints the last events, and finds the place to go on from.
func (o *eventTailOptions) begin(ctx context.Context) error {
	r, err := o.api.ListEvents(ctx, o.params("", "", max(o.last, 1)))
	if err != nil {
		return err
	}
	o.since = time.Unix(0, 0).UTC().Format(time.RFC3339) // there were none
	fresh := 0                                           // those of which more can be told in a moment
	for fresh < len(r.Value.Items) && o.follow && !settled(r.Value.Items[fresh]) {
		fresh++
	}
	if fresh == len(r.Value.Items) {
		fresh = 0
	}
	if len(r.Value.Items) > 0 {
		o.since = r.Value.Items[fresh].ID
	}
	if o.last == 0 {
		return nil
	}
	lines, err := o.lines(r)
	if err != nil {
		return err
	}
	lines = lines[fresh:]
	slices.Reverse(lines)
	return o.print(lines)
}

// settled reports whether all is told of an event: what its rules do is done.
func settled(e client.Event) bool {
	d := fleet.EventDisposition(e.Disposition)
	return d != fleet.EventReceived && d != fleet.EventActing
}

// ready is how many of the events, oldest first, are to be printed now.
func (o *eventTailOptions) ready(events []client.Event) int {
	n := len(events)
	looks := map[string]int{}
	for i, e := range events {
		if !o.follow || settled(e) {
			continue
		}
		looks[e.ID] = o.looks[e.ID] + 1
		if looks[e.ID] < mostLooks {
			n = min(n, i)
		}
	}
	o.looks = looks
	return n
}

// next prints what came since.
func (o *eventTailOptions) next(ctx context.Context) error {
	cursor, last := "", o.since
	for {
		r, err := o.api.ListEvents(ctx, o.params(o.since, cursor, pageSize))
		if err != nil {
			return err
		}
		lines, err := o.lines(r)
		if err != nil {
			return err
		}
		n := o.ready(r.Value.Items)
		if err := o.print(lines[:n]); err != nil {
			return err
		}
		if n > 0 {
			last = r.Value.Items[n-1].ID
		}
		if n < len(r.Value.Items) || r.Value.NextCursor == "" || r.Value.NextCursor == cursor {
			o.since = last
			return nil
		}
		// What was printed is not printed again, whatever becomes of the next page.
		o.since, cursor = last, ""
	}
}

// lines are those of a page, in its order.
func (o *eventTailOptions) lines(r *client.Response[client.EventList]) ([]string, error) {
	lines := make([]string, len(r.Value.Items))
	if o.p.global.output == formatJSON {
		var doc struct {
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(r.Raw, &doc); err != nil {
			return nil, fmt.Errorf("read a page of events: %w", err)
		}
		for i, item := range doc.Items {
			var b bytes.Buffer
			if err := json.Compact(&b, item); err != nil {
				return nil, fmt.Errorf("read an event: %w", err)
			}
			lines[i] = b.String()
		}
	} else {
		for i, e := range r.Value.Items {
			lines[i] = o.line(e)
		}
	}
	return lines, nil
}

func (o *eventTailOptions) print(lines []string) error {
	var b bytes.Buffer
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	_, err := o.p.stdout.Write(b.Bytes())
	return wrote(err)
}

// line is an event for people.
func (o *eventTailOptions) line(e client.Event) string {
	what := joinNonEmpty(" ", orText(shortEvent(e.Name), "(no name)"), e.Status)
	late := ""
	if e.EventAt != nil && e.ReceivedAt.Sub(*e.EventAt) >= time.Minute {
		late = span(e.ReceivedAt.Sub(*e.EventAt)) + " late"
	}
	text := joinNonEmpty("  ", moment(e.ReceivedAt), e.ID, e.Account, what, joinNonEmpty(" ", e.SkillID, e.Locale), late)
	state := e.Disposition
	if done := actedText(e); done != "" {
		state += ": " + done
	}
	return clean(text) + "  " + o.p.paint(o.p.stdout, eventColor(e), clean(state))
}

// indented is a JSON value on several lines.
func indented(v any) string {
	if v == nil {
		return ""
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil { // it was decoded a moment ago
		return ""
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
