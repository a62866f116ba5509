package ratelimit

import (
	"context"
	"log/slog"
	"time"

	"fleetd/internal/remote"
)

const (
	// updateGap is the least time between two updates of the row under demand.
	updateGap = 20 * time.Millisecond
	// lead is how long before the slots held run out the next are reserved.
	lead = 50 * time.Millisecond
	// lookAgain is how often a process that waits reads the row at least: a block may
	// have been lifted and the notice lost.
	lookAgain = time.Second
	// usageAhead is for how long slots are prefetched at the pace of late.
	usageAhead = 100 * time.Millisecond
	// updateTimeout gives up on a database that does not answer.
	updateTimeout = 5 * time.Second

	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// pace hands out slots to waiters when their time has come. A slot that is due when asked
// for does not pass through it.
func (b *Budget) pace() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		b.mu.Lock()
		now := time.Now()
		b.armed, b.pacing = time.Time{}, true
		b.step(now)
		next := b.armed
		b.pacing = false
		b.mu.Unlock()
		if !next.IsZero() {
			timer.Reset(next.Sub(now))
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-b.wake:
		case <-b.ctx.Done():
			return
		}
	}
}

// step does what is due at now: hands out slots, updates the row; and sees to it that the
// pacer wakes for what comes next.
func (b *Budget) step(now time.Time) {
	if b.closed {
		return
	}
	for b.queue.len() > 0 && !b.blockedUntil.After(now) {
		t, ok := b.held.take(now)
		if !ok {
			break
		}
		w := b.queue.pop()
		w.slot, w.expires = remote.Slot{SentAt: now, SendBy: t.sendBy}, t.expires
		b.spent++
		close(w.ready)
	}
	b.plan(now, false)
	if at, ok := b.held.head(); ok && b.queue.len() > 0 {
		b.arm(latest(at, b.blockedUntil))
	}
}

