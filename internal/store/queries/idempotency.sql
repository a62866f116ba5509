-- name: IdempotencyClaim :execrows
INSERT INTO idempotency_keys (
    actor,
    key,
    request_hash,
    object
) VALUES (
    @actor,
    @key,
    @request_hash,
    ''
)
ON CONFLICT (actor, key) DO NOTHING;

-- name: IdempotencyGet :one
SELECT
    request_hash,
    object
FROM idempotency_keys
WHERE actor = @actor
    AND key = @key;

-- name: IdempotencyKeep :exec
UPDATE idempotency_keys
SET object = @object
WHERE actor = @actor
    AND key = @key;

-- A few at a time, the oldest first; what another process is deleting is its business.
-- name: IdempotencyForget :execrows
WITH old AS (
    SELECT
        actor,
        key
    FROM idempotency_keys
    WHERE created_at < now() - make_interval(secs => @age_seconds::double precision)
    ORDER BY created_at
    LIMIT @max_rows
    FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys
USING old
WHERE idempotency_keys.actor = old.actor
    AND idempotency_keys.key = old.key;

-- name: IdempotencyRelease :exec
DELETE FROM idempotency_keys
WHERE actor = @actor
    AND key = @key
    AND object = @begun;
