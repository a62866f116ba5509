package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleetd/internal/client"
)

// How a build is waited for.
const (
	buildLook     = 20 // seconds that fleetd waits in one call
	buildFailures = 5  // calls in a row that fleetd may answer with a failure
)

// The resources of a skill, as the skill manifest API calls them.
func skillResources() []string {
	return []string{
		string(client.Manifest), string(client.InteractionModel), string(client.HostedSkillDeployment), string(client.HostedSkillProvisioning),
	}
}

// buildWait is what the commands that wait for a build have in common.
type buildWait struct {
	p       *program
	account string
	skill   string

	wait      bool
	timeout   time.Duration
	resources []string
	etag      string // that the build replaces
}

func (w *buildWait) flags(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, what+"; exit with 5 when it failed")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "with --wait: stop waiting after this long, with exit code 8 (0: never)")
}

func (w *buildWait) check() error {
	switch {
	case w.timeout < 0:
		return usagef("--timeout is negative")
	case w.timeout > 0 && !w.wait:
		return usagef("--timeout is for --wait only")
	}
	return nil
}

// status looks once: with wait it takes until the build has ended, or some time.
func (w *buildWait) status(ctx context.Context, api *client.Client, wait int64) (*client.Response[client.SkillState], error) {
	params := client.GetSkillStatusParams{Wait: ref(wait), ETag: ref(w.etag)}
	if len(w.resources) > 0 {
		var resources []client.GetSkillStatusParamsResource
		for _, r := range w.resources {
			resources = append(resources, client.GetSkillStatusParamsResource(r))
		}
		params.Resource = &resources
	}
	return api.GetSkillStatus(ctx, w.account, w.skill, params)
}

// follow waits for the build to end, prints how it ended, and judges it.
func (w *buildWait) follow(ctx context.Context, api *client.Client) error {
	parent := ctx
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.timeout, errTimeout)
		defer cancel()
	}
	w.p.note("Waiting for the build of skill %s.", w.skill)
	again := fmt.Sprintf("it goes on; follow it with: fleetctl skill status %s --account %s --wait", w.skill, w.account)
	failures, away := 0, false
	for {
		r, err := w.status(ctx, api, buildLook)
		switch {
		case err == nil && r.Value.Ended:
			return w.judge(r)
		case err == nil:
			failures, away = 0, false
		case parent.Err() != nil:
			w.p.note("Stopped waiting for the build of skill %s: %s", w.skill, again)
			return err
		case errors.Is(context.Cause(ctx), errTimeout):
			return &codeError{code: exitRunning, msg: fmt.Sprintf("the build of skill %s has not ended after %s: %s", w.skill, w.timeout, again)}
		case unreachable(err): // fleetd may be starting again, and the build goes on without it
			if !away {
				w.p.note("no answer (%s); asking on", err)
			}
			away = true
		default:
			var passing interface{ Temporary() bool }
			if !errors.As(err, &passing) || !passing.Temporary() {
				return err
			}
			if failures++; failures >= buildFailures {
				w.p.note("Gave up waiting for the build of skill %s: %s", w.skill, again)
				return err
			}
		}
		if err := wait(ctx, w.p.pollInterval); err != nil {
			continue // the next look says which of the two it was
		}
	}
}

// unreachable reports whether err is that no fleetd answered.
func unreachable(err error) bool {
	var none *client.UnreachableError
	return errors.As(err, &none)
}

// judge prints how a build ended; one that failed ends the program short.
func (w *buildWait) judge(r *client.Response[client.SkillState]) error {
	if err := w.print(r); err != nil {
		return err
	}
	for _, part := range skillParts(r.Value) {
		if part.status.LastUpdate.State != stateSucceeded {
			msg := fmt.Sprintf("the build of skill %s is %s", w.skill, part.status.LastUpdate.State)
			if part.resource == string(client.Manifest) {
				msg += fmt.Sprintf("; mend its manifest and put it there with: fleetctl skill update %s --account %s -f FILE --wait", w.skill, w.account)
			}
			return &codeError{code: exitShort, msg: msg}
		}
	}
	return nil
}

// The ends of a build, as the skill manifest API calls them.
const (
	stateSucceeded = "SUCCEEDED"
	stateFailed    = "FAILED"
)

