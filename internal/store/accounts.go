package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// enterprise is the kind of the credential that every account has.
const enterprise = string(fleet.CredentialEnterprise)

// CreateAccount creates an account with its credential and its budget. A repeated
// call with the same key returns the account as it is now, and true.
func (s *Store) CreateAccount(ctx context.Context, p AccountParams, by fleet.Actor, once Idempotency) (account Account, again bool, err error) {
	set, err := newAccountSettings(p)
	if err != nil {
		return account, false, err
	}
	name := p.Name
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		created, err := claimIdempotency(ctx, tx, by, once)
		if err != nil {
			return err
		}
		if created != "" {
			name, again = created, true
			return nil
		}
		if err := s.insertAccount(ctx, tx, p, set); err != nil {
			return err
		}
		err = addLog(ctx, tx, logEntry{
			Actor: by, Action: "account.create", Object: "account/" + p.Name, Reason: p.Reason,
			Detail: map[string]any{"api_url": set.apiURL, "rate": rateText(set.rateLimit), "link_mode": set.linkMode},
		})
		if err != nil {
			return err
		}
		return keepIdempotency(ctx, tx, by, once, p.Name)
	})
	if err != nil {
		return account, false, fmt.Errorf("create account: %w", err)
	}
	account, err = s.Account(ctx, name)
	return account, again, err
}

func (s *Store) insertAccount(ctx context.Context, tx pgx.Tx, p AccountParams, set accountSettings) error {
	q := db.New(tx)
	id, err := q.AccountInsert(ctx, db.AccountInsertParams{
		Name: p.Name, Region: set.region, ApiUrl: set.apiURL, TokenUrl: set.tokenURL, LinkMode: string(set.linkMode),
		CodeUrl: set.codeURL, RedirectUris: set.redirectURIs, ProtectedSkills: set.protectedSkills,
		Countries: set.countries,
	})
	if err != nil {
		return fmt.Errorf("insert account: %w", err)
	}
	err = s.insertCredential(ctx, q, id, CredentialParams{
		Kind: fleet.CredentialEnterprise, ClientID: p.ClientID, ClientSecret: p.ClientSecret, RefreshToken: p.RefreshToken,
	}, set.rateLimit, set.burst)
	if err != nil {
		return err
	}
	return notifyAccount(ctx, q, id)
}

// Account finds an account by name.
func (s *Store) Account(ctx context.Context, name string) (Account, error) {
	row, err := db.New(s.pool).AccountGet(ctx, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, noAccount(name)
	}
	if err != nil {
		return Account{}, mapError(fmt.Errorf("read account: %w", err))
	}
	return accountOf(db.AccountListRow(row)), nil
}

// ListAccounts lists accounts by name. next is the cursor of the next page, empty
// after the last.
func (s *Store) ListAccounts(ctx context.Context, f AccountFilter) (accounts []Account, next string, err error) {
	limit := pageLimit(f.Limit)
	rows, err := db.New(s.pool).AccountList(ctx, db.AccountListParams{After: f.After, MaxRows: int32(limit + 1)}) //nolint:gosec // At most MaxLimit.
	if err != nil {
		return nil, "", mapError(fmt.Errorf("list accounts: %w", err))
	}
	accounts = make([]Account, len(rows))
	for i, row := range rows {
		accounts[i] = accountOf(row)
	}
	accounts, next = page(accounts, limit, func(a Account) string { return a.Name })
	return accounts, next, nil
}

func accountOf(row db.AccountListRow) Account {
	a := row.Account
	return Account{
		Name: a.Name, Region: a.Region, APIURL: a.ApiUrl, TokenURL: a.TokenUrl, LinkMode: fleet.LinkMode(a.LinkMode),
		CodeURL: a.CodeUrl, RedirectURIs: a.RedirectUris, ProtectedSkills: a.ProtectedSkills, Countries: a.Countries,
		ClientID: row.ClientID, State: row.State, StateReason: row.StateReason,
		Budget:    budgetOf(row.RateLimit, row.Rate, row.Burst, row.BlockedUntil, row.Now),
		CreatedAt: a.CreatedAt.UTC(), UpdatedAt: a.UpdatedAt.UTC(),
	}
}

func budgetOf(limit, rate float64, burst int32, blockedUntil, now time.Time) AccountBudget {
	budget := AccountBudget{Rate: rate, Burst: int(burst)}
	if limit > 0 {
		budget.Limit = &limit
	}
	if blockedUntil.After(now) {
		until := blockedUntil.UTC()
		budget.BlockedUntil = &until
	}
	return budget
}

// SetAccount changes what p names and leaves the rest. Every process hears of it
// at once; a credential set anew is ready again.
func (s *Store) SetAccount(ctx context.Context, name string, p AccountPatch, by fleet.Actor) (Account, error) {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		row, err := lockAccount(ctx, q, name)
		if err != nil {
			return err
		}
		set, changed, err := patchAccountSettings(row, p)
		if err != nil {
			return err
		}
		if len(changed) == 0 {
			return fleet.Invalidf("body", "nothing to change was given; name at least one field")
		}
		err = q.AccountUpdate(ctx, db.AccountUpdateParams{
			ID: row.ID, Region: set.region, ApiUrl: set.apiURL, TokenUrl: set.tokenURL, LinkMode: string(set.linkMode),
			CodeUrl: set.codeURL, RedirectUris: set.redirectURIs, ProtectedSkills: set.protectedSkills,
			Countries: set.countries,
		})
		if err != nil {
			return fmt.Errorf("update account: %w", err)
		}
		if err := s.setCredential(ctx, q, row.ID, p); err != nil {
			return err
		}
		if err := setBudget(ctx, q, row.ID, enterprise, p.Rate, p.Burst); err != nil {
			return err
		}
		if err := notifyAccount(ctx, q, row.ID); err != nil {
			return err
		}
		return addLog(ctx, tx, logEntry{
			Actor: by, Action: "account.set", Object: "account/" + name, Reason: p.Reason, Detail: changed,
		})
	})
	if err != nil {
		return Account{}, fmt.Errorf("set account: %w", err)
	}
	return s.Account(ctx, name)
}

