package ratelimit

import "time"

// lease is a granted run of slots in the process's own time.
type lease struct {
	start    time.Time // of slot 0
	interval time.Duration
	life     time.Duration // how long after its start a slot may be handed out
	late     time.Duration // how long after its start its request may leave, if longer
	until    time.Time     // no slot may be used after
	n        int           // slots granted
	next     int           // the first slot neither used nor expired
	used     int           // one more than the last slot used

	origin, end time.Time // on the database's clock: of slot 0, and the row's TAT after it
}

// lease translates a grant. The slots start as late as the clocks may differ, and live that
// much less, within reason: a far database must not end them before they begin.
func (g Grant) lease(c *clock) *lease {
	start := c.toLocal(g.Start)
	return &lease{
		start: start, interval: g.Interval, life: max(g.Life-c.error(), g.Life/2), late: g.Interval - g.Interval/8 - c.error(),
		until: start.Add(g.Until - g.First), n: g.N, origin: g.Start, end: g.End,
	}
}

func (l *lease) at(slot int) time.Time { return l.start.Add(spanOf(slot, l.interval)) }

func (l *lease) left() int { return l.n - l.next }

// expires is when the given slot is lost.
func (l *lease) expires(slot int) time.Time {
	if t := l.at(slot).Add(l.life); t.Before(l.until) {
		return t
	}
	return l.until
}

// sendBy is when the request that was given a slot must have left. Without a burst a slot
// lives for less than an interval, and a request may take a little to be made ready: within
// the interval it is one request too early for nobody, which is the one that the bound has
// above rate and burst.
func (l *lease) sendBy(slot int) time.Time {
	return latest(l.expires(slot), l.at(slot).Add(l.late))
}

// expire steps over the slots that are lost at now.
func (l *lease) expire(now time.Time) {
	if l.left() == 0 || !now.After(l.expires(l.next)) {
		return
	}
	if now.After(l.until) {
		l.next = l.n
		return
	}
	// Slot i is lost when start + i*interval + life < now.
	late := now.Sub(l.start) - l.life
	l.next = min(max(l.next, int((late+l.interval-1)/l.interval)), l.n)
}

// unused is the part that nobody used, for the refund.
func (l *lease) unused() Unused {
	return Unused{From: l.origin.Add(spanOf(l.used, l.interval)), End: l.end, Interval: l.interval}
}

// held is the slots a process has reserved and not yet handed out, in order.
type held struct {
	leases []*lease
}

func (h *held) add(l *lease) {
	if l.left() > 0 {
		h.leases = append(h.leases, l)
	}
}

// putBack returns a slot whose taker has gone, to be the next one handed out.
func (h *held) putBack(now, expires time.Time) {
	back := &lease{start: now, interval: 1, life: expires.Sub(now), until: expires, n: 1}
	h.leases = append([]*lease{back}, h.leases...)
}

func (h *held) drop() { h.leases = nil }

// expire drops what is lost at now.
func (h *held) expire(now time.Time) {
	for len(h.leases) > 0 {
		l := h.leases[0]
		l.expire(now)
		if l.left() > 0 {
			return
		}
		h.leases = h.leases[1:]
	}
}

// count is how many slots are left.
func (h *held) count() int {
	n := 0
	for _, l := range h.leases {
		n += l.left()
	}
	return n
}

// head is when the next slot starts; false when there is none.
func (h *held) head() (time.Time, bool) {
	if len(h.leases) == 0 {
		return time.Time{}, false
	}
	return h.leases[0].at(h.leases[0].next), true
}

// last is when the last slot starts; zero when there is none.
func (h *held) last() time.Time {
	if len(h.leases) == 0 {
		return time.Time{}
	}
	l := h.leases[len(h.leases)-1]
	return l.at(l.n - 1)
}

// taken is what there is to know of a slot that was handed out.
type taken struct {
	expires time.Time // when it would have been lost
	sendBy  time.Time // when its request must have left
}

// take hands out the next slot if it has started.
func (h *held) take(now time.Time) (taken, bool) {
	h.expire(now)
	at, ok := h.head()
	if !ok || at.After(now) {
		return taken{}, false
	}
	l := h.leases[0]
	t := taken{expires: l.expires(l.next), sendBy: l.sendBy(l.next)}
	l.next++
	l.used = l.next
	if l.left() == 0 {
		h.leases = h.leases[1:]
	}
	return t, true
}
