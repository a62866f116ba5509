package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/drift"
	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// PlanRepair says what RepairDrift would make. It is made by the code that creates,
// in a transaction that is rolled back, so the two cannot disagree.
func (s *Store) PlanRepair(ctx context.Context, p RepairParams) (Repair, error) {
	var out Repair
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		d, err := draftRepair(ctx, tx, p)
		if err != nil {
			return err
		}
		out = d.repair()
		out.DryRun = true
		for _, r := range d.rollouts {
			draft, err := s.draftRollout(ctx, tx, r)
			if err != nil {
				return err
			}
			draft.plan.Preflight = r.Preflight
			out.Plans = append(out.Plans, draft.plan)
		}
		return errRollback
	})
	if errors.Is(err, errRollback) {
		err = nil
	}
	return out, err
}

// RepairChanges says which rollouts RepairDrift would make: so that what they do can be
// checked before, outside of any transaction.
func (s *Store) RepairChanges(ctx context.Context, p RepairParams) ([]RepairChange, error) {
	var out []RepairChange
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		d, err := draftRepair(ctx, tx, p)
		if err != nil {
			return err
		}
		for _, r := range d.rollouts {
			out = append(out, RepairChange{Account: r.Account, Action: r.Action, SkillID: r.SkillID, Stage: r.Stage})
		}
		return errRollback
	})
	if errors.Is(err, errRollback) {
		err = nil
	}
	return out, err
}

// RepairDrift makes the rollouts that put findings right, one for each skill, action
// and stage: all of them or none, in one transaction. replayed says that the
// idempotency key was used before: the rollouts are those made then.
//
// Left alone are ignored findings, units that are not vacant or that the last audit
// did not see whole, and units that an open rollout of the skill has. When that
// leaves nothing, no rollout is made and it is no error.
func (s *Store) RepairDrift(ctx context.Context, p RepairParams, actor fleet.Actor, idem Idempotency) (out Repair, replayed bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		object, err := claimIdempotency(ctx, tx, actor, idem)
		if err != nil {
			return err
		}
		if replayed = object != ""; replayed {
			out, err = replayRepair(ctx, tx, object)
			return err
		}
		d, err := draftRepair(ctx, tx, p)
		if err != nil {
			return err
		}
		out = d.repair()
		keys := []string{}
		for _, r := range d.rollouts {
			key, err := s.createRollout(ctx, tx, r, actor, Idempotency{})
			if err != nil {
				return err
			}
			keys = append(keys, key)
		}
		if out.Rollouts, err = rolloutsByKey(ctx, tx, keys); err != nil {
			return err
		}
		if len(keys) > 0 {
			err = addLog(ctx, tx, logEntry{
				Actor: actor, Action: "drift.repair", Object: d.object(), Reason: p.Guardrails.Reason,
				Detail: map[string]any{"filter": p.Filter.text(), "findings": out.Findings, "targets": out.Targets, "rollouts": keys},
			})
			if err != nil {
				return err
			}
		}
		return keepRepair(ctx, tx, actor, idem, out, keys)
	})
	return out, replayed, err
}

// repairKept is what is kept of a repair under its idempotency key.
type repairKept struct {
	Findings int             `json:"findings"`
	Targets  int             `json:"targets"`
	Skipped  []RepairSkipped `json:"skipped"`
	Rollouts []string        `json:"rollouts"`
}

func keepRepair(ctx context.Context, tx pgx.Tx, actor fleet.Actor, idem Idempotency, r Repair, keys []string) error {
	object, err := json.Marshal(repairKept{Findings: r.Findings, Targets: r.Targets, Skipped: r.Skipped, Rollouts: keys})
	if err != nil {
		return fmt.Errorf("keep idempotency key: %w", err)
	}
	return keepIdempotency(ctx, tx, actor, idem, string(object))
}

