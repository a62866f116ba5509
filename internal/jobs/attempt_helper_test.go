package jobs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// stepsOf are the requests an attempt is expected to make, and their answers.
type stepsOf []any

// span is how far ahead a target is to be looked at again, at least and at most.
type span [2]time.Duration

var (
	never   = span{} // by no clock
	backoff = span{500 * time.Millisecond, time.Second}
	second  = span{time.Second, time.Second}
)

// outcome is what is expected of an attempt.
type outcome struct {
	state    fleet.TargetState
	reason   fleet.Reason
	attempts int
	writes   int
	requests int
	next     span
	before   fleet.Status // empty: none
	after    fleet.Status
	says     string // in the message
	inDoubt  bool
}

// situation is one attempt: what is known, what the API does and what must follow.
// The zero target is queued and never seen, of a rollout that enables live.
type situation struct {
	target func(*store.ClaimedTarget)
	spec   func(*store.RolloutSpec)
	mode   fleet.LinkMode
	gate   []error
	slots  slots
	tokens tokens
	cancel bool // the process stops while the last answer is awaited
	steps  stepsOf
	want   outcome
}

// try runs one attempt and checks all that it says.
func (c *situation) try(t *testing.T) (store.TargetRecord, *script) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if c.cancel {
		last := len(c.steps) - 1
		a := c.steps[last].(answer)
		a.then, a.hang = cancel, true
		c.steps[last] = a
	}
	s := newScript(t, c.steps...)
	b := &bench{now: time.Now(), gate: &doors{errors: c.gate}, script: s}
	b.account = s.account(c.mode, &c.slots, c.tokens)
	if c.mode == "" {
		b.account.Link.Mode = fleet.LinkNone
	}
	b.spec = plainSpec()
	if c.spec != nil {
		c.spec(&b.spec)
	}
	target := plainTarget()
	if c.target != nil {
		c.target(&target)
	}
	r := b.run(ctx, &target)
	s.done()
	b.check(t, target, r, c.want)
	return r, s
}

// bench runs attempts of one target over one script, at a time of its own.
type bench struct {
	now     time.Time
	account *Account
	spec    store.RolloutSpec
	gate    *doors
	script  *script
	last    *attempt
}

func (b *bench) run(ctx context.Context, target *store.ClaimedTarget) store.TargetRecord {
	b.last = newAttempt(target, b.spec, b.account, b.gate)
	b.last.now = func() time.Time { return b.now }
	return b.last.run(ctx)
}

func (b *bench) check(t *testing.T, target store.ClaimedTarget, r store.TargetRecord, want outcome) {
	t.Helper()
	require.Equal(t, want.state, r.State, "%v", b.last.lastErr)
	require.Equal(t, want.reason, r.Reason)
	require.Equal(t, want.attempts, r.Attempts, "attempts")
	require.Equal(t, want.writes, r.Writes, "writes")
	require.Equal(t, want.requests, r.Spent, "requests")
	require.Equal(t, target.Requests+want.requests, r.Requests, "requests in all")
	require.Equal(t, want.before, statusOf(r.Before), "before")
	require.Equal(t, want.after, statusOf(r.After), "after")
	require.Equal(t, want.inDoubt, r.InDoubt, "in doubt")
	require.Equal(t, target.Claim, r.Claim)
	requireClean(t, r.Message)
	require.Contains(t, r.Message, want.says)
	if want.next == never {
		require.Zero(t, r.NextAt)
	} else {
		require.WithinRange(t, r.NextAt, b.now.Add(want.next[0]), b.now.Add(want.next[1]))
	}
	switch {
	case r.State.Ended(), r.State == fleet.TargetQueued:
		require.Zero(t, r.VerifyBy, "a deadline runs")
	default:
		require.NotZero(t, r.VerifyBy, "no deadline runs")
		require.False(t, r.VerifyBy.After(b.now.Add(b.spec.VerifyTimeout)))
	}
	if r.State == fleet.TargetFailed || r.State == fleet.TargetSkipped {
		require.Contains(t, append(fleet.FailReasons(), fleet.SkipReasons()...), r.Reason)
		require.Equal(t, r.State == fleet.TargetFailed, r.Message != "", "message %q", r.Message)
	}
}

