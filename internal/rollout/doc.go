// Package rollout decides what a rollout does next: how it is cut into waves,
// what it costs, how many targets may be released now, when it halts, waits and
// ends, and how long a target waits before it is tried or read again.
//
// Everything here is pure: no clock, no database, no randomness. The caller
// takes a snapshot under its lock, asks, and does what the answer says; the
// snapshot and the answer together are enough to explain any release. Times and
// jitter come in as arguments, so that a test can replay a rollout exactly.
//
// The promises that rest on this package are "failures are bounded" (see Decide)
// and "waves are exact": a wave starts only when nothing of the one before it is
// pending or in flight.
package rollout
