package jobs

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// story runs a target job after job, each at the time the one before asked for,
// until it ends, and returns every record.
func story(t *testing.T, spec store.RolloutSpec, s *script) []store.TargetRecord {
	t.Helper()
	b := &bench{now: time.Now(), gate: &doors{}, script: s, spec: spec, account: s.account(fleet.LinkNone, &slots{}, tokens{})}
	target := plainTarget()
	var records []store.TargetRecord
	for range 100 {
		r := b.run(t.Context(), &target)
		records = append(records, r)
		if r.State.Ended() {
			s.done()
			return records
		}
		target = again(target, r)
		b.now = r.NextAt
	}
	t.Fatal("the target never ends")
	return nil
}

func TestAStoryOfLostAnswers(t *testing.T) {
	t.Parallel()
	s := newScript(t,
		"GET", absent, "POST", problem(500),
		"GET", problem(502), "GET", answer{cut: true}, "GET", absent, "POST", answer{cut: true},
		"GET", enabling, "GET", enabling, "GET", enabled)

	records := story(t, plainSpec(), s)

	last := records[len(records)-1]
	require.Equal(t, fleet.TargetSucceeded, last.State)
	require.Equal(t, 2, last.Writes)
	require.Equal(t, 9, last.Requests)
	require.Equal(t, 3, last.Attempts, "two lost writes and a lost read; a connection lost while idle counts for nothing")
	require.Equal(t, isAbsent, last.Before.Status, "what was there before the first write")
	for _, r := range records[:len(records)-1] {
		require.Equal(t, fleet.TargetVerifying, r.State)
	}
}

// Every write is lost and not done: each is followed by a read, and five are enough.
func TestAStoryOfWritesThatAreNeverDone(t *testing.T) {
	t.Parallel()
	steps := stepsOf{"GET", absent}
	for range maxWrites {
		steps = append(steps, "POST", problem(503), "GET", absent)
	}

	records := story(t, plainSpec(), newScript(t, steps...))

	last := records[len(records)-1]
	require.Equal(t, fleet.TargetFailed, last.State)
	require.Equal(t, fleet.ReasonEnablingFailed, last.Reason)
	require.Equal(t, maxWrites, last.Writes)
}

// An enablement that sticks is looked at ever more rarely, at its deadline for the
// last time, and never later.
func TestAStoryOfAnEnablementThatSticks(t *testing.T) {
	t.Parallel()
	s, spec, began := newScript(t), plainSpec(), time.Now()
	s.monkey = &monkey{rnd: rand.New(rand.NewPCG(1, 1)), kinds: map[string][]answer{"GET": {enabling}, "POST": {enabling}}}
	spec.ObservationAny = true

	records := story(t, spec, s)

	last, pause := records[len(records)-1], time.Duration(0)
	require.Equal(t, fleet.ReasonVerifyTimeout, last.Reason)
	require.Equal(t, 1, last.Writes)
	require.Less(t, len(records), 40, "reads are few")
	deadline := records[0].VerifyBy
	for i, r := range records[1 : len(records)-1] {
		require.Equal(t, deadline, r.VerifyBy, "the deadline stays")
		require.False(t, r.NextAt.After(deadline))
		next := r.NextAt.Sub(records[i].NextAt)
		if r.NextAt.Before(deadline) {
			require.GreaterOrEqual(t, next, pause)
		}
		require.LessOrEqual(t, next, 30*time.Second)
		pause = next
	}
	require.Equal(t, deadline, records[len(records)-2].NextAt, "one look at the deadline itself")
	require.WithinDuration(t, began.Add(10*time.Minute), deadline, 5*time.Second)
}

// A target that failed in doubt, and was sent again, must not trust what was seen
// before the write that was lost.
func TestAStoryOfARetryAfterDoubt(t *testing.T) {
	t.Parallel()
	for name, anyAge := range map[string]bool{"of a day": false, "of any age": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t, "POST", answer{cut: true}, "GET", problem(403), "GET", absent, "POST", created)
			b := &bench{now: time.Now(), gate: &doors{}, spec: plainSpec(), account: s.account(fleet.LinkNone, &slots{}, tokens{})}
			b.spec.ObservationAny = anyAge
			target := plainTarget()
			target.Observed = seen(isAbsent, time.Minute)
			r := b.run(t.Context(), &target)
			require.Equal(t, fleet.TargetVerifying, r.State)
			target = again(target, r)
			b.now = r.NextAt
			r = b.run(t.Context(), &target)
			require.Equal(t, fleet.ReasonForbidden, r.Reason)
			require.True(t, r.InDoubt)

			target = again(target, r) // as store.RetryRollout leaves it, its observation forgotten
			target.Prior, target.Attempts, target.Writes, target.VerifyBy, target.Observed = fleet.TargetQueued, 0, 0, time.Time{}, nil
			r = b.run(t.Context(), &target)

			require.Equal(t, fleet.TargetSucceeded, r.State)
			s.done()
		})
	}
}

