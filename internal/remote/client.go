package remote

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultTimeout is how long one attempt may take, body included.
const DefaultTimeout = 8 * time.Second

// Config says how a Client reaches one account's API.
type Config struct {
	// Account is the fleetd account, for metrics, logs and errors. Required.
	Account string
	// BaseURL is http or https, without credentials, query or fragment. A path is
	// kept as a prefix. Required.
	BaseURL string
	// Tokens gives the access tokens. Required.
	Tokens TokenSource
	// Limiter is the account's budget. Required.
	Limiter Limiter
	// Metrics is shared between accounts; nil counts nothing that is scraped.
	Metrics *Metrics
	// Base sends the bytes: nil is a NewTransport of its own. Clients of one host
	// should share one.
	Base http.RoundTripper
	// Timeout bounds one attempt from the gate to the last byte of the body. The
	// wait for a slot is not part of it. 0 is DefaultTimeout.
	Timeout time.Duration
	// UserAgent is sent as it is; empty is "fleetd".
	UserAgent string
	// Logger gets a debug line for each call, without bodies; nil discards.
	Logger *slog.Logger
}

// Client calls one API host for one account. It is safe for concurrent use.
type Client struct {
	cfg   Config
	base  *url.URL
	chain http.RoundTripper
}

// NewClient checks the settings and builds the chain of transports. It sends
// nothing.
func NewClient(cfg Config) (*Client, error) {
	base, err := ParseBaseURL(cfg.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("account %q: %w", cfg.Account, err)
	}
	switch {
	case cfg.Account == "":
		return nil, errors.New("remote: Config.Account is empty: name the account")
	case cfg.Tokens == nil:
		return nil, fmt.Errorf("remote: Config.Tokens of account %q is nil: give a token source", cfg.Account)
	case cfg.Limiter == nil:
		return nil, fmt.Errorf("remote: Config.Limiter of account %q is nil: no request may leave without a slot", cfg.Account)
	case cfg.Timeout < 0:
		return nil, fmt.Errorf("remote: Config.Timeout of account %q is negative: give a positive duration", cfg.Account)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "fleetd"
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Base == nil {
		cfg.Base = NewTransport(0)
	}
	return &Client{cfg: cfg, base: base, chain: newChain(cfg)}, nil
}

// ParseBaseURL checks an API base URL: http or https, a host, no credentials, no
// query, no fragment. A trailing slash is dropped.
func ParseBaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		// url.Error prints the URL, and with it a password.
		return nil, errors.New("the API URL cannot be parsed: give one like https://api.amazonalexa.com")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the API URL has scheme %q: give an http or https URL like https://api.amazonalexa.com", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the API URL has no host: give one like https://api.amazonalexa.com")
	case u.User != nil:
		return nil, errors.New("the API URL holds credentials: take them out, the account's credential is set on its own")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the API URL has a query or a fragment: take it out")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}
