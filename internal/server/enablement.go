package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"fleetd/internal/apis"
	"fleetd/internal/enablement"
	"fleetd/internal/fleet"
)

// EnabledSkill is the skill in the path.
type EnabledSkill struct {
	SkillID string `path:"skill_id" maxLength:"255" doc:"The skill's ID."`
}

// EnabledStage is the skill and its stage in the path.
type EnabledStage struct {
	EnabledSkill

	Stage string `path:"stage" enum:"development,live" doc:"The stage, as the skill enablement API spells it."`
}

// DeveloperEnablement says whether a stage of a skill is enabled for its developer.
type DeveloperEnablement struct {
	SkillID string `json:"skill_id"`
	Stage   string `json:"stage"`
	Enabled bool   `json:"enabled" doc:"False also where there is no such skill or stage: the API tells no difference."`
}

// CustomerEnablement is what the API said of a skill for the customer.
type CustomerEnablement struct {
	SkillID     string    `json:"skill_id"`
	Status      string    `json:"status" doc:"As the API spells it; ABSENT where the customer does not have the skill."`
	Stage       string    `json:"stage" doc:"Empty where the API did not say."`
	AccountLink string    `json:"account_link" doc:"LINKED or NOT_LINKED; empty where the API did not say."`
	UserID      string    `json:"user_id" doc:"The skill's name for the customer; it may change when the skill is enabled anew."`
	Endpoint    string    `json:"endpoint" doc:"Base URL of the endpoint that answered."`
	RequestID   string    `json:"request_id" doc:"Amazon's ID of the request."`
	ObservedAt  time.Time `json:"observed_at"`
}

// CustomerEndpoint is where the customer's calls go.
type CustomerEndpoint struct {
	Endpoints  []string `json:"endpoints" doc:"Base URLs, in the order in which they are tried; one: it is known."`
	Source     string   `json:"source" enum:"api,regions" doc:"api: the API named them. regions: it could not say, and these are every region's."`
	Remembered string   `json:"remembered" doc:"The one that served last, which is called first; empty: none."`
	RequestID  string   `json:"request_id" doc:"Amazon's ID of the request."`
}

// customerEnable is the body of enableForCustomer.
type customerEnable struct {
	Stage        string `json:"stage" enum:"development,live" doc:"The stage to enable."`
	RedirectURI  string `json:"redirect_uri,omitempty" maxLength:"2048" doc:"The redirect_uri with which the auth code was obtained; given with auth_code, for skills that link accounts."`
	AuthCode     string `json:"auth_code,omitempty" maxLength:"4096" doc:"A code of the skill's own OAuth server. It serves once; it is passed on and neither stored nor shown."`
	CodeVerifier string `json:"code_verifier,omitempty" maxLength:"128" doc:"The verifier of a code that was obtained with PKCE; passed on and neither stored nor shown."`
	Reason       string `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the log."`
}

// link is the account link of the body; nil where it asks for none.
func (b *customerEnable) link() (*enablement.Link, error) {
	switch {
	case b.AuthCode != "" && b.RedirectURI != "":
		return &enablement.Link{RedirectURI: b.RedirectURI, AuthCode: b.AuthCode, CodeVerifier: b.CodeVerifier}, nil
	case b.AuthCode != "":
		return nil, fleet.Invalidf("redirect_uri", "an account link needs the redirect URI with which its auth code was obtained")
	case b.RedirectURI != "" || b.CodeVerifier != "":
		return nil, fleet.Invalidf("auth_code", "an account link needs an auth code: give one, or leave the other parts of the link out")
	}
	return nil, nil //nolint:nilnil // No link is not an error.
}

type developerEnablementOut struct{ Body DeveloperEnablement }

type customerEnablementOut struct{ Body CustomerEnablement }

type customerEndpointOut struct{ Body CustomerEndpoint }

func (s *server) registerEnablement() {
	const (
		tag       = "enablement"
		developer = "/accounts/{name}/skills/{skill_id}/stages/{stage}/enablement"
		customer  = "/accounts/{name}/customer/skills/{skill_id}/enablement"
	)
	register(s, operation{
		id: "getEnablement", method: http.MethodGet, path: developer, tag: tag, role: fleet.RoleViewer,
		summary: "Say whether a stage of a skill is enabled for its developer",
	}, s.getEnablement)
	register(s, operation{
		id: "enableSkill", method: http.MethodPut, path: developer, tag: tag, role: fleet.RoleOperator,
		summary: "Enable a stage of a skill for its developer",
		text:    "For the developer's own homes and tests, not for homes of the fleet, which a rollout enables it in. Another stage that is enabled is disabled first. Sent again, it leaves the same behind.",
	}, s.enableSkill)
	register(s, operation{
		id: "disableSkill", method: http.MethodDelete, path: developer, tag: tag, role: fleet.RoleOperator,
		summary: "Disable a stage of a skill for its developer",
	}, s.disableSkill)
	register(s, operation{
		id: "getCustomerEnablement", method: http.MethodGet, path: customer, tag: tag, role: fleet.RoleViewer,
		summary: "Say whether a skill is enabled and linked for the customer of the account's customer credential",
	}, s.getCustomerEnablement)
	register(s, operation{
		id: "enableForCustomer", method: http.MethodPost, path: customer, tag: tag, role: fleet.RoleOperator,
		summary: "Enable a skill for the customer and link the customer's account",
		text: "Without auth_code nothing is linked. A call whose outcome is not known is answered 502 (in_doubt): read getCustomerEnablement, " +
			"and get another auth code before calling again, for the first may be spent.",
	}, s.enableForCustomer)
	register(s, operation{
		id: "disableForCustomer", method: http.MethodDelete, path: customer, tag: tag, role: fleet.RoleOperator,
		summary: "Disable a skill for the customer and unlink the accounts",
	}, s.disableForCustomer)
	register(s, operation{
		id: "getCustomerEndpoint", method: http.MethodGet, path: "/accounts/{name}/customer/endpoint", tag: tag, role: fleet.RoleViewer,
		summary: "Ask which regional endpoint is the customer's, and say which one is remembered",
	}, s.getCustomerEndpoint)
}

