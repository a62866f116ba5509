package jobs

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
	"fleetd/internal/rollout"
	"fleetd/internal/store"
)

const (
	// maxAttempts is how often a target may fail for reasons that can pass before
	// it fails for good. Throttling, pauses and waiting do not count.
	maxAttempts = 5
	// maxWrites is how many writes one target may take, each after a read that
	// showed the one before not done.
	maxWrites = 5
	// mostCounted is where the counts of attempts and writes stop: the ledger keeps
	// them as smallint.
	mostCounted = math.MaxInt16
	// doubtDelay is how long after a lost answer the first read comes: time for the
	// API to finish what it may have begun.
	doubtDelay = time.Second
)

// gate says whether a write may leave now.
type gate interface {
	MayWrite(ctx context.Context, rolloutID int64) error
}

// attempt brings one claimed target as far as it will go in one run of a job.
type attempt struct {
	t       *store.ClaimedTarget
	spec    store.RolloutSpec
	acc     *Account
	gate    gate
	now     func() time.Time
	counter remote.Counter

	// inDoubt: a write of ours may have been done and nothing seen since tells.
	inDoubt bool
	// mustRead: what was seen before is no ground to write on.
	mustRead  bool
	writes    int // of ours that may have been done
	attempts  int
	before    *fleet.Observation
	after     *fleet.Observation
	verifyBy  time.Time
	requestID string
	lastErr   error
}

func newAttempt(t *store.ClaimedTarget, spec store.RolloutSpec, acc *Account, g gate) *attempt {
	if t.WantStage != nil {
		spec.Action, spec.Stage = fleet.ActionEnable, *t.WantStage
		if spec.Stage == "" {
			spec.Action = fleet.ActionDisable
		}
	}
	if spec.Action == fleet.ActionDisable && t.OnlyIf != nil && t.OnlyIf.Stage != "" {
		spec.Stage = t.OnlyIf.Stage // the one that is enabled
	}
	a := &attempt{
		t: t, spec: spec, acc: acc, gate: g, now: time.Now,
		inDoubt:  t.Prior == fleet.TargetVerifying && t.Writes > 0,
		mustRead: t.Prior != fleet.TargetQueued,
		writes:   t.Writes, attempts: t.Attempts, before: t.Before, verifyBy: t.VerifyBy,
	}
	if t.Prior == fleet.TargetRunning { // a run of this job ended without a word: it may have written
		a.inDoubt = true
		a.writes++
	}
	return a
}

// run reads where it must, writes where a read or a fresh observation shows that
// it must, once at most, and says what to record.
func (a *attempt) run(ctx context.Context) store.TargetRecord {
	if !a.wrote() && a.occupied() {
		return a.skipped(fleet.ReasonOccupied)
	}
	seen, known := a.known()
	if !known {
		var err error
		if seen, err = a.read(ctx); err != nil {
			return a.readFailed(err)
		}
		a.inDoubt = false
	}
	a.saw(seen)
	if a.changedSince(seen) {
		return a.skipped(fleet.ReasonChangedSince)
	}
	switch s := a.look(seen); {
	case s == sightWanted:
		return a.asWanted()
	case s == sightPending && !known && !a.stuck(seen), s == sightNoLink && a.wrote():
		return a.verifying(seen)
	case s == sightBroken && a.wrote():
		return a.failed(fleet.ReasonEnablingFailed, "the API reports ENABLING_FAILED")
	}
	switch {
	case a.occupied(): // by now: what was written before was seen not done
		return a.skipped(fleet.ReasonOccupied)
	case a.writes >= maxWrites:
		return a.failed(a.exhausted(), "written several times, and each time a later read showed that it was not done")
	}
	a.verifyBy = time.Time{} // a second write has all the time that the first one had
	answer, err := a.write(ctx)
	if err != nil {
		return a.writeFailed(ctx, err)
	}
	a.inDoubt = false
	a.saw(answer)
	switch a.look(answer) {
	case sightWanted:
		return a.ended(fleet.TargetSucceeded, "", "")
	case sightBroken:
		return a.failed(fleet.ReasonEnablingFailed, "the API reports ENABLING_FAILED")
	case sightPending, sightNoLink, sightOther:
	}
	return a.verifying(answer)
}

// changedSince reports whether somebody changed the home after the rollout that this
// one takes back, be it to what it was before that. What a write of ours leads to is
// nobody else's change.
func (a *attempt) changedSince(seen fleet.Observation) bool {
	switch left := a.t.OnlyIf; {
	case left == nil, asLeft(*left, seen):
		return false
	case a.wrote():
		return a.look(seen) == sightOther && seen.Status != fleet.StatusDisablingFailed
	}
	return true
}

// asLeft reports whether a home shows what a rollout left in it. The API has three words
// for a skill that is not there, and may leave out stage and link.
func asLeft(left, seen fleet.Observation) bool {
	off := []fleet.Status{fleet.StatusAbsent, fleet.StatusNoAssociation, fleet.StatusDisabled}
	if slices.Contains(off, left.Status) {
		return slices.Contains(off, seen.Status)
	}
	return seen.Status == left.Status && (seen.Stage == left.Stage || seen.Stage == "" || left.Stage == "") &&
		(seen.AccountLink == left.AccountLink || seen.AccountLink == "" || left.AccountLink == "")
}

