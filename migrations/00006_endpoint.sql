-- +goose Up

-- Base URL of the regional endpoint that served the customer of a customer credential
-- last; empty: none is known.
ALTER TABLE credentials ADD COLUMN endpoint text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE credentials DROP COLUMN endpoint;
