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
)

// eventTailOptions are the inputs of `event tail`.
type eventTailOptions struct {
	eventFilter

	p      *program
	since  string
	last   int
	follow bool

	api  *client.Client
	away bool // the server did not answer the last time
}

func newEventTail(p *program) *cobra.Command {
	o := &eventTailOptions{p: p}
	cmd := &cobra.Command{
		Use: "tail", Short: "Print the last events and those that come, a line each", Args: cobra.NoArgs,
		Long: `Print the last events, oldest first, and then those that come, a line each, until Ctrl-C. No event is printed
twice, and none is left out, also when fleetd does not answer for a while. With -o json each line is an event.`,
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
	err = o.tail(ctx)
	if ctx.Err() != nil { // Ctrl-C is how it ends
		return nil
	}
	return err
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
	if len(r.Value.Items) > 0 {
		o.since = r.Value.Items[0].ID
	}
	if o.last == 0 {
		return nil
	}
	return o.print(r, true)
}

// next prints what came since.
func (o *eventTailOptions) next(ctx context.Context) error {
	cursor, last := "", o.since
	for {
		r, err := o.api.ListEvents(ctx, o.params(o.since, cursor, pageSize))
		if err != nil {
			return err
		}
		if err := o.print(r, false); err != nil {
			return err
		}
		if n := len(r.Value.Items); n > 0 {
			last = r.Value.Items[n-1].ID
		}
		if r.Value.NextCursor == "" || r.Value.NextCursor == cursor {
			o.since = last
			return nil
		}
		// What was printed is not printed again, whatever becomes of the next page.
		o.since, cursor = last, ""
	}
}

// print prints a page, oldest first.
func (o *eventTailOptions) print(r *client.Response[client.EventList], backward bool) error {
	lines := make([]string, len(r.Value.Items))
	if o.p.global.output == formatJSON {
		var doc struct {
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(r.Raw, &doc); err != nil {
			return fmt.Errorf("read a page of events: %w", err)
		}
		for i, item := range doc.Items {
			var b bytes.Buffer
			if err := json.Compact(&b, item); err != nil {
				return fmt.Errorf("read an event: %w", err)
			}
			lines[i] = b.String()
		}
	} else {
		for i, e := range r.Value.Items {
			lines[i] = o.line(e)
		}
	}
	if backward {
		slices.Reverse(lines)
	}
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
	text := joinNonEmpty("  ", eventTime(e).UTC().Format("2006-01-02 15:04:05"), e.ID, e.Account, what, joinNonEmpty(" ", e.SkillID, e.Locale))
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
