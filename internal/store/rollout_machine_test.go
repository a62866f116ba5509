package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// lives is how many random histories are played; each is some 30 steps with the
// whole ledger checked after each, which a hundred would make too long.
const lives = 15

// machine plays a random history of rollouts: several processes that die, jobs
// that run late or twice, and people who change their minds.
type machine struct {
	*yard

	test      *testing.T
	processes []int64
	keys      []string
	retried   map[string]bool
	held      []holding // claimed, and no outcome recorded
	late      []holding // recorded, or lost to another
	ended     map[store.TargetRef]string
	worked    int // records
}

type holding struct {
	process int64
	target  store.ClaimedTarget
}

// Promises 6 and 7, over any order of everything that happens to rollouts: counts
// are those of the rows, an outcome never changes, waves do not overlap, failures
// are bounded.
func TestRolloutsOverRandomHistories(t *testing.T) {
	t.Parallel()
	y := newYard(t, 60)
	two, err := y.RegisterProcess(t.Context(), store.Process{Name: "two"})
	require.NoError(t, err)
	played, worked := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		if played++; played > lives {
			return
		}
		y.set(t, "TRUNCATE desired, desired_history, desired_changes, managed_skills")
		y.set(t, "DELETE FROM rollouts")
		y.set(t, "DELETE FROM observed")
		y.set(t, "UPDATE units SET occupancy = CASE WHEN id % 9 = 3 THEN 'occupied' ELSE 'vacant' END")
		y.take()
		m := &machine{yard: y, test: t, processes: []int64{y.process, two}, retried: map[string]bool{}, ended: map[store.TargetRef]string{}}
		m.create(rt)
		for range 3 { // days, each with all of this in some order
			day := []string{
				"work", "work", "work", "work", "work", "work", "tick", "claim", "record", "record late", "record late", "due", "due", "due",
				"die", "pause", "resume", "resume", "resume", "resume", "cancel", "retry", "create", "occupy",
			}
			for _, do := range rapid.Permutation(day).Draw(rt, "day") {
				m.do(rt, do)
				m.check(rt)
			}
		}
		worked += m.worked
		m.finish(rt)
	})
	require.Greater(t, worked, 20*lives, "the histories are not idle")
}

func (m *machine) do(rt *rapid.T, what string) {
	switch what {
	case "work": // what mostly happens
		m.tick(rt)
		m.claim(rt)
		m.record(rt)
	case "tick":
		m.tick(rt)
	case "claim":
		m.claim(rt)
	case "record":
		m.record(rt)
	case "record late":
		m.recordLate(rt)
	case "due":
		m.due(rt)
	case "die":
		m.die(rt)
	case "pause":
		m.pause(rt)
	case "resume":
		m.resume(rt)
	case "cancel":
		m.cancel(rt)
	case "retry":
		m.retry(rt)
	case "create":
		m.create(rt)
	case "occupy":
		m.occupy(rt)
	}
}

func (m *machine) create(rt *rapid.T) {
	if len(m.keys) >= 3 {
		return
	}
	p := plainRollout()
	p.SkillID = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "skill")
	p.Selector = rapid.SampledFrom([]string{"all", "property in (maple-0,maple-1,maple-2)", "floor=1"}).Draw(rt, "selector")
	p.Canary = rapid.IntRange(0, 3).Draw(rt, "canary")
	p.Waves = rapid.SliceOfN(rapid.SampledFrom([]string{"2", "25%"}), 0, 2).Draw(rt, "waves")
	p.MaxFailures = rapid.SampledFrom([]string{"100%", "3", "0"}).Draw(rt, "max failures")
	r, _, err := m.CreateRollout(m.test.Context(), p, m.by, store.Idempotency{})
	if m.refused(rt, err) {
		return
	}
	m.keys = append(m.keys, r.ID)
}

// refused reports whether a person was told no, which is fine; anything else is not.
func (m *machine) refused(rt *rapid.T, err error) bool {
	if err == nil {
		return false
	}
	var e *fleet.Error
	require.True(rt, errors.As(err, &e) && e.Code == fleet.CodeConflict, "%v", err)
	return true
}

func (m *machine) key(rt *rapid.T) string {
	return rapid.Permutation(m.keys).Draw(rt, "rollout")[0] // an index would mostly be 0
}

