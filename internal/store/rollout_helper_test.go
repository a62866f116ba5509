package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

const testSkill = "amzn1.ask.skill.test"

// yard is an account with homes, a process at work, and the jobs it was given.
type yard struct {
	fixture

	process int64
	mu      sync.Mutex
	lastJob int64
	jobs    []store.Claim // enqueued and not yet taken by the test
}

// newYard makes an account acme with n vacant homes in seven properties.
func newYard(t *testing.T, n int) *yard {
	t.Helper()
	y := &yard{fixture: newFixture(t)}
	y.account(t, "acme")
	if n > 0 {
		_, err := y.load(t, "acme", store.ImportParams{}, homes(n)...)
		require.NoError(t, err)
	}
	var err error
	y.process, err = y.RegisterProcess(t.Context(), store.Process{Name: "one"})
	require.NoError(t, err)
	return y
}

// enqueue stands in for River: it numbers the jobs and remembers them.
func (y *yard) enqueue(_ context.Context, _ pgx.Tx, refs []store.TargetRef) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, ref := range refs {
		y.lastJob++
		y.jobs = append(y.jobs, store.Claim{RolloutID: ref.RolloutID, Seq: ref.Seq, JobID: y.lastJob})
	}
	return nil
}

// take empties the list of jobs.
func (y *yard) take() []store.Claim {
	y.mu.Lock()
	defer y.mu.Unlock()
	jobs := y.jobs
	y.jobs = nil
	return jobs
}

func plainRollout() store.RolloutParams {
	return store.RolloutParams{
		Account: "acme", Action: fleet.ActionEnable, SkillID: testSkill, Selector: "all", MaxFailures: "100%",
		ObservationMaxAge: time.Hour,
	}
}

func (y *yard) create(t *testing.T, change ...func(*store.RolloutParams)) store.Rollout {
	t.Helper()
	r, replayed, err := y.try(t, change...)
	require.NoError(t, err)
	require.False(t, replayed)
	return r
}

func (y *yard) try(t *testing.T, change ...func(*store.RolloutParams)) (store.Rollout, bool, error) {
	t.Helper()
	return y.CreateRollout(t.Context(), changed(change), y.by, store.Idempotency{})
}

func changed(change []func(*store.RolloutParams)) store.RolloutParams {
	p := plainRollout()
	for _, f := range change {
		f(&p)
	}
	return p
}

func (y *yard) row(t *testing.T, key string) (id int64) {
	t.Helper()
	require.NoError(t, y.pool.QueryRow(t.Context(), "SELECT id FROM rollouts WHERE key = $1", key).Scan(&id))
	return id
}

// tick looks at a rollout until there is no reason to look again at once.
func (y *yard) tick(t *testing.T, key string, horizon int) store.TickResult {
	t.Helper()
	id := y.row(t, key)
	for range 100 {
		got, err := y.TickRollout(t.Context(), id, store.TickParams{Horizon: horizon, Enqueue: y.enqueue, Sweep: true})
		require.NoError(t, err)
		if !got.Again {
			return got
		}
	}
	t.Fatal("a tick without end")
	return store.TickResult{}
}

// claim takes the targets of all jobs on the list.
func (y *yard) claim(t *testing.T) []store.ClaimedTarget {
	t.Helper()
	claimed, err := y.ClaimTargets(t.Context(), y.process, y.take())
	require.NoError(t, err)
	return claimed
}

// ended is what becomes of a claimed target.
func ended(c store.ClaimedTarget, state fleet.TargetState, reason fleet.Reason) store.TargetRecord {
	r := store.TargetRecord{Claim: c.Claim, State: state, Reason: reason, Attempts: 1, Requests: c.Requests + 2, Spent: 2}
	if state == fleet.TargetSucceeded {
		r.After = &fleet.Observation{Status: fleet.StatusEnabled, Stage: fleet.StageLive, ObservedAt: time.Now()}
	}
	return r
}

func (y *yard) record(t *testing.T, records ...store.TargetRecord) {
	t.Helper()
	require.NoError(t, y.RecordTargets(t.Context(), y.process, records))
}

