-- name: AuditUnitLoad :many
-- The units whose jobs begin: without those that the audit has answered for, and
-- without those of an audit that ended.
SELECT
    want.audit_id::bigint AS audit_id,
    want.unit::bigint AS unit,
    audits.key AS audit,
    audits.account_id,
    units.unit_id,
    (units.removed_at IS NOT NULL)::boolean AS removed,
    clock_timestamp()::timestamptz AS began
FROM (
    SELECT
        unnest(@audit_ids::bigint[]) AS audit_id,
        unnest(@units::bigint[]) AS unit
) AS want
JOIN audits ON audits.id = want.audit_id AND audits.ended_at IS NULL
JOIN units ON units.id = want.unit
LEFT JOIN unit_sights ON unit_sights.unit_id = want.unit
WHERE unit_sights.audit_id IS DISTINCT FROM want.audit_id;

-- name: AuditLockMany :many
SELECT
    sqlc.embed(audits),
    accounts.link_mode,
    accounts.protected_skills
FROM audits
JOIN accounts ON accounts.id = audits.account_id
WHERE audits.id = ANY (@ids::bigint[])
ORDER BY audits.id
FOR UPDATE OF audits;

-- name: AuditUnitFacts :many
SELECT
    units.id,
    (units.removed_at IS NOT NULL)::boolean AS removed,
    units.occupancy,
    units.created_at,
    unit_sights.seen_at,
    unit_sights.audit_id,
    unit_sights.audited_at
FROM units
LEFT JOIN unit_sights ON unit_sights.unit_id = units.id
WHERE units.id = ANY (@units::bigint[]);

-- name: AuditUnitDesired :many
SELECT
    unit_id,
    skill_id,
    stage,
    change_id,
    changed_at
FROM desired
WHERE unit_id = ANY (@units::bigint[]);

-- name: AuditUnitObserved :many
SELECT
    unit_id,
    skill_id,
    status,
    stage,
    account_link,
    observed_at
FROM observed
WHERE unit_id = ANY (@units::bigint[]);

-- name: AuditUnitFindings :many
SELECT
    id,
    unit_id,
    skill_id,
    kind,
    last_good_at
FROM drifts
WHERE unit_id = ANY (@units::bigint[])
    AND resolved_at IS NULL;

-- name: AuditManaged :many
SELECT
    account_id,
    skill_id
FROM managed_skills
WHERE account_id = ANY (@account_ids::bigint[]);

-- name: AuditSkillAdd :many
-- Names skills that were not heard of before.
INSERT INTO skills (skill_id)
SELECT DISTINCT given.skill_id
FROM (SELECT unnest(@skill_ids::text[]) AS skill_id) AS given
ORDER BY given.skill_id
ON CONFLICT (skill_id) DO NOTHING
RETURNING id, skill_id;

-- name: AuditSkillNamed :many
SELECT
    id,
    skill_id
FROM skills
WHERE skill_id = ANY (@skill_ids::text[]);

-- name: AuditSkillRows :many
SELECT
    id,
    skill_id
FROM skills
WHERE id = ANY (@ids::integer[]);

-- name: AuditRollouts :many
-- The rollouts that can have to do with a list that began at since.
SELECT
    rollouts.id,
    rollouts.skill_id,
    (rollouts.ended_at IS NULL)::boolean AS open,
    coalesce(desired_changes.id, 0)::bigint AS change_id -- of what is desired, by this rollout
FROM rollouts
LEFT JOIN desired_changes ON desired_changes.rollout_id = rollouts.id
WHERE rollouts.account_id = ANY (@account_ids::bigint[])
    AND (rollouts.ended_at IS NULL OR rollouts.ended_at >= @since);

-- name: AuditUnitTargets :many
-- Their targets on some units that are not ended, or ended no earlier than that.
SELECT
    rollout_id,
    unit_id,
    state,
    ended_at
FROM targets
WHERE unit_id = ANY (@units::bigint[])
    AND rollout_id = ANY (@rollout_ids::bigint[])
    AND (ended_at IS NULL OR ended_at >= @since);

