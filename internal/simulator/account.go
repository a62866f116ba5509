package simulator

import (
	"fmt"
	"slices"
	"time"

	"fleetd/internal/fleet"
)

// account is one LWA client with its share of each API that its tokens open.
type account struct {
	Account
	gates map[API]*gate
}

// gate is one LWA client at one API: the limit is of both.
type gate struct {
	key    uint64 // stands for it in every hash
	asked  uint64 // requests, for the dice
	bucket bucket
	meter  meter
}

func newAccount(a Account, l Limit) *account {
	acc := &account{Account: a, gates: map[API]*gate{}}
	for _, api := range apisOf(a.Kind) {
		acc.gates[api] = &gate{key: hash(hashText(a.ClientID), hashText(string(api))), bucket: newBucket(l, 0)}
	}
	return acc
}

// open fills the buckets and empties the meters.
func (a *account) open(now time.Duration) {
	for _, g := range a.gates {
		limit := g.bucket.limit
		g.bucket, g.meter, g.asked = newBucket(limit, now), meter{}, 0
		g.meter.setLimit(now, limit.RPS)
	}
}

func (s *Simulator) account(clientID string) *account {
	for _, a := range s.accounts {
		if a.ClientID == clientID {
			return a
		}
	}
	return nil
}

// capacity is what all clients together may ask the residential API for.
func (s *Simulator) capacity() (rps float64) {
	for _, a := range s.accounts {
		if g := a.gates[APIResidential]; g != nil {
			rps += g.bucket.limit.RPS
		}
	}
	return rps
}

// LimitParams says what limit who has from now on.
type LimitParams struct {
	Limit
	Client string               `json:"client,omitempty"` // an LWA client ID; all if empty
	Kind   fleet.CredentialKind `json:"kind,omitempty"`   // of LWA clients; all if empty
	API    API                  `json:"api,omitempty"`    // all if empty
}

// ClientLimit is the limit of one LWA client at one API.
type ClientLimit struct {
	Client string               `json:"client"`
	Kind   fleet.CredentialKind `json:"kind"`
	API    API                  `json:"api"`
	Limit
}

// SetLimit moves the true limit of every LWA client at every API, at once.
func (s *Simulator) SetLimit(l Limit) error { return s.SetLimitOf(LimitParams{Limit: l}) }

// SetLimitOf moves the true limit of the LWA clients and APIs that p chooses, at
// once. A choice that matches nothing is an error.
func (s *Simulator) SetLimitOf(p LimitParams) error {
	if err := p.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, found := s.now(), false
	for _, a := range s.accounts {
		if p.Client != "" && a.ClientID != p.Client || p.Kind != "" && a.Kind != p.Kind {
			continue
		}
		for api, g := range a.gates {
			if p.API == "" || p.API == api {
				g.bucket.set(p.Limit, now)
				g.meter.setLimit(now, p.RPS)
				found = true
			}
		}
	}
	if !found {
		return fmt.Errorf("limit: no LWA client %q of kind %q has API %q; GET /_sim/limits lists them", p.Client, p.Kind, p.API)
	}
	if p.Client == "" && slices.Contains([]fleet.CredentialKind{"", fleet.CredentialEnterprise}, p.Kind) &&
		slices.Contains([]API{"", APIResidential}, p.API) {
		s.limit = p.withDefaults()
	}
	s.meter.setLimit(now, s.capacity())
	return nil
}

// Limits returns the true limit of every LWA client at every API.
func (s *Simulator) Limits() []ClientLimit {
	s.mu.Lock()
	defer s.mu.Unlock()
	var limits []ClientLimit
	for _, a := range s.accounts {
		for _, api := range apisOf(a.Kind) {
			limits = append(limits, ClientLimit{Client: a.ClientID, Kind: a.Kind, API: api, Limit: a.gates[api].bucket.limit})
		}
	}
	return limits
}

// AccountChange is what ChangeAccount does, in the order of the fields.
type AccountChange struct {
	RefreshToken       string `json:"refresh_token,omitempty"`        // from now on
	ClientSecret       string `json:"client_secret,omitempty"`        // from now on
	RevokeRefreshToken bool   `json:"revoke_refresh_token,omitempty"` // refreshes answer invalid_grant until there is another
	ExpireAccessTokens bool   `json:"expire_access_tokens,omitempty"` // all that were given out
	Rotate             *bool  `json:"rotate,omitempty"`               // whether refreshes rotate the refresh token, for all accounts
	Region             string `json:"region,omitempty"`               // na, eu or fe: where a customer is registered from now on
}

// ChangeAccount changes an LWA client behind its back.
func (s *Simulator) ChangeAccount(clientID string, change AccountChange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(clientID)
	if a == nil {
		return fmt.Errorf("account %q: there is no such LWA client", clientID)
	}
	if change.Region != "" && (!isRegion(change.Region) || a.Kind != fleet.CredentialCustomer) {
		return fmt.Errorf("region %q: must be one of %v, and the LWA client of kind customer", change.Region, regions())
	}
	if change.Region != "" {
		a.Region = change.Region
	}
	if change.RefreshToken != "" {
		a.RefreshToken = change.RefreshToken
	}
	if change.ClientSecret != "" {
		a.ClientSecret = change.ClientSecret
	}
	if change.RevokeRefreshToken {
		a.RefreshToken = ""
	}
	if change.ExpireAccessTokens {
		for token, g := range s.grants {
			if g.account == a {
				s.grants[token] = grant{account: a, until: 0}
			}
		}
	}
	if change.Rotate != nil {
		s.rotate = *change.Rotate
	}
	return nil
}