func (w *buildWait) print(r *client.Response[client.SkillState]) error {
	if w.p.global.output == formatJSON {
		return writeJSON(w.p.stdout, r.Raw)
	}
	parts := skillParts(r.Value)
	if len(parts) == 0 && w.p.global.output != formatCSV {
		w.p.note("No status.")
		return nil
	}
	err := newRowPrinter(w.p, partColumns()).write(parts)
	if err != nil || w.p.global.output == formatCSV {
		return err
	}
	var b strings.Builder
	for _, part := range parts {
		part.tell(w.p, &b)
	}
	_, err = io.WriteString(w.p.stdout, b.String())
	return wrote(err)
}

// skillPart is the status of one resource, of one locale where it has locales.
type skillPart struct {
	resource, locale string
	status           client.SkillResourceStatus
}

func skillParts(s client.SkillState) []skillPart {
	var parts []skillPart
	one := func(resource string, status *client.SkillResourceStatus) {
		if status != nil {
			parts = append(parts, skillPart{resource: resource, status: *status})
		}
	}
	one(string(client.Manifest), s.Manifest)
	models := deref(s.InteractionModel)
	for _, locale := range slices.Sorted(maps.Keys(models)) {
		parts = append(parts, skillPart{resource: string(client.InteractionModel), locale: locale, status: models[locale]})
	}
	one(string(client.HostedSkillDeployment), s.HostedSkillDeployment)
	one(string(client.HostedSkillProvisioning), s.HostedSkillProvisioning)
	return parts
}

func partColumns() []column[skillPart] {
	return []column[skillPart]{
		{head: "resource", text: func(s skillPart) string { return s.resource }},
		{head: "locale", text: func(s skillPart) string { return s.locale }},
		{
			head: "state", text: func(s skillPart) string { return s.status.LastUpdate.State },
			color: func(s skillPart) string {
				switch s.status.LastUpdate.State {
				case stateSucceeded:
					return green
				case stateFailed:
					return red
				}
				return yellow
			},
		},
		{head: "errors", right: true, text: func(s skillPart) string { return number(int64(len(deref(s.status.LastUpdate.Errors)))) }},
		{head: "warnings", right: true, text: func(s skillPart) string { return number(int64(len(deref(s.status.LastUpdate.Warnings)))) }},
		{head: "version", text: func(s skillPart) string { return deref(s.status.Version) }},
		{head: "etag", text: func(s skillPart) string { return deref(s.status.ETag) }, wide: true},
		{head: "log_url", text: func(s skillPart) string { return deref(s.status.LastUpdate.LogURL) }, wide: true},
	}
}

// tell writes the errors and warnings of the part's build in the API's own words.
func (s skillPart) tell(p *program, w io.Writer) {
	where := joinNonEmpty(" ", s.resource, s.locale)
	say := func(color, what, place string, all *[]client.SkillMessage) {
		for _, m := range deref(all) {
			text := clean(m.Message)
			if code := deref(m.Code); code != "" {
				text = joinNonEmpty(" ", text, "("+clean(code)+")")
			}
			_, _ = fmt.Fprintf(w, "%s %s: %s\n", p.paint(p.stdout, color, what+":"), clean(place), text)
		}
	}
	last := s.status.LastUpdate
	say(red, "error", where, last.Errors)
	for _, step := range deref(last.Steps) {
		say(red, "error", where+" "+step.Name, step.Errors)
	}
	say(yellow, "warning", where, last.Warnings)
}

func newSkillStatus(p *program) *cobra.Command {
	w := &buildWait{p: p}
	cmd := &cobra.Command{
		Use: "status SKILL", Short: "Show how the last changes of a skill went, and why one failed", Args: oneArg("SKILL", &w.skill),
		Long: `Show how the last changes of a skill went: of its manifest, its interaction models and, for a skill that
Amazon hosts, its deployment. What the API says of an error or a warning follows below.

Exit codes of --wait: 0 what is waited for (the manifest, unless --resource says otherwise) succeeded; 5 it failed;
8 it had not ended when --timeout passed.`,
		RunE: p.do(func(ctx context.Context) error {
			if err := needAccount(w.account); err != nil {
				return err
			}
			for _, r := range w.resources {
				if err := oneOf("--resource", r, skillResources()); err != nil {
					return err
				}
			}
			if err := w.check(); err != nil {
				return err
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			if w.wait {
				return w.follow(ctx, api)
			}
			r, err := w.status(ctx, api, 0)
			if err != nil {
				return err
			}
			return w.print(r)
		}),
	}
	accountFlag(cmd, p, &w.account)
	cmd.Flags().StringArrayVar(&w.resources, "resource", nil, "only this resource (repeatable): "+strings.Join(skillResources(), "|"))
	complete(cmd, "resource", skillResources()...)
	w.flags(cmd, "wait until the last change has ended")
	return cmd
}
