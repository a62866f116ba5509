package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/remote"
	"fleetd/internal/store"
)

const (
	// eventMaxAttempts is how often a job begins that cannot reach the database: a
	// quarter of an hour.
	eventMaxAttempts = 100
	// eventAsksAgain is the pause before what could not be found out is asked again, and
	// eventGivesUp how old an event is when nobody asks any more.
	eventAsksAgain = 15 * time.Second
	eventGivesUp   = 6 * time.Hour
	// eventLags is how long the API may tell of the time before an event: a rollout that
	// its checks keep from beginning is checked again for as long.
	eventLags = 10 * time.Minute
	// eventWorkers is how many events a process works on at once.
	eventWorkers = 4
)

// EventArgs is a job to do what the rules want done about one event.
type EventArgs struct {
	EventID int64 `json:"event_id"`
}

// Kind implements river.JobArgs.
func (EventArgs) Kind() string { return "event" }

// Publication is how the developer API says that a skill is published.
type Publication struct {
	VendorID string   // of the credential that was asked with
	Found    bool     // the vendor has the skill
	Statuses []string // publicationStatus of each stage, as the API spells it
}

// Publications asks how a skill is published. An account without a developer
// credential is a *fleet.Error of the code conflict.
type Publications interface {
	Publication(ctx context.Context, account, skillID string) (Publication, error)
}

// RefreshPreflightFunc looks anew whether a skill of an account can be rolled out,
// keeps what it saw, and says it in a sentence.
type RefreshPreflightFunc func(ctx context.Context, account, skillID string) (result string, err error)

// PreflightFunc checks what stands in the way of each change, as Preflights.Run does.
type PreflightFunc func(ctx context.Context, queries ...preflight.Query) ([]preflight.Report, error)

// Events is the worker of events.
type Events struct {
	river.WorkerDefaults[EventArgs]

	store        *store.Store
	publications Publications
	checks       PreflightFunc
	refreshes    RefreshPreflightFunc // nil: there is none
	logger       *slog.Logger
}

// NewEvents makes the worker.
func NewEvents(
	st *store.Store, publications Publications, checks PreflightFunc, refresh RefreshPreflightFunc, logger *slog.Logger,
) *Events {
	return &Events{store: st, publications: publications, checks: checks, refreshes: refresh, logger: logger}
}

