// Package schedule says when something that comes every so often is due: pure,
// with the time given, over the cron syntax of robfig/cron.
//
// A slot is a minute on the wall clock of the schedule's time zone, kept as a
// time.Time in UTC that shows the same digits. So a local night is one slot
// whatever daylight saving time does to it: a slot that the clocks jump over is
// due at the first instant after the jump, and one that the clocks show twice is
// due the first time. Whoever takes a slot writes it down; the next one is later on
// the wall clock, so no slot is taken twice, and of those that were missed only
// the latest is caught up.
package schedule
