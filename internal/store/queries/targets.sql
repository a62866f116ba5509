-- name: TargetPick :many
-- The next pending targets of one wave, in order. It and TargetQueue are two
-- statements so that each has one plan only: joined, a planner that knows little of
-- a new rollout walked all of it for each picked row.
SELECT seq
FROM targets
WHERE rollout_id = @rollout_id
    AND state = 'pending'
    AND seq <= @wave_end
ORDER BY seq
LIMIT @max_rows;

-- name: TargetPickInZones :many
-- As TargetPick, of properties in some time zones only.
SELECT targets.seq
FROM targets
JOIN units ON units.id = targets.unit_id
LEFT JOIN properties ON properties.account_id = units.account_id AND properties.name = units.property
WHERE targets.rollout_id = @rollout_id
    AND targets.state = 'pending'
    AND targets.seq <= @wave_end
    AND coalesce(properties.timezone, '') = ANY (@zones::text[])
ORDER BY targets.seq
LIMIT @max_rows;

-- name: TargetQueue :many
-- Queues picked targets. Homes that are occupied by now are skipped here and cost
-- no job.
UPDATE targets
SET
    state = CASE
        WHEN units.occupancy <> 'vacant' AND NOT @include_occupied::boolean THEN 'skipped'::target_state
        ELSE 'queued'::target_state
    END,
    reason = CASE WHEN units.occupancy <> 'vacant' AND NOT @include_occupied::boolean THEN 'occupied' ELSE '' END,
    ended_at = CASE WHEN units.occupancy <> 'vacant' AND NOT @include_occupied::boolean THEN now() END
FROM units
WHERE targets.rollout_id = @rollout_id
    AND targets.seq = ANY (@seqs::integer[])
    AND units.id = targets.unit_id
RETURNING targets.seq, targets.state;

-- name: TargetPendingInWave :one
SELECT EXISTS (
    SELECT 1
    FROM targets
    WHERE rollout_id = @rollout_id
        AND state = 'pending'
        AND seq <= @wave_end
);

-- name: TargetRecall :execrows
UPDATE targets
SET
    state = 'pending',
    next_at = NULL
WHERE rollout_id = @rollout_id
    AND state = 'queued';

-- name: TargetCancel :execrows
-- One chunk of what has not started.
UPDATE targets
SET
    state = 'canceled',
    next_at = NULL,
    ended_at = now()
WHERE targets.rollout_id = @rollout_id
    AND targets.seq IN (
        SELECT t.seq
        FROM targets AS t
        WHERE t.rollout_id = @rollout_id
            AND t.state = 'pending'
        LIMIT @max_rows
    );

-- name: TargetRetry :execrows
UPDATE targets
SET
    state = 'pending',
    reason = '',
    message = '',
    attempts = 0,
    writes = 0,
    ended_at = NULL,
    verify_by = NULL,
    after = NULL
WHERE rollout_id = @rollout_id
    AND state = 'failed'
    AND (cardinality(@reasons::text[]) = 0 OR reason = ANY (@reasons::text[]));

-- name: TargetFailedUnits :many
SELECT unit_id
FROM targets
WHERE rollout_id = @rollout_id
    AND state = 'failed'
    AND (cardinality(@reasons::text[]) = 0 OR reason = ANY (@reasons::text[]));

-- name: TargetClaim :many
-- Takes targets for one process, job by job. A queued one only while its rollout
-- runs; one being verified always, for reads go on; a running one only by the job
-- that already had it.
UPDATE targets
SET
    state = 'running',
    job_id = claim.job_id,
    process_id = @process_id,
    next_at = NULL,
    started_at = coalesce(targets.started_at, now())
