-- name: PreflightSave :exec
-- The latest one stays, whichever is written last.
INSERT INTO preflights (
    account_id,
    skill_id,
    stage,
    action,
    result,
    why,
    report,
    checked_at
)
SELECT
    accounts.id,
    @skill_id::text,
    @stage::text,
    @action::text,
    @result::text,
    @why::text,
    @report::jsonb,
    @checked_at::timestamptz
FROM accounts
WHERE accounts.name = @account
ON CONFLICT (account_id, skill_id, stage, action) DO UPDATE
SET
    result = excluded.result,
    why = excluded.why,
    report = excluded.report,
    checked_at = excluded.checked_at
WHERE preflights.checked_at <= excluded.checked_at;

-- name: PreflightSkill :many
-- The latest preflights of a skill, at every stage and for both actions.
SELECT preflights.report
FROM preflights
JOIN accounts ON accounts.id = preflights.account_id
WHERE accounts.name = @account
    AND preflights.skill_id = @skill_id
ORDER BY
    preflights.stage,
    preflights.action;

-- name: PreflightForget :execrows
-- A few at a time, the oldest first; what another process is deleting is its business.
WITH old AS (
    SELECT
        account_id,
        skill_id,
        stage,
        action
    FROM preflights
    WHERE checked_at < now() - make_interval(secs => @age_seconds::double precision)
    ORDER BY checked_at
    LIMIT @max_rows
    FOR UPDATE SKIP LOCKED
)
DELETE FROM preflights
USING old
WHERE preflights.account_id = old.account_id
    AND preflights.skill_id = old.skill_id
    AND preflights.stage = old.stage
    AND preflights.action = old.action;

-- name: PreflightLinkSeen :one
-- Whether one of the account's homes was last seen linked for the skill. So many homes are
-- looked at and no more: what it costs must not grow with the fleet, and a skill that
-- links accounts links them in every home. The order is that of an index.
SELECT EXISTS (
    SELECT 1
    FROM (
        SELECT units.id
        FROM units
        WHERE units.account_id = (SELECT accounts.id FROM accounts WHERE accounts.name = @account)
            AND units.removed_at IS NULL
        ORDER BY
            units.property,
            units.id
        LIMIT @most_units
    ) AS homes
    JOIN observed ON observed.unit_id = homes.id
    JOIN skills ON skills.id = observed.skill_id
    WHERE skills.skill_id = @skill_id
        AND observed.account_link = 'LINKED'
);

-- name: RolloutPreflightSave :exec
INSERT INTO rollout_preflights (
    rollout_id,
    report
) VALUES (
    @rollout_id,
    @report
)
ON CONFLICT (rollout_id) DO UPDATE
SET report = excluded.report;

-- name: RolloutPreflight :one
SELECT report
FROM rollout_preflights
WHERE rollout_id = @rollout_id;
