package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/preflight"
	"fleetd/internal/remote"
	"fleetd/internal/store"
)

// preflightTime bounds all that a preflight asks together: a plan must not be slow because
// a developer API is, or because it pushes back.
const preflightTime = 8 * time.Second

// preflightsAtOnce bounds how many changes are checked side by side.
const preflightsAtOnce = 8

// skillAPI is what a preflight asks of the APIs that the developer credential opens. What
// is not there is an answer; an error is no answer.
type skillAPI interface {
	// Skill finds the skill in the vendor's list. Exists is what the list alone says: one
	// that is not in it may be another vendor's.
	Skill(ctx context.Context, skillID string) (preflight.Skill, error)
	// Build reads the last manifest update. errNoSkill: the API knows no such skill;
	// errNotOurs: it does, and another vendor has it.
	Build(ctx context.Context, skillID string) (preflight.Build, error)
	Manifest(ctx context.Context, skillID string, stage fleet.Stage) (preflight.Manifest, error)
	Enabled(ctx context.Context, skillID string, stage fleet.Stage) (bool, error)
}

var (
	errNoSkill = errors.New("the skill manifest API knows no such skill")
	errNotOurs = errors.New("the skill is another vendor's, or the credential may not see it")
)

// Preflights checks what stands in the way of a skill before a rollout writes.
type Preflights struct {
	store  *store.Store
	logger *slog.Logger
	// open gives the APIs of an account's developer credential, or a conflict that says
	// how to set one.
	open func(ctx context.Context, account string) (skillAPI, error)
}

// Run makes every check of each change, reading only, and answers in their order. It fails
// for an account that does not exist or a database that does not answer, and never for
// what an API did: that is not_checked, with why. Without a developer credential no request
// is made. All of it together takes preflightTime at most, and what the database needs.
func (c *Preflights) Run(ctx context.Context, queries ...preflight.Query) ([]preflight.Report, error) {
	all, err := c.run(ctx, queries)
	reports := make([]preflight.Report, len(all))
	for i, one := range all {
		reports[i] = one.report
	}
	return reports, err
}

// checked is a report and what the APIs had to do with it.
type checked struct {
	report preflight.Report
	none   bool // nobody was asked, as without a developer credential
	seen   bool // something was answered
}