FROM (
    SELECT
        t.rollout_id,
        t.seq,
        t.state AS prior,
        w.job_id::bigint AS job_id,
        u.unit_id,
        u.occupancy,
        o.status,
        o.stage,
        o.account_link,
        o.observed_at
    FROM (
        SELECT
            unnest(@rollout_ids::bigint[]) AS rollout_id,
            unnest(@seqs::integer[]) AS seq,
            unnest(@job_ids::bigint[]) AS job_id
    ) AS w
    JOIN targets AS t ON t.rollout_id = w.rollout_id AND t.seq = w.seq
    JOIN rollouts AS r ON r.id = t.rollout_id
    JOIN units AS u ON u.id = t.unit_id
    LEFT JOIN observed AS o ON o.unit_id = t.unit_id AND o.skill_id = r.skill_id
    WHERE (t.state = 'queued' AND r.state = 'running')
        OR t.state = 'verifying'
        OR (t.state = 'running' AND t.job_id = w.job_id)
) AS claim
WHERE targets.rollout_id = claim.rollout_id
    AND targets.seq = claim.seq
RETURNING
    targets.rollout_id,
    targets.seq,
    targets.unit_id AS unit_row,
    targets.attempts,
    targets.writes,
    targets.requests,
    targets.verify_by,
    targets.before,
    claim.prior,
    claim.job_id::bigint AS job_id,
    claim.unit_id,
    claim.occupancy,
    claim.status,
    claim.stage,
    claim.account_link,
    claim.observed_at;

-- name: TargetRecord :many
-- What became of claimed targets. One that is not this job's any more, or has an
-- outcome, is left as it is: a late or repeated record changes nothing.
UPDATE targets
SET
    state = r.state::target_state,
    reason = r.reason,
    message = r.message,
    attempts = r.attempts,
    writes = r.writes,
    requests = r.requests,
    request_id = r.request_id,
    next_at = r.next_at,
    verify_by = r.verify_by,
    before = r.before,
    after = r.after,
    ended_at = CASE WHEN r.state IN ('succeeded', 'failed', 'skipped', 'canceled') THEN now() END,
    job_id = NULL,
    process_id = NULL
FROM jsonb_to_recordset(@records::jsonb) AS r (
    rollout_id bigint,
    seq integer,
    job_id bigint,
    state text,
    reason text,
    message text,
    attempts smallint,
    writes smallint,
    requests integer,
    request_id text,
    next_at timestamptz,
    verify_by timestamptz,
    before jsonb,
    after jsonb
)
WHERE targets.rollout_id = r.rollout_id
    AND targets.seq = r.seq
    AND targets.state = 'running'
    AND targets.job_id = r.job_id
    AND targets.process_id = @process_id
RETURNING targets.rollout_id, targets.seq, r.job_id::bigint AS job_id;

-- name: ObservedUpsert :exec
INSERT INTO observed (unit_id, skill_id, status, stage, account_link, observed_at, changed_at)
SELECT DISTINCT ON (r.unit_row, ro.skill_id)
    r.unit_row,
    ro.skill_id,
    r.after ->> 'status',
    coalesce(r.after ->> 'stage', ''),
    coalesce(r.after ->> 'account_link', ''),
    (r.after ->> 'observed_at')::timestamptz,
    (r.after ->> 'observed_at')::timestamptz
FROM jsonb_to_recordset(@records::jsonb) AS r (rollout_id bigint, unit_row bigint, after jsonb)
JOIN rollouts AS ro ON ro.id = r.rollout_id
WHERE r.after IS NOT NULL
ORDER BY r.unit_row, ro.skill_id, (r.after ->> 'observed_at')::timestamptz DESC
ON CONFLICT (unit_id, skill_id) DO UPDATE
SET
    changed_at = CASE
        WHEN (observed.status, observed.stage, observed.account_link)
            IS DISTINCT FROM (excluded.status, excluded.stage, excluded.account_link)
            THEN excluded.observed_at
        ELSE observed.changed_at
    END,
    status = excluded.status,
    stage = excluded.stage,
    account_link = excluded.account_link,
    observed_at = excluded.observed_at
WHERE observed.observed_at < excluded.observed_at;

-- name: ObservedForget :exec
-- What was seen of a unit is no ground for anything while a write is in doubt.
DELETE FROM observed
USING
    jsonb_to_recordset(@records::jsonb) AS r (rollout_id bigint, unit_row bigint, in_doubt boolean),
    rollouts AS ro
