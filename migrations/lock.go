package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// lockKey is any number that no other user of advisory locks in this database
// has: "fleetd" in ASCII.
const lockKey = 0x666c65657464

// lockEvery is how often a waiting process asks for the lock.
const lockEvery = 50 * time.Millisecond

// advisoryLock is goose's session locker. goose brings one of its own, which asks
// every five seconds; this one lets the second process start in a blink. It asks
// again rather than waiting inside Postgres: a waiting statement would hold a
// snapshot, and a step that builds an index concurrently would wait for it.
type advisoryLock struct{}

// SessionLock waits until no other process migrates, or ctx ends.
func (advisoryLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	ticker := time.NewTicker(lockEvery)
	defer ticker.Stop()
	for {
		var locked bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lockKey).Scan(&locked); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another process to finish migrating: %w", context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// SessionUnlock gives the lock back.
func (advisoryLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	var unlocked bool
	if err := conn.QueryRowContext(ctx, `SELECT pg_advisory_unlock($1)`, lockKey).Scan(&unlocked); err != nil {
		return fmt.Errorf("give back the migration lock: %w", err)
	}
	return nil
}