-- name: AuditLastTargets :many
-- The last target of each pair that had a write to answer for, or an answer, or that a
-- rollback found changed by somebody else.
SELECT DISTINCT ON (targets.unit_id, rollouts.skill_id)
    targets.unit_id,
    rollouts.skill_id,
    rollouts.key,
    rollouts.action,
    targets.state,
    targets.reason,
    targets.writes,
    targets.ended_at
FROM targets
JOIN rollouts ON rollouts.id = targets.rollout_id
WHERE targets.unit_id = ANY (@units::bigint[])
    AND rollouts.skill_id = ANY (@skill_ids::integer[])
    AND targets.ended_at IS NOT NULL
    AND (
        targets.state IN ('succeeded', 'failed')
        OR (targets.state = 'canceled' AND targets.writes > 0)
        OR (targets.state = 'skipped' AND targets.reason = 'changed_since')
    )
ORDER BY targets.unit_id, rollouts.skill_id, targets.ended_at DESC;

-- name: AuditSkillGone :many
-- When the API last said to a rollout of a skill that there is no such skill: asked of
-- the last failures of the latest rollouts only, for a skill that is gone fails them all.
SELECT
    want.skill_id::integer AS skill_id,
    failed.ended_at
FROM (SELECT unnest(@skill_ids::integer[]) AS skill_id) AS want
CROSS JOIN LATERAL (
    SELECT rollouts.id
    FROM rollouts
    WHERE rollouts.account_id = @account_id
        AND rollouts.skill_id = want.skill_id
        AND rollouts.n_failed > 0
    ORDER BY rollouts.id DESC
    LIMIT 3
) AS latest
CROSS JOIN LATERAL (
    SELECT
        targets.reason,
        targets.ended_at
    FROM targets
    WHERE targets.rollout_id = latest.id
        AND targets.odd = 'failed'
    ORDER BY targets.seq DESC
    LIMIT 20
) AS failed
WHERE failed.reason = 'skill_not_found';

-- name: AuditDesiredSources :many
SELECT
    id,
    source
FROM desired_changes
WHERE id = ANY (@ids::bigint[]);

-- name: AuditRecordSights :exec
-- The one row that an audit writes for every unit. Nothing that is indexed changes
-- where the result stays, so that the update stays in its page.
INSERT INTO unit_sights (
    unit_id,
    account_id,
    seen_at,
    audit_id,
    audited_at,
    result,
    reason
)
SELECT
    given.unit_id,
    given.account_id,
    CASE WHEN given.seen_at > 'epoch' THEN given.seen_at END,
    given.audit_id,
    now(),
    given.result,
    given.reason
FROM (
    SELECT
        unnest(@unit_ids::bigint[]) AS unit_id,
        unnest(@account_ids::bigint[]) AS account_id,
        unnest(@seen_at::timestamptz[]) AS seen_at,
        unnest(@audit_ids::bigint[]) AS audit_id,
        unnest(@results::text[]) AS result,
        unnest(@reasons::text[]) AS reason
) AS given
ORDER BY given.unit_id
ON CONFLICT (unit_id) DO UPDATE
SET
    seen_at = greatest(unit_sights.seen_at, excluded.seen_at),
    audit_id = excluded.audit_id,
    audited_at = excluded.audited_at,
    result = excluded.result,
    reason = excluded.reason;

-- name: AuditRecordObserved :exec
-- What changed since it was last seen. What was observed later than the list began
-- stays.
INSERT INTO observed (
    unit_id,
    skill_id,
    status,
    stage,
    account_link,
    observed_at,
    changed_at
)
SELECT
    given.unit_id,
    given.skill_id,
    given.status,
    given.stage,
    given.account_link,
    given.observed_at,
    given.observed_at
FROM (
    SELECT
        unnest(@unit_ids::bigint[]) AS unit_id,
        unnest(@skill_ids::integer[]) AS skill_id,
        unnest(@statuses::text[]) AS status,
        unnest(@stages::text[]) AS stage,
        unnest(@account_links::text[]) AS account_link,
        unnest(@observed_at::timestamptz[]) AS observed_at
) AS given
ORDER BY given.unit_id, given.skill_id
ON CONFLICT (unit_id, skill_id) DO UPDATE
SET
    status = excluded.status,
    stage = excluded.stage,
    account_link = excluded.account_link,
    observed_at = excluded.observed_at,
    changed_at = excluded.changed_at
