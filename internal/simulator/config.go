package simulator

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator/topic"
)

// RetryAfter says what a 429 tells of when to come back.
type RetryAfter string

// The ways to tell.
const (
	RetryAfterNone    RetryAfter = "none"    // nothing, as the real API was seen to do
	RetryAfterSeconds RetryAfter = "seconds" // whole seconds, rounded up, at least one
	RetryAfterDate    RetryAfter = "date"    // an HTTP date, rounded up to the next second
)

// The defaults of the LWA clients that a Config without accounts has: one of
// each kind. They are no secrets: the simulator's own, loopback only.
const (
	DefaultClientID     = "amzn1.application-oa2-client.sim" // enterprise
	DefaultClientSecret = "sim-secret"
	DefaultRefreshToken = "Atzr|sim-refresh" //nolint:gosec // see above

	DefaultDeveloperClientID     = "amzn1.application-oa2-client.sim-dev"
	DefaultDeveloperClientSecret = "sim-dev-secret"       //nolint:gosec // see above
	DefaultDeveloperRefreshToken = "Atzr|sim-dev-refresh" //nolint:gosec // see above
	DefaultVendorID              = "M2SIMVENDOR00"        // of the developer

	DefaultCustomerClientID     = "amzn1.application-oa2-client.sim-customer"
	DefaultCustomerClientSecret = "sim-customer-secret"
	DefaultCustomerRefreshToken = "Atzr|sim-customer-refresh" //nolint:gosec // see above
)

// maxUnits is what the index in a unit ID is checked against.
const maxUnits = 10_000_000

// Config describes the world that a Simulator stands in for. The zero value is
// a well-behaved API of 2,000 homes without a limit; DefaultConfig misbehaves.
type Config struct {
	// Units is how many homes there are. Default 2,000; at most 10,000,000.
	Units int
	// Properties is how many properties the homes are spread over. Default 12.
	Properties int
	// Occupied is how many of the homes are occupied or linked, spread evenly. Default 0.
	Occupied int
	// OccupiedWritable lets writes to occupied homes through; otherwise they are answered 403.
	OccupiedWritable bool
	// ExtraUnits are IDs of homes that exist besides the generated ones. They are not in the inventory.
	ExtraUnits []string

	// Skills are the skills that exist. Default: every skill whose ID does not contain "unknown".
	Skills []string
	// LinkingSkills are the skills that link accounts. Default: every skill whose ID contains "link".
	LinkingSkills []string
	// DelegatedLinking links a linking skill that is enabled without accountLinkRequest; otherwise it is NOT_LINKED.
	DelegatedLinking bool
	// Enabled are the enablements that every home starts with. Their skills exist.
	Enabled []Enablement
	// SkillsPerUnit is how many base skills every home starts with besides, live: amzn1.ask.skill.base-01 and on.
	SkillsPerUnit int

	// Published are skills that the first developer published before the start. The manifest API
	// knows these and those made by it; of all others only homes know.
	Published []string

	// RPS is the true rate limit of each LWA client at each API in requests a second; 0 is no limit.
	RPS float64
	// Burst is how many requests may come at once. Default RPS/10, at least 1.
	Burst int
	// RetryAfter is what a 429 says. Default none.
	RetryAfter RetryAfter

	// Latency is how long an answer takes. Default 0.
	Latency time.Duration
	// EnablingDelay is how long every enable is ENABLING. Default 0.
	EnablingDelay time.Duration
	// BuildDelay is how long a manifest builds. Default 0: it is built when the answer comes.
	BuildDelay time.Duration
	// Faults is how the APIs misbehave. Default not at all.
	Faults Faults
	// FailEvery makes every Nth home answer 403 to writes; 0 is none.
	FailEvery int
	// Seed decides unit IDs, fates and faults. Runs with equal seeds are equal.
	Seed uint64

	// Accounts are the LWA clients. Default one of each kind: DefaultClientID and so on.
	Accounts []Account
	// TokenTTL is how long access tokens live. Default an hour, or what Faults says.
	TokenTTL time.Duration
	// RotateRefreshTokens gives out a new refresh token at each refresh and forgets the old one.
	RotateRefreshTokens bool
	// CodeTTL is how long an authorization code can be used. Default 5 minutes.
	CodeTTL time.Duration

	// HookRetryDelay is how long after a failed delivery to a hook it is tried again, three times. Default 1 s; SNS takes 20.
	HookRetryDelay time.Duration

	// HistoryCap is how many requests the history remembers; the counters are of all. Default 200,000.
	HistoryCap int
}

