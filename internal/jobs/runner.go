package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

const (
	// fetchCooldown bounds how often a queue is asked for jobs: with MaxWorkers it
	// is the ceiling of jobs a second (see docs/architecture.md).
	fetchCooldown = 50 * time.Millisecond
	// fetchPoll is how often it is asked where no notice came: River sends few notices
	// of jobs that follow each other closely, and a small tolerance lets few go at once.
	fetchPoll = 250 * time.Millisecond
	// rescueAfter is when River takes a job for stuck. The ledger adopts the target
	// long before; this only tidies up the job.
	rescueAfter = 60 * time.Second
	// retention is how long River keeps jobs that ended. The ledger is ours.
	retention = 5 * time.Minute
)

// QueueName is the River queue of one account: accounts share no workers, so that
// a throttled one does not hold up another.
func QueueName(accountID int64) string { return "account_" + strconv.FormatInt(accountID, 10) }

// RunnerConfig is what the work of a process is run with.
type RunnerConfig struct {
	Store       *store.Store
	Pool        *pgxpool.Pool
	ProcessName string // unique among the processes of one database
	MaxInFlight int    // jobs of one account at once, in this process
	Logger      *slog.Logger
	Accounts    AccountsConfig // Added is set by the runner
	Audits      store.AuditDefault
	Repair      AuditRepairFunc // after audits whose schedule asks for it; nil: none is automatic
	// Publications and RefreshPreflight are what the rules of events ask. Nil: the accounts'
	// developer credentials, and a check of the skill.
	Publications     Publications
	RefreshPreflight RefreshPreflightFunc
}

// Runner is the work of one process: lease, accounts, control loop and workers.
type Runner struct {
	cfg      RunnerConfig
	Lease    *Lease
	Accounts *Accounts
	control  *Control
	targets  *Targets
	auditing *AuditControl
	audits   *Audits
	schedule *Scheduler

	preflights *Preflights
	river      *river.Client[pgx.Tx]

	loops   sync.WaitGroup
	release context.CancelFunc // of the control loop
	cancel  context.CancelFunc // of the other loops
	groups  context.CancelFunc // of the groups, which outlive the workers
}

// NewRunner registers the process and prepares its work; Start begins it.
func NewRunner(ctx context.Context, cfg RunnerConfig) (*Runner, error) {
	r := &Runner{cfg: cfg}
	var err error
	if r.Lease, err = NewLease(ctx, cfg.Store, cfg.ProcessName, cfg.Logger); err != nil {
		return nil, err
	}
	cfg.Accounts.Added = r.addQueue
	r.Accounts = NewAccounts(cfg.Accounts)
	r.preflights = NewPreflights(cfg.Store, r.Accounts, cfg.Logger)
	r.control = NewControl(cfg.Store, r.Lease, r.Accounts, cfg.MaxInFlight, cfg.Logger)
	r.Lease.onSeen = r.control.Wake
	r.targets = NewTargets(cfg.Store, r.Lease, r.Accounts, cfg.Logger, r.control.Wake)
	r.auditing = NewAuditControl(cfg.Store, r.Lease, r.Accounts, cfg.MaxInFlight, cfg.Repair, cfg.Logger)
	r.audits = NewAudits(cfg.Store, r.Accounts, cfg.Logger, r.auditing.Wake)
	r.schedule = NewScheduler(cfg.Store, cfg.Audits, nil, cfg.Logger, r.auditing.Wake)
	workers := river.NewWorkers()
	if cfg.Publications == nil {
		cfg.Publications = developerPublications{r.Accounts}
	}
	if cfg.RefreshPreflight == nil {
		cfg.RefreshPreflight = r.preflights.Refresh
	}
	events := NewEvents(cfg.Store, cfg.Publications, r.preflights.Run, cfg.RefreshPreflight, cfg.Logger)
	err = errors.Join(river.AddWorkerSafely(workers, r.targets), river.AddWorkerSafely(workers, r.audits), river.AddWorkerSafely(workers, events))
	if err != nil {
		return nil, fmt.Errorf("register worker: %w", err)
	}
	r.river, err = river.NewClient(riverpgxv5.New(cfg.Pool), &river.Config{
		ID:                          cfg.ProcessName,
		Logger:                      slog.New(quiet{cfg.Logger.Handler()}),
		ErrorHandler:                panicLog{cfg.Logger},
		RetryPolicy:                 retryPolicy{},
		Workers:                     workers,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: eventWorkers}},
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           fetchPoll,
		JobTimeout:                  jobTimeout,
		RescueStuckJobsAfter:        rescueAfter,
		MaxAttempts:                 10,
		CompletedJobRetentionPeriod: retention,
		CancelledJobRetentionPeriod: retention,
		DiscardedJobRetentionPeriod: 24 * time.Hour,
	})
	if err != nil {
		return nil, fmt.Errorf("make the River client: %w", err)
	}
	return r, nil
}

