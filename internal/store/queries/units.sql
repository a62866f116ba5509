-- name: UnitsByID :many
SELECT
    sqlc.embed(units),
    accounts.name AS account
FROM units
JOIN accounts ON accounts.id = units.account_id
WHERE units.unit_id = @unit_id
    AND (@account::text = '' OR accounts.name = @account::text)
ORDER BY accounts.name
LIMIT 10;

-- name: UnitObserved :many
SELECT
    skills.skill_id,
    observed.status,
    observed.stage,
    observed.account_link,
    observed.observed_at,
    observed.changed_at
FROM observed
JOIN skills ON skills.id = observed.skill_id
WHERE observed.unit_id = @unit
ORDER BY skills.skill_id
LIMIT 1000;

-- name: UnitDesired :many
SELECT
    skills.skill_id,
    desired.stage,
    desired.changed_at,
    desired_changes.source,
    desired_changes.actor,
    coalesce(rollouts.key, '')::text AS rollout
FROM desired
JOIN skills ON skills.id = desired.skill_id
JOIN desired_changes ON desired_changes.id = desired.change_id
LEFT JOIN rollouts ON rollouts.id = desired_changes.rollout_id
WHERE desired.unit_id = @unit
ORDER BY skills.skill_id
LIMIT 1000;

-- name: UnitRollouts :many
SELECT
    rollouts.key,
    rollouts.action,
    skills.skill_id,
    rollouts.stage,
    targets.state,
    targets.reason,
    targets.ended_at
FROM targets
JOIN rollouts ON rollouts.id = targets.rollout_id
JOIN skills ON skills.id = rollouts.skill_id
WHERE targets.unit_id = @unit
ORDER BY rollouts.id DESC
LIMIT 10;
