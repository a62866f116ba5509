package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
	"fleetd/internal/store/db"
)

// RolloutSpec is what a rollout was made of and never changes: what a worker
// needs to know of it besides the target in its hand.
type RolloutSpec struct {
	ID                int64
	Key               string
	AccountID         int64
	Account           string
	Action            fleet.Action
	SkillID           string
	Stage             fleet.Stage
	VerifyTimeout     time.Duration
	ObservationMaxAge time.Duration
	ObservationAny    bool
	IncludeOccupied   bool
	Origin            fleet.RolloutOrigin
}

// RolloutSpec reads the spec of a rollout by its row.
func (s *Store) RolloutSpec(ctx context.Context, id int64) (RolloutSpec, error) {
	r, err := s.q().RolloutByID(ctx, id)
	if err != nil {
		return RolloutSpec{}, mapError(fmt.Errorf("read rollout %d: %w", id, err))
	}
	spec := RolloutSpec{
		ID: id, Key: r.Rollout.Key, AccountID: r.Rollout.AccountID, Account: r.Account,
		Action: fleet.Action(r.Rollout.Action), SkillID: r.Skill, Stage: fleet.Stage(r.Rollout.Stage),
		VerifyTimeout: millis(r.Rollout.VerifyTimeoutMs), IncludeOccupied: r.Rollout.IncludeOccupied, Origin: fleet.RolloutOrigin(r.Rollout.Origin),
		ObservationAny: r.Rollout.ObservationMaxAgeMs == nil, ObservationMaxAge: millis(deref(r.Rollout.ObservationMaxAgeMs)),
	}
	return spec, nil
}

// Rollout reads one rollout with its counts, which are whole in every answer.
func (s *Store) Rollout(ctx context.Context, id string) (Rollout, error) {
	return rolloutByKey(ctx, s.q(), id)
}

func rolloutByKey(ctx context.Context, q *db.Queries, key string) (Rollout, error) {
	r, err := q.RolloutByKey(ctx, key)
	if errors.Is(err, pgx.ErrNoRows) {
		return Rollout{}, noRollout(key)
	}
	if err != nil {
		return Rollout{}, mapError(fmt.Errorf("read rollout %s: %w", key, err))
	}
	out := newRollout(db.RolloutByIDRow(r), time.Now())
	out.Preflight, err = rolloutPreflight(ctx, q, r.Rollout.ID)
	return out, err
}

func noRollout(key string) error {
	return fleet.NotFoundf("there is no rollout %q; `fleetctl rollout list` shows them all", key)
}

// ListRollouts lists rollouts, newest first. next is the cursor of the page that
// follows, zero after the last.
func (s *Store) ListRollouts(ctx context.Context, f RolloutFilter) (items []Rollout, next int64, err error) {
	limit := pageLimit(f.Limit)
	rows, err := s.q().RolloutList(ctx, db.RolloutListParams{
		Account: f.Account, State: string(f.State), Active: f.Active, Before: f.Before,
		MaxRows: int32(limit + 1), //nolint:gosec // pageLimit bounds it.
	})
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("list rollouts: %w", err))
	}
	rows, next = page(rows, limit, func(r db.RolloutListRow) int64 { return r.Rollout.ID })
	now := time.Now()
	for _, r := range rows {
		items = append(items, newRollout(db.RolloutByIDRow(r), now))
	}
	return items, next, nil
}

// ListTargets lists the targets of a rollout in the order they are released in.
func (s *Store) ListTargets(ctx context.Context, id string, f TargetFilter) (items []Target, next int, err error) {
	q := s.q()
	r, err := q.RolloutByKey(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, noRollout(id)
	}
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("read rollout %s: %w", id, err))
	}
	limit := pageLimit(f.Limit)
	params := db.TargetListParams{
		RolloutID: r.Rollout.ID, State: string(f.State), Reason: string(f.Reason), Property: f.Property,
		AfterSeq: int32(f.After), MaxRows: int32(limit + 1), //nolint:gosec // A seq and a page are small.
	}
	rows, err := listTargets(ctx, q, params, r.Rollout)
	if err != nil {
		return nil, 0, mapError(fmt.Errorf("list targets: %w", err))
	}
	rows, next = page(rows, limit, func(t db.TargetListRow) int { return int(t.Seq) })
	for _, row := range rows {
		t := Target{
			Seq: int(row.Seq), UnitID: row.Unit, Property: row.Property, State: row.State,
			Reason: fleet.Reason(row.Reason), Message: row.Message, Attempts: int(row.Attempts),
			Requests: int(row.Requests), RequestID: row.RequestID,
			StartedAt: utc(row.StartedAt), EndedAt: utc(row.EndedAt),
		}
		if t.Before, err = decodeObservation(row.Before); err == nil {
			t.After, err = decodeObservation(row.After)
		}
		if err != nil {
			return nil, 0, err
		}
		items = append(items, t)
	}
	return items, next, nil
}

