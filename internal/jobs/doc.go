// Package jobs does the work: the control loop that releases targets to River in
// small helpings, the River worker that brings one target to a proven outcome,
// and what they share in a process (the lease on writing, the accounts at work,
// the grouped claims and records).
//
// The targets table is the backlog and the ledger, River carries a short horizon
// of it. A job carries IDs only; what it finds in the ledger decides, so a job
// that runs twice, late, or for a target that has ended does no harm.
package jobs
