// Package store holds all SQL: what is read and written, in which transaction,
// under which lock. Its exported methods open the transactions; nothing outside
// Postgres is talked to inside one.
//
// Locks are taken in one order everywhere, so that none deadlocks: a rollout's
// row first, by ID, then its targets; then the lock on an account's desired state,
// then rows of that.
package store
