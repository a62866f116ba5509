-- +goose Up

-- Where the account's homes are: ISO 3166-1 alpha-2. Empty: nobody said.
ALTER TABLE accounts ADD COLUMN countries text[] NOT NULL DEFAULT '{}';

-- What was checked before a rollout was created, as evidence. It is not a column of
-- rollouts, whose rows are written many times a second and would carry it each time.
CREATE TABLE rollout_preflights (
    rollout_id bigint PRIMARY KEY REFERENCES rollouts (id) ON DELETE CASCADE,
    report     jsonb NOT NULL
);

-- The latest preflight of each change that one was made for.
CREATE TABLE preflights (
    account_id bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    skill_id   text NOT NULL, -- as it was asked for: it may be no skill at all
    stage      text NOT NULL CONSTRAINT preflights_stage_check CHECK (stage IN ('development', 'certification', 'live')),
    action     text NOT NULL CONSTRAINT preflights_action_check CHECK (action IN ('enable', 'disable')),
    result     text NOT NULL CONSTRAINT preflights_result_check CHECK (result IN ('pass', 'warn', 'fail', 'not_checked')),
    why        text NOT NULL CONSTRAINT preflights_why_check CHECK (
        why IN ('check', 'plan', 'create', 'rollback', 'repair', 'event')
    ),
    report     jsonb NOT NULL,
    checked_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, skill_id, stage, action)
);

-- +goose Down
DROP TABLE preflights, rollout_preflights;
ALTER TABLE accounts DROP COLUMN countries;
