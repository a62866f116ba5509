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
	Sweep          bool // also tighten the bounds of what is under way
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
		locked, err := q.RolloutLock(ctx, db.RolloutLockParams{Commit: commitLazily, ID: id})
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
	if errors.Is(err, ErrDesiredBusy) { // nothing was released, and soon will be
		return TickResult{State: out.State}, nil
	}
	return out, err
}

// ticking is one look at a locked rollout.
type ticking struct {
	tx     pgx.Tx
	q      *db.Queries
	row    db.Rollout // as it becomes
	win    zones
	params TickParams
	picked []db.TargetPickRow // the next pending targets of the wave,
	most   int                // at most so many
}

func (s *Store) tick(
	ctx context.Context, tx pgx.Tx, q *db.Queries, row db.Rollout, now time.Time, p TickParams, out *TickResult,
) (err error) {
	t := &ticking{tx: tx, q: q, row: row, params: p}
	if t.win, err = openZones(ctx, q, row, now); err != nil {
		return err
	}
	if p.Sweep {
		if err := t.tighten(ctx); err != nil {
			return err
		}
	}
	snapshot, err := t.snapshot(ctx)
	if err != nil {
		return err
	}
	d := rollout.Decide(snapshot, now)
	if d.Recall {
		if err := recall(ctx, q, &t.row); err != nil {
			return err
		}
	}
	if d.Release > 0 {
		if out.Released, err = t.release(ctx, d); err != nil {
			return err
		}
		if out.Released == 0 && snapshot.Counts.Outstanding() == 0 { // the rest of the wave is in zones whose window is shut
			d.State, d.Reason, d.WaveWorked = fleet.RolloutWaiting, t.win.reason, row.WaveWorked
		}
	}
	out.Again = d.Again
	return t.save(ctx, row, d, out)
}

// tighten moves the lower bound of what is under way up to the first that is.
func (t *ticking) tighten(ctx context.Context) error {
	if t.row.OpenFrom >= t.row.OpenTo {
		return nil
	}
	first, err := t.q.TargetFirstOpen(ctx, db.TargetFirstOpenParams{RolloutID: t.row.ID, OpenFrom: t.row.OpenFrom, OpenTo: t.row.OpenTo})
	if err != nil {
		return fmt.Errorf("look for the first target under way: %w", err)
	}
	if first == 0 {
		first = t.row.OpenTo
	}
	t.row.OpenFrom = first
	return nil
}

func (t *ticking) snapshot(ctx context.Context) (rollout.Snapshot, error) {
	row := t.row
	ends := make([]int, len(row.WaveEnds))
	for i, e := range row.WaveEnds {
		ends[i] = int(e)
	}
	s := rollout.Snapshot{
		State: fleet.RolloutState(row.State), StateReason: row.StateReason, Counts: countsOf(row),
		Acknowledged: int(row.Acknowledged), MaxFailures: int(row.MaxFailures),
		WaveEnds: ends, WaveIndex: int(row.WaveIndex), WaveWorked: row.WaveWorked,
		SoakUntil: deref(row.SoakUntil), Soak: millis(row.SoakMs), StartAt: deref(row.StartAt),
		WindowOpen: t.win.open, WindowNextOpen: t.win.nextOpen, AccountBlocked: t.params.AccountBlocked, Horizon: t.params.Horizon,
	}
	if s.Counts.Pending == 0 {
		return s, nil
	}
	t.most = 1
	if !t.win.byZone && s.State == fleet.RolloutRunning {
		t.most = max(1, rollout.Room(s))
	}
	end := row.WaveEnds[row.WaveIndex]
	var err error
	t.picked, err = t.q.TargetPick(ctx, db.TargetPickParams{
		RolloutID: row.ID, NextSeq: row.NextSeq, WaveEnd: end, MaxRows: int32(t.most), //nolint:gosec // Bounded by the horizon.
	})
	if err != nil {
		return s, fmt.Errorf("look for pending targets: %w", err)
	}
	s.PendingInWave = len(t.picked) > 0
	t.row.NextSeq = max(row.NextSeq, end+1)
	if s.PendingInWave {
		t.row.NextSeq = t.picked[0].Seq
	}
	return s, nil
}