func (m *machine) tick(rt *rapid.T) {
	p := store.TickParams{Horizon: 20 - rapid.IntRange(1, 18).Draw(rt, "horizon"), Enqueue: m.enqueue, Sweep: rapid.Bool().Draw(rt, "sweep")}
	if rapid.IntRange(0, 9).Draw(rt, "blocked") == 9 {
		p.AccountBlocked = "no credential"
	}
	for _, key := range m.keys {
		for again := true; again; {
			got, err := m.TickRollout(m.test.Context(), m.row(m.test, key), p)
			require.NoError(rt, err)
			again = got.Again
		}
	}
}

func (m *machine) claim(rt *rapid.T) {
	jobs := m.take()
	n := len(jobs) - rapid.IntRange(0, len(jobs)/2).Draw(rt, "jobs that wait")
	process := rapid.SampledFrom(m.processes).Draw(rt, "process")
	claimed, err := m.ClaimTargets(m.test.Context(), process, jobs[:n])
	require.NoError(rt, err)
	for _, c := range claimed {
		m.held = append(m.held, holding{process, c})
	}
	if rapid.Bool().Draw(rt, "twice") { // River runs some jobs again
		n = 0
	}
	m.mu.Lock()
	m.jobs = append(m.jobs, jobs[n:]...)
	m.mu.Unlock()
}

func (m *machine) outcome(rt *rapid.T, c store.ClaimedTarget) store.TargetRecord {
	state := rapid.SampledFrom([]fleet.TargetState{
		fleet.TargetSucceeded, fleet.TargetSucceeded, fleet.TargetFailed, fleet.TargetSkipped, fleet.TargetVerifying, fleet.TargetQueued,
	}).Draw(rt, "outcome")
	r := ended(c, state, "")
	r.Writes, r.InDoubt = c.Writes+1, state == fleet.TargetFailed && rapid.Bool().Draw(rt, "in doubt")
	switch state {
	case fleet.TargetFailed:
		r.Reason = fleet.ReasonServerError
	case fleet.TargetSkipped:
		r.Reason = fleet.ReasonAlreadyInState
	case fleet.TargetVerifying:
		r.NextAt, r.VerifyBy = time.Now(), time.Now().Add(time.Minute)
	case fleet.TargetQueued:
		if rapid.Bool().Draw(rt, "later") {
			r.NextAt = time.Now().Add(-time.Second)
		}
	case fleet.TargetSucceeded, fleet.TargetPending, fleet.TargetRunning, fleet.TargetCanceled:
	}
	return r
}

// record writes down some of what is held, in groups as the workers do.
func (m *machine) record(rt *rapid.T) {
	n := len(m.held) - rapid.IntRange(0, len(m.held)/2).Draw(rt, "under way")
	m.worked += n
	groups := map[int64][]store.TargetRecord{}
	for _, h := range m.held[:n] {
		groups[h.process] = append(groups[h.process], m.outcome(rt, h.target))
	}
	m.late, m.held = append(m.late, m.held[:n]...), m.held[n:]
	for process, records := range groups {
		require.NoError(rt, m.RecordTargets(m.test.Context(), process, records))
	}
}

// recordLate writes down again what has been recorded, or was lost to another.
func (m *machine) recordLate(rt *rapid.T) {
	if len(m.late) == 0 {
		return
	}
	h := m.late[rapid.IntRange(0, len(m.late)-1).Draw(rt, "which")]
	before := m.stateOf(rt, h.target)
	require.NoError(rt, m.RecordTargets(m.test.Context(), h.process, []store.TargetRecord{m.outcome(rt, h.target)}))
	if now := m.stateOf(rt, h.target); now != before {
		require.Equal(rt, fleet.TargetRunning, before, "only the job that has it may record")
	}
}

func (m *machine) stateOf(rt *rapid.T, c store.ClaimedTarget) (state fleet.TargetState) {
	require.NoError(rt, m.pool.QueryRow(m.test.Context(),
		"SELECT state::text FROM targets WHERE rollout_id = $1 AND seq = $2", c.RolloutID, c.Seq).Scan(&state))
	return state
}

func (m *machine) pause(rt *rapid.T) {
	_, err := m.PauseRollout(m.test.Context(), m.key(rt), "", m.by)
	m.refused(rt, err)
}

func (m *machine) resume(rt *rapid.T) {
	_, err := m.ResumeRollout(m.test.Context(), m.key(rt), resuming("", m.by))
	m.refused(rt, err)
}

func (m *machine) cancel(rt *rapid.T) {
	if len(m.keys) < 3 { // not the first thing that happens
		return
	}
	_, err := m.CancelRollout(m.test.Context(), m.key(rt), "", m.by)
	m.refused(rt, err)
}

