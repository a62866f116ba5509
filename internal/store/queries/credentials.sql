-- name: CredentialInsert :exec
INSERT INTO credentials (
    account_id,
    kind,
    vendor_id,
    client_id,
    client_secret,
    refresh_token,
    refreshing_until
) VALUES (
    @account_id,
    @kind,
    @vendor_id,
    @client_id,
    @client_secret,
    @refresh_token,
    to_timestamp(0)
);

-- A credential set anew has no access token, nobody refreshing it, no fault, and no
-- endpoint: it may be that of another customer.
-- name: CredentialSet :execrows
UPDATE credentials
SET
    vendor_id = coalesce(sqlc.narg('vendor_id'), vendor_id),
    client_id = coalesce(sqlc.narg('client_id'), client_id),
    client_secret = coalesce(sqlc.narg('client_secret'), client_secret),
    refresh_token = coalesce(sqlc.narg('refresh_token'), refresh_token),
    access_token = NULL,
    access_expires_at = NULL,
    refreshing_until = to_timestamp(0),
    state = 'ready',
    state_reason = '',
    endpoint = '',
    updated_at = now()
WHERE account_id = @account_id
    AND kind = @kind;

-- Without its secrets, and with its budget. blocked_until is never infinite here: Go
-- has no such time.
-- name: CredentialList :many
SELECT
    credentials.kind,
    credentials.client_id,
    credentials.vendor_id,
    credentials.state,
    credentials.state_reason,
    credentials.updated_at,
    budgets.rate_limit,
    budgets.rate,
    budgets.burst,
    greatest(budgets.blocked_until, to_timestamp(0))::timestamptz AS blocked_until,
    now()::timestamptz AS now
FROM credentials
JOIN budgets ON budgets.account_id = credentials.account_id AND budgets.kind = credentials.kind
WHERE credentials.account_id = @account_id
    AND (@kind::text = '' OR credentials.kind = @kind::text)
ORDER BY credentials.kind;

-- name: CredentialDelete :execrows
DELETE FROM credentials
WHERE account_id = @account_id
    AND kind = @kind;

-- name: CredentialGet :one
SELECT
    client_id,
    client_secret,
    refresh_token,
    access_token,
    access_expires_at,
    state,
    state_reason
FROM credentials
WHERE account_id = @account_id
    AND kind = @kind;

-- name: CredentialLease :execrows
UPDATE credentials
SET refreshing_until = clock_timestamp() + make_interval(secs => @ttl_seconds::double precision)
WHERE account_id = @account_id
    AND kind = @kind
    AND refreshing_until < clock_timestamp();

-- name: CredentialSave :exec
UPDATE credentials
SET
    access_token = @access_token,
    access_expires_at = @access_expires_at,
    refresh_token = coalesce(sqlc.narg('refresh_token'), refresh_token),
    refreshing_until = to_timestamp(0),
    state = 'ready',
    state_reason = '',
    updated_at = now()
WHERE account_id = @account_id
    AND kind = @kind;

-- name: CredentialRefuse :exec
UPDATE credentials
SET
    access_token = NULL,
    access_expires_at = NULL,
    refreshing_until = to_timestamp(0),
    state = 'unauthorized',
    state_reason = @state_reason,
    updated_at = now()
WHERE account_id = @account_id
    AND kind = @kind;

-- name: CredentialLock :one
SELECT refresh_token
FROM credentials
WHERE account_id = @account_id
    AND kind = @kind
FOR UPDATE;

-- name: CredentialEndLease :exec
UPDATE credentials
SET refreshing_until = to_timestamp(0)
WHERE account_id = @account_id
    AND kind = @kind;

-- name: CredentialEndpoint :one
SELECT endpoint
FROM credentials
WHERE account_id = @account_id
    AND kind = @kind;

-- name: CredentialRememberEndpoint :exec
UPDATE credentials
SET endpoint = @endpoint
WHERE account_id = @account_id
    AND kind = @kind
    AND endpoint = @was;