// stuck reports whether an ENABLING is nobody's doing any more: an audit found it
// with no rollout at work, and only a write moves it.
func (a *attempt) stuck(seen fleet.Observation) bool {
	return a.spec.Origin == fleet.OriginRepair && !a.wrote() && seen.Status == fleet.StatusEnabling
}

// wrote reports whether a write of ours may have been done, ever.
func (a *attempt) wrote() bool { return a.writes > 0 }

// occupied reports whether the home must be left alone.
func (a *attempt) occupied() bool {
	return a.t.Occupancy != fleet.OccupancyVacant && !a.spec.IncludeOccupied
}

// asWanted is the outcome of a home that was seen in the wanted state.
func (a *attempt) asWanted() store.TargetRecord {
	if a.wrote() {
		return a.ended(fleet.TargetSucceeded, "", "")
	}
	return a.skipped(fleet.ReasonAlreadyInState)
}

// saw keeps an observation as evidence.
func (a *attempt) saw(o fleet.Observation) {
	if o.Status == "" { // taken for absent, not seen
		return
	}
	a.after = &o
	if a.before == nil && !a.wrote() {
		a.before = &o
	}
}

// known is the last observation where it may stand for a read before the write.
//
// A home last seen on its way has moved on since. With an observation of any age
// nothing is read before a write, so it is written to; but where it was on its way
// to what is wanted, no write is due before a read says that it did not get there:
// that read verifies, as after a write. store's pickSQL prices both so.
func (a *attempt) known() (fleet.Observation, bool) {
	o := a.t.Observed
	switch {
	case a.mustRead:
		return fleet.Observation{}, false
	case a.spec.ObservationAny && o == nil && a.t.Requests == 0:
		return fleet.Observation{}, true // taken for absent, as the operator asked
	case o == nil, o.Status == "": // a write was in doubt, and nothing was seen since
		return fleet.Observation{}, false
	case !a.spec.ObservationAny && a.now().Sub(o.ObservedAt) > a.spec.ObservationMaxAge:
		return fleet.Observation{}, false
	case a.look(*o) == sightPending && (!a.spec.ObservationAny || coming(a.spec.Action, a.spec.Stage, *o)):
		return fleet.Observation{}, false
	}
	return *o, true
}

func (a *attempt) look(o fleet.Observation) sight {
	if o.Status == "" { // never observed, and not to be read
		return sightOther
	}
	return look(a.spec.Action, a.spec.Stage, a.acc.Link.Mode, o)
}

// read asks for the enablement at whatever stage: an enablement at another stage
// must not be taken for none.
func (a *attempt) read(ctx context.Context) (fleet.Observation, error) {
	class := remote.ClassRollout
	if a.inDoubt {
		class = remote.ClassVerify
	}
	ctx = remote.WithCounter(remote.WithClass(ctx, class), &a.counter)
	got, err := a.acc.API.Get(ctx, a.t.UnitID, a.spec.SkillID, "")
	return a.observed(got, err, a.wrote())
}

func (a *attempt) write(ctx context.Context) (fleet.Observation, error) {
	ctx = remote.WithCounter(remote.WithClass(ctx, remote.ClassRollout), &a.counter)
	ctx = remote.WithGate(ctx, func(ctx context.Context) error {
		return a.gate.MayWrite(ctx, a.spec.ID)
	})
	answer, err := a.send(ctx)
	if err == nil {
		a.writes++
	} else if v, _ := judge(err, true); v == verdictDoubt {
		a.writes++
	}
	return answer, err
}

// send makes the one call that changes something.
func (a *attempt) send(ctx context.Context) (fleet.Observation, error) {
	if a.spec.Action == fleet.ActionDisable {
		got, err := a.acc.API.Disable(ctx, a.t.UnitID, a.spec.SkillID, a.spec.Stage)
		return a.observed(got, err, true)
	}
	p := residential.EnableParams{UnitID: a.t.UnitID, SkillID: a.spec.SkillID, Stage: a.spec.Stage}
	if a.acc.Link.Mode == fleet.LinkCodes {
		p.Link = a.link
	}
	got, err := a.acc.API.Enable(ctx, p)
	return a.observed(got, err, true)
}

// link gets the code of one send, when its slot is there: a code spoils. One that was
// sent is not used again, also where the request was refused: it waits, and the code
// would with it.
func (a *attempt) link(ctx context.Context) (residential.AccountLink, error) {
	if err := a.gate.MayWrite(ctx, a.spec.ID); err != nil { // a code is not asked for in vain
		return residential.AccountLink{}, err
	}
	code, err := a.acc.mintCode(ctx, a.t.UnitID, a.spec.SkillID)
	return residential.AccountLink{RedirectURI: a.acc.Link.RedirectURI, AuthCode: code}, err
}