WHERE observed.observed_at < excluded.observed_at;

-- name: AuditDriftResolve :many
UPDATE drifts
SET resolved_at = given.resolved_at
FROM (
    SELECT
        unnest(@ids::bigint[]) AS id,
        unnest(@resolved_at::timestamptz[]) AS resolved_at
) AS given
WHERE drifts.id = given.id
    AND drifts.id = ANY (@ids::bigint[])
    AND drifts.resolved_at IS NULL
RETURNING drifts.id;

-- name: AuditDriftOpen :many
-- Property, and whether there is a unit at all, are as DriftLockShared found them.
INSERT INTO drifts (
    key,
    account_id,
    unit_id,
    property,
    skill_id,
    kind,
    desired_stage,
    status,
    stage,
    account_link,
    first_seen_at,
    last_good_at,
    cause,
    cause_detail,
    opened_by
)
SELECT
    given.key,
    given.account_id,
    given.unit_id,
    units.property,
    given.skill_id,
    given.kind,
    given.desired_stage,
    given.status,
    given.stage,
    given.account_link,
    given.first_seen_at,
    given.last_good_at,
    given.cause,
    given.cause_detail,
    given.opened_by
FROM jsonb_to_recordset(@findings::jsonb) AS given (
    key text,
    account_id bigint,
    unit_id bigint,
    skill_id integer,
    kind text,
    desired_stage text,
    status text,
    stage text,
    account_link text,
    first_seen_at timestamptz,
    last_good_at timestamptz,
    cause text,
    cause_detail text,
    opened_by bigint
)
JOIN units ON units.id = given.unit_id AND units.removed_at IS NULL
ON CONFLICT (unit_id, skill_id) WHERE resolved_at IS NULL DO NOTHING
RETURNING opened_by;

-- name: AuditDriftWithdrawn :execrows
-- A skill that nearly every home lost was withdrawn: some of its findings are told so.
UPDATE drifts
SET
    cause = 'skill_withdrawn',
    cause_detail = @cause_detail
WHERE id IN (
        SELECT guessed.id
        FROM drifts AS guessed
        WHERE guessed.account_id = @account_id
            AND guessed.kind = 'missing'
            AND guessed.resolved_at IS NULL
            AND guessed.skill_id = @skill_id
            AND guessed.cause IN ('changed_outside', 'unit_reset', 'unknown')
        LIMIT @max_rows
    );

-- name: AuditUnitsOdd :many
-- Units that an audit did not find in sync.
SELECT
    unit_sights.unit_id AS unit,
    units.unit_id,
    units.property,
    units.occupancy,
    unit_sights.result,
    unit_sights.reason,
    unit_sights.seen_at,
    unit_sights.audited_at
FROM unit_sights
JOIN units ON units.id = unit_sights.unit_id
WHERE unit_sights.account_id = @account_id
    AND unit_sights.result = @result
    AND unit_sights.result <> 'in_sync'
    AND unit_sights.audit_id = @audit_id
    AND unit_sights.unit_id > @after
    AND (@reason::text = '' OR unit_sights.reason = @reason)
ORDER BY unit_sights.unit_id
LIMIT @max_rows;

-- name: AuditUnitsOf :many
-- The units of some chunks, in order, with what was last said of each.
SELECT
    ((audit_chunks.seq - 1) * 200 + chunk.position)::bigint AS place,
    units.unit_id,
    units.property,
    units.occupancy,
    unit_sights.audit_id,
    coalesce(unit_sights.result, 'unknown')::text AS result,
    coalesce(unit_sights.reason, '')::text AS reason,
    unit_sights.seen_at,
    unit_sights.audited_at
FROM audit_chunks
CROSS JOIN LATERAL unnest(audit_chunks.units) WITH ORDINALITY AS chunk (unit, position)
JOIN units ON units.id = chunk.unit
LEFT JOIN unit_sights ON unit_sights.unit_id = chunk.unit
WHERE audit_chunks.audit_id = @audit_id
    AND audit_chunks.seq BETWEEN @first_seq AND @last_seq
    AND (audit_chunks.seq - 1) * 200 + chunk.position > @after
ORDER BY audit_chunks.seq, chunk.position;
