-- name: AccountWork :many
-- The accounts as the workers need them; a credential that was refused stops one.
SELECT
    accounts.id,
    accounts.name,
    accounts.api_url,
    accounts.token_url,
    accounts.link_mode,
    accounts.code_url,
    accounts.redirect_uris,
    accounts.updated_at,
    budgets.rate,
    credentials.state,
    credentials.state_reason
FROM accounts
JOIN budgets ON budgets.account_id = accounts.id AND budgets.kind = 'enterprise'
JOIN credentials ON credentials.account_id = accounts.id AND credentials.kind = 'enterprise'
ORDER BY accounts.id;

-- name: CredentialWork :many
-- The credentials beside those of unit management.
SELECT
    account_id,
    kind,
    vendor_id
FROM credentials
WHERE kind <> 'enterprise'
ORDER BY
    account_id,
    kind;

-- name: AccountNames :many
SELECT
    id,
    name
FROM accounts
ORDER BY id;
