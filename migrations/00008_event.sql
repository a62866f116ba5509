-- +goose Up

-- From where an account takes the events of its skills.
CREATE TABLE event_hooks (
    account_id bigint PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    topics     text[] NOT NULL CONSTRAINT event_hooks_topics_check CHECK (cardinality(topics) > 0), -- ARNs
    raw_hash   bytea, -- SHA-256 of the secret that raw messages come with; NULL: none is taken
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Every message that was taken, in the order of its commit: see EventOrderLock. What
-- did not stand in it is empty.
CREATE TABLE events (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key             text NOT NULL CONSTRAINT events_key_key UNIQUE,
    account_id      bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    message_id      text NOT NULL, -- that SNS gave the message, also when it sends it again
    event_key       text NOT NULL, -- of what happened, however many messages tell of it; empty: unknown
    duplicate_of    bigint,        -- the event of the same event_key that came first
    topic           text NOT NULL,
    raw_delivery    boolean NOT NULL,
    name            text NOT NULL,
    status          text NOT NULL,
    skill_id        text NOT NULL,
    vendor_id       text NOT NULL,
    locale          text NOT NULL,
    subscription_id text NOT NULL,
    request_id      text NOT NULL,
    review_id       text NOT NULL,
    actor           text NOT NULL,
    event_at        timestamptz, -- when it happened; NULL: the message does not say
    sent_at         timestamptz, -- when SNS took it; NULL: a raw message does not say
    received_at     timestamptz NOT NULL DEFAULT now(),
    processed_at    timestamptz, -- when its last action had ended; NULL: not yet, or there is nothing to do
    disposition     text NOT NULL CONSTRAINT events_disposition_check CHECK (
        disposition IN ('received', 'acting', 'acted', 'no_rule', 'superseded', 'duplicate', 'empty', 'unknown', 'subscription')
    )
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX events_message_key ON events (account_id, message_id);
CREATE UNIQUE INDEX events_event_key ON events (account_id, event_key) WHERE event_key <> '' AND duplicate_of IS NULL;
-- Each filter of a list has the order of the list behind it.
CREATE INDEX events_account_idx ON events (account_id, id);
CREATE INDEX events_account_name_idx ON events (account_id, name, id);
CREATE INDEX events_name_idx ON events (name, id);
CREATE INDEX events_skill_idx ON events (skill_id, id);
CREATE INDEX events_skill_name_idx ON events (skill_id, name, id);
CREATE INDEX events_received_idx ON events (received_at, id);

-- What the messages said, word for word. No list shows it.
CREATE TABLE event_bodies (
    event_id bigint PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    body     text NOT NULL
);

-- The newest event that was processed of each kind: an older one does not act any more.
CREATE TABLE event_heads (
    account_id bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    skill_id   text NOT NULL,
    name       text NOT NULL,
    locale     text NOT NULL,
    event_at   timestamptz NOT NULL,
    event_id   bigint NOT NULL,
    PRIMARY KEY (account_id, skill_id, name, locale)
) WITH (fillfactor = 80);

-- What an operator wants done when something happens. 'any' stands for every one.
CREATE TABLE event_rules (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    event      text NOT NULL,
    status     text NOT NULL CONSTRAINT event_rules_status_check CHECK (status IN ('any', 'SUCCEEDED', 'FAILED')),
    skill_id   text NOT NULL,
    action     text NOT NULL CONSTRAINT event_rules_action_check CHECK (
        action IN ('resume_rollout', 'start_rollout', 'halt_rollouts', 'refresh_preflight', 'start_audit')
    ),
    argument   text NOT NULL DEFAULT '', -- the rollout's key, or the selector of an audit
    created_by text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_rules_account_idx ON event_rules (account_id, id);

-- What an event had done, planned when it was first processed: a rule that changes
-- later changes nothing here.
CREATE TABLE event_actions (
    event_id bigint NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    seq      integer NOT NULL, -- from 1
    rule_id  bigint NOT NULL,  -- kept when the rule is gone
    action   text NOT NULL,
    argument text NOT NULL,
    state    text NOT NULL DEFAULT 'planned' CONSTRAINT event_actions_state_check CHECK (
        state IN ('planned', 'done', 'nothing', 'refused', 'not_available', 'superseded', 'failed')
    ),
    message  text NOT NULL DEFAULT '',
    ended_at timestamptz,
    PRIMARY KEY (event_id, seq)
);

-- Every event ever taken, for counters that outlive a restart and the events.
CREATE TABLE event_totals (
    account_id bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name       text NOT NULL,
    status     text NOT NULL,
    n          bigint NOT NULL,
    PRIMARY KEY (account_id, name, status)
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE event_totals, event_actions, event_rules, event_heads, event_bodies, events, event_hooks;
