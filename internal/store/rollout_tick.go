package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
	"fleetd/internal/store/db"
)

// TickParams is what the control loop knows besides the database.
type TickParams struct {
	Horizon        int    // how many targets of the rollout may be outstanding
	AccountBlocked string // why the account cannot work; empty: it can
	Enqueue        Enqueue
}

// TickResult says what a tick did.
type TickResult struct {
	State    fleet.RolloutState
	Changed  bool // the state changed
	Released int
	Again    bool // look again at once
}

// TickRollout looks at one rollout and does what is due: release the next targets
// with their jobs, turn a wave, halt, end. It locks the rollout, decides (see
// rollout.Decide) and writes, all in one transaction.
func (s *Store) TickRollout(ctx context.Context, id int64, p TickParams) (TickResult, error) {
	var out TickResult
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		locked, err := q.RolloutLock(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) || (err == nil && locked.Rollout.EndedAt != nil) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock rollout: %w", err)
		}
		row := locked.Rollout
		out.State = fleet.RolloutState(row.State)
		if out.State == fleet.RolloutCanceled && row.NPending > 0 {
			n, err := cancelChunkOf(ctx, q, &row)
			out.Again = n > 0
			return err
		}
		return s.tick(ctx, tx, q, row, locked.Now, p, &out)
	})
	return out, err
}

func (s *Store) tick(
	ctx context.Context, tx pgx.Tx, q *db.Queries, row db.Rollout, now time.Time, p TickParams, out *TickResult,
) error {
	win, err := openZones(ctx, q, row, now)
	if err != nil {
		return err
	}
	snapshot, err := takeSnapshot(ctx, q, row, p, win)
	if err != nil {
		return err
	}
	d := rollout.Decide(snapshot, now)
	if d.Recall {
		if err := recall(ctx, q, row.ID); err != nil {
			return err
		}
	}
	if d.Release > 0 {
		if out.Released, err = release(ctx, tx, q, row, d, win, p.Enqueue); err != nil {
			return err
		}
		if out.Released == 0 && snapshot.Counts.Outstanding() == 0 { // the rest of the wave is in zones whose window is shut
			d.State, d.Reason, d.WaveWorked = fleet.RolloutWaiting, win.reason, row.WaveWorked
		}
	}
	out.Again = d.Again
	return saveDecision(ctx, q, row, d, out)
}

func takeSnapshot(ctx context.Context, q *db.Queries, row db.Rollout, p TickParams, win zones) (rollout.Snapshot, error) {
	ends := make([]int, len(row.WaveEnds))
	for i, e := range row.WaveEnds {
		ends[i] = int(e)
	}
	s := rollout.Snapshot{
		State: fleet.RolloutState(row.State), StateReason: row.StateReason, Counts: countsOf(row),
		Acknowledged: int(row.Acknowledged), MaxFailures: int(row.MaxFailures),
		WaveEnds: ends, WaveIndex: int(row.WaveIndex), WaveWorked: row.WaveWorked,
		SoakUntil: deref(row.SoakUntil), Soak: millis(row.SoakMs), StartAt: deref(row.StartAt),
		WindowOpen: win.open, WindowNextOpen: win.nextOpen, AccountBlocked: p.AccountBlocked, Horizon: p.Horizon,
	}
	if s.Counts.Pending > 0 {
		first, err := q.TargetPick(ctx, db.TargetPickParams{RolloutID: row.ID, WaveEnd: row.WaveEnds[row.WaveIndex], MaxRows: 1})
		if err != nil {
			return s, fmt.Errorf("look for pending targets: %w", err)
		}
		s.PendingInWave = len(first) > 0
	}
	return s, nil
}