func (s *server) getEnablement(ctx context.Context, in *struct {
	AccountName
	EnabledStage
},
) (*developerEnablementOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	enabled, err := dev.Enablement.Status(ctx, in.SkillID, fleet.Stage(in.Stage))
	if err != nil {
		return nil, err
	}
	return &developerEnablementOut{Body: DeveloperEnablement{SkillID: in.SkillID, Stage: in.Stage, Enabled: enabled}}, nil
}

func (s *server) enableSkill(ctx context.Context, in *struct {
	AccountName
	EnabledStage

	Body *reasonBody
},
) (*developerEnablementOut, error) {
	return s.setEnablement(ctx, in.Name, in.EnabledStage, true, in.Body.text())
}

func (s *server) disableSkill(ctx context.Context, in *struct {
	AccountName
	EnabledStage

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*developerEnablementOut, error) {
	return s.setEnablement(ctx, in.Name, in.EnabledStage, false, in.Reason)
}

func (s *server) setEnablement(ctx context.Context, account string, of EnabledStage, enabled bool, reason string) (*developerEnablementOut, error) {
	dev, err := s.cfg.APIs.Developer(ctx, account)
	if err != nil {
		return nil, err
	}
	action, set := "skill.disable", dev.Enablement.Disable
	if enabled {
		action, set = "skill.enable", dev.Enablement.Enable
	}
	err = set(ctx, of.SkillID, fleet.Stage(of.Stage))
	detail := map[string]any{"account": account, "stage": of.Stage}
	if err := s.record(ctx, action, "skill/"+of.SkillID, reason, detail, err); err != nil {
		return nil, err
	}
	return &developerEnablementOut{Body: DeveloperEnablement{SkillID: of.SkillID, Stage: of.Stage, Enabled: enabled}}, nil
}

func (s *server) getCustomerEnablement(ctx context.Context, in *struct {
	AccountName
	EnabledSkill
},
) (*customerEnablementOut, error) {
	customer, err := s.cfg.APIs.Customer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	r, err := customer.Enablement.Status(ctx, in.SkillID)
	if err != nil {
		return nil, nowhere(err)
	}
	return customerEnablementOf(in.SkillID, r), nil
}

func (s *server) enableForCustomer(ctx context.Context, in *struct {
	AccountName
	EnabledSkill

	Body customerEnable
},
) (*customerEnablementOut, error) {
	link, err := in.Body.link()
	if err != nil {
		return nil, err
	}
	customer, err := s.cfg.APIs.Customer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	r, err := customer.Enablement.EnableAndLink(ctx, enablement.EnableParams{SkillID: in.SkillID, Stage: fleet.Stage(in.Body.Stage), Link: link})
	detail := customerDetail(customer, r)
	detail["stage"], detail["linking"] = in.Body.Stage, link != nil
	if err := s.record(ctx, "customer.enable", "skill/"+in.SkillID, in.Body.Reason, detail, err); err != nil {
		return nil, nowhere(err)
	}
	return customerEnablementOf(in.SkillID, r), nil
}

func (s *server) disableForCustomer(ctx context.Context, in *struct {
	AccountName
	EnabledSkill

	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the log."`
},
) (*customerEnablementOut, error) {
	customer, err := s.cfg.APIs.Customer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	r, err := customer.Enablement.DisableAndUnlink(ctx, in.SkillID)
	if err := s.record(ctx, "customer.disable", "skill/"+in.SkillID, in.Reason, customerDetail(customer, r), err); err != nil {
		return nil, nowhere(err)
	}
	return customerEnablementOf(in.SkillID, r), nil
}

func (s *server) getCustomerEndpoint(ctx context.Context, in *AccountName) (*customerEndpointOut, error) {
	customer, err := s.cfg.APIs.Customer(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	found, err := customer.Enablement.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	return &customerEndpointOut{Body: CustomerEndpoint{
		Endpoints: found.Endpoints, Source: string(found.Source), Remembered: found.Remembered, RequestID: found.RequestID,
	}}, nil
}

func customerEnablementOf(skillID string, r enablement.Result) *customerEnablementOut {
	return &customerEnablementOut{Body: CustomerEnablement{
		SkillID: skillID, Status: string(r.Status), Stage: string(r.Stage), AccountLink: string(r.AccountLink), UserID: r.UserID,
		Endpoint: r.Endpoint, RequestID: r.RequestID, ObservedAt: r.At.UTC(),
	}}
}

// customerDetail is what the log keeps of a change for a customer: no secret and no name.
func customerDetail(customer *apis.Customer, r enablement.Result) map[string]any {
	detail := map[string]any{"account": customer.Account}
	for name, value := range map[string]string{"endpoint": r.Endpoint, "status": string(r.Status), "request_id": r.RequestID} {
		if value != "" {
			detail[name] = value
		}
	}
	return detail
}

// nowhere makes a conflict of a customer whom no endpoint takes: it is the credential
// that has to be mended, and not the request.
func nowhere(err error) error {
	if none, ok := errors.AsType[*enablement.EndpointError](err); ok {
		return fleet.Conflictf("%s", none.Error())
	}
	return err
}
