package jobs

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
	"fleetd/internal/store"
)

const (
	// tickEvery is how often the open rollouts are looked at when nothing happens,
	// tickAtLeast the pause between two looks when much does.
	tickEvery   = 250 * time.Millisecond
	tickAtLeast = 20 * time.Millisecond
	// dueGroup bounds how many due targets get a job in one transaction.
	dueGroup = 1000
	// sweepEvery is how often targets and events are looked for whose process died.
	sweepEvery = 3 * time.Second
	// jobsPerSecond is the rate of an account beyond which a job holds several targets,
	// mostInJob at the most: bare River's share of a target's cost was near a third.
	jobsPerSecond = 200
	mostInJob     = 50
	// turns bounds how many waves one look may turn, so that one rollout with many
	// empty waves does not hold up the others.
	turns = 1000
)

// Control releases targets: the loop that every process runs. Two of them looking
// at once do no harm, for each look is one transaction that locks its rollout.
type Control struct {
	loop

	store       *store.Store
	lease       *Lease
	accounts    *Accounts
	river       Inserter
	maxInFlight int
}

// NewControl makes the loop; river inserts the jobs.
func NewControl(st *store.Store, lease *Lease, accounts *Accounts, maxInFlight int, logger *slog.Logger) *Control {
	return &Control{loop: newLoop(logger), store: st, lease: lease, accounts: accounts, maxInFlight: maxInFlight}
}

// Run looks until ctx ends.
func (c *Control) Run(ctx context.Context, client Inserter) {
	c.river = client
	c.run(ctx, func(ctx context.Context, sweep bool) {
		c.look(ctx, sweep)
		if sweep {
			c.sweep(ctx)
			c.sweepEvents(ctx)
		}
	})
}

// look does what is due for every open rollout, and for every due target. sweep says
// that the bounds of what is under way are to be tightened too.
func (c *Control) look(ctx context.Context, sweep bool) {
	open := c.lease.Open()
	weights := map[int64]int{}
	for _, r := range open {
		if r.State == fleet.RolloutRunning {
			weights[r.AccountID] += r.Weight
		}
	}
	for _, r := range open {
		if r.State == fleet.RolloutPaused || r.State == fleet.RolloutHalted {
			continue // nothing happens until a person acts
		}
		c.tick(ctx, r, weights[r.AccountID], sweep)
	}
	for ctx.Err() == nil {
		n, err := c.store.DueTargets(ctx, dueGroup, c.enqueue)
		if err != nil {
			c.failed(ctx, "due targets not released", err)
			return
		}
		if n < dueGroup {
			return
		}
	}
}

func (c *Control) tick(ctx context.Context, r store.OpenRollout, weights int, sweep bool) {
	acc, err := c.accounts.Get(ctx, r.AccountID)
	if err != nil {
		c.failed(ctx, "account of a rollout not at work", err)
		return
	}
	share := 1.0
	if weights > r.Weight {
		share = float64(r.Weight) / float64(weights)
	}
	params := store.TickParams{
		Horizon:        c.horizon(acc.horizonRate(), share),
		AccountBlocked: acc.work.Blocked,
		Enqueue:        c.enqueue,
		Sweep:          sweep,
	}
	for range turns {
		result, err := c.store.TickRollout(ctx, r.ID, params)
		if err != nil {
			c.failed(ctx, "rollout not advanced", err)
			return
		}
		if result.Changed {
			c.logger.LogAttrs(ctx, slog.LevelInfo, "rollout changed state",
				slog.String("rollout", r.Key), slog.String("account", acc.Name), slog.String("state", string(result.State)))
			c.lease.Poke()
		}
		if result.Again && result.State == fleet.RolloutCanceled {
			c.Wake() // a long backlog is canceled a chunk a look, between the others
			return
		}
		if !result.Again {
			return
		}
	}
}

// horizon is how many targets of a rollout may be outstanding. A rate beyond what
// this process can work is no reason to release more than it can hold.
func (c *Control) horizon(rate, share float64) int {
	if math.IsInf(rate, 1) {
		rate = math.MaxInt32
	}
	return rollout.Horizon(rate, share, c.maxInFlight)
}

func (c *Control) enqueue(ctx context.Context, tx pgx.Tx, refs []store.TargetRef) error {
	var params []river.InsertManyParams
	for _, job := range inJobs(refs,
		func(a, b store.TargetRef) bool { return a.RolloutID == b.RolloutID },
		func(r store.TargetRef) int { return c.accounts.perJob(r.AccountID) }) {
		args := TargetArgs{RolloutID: job[0].RolloutID}
		for _, ref := range job {
			args.Seqs = append(args.Seqs, ref.Seq)
		}
		params = append(params, river.InsertManyParams{Args: args, InsertOpts: &river.InsertOpts{Queue: QueueName(job[0].AccountID)}})
	}
	_, err := c.river.InsertManyFastTx(ctx, tx, params)
	return err
}

func (c *Control) sweep(ctx context.Context) {
	if err := c.lease.ForgetGone(ctx); err != nil {
		c.failed(ctx, "processes that are gone not forgotten", err)
	}
	n, err := c.store.AdoptOrphans(ctx)
	if err != nil {
		c.failed(ctx, "orphans not adopted", err)
		return
	}
	if n > 0 {
		c.logger.LogAttrs(ctx, slog.LevelInfo, "took over targets of a process that is gone", slog.Int("targets", n))
		c.Wake()
	}
}

// sweepEvents gives a job to events whose own is gone, or died with its process.
func (c *Control) sweepEvents(ctx context.Context) {
	n, err := c.store.AdoptEvents(ctx, dueGroup, func(ctx context.Context, tx pgx.Tx, id int64) error {
		_, err := c.river.InsertManyFastTx(ctx, tx, []river.InsertManyParams{eventJob(id)})
		return err
	})
	if err != nil {
		c.failed(ctx, "orphaned events not adopted", err)
		return
	}
	if n > 0 {
		c.logger.LogAttrs(ctx, slog.LevelInfo, "took over events of a process that is gone", slog.Int("events", n))
	}
}
