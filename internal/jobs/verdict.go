package jobs

import (
	"context"
	"errors"
	"net/http"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/ratelimit"
	"fleetd/internal/remote"
)

// verdict is what follows from a request that did not end well.
type verdict int

const (
	// verdictHold: nothing happened and nobody is to blame (pause, budget, stop,
	// credentials). The target goes back and spends no attempt.
	verdictHold verdict = iota
	// verdictDoubt: the write may have been done. Read before anything else.
	verdictDoubt
	// verdictRetry: it was not done, and may be tried again later.
	verdictRetry
	// verdictConfirm: the API refused, perhaps because the home is in the wanted
	// state already. One read decides.
	verdictConfirm
	// verdictLookup: the API found the skill or the unit missing. One look tells which.
	verdictLookup
	// verdictFail: it will not work.
	verdictFail
)

// judge is the one place that says what follows a failed request of an operation,
// and which reason it would fail for in the end. write tells writes from reads.
func judge(err error, write bool) (verdict, fleet.Reason) {
	var unauthorized *lwa.UnauthorizedError
	var token *lwa.TokenError
	var budget *remote.BudgetError
	var apiErr *remote.Error
	var own *fleet.Error
	known := errors.As(err, &apiErr)
	inDoubt := known && apiErr.MaybeSent()
	switch {
	case inDoubt && write:
		return verdictDoubt, reasonOf(apiErr)
	case errors.Is(err, ErrHeld), errors.As(err, &unauthorized), errors.As(err, &token), errors.As(err, &budget),
		errors.Is(err, ratelimit.ErrClosed), errors.Is(err, context.Canceled):
		return verdictHold, ""
	case errors.Is(err, context.DeadlineExceeded) && (!known || apiErr.Status == 0) && !errors.Is(err, remote.ErrTimeout):
		return verdictHold, "" // it waited for a slot all the while
	case errors.As(err, &own) && own.Code == fleet.CodeInvalid, errors.Is(err, remote.ErrBuild): // it never left, and never will
		return verdictFail, fleet.ReasonInvalidRequest
	case !known:
		return verdictRetry, fleet.ReasonTransportError
	case apiErr.Status == http.StatusNotFound && (apiErr.HTML || apiErr.Temporary()): // a page that a proxy made up
		return verdictRetry, fleet.ReasonServerError
	}
	switch apiErr.Status {
	case http.StatusUnauthorized:
		return verdictFail, fleet.ReasonUnauthorized
	case http.StatusForbidden:
		return verdictFail, fleet.ReasonForbidden
	case http.StatusNotFound:
		return verdictLookup, fleet.ReasonUnitNotFound
	case http.StatusTooManyRequests:
		return verdictHold, ""
	case http.StatusConflict, http.StatusBadRequest:
		if write {
			return verdictConfirm, fleet.ReasonInvalidRequest
		}
		return verdictFail, fleet.ReasonInvalidRequest
	case http.StatusServiceUnavailable: // of a read: overload, which is not failure
		return verdictHold, fleet.ReasonServerError
	}
	if apiErr.Temporary() {
		return verdictRetry, reasonOf(apiErr)
	}
	return verdictFail, reasonOf(apiErr)
}

// reasonOf is the reason a target fails for when an error stays.
func reasonOf(err *remote.Error) fleet.Reason {
	switch {
	case err.Status >= http.StatusInternalServerError, err.Status >= http.StatusMultipleChoices && err.Temporary():
		return fleet.ReasonServerError
	case err.Status >= http.StatusMultipleChoices:
		return fleet.ReasonInvalidRequest
	case err.Status >= http.StatusOK: // an answer that could not be read
		return fleet.ReasonServerError
	}
	return fleet.ReasonTransportError
}

// sight is what an observation means for a wanted state.
type sight int

const (
	sightWanted  sight = iota // as wanted
	sightOther                // not as wanted: a write would change it
	sightPending              // on its way, or a status nobody documented: look again
	sightBroken               // the API gave up: ENABLING_FAILED
	sightNoLink               // enabled, and the account is not linked (yet)
)

// look says what an observation means for what a rollout wants. An answer may leave
// the stage out: it then counts as the wanted one, for the other reading would write
// again and again to a home that never shows more. store's pickSQL has the same idea
// of wanted; a test holds the two together.
func look(action fleet.Action, stage fleet.Stage, mode fleet.LinkMode, o fleet.Observation) sight {
	if action == fleet.ActionDisable {
		return lookDisable(stage, o)
	}
	switch o.Status {
	case fleet.StatusAbsent, fleet.StatusNoAssociation, fleet.StatusDisabled, fleet.StatusDisablingFailed:
		return sightOther
	case fleet.StatusEnabled:
		switch {
		case !at(stage, o):
			return sightOther
		case mode == fleet.LinkNone || o.AccountLink == "" || o.AccountLink == fleet.Linked:
			return sightWanted
		}
		return sightNoLink
	case fleet.StatusEnablingFailed:
		return sightBroken
	case fleet.StatusEnabling, fleet.StatusDisabling:
	}
	return sightPending
}

// lookDisable: whatever else a home shows than gone or going, a write may mend.
func lookDisable(stage fleet.Stage, o fleet.Observation) sight {
	switch o.Status {
	case fleet.StatusAbsent, fleet.StatusNoAssociation, fleet.StatusDisabled:
		return sightWanted
	case fleet.StatusDisabling:
		return sightPending
	case fleet.StatusEnabled:
		if !at(stage, o) {
			return sightWanted // another stage is enabled, and one at a time is
		}
	case fleet.StatusEnabling, fleet.StatusEnablingFailed, fleet.StatusDisablingFailed:
	}
	return sightOther
}

// coming reports whether a home was last seen on its way to what is wanted.
func coming(action fleet.Action, stage fleet.Stage, o fleet.Observation) bool {
	if action == fleet.ActionDisable {
		return o.Status == fleet.StatusDisabling
	}
	return o.Status == fleet.StatusEnabling && at(stage, o)
}

// at reports whether an enablement is at a stage, as far as its answer said.
func at(stage fleet.Stage, o fleet.Observation) bool { return o.Stage == stage || o.Stage == "" }
