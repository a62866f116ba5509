-- name: SkillsEnsure :many
-- Names skills, in one order so that two of it do not wait for each other.
WITH wanted AS (
    SELECT DISTINCT unnest(@skill_ids::text[]) AS skill_id
),
made AS (
    INSERT INTO skills (skill_id)
    SELECT wanted.skill_id
    FROM wanted
    WHERE NOT EXISTS (SELECT 1 FROM skills WHERE skills.skill_id = wanted.skill_id)
    ORDER BY wanted.skill_id
    ON CONFLICT (skill_id) DO UPDATE
    SET skill_id = excluded.skill_id
    RETURNING id, skill_id
)
SELECT
    id,
    skill_id
FROM made
UNION ALL
SELECT
    skills.id,
    skills.skill_id
FROM skills
JOIN wanted ON wanted.skill_id = skills.skill_id;

-- name: SkillsMet :many
-- Those of some skills of which something is desired in an account, or a rollout was.
SELECT skills.skill_id
FROM skills
WHERE skills.skill_id = ANY (@skill_ids::text[])
    AND (
        EXISTS (
            SELECT
            FROM managed_skills
            WHERE managed_skills.account_id = @account_id
                AND managed_skills.skill_id = skills.id
        )
        OR EXISTS (
            SELECT
            FROM rollouts
            WHERE rollouts.account_id = @account_id
                AND rollouts.skill_id = skills.id
        )
    );

-- name: SkillMetOnUnit :one
-- Whether a skill was ever seen or desired on a unit of an account. The OFFSET makes a
-- look-up of each unit the only way to read what was, so that the first ends it.
SELECT EXISTS (
    SELECT
    FROM skills
    CROSS JOIN (
        SELECT units.id
        FROM units
        WHERE units.account_id = @account_id
        OFFSET 0
    ) AS unit
    CROSS JOIN LATERAL (
        SELECT 1
        FROM observed
        WHERE observed.unit_id = unit.id
            AND observed.skill_id = skills.id
        UNION ALL
        SELECT 1
        FROM desired_history
        WHERE desired_history.unit_id = unit.id
            AND desired_history.skill_id = skills.id
        LIMIT 1
    ) AS met
    WHERE skills.skill_id = @skill_id
);

-- name: SkillsNamed :many
-- Those of some skills that any account has met.
SELECT skill_id
FROM skills
WHERE skill_id = ANY (@skill_ids::text[]);

-- name: SkillsAny :one
-- Whether an account has met any skill at all.
SELECT (
        EXISTS (
            SELECT
            FROM rollouts
            WHERE rollouts.account_id = @account_id
        )
        OR EXISTS (
            SELECT
            FROM units
            JOIN observed ON observed.unit_id = units.id
            WHERE units.account_id = @account_id
        )
        OR EXISTS (
            SELECT
            FROM units
            JOIN desired_history ON desired_history.unit_id = units.id
            WHERE units.account_id = @account_id
        )
    )::boolean AS met;

-- name: SkillNames :many
SELECT
    id,
    skill_id
FROM skills
WHERE id = ANY (@ids::integer[]);

-- name: DesiredLock :exec
-- Changes of what is desired in one account take turns; releases of rollouts share
-- this lock and do not wait for it.
SELECT pg_advisory_xact_lock(hashtextextended('fleetd desired state', @account_id::bigint));

-- name: DesiredChangeInsert :one
INSERT INTO desired_changes (
    key,
    account_id,
    source,
    actor,
    reason,
    selector,
    changed_at
) VALUES (
    @key,
    @account_id,
    @source,
    @actor,
    @reason,
    @selector,
    clock_timestamp()
)
RETURNING
    id,
    changed_at;

-- name: ManagedAdd :exec
INSERT INTO managed_skills (account_id, skill_id)
SELECT
    @account_id,
    wanted.skill_id
FROM (SELECT unnest(@skills::integer[]) AS skill_id) AS wanted
WHERE NOT EXISTS (
        SELECT 1
        FROM managed_skills AS m
        WHERE m.account_id = @account_id
            AND m.skill_id = wanted.skill_id
    )
