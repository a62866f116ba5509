-- name: TargetPick :many
-- The next pending targets of one wave, in order. It and TargetQueue are two
-- statements so that each has one plan only: joined, a planner that knows little of
-- a new rollout walked all of it for each picked row.
SELECT
    seq,
    unit_id
FROM targets
WHERE rollout_id = @rollout_id
    AND state = 'pending'
    AND seq >= @next_seq
    AND seq <= @wave_end
ORDER BY seq
LIMIT @max_rows;

-- name: TargetPickInZones :many
-- As TargetPick, of properties in some time zones only.
SELECT
    targets.seq,
    targets.unit_id
FROM targets
JOIN units ON units.id = targets.unit_id
LEFT JOIN properties ON properties.account_id = units.account_id AND properties.name = units.property
WHERE targets.rollout_id = @rollout_id
    AND targets.state = 'pending'
    AND targets.seq >= @next_seq
    AND targets.seq <= @wave_end
    AND coalesce(properties.timezone, '') = ANY (@zones::text[])
ORDER BY targets.seq
LIMIT @max_rows;

-- name: TargetQueue :many
-- Queues picked targets. Homes that are occupied by now are skipped here and cost
-- no job.
UPDATE targets
SET
    state = CASE WHEN left_alone THEN 'skipped'::target_state ELSE 'queued'::target_state END,
    odd = CASE WHEN left_alone THEN 'skipped'::target_state END,
    reason = CASE WHEN left_alone THEN 'occupied' ELSE '' END,
    ended_at = CASE WHEN left_alone THEN now() END
FROM (
    SELECT
        id,
        occupancy <> 'vacant' AND NOT @include_occupied::boolean AS left_alone
    FROM units
    WHERE id = ANY (@unit_ids::bigint[])
) AS home
WHERE targets.rollout_id = @rollout_id
    AND targets.seq = ANY (@seqs::integer[])
    AND home.id = targets.unit_id
RETURNING targets.seq, targets.unit_id, targets.state, targets.want_stage;

-- name: TargetRecall :one
-- Takes back what is queued: first releases, which are within bounds, and those that
-- wait to go again.
WITH recalled AS (
    UPDATE targets
    SET
        state = 'pending',
        next_at = NULL
    WHERE targets.rollout_id = @rollout_id
        AND targets.state = 'queued'
        AND targets.seq >= @open_from
        AND targets.seq < @open_to
        AND targets.next_at IS NULL
    RETURNING targets.seq
),
recalled_again AS (
    UPDATE targets
    SET
        state = 'pending',
        next_at = NULL
    WHERE targets.rollout_id = @rollout_id
        AND targets.state = 'queued'
        AND targets.next_at IS NOT NULL
    RETURNING targets.seq
)
SELECT
    count(*)::integer AS n,
    coalesce(min(seq), 0)::integer AS first
FROM (
    SELECT seq FROM recalled
    UNION ALL
    SELECT seq FROM recalled_again
) AS back;

-- name: TargetCancel :one
-- One chunk of what has not started.
WITH canceled AS (
    UPDATE targets
    SET
        state = 'canceled',
        odd = 'canceled',
        next_at = NULL,
        ended_at = now()
    WHERE targets.rollout_id = @rollout_id
        AND targets.seq IN (
            SELECT t.seq
            FROM targets AS t
            WHERE t.rollout_id = @rollout_id
                AND t.state = 'pending'
                AND t.seq >= @next_seq
            ORDER BY t.seq
            LIMIT @max_rows
        )
    RETURNING targets.seq
)
SELECT
    count(*)::integer AS n,
    coalesce(max(seq), 0)::integer AS last
FROM canceled;

-- name: TargetRetry :one
WITH retried AS (
    UPDATE targets
    SET
        state = 'pending',
        odd = NULL,
        reason = '',
        message = '',
        attempts = 0,
        writes = 0,
        ended_at = NULL,
        verify_by = NULL,
        after = NULL
    WHERE rollout_id = @rollout_id
        AND odd = 'failed'
        AND (cardinality(@reasons::text[]) = 0 OR reason = ANY (@reasons::text[]))
    RETURNING seq
)
SELECT
    count(*)::integer AS n,
    coalesce(min(seq), 0)::integer AS first
FROM retried;

-- name: TargetFailedUnits :many
SELECT unit_id
FROM targets
WHERE rollout_id = @rollout_id
    AND odd = 'failed'
    AND (cardinality(@reasons::text[]) = 0 OR reason = ANY (@reasons::text[]));

