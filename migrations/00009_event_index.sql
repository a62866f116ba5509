-- +goose Up

-- What is left to be done about events: little, among all that are kept.
CREATE INDEX events_open_idx ON events (id) WHERE disposition IN ('received', 'acting');
-- The events of an account's skill, where other accounts have as many of that skill.
CREATE INDEX events_account_skill_idx ON events (account_id, skill_id, id);
CREATE INDEX events_account_skill_name_idx ON events (account_id, skill_id, name, id);

-- +goose Down
DROP INDEX events_account_skill_name_idx;
DROP INDEX events_account_skill_idx;
DROP INDEX events_open_idx;
