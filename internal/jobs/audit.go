package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
	"fleetd/internal/store"
)

const (
	// auditTimeout bounds one run of a job, auditRequestTime what it spends waiting for
	// slots and answers: a home has several pages, and audits wait longest for slots.
	auditTimeout     = 45 * time.Second
	auditRequestTime = 25 * time.Second
	// auditTurnTime bounds what it spends of that waiting for its turn.
	auditTurnTime = 10 * time.Second
	// auditTries is how often a home is looked at that fails for reasons that pass.
	// Throttling and waiting do not count.
	auditTries = 6
	// auditMaxAttempts keeps River from giving a job up: crashes spend attempts too.
	auditMaxAttempts = 100
	// startsOver is how often one run begins a list anew whose token was refused.
	startsOver = 2
	// unauthorizedWait is how long a job waits for credentials that work.
	unauthorizedWait = 10 * time.Second
)

// AuditArgs names the units that a job looks at: one, or a few where a budget lets
// many through in a second (see jobsPerSecond). Jobs carry IDs only.
type AuditArgs struct {
	AccountID int64   `json:"account_id"`
	AuditID   int64   `json:"audit_id"`
	Units     []int64 `json:"units"`
	// Tried is how often the unit was looked at by jobs before this one.
	Tried int `json:"tried,omitempty"`
}

// Kind is River's name of the job.
func (AuditArgs) Kind() string { return "audit" }

// Audits runs audit jobs: they list what is enabled on units, and what they saw is
// compared and recorded in groups.
type Audits struct {
	river.WorkerDefaults[AuditArgs]
	door

	store    *store.Store
	accounts *Accounts
	logger   *slog.Logger
	loads    *batcher[store.AuditRef, *store.AuditTarget]
	records  *batcher[store.AuditSight, struct{}]
}

// NewAudits makes the worker. recorded is called after each group: there is room for
// more.
func NewAudits(st *store.Store, accounts *Accounts, logger *slog.Logger, recorded func()) *Audits {
	w := &Audits{door: newDoor(), store: st, accounts: accounts, logger: logger}
	w.loads = newBatcher(claimGroup, w.load)
	w.records = newBatcher(recordGroup, func(ctx context.Context, sights []store.AuditSight) ([]struct{}, error) {
		// A group that is being recorded is finished also while the process stops.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
		defer cancel()
		if err := st.RecordAuditUnits(ctx, sights); err != nil {
			return nil, err
		}
		recorded()
		return make([]struct{}, len(sights)), nil
	})
	return w
}

// Run writes the groups until ctx ends; it must outlive the River client.
func (w *Audits) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() { defer close(done); w.loads.run(ctx) }()
	w.records.run(ctx)
	<-done
}

// Timeout is how long River lets one run of a job last.
func (w *Audits) Timeout(*river.Job[AuditArgs]) time.Duration { return auditTimeout }

// NextRetry is when a job goes again that failed: after 1, 2, 4 and then 8 seconds,
// more or less.
func (w *Audits) NextRetry(job *river.Job[AuditArgs]) time.Time {
	return time.Now().Add(lookAgain(job.Args.Tried + job.Attempt))
}

func lookAgain(tried int) time.Duration {
	wait := time.Second << min(max(tried-1, 0), 3)
	return wait*3/4 + rand.N(wait/2)
}

func (w *Audits) load(ctx context.Context, refs []store.AuditRef) ([]*store.AuditTarget, error) {
	loaded, err := w.store.LoadAuditUnits(ctx, refs)
	if err != nil {
		return nil, err
	}
	byRef := make(map[store.AuditRef]*store.AuditTarget, len(loaded))
	for i := range loaded {
		byRef[loaded[i].AuditRef] = &loaded[i]
	}
	out := make([]*store.AuditTarget, len(refs))
	for i, r := range refs {
		out[i] = byRef[r]
	}
	return out, nil
}