// release queues the next targets of the wave and gives each a job.
func release(
	ctx context.Context, tx pgx.Tx, q *db.Queries, row db.Rollout, d rollout.Decision, win zones, enqueue Enqueue,
) (int, error) {
	seqs, err := pick(ctx, q, row, d, win)
	if err != nil || len(seqs) == 0 {
		return 0, err
	}
	rows, err := q.TargetQueue(ctx, db.TargetQueueParams{
		RolloutID: row.ID, IncludeOccupied: row.IncludeOccupied, Seqs: seqs,
	})
	if err != nil {
		return 0, fmt.Errorf("release targets: %w", err)
	}
	moved, sums := moves{}, totals{}
	var refs []TargetRef
	for _, r := range rows {
		moved.add(row.ID, fleet.TargetPending, r.State)
		if r.State == fleet.TargetQueued {
			refs = append(refs, TargetRef{AccountID: row.AccountID, RolloutID: row.ID, Seq: r.Seq})
			continue
		}
		sums.addN(row.AccountID, fleet.Action(row.Action), r.State, fleet.ReasonOccupied, 1)
	}
	if len(refs) > 0 {
		if err := enqueue(ctx, tx, refs); err != nil {
			return 0, err
		}
	}
	if err := sums.apply(ctx, q); err != nil {
		return 0, err
	}
	return len(rows), moved.apply(ctx, q)
}

// pick finds the targets to release, in order.
func pick(ctx context.Context, q *db.Queries, row db.Rollout, d rollout.Decision, win zones) (seqs []int32, err error) {
	end, most := row.WaveEnds[d.WaveIndex], int32(d.Release) //nolint:gosec // Bounded by the horizon.
	if win.byZone {
		seqs, err = q.TargetPickInZones(ctx, db.TargetPickInZonesParams{
			RolloutID: row.ID, WaveEnd: end, Zones: win.names, MaxRows: most,
		})
	} else {
		seqs, err = q.TargetPick(ctx, db.TargetPickParams{RolloutID: row.ID, WaveEnd: end, MaxRows: most})
	}
	if err != nil {
		return nil, fmt.Errorf("pick targets: %w", err)
	}
	return seqs, nil
}

// saveDecision writes the row only where the decision changed it.
func saveDecision(ctx context.Context, q *db.Queries, row db.Rollout, d rollout.Decision, out *TickResult) error {
	next := row
	next.State, next.StateReason = string(d.State), d.Reason
	next.WaveIndex, next.WaveWorked, next.SoakUntil = int32(d.WaveIndex), d.WaveWorked, timeOrNil(d.SoakUntil) //nolint:gosec // An index of a wave.
	out.State, out.Changed = d.State, next.State != row.State
	same := !out.Changed && next.StateReason == row.StateReason && next.WaveIndex == row.WaveIndex &&
		next.WaveWorked == row.WaveWorked && deref(next.SoakUntil).Equal(deref(row.SoakUntil)) &&
		!d.Ended && (row.StartedAt != nil || d.State != fleet.RolloutRunning)
	if same {
		return nil
	}
	if err := setState(ctx, q, next, d.Ended); err != nil {
		return err
	}
	if !out.Changed {
		return nil
	}
	if err := q.RolloutNotify(ctx, strconv.FormatInt(row.ID, 10)); err != nil {
		return fmt.Errorf("tell of the change: %w", err)
	}
	return nil
}

// zones is what a rollout's window says now.
type zones struct {
	open     bool
	byZone   bool     // each property has its own time zone
	names    []string // those in which the window is open, when byZone
	nextOpen time.Time
	reason   string
}

// openZones works the window out: in the rollout's own time zone, or in that of
// each property. It is open while it is open in any of them.
func openZones(ctx context.Context, q *db.Queries, row db.Rollout, now time.Time) (zones, error) {
	if row.WindowStart == nil || row.WindowEnd == nil {
		return zones{open: true}, nil
	}
	w := rollout.Window{Start: int(*row.WindowStart), End: int(*row.WindowEnd)}
	names, z := []string{row.Timezone}, zones{byZone: row.Timezone == ""}
	if z.byZone {
		var err error
		if names, err = q.RolloutZones(ctx, row.AccountID); err != nil {
			return z, fmt.Errorf("read time zones: %w", err)
		}
		names = append(names, "")
	}
	for _, name := range names {
		loc, err := time.LoadLocation(name) // "" is UTC
		if err != nil {
			return z, fmt.Errorf("window of rollout %s: %w", row.Key, err)
		}
		if w.Open(now, loc) {
			z.open, z.names = true, append(z.names, name)
		}
		if next := w.NextOpen(now, loc); z.nextOpen.IsZero() || next.Before(z.nextOpen) {
			z.nextOpen = next
		}
	}
	z.reason = fmt.Sprintf("outside its window %s until %s", w, strings.TrimSuffix(z.nextOpen.UTC().Format("2006-01-02 15:04 MST"), " "))
	return z, nil
}
