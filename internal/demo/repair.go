package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// repairing is the rollouts of a repair, which go on at once.
type repairing struct {
	*demo

	repair   client.Repair
	rollouts []client.Rollout
	spent    simulator.Stats // what the API saw of them
}

func (r *repairing) look(ctx context.Context) (sight, error) {
	for i := range r.rollouts {
		now, err := r.lookAt(ctx, r.rollouts[i].ID)
		if err != nil {
			return sight{}, err
		}
		r.rollouts[i] = now
	}
	return rolloutSight(r.rollouts...), nil
}

func (r *repairing) step(context.Context, time.Time, simulator.Stats, display) (bool, error) {
	over := true
	for _, made := range r.rollouts {
		if fleet.RolloutState(made.State) == fleet.RolloutHalted {
			return false, fmt.Errorf("a rollout of the repair halted: %s", made.StateReason)
		}
		over = over && fleet.RolloutState(made.State).Ended() && made.EndedAt != nil
	}
	return over, nil
}

// repairBody is the repair of the demo.
func repairBody(dryRun bool) client.RepairBody {
	return client.RepairBody{
		Account: new(account), Canary: new(int64(2)), Waves: &[]string{"50%"}, MaxFailures: new("10%"), VerifyTimeout: new("2m"),
		DryRun: &dryRun, Reason: new("fleetd demo"),
	}
}

// repairHomes puts right what was found, by rollouts with guardrails.
func (d *demo) repairHomes(ctx context.Context) error {
	d.p.step("The repair: rollouts like any other")
	if err := d.mend(); err != nil {
		return err
	}
	b := repairBody(false)
	d.p.command("fleetctl drift repair", "--account "+account, fmt.Sprintf("--canary %d", *b.Canary), "--wave "+(*b.Waves)[0],
		"--max-failures "+*b.MaxFailures, "--verify-timeout "+*b.VerifyTimeout, "--yes", "--watch")
	plan, err := d.api.RepairDrift(ctx, client.RepairDriftParams{}, repairBody(true))
	if err != nil {
		return fmt.Errorf("plan the repair: %w", err)
	}
	for _, p := range plan.Value.Plans {
		d.p.fact("Plan", "%s %s in %s, %s; halts after more than %s", p.Action, p.SkillID, things(p.Targets, "home"),
			things(p.Price.Requests, "request"), things(p.MaxFailures, "failure"))
	}
	d.sim.Reset(true)
	made, err := d.api.RepairDrift(ctx, client.RepairDriftParams{IdempotencyKey: new(rand.Text())}, b)
	if err != nil {
		return fmt.Errorf("repair the drift: %w", err)
	}
	if len(made.Value.Rollouts) == 0 {
		return errors.New("the repair made no rollout")
	}
	d.repair = &repairing{demo: d, repair: made.Value, rollouts: made.Value.Rollouts}
	if err := d.follow(ctx, made.Value.Targets, d.repair); err != nil {
		return err
	}
	d.repair.spent = d.sim.Stats()
	d.wrongRepaired = unrepaired(d.wanted, func(p pair) simulator.State { return d.sim.State(p.unit, p.skill) })
	d.p.fact("Repaired", "%s of %s, with %s", count(len(d.wanted)-len(d.wrongRepaired)), things(len(d.wanted), "difference"),
		things(d.repair.spent.Writes, "write"))
	return nil
}

// mend ends what made enabling fail, where an audited home has that: a repair only
// sends what the rollout sent, and a vendor's fault is not put right by it.
func (d *demo) mend() error {
	broken := len(d.wanted) - len(d.injected)
	if broken == 0 {
		return nil
	}
	faults := d.sim.Faults()
	faults.FailedEnabling = 0
	d.p.text("   The skill's vendor has mended what made enabling fail (%s here).", things(broken, "home"))
	if err := d.sim.SetFaults(faults); err != nil {
		return fmt.Errorf("mend the homes whose enabling failed: %w", err)
	}
	return nil
}
