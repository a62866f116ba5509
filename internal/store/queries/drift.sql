-- name: DriftResolveByRollout :execrows
-- Resolves what a rollout put right: open findings of the skill on its targets that
-- are proven to be as wanted, where the proof is younger than the finding. It begins
-- at the findings, which are few, and not at the targets.
UPDATE drifts
SET resolved_at = proof.at
FROM rollouts
CROSS JOIN LATERAL (
    SELECT
        d.id,
        CASE
            WHEN targets.state = 'succeeded' THEN targets.ended_at
            ELSE coalesce((targets.before ->> 'observed_at')::timestamptz, targets.ended_at)
        END AS at
    FROM drifts AS d
    JOIN targets ON targets.unit_id = d.unit_id AND targets.rollout_id = rollouts.id
    WHERE d.account_id = rollouts.account_id
        AND d.skill_id = rollouts.skill_id
        AND d.resolved_at IS NULL
        AND (targets.state = 'succeeded' OR (targets.state = 'skipped' AND targets.reason = 'already_in_state'))
) AS proof
WHERE rollouts.id = @rollout_id
    AND drifts.id = proof.id
    AND drifts.resolved_at IS NULL
    AND proof.at >= drifts.first_seen_at;

-- name: DriftLock :exec
-- An import carries the findings of an account while none opens: one that opened on
-- what the units were before would stay so.
SELECT pg_advisory_xact_lock(hashtextextended('fleetd findings', @account_id::bigint));

-- name: DriftLockShared :exec
-- Those that open findings wait for an import to end, and not for each other.
SELECT pg_advisory_xact_lock_shared(hashtextextended('fleetd findings', @account_id::bigint));

-- name: DriftCarryProperties :exec
UPDATE drifts
SET property = units.property
FROM units
WHERE drifts.account_id = @account_id
    AND drifts.resolved_at IS NULL
    AND units.id = drifts.unit_id
    AND units.property <> drifts.property;

-- name: DriftResolveRemoved :exec
UPDATE drifts
SET resolved_at = now()
FROM units
WHERE drifts.account_id = @account_id
    AND drifts.resolved_at IS NULL
    AND units.id = drifts.unit_id
    AND units.removed_at IS NOT NULL;

-- name: DriftOpenCounts :many
-- Findings that count, by account and kind; an account without any has one row
-- without a kind.
SELECT
    accounts.name AS account,
    drifts.kind,
    count(drifts.id)::bigint AS n
FROM accounts
LEFT JOIN drifts ON drifts.account_id = accounts.id
    AND drifts.resolved_at IS NULL
    AND (drifts.ignored_until IS NULL OR drifts.ignored_until <= now())
GROUP BY accounts.name, drifts.kind
ORDER BY accounts.name, drifts.kind;

-- name: DriftOpenKeys :many
-- Which of some findings are open.
SELECT key
FROM drifts
WHERE key = ANY (@keys::text[])
    AND resolved_at IS NULL;

-- name: DriftSkill :one
SELECT id
FROM skills
WHERE skill_id = @skill_id;

-- name: DriftUnits :many
-- The rows of a unit ID, one for each account that has it. The join is what the
-- index on account and unit ID needs.
SELECT units.id
FROM accounts
JOIN units ON units.account_id = accounts.id
WHERE units.unit_id = @unit_id
    AND (@account_id::bigint = 0 OR accounts.id = @account_id);

-- name: DriftDeleteAccount :exec
DELETE FROM drifts
WHERE account_id = @account_id;