-- name: TargetFirstOpen :one
-- The first target under way within bounds, or 0.
SELECT coalesce(min(seq), 0)::integer
FROM targets
WHERE rollout_id = @rollout_id
    AND seq >= @open_from
    AND seq < @open_to
    AND state IN ('queued', 'running', 'verifying')
    AND next_at IS NULL;

-- name: TargetClaim :many
-- Takes targets for one process, job by job, and counts them. A queued one only
-- while its rollout runs; one being verified always, for reads go on; a running one
-- only by the job that already had it.
--
-- The caller holds the locks of the rollouts, so what locked shows is how they are.
-- claimed_from keeps the state that a target had.
WITH locked AS (
    SELECT *
    FROM rollouts
    WHERE id = ANY (@ids::bigint[])
),
claimed AS (
    UPDATE targets
    SET
        claimed_from = targets.state,
        state = 'running',
        job_id = want.job_id,
        process_id = @process_id,
        next_at = CASE WHEN targets.next_at IS NOT NULL THEN 'infinity'::timestamptz END,
        started_at = coalesce(targets.started_at, now())
    FROM locked
    JOIN (
        SELECT
            unnest(@rollout_ids::bigint[]) AS rollout_id,
            unnest(@seqs::integer[]) AS seq,
            unnest(@job_ids::bigint[]) AS job_id
    ) AS want ON want.rollout_id = locked.id
    WHERE targets.rollout_id = want.rollout_id
        AND targets.seq = want.seq
        AND targets.rollout_id = ANY (@ids::bigint[]) -- said twice: the key's index finds just these,
        AND targets.seq = ANY (@seqs::integer[]) -- and without nested loops (see Store.ledger) a hash join follows
        AND (
            (targets.state = 'queued' AND locked.state = 'running')
            OR targets.state = 'verifying'
            OR (targets.state = 'running' AND targets.job_id = want.job_id)
        )
    RETURNING
        targets.rollout_id,
        targets.seq,
        targets.unit_id,
        targets.attempts,
        targets.writes,
        targets.requests,
        targets.verify_by,
        targets.before,
        targets.claimed_from,
        targets.job_id,
        targets.want_stage,
        targets.only_if,
        locked.skill_id
),
moved AS (
    UPDATE rollouts
    SET
        n_pending = locked.n_pending,
        n_queued = locked.n_queued - m.queued,
        n_running = locked.n_running + m.queued + m.verifying,
        n_verifying = locked.n_verifying - m.verifying,
        n_succeeded = locked.n_succeeded,
        n_failed = locked.n_failed,
        n_skipped = locked.n_skipped,
        n_canceled = locked.n_canceled
    FROM (
        SELECT
            rollout_id,
            count(*) FILTER (WHERE claimed_from = 'queued') AS queued,
            count(*) FILTER (WHERE claimed_from = 'verifying') AS verifying
        FROM claimed
        GROUP BY rollout_id
    ) AS m
    JOIN locked ON locked.id = m.rollout_id
    WHERE rollouts.id = m.rollout_id
        AND rollouts.id = ANY (@ids::bigint[])
)
SELECT
    claimed.rollout_id,
    claimed.seq,
    claimed.unit_id,
    claimed.skill_id,
    claimed.attempts,
    claimed.writes,
    claimed.requests,
    claimed.verify_by,
    claimed.before,
    claimed.claimed_from,
    claimed.job_id,
    claimed.want_stage,
    claimed.only_if
FROM claimed;

-- name: TargetSights :many
-- The units of claimed targets and what was last seen of them, asked for when the
-- lock is gone. A complete list of a unit is a sight of every skill on it.
SELECT
    want.id::bigint AS unit_row,
    want.skill_id::integer AS skill_id,
    units.unit_id,
    units.occupancy,
    (observed.status IS NOT NULL OR unit_sights.seen_at IS NOT NULL)::boolean AS looked,
    coalesce(observed.status, 'ABSENT')::text AS status,
    coalesce(observed.stage, '')::text AS stage,
    coalesce(observed.account_link, '')::text AS account_link,
    coalesce(greatest(observed.observed_at, unit_sights.seen_at), 'epoch')::timestamptz AS observed_at
FROM (
    SELECT
        unnest(@unit_rows::bigint[]) AS id,
        unnest(@skill_ids::integer[]) AS skill_id
) AS want
JOIN units ON units.id = want.id
    AND units.id = ANY (@unit_rows::bigint[]) -- said twice, as in TargetClaim
