package jobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/remote"
	"fleetd/internal/rollout"
	"fleetd/internal/store"
)

func (a *attempt) overdue() bool {
	if a.verifyBy.IsZero() {
		a.verifyBy = a.now().Add(a.spec.VerifyTimeout)
	}
	return !a.now().Before(a.verifyBy)
}

// held gives the target back: it goes again when its rollout runs, or when the
// budget opens. It spends no attempt.
func (a *attempt) held(err error) store.TargetRecord {
	var budget *remote.BudgetError
	var unauthorized *lwa.UnauthorizedError
	next := time.Time{}
	switch {
	case errors.As(err, &budget):
		next = budget.Until
	case errors.Is(err, ErrHeld), errors.As(err, &unauthorized), errors.Is(err, context.Canceled):
	default: // it waited too long for its turn
		next = a.now().Add(rollout.Backoff(1, rand.Float64()))
	}
	if a.wrote() {
		if next.IsZero() {
			next = a.now()
			if !errors.Is(err, context.Canceled) {
				next = next.Add(rollout.Backoff(1, rand.Float64()))
			}
		}
		if !a.inDoubt && errors.Is(err, ErrHeld) { // seen not done, and not to be done now
			return a.record(fleet.TargetQueued, time.Time{})
		}
		return a.record(fleet.TargetVerifying, next)
	}
	return a.record(fleet.TargetQueued, next)
}

// verifying waits for the API to finish, with growing pauses, up to the deadline.
func (a *attempt) verifying(seen fleet.Observation) store.TargetRecord {
	if a.overdue() {
		if a.look(seen) == sightNoLink {
			return a.failed(fleet.ReasonAccountLinkFailed, "enabled, and the account is still not linked at the deadline")
		}
		return a.failed(fleet.ReasonVerifyTimeout, "still "+printable(string(seen.Status))+" at the deadline")
	}
	a.attempts = max(a.attempts, 1)
	waited := a.spec.VerifyTimeout - a.verifyBy.Sub(a.now())
	delay := min(max(waited/2, time.Second), 30*time.Second)
	return a.record(fleet.TargetVerifying, earlier(a.now().Add(delay), a.verifyBy))
}

func (a *attempt) skipped(reason fleet.Reason) store.TargetRecord {
	return a.ended(fleet.TargetSkipped, reason, "")
}

func (a *attempt) failed(reason fleet.Reason, msg string) store.TargetRecord {
	return a.ended(fleet.TargetFailed, reason, msg)
}

func (a *attempt) ended(state fleet.TargetState, reason fleet.Reason, msg string) store.TargetRecord {
	a.attempts = max(a.attempts, 1)
	r := a.record(state, time.Time{})
	r.Reason, r.Message, r.VerifyBy, r.InDoubt = reason, msg, time.Time{}, a.inDoubt
	return r
}

func (a *attempt) record(state fleet.TargetState, next time.Time) store.TargetRecord {
	if state == fleet.TargetVerifying && a.verifyBy.IsZero() {
		a.verifyBy = a.now().Add(a.spec.VerifyTimeout)
	}
	if state == fleet.TargetQueued {
		a.verifyBy = time.Time{}
	}
	return store.TargetRecord{
		Claim: a.t.Claim, State: state, Attempts: min(a.attempts, mostCounted), Writes: min(a.writes, mostCounted),
		Requests: a.t.Requests + a.counter.Requests, Spent: a.counter.Requests, Throttled: a.counter.Throttled, RequestID: a.requestID,
		NextAt: next, VerifyBy: a.verifyBy, Before: a.before, After: a.after,
	}
}

// message is what a person is told of an error: its first words, which never hold
// what the API said or any secret.
func message(err error) string {
	const most = 300
	s := err.Error()
	if len(s) > most {
		s = s[:most]
	}
	return printable(s)
}

// printable replaces what a terminal or Postgres would not take.
func printable(s string) string {
	out := []rune(s)
	for i, r := range out {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			out[i] = '?'
		}
	}
	return string(out)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
