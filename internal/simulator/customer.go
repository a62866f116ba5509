package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"fleetd/internal/fleet"
)

// association is what one customer has of one skill.
type association struct {
	status fleet.Status
	stage  fleet.Stage
	linked bool
	until  time.Duration // when status becomes ENABLED; 0 is never
	times  uint64        // it was enabled: the user ID changes with each
}

// pair is a customer and a skill.
type pair struct {
	account *account
	skill   *skill
}

func (a *association) settle(now time.Duration) {
	if a.until != 0 && now >= a.until {
		a.status, a.until = fleet.StatusEnabled, 0
	}
}

// gone reports whether there is nothing to disable.
func (a *association) gone() bool {
	return a.status == fleet.StatusNoAssociation || a.status == fleet.StatusDisabled
}

// customerEndpoints are the operations that seed 001 has for a customer. They are
// there under a region, too: without, it is that of North America.
func customerEndpoints() []endpoint {
	const record = "/v1/users/~current/skills/{skill}/enablement"
	of := func(op Operation, method, path string, read func(*call, *http.Request) work) endpoint {
		return endpoint{
			operation: op, api: APIEnablement, kind: fleet.CredentialCustomer, method: method, path: path,
			regional: true, write: method != http.MethodGet,
			read: func(c *call, r *http.Request) work {
				do := read(c, r)
				return func(s *Simulator) { s.atRegion(c, do) }
			},
		}
	}
	return []endpoint{
		of(OperationAPIEndpoint, http.MethodGet, "/v1/alexaApiEndpoint", readEndpoint),
		of(OperationCustomerEnable, http.MethodPost, record, readCustomerEnable),
		of(OperationCustomerStatus, http.MethodGet, record, readCustomerStatus),
		of(OperationCustomerDisable, http.MethodDelete, record, readCustomerDisable),
	}
}

// atRegion does a customer's request as its region is.
func (s *Simulator) atRegion(c *call, do work) {
	setDefault(&c.region, regionNA)
	switch s.regions[c.region] {
	case RegionDown:
		c.line.faults |= faultLostRegion
		c.answer = answer{cut: cutBefore}
	case RegionError:
		c.line.faults |= faultLostRegion
		c.problem(http.StatusServiceUnavailable, "ServiceUnavailable", "Service is temporarily unavailable.")
	case RegionLosesAnswers:
		do(s)
		c.line.faults |= faultLostRegion
		c.answer = answer{cut: cutBefore}
	case RegionUp:
		do(s)
	}
}

func readEndpoint(c *call, r *http.Request) work {
	base := "http://" + r.Host + "/"
	if r.TLS != nil {
		base = "https://" + r.Host + "/"
	}
	return func(s *Simulator) {
		if status := s.discovery.status; status != 0 {
			c.problem(status, "discovery", "The endpoint of the customer can't be told.")
			return
		}
		names := s.discovery.regions
		if len(names) == 0 {
			names = []string{c.account.Region}
		}
		urls := make([]string, len(names))
		for i, name := range names {
			urls[i] = base + name
		}
		c.reply(http.StatusOK, map[string]any{"endpoints": urls})
	}
}

// atOwnRegion reports whether the request came to the customer's own region, or answers.
func (c *call) atOwnRegion() bool {
	if c.region == c.account.Region {
		return true
	}
	c.problem(http.StatusBadRequest, "incorrectEndpoint", "Incorrect endpoint for customer.")
	return false
}

// associated returns what the customer has of the skill in the path, or answers
// and returns nil.
func (s *Simulator) associated(c *call) (*skill, *association) {
	if !c.atOwnRegion() {
		return nil, nil
	}
	c.line.skill = strings.Clone(c.args[0])
	k := s.skill(c.line.skill)
	if !k.exists {
		c.problem(http.StatusNotFound, "NotFound", "The requested skill can't be found.")
		return nil, nil
	}
	a := s.associations[pair{c.account, k}]
	if a == nil {
		a = &association{status: fleet.StatusNoAssociation}
		s.associations[pair{c.account, k}] = a
	}
	a.settle(c.now)
	return k, a
}

func readCustomerStatus(c *call, _ *http.Request) work {
	c.readSkill()
	return func(s *Simulator) {
		if k, a := s.associated(c); k != nil {
			c.reply(http.StatusOK, s.tell(c, k, a))
		}
	}
}

