-- $1: the rollouts, $2: the records, $3: the process, $4: the seqs of the records.
-- Written by hand, for sqlc does not follow jsonb_to_recordset into a WITH.
--
-- What became of claimed targets, with the counters of their rollouts, the totals
-- and what was observed. One that is not this job's any more, or has an outcome, is
-- left as it is: a late or repeated record changes nothing.
--
-- queued means that nothing is in doubt: the target goes again at next_at, or back
-- to the backlog, or ends with a rollout that was canceled. The rollouts are locked.
WITH locked AS (
    SELECT *
    FROM rollouts
    WHERE id = ANY ($1::bigint[])
),
given AS MATERIALIZED (
    SELECT
        r.rollout_id,
        r.seq,
        r.job_id,
        r.reason,
        r.message,
        r.attempts,
        r.writes,
        r.requests,
        r.spent,
        r.throttled,
        r.request_id,
        r.next_at,
        r.verify_by,
        r.before,
        r.after,
        r.in_doubt,
        locked.skill_id,
        locked.account_id,
        locked.action,
        CASE
            WHEN r.state <> 'queued' THEN r.state
            WHEN locked.state = 'canceled' THEN 'canceled'
            WHEN locked.state = 'running' AND r.next_at IS NOT NULL THEN 'queued'
            ELSE 'pending'
        END::target_state AS becomes
    FROM jsonb_to_recordset($2::jsonb) AS r (
        rollout_id bigint,
        seq integer,
        job_id bigint,
        state text,
        reason text,
        message text,
        attempts smallint,
        writes smallint,
        requests integer,
        spent integer,
        throttled integer,
        request_id text,
        next_at timestamptz,
        verify_by timestamptz,
        before jsonb,
        after jsonb,
        in_doubt boolean
    )
    JOIN locked ON locked.id = r.rollout_id
),
recorded AS (
    UPDATE targets
    SET
        state = given.becomes,
        odd = CASE WHEN given.becomes IN ('failed', 'skipped', 'canceled') THEN given.becomes END,
        reason = given.reason,
        message = given.message,
        attempts = given.attempts,
        writes = given.writes,
        requests = given.requests,
        request_id = given.request_id,
        next_at = CASE WHEN given.becomes IN ('queued', 'verifying') THEN given.next_at END,
        verify_by = given.verify_by,
        before = given.before,
        after = coalesce(given.after, targets.after), -- a read that failed takes no evidence away
        ended_at = CASE WHEN given.becomes IN ('succeeded', 'failed', 'skipped', 'canceled') THEN now() END,
        job_id = NULL,
        process_id = NULL
    FROM given
    WHERE targets.rollout_id = given.rollout_id
        AND targets.seq = given.seq
        AND targets.rollout_id = ANY ($1::bigint[]) -- said twice, as in TargetClaim
        AND targets.seq = ANY ($4::integer[])
        AND targets.state::text = 'running' -- as text: no index but the key's is a way to these rows
        AND targets.job_id = given.job_id
        AND targets.process_id = $3::bigint
    RETURNING
        targets.rollout_id,
        targets.seq,
        targets.unit_id,
        targets.state,
        targets.reason,
        targets.after,
        given.spent,
        given.throttled,
        given.in_doubt,
        given.skill_id,
        given.account_id,
        given.action
),
moved AS (
    UPDATE rollouts
    SET
        n_pending = locked.n_pending + m.pending,
        n_queued = locked.n_queued + m.queued,
        n_running = locked.n_running - m.n,
        n_verifying = locked.n_verifying + m.verifying,
        n_succeeded = locked.n_succeeded + m.succeeded,
        n_failed = locked.n_failed + m.failed,
        n_skipped = locked.n_skipped + m.skipped,
        n_canceled = locked.n_canceled + m.canceled,
        next_seq = least(locked.next_seq, m.first_pending),
        requests = locked.requests + m.spent,
        throttled = locked.throttled + m.throttled
    FROM (
        SELECT
            rollout_id,
            count(*) AS n,
            count(*) FILTER (WHERE state = 'pending') AS pending,
            min(seq) FILTER (WHERE state = 'pending') AS first_pending,
            count(*) FILTER (WHERE state = 'queued') AS queued,
            count(*) FILTER (WHERE state = 'verifying') AS verifying,
            count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
            count(*) FILTER (WHERE state = 'failed') AS failed,
            count(*) FILTER (WHERE state = 'skipped') AS skipped,
            count(*) FILTER (WHERE state = 'canceled') AS canceled,
            sum(spent) AS spent,
            sum(throttled) AS throttled
        FROM recorded
        GROUP BY rollout_id
    ) AS m
    JOIN locked ON locked.id = m.rollout_id
    WHERE rollouts.id = m.rollout_id
        AND rollouts.id = ANY ($1::bigint[])
),
counted AS (
    INSERT INTO target_totals (account_id, action, state, reason, n)
    SELECT
        account_id,
        action,
        state::text,
        reason,
        count(*)
    FROM recorded
    WHERE state IN ('succeeded', 'failed', 'skipped', 'canceled')
    GROUP BY account_id, action, state, reason
    ORDER BY account_id, action, state::text, reason
    ON CONFLICT (account_id, action, state, reason) DO UPDATE
    SET n = target_totals.n + excluded.n
),
seen AS (
    INSERT INTO observed (unit_id, skill_id, status, stage, account_link, observed_at, changed_at)
    SELECT DISTINCT ON (unit_id, skill_id)
        unit_id,
        skill_id,
        after ->> 'status',
        coalesce(after ->> 'stage', ''),
        coalesce(after ->> 'account_link', ''),
        (after ->> 'observed_at')::timestamptz,
        (after ->> 'observed_at')::timestamptz
    FROM recorded
    WHERE after IS NOT NULL
        AND NOT in_doubt
    ORDER BY unit_id, skill_id, after ->> 'observed_at' DESC
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
    WHERE observed.observed_at < excluded.observed_at
)
SELECT count(*) FROM recorded