// again is the target as the next job claims it after r was recorded.
func again(target store.ClaimedTarget, r store.TargetRecord) store.ClaimedTarget {
	target.Prior, target.Attempts, target.Writes, target.Requests = r.State, r.Attempts, r.Writes, r.Requests
	target.VerifyBy, target.Before = r.VerifyBy, r.Before
	if r.After != nil {
		target.Observed = r.After
	}
	return target
}

func statusOf(o *fleet.Observation) fleet.Status {
	if o == nil {
		return ""
	}
	return o.Status
}

func plainSpec() store.RolloutSpec {
	return store.RolloutSpec{
		ID: 7, Key: "ro-test", AccountID: 1, Account: "acme", Action: fleet.ActionEnable, SkillID: "s", Stage: fleet.StageLive,
		VerifyTimeout: 10 * time.Minute, ObservationMaxAge: time.Hour,
	}
}

func plainTarget() store.ClaimedTarget {
	return store.ClaimedTarget{
		Claim: store.Claim{RolloutID: 7, Seq: 3, JobID: 99}, UnitID: "u1", Occupancy: fleet.OccupancyVacant,
		Prior: fleet.TargetQueued,
	}
}

// observed says that the unit was seen in a state some time ago.
func observed(status fleet.Status, ago time.Duration) func(*store.ClaimedTarget) {
	return func(t *store.ClaimedTarget) { t.Observed = seen(status, ago) }
}

func seen(status fleet.Status, ago time.Duration) *fleet.Observation {
	o := &fleet.Observation{Status: status, ObservedAt: time.Now().Add(-ago)}
	if status != fleet.StatusAbsent {
		o.Stage = fleet.StageLive
	}
	return o
}

// prior says what a job before this one left of the target.
func prior(state fleet.TargetState, attempts, writes int) func(*store.ClaimedTarget) {
	return func(t *store.ClaimedTarget) {
		t.Prior, t.Attempts, t.Writes, t.Requests = state, attempts, writes, attempts+writes
		if state == fleet.TargetVerifying {
			t.VerifyBy = time.Now().Add(5 * time.Minute)
		}
	}
}

func both(changes ...func(*store.ClaimedTarget)) func(*store.ClaimedTarget) {
	return func(t *store.ClaimedTarget) {
		for _, change := range changes {
			change(t)
		}
	}
}

func overdue(t *store.ClaimedTarget) { t.VerifyBy = time.Now().Add(-time.Second) }

func soonDue(t *store.ClaimedTarget) { t.VerifyBy = time.Now().Add(3 * time.Second) }

func occupied(t *store.ClaimedTarget) { t.Occupancy = fleet.OccupancyOccupied }

func disable(s *store.RolloutSpec) { s.Action = fleet.ActionDisable }

func anyAge(s *store.RolloutSpec) { s.ObservationAny = true }

var (
	absent   = answer{status: 404, body: `{"type":"NOT_FOUND","message":"` + apiWords + `"}`}
	enabled  = record(200, fleet.StatusEnabled, fleet.StageLive, "")
	created  = record(201, fleet.StatusEnabled, fleet.StageLive, "")
	enabling = record(201, fleet.StatusEnabling, fleet.StageLive, "")
	gone     = answer{status: 204}
)

func runSituations(t *testing.T, situations map[string]*situation) {
	t.Helper()
	for name, c := range situations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.try(t)
		})
	}
}

func failedWith(reason fleet.Reason, attempts, writes, requests int, before, after fleet.Status) outcome {
	return outcome{
		state: fleet.TargetFailed, reason: reason, attempts: attempts, writes: writes, requests: requests,
		before: before, after: after,
	}
}

func says(text string, o outcome) outcome {
	o.says = text
	return o
}

func doubtful(o outcome) outcome {
	o.inDoubt = true
	return o
}

func (o outcome) String() string { return fmt.Sprintf("%s %s", o.state, o.reason) }
