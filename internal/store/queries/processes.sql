-- name: ProcessRegister :one
INSERT INTO processes (name, place, pid, pid_started)
VALUES (@name, @place, @pid, @pid_started)
ON CONFLICT (name) DO UPDATE SET seen_at = now()
RETURNING id;

-- name: ProcessSeen :execrows
UPDATE processes
SET seen_at = now()
WHERE id = @id;

-- name: ProcessDelete :exec
DELETE FROM processes
WHERE id = @id;

-- name: ProcessDeleteDead :exec
DELETE FROM processes
WHERE seen_at < now() - interval '1 hour';

-- name: ProcessCountLive :one
SELECT count(*)::int
FROM processes
WHERE seen_at >= now() - interval '10 seconds';

-- name: ProcessNeighbors :many
-- The other processes of one place.
SELECT
    id,
    pid,
    pid_started
FROM processes
WHERE place = @place
    AND id <> @id;
