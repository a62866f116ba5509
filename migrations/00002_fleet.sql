-- +goose Up

-- What one database must agree on with every process that opens it.
CREATE TABLE settings (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);

-- A fleetd process: it writes seen_at about twice a second. A process not seen for
-- ten seconds is dead, and its own lease on writing ended long before that. place
-- names the machine, its boot and the PID namespace: a process in the same place can
-- see at once that another one there is gone.
CREATE TABLE processes (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CONSTRAINT processes_name_key UNIQUE,
    place       text NOT NULL DEFAULT '',
    pid         integer NOT NULL DEFAULT 0,
    pid_started text NOT NULL DEFAULT '',
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tokens (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL CONSTRAINT tokens_name_check CHECK (name <> ''),
    role         text NOT NULL CONSTRAINT tokens_role_check CHECK (role IN ('viewer', 'operator', 'admin')),
    hash         bytea NOT NULL CONSTRAINT tokens_hash_key UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE UNIQUE INDEX tokens_live_name_key ON tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE accounts (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL CONSTRAINT accounts_name_key UNIQUE
                     CONSTRAINT accounts_name_check CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    region           text NOT NULL DEFAULT '',
    api_url          text NOT NULL,
    token_url        text NOT NULL,
    link_mode        text NOT NULL DEFAULT 'none'
                     CONSTRAINT accounts_link_mode_check CHECK (link_mode IN ('none', 'delegated', 'codes')),
    code_url         text NOT NULL DEFAULT '',
    redirect_uris    text[] NOT NULL DEFAULT '{}',
    protected_skills text[] NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);

-- The secrets of an account, each AES-256-GCM sealed with the row's own associated
-- data. state is unauthorized after LWA said invalid_grant or invalid_client: the
-- account's work stops until the credential is set anew.
CREATE TABLE credentials (
    account_id        bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind              text NOT NULL DEFAULT 'enterprise'
                      CONSTRAINT credentials_kind_check CHECK (kind IN ('enterprise', 'developer', 'customer')),
    client_id         text NOT NULL,
    client_secret     bytea NOT NULL,
    refresh_token     bytea NOT NULL,
    access_token      bytea,
    access_expires_at timestamptz,
    refreshing_until  timestamptz NOT NULL DEFAULT 'epoch',
    state             text NOT NULL DEFAULT 'ready'
                      CONSTRAINT credentials_state_check CHECK (state IN ('ready', 'unauthorized')),
    state_reason      text NOT NULL DEFAULT '',
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, kind)
);

-- One budget per credential: every process reserves its slots here (GCRA). tat is
-- the theoretical arrival time of the next slot. rate_limit is what the operator
-- set, 0 for auto; rate is what is sent at now.
CREATE TABLE budgets (
    account_id    bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind          text NOT NULL DEFAULT 'enterprise',
    rate_limit    double precision NOT NULL DEFAULT 0
                  CONSTRAINT budgets_rate_limit_check CHECK (rate_limit >= 0),
    burst         integer NOT NULL DEFAULT 1 CONSTRAINT budgets_burst_check CHECK (burst >= 1),
    rate          double precision NOT NULL CONSTRAINT budgets_rate_check CHECK (rate > 0),
    tat           timestamptz NOT NULL DEFAULT now(),
    blocked_until timestamptz NOT NULL DEFAULT 'epoch',
    blocked_at    timestamptz NOT NULL DEFAULT 'epoch',
    refusals      integer NOT NULL DEFAULT 0,
    learnt        jsonb NOT NULL DEFAULT '{}',
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, kind)
) WITH (fillfactor = 50);

CREATE TABLE properties (
    account_id bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name       text NOT NULL,
    timezone   text NOT NULL DEFAULT '',
    PRIMARY KEY (account_id, name)
);

-- A unit is never deleted, only removed: past rollouts go on naming it.
CREATE TABLE units (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts (id),
    unit_id    text NOT NULL,
    property   text NOT NULL,
    name       text NOT NULL DEFAULT '',
    occupancy  text NOT NULL DEFAULT 'vacant'
               CONSTRAINT units_occupancy_check CHECK (occupancy IN ('vacant', 'occupied', 'linked')),
    labels     jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    CONSTRAINT units_unit_id_key UNIQUE (account_id, unit_id)
);
CREATE INDEX units_property_idx ON units (account_id, property, id);

CREATE TABLE skills (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    skill_id text NOT NULL CONSTRAINT skills_skill_id_key UNIQUE
);

-- What the API last said of a skill on a unit.
CREATE TABLE observed (
    unit_id      bigint NOT NULL,
    skill_id     integer NOT NULL,
    status       text NOT NULL,
    stage        text NOT NULL DEFAULT '',
    account_link text NOT NULL DEFAULT '',
    observed_at  timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    PRIMARY KEY (unit_id, skill_id)
) WITH (fillfactor = 80);