LEFT JOIN observed ON observed.unit_id = want.id
    AND observed.skill_id = want.skill_id
    AND observed.unit_id = ANY (@unit_rows::bigint[])
    AND observed.skill_id = ANY (@skill_ids::integer[])
LEFT JOIN unit_sights ON unit_sights.unit_id = want.id
    AND unit_sights.unit_id = ANY (@unit_rows::bigint[]);

-- name: ObservedForget :exec
-- What was seen of a unit is no ground for anything while a write is in doubt: an
-- empty status says so, also where there was no row, which may mean absent.
INSERT INTO observed (unit_id, skill_id, status, stage, account_link, observed_at, changed_at)
SELECT
    targets.unit_id,
    rollouts.skill_id,
    '',
    '',
    '',
    now(),
    now()
FROM targets
JOIN rollouts ON rollouts.id = targets.rollout_id
WHERE targets.rollout_id = @rollout_id
    AND targets.seq = ANY (@seqs::integer[])
ON CONFLICT (unit_id, skill_id) DO UPDATE
SET
    status = '',
    stage = '',
    account_link = '',
    observed_at = excluded.observed_at,
    changed_at = excluded.changed_at;

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
SET next_at = 'infinity'
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
FROM rollouts
JOIN targets ON targets.rollout_id = rollouts.id AND targets.seq >= rollouts.open_from AND targets.seq < rollouts.open_to
WHERE rollouts.ended_at IS NULL
    AND targets.state IN ('queued', 'running', 'verifying')
    AND targets.next_at IS NULL
UNION ALL
SELECT
    targets.rollout_id,
    targets.seq,
    coalesce(targets.job_id, 0)::bigint AS job_id
FROM targets
WHERE targets.next_at = 'infinity';

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
        AND (t.next_at IS NULL OR t.next_at = 'infinity')
) AS orphan
WHERE targets.rollout_id = @rollout_id
    AND targets.seq = orphan.seq
RETURNING targets.seq, orphan.prior;

-- name: TargetList :many
SELECT
    targets.seq,
    targets.state,
    targets.reason,
    targets.message,
    targets.attempts,
    targets.requests,
    targets.request_id,
    targets.started_at,
    targets.ended_at,
    targets.before,
    targets.after,
    units.unit_id AS unit,
    units.property
FROM targets
JOIN units ON units.id = targets.unit_id
WHERE targets.rollout_id = @rollout_id
    AND targets.seq > @after_seq
    AND (@state::text = '' OR targets.state = @state::target_state)
    AND (@reason::text = '' OR targets.reason = @reason)
    AND (@property::text = '' OR units.property = @property)
ORDER BY targets.seq
LIMIT @max_rows;

-- name: TargetListOdd :many
-- Failed, skipped or canceled targets: a query of its own, so that its plan always
-- walks their index.
SELECT
    targets.seq,
    targets.state,
    targets.reason,
    targets.message,
    targets.attempts,
    targets.requests,
    targets.request_id,
    targets.started_at,
    targets.ended_at,
    targets.before,
    targets.after,
    units.unit_id AS unit,
    units.property
FROM targets
JOIN units ON units.id = targets.unit_id
WHERE targets.rollout_id = @rollout_id
    AND targets.odd = @state::target_state
    AND targets.seq > @after_seq
    AND (@reason::text = '' OR targets.reason = @reason)
    AND (@property::text = '' OR units.property = @property)
ORDER BY targets.seq
LIMIT @max_rows;

-- name: TargetListOpen :many
-- Queued, running or verifying targets, found as the sweep finds them.
SELECT
    targets.seq,
    targets.state,
    targets.reason,
    targets.message,
    targets.attempts,
    targets.requests,
    targets.request_id,
    targets.started_at,
    targets.ended_at,
    targets.before,
    targets.after,
    units.unit_id AS unit,
    units.property
FROM (
    SELECT t.seq
    FROM targets AS t
    WHERE t.rollout_id = @rollout_id
        AND t.seq >= @open_from
        AND t.seq < @open_to
        AND t.state = @state::target_state
        AND t.next_at IS NULL
    UNION ALL
    SELECT t.seq
    FROM targets AS t
    WHERE t.next_at IS NOT NULL
        AND t.rollout_id = @rollout_id
        AND t.state = @state::target_state
) AS open
JOIN targets ON targets.rollout_id = @rollout_id AND targets.seq = open.seq
JOIN units ON units.id = targets.unit_id
WHERE targets.seq > @after_seq
    AND (@reason::text = '' OR targets.reason = @reason)
    AND (@property::text = '' OR units.property = @property)
ORDER BY targets.seq
LIMIT @max_rows;
