-- name: EventHookSet :one
-- What keeps the hash that is there; raw_hash is the new one, or NULL for none.
INSERT INTO event_hooks (
    account_id,
    topics,
    raw_hash
) VALUES (
    @account_id,
    @topics,
    sqlc.narg('raw_hash')
)
ON CONFLICT (account_id) DO UPDATE
SET
    topics = excluded.topics,
    raw_hash = CASE WHEN @keep::boolean THEN event_hooks.raw_hash ELSE excluded.raw_hash END,
    updated_at = now()
RETURNING *;

-- name: EventHookGet :one
SELECT event_hooks.*
FROM event_hooks
JOIN accounts ON accounts.id = event_hooks.account_id
WHERE accounts.name = @account;

-- name: EventHookDelete :execrows
DELETE FROM event_hooks
WHERE account_id = @account_id;

-- name: EventOrderLock :exec
-- Events are numbered in the order in which they are committed, for those who follow
-- them by number: a number that shows up later than a larger one would be missed.
SELECT pg_advisory_xact_lock(hashtextextended('fleet.event.order', 0));

-- name: EventFirst :one
-- The event that a message or a thing that happened was kept as first. One of the same
-- message comes before one of the same key.
SELECT
    id,
    key,
    message_id
FROM events
WHERE account_id = @account_id
    AND (message_id = @message_id OR (event_key = @event_key AND event_key <> '' AND duplicate_of IS NULL))
ORDER BY message_id = @message_id DESC
LIMIT 1;

-- name: EventTaken :one
SELECT EXISTS (
    SELECT 1
    FROM events
    WHERE account_id = @account_id
        AND message_id = @message_id
);

-- name: EventInsert :one
INSERT INTO events (
    key,
    account_id,
    message_id,
    event_key,
    duplicate_of,
    topic,
    raw_delivery,
    name,
    status,
    skill_id,
    vendor_id,
    locale,
    subscription_id,
    request_id,
    review_id,
    actor,
    event_at,
    sent_at,
    disposition
) VALUES (
    @key,
    @account_id,
    @message_id,
    @event_key,
    sqlc.narg('duplicate_of'),
    @topic,
    @raw_delivery,
    @name,
    @status,
    @skill_id,
    @vendor_id,
    @locale,
    @subscription_id,
    @request_id,
    @review_id,
    @actor,
    sqlc.narg('event_at'),
    sqlc.narg('sent_at'),
    @disposition
)
RETURNING id;

-- name: EventBodyInsert :exec
INSERT INTO event_bodies (
    event_id,
    body
) VALUES (
    @event_id,
    @body
);

-- name: EventTotalsAdd :exec
INSERT INTO event_totals (
    account_id,
    name,
    status,
    n
) VALUES (
    @account_id,
    @name,
    @status,
    1
)
ON CONFLICT (account_id, name, status) DO UPDATE
SET n = event_totals.n + 1;

-- name: EventTotals :many
SELECT
    accounts.name AS account,
    event_totals.name,
    event_totals.status,
    event_totals.n
FROM event_totals
JOIN accounts ON accounts.id = event_totals.account_id
ORDER BY accounts.name, event_totals.name, event_totals.status;

-- name: EventList :many
-- Newest first.
SELECT
    sqlc.embed(events),
    accounts.name AS account,
    coalesce(firsts.key, '')::text AS first_key
FROM events
JOIN accounts ON accounts.id = events.account_id
LEFT JOIN events AS firsts ON firsts.id = events.duplicate_of
WHERE (@account_id::bigint = 0 OR events.account_id = @account_id::bigint)
    AND (@name::text = '' OR events.name = @name::text)
    AND (@skill_id::text = '' OR events.skill_id = @skill_id::text)
    AND (@before::bigint = 0 OR events.id < @before::bigint)
ORDER BY events.id DESC
LIMIT @max_rows;

-- name: EventSince :many
-- Oldest first.
SELECT
    sqlc.embed(events),
    accounts.name AS account,
    coalesce(firsts.key, '')::text AS first_key
FROM events
JOIN accounts ON accounts.id = events.account_id
LEFT JOIN events AS firsts ON firsts.id = events.duplicate_of
WHERE (@account_id::bigint = 0 OR events.account_id = @account_id::bigint)
    AND (@name::text = '' OR events.name = @name::text)
    AND (@skill_id::text = '' OR events.skill_id = @skill_id::text)
    AND events.id > @after::bigint
ORDER BY events.id
LIMIT @max_rows;

-- name: EventGet :one
SELECT
    sqlc.embed(events),
    accounts.name AS account,
    coalesce(firsts.key, '')::text AS first_key,
    coalesce(event_bodies.body, '')::text AS body
FROM events
JOIN accounts ON accounts.id = events.account_id
LEFT JOIN event_bodies ON event_bodies.event_id = events.id
LEFT JOIN events AS firsts ON firsts.id = events.duplicate_of
WHERE events.key = @key;

-- name: EventID :one
SELECT id
FROM events
WHERE key = @key;

-- name: EventLastBefore :one
-- The last event that came up to a moment.
SELECT id
FROM events
WHERE received_at <= @at
ORDER BY received_at DESC, id DESC
LIMIT 1;

-- name: EventActionsOf :many
SELECT event_actions.*
FROM event_actions
WHERE event_id = ANY (@ids::bigint[])
ORDER BY event_id, seq;

