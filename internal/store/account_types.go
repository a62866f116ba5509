package store

import (
	"time"

	"fleetd/internal/fleet"
)

// Account is one set of LWA credentials, where it works and its budget; the JSON
// of the API. It holds no secret.
type Account struct {
	Name            string         `json:"name"`
	Region          string         `json:"region"` // na, eu, fe, or empty when only api_url was given
	APIURL          string         `json:"api_url"`
	TokenURL        string         `json:"token_url"`
	LinkMode        fleet.LinkMode `json:"link_mode"`
	CodeURL         string         `json:"code_url"`
	RedirectURIs    []string       `json:"redirect_uris"`
	ProtectedSkills []string       `json:"protected_skills"`
	Countries       []string       `json:"countries"` // where its homes are, ISO 3166-1 alpha-2
	ClientID        string         `json:"client_id"`
	State           string         `json:"state"`        // ready or unauthorized
	StateReason     string         `json:"state_reason"` // what is wrong and how to mend it
	Budget          AccountBudget  `json:"budget"`
	CreatedAt       time.Time      `json:"created_at"`
	UpdatedAt       time.Time      `json:"updated_at"`
}

// AccountBudget is how many requests a second an account may send.
type AccountBudget struct {
	Rate         float64    `json:"rate"`          // requests a second, as sent at now
	Limit        *float64   `json:"limit"`         // what the operator set; null: found out while sending (auto)
	Burst        int        `json:"burst"`         // requests that may leave at once
	BlockedUntil *time.Time `json:"blocked_until"` // null when the API is not pushing back
}

// AccountParams describes a new account.
type AccountParams struct {
	Name            string
	ClientID        string
	ClientSecret    string
	RefreshToken    string
	Region          string // na, eu or fe; empty: na, or none when APIURL is given
	APIURL          string // empty: the region's
	TokenURL        string // empty: DefaultTokenURL
	Rate            string // "auto" (the default) or requests a second
	Burst           int    // zero: what suits the rate
	LinkMode        fleet.LinkMode
	CodeURL         string
	RedirectURIs    []string
	ProtectedSkills []string
	Countries       []string // where its homes are, ISO 3166-1 alpha-2
	Reason          string   // why, for the log
}

// AccountPatch changes an account; nil leaves a field as it is.
type AccountPatch struct {
	ClientID        *string
	ClientSecret    *string
	RefreshToken    *string
	Region          *string
	APIURL          *string
	TokenURL        *string
	Rate            *string
	Burst           *int
	LinkMode        *fleet.LinkMode
	CodeURL         *string
	RedirectURIs    []string // empty but not nil: none
	ProtectedSkills []string // likewise
	Countries       []string // likewise
	Reason          string   // why, for the log
}

// AccountFilter picks a page of accounts, by name.
type AccountFilter struct {
	After string // cursor: accounts with a larger name
	Limit int
}

// AccountCheck is what an account's credentials and API answered just now.
type AccountCheck struct {
	Account string    `json:"account"`
	OK      bool      `json:"ok"`
	Token   CheckStep `json:"token"` // a fresh access token was granted
	API     CheckStep `json:"api"`   // the API took it

	// Credentials is what each credential can do, of every kind there is. OK does not
	// depend on those beside the enterprise one, which unit management works without.
	Credentials []CredentialCheck `json:"credentials"`
}

// CredentialCheck is what one credential of an account can do.
type CredentialCheck struct {
	Kind  fleet.CredentialKind `json:"kind"`
	Set   bool                 `json:"set"` // one that is not set has not failed
	OK    bool                 `json:"ok"`
	Token CheckStep            `json:"token"`
	Can   []AccessCheck        `json:"can"` // empty where it is not set
}

// Access is something that a credential opens. The set is closed.
type Access string

// What credentials open.
const (
	AccessUnits       Access = "units"       // enterprise: enablements of units
	AccessSkills      Access = "skills"      // developer: the vendor's skills and their manifests
	AccessSubscribers Access = "subscribers" // developer: development notifications
	AccessEndpoint    Access = "endpoint"    // customer: the API endpoint of the customer
)

// AccessCheck is one thing that a credential opens, or does not.
type AccessCheck struct {
	What    Access `json:"what"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// CheckStep is one step of a check. Message says what is wrong and how to mend it.
type CheckStep struct {
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}
