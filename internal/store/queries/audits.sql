-- name: AuditCreationLock :exec
-- Audits of an account are made one after the other: then the look for one that goes
-- on sees it.
SELECT pg_advisory_xact_lock(hashtextextended('fleet.audit.create', @account_id::bigint));

-- name: AuditUnderWay :one
SELECT
    key,
    state
FROM audits
WHERE account_id = @account_id
    AND ended_at IS NULL;

-- name: AuditInsert :one
INSERT INTO audits (
    key,
    account_id,
    state,
    selector,
    slot,
    slot_timezone,
    repair,
    repair_ceiling,
    units,
    created_by,
    reason
) VALUES (
    @key,
    @account_id,
    'running',
    @selector,
    sqlc.narg('slot'),
    @slot_timezone,
    @repair,
    @repair_ceiling,
    0,
    @created_by,
    @reason
)
RETURNING id;

-- name: AuditSetUnits :exec
-- An audit of no units has ended well.
UPDATE audits
SET
    units = @units,
    state = CASE WHEN @units = 0 THEN 'succeeded' ELSE state END,
    state_reason = CASE WHEN @units = 0 THEN 'the selector matches no unit' ELSE state_reason END,
    ended_at = CASE WHEN @units = 0 THEN now() END
WHERE id = @id;

-- name: AuditSlotTaken :one
SELECT EXISTS (
    SELECT
    FROM audits
    WHERE account_id = @account_id
        AND slot_timezone = @slot_timezone
        AND slot = @slot::timestamp
);

-- name: AuditByKey :one
SELECT
    sqlc.embed(audits),
    accounts.name AS account
FROM audits
JOIN accounts ON accounts.id = audits.account_id
WHERE audits.key = @key;

-- name: AuditByID :one
SELECT
    sqlc.embed(audits),
    accounts.name AS account
FROM audits
JOIN accounts ON accounts.id = audits.account_id
WHERE audits.id = @id;

-- name: AuditList :many
SELECT
    sqlc.embed(audits),
    accounts.name AS account
FROM audits
JOIN accounts ON accounts.id = audits.account_id
WHERE (@account::text = '' OR accounts.name = @account)
    AND (@state::text = '' OR audits.state = @state)
    AND (NOT @active::boolean OR audits.ended_at IS NULL)
    AND (@before::bigint = 0 OR audits.id < @before)
ORDER BY audits.id DESC
LIMIT @max_rows;

-- name: AuditOpen :many
SELECT
    id,
    key,
    account_id,
    state
FROM audits
WHERE ended_at IS NULL
ORDER BY id;

-- name: AuditLock :one
SELECT *
FROM audits
WHERE id = @id
FOR UPDATE;

-- name: AuditLockKey :one
SELECT *
FROM audits
WHERE key = @key
FOR UPDATE;

-- name: AuditChunks :many
-- The units of some chunks.
SELECT
    seq,
    units
FROM audit_chunks
WHERE audit_id = @audit_id
    AND seq BETWEEN @first_seq AND @last_seq
ORDER BY seq;

-- name: AuditUnanswered :many
-- Units of some chunks that the audit has not answered for.
SELECT
    audit_chunks.seq,
    chunk.position::integer AS position,
    chunk.unit::bigint AS unit
FROM audit_chunks
CROSS JOIN LATERAL unnest(audit_chunks.units) WITH ORDINALITY AS chunk (unit, position)
LEFT JOIN unit_sights ON unit_sights.unit_id = chunk.unit
WHERE audit_chunks.audit_id = @audit_id
    AND audit_chunks.seq BETWEEN @first_seq AND @last_seq
    AND unit_sights.audit_id IS DISTINCT FROM @audit_id
ORDER BY audit_chunks.seq, chunk.position;

-- name: AuditForgetChunks :execrows
-- The units of audits of weeks past: what was said of them stands in unit_sights, or has
-- been said anew.
DELETE FROM audit_chunks
USING (
    SELECT
        old.audit_id,
        old.seq
    FROM audits
    JOIN audit_chunks AS old ON old.audit_id = audits.id
    WHERE audits.ended_at < now() - interval '14 days'
    LIMIT @max_rows
    FOR UPDATE OF old SKIP LOCKED
) AS forgotten
WHERE audit_chunks.audit_id = forgotten.audit_id
    AND audit_chunks.seq = forgotten.seq;

-- name: AuditSetReleased :exec
UPDATE audits
SET
    released = @released,
    started_at = coalesce(started_at, now())
WHERE id = @id;

-- name: AuditSetSwept :exec
UPDATE audits
SET swept = @swept
WHERE id = @id;

-- name: AuditSetState :exec
UPDATE audits
SET
    state = @state,
    state_reason = @state_reason,
    n_unknown = @n_unknown,
    unknown_reasons = @unknown_reasons,
    ended_at = CASE WHEN @ended::boolean THEN now() END,
    repair_due = CASE WHEN @repair::boolean THEN now() END
WHERE id = @id;

-- name: AuditAddCounts :exec
UPDATE audits
SET
    n_in_sync = n_in_sync + @in_sync,
    n_drifted = n_drifted + @drifted,
    n_unknown = n_unknown + @unknown,
    unknown_reasons = @unknown_reasons,
    wants = @wants,
    unmanaged = unmanaged + @unmanaged,
    drift_opened = drift_opened + @opened,
    drift_resolved = drift_resolved + @resolved,
    requests = requests + @requests,
    throttled = throttled + @throttled,
    pages = pages + @pages
