package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// storm is many processes and people at once over the same few rollouts.
type storm struct {
	*yard

	keys  []string
	rows  []int64
	queue chan store.Claim
	done  atomic.Int64 // outcomes recorded
	fault atomic.Pointer[error]
}

// Everything at once over the same rollouts, for a few seconds: no statement waits
// for another in a circle (40P01), and every count stays whole.
func TestAStormOfEverythingAtOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t, 600)
	conf := y.pool.Config()
	conf.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(t.Context(), conf)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	y.Store = store.New(pool, testKeys(t, 1))
	s := &storm{yard: y, queue: make(chan store.Claim, 10_000)}
	for _, skill := range []string{"a", "b", "c"} {
		r := y.create(t, func(p *store.RolloutParams) { p.SkillID, p.Canary, p.Waves = skill, 20, []string{"10%"} })
		s.keys, s.rows = append(s.keys, r.ID), append(s.rows, y.row(t, r.ID))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	run := func(n int, do func(context.Context, *rand.Rand) error) {
		for i := range n {
			rnd := rand.New(rand.NewPCG(uint64(i), uint64(n)))
			wg.Go(func() {
				for ctx.Err() == nil {
					if err := do(ctx, rnd); err != nil && ctx.Err() == nil {
						s.fault.CompareAndSwap(nil, &err)
						cancel()
					}
				}
			})
		}
	}
	run(3, s.tickOne)
	run(6, s.workGroup)
	run(2, func(ctx context.Context, _ *rand.Rand) error {
		_, err := s.DueTargets(ctx, 50, s.refill)
		return err
	})
	run(1, func(ctx context.Context, _ *rand.Rand) error {
		_, err := s.AdoptOrphans(ctx)
		if err != nil {
			return fmt.Errorf("ADOPT: %w", err)
		}
		return nil
	})
	run(2, s.changeMind)
	run(1, func(ctx context.Context, rnd *rand.Rand) error {
		r, err := s.Rollout(ctx, s.keys[rnd.IntN(len(s.keys))])
		if err == nil && r.Counts.Sum() != r.Targets {
			err = errors.New("counts are not whole")
		}
		return err
	})
	run(1, func(ctx context.Context, rnd *rand.Rand) error { // creations share the totals, and the log
		p := plainRollout()
		p.SkillID, p.Selector = "d", "property=maple-1"
		r, _, err := s.CreateRollout(ctx, p, s.by, store.Idempotency{})
		if err == nil {
			_, err = s.CancelRollout(ctx, r.ID, "", s.by)
		}
		return err
	})
	wg.Wait()

	if fault := s.fault.Load(); fault != nil {
		if pgErr, ok := errors.AsType[*pgconn.PgError](*fault); ok {
			t.Fatalf("%v %s: %s %s", *fault, pgErr.Code, pgErr.Message, pgErr.Detail)
		}
		t.Fatal(*fault)
	}
	require.Positive(t, s.done.Load(), "something was done")
	for _, key := range s.keys {
		s.whole(t, key)
	}
	recorded := s.count(t, "SELECT coalesce(sum(n), 0) FROM target_totals WHERE state IN ('succeeded', 'failed') ")
	standing := s.count(t, "SELECT count(*) FROM targets WHERE state IN ('succeeded', 'failed')")
	require.GreaterOrEqual(t, recorded, standing, "every outcome was counted")
}

func (s *storm) tickOne(ctx context.Context, rnd *rand.Rand) error {
	_, err := s.TickRollout(ctx, s.rows[rnd.IntN(len(s.rows))], store.TickParams{Horizon: 80, Enqueue: s.refill, Sweep: rnd.IntN(3) == 0})
	return err
}

// refill passes jobs on to the workers.
func (s *storm) refill(_ context.Context, _ pgx.Tx, refs []store.TargetRef) error {
	for _, ref := range refs {
		s.mu.Lock()
		s.lastJob++
		job := s.lastJob
		s.mu.Unlock()
		select {
		case s.queue <- store.Claim{RolloutID: ref.RolloutID, Seq: ref.Seq, JobID: job}:
		default: // an orphan, for somebody to adopt
		}
	}
	return nil
}

// workGroup claims what waits, of all rollouts together, and records it.
func (s *storm) workGroup(ctx context.Context, rnd *rand.Rand) error {
	var claims []store.Claim
	select {
	case c := <-s.queue:
		claims = append(claims, c)
	case <-ctx.Done():
		return nil
	}
	for len(claims) < 1+rnd.IntN(60) {
		select {
		case c := <-s.queue:
			claims = append(claims, c)
			continue
		default:
		}
		break
	}
	rnd.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
	process := int64(rnd.IntN(3) + 1)
	claimed, err := s.ClaimTargets(ctx, process, claims)
	if err != nil {
		return fmt.Errorf("CLAIM %v: %w", claims, err)
	}
	if len(claimed) == 0 {
		return nil
	}
	records := make([]store.TargetRecord, len(claimed))
	for i, c := range claimed {
		switch rnd.IntN(10) {
		case 0:
			records[i] = ended(c, fleet.TargetFailed, fleet.ReasonServerError)
			records[i].InDoubt = rnd.IntN(2) == 0
		case 1, 2:
			records[i] = ended(c, fleet.TargetVerifying, "")
			records[i].NextAt, records[i].VerifyBy = time.Now(), time.Now()
		case 3:
			records[i] = ended(c, fleet.TargetQueued, "")
		default:
			records[i] = succeed(c)
		}
	}
	if err := s.RecordTargets(ctx, process, records); err != nil {
		return fmt.Errorf("RECORD: %w", err)
	}
	s.done.Add(int64(len(records)))
	return nil
}

// changeMind is a person who pauses, resumes, retries, and cancels in the end.
func (s *storm) changeMind(ctx context.Context, rnd *rand.Rand) error {
	key, n := s.keys[rnd.IntN(len(s.keys))], rnd.IntN(60)
	var err error
	switch {
	case n == 0 && key == s.keys[0]:
		_, err = s.CancelRollout(ctx, key, "", s.by)
	case n < 15:
		_, err = s.PauseRollout(ctx, key, "", s.by)
	case n < 25:
		_, err = s.RetryRollout(ctx, key, store.RetryParams{Actor: s.by})
	default:
		_, err = s.ResumeRollout(ctx, key, resuming("", s.by))
	}
	var refused *fleet.Error
	if errors.As(err, &refused) && refused.Code == fleet.CodeConflict {
		return nil
	}
	return err
}