func (c *Preflights) run(ctx context.Context, queries []preflight.Query) ([]checked, error) {
	asking, cancel := context.WithTimeout(remote.WithClass(ctx, remote.ClassInteractive), preflightTime)
	defer cancel()
	all, errs := make([]checked, len(queries)), make([]error, len(queries))
	var wg sync.WaitGroup
	room := make(chan struct{}, preflightsAtOnce)
	for i, q := range queries {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			all[i], errs[i] = c.one(ctx, asking, q)
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// one makes the checks of one change: ctx is the caller's, and asking ends when the time for
// asking the APIs does.
func (c *Preflights) one(ctx, asking context.Context, q preflight.Query) (checked, error) {
	acc, err := c.store.Account(ctx, q.Account)
	if err != nil {
		return checked{}, err
	}
	facts, err := c.facts(ctx, asking, q)
	if err != nil {
		return checked{}, err
	}
	r := preflight.Judge(preflight.Params{
		Account: q.Account, Action: q.Action, SkillID: q.SkillID, Stage: q.Stage, Countries: acc.Countries, LinkMode: acc.LinkMode,
	}, facts)
	r.CheckedAt, r.Why = time.Now().UTC().Truncate(time.Millisecond), q.Why
	out := checked{
		report: r, none: facts.None != "",
		seen: facts.None == "" && (facts.Skill.Known || facts.Build.Known || facts.Manifest.Known || facts.Enabled.Known),
	}
	if !out.seen {
		return out, nil // what was seen before stays
	}
	if err := c.store.SavePreflight(ctx, r); err != nil {
		c.logger.LogAttrs(ctx, slog.LevelWarn, "preflight not kept", slog.String("account", q.Account), slog.Any("error", err))
	}
	return out, nil
}

func (c *Preflights) facts(ctx, asking context.Context, q preflight.Query) (preflight.Facts, error) {
	api, err := c.open(ctx, q.Account)
	if known := new(fleet.Error); errors.As(err, &known) && (known.Code == fleet.CodeConflict || known.Code == fleet.CodeNotFound) {
		return preflight.Facts{None: known.Message}, nil
	}
	if err != nil {
		return preflight.Facts{}, err
	}
	facts := gather(asking, api, q, func(ctx context.Context) (bool, error) { return c.store.LinkSeen(ctx, q.Account, q.SkillID) })
	return facts, ctx.Err() // of the caller, who has gone
}

// gather asks everything that matters for q at once.
func gather(ctx context.Context, api skillAPI, q preflight.Query, linkSeen func(context.Context) (bool, error)) preflight.Facts {
	var (
		f         preflight.Facts
		wg        sync.WaitGroup
		buildErr  error
		refused   *lwa.UnauthorizedError
		refusedMu sync.Mutex
	)
	note := func(err error) {
		refusedMu.Lock()
		defer refusedMu.Unlock()
		_ = errors.As(err, &refused)
	}
	wg.Go(func() {
		v, err := api.Skill(ctx, q.SkillID)
		note(err)
		f.Skill = fact("the list of skills", v, err)
	})
	wg.Go(func() {
		v, err := api.Build(ctx, q.SkillID)
		note(err)
		f.Build, buildErr = fact("the skill's status", v, err), err
	})
	f.Manifest = preflight.Unknown[preflight.Manifest]("its manifest does not matter here")
	if q.Action != fleet.ActionDisable {
		wg.Go(func() {
			v, err := api.Manifest(ctx, q.SkillID, q.Stage)
			note(err)
			f.Manifest = fact("its manifest", v, err)
		})
	}
	f.Enabled = preflight.Unknown[bool](fmt.Sprintf("the skill enablement API has no stage %s", q.Stage))
	if q.Stage == fleet.StageDevelopment {
		wg.Go(func() {
			v, err := api.Enabled(ctx, q.SkillID, q.Stage)
			note(err)
			f.Enabled = fact("its developer's enablement", v, err)
		})
	}
	wg.Go(func() {
		v, err := linkSeen(ctx)
		f.LinkSeen = fact("our own records", v, err)
	})
	wg.Wait()
	if refused != nil {
		return preflight.Facts{None: message(refused)}
	}
	f.Skill = owned(f.Skill, f.Build, buildErr)
	return f
}

// owned completes what the vendor's list says of a skill that is not in it: whether there
// is one, only its status tells.
func owned(skill preflight.Fact[preflight.Skill], build preflight.Fact[preflight.Build], buildErr error) preflight.Fact[preflight.Skill] {
	if !skill.Known || skill.Value.Own {
		return skill
	}
	switch {
	case errors.Is(buildErr, errNoSkill):
		skill.Value.Exists = false
	case errors.Is(buildErr, errNotOurs), build.Known:
		skill.Value.Exists = true
	default:
		return preflight.Unknown[preflight.Skill]("it is not in the list of the vendor's skills, and whether there is one could not be read: " + build.Why)
	}
	return skill
}

// fact makes a fact of an answer, or says why there is none.
func fact[T any](what string, v T, err error) preflight.Fact[T] {
	var (
		api   *remote.Error
		token *lwa.TokenError
	)
	switch {
	case err == nil:
		return preflight.Know(v)
	case errors.As(err, &token): // which of the two was late is worth more than that one was
		return preflight.Unknown[T](fmt.Sprintf("%s was not read: %s; try again later", what, message(token)))
	case errors.Is(err, context.DeadlineExceeded):
		return preflight.Unknown[T](fmt.Sprintf("%s was not read within %s; try again", what, preflightTime))
	case errors.As(err, &api) && api.Throttled():
		return preflight.Unknown[T](fmt.Sprintf("%s was not read: the API pushes back; try again later", what))
	case errors.As(err, &api) && api.Temporary():
		return preflight.Unknown[T](fmt.Sprintf("%s was not read: %s; try again later", what, message(err)))
	}
	return preflight.Unknown[T](fmt.Sprintf("%s was not read: %s", what, message(err)))
}

// Preflight checks what stands in the way of each change, as Preflights.Run does.
func (r *Runner) Preflight(ctx context.Context, queries ...preflight.Query) ([]preflight.Report, error) {
	return r.preflights.Run(ctx, queries...)
}