func readCustomerDisable(c *call, r *http.Request) work {
	c.readSkill()
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxBody))
	return func(s *Simulator) {
		k, a := s.associated(c)
		switch {
		case k == nil:
		case a.gone():
			c.problem(http.StatusNotFound, "NotFound", "The customer hasn't enabled the skill.")
		default:
			a.status, a.linked, a.until = fleet.StatusDisabled, false, 0
			c.line.applied = true
			c.done(http.StatusOK)
		}
	}
}

func readCustomerEnable(c *call, r *http.Request) work {
	c.readSkill()
	var stage fleet.Stage
	var raw map[string]json.RawMessage
	body, wrong := readObject(r.Body, maxBody)
	if wrong == "" && errors.Join(field(body, "stage", &stage), field(body, "accountLinkRequest", &raw)) != nil {
		wrong = notObject
	}
	switch {
	case wrong != "":
		c.wrong = wrong
	case stage == fleet.StageDevelopment:
		stage = fleet.StageDevelopment // its own text, not the request's
	case stage == fleet.StageLive:
		stage = fleet.StageLive
	default:
		c.violate("INVALID_ENUM_VALUE", "stage must be development or live.")
	}
	c.line.stage = stage
	var link *linkRequest
	if raw != nil {
		link, wrong = readLink(raw)
		if wrong != "" {
			c.violate("INVALID_ACCOUNT_LINK_REQUEST", wrong)
		}
	}
	return func(s *Simulator) {
		if k, a := s.associated(c); k != nil {
			s.customerEnable(c, k, a, stage, link)
		}
	}
}

// readLink reads an accountLinkRequest and says what is wrong with it. The name of
// the PKCE verifier is lost in seed 001; this one is what RFC 7636 has, in the
// spelling of its neighbors.
func readLink(raw map[string]json.RawMessage) (link *linkRequest, wrong string) {
	link = &linkRequest{}
	var verifier *string
	err := errors.Join(field(raw, "redirectUri", &link.redirectURI), field(raw, "authCode", &link.authCode),
		field(raw, "type", &link.kind), field(raw, "codeVerifier", &verifier))
	switch {
	case err != nil || link.redirectURI == "" || link.authCode == "" || link.kind != "AUTH_CODE":
		return nil, "accountLinkRequest needs redirectUri, authCode and the type AUTH_CODE."
	case verifier == nil:
	case len(*verifier) < 43 || len(*verifier) > 128 || strings.ContainsFunc(*verifier, notUnreserved):
		return nil, "codeVerifier must have 43 to 128 characters: letters, digits, and - . _ ~."
	default:
		link.verifier = *verifier
	}
	return link, ""
}

// notUnreserved reports whether r may not be in a PKCE verifier (RFC 7636, 4.1).
func notUnreserved(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~", r)
}

func (s *Simulator) customerEnable(c *call, k *skill, a *association, stage fleet.Stage, link *linkRequest) {
	on := a.stage == stage && (a.status == fleet.StatusEnabled || a.status == fleet.StatusEnabling)
	if !on && s.refuses(c, k, stage) {
		return
	}
	linked := false
	if k.linking && link != nil {
		if linked = s.useCode(link, nil, k, c.now); !linked {
			c.problem(http.StatusBadRequest, "InvalidAccountLinkRequest", "Invalid account linking credentials")
			return
		}
	}
	c.line.applied = !on || linked && !a.linked
	if on {
		a.linked = a.linked || linked
	} else {
		*a = association{status: fleet.StatusEnabled, stage: stage, linked: linked, times: a.times + 1}
		if delay := s.cfg.EnablingDelay; delay > 0 {
			a.status, a.until = fleet.StatusEnabling, c.now+delay
		}
	}
	c.reply(http.StatusCreated, s.tell(c, k, a))
}

// tell is the body of an answer about a customer's skill.
func (s *Simulator) tell(c *call, k *skill, a *association) map[string]any {
	if a.status == fleet.StatusNoAssociation {
		return map[string]any{"skill": map[string]any{"id": k.id}, "status": a.status}
	}
	body := map[string]any{
		"skill":  map[string]any{"id": k.id, "stage": a.stage},
		"user":   map[string]any{"id": "amzn1.ask.account." + string(appendText(nil, hash(hashText(c.account.ClientID), k.key, a.times), 52))},
		"status": a.status,
	}
	if k.linking {
		link := fleet.NotLinked
		if a.linked && a.status == fleet.StatusEnabled {
			link = fleet.Linked
		}
		body["accountLink"] = map[string]any{"status": link}
	}
	return body
}
