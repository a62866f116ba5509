package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// OpenAudit is an audit that has not ended.
type OpenAudit struct {
	ID        int64
	Key       string
	AccountID int64
	State     fleet.AuditState
}

// OpenAudits lists the audits that have not ended.
func (s *Store) OpenAudits(ctx context.Context) ([]OpenAudit, error) {
	rows, err := s.q().AuditOpen(ctx)
	if err != nil {
		return nil, mapError(fmt.Errorf("read open audits: %w", err))
	}
	open := make([]OpenAudit, len(rows))
	for i, r := range rows {
		open[i] = OpenAudit{ID: r.ID, Key: r.Key, AccountID: r.AccountID, State: fleet.AuditState(r.State)}
	}
	return open, nil
}

// AuditEnqueue inserts a job for each unit on the queue of an account, in the
// transaction of what released them.
type AuditEnqueue func(ctx context.Context, tx pgx.Tx, accountID int64, refs []AuditRef) error

// AuditTick is what the control loop knows besides the database.
type AuditTick struct {
	Horizon        int    // how many units of the audit may be outstanding
	AccountBlocked string // why the account cannot work; empty: it can
	Enqueue        AuditEnqueue
}

// AuditTickResult says what a tick did.
type AuditTickResult struct {
	State    fleet.AuditState
	Changed  bool // the state changed
	Released int
	Again    bool // look again at once
}

// TickAudit looks at one audit and does what is due: release the next units with
// their jobs, wait, go on, end. It locks the audit, so that two processes that look
// at once do no harm.
func (s *Store) TickAudit(ctx context.Context, id int64, p AuditTick) (AuditTickResult, error) {
	var out AuditTickResult
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		r, err := q.AuditLock(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) || (err == nil && r.EndedAt != nil) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock audit: %w", err)
		}
		out.State = fleet.AuditState(r.State)
		answered := r.NInSync + r.NDrifted + r.NUnknown
		switch {
		case answered >= r.Units:
			return endAudit(ctx, q, r, &out)
		case p.AccountBlocked != "":
			return setAuditState(ctx, q, r, fleet.AuditWaiting, p.AccountBlocked, &out)
		case out.State == fleet.AuditWaiting:
			out.Again = true
			return setAuditState(ctx, q, r, fleet.AuditRunning, "", &out)
		}
		room := min(int32(p.Horizon)-(r.Released-answered), r.Units-r.Released) //nolint:gosec // A horizon is small.
		if room <= 0 {
			return nil
		}
		out.Released = int(room)
		return releaseUnits(ctx, tx, q, r, room, p.Enqueue)
	})
	return out, err
}

// releaseUnits gives the next units a job. They are found by their number: every
// chunk but the last holds chunkSize of them.
func releaseUnits(ctx context.Context, tx pgx.Tx, q *db.Queries, r db.Audit, n int32, enqueue AuditEnqueue) error {
	first, last := r.Released/chunkSize+1, (r.Released+n-1)/chunkSize+1
	rows, err := q.AuditChunks(ctx, db.AuditChunksParams{AuditID: r.ID, FirstSeq: first, LastSeq: last})
	if err != nil {
		return fmt.Errorf("read the units of audit %s: %w", r.Key, err)
	}
	var units []int64
	for _, c := range rows {
		units = append(units, c.Units...)
	}
	from := int(r.Released % chunkSize)
	if len(units) < from+int(n) {
		return fmt.Errorf("audit %s should have %d units from chunk %d on, and has %d", r.Key, from+int(n), first, len(units))
	}
	refs := make([]AuditRef, n)
	for i, unit := range units[from : from+int(n)] {
		refs[i] = AuditRef{AuditID: r.ID, Unit: unit}
	}
	if err := enqueue(ctx, tx, r.AccountID, refs); err != nil {
		return err
	}
	if err := q.AuditSetReleased(ctx, db.AuditSetReleasedParams{ID: r.ID, Released: r.Released + n}); err != nil {
		return fmt.Errorf("release units of audit %s: %w", r.Key, err)
	}
	return nil
}

