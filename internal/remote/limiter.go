package remote

import (
	"context"
	"fmt"
	"time"
)

// Limiter is the budget of one account: every request takes a slot from it or
// does not leave. Where it also has the method Holds(Slot) bool, a request that took
// time to make ready after its slot was taken asks whether the slot is still good.
type Limiter interface {
	// Take waits for a slot and returns it. It returns a *BudgetError at once
	// when the account is blocked beyond ctx's deadline, and ctx's error when ctx
	// ends first.
	Take(ctx context.Context, class Class) (Slot, error)
	// Done tells the budget how the API answered the request that used the slot.
	// It is called once for each slot taken; a request that did not leave, or
	// that got no answer, reports the zero Answer. ctx is not canceled when the
	// caller's is: a refusal must reach the budget.
	Done(ctx context.Context, s Slot, a Answer)
}

// Slot is leave for one request.
type Slot struct {
	SentAt time.Time // local clock, when the slot was handed out
	SendBy time.Time // local clock, when the request must have left
}

// Answer is what a budget learns from one request.
type Answer struct {
	// Throttled is true for 429 and for 503: the API wants less.
	Throttled bool
	// Overload is true for a 503: the API may have been at fault rather than asked
	// for too much.
	Overload bool
	// RetryAfter is how long the API asked to wait, more than zero and at most
	// MaxRetryAfter; it stands only where HasRetryAfter is true.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// Success is true when the API let the request in: any status below 500
	// other than 429, for a 404 spends the budget as a 200 does.
	Success bool
}

// BudgetError says that no slot comes before the caller's deadline: the account
// was refused and its budget is closed until Until. Nothing was sent.
type BudgetError struct {
	Until time.Time
}

// Error says until when the budget is closed.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("the account's budget is closed until %s, after the API refused requests: try again then",
		e.Until.UTC().Format(time.RFC3339))
}

// Temporary is true: the same request may go later.
func (e *BudgetError) Temporary() bool { return true }

// TokenSource gives the access tokens of one account. Where it also has the
// method Current() string, the token is asked once more, without waiting, after
// the slot was taken: the wait for a slot may outlive a token.
type TokenSource interface {
	// Token returns a valid access token, waiting for a refresh where need be.
	Token(ctx context.Context) (string, error)
	// Refresh is asked after a 401 with the token rejected, and returns a newer
	// one. Any number of callers cause at most one refresh.
	Refresh(ctx context.Context, rejected string) (string, error)
}
