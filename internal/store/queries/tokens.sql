-- name: TokenInsert :one
INSERT INTO tokens (
    name,
    role,
    hash,
    expires_at
) VALUES (
    @name,
    @role,
    @hash,
    now() + make_interval(secs => sqlc.narg('ttl_seconds')::double precision)
)
RETURNING *;

-- name: TokenByHash :one
SELECT
    id,
    name,
    role,
    (expires_at IS NOT NULL AND expires_at <= now())::boolean AS expired,
    (revoked_at IS NOT NULL)::boolean AS revoked,
    (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')::boolean AS stale
FROM tokens
WHERE hash = @hash;

-- name: TokenUsed :exec
UPDATE tokens
SET last_used_at = now()
WHERE id = @id
    AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute');

-- name: TokenList :many
SELECT
    sqlc.embed(tokens),
    now()::timestamptz AS now
FROM tokens
WHERE (@all_states::boolean OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())))
    AND (@before::bigint = 0 OR id < @before::bigint)
ORDER BY id DESC
LIMIT @max_rows;

-- name: TokenRevoke :one
UPDATE tokens
SET revoked_at = now()
WHERE name = @name
    AND revoked_at IS NULL
RETURNING *;
