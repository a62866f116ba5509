package lwa

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

const (
	// DefaultTokenURL is the Login with Amazon token endpoint for North America
	// and Europe alike.
	DefaultTokenURL = "https://api.amazon.com/auth/o2/token" //nolint:gosec // an address, not a credential
	// DefaultSkew is how long before its expiry a token is refreshed.
	DefaultSkew = 60 * time.Second
	// DefaultTimeout bounds one token request, body included.
	DefaultTimeout = 8 * time.Second

	leaseTTL      = 20 * time.Second // two attempts and the save
	flightTimeout = 30 * time.Second // one refresh with all its retries
	saveTimeout   = 15 * time.Second // how long a refreshed token is tried to be saved
)

// Config says how a Source gets the tokens of one account.
type Config struct {
	// Account is the fleetd account, for metrics, logs and errors. Required.
	Account string
	// Kind is the account's credential that Store keeps; empty is enterprise.
	Kind fleet.CredentialKind
	// TokenURL is the token endpoint, http or https. Empty is DefaultTokenURL.
	TokenURL string
	// Store keeps the credential for all processes. Required.
	Store Store
	// HTTPClient sends the token requests; nil is one over remote.NewTransport. Its
	// redirects are not followed: they would carry the credential elsewhere.
	HTTPClient *http.Client
	// Limiter is the account's budget: a token request takes a slot too. Required.
	Limiter remote.Limiter
	// Skew is how long before expiry a token is refreshed; 0 is DefaultSkew. One
	// that lives less than twice as long is refreshed at half its life.
	Skew time.Duration
	// Timeout bounds one token request; 0 is DefaultTimeout.
	Timeout time.Duration
	// Metrics is shared between accounts; nil counts nothing that is scraped.
	Metrics *Metrics
	// Logger gets what operators need to know, without secrets; nil discards.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// check validates the settings and fills in the defaults.
func (c *Config) check() error {
	if c.TokenURL == "" {
		c.TokenURL = DefaultTokenURL
	}
	if c.Kind == "" {
		c.Kind = fleet.CredentialEnterprise
	}
	u, err := url.Parse(c.TokenURL)
	switch {
	case c.Account == "":
		return errors.New("lwa: Config.Account is empty: name the account")
	case c.Store == nil:
		return fmt.Errorf("lwa: Config.Store of account %q is nil: give a store", c.Account)
	case c.Limiter == nil:
		return fmt.Errorf("lwa: Config.Limiter of account %q is nil: no request may leave without a slot", c.Account)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("account %q: the token URL must be an http or https URL without credentials, like %s", c.Account, DefaultTokenURL)
	case c.Skew < 0 || c.Timeout < 0:
		return fmt.Errorf("lwa: Config.Skew and Config.Timeout of account %q must not be negative", c.Account)
	}
	if c.Skew == 0 {
		c.Skew = DefaultSkew
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	client := http.Client{Transport: remote.NewTransport(2)}
	if c.HTTPClient != nil {
		client = *c.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTPClient = &client
	return nil
}
