// Package drift says how a unit differs from what should be on it, since when,
// why, and what would put it right.
//
// Everything here is pure: no clock, no database, no randomness. An audit shows
// it one complete list of a unit (View) and gets back the differences
// (Compare); the findings on record and the differences say which findings
// open, persist and resolve (Settle); what our own records know of the pair says
// why (Cause); and a finding says what a repair of it does (Action).
//
// The promises that rest on this package are "no false drift" and "nothing is
// called in sync unseen": what cannot be told makes the whole unit unknown, and an
// unknown unit opens and resolves nothing.
package drift