func replayRepair(ctx context.Context, tx pgx.Tx, object string) (Repair, error) {
	var kept repairKept
	if err := json.Unmarshal([]byte(object), &kept); err != nil {
		return Repair{}, fmt.Errorf("read what the idempotency key kept: %w", err)
	}
	rollouts, err := rolloutsByKey(ctx, tx, kept.Rollouts)
	return Repair{Findings: kept.Findings, Targets: kept.Targets, Skipped: kept.Skipped, Plans: []Plan{}, Rollouts: rollouts}, err
}

func rolloutsByKey(ctx context.Context, tx pgx.Tx, keys []string) ([]Rollout, error) {
	rollouts := []Rollout{}
	for _, key := range keys {
		r, err := rolloutByKey(ctx, db.New(tx), key)
		if err != nil {
			return nil, err
		}
		rollouts = append(rollouts, r)
	}
	return rollouts, nil
}

// repairDraft is the rollouts that findings ask for.
type repairDraft struct {
	filter   DriftFilter
	rollouts []RolloutParams
	findings int
	targets  int
	skipped  map[RepairSkip]int
}

func (d *repairDraft) repair() Repair {
	out := Repair{Findings: d.findings, Targets: d.targets, Skipped: []RepairSkipped{}, Plans: []Plan{}, Rollouts: []Rollout{}}
	for _, reason := range RepairSkips() {
		if n := d.skipped[reason]; n > 0 {
			out.Skipped = append(out.Skipped, RepairSkipped{Reason: reason, Count: n})
		}
	}
	return out
}

func (d *repairDraft) object() string {
	if d.filter.Account != "" {
		return "account/" + d.filter.Account
	}
	return "drift"
}

// draftRepair reads the findings and sorts them into rollouts. It holds the creation
// locks of their accounts, so that no rollout takes up a unit in between.
func draftRepair(ctx context.Context, tx pgx.Tx, p RepairParams) (*repairDraft, error) {
	p.Filter.Ignored = DriftIgnoredNo
	if p.Guardrails.IncludeOccupied {
		return nil, fleet.Invalidf("include-occupied", "a repair never writes to homes that are occupied or linked; make a rollout of its own for them")
	}
	w, err := checkDriftFilter(ctx, tx, p.Filter)
	if err != nil {
		return nil, err
	}
	if err := refuseUnknownIDs(ctx, tx, p.Filter.IDs); err != nil {
		return nil, err
	}
	where, args := w.sql(nil)
	if len(p.Filter.IDs) > 0 { // by ID too, what is ignored stays ignored
		where += " AND (d.ignored_until IS NULL OR d.ignored_until <= now())"
	}
	if err := lockRepaired(ctx, tx, where, args); err != nil {
		return nil, err
	}
	d := &repairDraft{filter: p.Filter, skipped: map[RepairSkip]int{}}
	groups, err := d.read(ctx, tx, where, args, p.OwnOnly)
	switch {
	case err != nil:
		return nil, err
	case d.findings == 0:
		return nil, noDrift(p.Filter)
	case p.Ceiling > 0 && d.findings > p.Ceiling:
		return nil, &fleet.Error{
			Code: fleet.CodeConflict, Err: ErrAboveCeiling,
			Message: fmt.Sprintf("%d findings are more than the ceiling of %d: nothing was repaired; look at `fleetctl drift list` and repair by hand", d.findings, p.Ceiling),
		}
	}
	d.fill(groups, p)
	return d, nil
}

// lockRepaired locks rollout creation in the accounts of the findings, in an order
// that all callers share.
func lockRepaired(ctx context.Context, tx pgx.Tx, where string, args []any) error {
	rows, err := tx.Query(ctx, "SELECT DISTINCT d.account_id FROM drifts AS d WHERE "+where+" ORDER BY d.account_id", args...)
	if err != nil {
		return fmt.Errorf("look for accounts that drifted: %w", err)
	}
	accounts, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("look for accounts that drifted: %w", err)
	}
	for _, id := range accounts {
		if err := db.New(tx).RolloutCreationLock(ctx, id); err != nil {
			return fmt.Errorf("lock rollout creation: %w", err)
		}
	}
	return nil
}

