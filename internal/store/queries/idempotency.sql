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