ON CONFLICT DO NOTHING;

-- name: ManagedBeside :many
-- The managed skills of an account that are not some skills.
SELECT
    skills.id,
    skills.skill_id
FROM managed_skills
JOIN skills ON skills.id = managed_skills.skill_id
WHERE managed_skills.account_id = @account_id
    AND managed_skills.skill_id <> ALL (@skills::integer[])
ORDER BY skills.skill_id;

-- name: ManagedDrop :exec
-- Skills with nothing desired on any unit of the inventory are managed no more; what
-- is desired of them on units that were removed goes as well, and so do their findings:
-- a repair would still take away what nobody says anything about any more.
WITH gone AS (
    DELETE FROM desired
    USING units
    WHERE units.id = desired.unit_id
        AND units.account_id = @account_id
        AND units.removed_at IS NOT NULL
        AND desired.skill_id = ANY (@skills::integer[])
    RETURNING
        desired.unit_id,
        desired.skill_id
),
kept AS (
    INSERT INTO desired_history (unit_id, change_id, changed_at, skill_id)
    SELECT
        gone.unit_id,
        @change_id::bigint,
        @changed_at::timestamptz,
        gone.skill_id
    FROM gone
),
resolved AS (
    UPDATE drifts
    SET resolved_at = @changed_at::timestamptz
    WHERE drifts.account_id = @account_id
        AND drifts.skill_id = ANY (@skills::integer[])
        AND drifts.resolved_at IS NULL
)
DELETE FROM managed_skills
WHERE managed_skills.account_id = @account_id
    AND managed_skills.skill_id = ANY (@skills::integer[]);

-- name: DesiredReleaseChange :one
-- The change that a rollout's releases belong to, made by the first of them. free is
-- false while somebody changes what is desired in the account.
WITH free AS MATERIALIZED (
    SELECT
        rollouts.id,
        rollouts.account_id,
        rollouts.skill_id,
        rollouts.created_by,
        rollouts.reason,
        rollouts.selector,
        pg_try_advisory_xact_lock_shared(hashtextextended('fleetd desired state', rollouts.account_id)) AS ok
    FROM rollouts
    WHERE rollouts.id = @rollout_id
),
found AS (
    SELECT c.id
    FROM desired_changes AS c
    WHERE c.rollout_id = @rollout_id
),
made AS (
    INSERT INTO desired_changes (key, account_id, source, rollout_id, actor, reason, selector)
    SELECT
        @key,
        free.account_id,
        'rollout',
        free.id,
        free.created_by,
        free.reason,
        free.selector
    FROM free
    WHERE free.ok
        AND NOT EXISTS (SELECT 1 FROM found)
    ON CONFLICT (rollout_id) WHERE rollout_id IS NOT NULL DO UPDATE
    SET rollout_id = excluded.rollout_id
    RETURNING id
)
SELECT
    free.ok::boolean AS free,
    free.account_id,
    free.skill_id,
    coalesce((SELECT found.id FROM found), (SELECT made.id FROM made), 0)::bigint AS change_id
FROM free;

-- name: DesiredRelease :execrows
-- Sets what is desired for units that are released, and counts those for which that
-- is new. The LIMIT makes a look-up of each unit the only way to read desired: the
-- table has ten rows a unit, and the planner's idea of it is always behind.
WITH want AS (
    SELECT
        unnest(@units::bigint[]) AS unit_id,
        unnest(@stages::text[]) AS stage
),
fresh AS (
    SELECT
        want.unit_id,
        want.stage
    FROM want
    LEFT JOIN LATERAL (
        SELECT d.stage
        FROM desired AS d
        WHERE d.unit_id = want.unit_id
            AND d.skill_id = @skill_id
        LIMIT 1
    ) AS old ON TRUE
    WHERE old.stage IS DISTINCT FROM want.stage
),
put AS (
    INSERT INTO desired (unit_id, skill_id, stage, change_id, changed_at)
    SELECT
        fresh.unit_id,
        @skill_id,
        fresh.stage,
        @change_id,
        statement_timestamp()
    FROM fresh
    ON CONFLICT (unit_id, skill_id) DO UPDATE
    SET
        stage = excluded.stage,
        change_id = excluded.change_id,
        changed_at = excluded.changed_at
),
managed AS (
    INSERT INTO managed_skills (account_id, skill_id)
    SELECT
        @account_id,
        @skill_id
    WHERE NOT EXISTS (
            SELECT 1
            FROM managed_skills AS m
            WHERE m.account_id = @account_id
                AND m.skill_id = @skill_id
        )
    ON CONFLICT DO NOTHING
)
INSERT INTO desired_history (unit_id, change_id, changed_at, skill_id, stage)
SELECT
    fresh.unit_id,
    @change_id,
    statement_timestamp(),
    @skill_id,
    fresh.stage
