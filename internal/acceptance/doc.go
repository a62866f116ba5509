// Package acceptance holds fleetd to its promises from outside: its tests build
// fleetd and fleetctl, run them as processes of their own against a simulator of
// the remote API on a real Postgres, kill them as kill -9 does, and compare what
// they recorded with the truth. It has no code of its own.
//
// What is measured and how large the fleets are:
//
//	FLEET_ACCEPTANCE_FULL=1  the sizes that the promises name, some minutes in all;
//	                         without it smaller fleets that show the same
//	FLEET_ACCEPTANCE_RACE=1  fleetd and fleetctl with the race detector in them
package acceptance
