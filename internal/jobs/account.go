package jobs

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"fleetd/internal/apis"
	"fleetd/internal/fleet"
	"fleetd/internal/lwa"
	"fleetd/internal/ratelimit"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
	"fleetd/internal/store"
)

// reloadEvery is how often the accounts are read when nobody tells of a change.
const reloadEvery = 2 * time.Second

// forgetAfter is longer than any call lasts that an account is at work for.
const forgetAfter = 10 * time.Minute

// Account is an account at work in this process. Its own access is that of the
// enterprise credential, which unit management works with.
type Account struct {
	*Access

	ID    int64
	Name  string
	API   *residential.Client
	Audit *residential.Client // of audits: it can read and nothing else
	Link  Link

	work      store.AccountWork
	others    map[fleet.CredentialKind]*Access // beside the enterprise one
	developer *apis.Developer                  // nil where there is no such credential
	customer  *apis.Customer                   // likewise
	codes     *http.Client
	room      room // of targets
	looks     room // of audits
}

// Link is how the account links what it enables.
type Link struct {
	Mode        fleet.LinkMode
	CodeURL     string
	RedirectURI string
}

func (a *Account) mintCode(ctx context.Context, unitID, skillID string) (string, error) {
	return mintCode(ctx, a.codes, a.Link.CodeURL, CodeRequest{
		Account: a.Name, UnitID: unitID, SkillID: skillID, RedirectURI: a.Link.RedirectURI,
	})
}

// AccountsConfig is what accounts are put to work with.
type AccountsConfig struct {
	Store       *store.Store
	BudgetPool  *pgxpool.Pool // commits on it need not wait for the disk
	MaxInFlight int           // jobs of one account at once, in this process
	Logger      *slog.Logger
	Remote      *remote.Metrics
	Tokens      *lwa.Metrics
	Budgets     *ratelimit.Metrics
	UserAgent   string
	// Added is called for each account that is new to this process.
	Added func(accountID int64) error
}

// Accounts are the accounts at work in this process, kept as the database has them.
type Accounts struct {
	cfg  AccountsConfig
	base http.RoundTripper
	poke chan struct{}

	loading sync.Mutex
	mu      sync.RWMutex
	byID    map[int64]*Account
	added   map[int64]bool // Added was told of
	retired []retired
}

// retired is a source that was replaced, perhaps with a refresh under way.
type retired struct {
	*lwa.Source

	at time.Time
}

// NewAccounts makes an empty set; Reload fills it.
func NewAccounts(cfg AccountsConfig) *Accounts {
	return &Accounts{
		cfg: cfg, base: remote.NewTransport(max(cfg.MaxInFlight, 16)),
		poke: make(chan struct{}, 1), byID: map[int64]*Account{}, added: map[int64]bool{},
	}
}

// Poke asks for a reload at once.
func (s *Accounts) Poke() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Run keeps the set as the database has it until ctx ends.
func (s *Accounts) Run(ctx context.Context) {
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.poke:
		}
		if err := s.Reload(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "accounts not reloaded", slog.Any("error", err))
		}
	}
}

// Reload reads the accounts and puts what is new or changed to work.
func (s *Accounts) Reload(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	works, err := s.cfg.Store.ListAccountWork(ctx)
	if err != nil {
		return err
	}
	next := make(map[int64]*Account, len(works))
	for _, w := range works {
		acc, err := s.build(w, s.peek(w.ID))
		if err != nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "account cannot work", slog.String("account", w.Name), slog.Any("error", err))
			continue
		}
		next[w.ID] = acc
	}
	s.mu.Lock()
	old := s.byID
	s.byID = next
	s.mu.Unlock()
	for id, acc := range old {
		s.retire(acc, next[id])
	}
	s.forget(ctx, time.Now())
	var errs []error
	for id := range next {
		if s.added[id] { // perhaps it could not work for a while, and is back
			continue
		}
		if err := s.cfg.Added(id); err != nil {
			errs = append(errs, err)
			continue
		}
		s.added[id] = true
	}
	return errors.Join(errs...)
}

// retire ends what the account's next state does without.
func (s *Accounts) retire(acc, next *Account) {
	kept := map[any]bool{}
	if next != nil {
		for _, access := range next.accesses() {
			kept[access.Budget], kept[access.Tokens] = true, true
		}
	}
	for _, access := range acc.accesses() {
		if !kept[access.Budget] {
			access.Budget.Close()
		}
		if !kept[access.Tokens] {
			s.retired = append(s.retired, retired{access.Tokens, time.Now()})
		}
	}
}

