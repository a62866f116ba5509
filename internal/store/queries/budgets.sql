-- name: BudgetLock :one
SELECT *
FROM budgets
WHERE account_id = @account_id
    AND kind = @kind
FOR UPDATE;

-- name: BudgetSave :exec
UPDATE budgets
SET
    rate = @rate,
    tat = @tat,
    blocked_until = @blocked_until,
    blocked_at = @blocked_at,
    refusals = @refusals,
    learnt = @learnt,
    updated_at = now()
WHERE account_id = @account_id
    AND kind = @kind;

-- name: BudgetNotify :exec
SELECT pg_notify('fleet_budget', @account_id::bigint || ' ' || @kind::text);

-- name: BudgetNow :one
-- Asked under the lock: a time from before it would hand out slots twice.
SELECT clock_timestamp()::timestamptz AS now;
