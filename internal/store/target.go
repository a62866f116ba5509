package store

import (
	"context"
	_ "embed" // target_record.sql
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// TargetRef names one target.
type TargetRef struct {
	AccountID int64
	RolloutID int64
	Seq       int32
}

// Claim asks for a target in the name of one River job.
type Claim struct {
	RolloutID int64
	Seq       int32
	JobID     int64
}

// ClaimedTarget is a target that a job now has, with what is known of it.
type ClaimedTarget struct {
	Claim
	UnitID    string
	Occupancy fleet.Occupancy
	Prior     fleet.TargetState // queued: no write is in doubt; anything else: one may be
	Attempts  int
	Writes    int
	Requests  int
	VerifyBy  time.Time // zero: no deadline runs
	Before    *fleet.Observation
	Observed  *fleet.Observation // what was last seen, by whomever

	// WantStage is the stage this one is to be enabled at, empty for disabled, where
	// that is not what its rollout says; OnlyIf how the home must look to be touched.
	WantStage *fleet.Stage
	OnlyIf    *fleet.Observation
}

// ClaimTargets takes targets for the jobs of one process, in one transaction. Those
// it does not return have an outcome, belong to another job, or are of a rollout
// that may not write: their jobs have nothing to do.
func (s *Store) ClaimTargets(ctx context.Context, processID int64, claims []Claim) ([]ClaimedTarget, error) {
	params := db.TargetClaimParams{ProcessID: &processID}
	for _, c := range claims {
		params.RolloutIds = append(params.RolloutIds, c.RolloutID)
		params.Seqs = append(params.Seqs, c.Seq)
		params.JobIds = append(params.JobIds, c.JobID)
	}
	params.Ids = unique(params.RolloutIds)
	var rows []db.TargetClaimRow
	err := s.inLedger(ctx, commitDurably, params.Ids, func(tx pgx.Tx) (err error) {
		rows, err = db.New(tx).TargetClaim(ctx, params)
		return err
	})
	if err != nil {
		return nil, mapError(fmt.Errorf("claim targets: %w", err))
	}
	claimed := make([]ClaimedTarget, len(rows))
	sights := db.TargetSightsParams{}
	for i, r := range rows {
		claimed[i] = ClaimedTarget{
			Claim:    Claim{RolloutID: r.RolloutID, Seq: r.Seq, JobID: deref(r.JobID)},
			Prior:    deref(r.ClaimedFrom),
			Attempts: int(r.Attempts),
			Writes:   int(r.Writes),
			Requests: int(r.Requests),
			VerifyBy: deref(r.VerifyBy),
		}
		if claimed[i].Before, err = decodeObservation(r.Before); err != nil {
			return nil, err
		}
		if claimed[i].OnlyIf, err = decodeObservation(r.OnlyIf); err != nil {
			return nil, err
		}
		if r.WantStage != nil {
			stage := fleet.Stage(*r.WantStage)
			claimed[i].WantStage = &stage
		}
		sights.UnitRows, sights.SkillIds = append(sights.UnitRows, r.UnitID), append(sights.SkillIds, r.SkillID)
	}
	return claimed, s.lookAtUnits(ctx, claimed, sights)
}

// What a transaction's commit waits for. A claim must not be lost: it is the intent
// that is recorded before a write leaves. Anything else that Postgres may lose in the
// last moments before a crash is found and done again: a target without its record is
// read, a release is made anew.
const (
	commitDurably = "on"
	commitLazily  = "off"
)

// inLedger runs f under the locks of some rollouts. They are taken by a statement of
// their own: the one that follows must see what was committed while they were waited
// for. With both in one, Postgres checks the counts' constraints on the row as it was
// before the wait, and a storm of claims and adoptions broke them.
func (s *Store) inLedger(ctx context.Context, commit string, ids []int64, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.ledger, func(tx pgx.Tx) error {
		if _, err := db.New(tx).RolloutLockMany(ctx, db.RolloutLockManyParams{Commit: commit, Ids: ids}); err != nil {
			return fmt.Errorf("lock rollouts: %w", err)
		}
		return f(tx)
	})
}

