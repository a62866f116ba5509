package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// AccountCredential is one credential of an account; the JSON of the API. It holds
// no secret.
type AccountCredential struct {
	Kind        fleet.CredentialKind `json:"kind"`
	ClientID    string               `json:"client_id"`
	VendorID    string               `json:"vendor_id"`    // empty unless the kind is developer
	State       string               `json:"state"`        // ready or unauthorized
	StateReason string               `json:"state_reason"` // what is wrong and how to mend it
	Budget      AccountBudget        `json:"budget"`       // its own: each credential has one
	UpdatedAt   time.Time            `json:"updated_at"`
}

// CredentialParams is a whole credential, in place of the one of its kind or new.
type CredentialParams struct {
	Kind         fleet.CredentialKind
	ClientID     string
	ClientSecret string
	RefreshToken string
	VendorID     string  // of a developer credential, and of no other
	Rate         *string // "auto" or requests a second; nil: as it is, auto for a new one
	Burst        *int    // nil: as it is, or what suits a rate that is given
	Reason       string  // why, for the log
}

func (p CredentialParams) check() error {
	if err := checkKind(p.Kind); err != nil {
		return err
	}
	switch {
	case p.Kind.NeedsVendor() && p.VendorID == "":
		return fleet.Invalidf("vendor_id", "a %s credential needs the ID of the vendor whose skills it manages", p.Kind)
	case !p.Kind.NeedsVendor() && p.VendorID != "":
		return fleet.Invalidf("vendor_id", "a credential of the kind %s has no vendor ID; leave it out", p.Kind)
	case len(p.VendorID) > 255 || strings.ContainsFunc(p.VendorID, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fleet.Invalidf("vendor_id", "a vendor ID has 1 to 255 characters, none of them white space")
	}
	for _, c := range []struct{ field, value string }{
		{"client_id", p.ClientID}, {"client_secret", p.ClientSecret}, {"refresh_token", p.RefreshToken},
	} {
		if err := checkCredential(c.field, c.value); err != nil {
			return err
		}
	}
	if p.Rate != nil {
		if _, err := parseRate(*p.Rate); err != nil {
			return err
		}
	}
	if p.Burst != nil {
		return checkBurst(*p.Burst)
	}
	return nil
}

// detail is what the log says of it: of secrets only that there is a new one.
func (p CredentialParams) detail() map[string]any {
	detail := map[string]any{"kind": p.Kind, "client_id": "set", "client_secret": "set", "refresh_token": "set"}
	if p.VendorID != "" {
		detail["vendor_id"] = p.VendorID
	}
	if p.Rate != nil {
		limit, _ := parseRate(*p.Rate) // check has read it before
		detail["rate"] = rateText(limit)
	}
	if p.Burst != nil {
		detail["burst"] = *p.Burst
	}
	return detail
}

func checkKind(kind fleet.CredentialKind) error {
	if !slices.Contains(fleet.CredentialKinds(), kind) {
		return fleet.Invalidf("kind", "%.40q is not a kind of credential; use enterprise, developer or customer", string(kind))
	}
	return nil
}

// Credentials lists the credentials of an account by kind; where one is named, only
// the one of that kind, if there is one.
func (s *Store) Credentials(ctx context.Context, account string, kind fleet.CredentialKind) ([]AccountCredential, error) {
	id, err := accountID(ctx, s.pool, account)
	if err != nil {
		return nil, mapError(err)
	}
	rows, err := s.q().CredentialList(ctx, db.CredentialListParams{AccountID: id, Kind: string(kind)})
	if err != nil {
		return nil, mapError(fmt.Errorf("list credentials: %w", err))
	}
	list := make([]AccountCredential, len(rows))
	for i, r := range rows {
		list[i] = AccountCredential{
			Kind: fleet.CredentialKind(r.Kind), ClientID: r.ClientID, VendorID: r.VendorID, State: r.State, StateReason: r.StateReason,
			Budget:    budgetOf(r.RateLimit, r.Rate, r.Burst, r.BlockedUntil, r.Now),
			UpdatedAt: r.UpdatedAt.UTC(),
		}
	}
	return list, nil
}

// AccountCredential finds the credential of an account and a kind.
func (s *Store) AccountCredential(ctx context.Context, account string, kind fleet.CredentialKind) (AccountCredential, error) {
	if err := checkKind(kind); err != nil {
		return AccountCredential{}, err
	}
	found, err := s.Credentials(ctx, account, kind)
	switch {
	case err != nil:
		return AccountCredential{}, err
	case len(found) == 0:
		return AccountCredential{}, noCredential(account, kind)
	}
	return found[0], nil
}

// SetCredential puts a credential in the place of the account's one of that kind, or
// adds it with a budget of its own. It is ready, whatever the one before was, and
// every process hears of it at once. Done again it leaves the same behind.
func (s *Store) SetCredential(ctx context.Context, account string, p CredentialParams, by fleet.Actor) (AccountCredential, error) {
	if err := p.check(); err != nil {
		return AccountCredential{}, fmt.Errorf("set credential: %w", err)
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		row, err := lockAccount(ctx, q, account)
		if err != nil {
			return err
		}
		if err := s.putCredential(ctx, q, row.ID, p); err != nil {
			return err
		}
		if err := q.AccountTouch(ctx, row.ID); err != nil {
			return fmt.Errorf("touch account: %w", err)
		}
		if err := notifyAccount(ctx, q, row.ID); err != nil {
			return err
		}
		return addLog(ctx, tx, logEntry{
			Actor: by, Action: "credential.set", Object: "account/" + account, Reason: p.Reason, Detail: p.detail(),
		})
	})
	if err != nil {
		return AccountCredential{}, fmt.Errorf("set credential: %w", err)
	}
	return s.AccountCredential(ctx, account, p.Kind)
}

