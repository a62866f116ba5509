package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
	"fleetd/internal/store/db"
)

// The defaults of a rollout's guardrails.
const (
	DefaultMaxFailures       = "2%"
	DefaultVerifyTimeout     = 10 * time.Minute
	DefaultObservationMaxAge = 24 * time.Hour
)

// MaxVerifyTimeout is the longest that a write may be given to show. What has not
// shown by then never will, and its target would keep the rollout open.
const MaxVerifyTimeout = 7 * 24 * time.Hour

// PlanRollout says what a rollout would do and cost. It is made by the code that
// creates, in a transaction that is rolled back, so the two cannot disagree.
func (s *Store) PlanRollout(ctx context.Context, p RolloutParams) (Plan, error) {
	var plan Plan
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		d, err := s.draftRollout(ctx, tx, p)
		if err != nil {
			return err
		}
		plan = d.plan
		return errRollback
	})
	if errors.Is(err, errRollback) {
		err = nil
	}
	return plan, err
}

// errRollback ends a transaction whose work was only to be looked at.
var errRollback = errors.New("roll back")

// CreateRollout makes a rollout with all its targets in one transaction. replayed
// says that the idempotency key was used before: the rollout is the one made then.
func (s *Store) CreateRollout(
	ctx context.Context, p RolloutParams, actor fleet.Actor, idem Idempotency,
) (r Rollout, replayed bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		key, err := claimIdempotency(ctx, tx, actor, idem)
		if err != nil {
			return err
		}
		if replayed = key != ""; !replayed {
			if key, err = s.createRollout(ctx, tx, p, actor, idem); err != nil {
				return err
			}
		}
		r, err = rolloutByKey(ctx, db.New(tx), key)
		return err
	})
	return r, replayed, err
}

func (s *Store) createRollout(
	ctx context.Context, tx pgx.Tx, p RolloutParams, actor fleet.Actor, idem Idempotency,
) (key string, err error) {
	d, err := s.draftRollout(ctx, tx, p)
	if err != nil {
		return "", err
	}
	p = d.params
	d.insert.Key, d.insert.CreatedBy, d.insert.Reason = newRolloutKey(), actor.Name, p.Reason
	if p.Paused {
		d.insert.StateReason = "created paused by " + actor.Name
	}
	q := db.New(tx)
	id, err := q.RolloutInsert(ctx, d.insert)
	if err != nil {
		return "", fmt.Errorf("insert rollout: %w", err)
	}
	if err := keepPreflight(ctx, q, id, p.Preflight); err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, insertTargets, id, d.skipKnown); err != nil {
		return "", fmt.Errorf("insert targets: %w", err)
	}
	if err := releaseKnown(ctx, tx, d, id); err != nil {
		return "", err
	}
	if d.plan.Targets >= analyzeFrom {
		if _, err := tx.Exec(ctx, "ANALYZE targets"); err != nil {
			return "", fmt.Errorf("analyze targets: %w", err)
		}
	}
	skips := totals{}
	skips.addN(d.insert.AccountID, p.Action, fleet.TargetSkipped, fleet.ReasonOccupied, d.plan.Expected.Occupied)
	if d.skipKnown {
		skips.addN(d.insert.AccountID, p.Action, fleet.TargetSkipped, fleet.ReasonAlreadyInState, d.plan.Expected.AlreadyInState)
	}
	if err := skips.apply(ctx, q); err != nil {
		return "", err
	}
	detail := map[string]any{
		"account": p.Account, "action": p.Action, "skill_id": p.SkillID, "stage": d.insert.Stage,
		"selector": d.insert.Selector, "targets": d.insert.Targets, "price_requests": d.insert.PriceRequests,
	}
	logPreflight(detail, p.Preflight)
	if d.insert.Origin != "" {
		detail["origin"] = d.insert.Origin
	}
	if p.RollbackOf != "" {
		detail["rollback_of"] = p.RollbackOf
	}
	err = addLog(ctx, tx, logEntry{
		Actor: actor, Action: "rollout.create", Object: "rollout/" + d.insert.Key, Reason: p.Reason, Detail: detail,
	})
	if err != nil {
		return "", err
	}
	if err := q.RolloutNotify(ctx, fmt.Sprint(id)); err != nil {
		return "", fmt.Errorf("tell of the rollout: %w", err)
	}
	return d.insert.Key, keepIdempotency(ctx, tx, actor, idem, d.insert.Key)
}