func (r *Runner) addQueue(accountID int64) error {
	err := r.river.Queues().Add(QueueName(accountID), river.QueueConfig{MaxWorkers: r.cfg.MaxInFlight})
	if err != nil {
		return fmt.Errorf("add the queue of account %d: %w", accountID, err)
	}
	return nil
}

// Start begins the work. ctx is that of the start, not of the work. What it had
// begun when it fails is ended.
func (r *Runner) Start(ctx context.Context) error {
	work := context.WithoutCancel(ctx)
	loopCtx, cancel := context.WithCancel(work)
	releaseCtx, release := context.WithCancel(loopCtx)
	groupsCtx, groups := context.WithCancel(work)
	r.cancel, r.release, r.groups = cancel, release, groups
	r.loops.Go(func() { r.targets.Run(groupsCtx) })
	r.loops.Go(func() { r.audits.Run(groupsCtx) })
	if err := r.river.Start(work); err != nil {
		return errors.Join(fmt.Errorf("start River: %w", err), r.Stop(ctx))
	}
	if err := r.Accounts.Reload(ctx); err != nil {
		return errors.Join(err, r.Stop(ctx))
	}
	r.loops.Go(func() { r.Lease.Run(loopCtx) })
	r.loops.Go(func() { r.Accounts.Run(loopCtx) })
	r.loops.Go(func() { r.control.Run(releaseCtx, r.river) })
	r.loops.Go(func() { r.auditing.Run(releaseCtx, r.river) })
	r.loops.Go(func() { r.schedule.Run(releaseCtx) })
	r.loops.Go(func() { r.listen(loopCtx) })
	r.loops.Go(func() { r.tidy(loopCtx) })
	return nil
}

// listen passes on what other processes and the API tell, and begins anew when
// the connection breaks: polling covers the time in between.
func (r *Runner) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.cfg.Store.Listen(ctx, r.told)
		if ctx.Err() != nil {
			return
		}
		r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "listening again in a second", slog.Any("error", err))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (r *Runner) told(channel, payload string) {
	switch channel {
	case store.ChannelControl:
		r.Lease.Poke()
		r.auditing.Wake()
	case store.ChannelAccount:
		r.Accounts.Poke()
		r.control.Wake()
	case store.ChannelBudget:
		account, kind, _ := strings.Cut(payload, " ")
		if id, err := strconv.ParseInt(account, 10, 64); err == nil {
			r.Accounts.Invalidate(id, fleet.CredentialKind(kind))
		}
	case "": // begun to listen: anything may have been missed
		r.Lease.Poke()
		r.Accounts.Poke()
		r.Accounts.InvalidateAll()
	}
}

// Stop ends the work in good order: nothing is released any more, jobs under way
// are let finish while ctx lasts, then stopped where they can be taken up again,
// and what they found is recorded. A second Stop does nothing.
func (r *Runner) Stop(ctx context.Context) error {
	if r.cancel == nil {
		return nil
	}
	r.release()
	r.targets.Leave()
	r.audits.Leave()
	stopErr := r.river.Stop(ctx)
	hard, cancelHard := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancelHard()
	if stopErr != nil {
		stopErr = r.river.StopAndCancel(hard)
	}
	r.cancel()
	closeErr := r.Accounts.Close(hard)
	r.groups()
	r.loops.Wait()
	r.cancel = nil
	return errors.Join(stopErr, closeErr, r.Lease.Close(hard))
}
