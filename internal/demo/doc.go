// Package demo tells the whole story of fleetd on one machine with nothing to
// configure: a private Postgres, a simulated API that is slow to allow and quick to
// fail, 2,000 homes, a plan, a rollout in waves, a kill -9 of the worker half-way;
// homes of two properties that change behind fleetd's back, an audit that finds each
// of them and says why, a repair, a second audit that is clean; and a closing table
// in which every recorded outcome and every finding is checked against the truth.
//
// Three things run beside this process or in it, and end with it:
//
//   - Postgres (internal/postgres), started here and not by the worker, so that
//     killing the worker leaves the ledger up;
//   - the simulator (internal/simulator), in this process, on a free loopback port;
//   - the worker: `fleetd serve` as a child process, so that kill -9 is a real one.
//
// Everything else goes the way an operator's commands go, through the HTTP API; each
// step prints the fleetctl command that does the same. The files of a run (database,
// key, CSV, the worker's log) are in a temporary folder that is removed at the end;
// when a step fails the log stays, and the error says where.
//
// Files: demo.go runs the steps, world.go builds what they need, worker.go is the
// child process; story.go, drift.go, audit.go and repair.go are the steps, watch.go
// and crash.go follow what goes on; check.go compares (pure), report.go and verdict.go
// print the table, display.go and print.go talk.
package demo