// Whatever the API answers, one run writes once at most, no write follows a doubt
// without a read in between, and the numbers add up.
func TestNoStoryWritesTwiceWithoutARead(t *testing.T) {
	t.Parallel()
	kinds := map[string][]answer{
		"GET":  {absent, absent, enabling, enabled, problem(500), problem(400), problem(429), web(404), record(200, isFailed, "live", ""), {cut: true}, record(200, "REVIEWING", "live", "")},
		"POST": {created, enabling, problem(500), problem(503), problem(400), problem(404), problem(409), problem(425), problem(429), {cut: true}, {status: 201, body: "{"}},
		"LIST": {{status: 200, body: `{"items":[]}`}, problem(404), problem(500)},
	}
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := newScript(t)
		m := &monkey{rnd: rnd, kinds: kinds}
		s.monkey = m
		spec := plainSpec()
		spec.VerifyTimeout = time.Minute
		spec.ObservationAny = seed%3 == 0

		records := story(t, spec, s)

		last := records[len(records)-1]
		require.Equal(t, m.requests, last.Requests, "seed %d: requests", seed)
		require.LessOrEqual(t, last.Writes, maxWrites)
		require.LessOrEqual(t, m.writes, maxWrites+maxAttempts, "seed %d", seed)
		require.False(t, m.double, "seed %d: %v", seed, m.log)
		if last.State == fleet.TargetSucceeded {
			require.Equal(t, isEnabled, last.After.Status)
			require.Positive(t, last.Writes)
		}
	}
}

// monkey answers at random, and watches the order of reads and writes.
type monkey struct {
	rnd      *rand.Rand
	kinds    map[string][]answer
	requests int
	writes   int
	unread   bool // a write may have been done since the last read
	double   bool
	log      []string
}

func (m *monkey) next(kind string) answer {
	m.requests++
	choice := m.kinds[kind]
	a := choice[m.rnd.IntN(len(choice))]
	m.log = append(m.log, kind, map[bool]string{true: "cut", false: ""}[a.cut], string(rune('0'+a.status/100)))
	done := a.cut || a.status == 201 || a.status >= 500
	switch kind {
	case "POST":
		m.double = m.double || m.unread
		if done {
			m.writes++
			m.unread = true
		}
	case "GET":
		if a.status == 200 || a.status == 404 && !a.page {
			m.unread = false
		}
	}
	return a
}

// A second write has all the time that the first one had.
func TestASecondWriteHasADeadlineOfItsOwn(t *testing.T) {
	t.Parallel()
	c := &situation{
		target: both(prior(fleet.TargetVerifying, 1, 1), overdue), steps: stepsOf{"GET", absent, "POST", enabling},
		want: outcome{state: fleet.TargetVerifying, attempts: 1, writes: 2, requests: 2, after: isEnabling, next: second},
	}
	r, _ := c.try(t)
	require.WithinDuration(t, time.Now().Add(plainSpec().VerifyTimeout), r.VerifyBy, time.Minute)

	c = &situation{
		target: both(prior(fleet.TargetVerifying, 1, 1), overdue), steps: stepsOf{"GET", absent, "POST", problem(500)},
		want: outcome{state: fleet.TargetVerifying, attempts: 2, writes: 2, requests: 2, after: isAbsent, next: second},
	}
	r, _ = c.try(t)
	require.WithinDuration(t, time.Now().Add(plainSpec().VerifyTimeout), r.VerifyBy, time.Minute, "one that is lost too")
}

// The ledger keeps attempts as smallint, and a deadline may leave room for more.
func TestAttemptsAreCountedAsFarAsTheLedgerCan(t *testing.T) {
	t.Parallel()
	c := &situation{
		target: prior(fleet.TargetVerifying, math.MaxInt16, 1), steps: stepsOf{"GET", problem(500)},
		want: outcome{state: fleet.TargetVerifying, attempts: math.MaxInt16, writes: 1, requests: 1, next: span{15 * time.Second, 30 * time.Second}},
	}
	c.try(t)
}

// An answer without a stage is about the stage that was asked for: a write that did
// what it was for must not be taken for another one, five times over.
func TestAnswersWithoutAStage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*situation{
		"to the write": {
			target: observed(isAbsent, time.Minute), steps: stepsOf{"POST", record(201, isEnabled, "", "")},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, before: isAbsent, after: isEnabled},
		},
		"to the read after it": {
			target: prior(fleet.TargetVerifying, 1, 1), steps: stepsOf{"GET", record(200, isEnabled, "", "")},
			want: outcome{state: fleet.TargetSucceeded, attempts: 1, writes: 1, requests: 1, after: isEnabled},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := c.try(t)
			require.Equal(t, fleet.StageLive, r.After.Stage, "the stage that was asked for")
		})
	}
	c := &situation{ // nothing of ours: it counts as wanted, and is kept as it came
		steps: stepsOf{"GET", record(200, isEnabled, "", "")},
		want:  outcome{state: fleet.TargetSkipped, reason: fleet.ReasonAlreadyInState, attempts: 1, requests: 1, before: isEnabled, after: isEnabled},
	}
	r, _ := c.try(t)
	require.Empty(t, r.After.Stage)
}

func TestMessagesArePrintableAndShort(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a?b?c?", message(errors.New("a\x00b\nc\x7f")))
	require.Len(t, message(errors.New(strings.Repeat("x", 1000))), 300)
	cut := message(errors.New(strings.Repeat("x", 299) + "é"))
	require.Equal(t, strings.Repeat("x", 299)+"?", cut, "a letter cut in two would be refused by Postgres")
}
