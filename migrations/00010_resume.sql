-- +goose Up

-- A rollout that was prepared is checked anew when it begins.
ALTER TABLE preflights DROP CONSTRAINT preflights_why_check;
ALTER TABLE preflights ADD CONSTRAINT preflights_why_check CHECK (
    why IN ('check', 'plan', 'create', 'resume', 'rollback', 'repair', 'event')
);

-- +goose Down
DELETE FROM preflights WHERE why = 'resume';
ALTER TABLE preflights DROP CONSTRAINT preflights_why_check;
ALTER TABLE preflights ADD CONSTRAINT preflights_why_check CHECK (
    why IN ('check', 'plan', 'create', 'rollback', 'repair', 'event')
);
