-- name: RolloutInsert :one
INSERT INTO rollouts (
    key,
    account_id,
    action,
    skill_id,
    stage,
    state,
    selector,
    targets,
    wave_ends,
    soak_ms,
    max_failures,
    window_start,
    window_end,
    timezone,
    start_at,
    verify_timeout_ms,
    observation_max_age_ms,
    include_occupied,
    weight,
    price_requests,
    price_minutes,
    n_pending,
    n_skipped,
    created_by,
    reason,
    origin,
    rollback_of,
    state_reason
) VALUES (
    @key,
    @account_id,
    @action,
    @skill_id,
    @stage,
    @state,
    @selector,
    @targets,
    @wave_ends,
    @soak_ms,
    @max_failures,
    sqlc.narg('window_start'),
    sqlc.narg('window_end'),
    @timezone,
    sqlc.narg('start_at'),
    @verify_timeout_ms,
    sqlc.narg('observation_max_age_ms'),
    @include_occupied,
    @weight,
    @price_requests,
    @price_minutes,
    @n_pending,
    @n_skipped,
    @created_by,
    @reason,
    @origin,
    sqlc.narg('rollback_of'),
    @state_reason
)
RETURNING id;

-- name: RolloutByKey :one
SELECT
    sqlc.embed(rollouts),
    accounts.name AS account,
    skills.skill_id AS skill,
    budgets.rate AS budget_rate,
    coalesce((SELECT o.key FROM rollouts AS o WHERE o.id = rollouts.rollback_of), '')::text AS rollback_of_key
FROM rollouts
JOIN accounts ON accounts.id = rollouts.account_id
JOIN skills ON skills.id = rollouts.skill_id
JOIN budgets ON budgets.account_id = rollouts.account_id AND budgets.kind = 'enterprise'
WHERE rollouts.key = @key;

-- name: RolloutByID :one
SELECT
    sqlc.embed(rollouts),
    accounts.name AS account,
    skills.skill_id AS skill,
    budgets.rate AS budget_rate,
    coalesce((SELECT o.key FROM rollouts AS o WHERE o.id = rollouts.rollback_of), '')::text AS rollback_of_key
FROM rollouts
JOIN accounts ON accounts.id = rollouts.account_id
JOIN skills ON skills.id = rollouts.skill_id
JOIN budgets ON budgets.account_id = rollouts.account_id AND budgets.kind = 'enterprise'
WHERE rollouts.id = @id;

-- name: RolloutList :many
SELECT
    sqlc.embed(rollouts),
    accounts.name AS account,
    skills.skill_id AS skill,
    budgets.rate AS budget_rate,
    coalesce((SELECT o.key FROM rollouts AS o WHERE o.id = rollouts.rollback_of), '')::text AS rollback_of_key
FROM rollouts
JOIN accounts ON accounts.id = rollouts.account_id
JOIN skills ON skills.id = rollouts.skill_id
JOIN budgets ON budgets.account_id = rollouts.account_id AND budgets.kind = 'enterprise'
WHERE (@account::text = '' OR accounts.name = @account)
    AND (@state::text = '' OR rollouts.state = @state)
    AND (NOT @active::boolean OR rollouts.ended_at IS NULL)
    AND (@before::bigint = 0 OR rollouts.id < @before)
ORDER BY rollouts.id DESC
LIMIT @max_rows;

-- name: RolloutOpen :many
SELECT
    rollouts.id,
    rollouts.key,
    rollouts.account_id,
    rollouts.state,
    rollouts.weight
FROM rollouts
WHERE rollouts.ended_at IS NULL
ORDER BY rollouts.id;

-- name: RolloutOverlaps :many
-- Open rollouts of the same skill that hold any of the picked units.
SELECT
    rollouts.key,
    rollouts.state,
    count(*)::bigint AS units
