-- +goose Up

-- The vendor (developer account) whose skills a developer credential manages; the
-- other kinds have none.
ALTER TABLE credentials ADD COLUMN vendor_id text NOT NULL DEFAULT ''
    CONSTRAINT credentials_vendor_id_check CHECK ((kind = 'developer') = (vendor_id <> ''));

-- Old keys are deleted by age.
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);

-- +goose Down
DROP INDEX idempotency_keys_created_at_idx;
-- A developer credential is nothing without its vendor, and one would keep this step from
-- going up again.
DELETE FROM credentials WHERE kind = 'developer';
ALTER TABLE credentials DROP COLUMN vendor_id;
