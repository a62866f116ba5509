-- name: CredentialInsert :exec
INSERT INTO credentials (
    account_id,
    client_id,
    client_secret,
    refresh_token,
    refreshing_until
) VALUES (
    @account_id,
    @client_id,
    @client_secret,
    @refresh_token,
    to_timestamp(0)
);

-- A credential set anew has no access token, nobody refreshing it, and no fault.
-- name: CredentialSet :exec
UPDATE credentials
SET
    client_id = coalesce(sqlc.narg('client_id'), client_id),
    client_secret = coalesce(sqlc.narg('client_secret'), client_secret),
    refresh_token = coalesce(sqlc.narg('refresh_token'), refresh_token),
    access_token = NULL,
    access_expires_at = NULL,
    refreshing_until = to_timestamp(0),
    state = 'ready',
    state_reason = '',
    updated_at = now()
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