// work runs a rollout until nothing of it is left, each target ending as end says.
func (y *yard) work(t *testing.T, key string, end func(store.ClaimedTarget) store.TargetRecord) store.Rollout {
	t.Helper()
	for range 1000 {
		y.tick(t, key, 50)
		claimed := y.claim(t)
		if len(claimed) == 0 {
			break
		}
		records := make([]store.TargetRecord, len(claimed))
		for i, c := range claimed {
			records[i] = end(c)
		}
		y.record(t, records...)
	}
	return y.whole(t, key)
}

func succeed(c store.ClaimedTarget) store.TargetRecord {
	return ended(c, fleet.TargetSucceeded, "")
}

func fail(reason fleet.Reason) func(store.ClaimedTarget) store.TargetRecord {
	return func(c store.ClaimedTarget) store.TargetRecord { return ended(c, fleet.TargetFailed, reason) }
}

// whole reads a rollout and fails unless its counts are those of its rows.
func (y *yard) whole(t require.TestingT, key string) store.Rollout {
	r, err := y.Rollout(context.Background(), key)
	require.NoError(t, err)
	require.Equal(t, r.Targets, r.Counts.Sum(), "the counts of a rollout sum to its targets")
	rows, err := y.pool.Query(context.Background(), ` 
		SELECT targets.state::text, count(*)::int
		FROM targets JOIN rollouts ON rollouts.id = targets.rollout_id
		WHERE rollouts.key = $1 GROUP BY 1`, key)
	require.NoError(t, err)
	states := map[fleet.TargetState]int{}
	var state string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error { states[fleet.TargetState(state)] = n; return nil })
	require.NoError(t, err)
	require.Equal(t, fleet.Counts{
		Pending: states[fleet.TargetPending], Queued: states[fleet.TargetQueued], Running: states[fleet.TargetRunning],
		Verifying: states[fleet.TargetVerifying], Succeeded: states[fleet.TargetSucceeded], Failed: states[fleet.TargetFailed],
		Skipped: states[fleet.TargetSkipped], Canceled: states[fleet.TargetCanceled],
	}, r.Counts, "each count lists exactly its rows")
	var outside []string
	require.NoError(t, y.pool.QueryRow(context.Background(), `
		SELECT array_agg(format('%s %s next_at %s odd %s, bounds %s %s %s', seq, targets.state, next_at, odd, next_seq, open_from, open_to))
		FROM targets
		JOIN rollouts ON rollouts.id = targets.rollout_id
		WHERE rollouts.key = $1
			AND (
				(targets.state = 'pending' AND targets.seq < next_seq)
				OR (
					targets.state IN ('queued', 'running', 'verifying') AND targets.next_at IS NULL
					AND (targets.seq < open_from OR targets.seq >= open_to)
				)
				OR (targets.next_at IS NOT NULL AND targets.state NOT IN ('queued', 'running', 'verifying'))
				OR odd IS DISTINCT FROM CASE WHEN targets.state IN ('failed', 'skipped', 'canceled') THEN targets.state END
			)`, key).Scan(&outside))
	require.Empty(t, outside, "targets beyond the bounds that they are looked for in")
	return r
}

// observe says that the API showed the units of a selector so, some time ago.
func (y *yard) observe(t *testing.T, where string, status fleet.Status, ago time.Duration) {
	t.Helper()
	_, err := y.pool.Exec(t.Context(), "INSERT INTO skills (skill_id) VALUES ($1) ON CONFLICT DO NOTHING", testSkill)
	require.NoError(t, err)
	_, err = y.pool.Exec(t.Context(), fmt.Sprintf(`
		INSERT INTO observed (unit_id, skill_id, status, stage, observed_at, changed_at)
		SELECT u.id, s.id, $1, CASE WHEN $1 = 'ABSENT' THEN '' ELSE 'live' END, now() - $2::interval, now() - $2::interval
		FROM units AS u, skills AS s
		WHERE s.skill_id = $3 AND %s`, where), status, ago.String(), testSkill)
	require.NoError(t, err)
}

func (y *yard) set(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := y.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (y *yard) targets(t *testing.T, key string, f store.TargetFilter) []store.Target {
	t.Helper()
	if f.Limit == 0 {
		f.Limit = store.MaxLimit
	}
	targets, _, err := y.ListTargets(t.Context(), key, f)
	require.NoError(t, err)
	return targets
}