FROM rollouts
JOIN targets ON targets.rollout_id = rollouts.id
WHERE rollouts.account_id = @account_id
    AND rollouts.skill_id = @skill_id
    AND rollouts.ended_at IS NULL
    AND rollouts.id <> @except_id
    AND targets.unit_id = ANY (@unit_ids::bigint[])
GROUP BY rollouts.id
ORDER BY rollouts.id
LIMIT 3;

-- name: RolloutCreationLock :exec
-- What takes up units of an account goes one after the other until it commits: the
-- look for overlaps does not see what others have not committed yet.
SELECT pg_advisory_xact_lock(hashtextextended('fleet.rollout.create', @account_id::bigint));

-- name: RolloutLock :one
-- commit is the transaction's synchronous_commit: what a crash of Postgres may undo,
-- because it would be done again, need not wait for the disk.
SELECT
    sqlc.embed(rollouts),
    now()::timestamptz AS now,
    set_config('synchronous_commit', @commit::text, true)::text AS commit
FROM rollouts
WHERE id = @id
FOR UPDATE;

-- name: RolloutLockKey :one
SELECT
    sqlc.embed(rollouts),
    now()::timestamptz AS now
FROM rollouts
WHERE key = @key
FOR UPDATE;

-- name: RolloutLockMany :many
-- commit as in RolloutLock.
SELECT
    id,
    account_id,
    set_config('synchronous_commit', @commit::text, true)::text AS commit
FROM rollouts
WHERE id = ANY (@ids::bigint[])
ORDER BY id
FOR UPDATE;

-- name: RolloutSave :exec
-- What a locked rollout has become. Its row is as it was read under the lock, so
-- every value is whole: only requests and throttled belong to others.
UPDATE rollouts
SET
    state = @state,
    state_reason = @state_reason,
    wave_index = @wave_index,
    wave_worked = @wave_worked,
    soak_until = sqlc.narg('soak_until'),
    acknowledged = @acknowledged,
    next_seq = @next_seq,
    open_from = @open_from,
    open_to = @open_to,
    n_pending = @n_pending,
    n_queued = @n_queued,
    n_running = @n_running,
    n_verifying = @n_verifying,
    n_succeeded = @n_succeeded,
    n_failed = @n_failed,
    n_skipped = @n_skipped,
    n_canceled = @n_canceled,
    started_at = CASE WHEN @started::boolean THEN coalesce(started_at, now()) ELSE started_at END,
    ended_at = CASE WHEN @ended::boolean THEN coalesce(ended_at, now()) ELSE NULL END
WHERE id = @id;

-- name: RolloutNotify :exec
SELECT pg_notify('fleet_control', @id::text);

-- name: RolloutZones :many
-- The time zones of an account's properties; '' where none was given.
SELECT DISTINCT timezone
FROM properties
WHERE account_id = @account_id;

-- name: RolloutStates :many
SELECT
    state,
    count(*)::bigint AS n
FROM rollouts
GROUP BY state;

-- name: RolloutTargetCounts :many
-- Targets of open rollouts, by account.
SELECT
    accounts.name AS account,
    sum(n_pending)::bigint AS pending,
    sum(n_queued)::bigint AS queued,
    sum(n_running)::bigint AS running,
    sum(n_verifying)::bigint AS verifying,
    sum(n_succeeded)::bigint AS succeeded,
    sum(n_failed)::bigint AS failed,
    sum(n_skipped)::bigint AS skipped,
    sum(n_canceled)::bigint AS canceled
FROM rollouts
JOIN accounts ON accounts.id = rollouts.account_id
WHERE rollouts.ended_at IS NULL
GROUP BY accounts.name;

-- name: SkillEnsure :one
WITH added AS (
    INSERT INTO skills (skill_id) VALUES (@skill_id)
    ON CONFLICT (skill_id) DO NOTHING
    RETURNING id
)
SELECT id FROM added
UNION ALL
SELECT id FROM skills WHERE skill_id = @skill_id
LIMIT 1;
