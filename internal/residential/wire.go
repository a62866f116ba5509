package residential

import (
	"errors"
	"fmt"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// maxWord is the longest status, stage or link status that is taken for one. The
// documented ones have up to 16 bytes.
const maxWord = 64

type enableRequest struct {
	UnitID             string              `json:"unitId"`
	Stage              string              `json:"stage,omitempty"`
	AccountLinkRequest *accountLinkRequest `json:"accountLinkRequest,omitempty"`
}

type accountLinkRequest struct {
	RedirectURI string `json:"redirectUri"`
	AuthCode    string `json:"authCode"`
	Type        string `json:"type"`
}

// enablement is one record as the API sends it. The echoed unit is not decoded:
// its ID may differ from the one asked for.
type enablement struct {
	Skill struct {
		Stage string `json:"stage"`
		ID    string `json:"id"`
	} `json:"skill"`
	AccountLink *struct {
		Status string `json:"status"`
	} `json:"accountLink"`
	Status string `json:"status"`
}

// Check reports a record that says nothing: without a status it is no answer.
func (e *enablement) Check() error {
	if e.Status == "" {
		return errors.New("the record has no status")
	}
	return e.words()
}

// words reports a value that is no word of any API: unknown statuses are kept as
// they came, but not a megabyte of them.
func (e *enablement) words() error {
	for _, w := range [...]struct{ name, value string }{
		{"status", e.Status}, {"skill.stage", e.Skill.Stage}, {"accountLink.status", string(e.link())},
	} {
		if len(w.value) > maxWord {
			return fmt.Errorf("%s has %d bytes", w.name, len(w.value))
		}
		for _, r := range w.value {
			if r <= ' ' || r >= 0x7f {
				return fmt.Errorf("%s has a character that no status has", w.name)
			}
		}
	}
	return nil
}

func (e *enablement) link() fleet.LinkStatus {
	if e.AccountLink == nil {
		return ""
	}
	return fleet.LinkStatus(e.AccountLink.Status)
}

// status maps what means "there is no enablement" to one word. DISABLED is not
// among it: the record exists, and what to make of it is the caller's.
func (e *enablement) status() fleet.Status {
	if s := fleet.Status(e.Status); s != fleet.StatusNoAssociation {
		return s
	}
	return fleet.StatusAbsent
}

func (e *enablement) result(requestID string, at time.Time) Result {
	return Result{
		Status: e.status(), Stage: fleet.Stage(e.Skill.Stage), AccountLink: e.link(),
		RequestID: requestID, At: at,
	}
}

type listAnswer struct {
	Items             *[]enablement `json:"items"`
	Results           *[]enablement `json:"results"` // the generic Smart Properties name of it
	PaginationContext *struct {
		NextToken *string `json:"nextToken"`
	} `json:"paginationContext"`
}

// Check reports a page that is not one, or that has a record nobody could use: an
// audit must then say that it could not see, rather than skip the record.
func (a *listAnswer) Check() error {
	if a.Items == nil && a.Results == nil && a.next() == "" {
		return errors.New("the page has neither items nor a token")
	}
	for i, e := range a.records() {
		if err := e.Check(); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
		if err := remote.CheckID("skill.id", e.Skill.ID); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

func (a *listAnswer) records() []enablement {
	var all []enablement
	for _, list := range [...]*[]enablement{a.Items, a.Results} {
		if list != nil {
			all = append(all, *list...)
		}
	}
	return all
}

func (a *listAnswer) next() string {
	if a.PaginationContext == nil || a.PaginationContext.NextToken == nil {
		return ""
	}
	return *a.PaginationContext.NextToken
}