WHERE id = @id;

-- name: AuditNotify :exec
SELECT pg_notify('fleet_control', 'audit');

-- name: AuditClaimRepair :one
-- One process sees to the repair that is due; another does after a while, should
-- this one not be heard of again.
UPDATE audits
SET repair_due = now() + interval '5 minutes'
WHERE id = (
        SELECT due.id
        FROM audits AS due
        WHERE due.repair_due <= now()
        ORDER BY due.repair_due
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    )
RETURNING id;

-- name: AuditRepaired :exec
UPDATE audits
SET
    repair_due = NULL,
    state_reason = @state_reason
WHERE id = @id;

-- name: AuditLastEnded :many
-- The last regular audit of each account that came to its end, and when one last saw
-- every unit. Regular are audits of all units and those of the schedule; where there was
-- none yet, the others stand in.
SELECT
    accounts.name AS account,
    last.units,
    last.n_in_sync,
    last.n_drifted,
    last.n_unknown,
    success.ended_at AS last_success
FROM accounts
CROSS JOIN LATERAL (
    SELECT NOT EXISTS (
            SELECT
            FROM audits
            WHERE audits.account_id = accounts.id
                AND audits.state IN ('succeeded', 'completed_with_unknown')
                AND (audits.selector = 'all' OR audits.slot IS NOT NULL)
        ) AS no_regular
) AS instead
CROSS JOIN LATERAL (
    SELECT
        audits.units,
        audits.n_in_sync,
        audits.n_drifted,
        audits.n_unknown
    FROM audits
    WHERE audits.account_id = accounts.id
        AND audits.state IN ('succeeded', 'completed_with_unknown')
        AND (audits.selector = 'all' OR audits.slot IS NOT NULL OR instead.no_regular)
    ORDER BY audits.id DESC
    LIMIT 1
) AS last
LEFT JOIN LATERAL (
    SELECT audits.ended_at
    FROM audits
    WHERE audits.account_id = accounts.id
        AND audits.state = 'succeeded'
        AND (audits.selector = 'all' OR audits.slot IS NOT NULL OR instead.no_regular)
    ORDER BY audits.id DESC
    LIMIT 1
) AS success ON TRUE;

-- name: AuditSlots :many
-- What the scheduler looks at: the schedule of each account, if it has one of its own,
-- and the last slot that was taken.
SELECT
    accounts.id AS account_id,
    accounts.name AS account,
    accounts.created_at AS account_created_at,
    audit_schedules.cron,
    audit_schedules.timezone,
    audit_schedules.selector,
    audit_schedules.repair,
    audit_schedules.repair_ceiling,
    audit_schedules.updated_at,
    last.slot AS last_slot,
    coalesce(last.slot_timezone, '')::text AS last_timezone,
    EXISTS (
        SELECT
        FROM audits
        WHERE audits.account_id = accounts.id
            AND audits.ended_at IS NULL
    ) AS under_way
FROM accounts
LEFT JOIN audit_schedules ON audit_schedules.account_id = accounts.id
LEFT JOIN LATERAL (
    SELECT
        audits.slot,
        audits.slot_timezone
    FROM audits
    WHERE audits.account_id = accounts.id
        AND audits.slot IS NOT NULL
    ORDER BY audits.id DESC
    LIMIT 1
) AS last ON TRUE
ORDER BY accounts.id;

-- name: AuditScheduleGet :one
SELECT sqlc.embed(audit_schedules)
FROM audit_schedules
WHERE account_id = @account_id;

-- name: AuditScheduleSet :exec
INSERT INTO audit_schedules (
    account_id,
    cron,
    timezone,
    selector,
    repair,
    repair_ceiling
) VALUES (
    @account_id,
    @cron,
    @timezone,
    @selector,
    @repair,
    @repair_ceiling
)
ON CONFLICT (account_id) DO UPDATE
SET
    cron = excluded.cron,
    timezone = excluded.timezone,
    selector = excluded.selector,
    repair = excluded.repair,
    repair_ceiling = excluded.repair_ceiling,
    updated_at = CASE
        WHEN (audit_schedules.cron, audit_schedules.timezone) IS DISTINCT FROM (excluded.cron, excluded.timezone) THEN now()
        ELSE audit_schedules.updated_at
    END;

-- name: AuditScheduleDelete :execrows
DELETE FROM audit_schedules
WHERE account_id = @account_id;

-- name: AuditDefaultSince :one
-- Since when a default schedule has been known: slots before that were nobody's.
WITH added AS (
    INSERT INTO settings (name, value)
    VALUES (@name, convert_to(now()::text, 'UTF8'))
    ON CONFLICT (name) DO NOTHING
    RETURNING value
)
SELECT convert_from(value, 'UTF8')::timestamptz AS since
FROM added
UNION ALL
SELECT convert_from(value, 'UTF8')::timestamptz
FROM settings
WHERE name = @name
LIMIT 1;

-- name: DatabaseNow :one
SELECT clock_timestamp()::timestamptz AS now;