// Work looks at units, side by side, and records what it saw before it returns. A
// unit that has to be looked at again gets a job of its own, where this one has
// others.
func (w *Audits) Work(ctx context.Context, job *river.Job[AuditArgs]) error {
	acc, err := w.accounts.Get(ctx, job.Args.AccountID)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	began, tries := time.Now(), job.Args.Tried+job.Attempt
	requests, cancel := context.WithDeadline(ctx, began.Add(auditRequestTime))
	defer cancel()
	turns, cancel := context.WithDeadline(ctx, began.Add(auditTurnTime))
	defer cancel()
	errs := make([]error, len(job.Args.Units))
	var units sync.WaitGroup
	for i, unit := range job.Args.Units {
		leave, err := w.enter(turns, acc.looks)
		if err != nil {
			if turns.Err() != nil && !w.left() { // it was not its turn
				err = river.JobSnooze(time.Second + rand.N(time.Second))
			}
			errs[i] = err
			continue
		}
		units.Go(func() {
			defer leave()
			errs[i] = w.work(requests, acc, store.AuditRef{AuditID: job.Args.AuditID, Unit: unit}, tries)
		})
	}
	units.Wait()
	if len(errs) == 1 || !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		return errs[0]
	}
	if w.left() || ctx.Err() != nil {
		return river.JobSnooze(0) // another process goes on with those that have no answer
	}
	return lookLater(ctx, job, errs)
}