func (s *Store) setCredential(ctx context.Context, q *db.Queries, id int64, p AccountPatch) error {
	if p.ClientID == nil && p.ClientSecret == nil && p.RefreshToken == nil {
		return nil
	}
	set := db.CredentialSetParams{AccountID: id, Kind: enterprise, ClientID: p.ClientID}
	var err error
	if p.ClientSecret != nil {
		if set.ClientSecret, err = s.keys.Seal(*p.ClientSecret, credentialPlace(id, enterprise, "client_secret")); err != nil {
			return err
		}
	}
	if p.RefreshToken != nil {
		if set.RefreshToken, err = s.keys.Seal(*p.RefreshToken, credentialPlace(id, enterprise, "refresh_token")); err != nil {
			return err
		}
	}
	if _, err := q.CredentialSet(ctx, set); err != nil {
		return fmt.Errorf("set credential: %w", err)
	}
	return nil
}

// setBudget changes rate and burst, which were checked before. A new rate without a
// burst gets the burst that suits it.
func setBudget(ctx context.Context, q *db.Queries, id int64, kind string, rate *string, burst *int) error {
	if rate == nil && burst == nil {
		return nil
	}
	var err error
	if rate != nil {
		limit, _ := parseRate(*rate)
		size := defaultBurst(limit)
		if burst != nil {
			size = *burst
		}
		err = q.BudgetSetRate(ctx, db.BudgetSetRateParams{AccountID: id, Kind: kind, RateLimit: limit, Burst: int32(size)}) //nolint:gosec // At most maxBurst.
	} else {
		err = q.BudgetSetBurst(ctx, db.BudgetSetBurstParams{AccountID: id, Kind: kind, Burst: int32(*burst)}) //nolint:gosec // At most maxBurst.
	}
	if err != nil {
		return fmt.Errorf("set budget: %w", err)
	}
	if err := q.BudgetNotify(ctx, db.BudgetNotifyParams{AccountID: id, Kind: kind}); err != nil {
		return fmt.Errorf("tell of the budget: %w", err)
	}
	return nil
}

// DeleteAccount deletes an account that has never had a rollout. Its units go with
// it when units says so, and refuse the deletion otherwise.
func (s *Store) DeleteAccount(ctx context.Context, name string, units bool, reason string, by fleet.Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		q := db.New(tx)
		row, err := lockAccount(ctx, q, name)
		if err != nil {
			return err
		}
		hadRollouts, err := q.AccountHasRollouts(ctx, row.ID)
		if err != nil {
			return fmt.Errorf("look for rollouts: %w", err)
		}
		if hadRollouts {
			return fleet.Conflictf("account %s has rollouts, which are the record of what was done to its homes, so it stays; "+
				"cancel those that are active, and take its credentials out of use at Amazon if it shall do nothing more", name)
		}
		if err := deleteUnits(ctx, q, row, units); err != nil {
			return err
		}
		if err := q.AccountDeleteAudits(ctx, row.ID); err != nil {
			return fmt.Errorf("delete audits: %w", err)
		}
		if err := q.AccountDeleteDesiredChanges(ctx, row.ID); err != nil {
			return fmt.Errorf("delete the changes of what was desired: %w", err)
		}
		if err := q.DriftDeleteAccount(ctx, row.ID); err != nil {
			return fmt.Errorf("delete drift: %w", err)
		}
		if err := q.AccountDelete(ctx, row.ID); err != nil {
			return fmt.Errorf("delete account: %w", err)
		}
		if err := notifyAccount(ctx, q, row.ID); err != nil {
			return err
		}
		return addLog(ctx, tx, logEntry{Actor: by, Action: "account.delete", Object: "account/" + name, Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("delete account: %w", err)
	}
	return nil
}

func deleteUnits(ctx context.Context, q *db.Queries, row db.Account, yes bool) error {
	has, err := q.AccountHasUnits(ctx, row.ID)
	if err != nil {
		return fmt.Errorf("look for units: %w", err)
	}
	if !has {
		return nil
	}
	if !yes {
		return fleet.Conflictf("account %s has units; to delete them with it, ask for that (delete_units=true)", row.Name)
	}
	if err := q.AccountDeleteObserved(ctx, row.ID); err != nil {
		return fmt.Errorf("delete what was seen on units: %w", err)
	}
	if err := q.AccountDeleteDesired(ctx, row.ID); err != nil {
		return fmt.Errorf("delete what is desired on units: %w", err)
	}
	if err := q.AccountDeleteDesiredHistory(ctx, row.ID); err != nil {
		return fmt.Errorf("delete what was desired on units: %w", err)
	}
	if _, err := q.AccountDeleteUnits(ctx, row.ID); err != nil {
		return fmt.Errorf("delete units: %w", err)
	}
	return nil
}

func notifyAccount(ctx context.Context, q *db.Queries, id int64) error {
	if err := q.AccountNotify(ctx, strconv.FormatInt(id, 10)); err != nil {
		return fmt.Errorf("tell of the account: %w", err)
	}
	return nil
}
