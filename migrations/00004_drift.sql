-- +goose Up

-- When all enablements of a unit were last listed, which is what makes every skill
-- not in observed absent at seen_at. It is also the ledger of audits, so that an
-- audit that finds nothing new writes one row a unit: audit_id is the last audit
-- that answered for the unit, result and reason what it said.
CREATE TABLE unit_sights (
    unit_id    bigint PRIMARY KEY,
    account_id bigint NOT NULL,
    seen_at    timestamptz, -- when the last complete list began; NULL: never seen whole
    audit_id   bigint,
    audited_at timestamptz,
    result     text NOT NULL DEFAULT 'unknown'
               CONSTRAINT unit_sights_result_check CHECK (result IN ('in_sync', 'drifted', 'unknown')),
    reason     text NOT NULL DEFAULT '' -- why unknown
) WITH (fillfactor = 50);
-- Those not in sync are few; an unchanged result keeps the update off the indexes.
CREATE INDEX unit_sights_odd_idx ON unit_sights (account_id, result, unit_id) WHERE result <> 'in_sync';

-- Who set what should be on units, when, and by which rollout.
CREATE TABLE desired_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        text NOT NULL CONSTRAINT desired_changes_key_key UNIQUE,
    account_id bigint NOT NULL REFERENCES accounts (id),
    source     text NOT NULL
               CONSTRAINT desired_changes_source_check CHECK (source IN ('rollout', 'set', 'apply', 'adopt')),
    rollout_id bigint REFERENCES rollouts (id),
    actor      text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    selector   text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX desired_changes_rollout_key ON desired_changes (rollout_id) WHERE rollout_id IS NOT NULL;
CREATE INDEX desired_changes_account_idx ON desired_changes (account_id, id);

-- What should be on a unit: a skill enabled at a stage, or not enabled at all, for
-- which stage is empty.
CREATE TABLE desired (
    unit_id    bigint NOT NULL,
    skill_id   integer NOT NULL,
    stage      text NOT NULL
               CONSTRAINT desired_stage_check CHECK (stage IN ('', 'development', 'certification', 'live')),
    change_id  bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (unit_id, skill_id)
) WITH (fillfactor = 80);

-- Every value that desired ever had; stage is NULL where it was taken away.
CREATE TABLE desired_history (
    unit_id    bigint NOT NULL,
    change_id  bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    skill_id   integer NOT NULL,
    stage      text
);
CREATE INDEX desired_history_unit_idx ON desired_history (unit_id, skill_id);

-- The skills with any desired state in an account: the managed ones.
CREATE TABLE managed_skills (
    account_id bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    skill_id   integer NOT NULL REFERENCES skills (id),
    PRIMARY KEY (account_id, skill_id)
);

