// Package fleet holds the words of the domain: identifiers, stages, states,
// reasons, selectors and errors that carry a code. Every other package speaks
// them and this one imports only the standard library.
//
// The sets of states and reasons are closed: they are stored as text, used as
// metric labels and printed to people, the same everywhere. docs/architecture.md
// says who moves a target from one to the next.
package fleet
