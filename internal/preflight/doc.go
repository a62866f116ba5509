// Package preflight says, before a rollout writes anything, what its skill stands in the
// way of: a skill that is hidden, broken, at no such stage or not enabled for its own
// developer fails in every home.
//
// Everything here is pure: no clock, no network, no database. The caller brings what is
// known (Facts), and of what is not known why; Judge answers with every check of a closed
// list, each of which passes, warns, fails or was not checked. What is not known is never
// a failure: a developer API that is away must not keep a fleet from its work.
//
// The rule of actions: what makes enabling fail in every home fails the check of an
// enable. A disable is how one gets out of trouble, so no check ever fails one; it warns.
package preflight