func setAuditState(ctx context.Context, q *db.Queries, r db.Audit, state fleet.AuditState, reason string, out *AuditTickResult) error {
	if r.State == string(state) && r.StateReason == reason {
		return nil
	}
	out.Changed, out.State = r.State != string(state), state
	err := q.AuditSetState(ctx, db.AuditSetStateParams{
		ID: r.ID, State: string(state), StateReason: reason, NUnknown: r.NUnknown, UnknownReasons: r.UnknownReasons,
		Ended: state.Ended(), Repair: state.Ended() && r.Repair,
	})
	if err != nil {
		return fmt.Errorf("set state of audit %s: %w", r.Key, err)
	}
	if err := q.AuditNotify(ctx); err != nil {
		return fmt.Errorf("tell of the audit: %w", err)
	}
	return nil
}

const (
	// A skill that withdrawnShare percent of the homes that want it lost, and no fewer
	// than withdrawnHomes of them, was taken back by Amazon: no coincidence does that.
	withdrawnShare = 95
	withdrawnHomes = 20
	// withdrawnChunk is how many findings one transaction tells of that.
	withdrawnChunk = 20_000
)

// skillTally is on how many homes a skill was wanted, and on how many of them missing.
type skillTally struct {
	Want    int `json:"want"`
	Missing int `json:"missing"`
}

func decodeWants(r db.Audit) (map[int32]skillTally, error) {
	wants := map[int32]skillTally{}
	if err := json.Unmarshal(r.Wants, &wants); err != nil {
		return nil, fmt.Errorf("decode what audit %s counted by skill: %w", r.Key, err)
	}
	return wants, nil
}

// endAudit ends an audit whose units all have their answer. Before that, what only
// the whole fleet can tell is told: which skills were withdrawn.
func endAudit(ctx context.Context, q *db.Queries, r db.Audit, out *AuditTickResult) error {
	wants, err := decodeWants(r)
	if err != nil {
		return err
	}
	for _, skill := range slices.Sorted(maps.Keys(wants)) {
		t := wants[skill]
		if t.Want < withdrawnHomes || t.Missing*100 < t.Want*withdrawnShare {
			continue
		}
		n, err := q.AuditDriftWithdrawn(ctx, db.AuditDriftWithdrawnParams{
			AccountID: r.AccountID, SkillID: skill, MaxRows: withdrawnChunk,
			CauseDetail: fmt.Sprintf("audit %s found it missing on %d of the %d homes that want it", r.Key, t.Missing, t.Want),
		})
		if err != nil {
			return fmt.Errorf("tell of a withdrawn skill: %w", err)
		}
		if n == withdrawnChunk {
			out.Again = true
			return nil
		}
	}
	state := fleet.AuditSucceeded
	if r.NUnknown > 0 {
		state = fleet.AuditCompletedWithUnknown
	}
	return setAuditState(ctx, q, r, state, "", out)
}

// liveAudits are the units that a River job of an audit will look at, or is looking
// at in a process that lives.
const liveAudits = `
SELECT jsonb_array_elements(args -> 'units')::bigint
FROM river_job
WHERE kind = 'audit'
    AND queue = $2
    AND args ->> 'audit_id' = $1::bigint::text
    AND (
        state IN ('available', 'pending', 'retryable', 'scheduled')
        OR (
            state = 'running'
            AND attempted_at > now() - interval '60 seconds' -- a job lasts 45 at most: the end of this one was not written down
            AND attempted_by[cardinality(attempted_by)] IN (
                SELECT name FROM processes WHERE seen_at >= now() - interval '10 seconds'
            )
        )
    )`