// Work does what is left of one event's actions. Run again, it goes on where it was.
func (w *Events) Work(ctx context.Context, job *river.Job[EventArgs]) error {
	work, ok, err := w.store.ClaimEvent(ctx, job.Args.EventID)
	if err != nil || !ok {
		return err
	}
	ctx = remote.WithClass(ctx, remote.ClassInteractive)
	var errs []error
	later := false
	for _, action := range work.Actions {
		found, err := w.find(ctx, work, action)
		if err != nil && work.Now.Sub(work.ReceivedAt) < eventGivesUp {
			later = true
			errs = append(errs, w.putOff(ctx, work, action, err))
			continue
		}
		if err != nil {
			found = store.EventFinding{State: fleet.ActionFailed, Message: fmt.Sprintf("given up after %v: %s", eventGivesUp, message(err))}
		}
		acted, err := w.act(ctx, work, action, found)
		if lag := new(lagError); errors.As(err, &lag) {
			later = true
			errs = append(errs, w.putOff(ctx, work, action, err))
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.logger.LogAttrs(ctx, slog.LevelInfo, "event acted on", slog.String("event", work.Key), slog.String("rule", acted.Rule),
			slog.String("action", string(acted.Action)), slog.String("state", string(acted.State)), slog.String("message", acted.Message))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if later {
		return river.JobSnooze(eventAsksAgain)
	}
	return nil
}

// putOff says on an action why it waits.
func (w *Events) putOff(ctx context.Context, work store.EventWork, action store.EventPlanned, err error) error {
	w.logger.LogAttrs(ctx, slog.LevelWarn, "action of an event put off", slog.String("event", work.Key),
		slog.String("action", string(action.Action)), slog.Any("error", err))
	return w.store.NoteEventAction(ctx, work.ID, action.Seq, "asked again in a moment: "+message(err))
}

// lagError is what a rollout failed its checks by so soon after the event that the API
// may not know of it yet.
type lagError struct{ failed []preflight.Check }

// Error says what failed.
func (e *lagError) Error() string {
	text := make([]string, len(e.failed))
	for i, c := range e.failed {
		text[i] = fmt.Sprintf("%s: %s", c.Name, c.Message)
	}
	return "it failed its checks: " + strings.Join(text, "; ")
}

// act does an action. A rollout that never began is checked first, outside of the
// transaction that decides whether it begins. A *lagError means that nothing was done yet.
func (w *Events) act(ctx context.Context, work store.EventWork, action store.EventPlanned, found store.EventFinding) (store.EventActed, error) {
	acted, err := w.store.ActOnEvent(ctx, work.ID, action.Seq, found)
	unchecked := new(store.UncheckedError)
	if !errors.As(err, &unchecked) {
		return acted, err
	}
	unchecked.Query.Why = preflight.WhyEvent
	reports, err := w.checks(ctx, unchecked.Query)
	if err != nil {
		return acted, fmt.Errorf("check what event %s is to begin: %w", work.Key, err)
	}
	if failed := reports[0].Failed(); len(failed) > 0 && work.Now.Sub(work.ReceivedAt) < eventLags {
		return acted, &lagError{failed}
	}
	found.Preflight = &reports[0]
	return w.store.ActOnEvent(ctx, work.ID, action.Seq, found)
}

// find finds out what an action stands on. An error may pass: it is asked again later.
func (w *Events) find(ctx context.Context, work store.EventWork, action store.EventPlanned) (store.EventFinding, error) {
	switch action.Action {
	case fleet.EventHaltRollouts:
		return w.withdrawn(ctx, work)
	case fleet.EventRefreshPreflight:
		return w.refresh(ctx, work)
	case fleet.EventResumeRollout, fleet.EventStartRollout, fleet.EventStartAudit:
	}
	return store.EventFinding{}, nil
}

// withdrawn asks the developer API whether the event's skill was withdrawn: nothing is
// halted on the word of an event.
func (w *Events) withdrawn(ctx context.Context, work store.EventWork) (store.EventFinding, error) {
	unavailable := func(format string, args ...any) (store.EventFinding, error) {
		return store.EventFinding{State: fleet.ActionNotAvailable, Message: fmt.Sprintf(format, args...)}, nil
	}
	p, err := w.publications.Publication(ctx, work.Account, work.SkillID)
	known := new(fleet.Error)
	switch {
	case errors.As(err, &known) && (known.Code == fleet.CodeConflict || known.Code == fleet.CodeNotFound):
		return unavailable("nothing was halted, for nobody can tell whether the skill was withdrawn: %s", known.Message)
	case err != nil:
		return store.EventFinding{}, err
	case work.VendorID != "" && p.VendorID != work.VendorID:
		return unavailable("nothing was halted: the skill is of vendor %s, and the developer credential of account %s of vendor %s, which cannot see it",
			work.VendorID, work.Account, p.VendorID)
	}
	if why := p.Withdrawn(); why != "" {
		return store.EventFinding{Withdrawn: why}, nil
	}
	return store.EventFinding{State: fleet.ActionNothing, Message: "the skill is not withdrawn: " + p.text()}, nil
}

func (w *Events) refresh(ctx context.Context, work store.EventWork) (store.EventFinding, error) {
	if w.refreshes == nil {
		return store.EventFinding{State: fleet.ActionNotAvailable, Message: "this fleetd has no preflight checks"}, nil
	}
	result, err := w.refreshes(ctx, work.Account, work.SkillID)
	known := new(fleet.Error)
	switch {
	case errors.As(err, &known) && known.Code == fleet.CodeConflict:
		return store.EventFinding{State: fleet.ActionNotAvailable, Message: known.Message}, nil
	case errors.As(err, &known) && known.Code != fleet.CodeUnavailable && known.Code != fleet.CodeInternal:
		return store.EventFinding{State: fleet.ActionRefused, Message: known.Message}, nil
	case err != nil:
		return store.EventFinding{}, err
	}
	return store.EventFinding{State: fleet.ActionDone, Message: result}, nil
}

func eventJob(eventID int64) river.InsertManyParams {
	return river.InsertManyParams{Args: EventArgs{EventID: eventID}, InsertOpts: &river.InsertOpts{MaxAttempts: eventMaxAttempts}}
}

// EnqueueEvent gives an event its job in the transaction that keeps it.
func (r *Runner) EnqueueEvent(ctx context.Context, tx pgx.Tx, eventID int64) error {
	job := eventJob(eventID)
	_, err := r.river.InsertTx(ctx, tx, job.Args, job.InsertOpts)
	if err != nil {
		return fmt.Errorf("insert the job of event %d: %w", eventID, err)
	}
	return nil
}
