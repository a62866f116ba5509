package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"fleetd/internal/fleet"
)

// RegionState is how an endpoint of a region is. The set is closed.
type RegionState string

// The states.
const (
	RegionUp           RegionState = ""          // it works
	RegionDown         RegionState = "down"      // connections are cut before anything is done
	RegionError        RegionState = "error"     // 503, and nothing is done
	RegionLosesAnswers RegionState = "no_answer" // requests are done and their connections cut
)

// discovery is what GET /v1/alexaApiEndpoint answers when it is not the customer's region.
type discovery struct {
	status  int
	regions []string
}

// RegionsParams is what SetRegions does; nil leaves things as they are.
type RegionsParams struct {
	// States of the regions that are named: na, eu, fe.
	States map[string]RegionState `json:"states,omitempty"`
	// DiscoveryStatus is what discovery answers, such as 503; 0 is as usual.
	DiscoveryStatus *int `json:"discovery_status,omitempty"`
	// DiscoveryEndpoints are the regions that discovery names, several when Alexa
	// cannot tell; none is the customer's own.
	DiscoveryEndpoints []string `json:"discovery_endpoints,omitzero"`
}

// SetRegions changes how the endpoints of the regions and their discovery behave.
func (s *Simulator) SetRegions(p RegionsParams) error {
	states := []RegionState{RegionUp, RegionDown, RegionError, RegionLosesAnswers}
	for name, state := range p.States {
		if !isRegion(name) || !slices.Contains(states, state) {
			return fmt.Errorf("states: %q %q: must be one of %v, each one of %q", name, state, regions(), states)
		}
	}
	for _, name := range p.DiscoveryEndpoints {
		if !isRegion(name) {
			return fmt.Errorf("discovery_endpoints: %q: must be one of %v", name, regions())
		}
	}
	if n := p.DiscoveryStatus; n != nil && *n != 0 && (*n < 400 || *n > 599) {
		return fmt.Errorf("discovery_status: %d: must be 0, or from 400 to 599", *n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.regions, p.States)
	if p.DiscoveryStatus != nil {
		s.discovery.status = *p.DiscoveryStatus
	}
	if p.DiscoveryEndpoints != nil {
		s.discovery.regions = slices.Clone(p.DiscoveryEndpoints)
	}
	return nil
}

func (s *Simulator) serveRegions(w http.ResponseWriter, r *http.Request) {
	var p RegionsParams
	if receive(w, r, &p) {
		reply(w, s.SetRegions(p), p)
	}
}

// AssociationChange is what ChangeAssociation does.
type AssociationChange struct {
	Status fleet.Status `json:"status"`
	Stage  fleet.Stage  `json:"stage,omitempty"` // live if empty
	Linked bool         `json:"linked,omitempty"`
}

// associationStatuses are those that seed 001 documents.
var associationStatuses = []fleet.Status{
	fleet.StatusEnabled, fleet.StatusEnabling, fleet.StatusEnablingFailed, fleet.StatusDisabled, fleet.StatusDisabling,
	fleet.StatusDisablingFailed, fleet.StatusNoAssociation,
}

// ChangeAssociation changes what a customer has of a skill, behind everyone's back.
// The status stays until it is written to.
func (s *Simulator) ChangeAssociation(clientID, skillID string, change AssociationChange) error {
	setDefault(&change.Stage, fleet.StageLive)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(clientID)
	switch {
	case a == nil || a.Kind != fleet.CredentialCustomer:
		return fmt.Errorf("account %q: there is no such LWA client of kind customer", clientID)
	case !validID(skillID):
		return fmt.Errorf("skill %q: must be 1 to 255 characters without spaces", skillID)
	case !slices.Contains(associationStatuses, change.Status):
		return fmt.Errorf("status %q: must be one of %v", change.Status, associationStatuses)
	case change.Stage != fleet.StageLive && change.Stage != fleet.StageDevelopment:
		return fmt.Errorf("stage %q: must be development or live", change.Stage)
	}
	at := pair{a, s.skill(skillID)}
	var times uint64
	if old := s.associations[at]; old != nil {
		times = old.times
	}
	s.associations[at] = &association{status: change.Status, stage: change.Stage, linked: change.Linked, times: times + 1}
	return nil
}

func (s *Simulator) serveChangeAssociation(w http.ResponseWriter, r *http.Request) {
	var change AssociationChange
	if receive(w, r, &change) {
		reply(w, s.ChangeAssociation(r.PathValue("client"), r.PathValue("skill"), change), change)
	}
}

// CodeParams is what MintCustomerCode makes a code for.
type CodeParams struct {
	SkillID     string `json:"skill_id"`
	RedirectURI string `json:"redirect_uri"`
	// CodeChallenge binds the code to a PKCE verifier: base64url of its SHA-256, unpadded.
	CodeChallenge string `json:"code_challenge,omitempty"`
}

// MintCustomerCode returns an authorization code that one customer can link one
// account with, once: what the provider's own page would have led to.
func (s *Simulator) MintCustomerCode(p CodeParams) (string, error) {
	if !validID(p.SkillID) || p.RedirectURI == "" {
		return "", fmt.Errorf("skill_id and redirect_uri are required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keepCode(&code{skill: s.skill(p.SkillID), redirect: p.RedirectURI, challenge: p.CodeChallenge, at: s.now()}), nil
}

func (s *Simulator) serveCustomerCode(w http.ResponseWriter, r *http.Request) {
	var p CodeParams
	if receive(w, r, &p) {
		text, err := s.MintCustomerCode(p)
		reply(w, err, map[string]string{"code": text})
	}
}
