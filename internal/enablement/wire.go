package enablement

import (
	"errors"
	"fmt"
	"time"

	"fleetd/internal/fleet"
)

const (
	// maxWord is the longest status, stage or link status that is taken for one.
	maxWord = 64
	maxID   = 255
	// maxEndpoints is more than there are regions.
	maxEndpoints = 16
)

type enableRequest struct {
	Stage              string              `json:"stage"`
	AccountLinkRequest *accountLinkRequest `json:"accountLinkRequest,omitempty"`
}

// accountLinkRequest links the customer's account. The copy of the reference that was
// read has lost the name of the PKCE property, and no public client sends one (facts 2):
// codeVerifier is what OAuth's code_verifier is in the spelling of its neighbours.
type accountLinkRequest struct {
	RedirectURI  string `json:"redirectUri"`
	AuthCode     string `json:"authCode"`
	Type         string `json:"type"`
	CodeVerifier string `json:"codeVerifier,omitempty"`
}

// record is the enablement of a skill for a customer, as the API sends it.
type record struct {
	Skill struct {
		Stage string `json:"stage"`
	} `json:"skill"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	AccountLink *struct {
		Status string `json:"status"`
	} `json:"accountLink"`
	Status string `json:"status"`
}

// Check reports a record that says nothing, or words that no API has: unknown ones are
// kept as they came, but not a megabyte of them.
func (r *record) Check() error {
	if r.Status == "" {
		return errors.New("the record has no status")
	}
	for _, w := range [...]struct {
		name, value string
		most        int
	}{
		{"status", r.Status, maxWord},
		{"skill.stage", r.Skill.Stage, maxWord},
		{"accountLink.status", string(r.link()), maxWord},
		{"user.id", r.User.ID, maxID},
	} {
		if len(w.value) > w.most {
			return fmt.Errorf("%s has %d bytes", w.name, len(w.value))
		}
		for _, c := range w.value {
			if c <= ' ' || c >= 0x7f {
				return fmt.Errorf("%s has a character that none has", w.name)
			}
		}
	}
	return nil
}

// leftover is a record in an answer to a disable, which need not hold one: an object
// without a status says no more than no body does.
type leftover struct{ record }

// Check reports words that no API has.
func (l *leftover) Check() error {
	if l.Status == "" {
		l.record = record{}
		return nil
	}
	return l.record.Check()
}

func (r *record) link() fleet.LinkStatus {
	if r.AccountLink == nil {
		return ""
	}
	return fleet.LinkStatus(r.AccountLink.Status)
}

// result has one word for "there is no enablement": the reference says to treat
// NO_ASSOCIATION as a 404. DISABLED is another: there was one.
func (r *record) result(requestID string, at time.Time) Result {
	status := fleet.Status(r.Status)
	if status == fleet.StatusNoAssociation {
		status = fleet.StatusAbsent
	}
	return Result{
		Status: status, Stage: fleet.Stage(r.Skill.Stage), AccountLink: r.link(), UserID: r.User.ID,
		RequestID: requestID, At: at,
	}
}

type endpointAnswer struct {
	Endpoints *[]string `json:"endpoints"`
}

// Check reports an answer that is not one. An empty list is: the API does not know.
func (a *endpointAnswer) Check() error {
	if a.Endpoints == nil {
		return errors.New("it has no list of endpoints")
	}
	if n := len(*a.Endpoints); n > maxEndpoints {
		return fmt.Errorf("it lists %d endpoints", n)
	}
	return nil
}
