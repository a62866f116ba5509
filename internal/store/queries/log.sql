-- name: LogInsert :exec
INSERT INTO log_entries (
    actor,
    role,
    action,
    object,
    reason,
    detail
) VALUES (
    @actor,
    @role,
    @action,
    @object,
    @reason,
    @detail
);

-- name: LogList :many
SELECT *
FROM log_entries
WHERE (@actor::text = '' OR actor = @actor::text)
    AND (@action::text = '' OR action = @action::text)
    AND (@object::text = '' OR object = @object::text)
    AND (@before::bigint = 0 OR id < @before::bigint)
ORDER BY id DESC
LIMIT @max_rows;