// putCredential changes the credential and what of its budget is given, or makes both.
func (s *Store) putCredential(ctx context.Context, q *db.Queries, id int64, p CredentialParams) error {
	kind := string(p.Kind)
	secret, refresh, err := s.sealSecrets(id, p)
	if err != nil {
		return err
	}
	n, err := q.CredentialSet(ctx, db.CredentialSetParams{
		AccountID: id, Kind: kind, VendorID: &p.VendorID, ClientID: &p.ClientID, ClientSecret: secret, RefreshToken: refresh,
	})
	if err != nil {
		return fmt.Errorf("set credential: %w", err)
	}
	if n == 1 {
		return setBudget(ctx, q, id, kind, p.Rate, p.Burst)
	}
	limit := 0.0
	if p.Rate != nil {
		limit, _ = parseRate(*p.Rate) // check has read it before
	}
	burst := defaultBurst(limit)
	if p.Burst != nil {
		burst = *p.Burst
	}
	return s.insertCredential(ctx, q, id, p, limit, burst)
}

// insertCredential adds a credential and its budget; a limit of 0 is auto.
func (s *Store) insertCredential(ctx context.Context, q *db.Queries, id int64, p CredentialParams, limit float64, burst int) error {
	secret, refresh, err := s.sealSecrets(id, p)
	if err != nil {
		return err
	}
	err = q.CredentialInsert(ctx, db.CredentialInsertParams{
		AccountID: id, Kind: string(p.Kind), VendorID: p.VendorID, ClientID: p.ClientID, ClientSecret: secret, RefreshToken: refresh,
	})
	if err != nil {
		return fmt.Errorf("insert credential: %w", err)
	}
	err = q.BudgetInsert(ctx, db.BudgetInsertParams{
		AccountID: id, Kind: string(p.Kind), RateLimit: limit, Rate: startRate(limit), Burst: int32(burst), //nolint:gosec // At most maxBurst.
	})
	if err != nil {
		return fmt.Errorf("insert budget: %w", err)
	}
	return nil
}

func (s *Store) sealSecrets(id int64, p CredentialParams) (secret, refresh []byte, err error) {
	if secret, err = s.keys.Seal(p.ClientSecret, credentialPlace(id, string(p.Kind), "client_secret")); err != nil {
		return nil, nil, err
	}
	if refresh, err = s.keys.Seal(p.RefreshToken, credentialPlace(id, string(p.Kind), "refresh_token")); err != nil {
		return nil, nil, err
	}
	return secret, refresh, nil
}

// DeleteCredential deletes a credential and its budget. The enterprise one stays for
// as long as its account: nothing of an account works without it.
func (s *Store) DeleteCredential(ctx context.Context, account string, kind fleet.CredentialKind, reason string, by fleet.Actor) error {
	if err := checkKind(kind); err != nil {
		return fmt.Errorf("delete credential: %w", err)
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		row, err := lockAccount(ctx, q, account)
		if err != nil {
			return err
		}
		if kind == fleet.CredentialEnterprise {
			return &fleet.Error{
				Code: fleet.CodeConflict, Field: "kind",
				Message: fmt.Sprintf("every account has its enterprise credential, so it goes with the account only: `fleetctl account delete %s`", account),
			}
		}
		n, err := q.CredentialDelete(ctx, db.CredentialDeleteParams{AccountID: row.ID, Kind: string(kind)})
		if err != nil {
			return fmt.Errorf("delete credential: %w", err)
		}
		if n == 0 {
			return noCredential(account, kind)
		}
		if err := q.BudgetDelete(ctx, db.BudgetDeleteParams{AccountID: row.ID, Kind: string(kind)}); err != nil {
			return fmt.Errorf("delete budget: %w", err)
		}
		if err := q.AccountTouch(ctx, row.ID); err != nil {
			return fmt.Errorf("touch account: %w", err)
		}
		if err := notifyAccount(ctx, q, row.ID); err != nil {
			return err
		}
		return addLog(ctx, tx, logEntry{
			Actor: by, Action: "credential.delete", Object: "account/" + account, Reason: reason, Detail: map[string]any{"kind": kind},
		})
	})
	if err != nil {
		return fmt.Errorf("delete credential: %w", err)
	}
	return nil
}

func lockAccount(ctx context.Context, q *db.Queries, name string) (db.Account, error) {
	row, err := q.AccountLock(ctx, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, noAccount(name)
	}
	if err != nil {
		return row, fmt.Errorf("lock account: %w", err)
	}
	return row, nil
}

func noCredential(account string, kind fleet.CredentialKind) error {
	return &fleet.Error{
		Code: fleet.CodeNotFound, Field: "kind",
		Message: fmt.Sprintf("account %s has no %s credential; `fleetctl account credential list %s` shows what it has", account, kind, account),
	}
}
