package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"fleetd/internal/remote"
)

// ErrClosed is what Take returns once the Budget is closed.
var ErrClosed = errors.New("the budget is closed: the process is shutting down")

// pauseUntilKnown blocks the process after a refusal until the row says for how long.
const pauseUntilKnown = firstPause / 2

// Store keeps the row of one budget.
type Store interface {
	// Update locks the row, gives it to change with the database's clock as read under
	// the lock (clock_timestamp, not the start of the transaction), writes what
	// changed, if anything, and returns the row and the clock once that is committed. change
	// may be called again with a fresh row when a transaction is repeated.
	Update(ctx context.Context, change func(row *Row, now time.Time)) (Row, time.Time, error)
}

// Config is what a Budget is made from.
type Config struct {
	Store   Store          // the row; required
	Account string         // the account's name, for logs and metrics
	Metrics *Metrics       // nil: none
	Logger  *slog.Logger   // nil: silent
	Jitter  func() float64 // in [0, 1); nil: math/rand. Tests set it
}

// Budget is one process's end of a budget row: the remote.Limiter of every client of
// one credential. It is safe for concurrent use and must be closed.
type Budget struct {
	store   Store
	account string
	logger  *slog.Logger
	jitter  func() float64
	metrics budgetMetrics

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // tells the pacer that armed is too late
	due    chan *update  // to be carried out by keepRow

	mu     sync.Mutex
	closed bool
	armed  time.Time // when the pacer wakes; zero: when told
	pacing bool      // the pacer is at work: it need not be woken
	queue  queue
	held   held
	newest *lease // the last lease granted, for the refund; nil: unknown
	clock  clock

	rate         float64   // of the row when last seen
	blockedUntil time.Time // end of the last block, process's clock; zero: never blocked
	voided       time.Time // when slots were last taken back, process's clock
	seen         time.Time // database's clock when the row was last seen
	success      time.Time // when the last request left that was let in, process's clock
	refusals     []refusal // not yet told to the row
	asked        int       // requests answered, not yet told to the row
	overloads    int       // of those, with 503
	notice       notice
	spent        int     // slots handed out since the last update began
	usage        float64 // slots handed out a second, lately

	updating   bool      // an update of the row is on its way
	stale      bool      // the row must be read again, demand or not
	generation int       // counts what makes slots granted on the way void
	began      time.Time // when the last update began
	notBefore  time.Time // the next update, unless urgent
	retryAt    time.Time // the next update after a failed one
	failures   int       // failed updates in a row
	lastErr    error     // why the last update failed; nil: it did not
}

var _ remote.Limiter = (*Budget)(nil)

// New starts a Budget over a row. It reads the row once at once, and then only while there
// is demand.
func New(cfg Config) *Budget {
	b := &Budget{
		store: cfg.Store, account: cfg.Account, logger: cfg.Logger, jitter: cfg.Jitter,
		metrics: cfg.Metrics.of(cfg.Account),
		wake:    make(chan struct{}, 1),
		due:     make(chan *update, 1),
		stale:   true,
	}
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	if b.jitter == nil {
		b.jitter = rand.Float64
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.wg.Go(b.pace)
	b.wg.Go(b.keepRow)
	return b
}

// Close ends the Budget: callers waiting in Take get ErrClosed. It returns when nothing of
// the Budget runs anymore.
func (b *Budget) Close() {
	b.mu.Lock()
	b.closed = true
	b.held.drop()
	b.fail(b.queue.drain(func(*waiter) bool { return true }), ErrClosed)
	b.mu.Unlock()
	b.cancel()
	b.wg.Wait()
}

// Take waits for a slot and hands it out. Waiters are served in order within their class.
func (b *Budget) Take(ctx context.Context, class remote.Class) (remote.Slot, error) {
	if err := ctx.Err(); err != nil {
		return remote.Slot{}, err
	}
	if class < 0 || int(class) >= classes {
		class = remote.ClassAudit
	}
	deadline, _ := ctx.Deadline()

	b.mu.Lock()
	now := time.Now()
	if b.closed {
		b.mu.Unlock()
		return remote.Slot{}, ErrClosed
	}
	if b.blockedUntil.After(now) && !deadline.IsZero() && b.blockedUntil.After(deadline) {
		until := b.blockedUntil
		b.mu.Unlock()
		return remote.Slot{}, &remote.BudgetError{Until: until}
	}
	if b.queue.len() == 0 {
		if t, ok := b.held.take(now); ok {
			b.spent++
			b.plan(now, true)
			b.mu.Unlock()
			b.metrics.waited(class, 0)
			return remote.Slot{SentAt: now, SendBy: t.sendBy}, nil
		}
	}
	w := &waiter{class: class, begun: remote.Begun(ctx), since: now, deadline: deadline, ready: make(chan struct{})}
	b.queue.push(w)
	b.step(now)
	b.mu.Unlock()

	select {
	case <-w.ready:
		return b.taken(w)
	case <-ctx.Done():
		return remote.Slot{}, b.leave(w, ctx.Err())
	}
}

func (b *Budget) taken(w *waiter) (remote.Slot, error) {
	if w.err != nil {
		return remote.Slot{}, w.err
	}
	b.metrics.waited(w.class, w.slot.SentAt.Sub(w.since))
	return w.slot, nil
}

// leave takes a waiter out whose caller has gone. A slot that reached it meanwhile goes
// to the next one.
func (b *Budget) leave(w *waiter, cause error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case w.elem != nil:
		b.queue.remove(w)
	case w.err == nil && !now.After(w.expires) && !w.slot.SentAt.Before(b.blockedUntil):
		b.spent--
		b.held.putBack(now, w.expires)
		b.step(now)
	}
	if b.lastErr != nil {
		return fmt.Errorf("wait for a slot of the budget, whose row in the database cannot be updated (%w): %w", b.lastErr, cause)
	}
	return cause
}