-- Nightly audits. What was taken of a schedule stands in audits.slot.
CREATE TABLE audit_schedules (
    account_id     bigint PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    cron           text NOT NULL, -- empty: no audits, whatever fleetd's default is
    timezone       text NOT NULL DEFAULT 'UTC',
    selector       text NOT NULL DEFAULT 'all',
    repair         boolean NOT NULL DEFAULT false, -- repair what an audit of the schedule finds
    repair_ceiling integer NOT NULL DEFAULT 0,     -- above so many findings it only alarms
    updated_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audits (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key              text NOT NULL CONSTRAINT audits_key_key UNIQUE,
    account_id       bigint NOT NULL REFERENCES accounts (id),
    state            text NOT NULL CONSTRAINT audits_state_check CHECK (
        state IN ('running', 'waiting', 'succeeded', 'completed_with_unknown', 'canceled')
    ),
    state_reason     text NOT NULL DEFAULT '',
    selector         text NOT NULL,
    -- The wall-clock time of the schedule's slot, in its time zone: a local time is a
    -- slot once, whatever DST does to it. NULL: a person asked for the audit.
    slot             timestamp,
    slot_timezone    text NOT NULL DEFAULT '',
    repair           boolean NOT NULL DEFAULT false,
    repair_ceiling   integer NOT NULL DEFAULT 0,
    repair_due       timestamptz, -- when somebody sees to the repair that follows; NULL: nobody has to
    units            integer NOT NULL CONSTRAINT audits_units_check CHECK (units >= 0),
    released         integer NOT NULL DEFAULT 0, -- how many were given a job, in the order of the chunks
    swept            integer NOT NULL DEFAULT 0, -- up to which chunk all units were found answered
    n_in_sync        integer NOT NULL DEFAULT 0,
    n_drifted        integer NOT NULL DEFAULT 0,
    n_unknown        integer NOT NULL DEFAULT 0,
    unknown_reasons  jsonb NOT NULL DEFAULT '{}',
    unmanaged        bigint NOT NULL DEFAULT 0,  -- enablements of skills that nothing manages
    wants            jsonb NOT NULL DEFAULT '{}', -- by skill: on how many homes it was wanted, and on how many of those missing
    drift_opened     integer NOT NULL DEFAULT 0,
    drift_resolved   integer NOT NULL DEFAULT 0,
    requests         bigint NOT NULL DEFAULT 0,
    throttled        bigint NOT NULL DEFAULT 0,
    pages            bigint NOT NULL DEFAULT 0,
    created_by       text NOT NULL,
    reason           text NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    ended_at         timestamptz,
    CONSTRAINT audits_counts_whole CHECK (
        least(n_in_sync, n_drifted, n_unknown) >= 0 AND n_in_sync + n_drifted + n_unknown <= units
    )
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX audits_slot_key ON audits (account_id, slot_timezone, slot) WHERE slot IS NOT NULL;
CREATE UNIQUE INDEX audits_open_key ON audits (account_id) WHERE ended_at IS NULL; -- one at a time
CREATE INDEX audits_account_idx ON audits (account_id, id);
CREATE INDEX audits_repair_idx ON audits (repair_due) WHERE repair_due IS NOT NULL;

-- The units of an audit, 200 a row but for the last, so that a million units cost
-- thousands of rows, written once: audits.released counts those that were given a
-- job, and who of them was answered is in unit_sights.
CREATE TABLE audit_chunks (
    audit_id bigint NOT NULL REFERENCES audits (id) ON DELETE CASCADE,
    seq      integer NOT NULL, -- from 1
    units    bigint[] NOT NULL,
    PRIMARY KEY (audit_id, seq)
);

-- The findings of audits. One difference is one row, from the audit that opened it
-- to the sight that resolved it; a later difference of another kind is another row.
CREATE TABLE drifts (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key            text NOT NULL CONSTRAINT drifts_key_key UNIQUE,
    account_id     bigint NOT NULL REFERENCES accounts (id),
    unit_id        bigint NOT NULL,
    property       text NOT NULL, -- of the unit, kept as the unit has it while the finding is open
    skill_id       integer NOT NULL REFERENCES skills (id),
    kind           text NOT NULL CONSTRAINT drifts_kind_check CHECK (
        kind IN ('missing', 'unexpected', 'wrong_stage', 'not_linked', 'stuck_enabling')
    ),
    desired_stage  text, -- empty: disabled; NULL: no desired state of its own
    status         text NOT NULL,
    stage          text NOT NULL DEFAULT '',
    account_link   text NOT NULL DEFAULT '',
    first_seen_at  timestamptz NOT NULL,
    last_good_at   timestamptz, -- NULL: never seen as desired
    cause          text NOT NULL,
    cause_detail   text NOT NULL DEFAULT '',
    opened_by      bigint NOT NULL, -- the audit
    resolved_at    timestamptz,
    ignored_until  timestamptz,
    ignored_by     text NOT NULL DEFAULT '',
    ignore_reason  text NOT NULL DEFAULT ''
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX drifts_open_key ON drifts (unit_id, skill_id) WHERE resolved_at IS NULL;
CREATE INDEX drifts_open_idx ON drifts (account_id, id) WHERE resolved_at IS NULL;
-- Each filter of a list has the order of the list behind it, with an account or without.
CREATE INDEX drifts_property_idx ON drifts (property, account_id, id) WHERE resolved_at IS NULL;
CREATE INDEX drifts_kind_idx ON drifts (kind, account_id, id) WHERE resolved_at IS NULL;
CREATE INDEX drifts_cause_idx ON drifts (cause, account_id, id) WHERE resolved_at IS NULL;
CREATE INDEX drifts_skill_idx ON drifts (skill_id, account_id, id) WHERE resolved_at IS NULL;

-- A rollback puts back what each target had before; a repair says so.
ALTER TABLE rollouts ADD COLUMN origin text NOT NULL DEFAULT ''
    CONSTRAINT rollouts_origin_check CHECK (origin IN ('', 'repair', 'rollback'));
ALTER TABLE rollouts ADD COLUMN rollback_of bigint REFERENCES rollouts (id);
-- What this target is to become, where that is not what the rollout says: a stage,
-- or empty for disabled; and how its home must look for it to be touched.
ALTER TABLE targets ADD COLUMN want_stage text;
ALTER TABLE targets ADD COLUMN only_if jsonb;

ALTER TABLE units ADD COLUMN occupancy_changed_at timestamptz;

-- An audit asks, for hundreds of units at once, what rollouts that have just ended
-- or go on have to do with them. What it costs must not grow with past rollouts.
CREATE INDEX rollouts_ended_idx ON rollouts (account_id, ended_at);
DROP INDEX targets_unit_idx;
CREATE INDEX targets_unit_idx ON targets (unit_id, rollout_id);

-- +goose Down
DROP INDEX targets_unit_idx;
CREATE INDEX targets_unit_idx ON targets (unit_id);
DROP INDEX rollouts_ended_idx;
ALTER TABLE units DROP COLUMN occupancy_changed_at;
ALTER TABLE targets DROP COLUMN only_if;
ALTER TABLE targets DROP COLUMN want_stage;
ALTER TABLE rollouts DROP COLUMN rollback_of;
ALTER TABLE rollouts DROP COLUMN origin;
DROP TABLE drifts, audit_chunks, audits, audit_schedules, managed_skills, desired_history, desired, desired_changes,
    unit_sights;