// repairSQL reads findings with what is desired and observed now: both may have
// changed since the finding opened. What it says of open rollouts is what
// refuseOverlap asks.
const repairSQL = `
SELECT
	a.name, k.skill_id, u.unit_id, d.kind, w.stage,
	coalesce(nullif(o.stage, ''), d.stage),
	u.occupancy <> 'vacant',
	coalesce(s.result, 'unknown') = 'unknown',
	EXISTS (
		SELECT 1
		FROM targets AS t
		JOIN rollouts AS r ON r.id = t.rollout_id
		WHERE t.unit_id = d.unit_id
			AND r.account_id = d.account_id
			AND r.skill_id = d.skill_id
			AND r.ended_at IS NULL
	),
	k.skill_id = ANY (a.protected_skills)
FROM drifts AS d
JOIN accounts AS a ON a.id = d.account_id
JOIN skills AS k ON k.id = d.skill_id
JOIN units AS u ON u.id = d.unit_id
LEFT JOIN desired AS w ON w.unit_id = d.unit_id AND w.skill_id = d.skill_id
LEFT JOIN observed AS o ON o.unit_id = d.unit_id AND o.skill_id = d.skill_id
LEFT JOIN unit_sights AS s ON s.unit_id = d.unit_id
WHERE u.removed_at IS NULL AND %s
ORDER BY d.account_id, d.unit_id, d.skill_id`

// read sorts the findings into groups of units, in the order of the inventory.
func (d *repairDraft) read(ctx context.Context, tx pgx.Tx, where string, args []any, ownOnly bool) (map[RepairChange][]string, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(repairSQL, where), args...)
	if err != nil {
		return nil, fmt.Errorf("read drift: %w", err)
	}
	groups := map[RepairChange][]string{}
	var (
		account, skill, unit                   string
		kind                                   fleet.DriftKind
		wanted                                 *string
		observed                               fleet.Stage
		occupied, unknown, inFlight, protected bool
	)
	fields := []any{&account, &skill, &unit, &kind, &wanted, &observed, &occupied, &unknown, &inFlight, &protected}
	_, err = pgx.ForEachRow(rows, fields, func() error {
		d.findings++
		var desired *fleet.Desired
		if wanted != nil {
			desired = &fleet.Desired{Enabled: *wanted != "", Stage: fleet.Stage(*wanted)}
		}
		action, stage, ok := drift.Action(kind, desired, observed)
		switch {
		case occupied:
			d.skipped[RepairOccupied]++
		case unknown:
			d.skipped[RepairUnknown]++
		case inFlight:
			d.skipped[RepairInFlight]++
		case protected || fleet.ProtectedSkill(skill):
			d.skipped[RepairProtected]++
		case ownOnly && kind == fleet.DriftUnexpected && desired == nil:
			d.skipped[RepairNotDesired]++
		case !ok:
			d.skipped[RepairNoAction]++
		default:
			g := RepairChange{Account: account, Action: action, SkillID: skill, Stage: stage}
			groups[g] = append(groups[g], unit)
			d.targets++
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read drift: %w", err)
	}
	return groups, nil
}

// fill makes the input of one rollout of each group, in an order that repeats.
func (d *repairDraft) fill(groups map[RepairChange][]string, p RepairParams) {
	for g, units := range groups {
		r := p.Guardrails
		r.Account, r.Action, r.SkillID, r.Stage, r.Preflight = g.Account, g.Action, g.SkillID, g.Stage, p.Preflights[g]
		r.Selector, r.UnitIDs, r.Origin = "", units, fleet.OriginRepair
		d.rollouts = append(d.rollouts, r)
	}
	slices.SortFunc(d.rollouts, func(a, b RolloutParams) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.SkillID, b.SkillID),
			cmp.Compare(a.Action, b.Action), cmp.Compare(a.Stage, b.Stage))
	})
}