// lookAtUnits adds to claimed targets what is known of their units. When it fails
// the targets stay claimed and unwritten-to: their jobs run again and read first.
func (s *Store) lookAtUnits(ctx context.Context, claimed []ClaimedTarget, sights db.TargetSightsParams) error {
	rows, err := db.New(s.ledger).TargetSights(ctx, sights)
	if err != nil {
		return mapError(fmt.Errorf("look at units: %w", err))
	}
	type key struct {
		unit  int64
		skill int32
	}
	seen := make(map[key]db.TargetSightsRow, len(rows))
	for _, r := range rows {
		seen[key{r.UnitRow, r.SkillID}] = r
	}
	for i := range claimed {
		r, ok := seen[key{sights.UnitRows[i], sights.SkillIds[i]}]
		if !ok {
			return fmt.Errorf("look at units: unit %d is gone", sights.UnitRows[i])
		}
		claimed[i].UnitID, claimed[i].Occupancy = r.UnitID, fleet.Occupancy(r.Occupancy)
		if r.Looked { // an empty status stays one: a write is in doubt
			claimed[i].Observed = &fleet.Observation{
				Status: fleet.Status(r.Status), Stage: fleet.Stage(r.Stage),
				AccountLink: fleet.LinkStatus(r.AccountLink), ObservedAt: r.ObservedAt,
			}
		}
	}
	return nil
}

// TargetRecord is what became of a claimed target. State is an end, verifying, or
// queued: nothing is in doubt and it goes again at NextAt, or as soon as its
// rollout runs when NextAt is zero.
type TargetRecord struct {
	Claim
	State     fleet.TargetState
	Reason    fleet.Reason
	Message   string
	Attempts  int
	Writes    int
	Requests  int // in all
	Spent     int // of them by this job
	Throttled int // of those, refused by the API's limit
	RequestID string
	NextAt    time.Time
	VerifyBy  time.Time
	Before    *fleet.Observation
	After     *fleet.Observation
	// InDoubt: it ended, and nobody knows whether a write of it was done. What was
	// seen of the unit before is forgotten, or the next rollout would build on it.
	InDoubt bool
}

type recordRow struct {
	RolloutID int64              `json:"rollout_id"`
	Seq       int32              `json:"seq"`
	JobID     int64              `json:"job_id"`
	State     fleet.TargetState  `json:"state"`
	Reason    fleet.Reason       `json:"reason"`
	Message   string             `json:"message"`
	Attempts  int                `json:"attempts"`
	Writes    int                `json:"writes"`
	Requests  int                `json:"requests"`
	Spent     int                `json:"spent"`
	Throttled int                `json:"throttled"`
	RequestID string             `json:"request_id"`
	NextAt    *time.Time         `json:"next_at"`
	VerifyBy  *time.Time         `json:"verify_by"`
	Before    *fleet.Observation `json:"before"`
	After     *fleet.Observation `json:"after"`
	InDoubt   bool               `json:"in_doubt"`
}

//go:embed target_record.sql
var recordSQL string

// RecordTargets writes down what became of claimed targets, with the counters of
// their rollouts, what was observed, and the totals, in one transaction. A record
// that comes late or twice changes nothing.
func (s *Store) RecordTargets(ctx context.Context, processID int64, records []TargetRecord) error {
	ids, seqs := make([]int64, len(records)), make([]int32, len(records))
	inDoubt := map[int64][]int32{}
	rows := make([]recordRow, 0, len(records))
	given := make(map[Claim]bool, len(records))
	for i, r := range records {
		ids[i], seqs[i] = r.RolloutID, r.Seq
		if r.InDoubt {
			inDoubt[r.RolloutID] = append(inDoubt[r.RolloutID], r.Seq)
		}
		if given[r.Claim] {
			continue
		}
		given[r.Claim] = true
		rows = append(rows, recordRow{
			RolloutID: r.RolloutID, Seq: r.Seq, JobID: r.JobID, State: r.State, Reason: r.Reason, Message: r.Message,
			Attempts: r.Attempts, Writes: r.Writes, Requests: r.Requests, Spent: r.Spent, Throttled: r.Throttled,
			RequestID: r.RequestID, NextAt: timeOrNil(r.NextAt), VerifyBy: timeOrNil(r.VerifyBy),
			Before: r.Before, After: r.After, InDoubt: r.InDoubt,
		})
	}
	body, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encode records: %w", err)
	}
	// Before the targets end, so that nothing builds on what was seen before.
	for id, doubted := range inDoubt {
		if err := s.q().ObservedForget(ctx, db.ObservedForgetParams{RolloutID: id, Seqs: doubted}); err != nil {
			return mapError(fmt.Errorf("forget observations: %w", err))
		}
	}
	err = s.inLedger(ctx, commitLazily, unique(ids), func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, recordSQL, unique(ids), body, processID, seqs)
		return err
	})
	if err != nil {
		return mapError(fmt.Errorf("record targets: %w", err))
	}
	return nil
}