// release queues the next targets of the wave and gives each a job.
func (t *ticking) release(ctx context.Context, d rollout.Decision) (int, error) {
	picked, err := t.pick(ctx, d)
	if err != nil || len(picked) == 0 {
		return 0, err
	}
	seqs, units := make([]int32, len(picked)), make([]int64, len(picked))
	for i, p := range picked {
		seqs[i], units[i] = p.Seq, p.UnitID
	}
	rows, err := t.q.TargetQueue(ctx, db.TargetQueueParams{
		RolloutID: t.row.ID, IncludeOccupied: t.row.IncludeOccupied, Seqs: seqs, UnitIds: units,
	})
	if err != nil {
		return 0, fmt.Errorf("release targets: %w", err)
	}
	last := seqs[len(seqs)-1]
	t.row.OpenFrom, t.row.OpenTo = min(t.row.OpenFrom, seqs[0]), max(t.row.OpenTo, last+1)
	if !t.win.byZone {
		t.row.NextSeq = last + 1
	}
	refs, released, stages := make([]TargetRef, 0, len(rows)), make([]int64, 0, len(rows)), make([]string, 0, len(rows))
	for _, r := range rows {
		if r.State == fleet.TargetQueued {
			refs = append(refs, TargetRef{AccountID: t.row.AccountID, RolloutID: t.row.ID, Seq: r.Seq})
			released, stages = append(released, r.UnitID), append(stages, wantedStage(t.row, r.WantStage))
		}
	}
	if _, err := ReleaseDesired(ctx, t.tx, t.row.ID, released, stages); err != nil {
		return 0, err
	}
	occupied := len(rows) - len(refs)
	moveCounts(&t.row, fleet.TargetPending, fleet.TargetQueued, len(refs))
	moveCounts(&t.row, fleet.TargetPending, fleet.TargetSkipped, occupied)
	if len(refs) > 0 {
		if err := t.params.Enqueue(ctx, t.tx, refs); err != nil {
			return 0, err
		}
	}
	sums := totals{}
	sums.addN(t.row.AccountID, fleet.Action(t.row.Action), fleet.TargetSkipped, fleet.ReasonOccupied, occupied)
	return len(rows), sums.apply(ctx, t.q)
}

// wantedStage is the stage a target is to be enabled at, or empty for disabled.
func wantedStage(r db.Rollout, own *string) string {
	switch {
	case own != nil:
		return *own
	case fleet.Action(r.Action) == fleet.ActionEnable:
		return r.Stage
	}
	return ""
}

// pick finds the targets to release, in order: those the snapshot found, unless they
// are of another wave by now or have to be of open zones.
func (t *ticking) pick(ctx context.Context, d rollout.Decision) (picked []db.TargetPickRow, err error) {
	end, most := t.row.WaveEnds[d.WaveIndex], int32(d.Release) //nolint:gosec // Bounded by the horizon.
	switch {
	case t.win.byZone:
		rows, err := t.q.TargetPickInZones(ctx, db.TargetPickInZonesParams{
			RolloutID: t.row.ID, NextSeq: t.row.NextSeq, WaveEnd: end, Zones: t.win.names, MaxRows: most,
		})
		if err != nil {
			return nil, fmt.Errorf("pick targets: %w", err)
		}
		for _, r := range rows {
			picked = append(picked, db.TargetPickRow(r))
		}
		return picked, nil
	case d.WaveIndex == int(t.row.WaveIndex) && d.Release <= t.most && !d.Recall:
		return t.picked[:min(len(t.picked), d.Release)], nil
	default:
		picked, err = t.q.TargetPick(ctx, db.TargetPickParams{RolloutID: t.row.ID, NextSeq: t.row.NextSeq, WaveEnd: end, MaxRows: most})
	}
	if err != nil {
		return nil, fmt.Errorf("pick targets: %w", err)
	}
	return picked, nil
}

// save writes the row where it changed.
func (t *ticking) save(ctx context.Context, before db.Rollout, d rollout.Decision, out *TickResult) error {
	next := t.row
	next.State, next.StateReason = string(d.State), d.Reason
	next.WaveIndex, next.WaveWorked, next.SoakUntil = int32(d.WaveIndex), d.WaveWorked, timeOrNil(d.SoakUntil) //nolint:gosec // An index of a wave.
	if deref(next.SoakUntil).Equal(deref(before.SoakUntil)) {
		next.SoakUntil = before.SoakUntil
	}
	out.State, out.Changed = d.State, next.State != before.State
	starts := before.StartedAt == nil && d.State == fleet.RolloutRunning
	if saved(next, false) == saved(before, false) && !d.Ended && !starts {
		return nil
	}
	if err := saveRollout(ctx, t.q, next, d.Ended); err != nil {
		return err
	}
	if d.Ended {
		if _, err := ResolveByRollout(ctx, t.tx, next.ID); err != nil {
			return err
		}
	}
	if !out.Changed {
		return nil
	}
	if err := t.q.RolloutNotify(ctx, strconv.FormatInt(before.ID, 10)); err != nil {
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