func (m *machine) retry(rt *rapid.T) {
	key := m.key(rt)
	_, err := m.RetryRollout(m.test.Context(), key, store.RetryParams{Actor: m.by})
	if m.refused(rt, err) {
		return
	}
	m.retried[key] = true
	row := m.row(m.test, key)
	for ref, outcome := range m.ended { // the one way in which an outcome goes
		if ref.RolloutID == row && outcome == string(fleet.TargetFailed)+" "+string(fleet.ReasonServerError) {
			delete(m.ended, ref)
		}
	}
}

func (m *machine) due(rt *rapid.T) {
	_, err := m.DueTargets(m.test.Context(), rapid.IntRange(1, 10).Draw(rt, "limit"), m.enqueue)
	require.NoError(rt, err)
}

// die has every process die: there is no River here, so no job is alive.
func (m *machine) die(rt *rapid.T) {
	_, err := m.AdoptOrphans(m.test.Context())
	require.NoError(rt, err)
	m.late, m.held = append(m.late, m.held...), nil
}

func (m *machine) occupy(rt *rapid.T) {
	m.set(m.test, "UPDATE units SET occupancy = CASE occupancy WHEN 'vacant' THEN 'linked' ELSE 'vacant' END WHERE id % 60 = $1",
		rapid.IntRange(0, 59).Draw(rt, "home"))
}

func (m *machine) check(rt *rapid.T) {
	for _, key := range m.keys {
		r := m.whole(rt, key)
		require.LessOrEqual(rt, r.Failures, r.MaxFailures+1, "failures are bounded")
		if r.EndedAt != nil {
			require.True(rt, r.State.Ended())
			require.Zero(rt, r.Counts.Pending+r.Counts.Outstanding())
		}
		if !m.retried[key] {
			require.Zero(rt, m.overlaps(rt, key), "a wave begins when the one before is done")
		}
	}
	rows, err := m.pool.Query(m.test.Context(), `
		SELECT rollout_id, seq, state::text || ' ' || reason FROM targets
		WHERE state IN ('succeeded', 'failed', 'skipped', 'canceled')`)
	require.NoError(rt, err)
	now := map[store.TargetRef]string{}
	var ref store.TargetRef
	var outcome string
	_, err = pgx.ForEachRow(rows, []any{&ref.RolloutID, &ref.Seq, &outcome}, func() error { now[ref] = outcome; return nil })
	require.NoError(rt, err)
	for ref, outcome := range m.ended {
		require.Equal(rt, outcome, now[ref], "an outcome is final: %+v", ref)
	}
	m.ended = now
}

// overlaps counts targets that wait although a later wave has begun.
func (m *machine) overlaps(rt *rapid.T, key string) (n int) {
	require.NoError(rt, m.pool.QueryRow(m.test.Context(), `
		WITH waved AS (
			SELECT t.state, (SELECT count(*) FROM unnest(r.wave_ends) AS e WHERE e < t.seq) AS wave
			FROM targets AS t JOIN rollouts AS r ON r.id = t.rollout_id
			WHERE r.key = $1
		)
		SELECT count(*) FROM waved
		WHERE state IN ('pending', 'queued', 'running', 'verifying')
			AND wave < (SELECT max(wave) FROM waved WHERE state IN ('queued', 'running', 'verifying'))`, key).Scan(&n))
	return n
}

// finish lets every rollout come to its end: nothing is stuck, whatever happened.
func (m *machine) finish(rt *rapid.T) {
	for range 300 {
		open := 0
		for _, key := range m.keys {
			r := m.whole(rt, key)
			if r.EndedAt != nil {
				continue
			}
			open++
			_, err := m.ResumeRollout(m.test.Context(), key, resuming("", m.by))
			m.refused(rt, err)
			m.yard.tick(m.test, key, 12)
		}
		if open == 0 {
			m.check(rt)
			return
		}
		m.die(rt)
		_, err := m.DueTargets(m.test.Context(), 100, m.enqueue)
		require.NoError(rt, err)
		claimed, err := m.ClaimTargets(m.test.Context(), m.process, m.take())
		require.NoError(rt, err)
		records := make([]store.TargetRecord, len(claimed))
		for i, c := range claimed {
			records[i] = succeed(c)
		}
		require.NoError(rt, m.RecordTargets(m.test.Context(), m.process, records))
	}
	rt.Fatal("a rollout never ends")
}