// DueTargets gives a job to every target whose time has come: enqueue inserts the
// jobs in the transaction that marks the targets. It returns how many there were.
func (s *Store) DueTargets(ctx context.Context, limit int, enqueue Enqueue) (int, error) {
	n := 0
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := db.New(tx).TargetDue(ctx, int32(limit)) //nolint:gosec // A limit is small.
		if err != nil {
			return fmt.Errorf("find due targets: %w", err)
		}
		if n = len(rows); n == 0 {
			return nil
		}
		refs := make([]TargetRef, n)
		for i, r := range rows {
			refs[i] = TargetRef{AccountID: r.AccountID, RolloutID: r.RolloutID, Seq: r.Seq}
		}
		return enqueue(ctx, tx, refs)
	})
	return n, err
}

// Enqueue inserts a job for each target, in the transaction of what released them.
type Enqueue func(ctx context.Context, tx pgx.Tx, refs []TargetRef) error

// jobLives is true of a row of river_job that River will run, or is running in a process
// that lives.
const jobLives = `(
    state IN ('available', 'pending', 'retryable', 'scheduled')
    OR (
        state = 'running'
        AND attempted_at > now() - interval '45 seconds' -- a job lasts 30 at most: the end of this one was not written down
        AND attempted_by[cardinality(attempted_by)] IN (
            SELECT name FROM processes WHERE seen_at >= now() - interval '10 seconds'
        )
    )
)`

// liveJobs are the targets of jobs that live.
const liveJobs = `
SELECT (args ->> 'rollout_id')::bigint, jsonb_array_elements_text(args -> 'seqs')::integer
FROM river_job
WHERE kind = 'target' AND ` + jobLives

// AdoptOrphans makes due at once the targets whose job died with its process or is
// gone, and returns how many there were. Targets are read before jobs, so that one
// released in between is never taken for an orphan; one that is taken wrongly all
// the same runs twice at the most by reading twice.
func (s *Store) AdoptOrphans(ctx context.Context) (int, error) {
	outstanding, err := s.q().TargetOutstanding(ctx)
	if err != nil || len(outstanding) == 0 {
		return 0, mapError(err)
	}
	live := map[TargetRef]bool{}
	rows, err := s.pool.Query(ctx, liveJobs)
	if err != nil {
		return 0, mapError(fmt.Errorf("read live jobs: %w", err))
	}
	var ref TargetRef
	_, err = pgx.ForEachRow(rows, []any{&ref.RolloutID, &ref.Seq}, func() error { live[ref] = true; return nil })
	if err != nil {
		return 0, mapError(fmt.Errorf("read live jobs: %w", err))
	}
	orphans := map[int64]*db.TargetAdoptParams{}
	for _, t := range outstanding {
		if live[TargetRef{RolloutID: t.RolloutID, Seq: t.Seq}] {
			continue
		}
		p := orphans[t.RolloutID]
		if p == nil {
			p = &db.TargetAdoptParams{RolloutID: t.RolloutID}
			orphans[t.RolloutID] = p
		}
		p.Seqs, p.JobIds = append(p.Seqs, t.Seq), append(p.JobIds, t.JobID)
	}
	adopted := 0
	for id, p := range orphans {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			q := db.New(tx)
			locked, err := q.RolloutLock(ctx, db.RolloutLockParams{Commit: commitDurably, ID: id})
			if err != nil {
				return fmt.Errorf("lock rollout: %w", err)
			}
			rows, err := q.TargetAdopt(ctx, *p)
			if err != nil {
				return fmt.Errorf("adopt orphans: %w", err)
			}
			row := locked.Rollout
			for _, r := range rows {
				if r.Prior == fleet.TargetRunning {
					moveCounts(&row, r.Prior, fleet.TargetVerifying, 1)
				}
			}
			adopted += len(rows)
			return saveRollout(ctx, q, row, row.EndedAt != nil)
		})
		if err != nil {
			return adopted, err
		}
	}
	return adopted, nil
}

func decodeObservation(b []byte) (*fleet.Observation, error) {
	if b == nil {
		return nil, nil //nolint:nilnil // Nothing was observed, which is not an error.
	}
	o := new(fleet.Observation)
	if err := json.Unmarshal(b, o); err != nil {
		return nil, fmt.Errorf("decode observation: %w", err)
	}
	return o, nil
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func unique(ids []int64) []int64 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}
