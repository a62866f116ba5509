-- name: ProcessRegister :one
INSERT INTO processes (name) VALUES (@name)
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
