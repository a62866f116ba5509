-- +goose Up

-- No index of targets may depend on what changes in every target's life: then its
-- updates stay within their page (HOT) and touch no index. What is looked for is
-- found by bounds instead: no pending target is before next_seq; every target under
-- way that has no next_at is from open_from up to open_to. Those that go a second time
-- have a next_at: when they are due for a River job, or infinity once they have one.
ALTER TABLE rollouts
    ADD COLUMN next_seq integer NOT NULL DEFAULT 1,
    ADD COLUMN open_from integer NOT NULL DEFAULT 1,
    ADD COLUMN open_to integer NOT NULL DEFAULT 0;
UPDATE rollouts SET open_to = targets WHERE ended_at IS NULL;
-- The state of targets that came out otherwise than well, which few do.
ALTER TABLE targets ADD COLUMN odd target_state;
UPDATE targets SET odd = state WHERE state IN ('failed', 'skipped', 'canceled');
DROP INDEX targets_pending_idx;
DROP INDEX targets_open_idx;
DROP INDEX targets_odd_idx;
CREATE INDEX targets_odd_idx ON targets (rollout_id, odd, seq) WHERE odd IS NOT NULL;
ALTER TABLE targets SET (fillfactor = 70);

-- +goose Down
DROP INDEX targets_odd_idx;
ALTER TABLE targets SET (fillfactor = 80);
ALTER TABLE targets DROP COLUMN odd;
ALTER TABLE rollouts DROP COLUMN next_seq, DROP COLUMN open_from, DROP COLUMN open_to;
UPDATE targets SET next_at = now() WHERE next_at = 'infinity';
CREATE INDEX targets_pending_idx ON targets (rollout_id, seq) WHERE state = 'pending';
CREATE INDEX targets_open_idx ON targets (rollout_id, seq) WHERE state IN ('queued', 'running', 'verifying');
CREATE INDEX targets_odd_idx ON targets (rollout_id, state, seq) WHERE state IN ('failed', 'skipped', 'canceled');
