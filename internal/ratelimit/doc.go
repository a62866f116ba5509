// Package ratelimit keeps the budgets: how many requests a second one credential
// of one account may send, over all processes. Nothing reaches a remote API
// without a slot from here (remote.Limiter).
//
// # The row
//
// The truth is one row per budget in Postgres (Row), changed under its lock on
// the database's clock. It is a GCRA: slots lie 1/rate apart, tat is the start of
// the next one, and a process reserves (Reserve) the few it has demand for. A slot
// may be used from its start until the tolerance after it, (burst-1)/rate, and is
// lost after that. Bursts and lateness share that one tolerance, which is why the
// account never sends more than rate*t + burst + 1 requests in any window of t
// seconds, whatever the processes do, and why a crash loses at most the slots of
// its last lease (leaseLength, and the rest of the one before it). The bound is about slots
// handed out and clocks known (clock.go) to within half of the tolerance: what the network delays
// after that can only be left to a little of the tolerance kept back for it. A burst of 1 at
// more than 200/s leaves less tolerance than timers are exact: slots will be lost.
//
// # The process
//
// A Budget is the process's end of a row. Waiters queue by class and only the head
// takes a slot, at the slot's time: a request holds no slot that has not begun, so a
// 429 seen by any worker drops every slot held and stops all of them at once, and
// the row tells the other processes. A request that has to be made ready when its turn has
// come may leave until Slot.SendBy, while Holds: the bound counts on it. Reserved slots that nobody used are given back
// (Refund) when no other process has reserved after them.
//
// golang.org/x/time/rate is not used to spend the slots. Its tokens pile up
// independently of when the reserved slots lie, a rate.Limiter keeps honoring what was
// reserved before SetLimit, and its burst would be a second tolerance on top of the row's:
// both bounds above would no longer hold. The slots' own times are pacing enough.
//
// # Rates
//
// A fixed rate (RateLimit > 0) is sent as given and a 429 only blocks: for
// Retry-After, else for a pause that doubles with jitter. With auto the row learns
// the limit (learn.go): it climbs until refused, then holds just below and probes
// from time to time. A 503 blocks as a 429 does, but teaches only where it names a time to
// wait, or where they are several and more than a few in a hundred: any API has faults.
//
// If the database is away no slot leaves.
package ratelimit