// SweepAudit gives a job to the units that were released, have no answer, and whose
// job died with its process or is gone, and returns how many there were. One that has
// a job all the same is looked at twice, and recorded once. queue is the account's.
func (s *Store) SweepAudit(ctx context.Context, id int64, queue string, enqueue AuditEnqueue) (lost int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		r, err := q.AuditLock(ctx, id) // nothing is released meanwhile
		if errors.Is(err, pgx.ErrNoRows) || (err == nil && (r.EndedAt != nil || r.Released == 0)) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock audit: %w", err)
		}
		last := (r.Released-1)/chunkSize + 1
		open, err := q.AuditUnanswered(ctx, db.AuditUnansweredParams{AuditID: id, FirstSeq: r.Swept + 1, LastSeq: last})
		if err != nil {
			return fmt.Errorf("look for units without an answer: %w", err)
		}
		swept := r.Released / chunkSize // the last chunk may be released in part
		if len(open) > 0 {
			swept = min(swept, open[0].Seq-1)
		}
		if swept > r.Swept {
			if err := q.AuditSetSwept(ctx, db.AuditSetSweptParams{ID: id, Swept: swept}); err != nil {
				return fmt.Errorf("move on in audit %s: %w", r.Key, err)
			}
		}
		refs, err := lostUnits(ctx, tx, r, queue, open)
		if err != nil || len(refs) == 0 {
			return err
		}
		lost = len(refs)
		return enqueue(ctx, tx, r.AccountID, refs)
	})
	return lost, err
}

func lostUnits(ctx context.Context, tx pgx.Tx, r db.Audit, queue string, open []db.AuditUnansweredRow) (refs []AuditRef, err error) {
	if len(open) == 0 {
		return nil, nil
	}
	live := map[int64]bool{}
	rows, err := tx.Query(ctx, liveAudits, r.ID, queue)
	if err != nil {
		return nil, fmt.Errorf("read live jobs: %w", err)
	}
	var unit int64
	if _, err := pgx.ForEachRow(rows, []any{&unit}, func() error { live[unit] = true; return nil }); err != nil {
		return nil, fmt.Errorf("read live jobs: %w", err)
	}
	for _, u := range open {
		if released := (u.Seq-1)*chunkSize+u.Position <= r.Released; released && !live[u.Unit] {
			refs = append(refs, AuditRef{AuditID: r.ID, Unit: u.Unit})
		}
	}
	return refs, nil
}

// ForgetAuditUnits deletes which units audits of weeks past were to answer for, most rows
// of some hundred units at a time, and returns how many rows there were. Their counts
// stay, and what was said of a unit last stays with the unit.
func (s *Store) ForgetAuditUnits(ctx context.Context, most int) (int, error) {
	n, err := s.q().AuditForgetChunks(ctx, int32(most)) //nolint:gosec // A group is small.
	if err != nil {
		return 0, mapError(fmt.Errorf("forget the units of old audits: %w", err))
	}
	return int(n), nil
}

// ClaimRepair takes one audit whose automatic repair is due, for this process to see
// to; ok is false when there is none. Until RepairDone is called another process
// takes it again after five minutes.
func (s *Store) ClaimRepair(ctx context.Context) (id int64, a Audit, ok bool, err error) {
	q := s.q()
	id, err = q.AuditClaimRepair(ctx)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, a, false, nil
	}
	if err != nil {
		return 0, a, false, mapError(fmt.Errorf("claim a repair: %w", err))
	}
	r, err := q.AuditByID(ctx, id)
	if err != nil {
		return 0, a, false, mapError(fmt.Errorf("read the audit of a repair: %w", err))
	}
	a, err = newAudit(r.Audit, r.Account)
	return id, a, err == nil, err
}

// RepairDone says that the automatic repair of an audit was seen to, and what came of
// it.
func (s *Store) RepairDone(ctx context.Context, id int64, what string) error {
	if err := s.q().AuditRepaired(ctx, db.AuditRepairedParams{ID: id, StateReason: what}); err != nil {
		return mapError(fmt.Errorf("write down a repair: %w", err))
	}
	return nil
}
