-- +goose Up

-- What is left to be done about events: little, among all that are kept.
CREATE INDEX events_open_idx ON events (id) WHERE disposition IN ('received', 'acting');

-- +goose Down
DROP INDEX events_open_idx;