// Holds says whether a slot that was handed out a while ago is still leave to send: its time
// is not over, and nothing was heard since that took slots back.
func (b *Budget) Holds(s remote.Slot) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.closed && !time.Now().After(s.SendBy) && s.SentAt.After(b.voided) && !s.SentAt.Before(b.blockedUntil)
}

// Done takes in how the API answered. A refusal stops this process before Done
// returns, and the others as soon as the row is updated.
func (b *Budget) Done(_ context.Context, s remote.Slot, a remote.Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
	case a.Throttled:
		b.asked++
		if a.Overload {
			b.overloads++
		}
		b.refuse(s.SentAt, a)
	case a.Success:
		b.asked++
		if s.SentAt.After(b.success) {
			b.success = s.SentAt
		}
	}
}

// refusal is a Refusal in the process's own time.
type refusal struct {
	sentAt   time.Time
	until    time.Time // zero: no Retry-After
	overload bool
}

func (b *Budget) refuse(sentAt time.Time, a remote.Answer) {
	now := time.Now()
	r := refusal{sentAt: sentAt, overload: a.Overload}
	if a.HasRetryAfter && a.RetryAfter > 0 {
		r.until = now.Add(min(a.RetryAfter, maxRetry))
	}
	if sentAt.Before(b.blockedUntil) && !r.until.After(b.blockedUntil) {
		return // the burst of a refusal that is known already
	}
	until := now.Add(pauseUntilKnown)
	if r.until.After(now) {
		until = r.until
	}
	b.refusals = append(b.refusals, r)
	b.void()
	b.block(until)
	b.step(now)
}

// void drops every slot held, on its way, or handed out and not sent yet.
func (b *Budget) void() {
	b.held.drop()
	b.generation++
	b.voided = time.Now()
}

// block keeps slots back until the given time, or longer if that is known already, and
// turns away who cannot wait for it.
func (b *Budget) block(until time.Time) {
	if until.After(b.blockedUntil) {
		b.blockedUntil = until
	}
	end := b.blockedUntil
	b.fail(b.queue.drain(func(w *waiter) bool {
		return !w.deadline.IsZero() && w.deadline.Before(end)
	}), &remote.BudgetError{Until: end})
}

func (b *Budget) fail(waiters []*waiter, err error) {
	for _, w := range waiters {
		w.err = err
		close(w.ready)
	}
}

// Invalidate drops the slots held and reads the row again: another process was
// refused, or the operator changed the budget.
func (b *Budget) Invalidate() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.void()
	b.stale = true
	b.step(time.Now())
}

// Rate is the requests a second the row allowed when last seen, over all processes; 0
// before that.
func (b *Budget) Rate() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}

// BlockedUntil is when the API may be asked again, on the process's clock; zero when
// the budget is not blocked.
func (b *Budget) BlockedUntil() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.blockedUntil.After(time.Now()) {
		return time.Time{}
	}
	return b.blockedUntil
}
