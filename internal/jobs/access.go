package jobs

import (
	"context"
	"net/http"
	"slices"

	"fleetd/internal/apis"
	"fleetd/internal/enablement"
	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/manifest"
	"fleetd/internal/notifications"
	"fleetd/internal/ratelimit"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
	"fleetd/internal/store"
)

// Access is one credential of an account at work: its tokens and its own budget, so
// that a throttled one slows no other.
type Access struct {
	Kind     fleet.CredentialKind
	VendorID string // of a developer credential
	Budget   *ratelimit.Budget
	Tokens   *lwa.Source
}

// connect puts a credential of an account to work; with the access before, its budget
// goes on.
func (s *Accounts) connect(w store.AccountWork, kind fleet.CredentialKind, old *Access) (*Access, error) {
	a := &Access{Kind: kind}
	if old != nil {
		a.Budget = old.Budget
	} else {
		metrics := s.cfg.Budgets
		if kind != fleet.CredentialEnterprise {
			metrics = nil // an account's budget, in the metrics, is that of unit management
		}
		a.Budget = ratelimit.New(ratelimit.Config{
			Store:   s.cfg.Store.BudgetRow(s.cfg.BudgetPool, w.ID, string(kind)),
			Account: w.Name, Metrics: metrics, Logger: s.cfg.Logger,
		})
	}
	tokens, err := lwa.NewSource(lwa.Config{
		Account: w.Name, Kind: kind, TokenURL: w.TokenURL, Store: s.cfg.Store.Credential(w.ID, string(kind)), Limiter: a.Budget,
		Metrics: s.cfg.Tokens, Logger: s.cfg.Logger,
	})
	if err != nil {
		if old == nil {
			a.Budget.Close()
		}
		return nil, err
	}
	a.Tokens = tokens
	return a, nil
}

// client makes a remote client that spends the credential's budget.
func (s *Accounts) client(w store.AccountWork, a *Access, baseURL string, base http.RoundTripper) (*remote.Client, error) {
	return remote.NewClient(remote.Config{
		Account: w.Name, BaseURL: baseURL, Tokens: a.Tokens, Limiter: a.Budget, Metrics: s.cfg.Remote,
		Base: base, UserAgent: s.cfg.UserAgent, Logger: s.cfg.Logger,
	})
}

// open puts the credentials of an account to work, the enterprise one first. What it made
// before an error is the account's.
func (s *Accounts) open(acc, old *Account) error {
	if err := s.openEnterprise(acc, old); err != nil {
		return err
	}
	for _, c := range acc.work.Others {
		var before *Access
		if old != nil {
			before = old.others[c.Kind]
		}
		access, err := s.connect(acc.work, c.Kind, before)
		if err != nil {
			return err
		}
		access.VendorID = c.VendorID
		acc.others[c.Kind] = access
		switch c.Kind {
		case fleet.CredentialDeveloper:
			err = s.openDeveloper(acc, access)
		case fleet.CredentialCustomer:
			s.openCustomer(acc, access)
		case fleet.CredentialEnterprise: // never among the others
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Accounts) openEnterprise(acc, old *Account) (err error) {
	var before *Access
	if old != nil {
		before = old.Access
	}
	if acc.Access, err = s.connect(acc.work, fleet.CredentialEnterprise, before); err != nil {
		return err
	}
	client, err := s.client(acc.work, acc.Access, acc.work.APIURL, s.base)
	if err != nil {
		return err
	}
	auditor, err := s.client(acc.work, acc.Access, acc.work.APIURL, remote.ReadOnly(s.base))
	if err != nil {
		return err
	}
	acc.API, acc.Audit = residential.New(client), residential.New(auditor)
	return nil
}

func (s *Accounts) openDeveloper(acc *Account, access *Access) error {
	client, err := s.client(acc.work, access, acc.work.APIURL, s.base)
	if err != nil {
		return err
	}
	acc.developer = &apis.Developer{
		Account: acc.Name, VendorID: access.VendorID,
		Manifest: manifest.New(client), Enablement: enablement.NewDeveloper(client), Notifications: notifications.New(client),
	}
	return nil
}

func (s *Accounts) openCustomer(acc *Account, access *Access) {
	work := acc.work
	acc.customer = &apis.Customer{Account: acc.Name, Enablement: enablement.NewCustomer(enablement.CustomerConfig{
		BaseURL: work.APIURL,
		Connect: func(baseURL string) (*remote.Client, error) { return s.client(work, access, baseURL, s.base) },
		Memory:  s.cfg.Store.Credential(work.ID, string(access.Kind)), Logger: s.cfg.Logger,
	})}
}

// accesses are all credentials of the account at work.
func (a *Account) accesses() []*Access {
	all := make([]*Access, 0, 1+len(a.others))
	if a.Access != nil { // a part of an account that could not be built
		all = append(all, a.Access)
	}
	for _, other := range a.others {
		all = append(all, other)
	}
	return all
}

// Developer returns the clients that an account's developer credential opens. An
// account without one is a conflict that says how to set one.
func (s *Accounts) Developer(ctx context.Context, account string) (*apis.Developer, error) {
	acc, err := s.named(ctx, account)
	if err != nil {
		return nil, err
	}
	if acc.developer == nil {
		return nil, noAccess(account, fleet.CredentialDeveloper)
	}
	return acc.developer, nil
}

// Customer returns the clients that an account's customer credential opens. An account
// without one is a conflict that says how to set one.
func (s *Accounts) Customer(ctx context.Context, account string) (*apis.Customer, error) {
	acc, err := s.named(ctx, account)
	if err != nil {
		return nil, err
	}
	if acc.customer == nil {
		return nil, noAccess(account, fleet.CredentialCustomer)
	}
	return acc.customer, nil
}

// named finds an account at work, as the database has it now: the credential that is
// asked for may have been set a moment ago, through another process.
func (s *Accounts) named(ctx context.Context, account string) (*Account, error) {
	if err := s.Reload(ctx); err != nil {
		return nil, err
	}
	acc := s.ByName(account)
	if acc == nil {
		return nil, fleet.NotFoundf("there is no account %q; `fleetctl account list` shows them all", account)
	}
	return acc, nil
}

func noAccess(account string, kind fleet.CredentialKind) error {
	return fleet.Conflictf("account %s has no %s credential, which this needs: set one with `fleetctl account credential set %s --kind %s ...`",
		account, kind, account, kind)
}

// ExistingSkills lists those of some skills that the vendor of an account's developer
// credential has. An account without one has nobody who can tell: none.
func (s *Accounts) ExistingSkills(ctx context.Context, account string, skillIDs []string) ([]string, error) {
	acc, err := s.named(ctx, account)
	if err != nil || acc.developer == nil {
		return nil, err
	}
	found, err := acc.developer.Manifest.Find(ctx, acc.developer.VendorID, skillIDs...)
	if err != nil {
		return nil, err
	}
	var exist []string
	for _, skill := range found {
		if !slices.Contains(exist, skill.SkillID) { // one entry a stage
			exist = append(exist, skill.SkillID)
		}
	}
	return exist, nil
}