WHERE r.in_doubt
    AND ro.id = r.rollout_id
    AND observed.unit_id = r.unit_row
    AND observed.skill_id = ro.skill_id;

-- name: TargetTotalsAdd :exec
INSERT INTO target_totals (account_id, action, state, reason, n)
VALUES (@account_id, @action, @state, @reason, @n)
ON CONFLICT (account_id, action, state, reason) DO UPDATE
SET n = target_totals.n + excluded.n;

-- name: TargetTotals :many
SELECT
    accounts.name AS account,
    target_totals.action,
    target_totals.state,
    target_totals.reason,
    target_totals.n
FROM target_totals
JOIN accounts ON accounts.id = target_totals.account_id;

-- name: TargetDue :many
-- Queued and verifying targets whose time has come and that have no job: they get one.
UPDATE targets
SET next_at = NULL
FROM (
    SELECT
        t.rollout_id,
        t.seq,
        r.account_id
    FROM targets AS t
    JOIN rollouts AS r ON r.id = t.rollout_id
    WHERE t.next_at <= now()
        AND r.ended_at IS NULL
    ORDER BY t.next_at
    LIMIT @max_rows
    FOR UPDATE OF t SKIP LOCKED
) AS due
WHERE targets.rollout_id = due.rollout_id
    AND targets.seq = due.seq
RETURNING targets.rollout_id, targets.seq, due.account_id;

-- name: TargetOutstanding :many
-- Released targets that wait for a job to run or to end. Few ever are: the horizon
-- bounds them.
SELECT
    targets.rollout_id,
    targets.seq,
    coalesce(targets.job_id, 0)::bigint AS job_id
FROM targets
JOIN rollouts ON rollouts.id = targets.rollout_id
WHERE rollouts.ended_at IS NULL
    AND targets.state IN ('queued', 'running', 'verifying')
    AND targets.next_at IS NULL;

-- name: TargetAdopt :many
-- Orphans become due at once, unless a job took them since they were looked at. A
-- running one may have sent a write: it is verified.
UPDATE targets
SET
    state = CASE WHEN targets.state = 'running' THEN 'verifying'::target_state ELSE targets.state END,
    writes = targets.writes + CASE WHEN targets.state = 'running' THEN 1 ELSE 0 END,
    next_at = now(),
    job_id = NULL,
    process_id = NULL
FROM (
    SELECT
        t.seq,
        t.state AS prior
    FROM (
        SELECT
            unnest(@seqs::integer[]) AS seq,
            unnest(@job_ids::bigint[]) AS job_id
    ) AS w
    JOIN targets AS t ON t.rollout_id = @rollout_id AND t.seq = w.seq AND coalesce(t.job_id, 0) = w.job_id
    WHERE t.state IN ('queued', 'running', 'verifying')
        AND t.next_at IS NULL
) AS orphan
WHERE targets.rollout_id = @rollout_id
    AND targets.seq = orphan.seq
RETURNING targets.seq, orphan.prior;

-- name: TargetList :many
SELECT
    sqlc.embed(targets),
    units.unit_id AS unit,
    units.property
FROM targets
JOIN units ON units.id = targets.unit_id
WHERE targets.rollout_id = @rollout_id
    AND targets.seq > @after_seq
    AND (@reason::text = '' OR targets.reason = @reason)
    AND (@property::text = '' OR units.property = @property)
ORDER BY targets.seq
LIMIT @max_rows;

-- name: TargetListByState :many
-- A query of its own, so that its plan always walks the index by state.
SELECT
    sqlc.embed(targets),
    units.unit_id AS unit,
    units.property
FROM targets
JOIN units ON units.id = targets.unit_id
WHERE targets.rollout_id = @rollout_id
    AND targets.state = @state
    AND targets.seq > @after_seq
    AND (@reason::text = '' OR targets.reason = @reason)
    AND (@property::text = '' OR units.property = @property)
ORDER BY targets.seq
LIMIT @max_rows;