// listTargets walks what can hold such targets and no more: an index of their own for
// those that came out otherwise than well, the bounds of a rollout for the others.
func listTargets(ctx context.Context, q *db.Queries, p db.TargetListParams, r db.Rollout) ([]db.TargetListRow, error) {
	switch fleet.TargetState(p.State) {
	case fleet.TargetFailed, fleet.TargetSkipped, fleet.TargetCanceled:
		odd, err := q.TargetListOdd(ctx, db.TargetListOddParams{
			RolloutID: p.RolloutID, State: fleet.TargetState(p.State), AfterSeq: p.AfterSeq, Reason: p.Reason, Property: p.Property, MaxRows: p.MaxRows,
		})
		rows := make([]db.TargetListRow, len(odd))
		for i, t := range odd {
			rows[i] = db.TargetListRow(t)
		}
		return rows, err
	case fleet.TargetPending:
		p.AfterSeq = max(p.AfterSeq, r.NextSeq-1)
	case fleet.TargetQueued, fleet.TargetRunning, fleet.TargetVerifying:
		open, err := q.TargetListOpen(ctx, db.TargetListOpenParams{
			RolloutID: p.RolloutID, State: fleet.TargetState(p.State), OpenFrom: r.OpenFrom, OpenTo: r.OpenTo,
			AfterSeq: p.AfterSeq, Reason: p.Reason, Property: p.Property, MaxRows: p.MaxRows,
		})
		rows := make([]db.TargetListRow, len(open))
		for i, t := range open {
			rows[i] = db.TargetListRow(t)
		}
		return rows, err
	case fleet.TargetSucceeded:
	}
	return q.TargetList(ctx, p)
}

func newRollout(r db.RolloutByIDRow, now time.Time) Rollout {
	row := r.Rollout
	counts := countsOf(row)
	out := Rollout{
		ID: row.Key, Action: fleet.Action(row.Action), Account: r.Account, SkillID: r.Skill, Stage: fleet.Stage(row.Stage),
		State: fleet.RolloutState(row.State), StateReason: row.StateReason, Selector: row.Selector,
		Targets: int(row.Targets), Counts: counts,
		Wave:        Wave{Index: int(row.WaveIndex) + 1, Of: len(row.WaveEnds)},
		MaxFailures: int(row.MaxFailures), Failures: rollout.Failures(counts, int(row.Acknowledged)), Requests: row.Requests, Throttled: row.Throttled,
		Price:     Price{Requests: row.PriceRequests, Minutes: row.PriceMinutes},
		CreatedAt: row.CreatedAt.UTC(), StartedAt: utc(row.StartedAt), EndedAt: utc(row.EndedAt),
		CreatedBy: row.CreatedBy, Reason: row.Reason, Origin: fleet.RolloutOrigin(row.Origin), RollbackOf: r.RollbackOfKey,
	}
	switch out.State {
	case fleet.RolloutRunning, fleet.RolloutWaiting, fleet.RolloutScheduled:
		out.ETA = estimate(row, r.BudgetRate, now)
	case fleet.RolloutPaused, fleet.RolloutHalted, fleet.RolloutSucceeded, fleet.RolloutCompletedWithFailures, fleet.RolloutCanceled:
	}
	return out
}

// estimate says when a rollout is likely to end, from what its targets cost so
// far, or were priced at.
func estimate(row db.Rollout, rate float64, now time.Time) *ETA {
	counts := countsOf(row)
	wait := time.Duration(0)
	for _, until := range []*time.Time{row.StartAt, row.SoakUntil} {
		if until != nil && until.After(now) {
			wait = max(wait, until.Sub(now))
		}
	}
	wait += time.Duration(max(0, len(row.WaveEnds)-int(row.WaveIndex)-2)) * millis(row.SoakMs)
	in := rollout.ETAInput{
		Remaining: counts.Pending + counts.Outstanding(),
		Ended:     counts.Succeeded + counts.Failed, Requests: row.Requests, Rate: rate, Wait: wait,
	}
	if in.Ended == 0 || in.Requests == 0 {
		in.Ended, in.Requests = int(row.Targets), max(1, row.PriceRequests)
	}
	eta, ok := rollout.EstimateEnd(in, now)
	if !ok {
		return nil
	}
	return &ETA{P50: eta.P50.UTC(), P90: eta.P90.UTC()}
}

func countsOf(r db.Rollout) fleet.Counts {
	return fleet.Counts{
		Pending: int(r.NPending), Queued: int(r.NQueued), Running: int(r.NRunning), Verifying: int(r.NVerifying),
		Succeeded: int(r.NSucceeded), Failed: int(r.NFailed), Skipped: int(r.NSkipped), Canceled: int(r.NCanceled),
	}
}

// newRolloutKey makes the ID of a rollout.
func newRolloutKey() string { return newKey("ro-", 8) }

// newKey makes an ID that people type: short, random, without letters that are
// mistaken for digits. Eight letters do for thousands of things, twelve for millions.
func newKey(prefix string, letters int) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	b := make([]byte, letters)
	_, _ = rand.Read(b) // it never fails
	var s strings.Builder
	s.WriteString(prefix)
	for _, c := range b {
		s.WriteByte(alphabet[int(c)%len(alphabet)])
	}
	return s.String()
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