-- name: EventLock :one
SELECT
    sqlc.embed(events),
    accounts.name AS account,
    now()::timestamptz AS now
FROM events
JOIN accounts ON accounts.id = events.account_id
WHERE events.id = @id
FOR UPDATE OF events;

-- name: EventHeadMove :execrows
-- No row: a newer one was processed before.
INSERT INTO event_heads (
    account_id,
    skill_id,
    name,
    locale,
    event_at,
    event_id
) VALUES (
    @account_id,
    @skill_id,
    @name,
    @locale,
    @event_at,
    @event_id
)
ON CONFLICT (account_id, skill_id, name, locale) DO UPDATE
SET
    event_at = excluded.event_at,
    event_id = excluded.event_id
WHERE event_heads.event_at <= excluded.event_at;

-- name: EventHeadLock :one
SELECT
    event_heads.event_at,
    event_heads.event_id,
    coalesce(events.key, '')::text AS key
FROM event_heads
LEFT JOIN events ON events.id = event_heads.event_id
WHERE event_heads.account_id = @account_id
    AND event_heads.skill_id = @skill_id
    AND event_heads.name = @name
    AND event_heads.locale = @locale
FOR UPDATE OF event_heads;

-- name: EventPlan :execrows
INSERT INTO event_actions (
    event_id,
    seq,
    rule_id,
    action,
    argument
)
SELECT
    @event_id::bigint,
    row_number() OVER (ORDER BY event_rules.id),
    event_rules.id,
    event_rules.action,
    event_rules.argument
FROM event_rules
WHERE event_rules.account_id = @account_id
    AND event_rules.event IN ('any', @name::text)
    AND event_rules.status IN ('any', @status::text)
    AND event_rules.skill_id IN ('any', @skill_id::text);

-- name: EventDispose :exec
UPDATE events
SET
    disposition = @disposition,
    processed_at = CASE WHEN @ended::boolean THEN now() ELSE processed_at END
WHERE id = @id;

-- name: EventActionEnd :one
UPDATE event_actions
SET
    state = @state,
    message = @message,
    ended_at = now()
WHERE event_id = @event_id
    AND seq = @seq
RETURNING ended_at;

-- name: EventActionNote :exec
UPDATE event_actions
SET message = @message
WHERE event_id = @event_id
    AND seq = @seq
    AND state = 'planned';

-- name: EventActionsLeft :one
SELECT count(*)
FROM event_actions
WHERE event_id = @event_id
    AND state = 'planned';

-- name: EventHaltable :many
-- What goes on to enable a skill. By ID, so that no two wait for each other.
SELECT rollouts.key
FROM rollouts
JOIN skills ON skills.id = rollouts.skill_id
WHERE rollouts.account_id = @account_id
    AND skills.skill_id = @skill_id
    AND rollouts.action = 'enable'
    AND rollouts.ended_at IS NULL
    AND rollouts.state IN ('running', 'waiting', 'scheduled')
ORDER BY rollouts.id;

-- name: EventRolloutNow :exec
-- A rollout that waited for its time waits no more.
UPDATE rollouts
SET start_at = NULL
WHERE id = @id;

-- name: EventForget :execrows
-- A few at a time, the oldest first; what another process is deleting is its business.
WITH old AS (
    SELECT id
    FROM events
    WHERE received_at < now() - make_interval(secs => @age_seconds::double precision)
    ORDER BY received_at
    LIMIT @max_rows
    FOR UPDATE SKIP LOCKED
)
DELETE FROM events
USING old
WHERE events.id = old.id;

-- name: EventForgetHeads :execrows
DELETE FROM event_heads
WHERE event_at < now() - make_interval(secs => @age_seconds::double precision);

-- name: EventRuleLock :exec
-- Rules of an account are made one after the other: they are counted.
SELECT pg_advisory_xact_lock(hashtextextended('fleet.event.rule', @account_id::bigint));

-- name: EventRuleCount :one
SELECT count(*)
FROM event_rules
WHERE account_id = @account_id;

-- name: EventRuleInsert :one
INSERT INTO event_rules (
    account_id,
    event,
    status,
    skill_id,
    action,
    argument,
    created_by,
    reason
) VALUES (
    @account_id,
    @event,
    @status,
    @skill_id,
    @action,
    @argument,
    @created_by,
    @reason
)
RETURNING id;

-- name: EventRuleGet :one
SELECT
    sqlc.embed(event_rules),
    accounts.name AS account
FROM event_rules
JOIN accounts ON accounts.id = event_rules.account_id
WHERE event_rules.id = @id;

-- name: EventRuleList :many
SELECT
    sqlc.embed(event_rules),
    accounts.name AS account
FROM event_rules
JOIN accounts ON accounts.id = event_rules.account_id
WHERE (@account_id::bigint = 0 OR event_rules.account_id = @account_id::bigint)
    AND event_rules.id > @after::bigint
ORDER BY event_rules.id
LIMIT @max_rows;

-- name: EventRuleDelete :execrows
DELETE FROM event_rules
WHERE id = @id;

-- name: EventRolloutOf :one
-- Of which account and skill a rollout is.
SELECT
    rollouts.account_id,
    skills.skill_id
FROM rollouts
JOIN skills ON skills.id = rollouts.skill_id
WHERE rollouts.key = @key;