// Account is one LWA client and the refresh token of the user who consented.
type Account struct {
	ClientID     string
	ClientSecret string
	RefreshToken string
	// Kind says which APIs its tokens are good for; others answer 403. Default enterprise.
	Kind fleet.CredentialKind
	// VendorID is the vendor of a developer, required there and nowhere else.
	VendorID string
	// Region is where a customer is registered: na, eu or fe. Default na; of customers only.
	Region string
}

func defaultAccounts() []Account {
	return []Account{
		{ClientID: DefaultClientID, ClientSecret: DefaultClientSecret, RefreshToken: DefaultRefreshToken},
		{
			ClientID: DefaultDeveloperClientID, ClientSecret: DefaultDeveloperClientSecret, RefreshToken: DefaultDeveloperRefreshToken,
			Kind: fleet.CredentialDeveloper, VendorID: DefaultVendorID,
		},
		{
			ClientID: DefaultCustomerClientID, ClientSecret: DefaultCustomerClientSecret, RefreshToken: DefaultCustomerRefreshToken,
			Kind: fleet.CredentialCustomer,
		},
	}
}

// firstVendor is the vendor of the first developer, "" without one.
func (c Config) firstVendor() string {
	for _, a := range c.Accounts {
		if a.VendorID != "" {
			return a.VendorID
		}
	}
	return ""
}

func (a *Account) validate() error {
	switch {
	case a.ClientID == "" || a.ClientSecret == "" || a.RefreshToken == "":
		return fmt.Errorf("account %q: needs a client ID, a client secret and a refresh token", a.ClientID)
	case !slices.Contains(fleet.CredentialKinds(), a.Kind):
		return fmt.Errorf("account %q: kind %q: must be one of %v", a.ClientID, a.Kind, fleet.CredentialKinds())
	case a.Kind.NeedsVendor() != (a.VendorID != ""):
		return fmt.Errorf("account %q: vendor %q: a developer needs one, others have none", a.ClientID, a.VendorID)
	case a.Kind == fleet.CredentialCustomer && !isRegion(a.Region), a.Kind != fleet.CredentialCustomer && a.Region != "":
		return fmt.Errorf("account %q: region %q: a customer has one of %v, others have none", a.ClientID, a.Region, regions())
	}
	return nil
}

// Enablement is a skill enabled at a stage.
type Enablement struct {
	SkillID string
	Stage   fleet.Stage // default live
}

// DefaultConfig is what fleetsim starts with when no flag is given.
func DefaultConfig() Config {
	cfg := Config{RPS: 50, Faults: FaultsDefault(), BuildDelay: 200 * time.Millisecond, Seed: 1}
	return cfg.withDefaults()
}

