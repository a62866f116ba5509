package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/store/db"
)

// stateUnauthorized is the state of a credential that LWA refused.
const stateUnauthorized = "unauthorized"

// Credential is one credential as lwa sees it: its lwa.Store. It holds nothing;
// every call asks the database.
type Credential struct {
	store     *Store
	accountID int64
	kind      string
}

var _ lwa.Store = (*Credential)(nil)

// Credential returns the credential of an account and a kind.
func (s *Store) Credential(accountID int64, kind string) *Credential {
	return &Credential{store: s, accountID: accountID, kind: kind}
}

// Load returns the credential as it stands now, its secrets opened.
func (c *Credential) Load(ctx context.Context) (lwa.Credential, error) {
	row, err := db.New(c.store.pool).CredentialGet(ctx, db.CredentialGetParams{AccountID: c.accountID, Kind: c.kind})
	if err != nil {
		return lwa.Credential{}, c.failed("load", err)
	}
	cred := lwa.Credential{ClientID: row.ClientID, Unauthorized: row.State == stateUnauthorized}
	if cred.Unauthorized {
		cred.UnauthorizedReason, _, _ = strings.Cut(row.StateReason, reasonSeparator)
	}
	for _, open := range []struct {
		to     *string
		sealed []byte
		column string
	}{
		{&cred.ClientSecret, row.ClientSecret, "client_secret"},
		{&cred.RefreshToken, row.RefreshToken, "refresh_token"},
		{&cred.AccessToken, row.AccessToken, "access_token"},
	} {
		if *open.to, err = c.store.keys.Open(open.sealed, credentialPlace(c.accountID, c.kind, open.column)); err != nil {
			return lwa.Credential{}, err
		}
	}
	if row.AccessExpiresAt != nil {
		cred.ExpiresAt = *row.AccessExpiresAt
	}
	return cred, nil
}

// AcquireLease gives one process at a time leave to refresh, for ttl at most.
func (c *Credential) AcquireLease(ctx context.Context, ttl time.Duration) (bool, error) {
	n, err := db.New(c.store.pool).CredentialLease(ctx, db.CredentialLeaseParams{
		AccountID: c.accountID, Kind: c.kind, TtlSeconds: ttl.Seconds(),
	})
	if err != nil {
		return false, c.failed("lease", err)
	}
	return n == 1, nil
}

// Save stores the outcome of a refresh and ends the lease. Where the operator has
// set another refresh token meanwhile, it only ends the lease.
func (c *Credential) Save(ctx context.Context, p lwa.SaveParams) error {
	access, err := c.seal(p.AccessToken, "access_token")
	if err != nil {
		return err
	}
	rotated, err := c.seal(p.RefreshToken, "refresh_token")
	if err != nil {
		return err
	}
	return c.ifStill(ctx, "save", p.RefreshTokenUsed, func(q *db.Queries) error {
		return q.CredentialSave(ctx, db.CredentialSaveParams{
			AccountID: c.accountID, Kind: c.kind, AccessToken: access, AccessExpiresAt: &p.ExpiresAt, RefreshToken: rotated,
		})
	})
}

// reasonSeparator stands between the OAuth error code and the message in a
// credential's state_reason.
const reasonSeparator = ": "

// MarkUnauthorized stops the account's work: LWA refused the credential for reason,
// an OAuth error code, and message names the mend. Every process hears of it.
// Where the operator has set another refresh token meanwhile, it only ends the lease.
func (c *Credential) MarkUnauthorized(ctx context.Context, reason, message, refreshTokenUsed string) error {
	return c.ifStill(ctx, "mark unauthorized", refreshTokenUsed, func(q *db.Queries) error {
		err := q.CredentialRefuse(ctx, db.CredentialRefuseParams{
			AccountID: c.accountID, Kind: c.kind, StateReason: reason + reasonSeparator + message,
		})
		if err != nil {
			return err
		}
		return notifyAccount(ctx, q, c.accountID)
	})
}

// Endpoint returns the base URL of the endpoint that served the credential's customer
// last; empty: none is known.
func (c *Credential) Endpoint(ctx context.Context) (string, error) {
	endpoint, err := db.New(c.store.pool).CredentialEndpoint(ctx, db.CredentialEndpointParams{AccountID: c.accountID, Kind: c.kind})
	if err != nil {
		return "", c.failed("read the endpoint of", err)
	}
	return endpoint, nil
}

// RememberEndpoint keeps endpoint in the place of was; an empty one forgets. Where
// something else than was is kept by now, that stays. What a call that began before the
// credential was set anew has found out is kept too: at worst it is of another customer,
// and the endpoint itself says so to the next call.
func (c *Credential) RememberEndpoint(ctx context.Context, was, endpoint string) error {
	err := db.New(c.store.pool).CredentialRememberEndpoint(ctx, db.CredentialRememberEndpointParams{
		AccountID: c.accountID, Kind: c.kind, Endpoint: endpoint, Was: was,
	})
	if err != nil {
		return c.failed("remember the endpoint of", err)
	}
	return nil
}

// ifStill runs change while the stored refresh token is used, and only ends the
// lease when it is another.
func (c *Credential) ifStill(ctx context.Context, what, used string, change func(*db.Queries) error) error {
	err := c.store.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		sealed, err := q.CredentialLock(ctx, db.CredentialLockParams{AccountID: c.accountID, Kind: c.kind})
		if err != nil {
			return err
		}
		stored, err := c.store.keys.Open(sealed, credentialPlace(c.accountID, c.kind, "refresh_token"))
		if err != nil {
			return err
		}
		if stored != used {
			return q.CredentialEndLease(ctx, db.CredentialEndLeaseParams{AccountID: c.accountID, Kind: c.kind})
		}
		return change(q)
	})
	if err != nil {
		return c.failed(what, err)
	}
	return nil
}

// seal seals a secret; an empty one stays nil.
func (c *Credential) seal(secret, column string) ([]byte, error) {
	if secret == "" {
		return nil, nil
	}
	return c.store.keys.Seal(secret, credentialPlace(c.accountID, c.kind, column))
}

func (c *Credential) failed(what string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return &fleet.Error{Code: fleet.CodeNotFound, Message: "the account has no such credential any more", Err: err}
	}
	return mapError(fmt.Errorf("%s credential: %w", what, err))
}