FROM fresh;

-- name: DesiredList :many
SELECT
    page.unit,
    page.unit_id,
    page.property,
    page.skill,
    skills.skill_id,
    page.stage,
    page.changed_at,
    desired_changes.source,
    desired_changes.actor,
    coalesce(rollouts.key, '')::text AS rollout
FROM (
    SELECT
        u.id AS unit,
        u.unit_id,
        u.property,
        d.skill_id AS skill,
        d.stage,
        d.change_id,
        d.changed_at
    FROM units AS u
    JOIN desired AS d ON d.unit_id = u.id
    WHERE u.account_id = @account_id
        AND u.removed_at IS NULL
        AND (@unit_id::text = '' OR u.unit_id = @unit_id::text)
        AND (@property::text = '' OR u.property = @property::text)
        AND (@skill::integer = 0 OR d.skill_id = @skill::integer)
        AND (u.property, u.id) >= (@after_property::text, @after_unit::bigint)
        AND ((u.property, u.id) > (@after_property::text, @after_unit::bigint) OR d.skill_id > @after_skill::integer)
    ORDER BY
        u.property,
        u.id,
        d.skill_id
    LIMIT @max_rows
) AS page
JOIN skills ON skills.id = page.skill
JOIN desired_changes ON desired_changes.id = page.change_id
LEFT JOIN rollouts ON rollouts.id = desired_changes.rollout_id
ORDER BY
    page.property,
    page.unit,
    page.skill;

-- name: ManagedSkill :one
-- The row of a skill that is managed in an account.
SELECT skills.id
FROM skills
JOIN managed_skills ON managed_skills.skill_id = skills.id
WHERE managed_skills.account_id = @account_id
    AND skills.skill_id = @skill_id;

-- name: DesiredHistoryOf :many
SELECT
    h.skill_id AS skill,
    h.stage,
    h.changed_at,
    h.change_id,
    skills.skill_id,
    desired_changes.source,
    desired_changes.actor,
    desired_changes.reason,
    desired_changes.selector,
    coalesce(rollouts.key, '')::text AS rollout
FROM desired_history AS h
JOIN skills ON skills.id = h.skill_id
JOIN desired_changes ON desired_changes.id = h.change_id
LEFT JOIN rollouts ON rollouts.id = desired_changes.rollout_id
WHERE h.unit_id = @unit
    AND (@skill_id::text = '' OR skills.skill_id = @skill_id::text)
    AND (h.changed_at, h.change_id, h.skill_id) < (@before_at::timestamptz, @before_change::bigint, @before_skill::integer)
ORDER BY
    h.changed_at DESC,
    h.change_id DESC,
    h.skill_id DESC
LIMIT @max_rows;

-- name: AccountDeleteDesired :exec
DELETE FROM desired
USING units
WHERE desired.unit_id = units.id
    AND units.account_id = @account_id;

-- name: AccountDeleteDesiredHistory :exec
DELETE FROM desired_history
USING units
WHERE desired_history.unit_id = units.id
    AND units.account_id = @account_id;

-- name: AccountDeleteDesiredChanges :exec
DELETE FROM desired_changes
WHERE account_id = @account_id;