func (c Config) withDefaults() Config {
	setDefault(&c.Units, 2000)
	setDefault(&c.Properties, 12)
	setDefault(&c.RetryAfter, RetryAfterNone)
	setDefault(&c.CodeTTL, 5*time.Minute)
	setDefault(&c.HistoryCap, 200_000)
	setDefault(&c.HookRetryDelay, topic.DefaultRetryDelay)
	if len(c.Accounts) == 0 {
		c.Accounts = defaultAccounts()
	}
	c.Accounts = slices.Clone(c.Accounts)
	for i := range c.Accounts {
		setDefault(&c.Accounts[i].Kind, fleet.CredentialEnterprise)
		if c.Accounts[i].Kind == fleet.CredentialCustomer {
			setDefault(&c.Accounts[i].Region, regionNA)
		}
	}
	c.Enabled = slices.Clone(c.Enabled)
	for i := range c.Enabled {
		setDefault(&c.Enabled[i].Stage, fleet.StageLive)
	}
	return c
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Units < 0 || c.Units > maxUnits {
		bad("units: %d: must be from 1 to %d", c.Units, maxUnits)
	}
	if c.Properties < 1 || c.Properties > c.Units {
		bad("properties: %d: must be from 1 to the number of units, %d", c.Properties, c.Units)
	}
	if c.Occupied < 0 || c.Occupied > c.Units {
		bad("occupied: %d: must be from 0 to the number of units, %d", c.Occupied, c.Units)
	}
	if c.SkillsPerUnit < 0 || c.SkillsPerUnit > maxSkillsPerUnit {
		bad("skills-per-unit: %d: must be from 0 to %d", c.SkillsPerUnit, maxSkillsPerUnit)
	}
	if c.FailEvery < 0 {
		bad("fail-every: %d: must not be negative; 0 is none", c.FailEvery)
	}
	if err := (Limit{RPS: c.RPS, Burst: c.Burst}).Validate(); err != nil {
		errs = append(errs, err)
	}
	if !slices.Contains([]RetryAfter{RetryAfterNone, RetryAfterSeconds, RetryAfterDate}, c.RetryAfter) {
		bad("retry-after: %q: must be none, seconds or date", c.RetryAfter)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"latency", c.Latency},
		{"enabling-delay", c.EnablingDelay},
		{"build-delay", c.BuildDelay},
		{"token-ttl", c.TokenTTL},
		{"code-ttl", c.CodeTTL},
		{"hook-retry-delay", c.HookRetryDelay},
	} {
		if d.value < 0 {
			bad("%s: %v: must not be negative", d.name, d.value)
		}
	}
	if c.HistoryCap < 0 {
		bad("history-cap: %d: must not be negative", c.HistoryCap)
	}
	if err := c.Faults.Validate(); err != nil {
		errs = append(errs, err)
	}
	for _, id := range c.ExtraUnits {
		if !validID(id) {
			bad("extra unit %q: must be 1 to 255 characters without spaces", id)
		}
	}
	for _, e := range c.Enabled {
		if err := e.validate(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, id := range c.Published {
		if !validID(id) || c.firstVendor() == "" {
			bad("published %q: must be 1 to 255 characters without spaces, and there must be a developer", id)
		}
	}
	seen := map[string]bool{}
	for _, a := range c.Accounts {
		if err := a.validate(); err != nil {
			errs = append(errs, err)
		}
		if seen[a.ClientID] {
			bad("account %q: is there twice", a.ClientID)
		}
		seen[a.ClientID] = true
	}
	return errors.Join(errs...)
}

// Limit is a token bucket.
type Limit struct {
	RPS   float64 `json:"rps"`   // tokens a second; 0 is no limit
	Burst int     `json:"burst"` // tokens it holds at most; 0 is RPS/10, at least 1
}

// Validate reports a limit that makes no sense.
func (l Limit) Validate() error {
	if !(l.RPS >= 0) || math.IsInf(l.RPS, 0) {
		return fmt.Errorf("rps: %v: must be 0 (no limit) or more", l.RPS)
	}
	if l.Burst < 0 {
		return fmt.Errorf("burst: %d: must not be negative; 0 is a tenth of rps", l.Burst)
	}
	return nil
}

func (l Limit) withDefaults() Limit {
	if l.Burst == 0 {
		l.Burst = max(1, int(l.RPS/10))
	}
	return l
}

func validID(id string) bool {
	return id != "" && len(id) <= 255 && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r == 0x7f })
}
