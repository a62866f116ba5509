package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

const (
	// jobTimeout bounds one run of a job, requestTime what it spends waiting for
	// slots and answers, recordTime the claim before and the record after that.
	jobTimeout  = 30 * time.Second
	requestTime = 20 * time.Second
	recordTime  = 9 * time.Second

	// claimGroup and recordGroup bound what one transaction claims or records.
	claimGroup  = 500
	recordGroup = 500
)

// TargetArgs names the targets a job is for: one, or a few where a budget lets so
// many through in a second that a job each would cost as much as the rest of the
// work (see jobsPerSecond). Jobs carry IDs only.
type TargetArgs struct {
	RolloutID int64   `json:"rollout_id"`
	Seqs      []int32 `json:"seqs"`
}

// Kind is River's name of the job.
func (TargetArgs) Kind() string { return "target" }

// Targets runs target jobs: it claims, works and records, in groups.
type Targets struct {
	river.WorkerDefaults[TargetArgs]
	door

	store    *store.Store
	lease    *Lease
	accounts *Accounts
	logger   *slog.Logger
	claims   *batcher[store.Claim, *store.ClaimedTarget]
	records  *batcher[store.TargetRecord, struct{}]
	specs    *specs
}

// NewTargets makes the worker. recorded is called after each group of outcomes:
// there is room for more.
func NewTargets(st *store.Store, lease *Lease, accounts *Accounts, logger *slog.Logger, recorded func()) *Targets {
	t := &Targets{door: newDoor(), store: st, lease: lease, accounts: accounts, logger: logger, specs: newSpecs(st)}
	t.claims = newBatcher(claimGroup, t.claim)
	t.records = newBatcher(recordGroup, func(ctx context.Context, records []store.TargetRecord) ([]struct{}, error) {
		// A group that is being recorded is finished also while the process stops.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
		defer cancel()
		if err := st.RecordTargets(ctx, lease.ProcessID(), records); err != nil {
			return nil, err
		}
		recorded()
		return make([]struct{}, len(records)), nil
	})
	return t
}

// Run writes the groups until ctx ends; it must outlive the River client.
func (w *Targets) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() { defer close(done); w.claims.run(ctx) }()
	w.records.run(ctx)
	<-done
}

// Timeout is how long River lets one run of a job last.
func (w *Targets) Timeout(*river.Job[TargetArgs]) time.Duration { return jobTimeout }

func (w *Targets) claim(ctx context.Context, claims []store.Claim) ([]*store.ClaimedTarget, error) {
	claimed, err := w.store.ClaimTargets(ctx, w.lease.ProcessID(), claims)
	if err != nil {
		return nil, err
	}
	byClaim := make(map[store.Claim]*store.ClaimedTarget, len(claimed))
	for i := range claimed {
		byClaim[claimed[i].Claim] = &claimed[i]
	}
	out := make([]*store.ClaimedTarget, len(claims))
	for i, c := range claims {
		out[i] = byClaim[c]
	}
	return out, nil
}

// Work brings its targets, side by side, as far as they will go now. An error means
// that something could not be written down: River runs the job again, and a target
// without a record is read before it is written to.
func (w *Targets) Work(ctx context.Context, job *river.Job[TargetArgs]) error {
	spec, err := w.specs.get(ctx, job.Args.RolloutID)
	if err != nil {
		return err
	}
	acc, err := w.accounts.Get(ctx, spec.AccountID)
	if err != nil {
		return err
	}
	errs := make([]error, len(job.Args.Seqs))
	var others sync.WaitGroup
	for i, seq := range job.Args.Seqs {
		claim := store.Claim{RolloutID: job.Args.RolloutID, Seq: seq, JobID: job.ID}
		if i < len(errs)-1 {
			others.Go(func() { errs[i] = w.work(ctx, spec, acc, claim) })
			continue
		}
		errs[i] = w.work(ctx, spec, acc, claim)
	}
	others.Wait()
	return errors.Join(errs...)
}

// work brings one target as far as it will go now, when fewer than --max-in-flight of
// the account are under way in this process. Once the claim is asked for,
// neither it nor the record is given up when the process stops: a target left
// running costs the next process a read.
func (w *Targets) work(ctx context.Context, spec store.RolloutSpec, acc *Account, claim store.Claim) error {
	leave, err := w.enter(ctx, acc.room)
	if err != nil {
		return err
	}
	defer leave()
	t, err := finish(ctx, w.claims, claim)
	if err != nil || t == nil {
		return err
	}
	_, err = finish(ctx, w.records, w.attempt(ctx, spec, acc, t))
	return err
}

// finish hands an item over and waits for its group, whatever becomes of ctx.
func finish[T, R any](ctx context.Context, b *batcher[T, R], item T) (R, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	return b.do(ctx, item)
}

func (w *Targets) attempt(ctx context.Context, spec store.RolloutSpec, acc *Account, t *store.ClaimedTarget) store.TargetRecord {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	a := newAttempt(t, spec, acc, w.lease)
	record := a.run(ctx)
	if a.lastErr != nil && record.State == fleet.TargetFailed {
		w.logger.LogAttrs(ctx, slog.LevelDebug, "target failed", slog.String("rollout", spec.Key), slog.String("unit", t.UnitID),
			slog.String("reason", string(record.Reason)), slog.Any("error", a.lastErr))
	}
	return record
}

// errNoAccount says that the account of a target is not at work in this process.
var errNoAccount = errors.New("jobs: the account is gone")