CREATE TABLE rollouts (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key                    text NOT NULL CONSTRAINT rollouts_key_key UNIQUE,
    account_id             bigint NOT NULL REFERENCES accounts (id),
    action                 text NOT NULL CONSTRAINT rollouts_action_check CHECK (action IN ('enable', 'disable')),
    skill_id               integer NOT NULL REFERENCES skills (id),
    stage                  text NOT NULL
                           CONSTRAINT rollouts_stage_check CHECK (stage IN ('development', 'certification', 'live')),
    state                  text NOT NULL,
    state_reason           text NOT NULL DEFAULT '',
    selector               text NOT NULL,
    targets                integer NOT NULL CONSTRAINT rollouts_targets_check CHECK (targets > 0),
    -- The last seq of each wave, ascending; the last element equals targets.
    wave_ends              integer[] NOT NULL,
    wave_index             integer NOT NULL DEFAULT 0,
    -- Whether this pass over the current wave released anything: an empty wave is not soaked.
    wave_worked            boolean NOT NULL DEFAULT false,
    soak_until             timestamptz,
    soak_ms                bigint NOT NULL DEFAULT 0,
    max_failures           integer NOT NULL,
    acknowledged           integer NOT NULL DEFAULT 0,
    window_start           integer, -- minutes after local midnight
    window_end             integer,
    timezone               text NOT NULL DEFAULT '',
    start_at               timestamptz,
    verify_timeout_ms      bigint NOT NULL,
    observation_max_age_ms bigint, -- NULL: any age will do, never read before writing
    include_occupied       boolean NOT NULL DEFAULT false,
    weight                 integer NOT NULL DEFAULT 1 CONSTRAINT rollouts_weight_check CHECK (weight >= 1),
    price_requests         bigint NOT NULL,
    price_minutes          double precision NOT NULL,
    n_pending              integer NOT NULL DEFAULT 0,
    n_queued               integer NOT NULL DEFAULT 0,
    n_running              integer NOT NULL DEFAULT 0,
    n_verifying            integer NOT NULL DEFAULT 0,
    n_succeeded            integer NOT NULL DEFAULT 0,
    n_failed               integer NOT NULL DEFAULT 0,
    n_skipped              integer NOT NULL DEFAULT 0,
    n_canceled             integer NOT NULL DEFAULT 0,
    requests               bigint NOT NULL DEFAULT 0,
    throttled              bigint NOT NULL DEFAULT 0,
    created_by             text NOT NULL,
    reason                 text NOT NULL DEFAULT '',
    created_at             timestamptz NOT NULL DEFAULT now(),
    started_at             timestamptz,
    ended_at               timestamptz,
    CONSTRAINT rollouts_counts_whole CHECK (
        n_pending + n_queued + n_running + n_verifying + n_succeeded + n_failed + n_skipped + n_canceled = targets
    ),
    CONSTRAINT rollouts_counts_not_negative CHECK (
        least(n_pending, n_queued, n_running, n_verifying, n_succeeded, n_failed, n_skipped, n_canceled) >= 0
    )
) WITH (fillfactor = 50);
CREATE INDEX rollouts_open_idx ON rollouts (account_id, skill_id) WHERE ended_at IS NULL;

CREATE TYPE target_state AS ENUM (
    'pending', 'queued', 'running', 'verifying', 'succeeded', 'failed', 'skipped', 'canceled'
);

-- The backlog and the ledger: one row per unit of a rollout. unit_id has no foreign
-- key because units are never deleted and the check costs a million look-ups.
--
-- running means that a write may have left: whoever finds it so after a crash reads
-- before it writes. job_id and process_id say who has it, claimed_from what it was
-- before; next_at says when a queued or verifying target without a River job is due
-- for one.
CREATE TABLE targets (
    rollout_id bigint NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    seq        integer NOT NULL,
    unit_id    bigint NOT NULL,
    state      target_state NOT NULL,
    attempts   smallint NOT NULL DEFAULT 0,
    writes     smallint NOT NULL DEFAULT 0,
    requests   integer NOT NULL DEFAULT 0,
    job_id     bigint,
    process_id bigint,
    next_at    timestamptz,
    started_at timestamptz,
    ended_at   timestamptz,
    verify_by  timestamptz,
    claimed_from target_state,
    reason     text NOT NULL DEFAULT '',
    message    text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    before     jsonb,
    after      jsonb,
    PRIMARY KEY (rollout_id, seq)
) WITH (fillfactor = 80);
-- One index for each thing that is looked for: the backlog in order, what is under
-- way, and what came out otherwise than well. Most targets end in none of them.
CREATE INDEX targets_pending_idx ON targets (rollout_id, seq) WHERE state = 'pending';
CREATE INDEX targets_open_idx ON targets (rollout_id, seq) WHERE state IN ('queued', 'running', 'verifying');
CREATE INDEX targets_odd_idx ON targets (rollout_id, state, seq) WHERE state IN ('failed', 'skipped', 'canceled');
CREATE INDEX targets_unit_idx ON targets (unit_id);
CREATE INDEX targets_due_idx ON targets (next_at) WHERE next_at IS NOT NULL;

-- Every outcome ever recorded, for counters that outlive a restart.
CREATE TABLE target_totals (
    account_id bigint NOT NULL,
    action     text NOT NULL,
    state      text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    n          bigint NOT NULL,
    PRIMARY KEY (account_id, action, state, reason)
) WITH (fillfactor = 50);

CREATE TABLE log_entries (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    actor  text NOT NULL,
    role   text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    reason text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}'
);

-- The answer to a creating call, kept in the transaction that created.
CREATE TABLE idempotency_keys (
    actor        text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    object       text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);

-- +goose Down
DROP TABLE idempotency_keys, log_entries, target_totals, targets, rollouts, observed, skills, units, properties,
    budgets, credentials, accounts, tokens, processes, settings;
DROP TYPE target_state;