// observed is an answer as it is kept. ours: a write of ours came before it, so that
// an enablement whose stage the answer leaves out is at the stage that was asked for.
// Another rollout, for another stage, must not take it for its own.
func (a *attempt) observed(got residential.Result, err error, ours bool) (fleet.Observation, error) {
	var apiErr *remote.Error
	switch {
	case err == nil:
		a.requestID = got.RequestID
	case errors.As(err, &apiErr) && apiErr.RequestID != "":
		a.requestID = apiErr.RequestID
	}
	a.lastErr = err
	if ours && got.Stage == "" && got.Status != fleet.StatusAbsent && a.spec.Action == fleet.ActionEnable {
		got.Stage = a.spec.Stage
	}
	return fleet.Observation{Status: got.Status, Stage: got.Stage, AccountLink: got.AccountLink, ObservedAt: got.At.UTC()}, err
}

// readFailed says what follows a read that gave no answer.
func (a *attempt) readFailed(err error) store.TargetRecord {
	v, reason := judge(err, false)
	switch v {
	case verdictHold:
		return a.held(err)
	case verdictFail, verdictLookup, verdictConfirm:
		if a.inDoubt && reason != fleet.ReasonForbidden && reason != fleet.ReasonUnauthorized {
			break // what was written must still be seen
		}
		return a.failed(reason, message(err))
	case verdictRetry, verdictDoubt:
	}
	a.attempts++
	if a.inDoubt || !a.verifyBy.IsZero() { // only the deadline ends it
		if a.overdue() {
			return a.failed(fleet.ReasonVerifyTimeout, "not seen before the deadline: "+message(err))
		}
		next := a.now().Add(rollout.Backoff(a.attempts, rand.Float64()))
		return a.record(fleet.TargetVerifying, earlier(next, a.verifyBy))
	}
	if a.attempts >= maxAttempts {
		return a.failed(reason, message(err))
	}
	return a.record(fleet.TargetQueued, a.now().Add(rollout.Backoff(a.attempts, rand.Float64())))
}

// writeFailed says what follows a write that ended badly.
func (a *attempt) writeFailed(ctx context.Context, err error) store.TargetRecord {
	if codeErr, ok := errors.AsType[*codeError](err); ok {
		if a.attempts++; codeErr.refused || a.attempts >= maxAttempts {
			return a.failed(fleet.ReasonAccountLinkFailed, message(err))
		}
		return a.record(fleet.TargetQueued, a.now().Add(rollout.Backoff(a.attempts, rand.Float64())))
	}
	v, reason := judge(err, true)
	switch v {
	case verdictHold:
		return a.held(err)
	case verdictDoubt:
		a.inDoubt = true
		a.attempts++
		return a.record(fleet.TargetVerifying, a.now().Add(doubtDelay))
	case verdictRetry:
		if a.attempts++; a.attempts >= maxAttempts {
			return a.failed(reason, message(err))
		}
		return a.record(fleet.TargetQueued, a.now().Add(rollout.Backoff(a.attempts, rand.Float64())))
	case verdictConfirm:
		return a.confirm(ctx, err, reason)
	case verdictLookup:
		if a.spec.Action == fleet.ActionDisable {
			return a.confirm(ctx, err, reason)
		}
		return a.lookup(ctx, err)
	case verdictFail:
	}
	return a.failed(reason, message(err))
}

// confirm reads after a refusal: the home may be as wanted all the same.
func (a *attempt) confirm(ctx context.Context, refusal error, reason fleet.Reason) store.TargetRecord {
	seen, err := a.read(ctx)
	if err != nil {
		if v, _ := judge(err, false); v == verdictHold || v == verdictRetry {
			return a.readFailed(err)
		}
		return a.failed(reason, message(refusal))
	}
	a.saw(seen)
	switch a.look(seen) {
	case sightWanted:
		return a.asWanted()
	case sightPending, sightNoLink:
		return a.verifying(seen)
	case sightOther, sightBroken:
	}
	a.lastErr = refusal
	return a.failed(reason, message(refusal))
}

// lookup tells a missing unit from a missing skill: the unit's own list answers
// only where the unit is there.
func (a *attempt) lookup(ctx context.Context, notFound error) store.TargetRecord {
	ctx = remote.WithCounter(remote.WithClass(ctx, remote.ClassVerify), &a.counter)
	_, err := a.acc.API.Page(ctx, a.t.UnitID, "", residential.ListOpts{PageSize: 1})
	if err == nil {
		return a.failed(fleet.ReasonSkillNotFound, message(notFound))
	}
	if v, _ := judge(err, false); v == verdictHold || v == verdictRetry {
		return a.readFailed(err)
	}
	return a.failed(fleet.ReasonUnitNotFound, message(notFound))
}

// exhausted is the reason of a target whose writes were never done.
func (a *attempt) exhausted() fleet.Reason {
	if a.spec.Action == fleet.ActionEnable {
		return fleet.ReasonEnablingFailed
	}
	return fleet.ReasonServerError
}
