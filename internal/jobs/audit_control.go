package jobs

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
	"fleetd/internal/store"
)

// auditShare is the share of an account's budget that an audit may count on while a
// rollout works: releasing more would only have jobs wait for slots.
const auditShare = 0.25

// AuditRepairFunc repairs what an audit found that its schedule wants repaired. It is
// called once for each audit, or again where its process died meanwhile; what it
// returns is shown with the audit.
type AuditRepairFunc func(ctx context.Context, a store.Audit) (what string, err error)

// AuditControl releases the units of audits and ends them: the loop that every process
// runs. Two of them looking at once do no harm, for each look is one transaction that
// locks its audit.
type AuditControl struct {
	loop

	store       *store.Store
	lease       *Lease
	accounts    *Accounts
	river       Inserter
	maxInFlight int
	repair      AuditRepairFunc
}

// NewAuditControl makes the loop. repair may be nil: then no repair is automatic.
func NewAuditControl(
	st *store.Store, lease *Lease, accounts *Accounts, maxInFlight int, repair AuditRepairFunc, logger *slog.Logger,
) *AuditControl {
	return &AuditControl{loop: newLoop(logger), store: st, lease: lease, accounts: accounts, maxInFlight: maxInFlight, repair: repair}
}

// Run looks until ctx ends.
func (c *AuditControl) Run(ctx context.Context, client Inserter) {
	c.river = client
	c.run(ctx, c.look)
}

// look does what is due for every open audit, and for those that have just ended.
func (c *AuditControl) look(ctx context.Context, sweep bool) {
	open, err := c.store.OpenAudits(ctx)
	if err != nil {
		c.failed(ctx, "open audits not read", err)
		return
	}
	for _, a := range open {
		if sweep {
			c.sweep(ctx, a)
		}
		c.tick(ctx, a)
	}
	if sweep && c.repair != nil {
		c.repairDue(ctx)
	}
}

func (c *AuditControl) tick(ctx context.Context, a store.OpenAudit) {
	acc, err := c.accounts.Get(ctx, a.AccountID)
	if err != nil {
		c.failed(ctx, "account of an audit not at work", err)
		return
	}
	for range turns {
		result, err := c.store.TickAudit(ctx, a.ID, store.AuditTick{
			Horizon:        rollout.Horizon(acc.horizonRate(), c.share(a.AccountID), c.maxInFlight),
			AccountBlocked: acc.work.Blocked,
			Enqueue:        c.enqueue,
		})
		if err != nil {
			c.failed(ctx, "audit not advanced", err)
			return
		}
		if result.Changed {
			c.logger.LogAttrs(ctx, slog.LevelInfo, "audit changed state",
				slog.String("audit", a.Key), slog.String("account", acc.Name), slog.String("state", string(result.State)))
		}
		if !result.Again || ctx.Err() != nil {
			return
		}
	}
}

// share is the share of the account's budget that its audit may count on.
func (c *AuditControl) share(accountID int64) float64 {
	for _, r := range c.lease.Open() {
		if r.AccountID == accountID && r.State == fleet.RolloutRunning {
			return auditShare
		}
	}
	return 1
}

func (c *AuditControl) enqueue(ctx context.Context, tx pgx.Tx, accountID int64, refs []store.AuditRef) error {
	var params []river.InsertManyParams
	for _, job := range inJobs(refs,
		func(a, b store.AuditRef) bool { return a.AuditID == b.AuditID },
		func(store.AuditRef) int { return c.accounts.perJob(accountID) }) {
		args := AuditArgs{AccountID: accountID, AuditID: job[0].AuditID}
		for _, ref := range job {
			args.Units = append(args.Units, ref.Unit)
		}
		params = append(params, river.InsertManyParams{
			Args: args, InsertOpts: &river.InsertOpts{Queue: QueueName(accountID), MaxAttempts: auditMaxAttempts},
		})
	}
	_, err := c.river.InsertManyFastTx(ctx, tx, params)
	return err
}

func (c *AuditControl) sweep(ctx context.Context, a store.OpenAudit) {
	n, err := c.store.SweepAudit(ctx, a.ID, QueueName(a.AccountID), c.enqueue)
	if err != nil {
		c.failed(ctx, "lost units of an audit not looked for", err)
		return
	}
	if n > 0 {
		c.logger.LogAttrs(ctx, slog.LevelInfo, "took over units of an audit whose jobs are gone",
			slog.String("audit", a.Key), slog.Int("units", n))
	}
}

// repairDue sees to the automatic repairs of audits that have ended.
func (c *AuditControl) repairDue(ctx context.Context) {
	for ctx.Err() == nil {
		id, a, ok, err := c.store.ClaimRepair(ctx)
		if err != nil {
			c.failed(ctx, "automatic repairs not looked for", err)
			return
		}
		if !ok {
			return
		}
		what, err := c.repair(ctx, a)
		if err != nil {
			c.failed(ctx, "automatic repair failed", err)
			continue // it is due again in a while
		}
		if err := c.store.RepairDone(ctx, id, what); err != nil {
			c.failed(ctx, "automatic repair not written down", err)
			return
		}
		c.logger.LogAttrs(ctx, slog.LevelInfo, "automatic repair after an audit", slog.String("audit", a.ID),
			slog.String("account", a.Account), slog.String("outcome", what))
	}
}
