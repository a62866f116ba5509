package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// orphanEvents are events with something left to be done that no River job will do, nor
// is doing in a process that lives. One statement sees events and jobs as of one moment,
// and an event gets its job, and its end before the job's, in a transaction: what is
// found has lost its job.
const orphanEvents = `-- name: EventOrphans :many
SELECT id
FROM events
WHERE disposition IN ('received', 'acting')
    AND id NOT IN (
        SELECT (args ->> 'event_id')::bigint
        FROM river_job
        WHERE kind = 'event' AND ` + jobLives + `
    )
ORDER BY id
LIMIT $1
FOR UPDATE SKIP LOCKED`

// AdoptEvents gives a job to events whose own died with its process or is gone, limit
// at most, and returns how many there were. One that is taken wrongly all the same has
// two jobs, and acts once.
func (s *Store) AdoptEvents(ctx context.Context, limit int, enqueue EventEnqueue) (int, error) {
	n := 0
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, orphanEvents, limit)
		if err != nil {
			return fmt.Errorf("look for orphaned events: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return fmt.Errorf("look for orphaned events: %w", err)
		}
		for _, id := range ids {
			if err := enqueue(ctx, tx, id); err != nil {
				return err
			}
		}
		n = len(ids)
		return nil
	})
	return n, err
}
