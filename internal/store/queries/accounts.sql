-- name: AccountInsert :one
INSERT INTO accounts (
    name,
    region,
    api_url,
    token_url,
    link_mode,
    code_url,
    redirect_uris,
    protected_skills,
    countries
) VALUES (
    @name,
    @region,
    @api_url,
    @token_url,
    @link_mode,
    @code_url,
    @redirect_uris,
    @protected_skills,
    @countries
)
RETURNING id;

-- blocked_until is never infinite here: Go has no such time.
-- name: AccountGet :one
SELECT
    sqlc.embed(accounts),
    credentials.client_id,
    credentials.state,
    credentials.state_reason,
    budgets.rate_limit,
    budgets.rate,
    budgets.burst,
    greatest(budgets.blocked_until, to_timestamp(0))::timestamptz AS blocked_until,
    now()::timestamptz AS now
FROM accounts
JOIN credentials ON credentials.account_id = accounts.id AND credentials.kind = 'enterprise'
JOIN budgets ON budgets.account_id = accounts.id AND budgets.kind = 'enterprise'
WHERE accounts.name = @name;

-- name: AccountList :many
SELECT
    sqlc.embed(accounts),
    credentials.client_id,
    credentials.state,
    credentials.state_reason,
    budgets.rate_limit,
    budgets.rate,
    budgets.burst,
    greatest(budgets.blocked_until, to_timestamp(0))::timestamptz AS blocked_until,
    now()::timestamptz AS now
FROM accounts
JOIN credentials ON credentials.account_id = accounts.id AND credentials.kind = 'enterprise'
JOIN budgets ON budgets.account_id = accounts.id AND budgets.kind = 'enterprise'
WHERE accounts.name > @after
ORDER BY accounts.name
LIMIT @max_rows;

-- name: AccountID :one
SELECT id
FROM accounts
WHERE name = @name;

-- name: AccountLock :one
SELECT *
FROM accounts
WHERE name = @name
FOR UPDATE;

-- name: AccountUpdate :exec
UPDATE accounts
SET
    region = @region,
    api_url = @api_url,
    token_url = @token_url,
    link_mode = @link_mode,
    code_url = @code_url,
    redirect_uris = @redirect_uris,
    protected_skills = @protected_skills,
    countries = @countries,
    updated_at = now()
WHERE id = @id;

-- name: AccountHasRollouts :one
SELECT EXISTS (
    SELECT 1
    FROM rollouts
    WHERE account_id = @account_id
);

-- name: AccountHasUnits :one
SELECT EXISTS (
    SELECT 1
    FROM units
    WHERE account_id = @account_id
);

-- name: AccountDeleteObserved :exec
DELETE FROM observed
USING units
WHERE observed.unit_id = units.id
    AND units.account_id = @account_id;

-- name: AccountDeleteUnits :execrows
DELETE FROM units
WHERE account_id = @account_id;

-- name: AccountDeleteAudits :exec
-- What was seen, not what was done: it goes with the account.
WITH forgotten AS (
    DELETE FROM drifts
    WHERE drifts.account_id = @account_id
),
unseen AS (
    DELETE FROM unit_sights
    WHERE unit_sights.account_id = @account_id
)
DELETE FROM audits
WHERE audits.account_id = @account_id;

-- name: AccountDelete :exec
DELETE FROM accounts
WHERE id = @id;

-- name: AccountNotify :exec
SELECT pg_notify('fleet_account', @account_id::text);

-- name: BudgetInsert :exec
INSERT INTO budgets (
    account_id,
    kind,
    rate_limit,
    rate,
    burst,
    blocked_until,
    blocked_at
) VALUES (
    @account_id,
    @kind,
    @rate_limit,
    @rate,
    @burst,
    to_timestamp(0),
    to_timestamp(0)
);

-- A rate of auto begins with the rate that was sent at before, and learns anew.
-- name: BudgetSetRate :exec
UPDATE budgets
SET
    rate_limit = @rate_limit::double precision,
    rate = CASE WHEN @rate_limit::double precision > 0 THEN @rate_limit::double precision ELSE rate END,
    burst = @burst,
    tat = greatest(tat, clock_timestamp()), -- idle time before the change buys no burst after it
    learnt = CASE WHEN rate_limit = @rate_limit::double precision THEN learnt ELSE '{}' END,
    updated_at = now()
WHERE account_id = @account_id
    AND kind = @kind;

-- name: BudgetSetBurst :exec
UPDATE budgets
SET
    burst = @burst,
    updated_at = now()
WHERE account_id = @account_id
    AND kind = @kind;

-- name: BudgetDelete :exec
DELETE FROM budgets
WHERE account_id = @account_id
    AND kind = @kind;

-- Every process hears of it, and looks at its credentials anew.
-- name: AccountTouch :exec
UPDATE accounts
SET updated_at = now()
WHERE id = @id;