// arm has the pacer wake at the given time or earlier.
func (b *Budget) arm(at time.Time) {
	if !b.armed.IsZero() && !at.Before(b.armed) {
		return
	}
	b.armed = at
	if b.pacing {
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// plan updates the row if that is due, or arms the pacer for when it will be. active is
// true when a slot was just asked for.
func (b *Budget) plan(now time.Time, active bool) {
	if b.updating || b.closed {
		return
	}
	at := b.retryAt
	if len(b.refusals) == 0 && !b.stale {
		due, wanted := b.shortOf(now, active)
		if !wanted {
			return
		}
		at = latest(at, due, b.notBefore)
	}
	if at.After(now) {
		b.arm(at)
		return
	}
	b.updating = true
	b.due <- b.newUpdate(now) // never blocks: one update at a time, and room for it
}

// keepRow carries out the updates, apart from the pacer: slots held go on being handed
// out while the next are reserved.
func (b *Budget) keepRow() {
	for {
		select {
		case u := <-b.due:
			b.run(u)
		case <-b.ctx.Done():
			return
		}
	}
}

// shortOf says whether slots must be reserved, and from when on.
func (b *Budget) shortOf(now time.Time, active bool) (due time.Time, wanted bool) {
	b.held.expire(now)
	waiting, have := b.queue.len(), b.held.count()
	switch {
	case waiting > have:
		return b.held.last().Add(-lead), true
	case active && prefetch(b.usage) > 0 && float64(have-waiting) < b.usage*updateGap.Seconds():
		return now, true
	}
	return now, false
}

// prefetch is how many slots to hold beyond those waited for: none for the odd request.
func prefetch(usage float64) int { return int(usage * usageAhead.Seconds()) }

// update is one change of the row, fixed when it begins, so that it can be repeated.
type update struct {
	generation int
	demand     Demand
	refusals   []refusal
	told       []Refusal
	success    time.Time // database's clock; zero: none
	unused     Unused    // to be given back; zero: nothing
	asked      int
	overloads  int
	jitter     float64

	grant   Grant
	refused bool // a refusal was news
}

func (b *Budget) newUpdate(now time.Time) *update {
	elapsed := max(now.Sub(b.began), updateGap)
	lately := float64(b.spent) / elapsed.Seconds()
	if elapsed < time.Second {
		lately = max(lately, b.usage/2)
	}
	b.usage, b.spent, b.began = lately, 0, now

	waiting, have := b.queue.len(), b.held.count()
	u := &update{
		generation: b.generation, refusals: b.refusals, asked: b.asked, overloads: b.overloads, jitter: b.jitter(),
		demand: Demand{
			Waiting:  max(waiting-have, 0),
			Prefetch: max(prefetch(b.usage)-max(have-waiting, 0), 0),
		},
	}
	if u.demand.Waiting > 0 {
		// Those that wait now will not be the last: at the pace of late, more come.
		u.demand.Waiting = max(u.demand.Waiting, prefetch(b.usage))
	}
	if u.demand != (Demand{}) {
		b.notBefore = now.Add(updateGap)
	}
	b.refusals, b.asked, b.overloads, b.stale = nil, 0, 0, false
	if b.clock.ready() {
		for _, r := range u.refusals {
			told := Refusal{SentAt: b.clock.toRemote(r.sentAt), SeenAt: b.seen, Overload: r.overload}
			if !r.until.IsZero() {
				told.Until = b.clock.toRemote(r.until)
			}
			u.told = append(u.told, told)
		}
		if !b.success.IsZero() {
			u.success = b.clock.toRemote(b.success)
		}
	}
	if b.newest != nil && have == 0 {
		u.unused = b.newest.unused()
	}
	return u
}

// change applies the update to the row.
func (u *update) change(row *Row, now time.Time) {
	u.grant, u.refused = Grant{}, false
	Refund(row, u.unused)
	if !u.success.IsZero() {
		Succeeded(row, u.success)
	}
	Count(row, now, u.asked, u.overloads)
	for _, r := range u.told {
		u.refused = Throttle(row, now, r, u.jitter) || u.refused
	}
	Advance(row, now, u.demand.Waiting > 0, u.jitter)
	u.grant = Reserve(row, now, u.demand)
}

// run carries an update out and takes in what came of it.
func (b *Budget) run(u *update) {
	ctx, cancel := context.WithTimeout(b.ctx, updateTimeout)
	defer cancel()
	before := time.Now()
	row, remoteNow, err := b.store.Update(ctx, u.change)
	after := time.Now()

	b.mu.Lock()
	defer b.mu.Unlock()
	b.updating = false
	if b.closed {
		return
	}
	if err != nil {
		b.failed(u, after, err)
	} else {
		b.succeeded(u, before, after, row, remoteNow)
	}
	b.step(after)
}

func (b *Budget) failed(u *update, now time.Time, err error) {
	pause := min(firstRetry<<min(b.failures, 10), lastRetry)
	b.retryAt = now.Add(pause/2 + time.Duration(b.jitter()*float64(pause/2)))
	b.failures++
	if b.lastErr == nil {
		b.logger.LogAttrs(b.ctx, slog.LevelWarn, "budget row not updated: no request leaves until it is",
			slog.String("account", b.account), slog.Any("error", err))
	}
	b.lastErr = err
	b.refusals = append(u.refusals, b.refusals...)
	b.asked, b.overloads = b.asked+u.asked, b.overloads+u.overloads
	b.stale = true // whether it was committed is not known
	b.newest = nil
}

func (b *Budget) succeeded(u *update, before, after time.Time, row Row, remoteNow time.Time) {
	if b.lastErr != nil {
		b.logger.LogAttrs(b.ctx, slog.LevelInfo, "budget row updated again",
			slog.String("account", b.account), slog.Int("failures", b.failures))
	}
	b.failures, b.lastErr, b.retryAt = 0, nil, time.Time{}
	b.clock.observe(before, after, remoteNow)
	b.seen = remoteNow
	b.rate = row.Rate
	b.metrics.sends(row.Rate)

	// A refusal that came meanwhile is not in the row yet, so its block only grows.
	if u.generation == b.generation {
		b.blockedUntil = time.Time{}
	}
	if !row.BlockedUntil.IsZero() {
		b.block(b.clock.toLocal(row.BlockedUntil))
	}
	b.tell(after, row, u.refused)

	g := u.grant
	if g.N == 0 {
		if g.Retry > 0 {
			b.notBefore = latest(b.notBefore, after.Add(min(g.Retry, lookAgain)))
		}
		return
	}
	b.newest = g.lease(&b.clock)
	if u.generation == b.generation {
		b.held.add(b.newest)
	}
}