// lookLater gives a job to each unit that was not done with, to begin when the unit is
// to be looked at again.
func lookLater(ctx context.Context, job *river.Job[AuditArgs], errs []error) error {
	var jobs []river.InsertManyParams
	for i, err := range errs {
		if err == nil {
			continue
		}
		args := job.Args
		args.Units = job.Args.Units[i : i+1]
		var wait time.Duration
		if snooze, ok := errors.AsType[*river.JobSnoozeError](err); ok {
			wait = snooze.Duration
		} else {
			args.Tried += job.Attempt
			wait = lookAgain(args.Tried)
		}
		jobs = append(jobs, river.InsertManyParams{Args: args, InsertOpts: &river.InsertOpts{
			Queue: job.Queue, MaxAttempts: auditMaxAttempts, ScheduledAt: time.Now().Add(wait),
		}})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if _, err := river.ClientFromContext[pgx.Tx](ctx).InsertManyFast(ctx, jobs); err != nil {
		return errors.Join(append(errs, fmt.Errorf("insert jobs: %w", err))...)
	}
	return nil
}

// work looks at one unit. What it spent is recorded also where it saw nothing yet. A
// unit that has its answer by now is not looked at.
func (w *Audits) work(ctx context.Context, acc *Account, ref store.AuditRef, tries int) error {
	t, err := finish(ctx, w.loads, ref)
	if err != nil || t == nil {
		return err
	}
	sight, again := w.look(ctx, acc, t, tries)
	if again != nil && sight.Requests == 0 {
		return again
	}
	if _, err := finish(ctx, w.records, sight); err != nil {
		return err
	}
	return again
}

// look lists one unit. again is nil where the unit has its answer, and otherwise what
// River is told: to come back later, or that the attempt failed.
func (w *Audits) look(ctx context.Context, acc *Account, t *store.AuditTarget, tries int) (sight store.AuditSight, again error) {
	sight = store.AuditSight{AuditRef: t.AuditRef, Began: t.Began}
	if t.Removed {
		sight.Reason = fleet.UnknownUnitNotFound
		return sight, nil
	}
	if acc.work.Blocked != "" {
		return sight, river.JobSnooze(unauthorizedWait)
	}
	var counter remote.Counter
	ctx = remote.WithCounter(remote.WithClass(ctx, remote.ClassAudit), &counter)
	list, err := listUnit(ctx, acc.Audit, t.UnitID, &sight)
	sight.Requests, sight.Throttled = counter.Requests, counter.Throttled
	if err == nil {
		sight.Whole, sight.Seen = true, make([]store.SeenSkill, 0, len(list))
		for _, e := range list {
			o := e.Observation()
			o.ObservedAt = t.Began
			sight.Seen = append(sight.Seen, store.SeenSkill{SkillID: e.SkillID, Observation: o})
		}
		return sight, nil
	}
	reason, passes, wait := judgeList(err)
	switch {
	case wait >= 0:
		return sight, river.JobSnooze(wait)
	case passes && tries < auditTries:
		return sight, err
	}
	w.logger.LogAttrs(ctx, slog.LevelDebug, "unit not seen whole", slog.String("audit", t.Audit),
		slog.String("unit", t.UnitID), slog.String("reason", string(reason)), slog.Any("error", err))
	sight.Reason = reason
	return sight, nil
}

// listUnit walks every page, and begins anew where the API does not know its own
// token any more.
func listUnit(ctx context.Context, api *residential.Client, unitID string, sight *store.AuditSight) ([]residential.Enablement, error) {
	asks, begun := ctx, remote.WithBegun(ctx)
	for n := 0; ; n++ {
		list, err := api.List(asks, unitID, residential.ListOpts{})
		sight.Pages += list.Pages
		var page *residential.PageError
		if n < startsOver && errors.As(err, &page) && page.Expired {
			asks = begun //nolint:fatcontext // One of two: it does not grow.
			continue
		}
		return list.Items, err
	}
}

// judgeList says what follows from a list that failed: the reason that the unit is
// unknown for in the end, whether it may pass, and how long to wait where nobody is to
// blame (below zero: do not).
func judgeList(err error) (reason fleet.UnknownReason, passes bool, wait time.Duration) {
	if _, ok := errors.AsType[*residential.PageError](err); ok {
		return fleet.UnknownInvalidAnswer, true, -1
	}
	v, failed := judge(err, false)
	switch v {
	case verdictHold:
		return "", true, holdList(err)
	case verdictLookup:
		return fleet.UnknownUnitNotFound, false, -1
	case verdictRetry, verdictDoubt, verdictConfirm:
		passes = true
	case verdictFail:
		passes = failed == fleet.ReasonUnauthorized // of a token that was fresh: nobody else says so
	}
	return unknownReason(err, failed), passes, -1
}

func unknownReason(err error, failed fleet.Reason) fleet.UnknownReason {
	if errors.Is(err, remote.ErrUnreadable) {
		return fleet.UnknownInvalidAnswer
	}
	switch failed {
	case fleet.ReasonForbidden:
		return fleet.UnknownForbidden
	case fleet.ReasonUnauthorized:
		return fleet.UnknownUnauthorized
	case fleet.ReasonServerError:
		return fleet.UnknownServerError
	case fleet.ReasonTransportError:
		return fleet.UnknownTransportError
	case fleet.ReasonUnitNotFound, fleet.ReasonSkillNotFound:
		return fleet.UnknownUnitNotFound
	case fleet.ReasonInvalidRequest, fleet.ReasonAccountLinkFailed, fleet.ReasonEnablingFailed, fleet.ReasonVerifyTimeout,
		fleet.ReasonAlreadyInState, fleet.ReasonOccupied, fleet.ReasonProtectedSkill, fleet.ReasonChangedSince:
	}
	return fleet.UnknownInvalidRequest
}

// holdList is how long a list waits that spends no attempt: until the budget opens,
// for credentials that work, or a moment.
func holdList(err error) time.Duration {
	var budget *remote.BudgetError
	var unauthorized *lwa.UnauthorizedError
	switch {
	case errors.As(err, &budget):
		return max(0, time.Until(budget.Until)) + rand.N(time.Second)
	case errors.As(err, &unauthorized):
		return unauthorizedWait
	case errors.Is(err, context.Canceled):
		return 0 // the process stops: another goes on
	}
	return time.Second + rand.N(time.Second)
}