// releaseKnown says what is desired of the homes that are as wanted already: they are
// skipped now, and are never released.
func releaseKnown(ctx context.Context, tx pgx.Tx, d *rolloutDraft, rolloutID int64) error {
	if !d.skipKnown || d.plan.Expected.AlreadyInState == 0 {
		return nil
	}
	stage := wantedStage(db.Rollout{Action: d.insert.Action, Stage: d.insert.Stage}, nil)
	const group = 20_000
	for last := 0; ; last += group {
		rows, err := tx.Query(ctx, "SELECT unit_id FROM picked WHERE class = 'already' AND seq > $1 AND seq <= $2", last, last+group)
		if err != nil {
			return fmt.Errorf("read units that are as wanted: %w", err)
		}
		units, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return fmt.Errorf("read units that are as wanted: %w", err)
		}
		_, err = ReleaseDesired(ctx, tx, rolloutID, units, slices.Repeat([]string{stage}, len(units)))
		if errors.Is(err, ErrDesiredBusy) {
			return &fleet.Error{Code: fleet.CodeUnavailable, Err: err, Message: "what is desired in the account is just being changed: try again in a moment"}
		}
		if err != nil || last+group >= d.plan.Targets {
			return err
		}
	}
}

// insertTargets writes the backlog from what draftRollout picked. Homes whose
// outcome is known end at once and cost nothing.
const insertTargets = `
INSERT INTO targets (rollout_id, seq, unit_id, state, odd, reason, ended_at, before, want_stage, only_if)
SELECT
    $1,
    seq,
    unit_id,
    CASE WHEN class = 'occupied' OR (class = 'already' AND $2::boolean) THEN 'skipped' ELSE 'pending' END::target_state,
    CASE WHEN class = 'occupied' OR (class = 'already' AND $2::boolean) THEN 'skipped' END::target_state,
    CASE
        WHEN class = 'occupied' THEN 'occupied'
        WHEN class = 'already' AND $2::boolean THEN 'already_in_state'
        ELSE ''
    END,
    CASE WHEN class = 'occupied' OR (class = 'already' AND $2::boolean) THEN now() END,
    CASE WHEN class = 'already' AND $2::boolean THEN before END,
    want_stage,
    only_if
FROM picked
ORDER BY seq`

// rolloutDraft is a rollout that could be made: its row, and the plan to show. The
// units it picked stand in the temporary table "picked" of the transaction.
type rolloutDraft struct {
	insert    db.RolloutInsertParams
	plan      Plan
	params    RolloutParams // as completed
	skipKnown bool          // units known to be in state are skipped now, not at their turn
}

