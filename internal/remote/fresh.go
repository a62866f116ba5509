package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// freshFor is how long a payload may wait for a slot before it is made anew.
	freshFor = 2 * time.Second
	// passWait is how long a request that is ready waits to be passed a slot before it
	// takes one: as long as others come to their turn, one is passed on within that.
	passWait = 250 * time.Millisecond
)

// freshener makes bodies when the turn of their requests has come.
//
// That takes time, a call to a code server perhaps, and a slot is soon over: sent later
// it would be one too many in somebody's second, so the request takes another one. A slot
// lost with every request would halve the budget. So one whose turn has come first passes
// its slot on, if another stands by that is ready and has none; its own turn to be passed
// one comes when it is ready itself. In a steady stream each slot carries one request and
// starts the making of another, and none is lost but the first few.
type freshener struct {
	limiter Limiter
	holds   func(Slot) bool
	passed  chan Slot // taken only by those that stand by
}

func newFreshener(limiter Limiter) *freshener {
	f := &freshener{limiter: limiter, holds: func(Slot) bool { return true }, passed: make(chan Slot)}
	if l, ok := limiter.(interface{ Holds(Slot) bool }); ok {
		f.holds = l.Holds
	}
	return f
}

// prepare gives the request its body, and the slot it may leave with. Without an error
// the slot is that of the caller; with one there is none left to report on.
func (f *freshener) prepare(req *http.Request, slot Slot) (*http.Request, Slot, error) {
	ctx, k := req.Context(), callFrom(req.Context())
	mine := true
	select {
	case f.passed <- slot:
		mine = false
	default:
	}
	for {
		out, err := k.freshen(req)
		if err != nil {
			if mine {
				f.lose(ctx, slot)
			}
			return nil, Slot{}, err
		}
		made := time.Now()
		if mine {
			if f.holds(slot) {
				return out, slot, nil
			}
			f.lose(ctx, slot)
		}
		if slot, err = f.next(ctx, k.class); err != nil {
			return nil, Slot{}, err
		}
		if time.Since(made) <= freshFor {
			return out, slot, nil
		}
		mine = true
	}
}

// next waits for the slot of a request that is ready. It goes before those whose turn is
// still to come: what it carries spoils.
func (f *freshener) next(ctx context.Context, class Class) (Slot, error) {
	wait := time.NewTimer(passWait)
	defer wait.Stop()
	select {
	case slot := <-f.passed:
		return slot, nil
	case <-ctx.Done():
		return Slot{}, &attemptError{err: fmt.Errorf("wait for a slot of the budget: %w", ctx.Err())}
	case <-wait.C:
	}
	return takeSlot(ctx, f.limiter, min(class, ClassVerify))
}

func (f *freshener) lose(ctx context.Context, slot Slot) {
	f.limiter.Done(context.WithoutCancel(ctx), slot, Answer{})
}

// freshen gives the request a new body.
func (k *call) freshen(req *http.Request) (*http.Request, error) {
	payload, err := k.req.Fresh(req.Context())
	if err != nil {
		return nil, &attemptError{err: err, refused: true}
	}
	b, err := json.Marshal(payload.Body)
	if err != nil {
		return nil, &attemptError{err: fmt.Errorf("%w: encode the body: %w", ErrBuild, err), refused: true}
	}
	k.req.Secrets = append(k.req.Secrets, payload.Secrets...)
	out := req.WithContext(req.Context())
	out.ContentLength = int64(len(b))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	out.Body, _ = out.GetBody()
	return out, nil
}