// forget lets go of the sources that were replaced so long ago that no caller is left who
// could begin a refresh with one, and that do not refresh.
func (s *Accounts) forget(ctx context.Context, now time.Time) {
	over, cancel := context.WithCancel(ctx)
	cancel()
	s.retired = slices.DeleteFunc(s.retired, func(r retired) bool { return now.Sub(r.at) > forgetAfter && r.Wait(over) == nil })
}

// build makes an account of what the database says, keeping its budgets, and
// keeping all of it when nothing changed that matters.
func (s *Accounts) build(w store.AccountWork, old *Account) (*Account, error) {
	if old != nil && sameWork(old.work, w) {
		kept := *old
		kept.work = w
		return &kept, nil
	}
	acc := &Account{
		ID: w.ID, Name: w.Name, work: w, others: map[fleet.CredentialKind]*Access{},
		codes: &http.Client{Transport: s.base, CheckRedirect: noRedirect},
		Link:  Link{Mode: w.LinkMode, CodeURL: w.CodeURL},
	}
	if len(w.RedirectURIs) > 0 {
		acc.Link.RedirectURI = w.RedirectURIs[0]
	}
	if old != nil {
		acc.room, acc.looks = old.room, old.looks
	} else {
		acc.room, acc.looks = newRoom(s.cfg.MaxInFlight), newRoom(s.cfg.MaxInFlight)
	}
	if err := s.open(acc, old); err != nil {
		s.retire(acc, old) // budgets that are new run already
		return nil, err
	}
	return acc, nil
}

// sameWork reports whether an account needs no new clients: its rate and its state
// may have changed.
func sameWork(a, b store.AccountWork) bool {
	a.Rate, a.Blocked = b.Rate, b.Blocked
	return reflect.DeepEqual(a, b)
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (s *Accounts) peek(id int64) *Account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byID[id]
}

// Get returns an account at work, reading the database when it is new.
func (s *Accounts) Get(ctx context.Context, id int64) (*Account, error) {
	if acc := s.peek(id); acc != nil {
		return acc, nil
	}
	if err := s.Reload(ctx); err != nil {
		return nil, err
	}
	if acc := s.peek(id); acc != nil {
		return acc, nil
	}
	return nil, errNoAccount
}

// ByName finds an account at work by its name, or returns nil.
func (s *Accounts) ByName(name string) *Account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, acc := range s.byID {
		if acc.Name == name {
			return acc
		}
	}
	return nil
}

// Invalidate makes a budget of an account look at its row: another process was refused,
// or the operator changed the rate. The budgets of its other credentials go on: a slot
// that is taken back is lost to them.
func (s *Accounts) Invalidate(id int64, kind fleet.CredentialKind) {
	acc := s.peek(id)
	if acc == nil {
		return
	}
	for _, access := range acc.accesses() {
		if access.Kind == kind {
			access.Budget.Invalidate()
		}
	}
}

// InvalidateAll does so for every budget.
func (s *Accounts) InvalidateAll() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, acc := range s.byID {
		for _, access := range acc.accesses() {
			access.Budget.Invalidate()
		}
	}
}

// Close ends every budget: nothing leaves any more. It waits for token refreshes
// under way, for a rotated refresh token is not told twice.
func (s *Accounts) Close(ctx context.Context) error {
	s.loading.Lock() // one that is loaded meanwhile would stay open
	defer s.loading.Unlock()
	s.mu.Lock()
	sources := s.retired
	for _, acc := range s.byID {
		for _, access := range acc.accesses() {
			access.Budget.Close()
			sources = append(sources, retired{Source: access.Tokens})
		}
	}
	s.byID, s.retired = map[int64]*Account{}, nil
	s.mu.Unlock()
	var errs []error
	for _, source := range sources {
		errs = append(errs, source.Wait(ctx))
	}
	return errors.Join(errs...)
}

// horizonRate is the rate that the account's releases are measured by.
func (a *Account) horizonRate() float64 { return max(a.Budget.Rate(), a.work.Rate) }

// perJob is how many targets or units of an account one job may hold.
func (s *Accounts) perJob(id int64) int {
	acc := s.peek(id)
	if acc == nil {
		return 1
	}
	return int(min(max(acc.horizonRate()/jobsPerSecond, 1), mostInJob))
}