func (s *Store) draftRollout(ctx context.Context, tx pgx.Tx, p RolloutParams) (*rolloutDraft, error) {
	d := &rolloutDraft{skipKnown: p.StartAt.IsZero() && !p.Paused}
	var back rollback
	if p.RollbackOf != "" {
		var err error
		if back, err = readRollback(ctx, tx, &p); err != nil {
			return nil, err
		}
		p.ObservationMaxAge = time.Nanosecond // always read
	}
	g, err := parseGuardrails(&p)
	if err != nil {
		return nil, err
	}
	acc, err := draftAccount(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	q := db.New(tx)
	if err := q.RolloutCreationLock(ctx, acc.id); err != nil {
		return nil, fmt.Errorf("lock rollout creation: %w", err)
	}
	skill, err := q.SkillEnsure(ctx, p.SkillID)
	if err != nil {
		return nil, fmt.Errorf("name skill: %w", err)
	}
	selector := p.Selector
	if p.RollbackOf == "" {
		if selector, err = pickUnits(ctx, tx, p, acc, skill); err != nil {
			return nil, err
		}
	}
	targets, err := countPicked(ctx, tx, &d.plan)
	if err != nil {
		return nil, err
	}
	if targets == 0 {
		return nil, fleet.Invalidf("select", "the selector %q matches no unit of account %s; `fleetctl unit list --account %s` shows what there is",
			selector, p.Account, p.Account)
	}
	if err := refuseOverlap(ctx, tx, acc, skill, p.SkillID); err != nil {
		return nil, err
	}
	ends, err := rollout.Waves(targets, p.Canary, g.waves)
	if err != nil {
		return nil, err
	}
	maxFailures, err := rollout.MaxFailures(p.MaxFailures, targets)
	if err != nil {
		return nil, err
	}
	price := rollout.PriceOf(rollout.PriceInput{Read: d.plan.Expected.Read, Write: d.plan.Expected.Changes()}, acc.rate)
	d.fillPlan(p, selector, ends, maxFailures, price, acc.rate)
	d.fillInsert(p, g, acc, skill, ends)
	d.params = p
	if p.RollbackOf != "" {
		d.insert.RollbackOf = &back.id
		if back.unknown > 0 {
			d.plan.Warnings = append(d.plan.Warnings, fmt.Sprintf(
				"%d homes are left as they are: their state before rollout %s is not known, or they are gone", back.unknown, p.RollbackOf))
		}
	}
	return d, nil
}

// fillPlan completes the plan that countPicked began.
func (d *rolloutDraft) fillPlan(p RolloutParams, selector string, ends []int, maxFailures int, price rollout.Price, rate float64) {
	d.plan.Account, d.plan.Action, d.plan.SkillID, d.plan.Stage = p.Account, p.Action, p.SkillID, p.Stage
	d.plan.Selector, d.plan.MaxFailures, d.plan.Rate = selector, maxFailures, rate
	d.plan.Price = Price{Requests: price.Requests, Minutes: price.Minutes}
	d.plan.StartsAt = time.Now().UTC().Truncate(time.Second)
	if !p.StartAt.IsZero() {
		d.plan.StartsAt = p.StartAt.UTC()
	}
	first := 0
	for i, end := range ends {
		d.plan.Waves = append(d.plan.Waves, PlanWave{Index: i + 1, Targets: end - first})
		first = end
	}
	d.plan.Warnings = []string{}
	if d.plan.Expected.Changes() == 0 {
		d.plan.Warnings = append(d.plan.Warnings, "nothing to do: every unit is skipped")
	}
	if p.ObservationAny {
		d.plan.Warnings = append(d.plan.Warnings, "units are not read before they are written to: an exact rollback will not be possible")
	}
	if w, err := rollout.ParseWindow(p.Window); p.Window != "" && err == nil {
		if open := windowMinutes(w); price.Minutes > open {
			d.plan.Warnings = append(d.plan.Warnings, fmt.Sprintf(
				"the work needs about %.0f minutes and the window is open for %.0f a day: it takes about %d days",
				price.Minutes, open, int(price.Minutes/open)+1))
		}
	}
}

func windowMinutes(w rollout.Window) float64 {
	n := w.End - w.Start
	if n <= 0 {
		n += 24 * 60
	}
	return float64(n)
}

func (d *rolloutDraft) fillInsert(p RolloutParams, g guardrails, acc draftedAccount, skill int32, ends []int) {
	e := d.plan.Expected
	skipped := e.Occupied
	if d.skipKnown {
		skipped += e.AlreadyInState
	}
	state := fleet.RolloutRunning
	if !p.StartAt.IsZero() {
		state = fleet.RolloutScheduled
	}
	if p.Paused {
		state = fleet.RolloutPaused
	}
	//nolint:gosec // Counts of units and minutes of a day fit.
	d.insert = db.RolloutInsertParams{
		AccountID: acc.id, Action: string(p.Action), SkillID: skill, Stage: string(p.Stage), State: string(state),
		Selector: d.plan.Selector, Targets: int32(d.plan.Targets), WaveEnds: int32s(ends), SoakMs: p.Soak.Milliseconds(),
		MaxFailures: int32(d.plan.MaxFailures), Timezone: p.Timezone, StartAt: timeOrNil(p.StartAt),
		VerifyTimeoutMs: p.VerifyTimeout.Milliseconds(), IncludeOccupied: p.IncludeOccupied, Weight: int32(p.Weight),
		PriceRequests: d.plan.Price.Requests, PriceMinutes: d.plan.Price.Minutes, Origin: string(p.Origin),
		NPending: int32(d.plan.Targets - skipped), NSkipped: int32(skipped),
	}
	if !p.ObservationAny {
		ms := p.ObservationMaxAge.Milliseconds()
		d.insert.ObservationMaxAgeMs = &ms
	}
	if g.window != nil {
		start, end := int32(g.window.Start), int32(g.window.End) //nolint:gosec // Minutes of a day.
		d.insert.WindowStart, d.insert.WindowEnd = &start, &end
	}
}

func int32s(in []int) []int32 {
	out := make([]int32, len(in))
	for i, n := range in {
		out[i] = int32(n) //nolint:gosec // A seq of a rollout fits.
	}
	return out
}
