package enablement

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// Memory keeps the endpoint that served the customer last.
type Memory interface {
	// Endpoint returns its base URL; empty: none is known.
	Endpoint(ctx context.Context) (string, error)
	// RememberEndpoint keeps endpoint in the place of was; an empty one forgets. Where
	// something else than was is kept by now, that stays.
	RememberEndpoint(ctx context.Context, was, endpoint string) error
}

// CustomerConfig says how a Customer reaches the endpoint of its customer.
type CustomerConfig struct {
	// BaseURL is asked for the customer's endpoint. Required.
	BaseURL string
	// Connect makes the remote client of the account's customer credential for an
	// endpoint's base URL. Required.
	Connect func(baseURL string) (*remote.Client, error)
	// Memory keeps what was found out; nil: nothing is kept.
	Memory Memory
	// Logger hears when an endpoint could not be remembered; nil discards.
	Logger *slog.Logger
}

// Customer calls the operations of one customer. It is safe for concurrent use.
type Customer struct{ cfg CustomerConfig }

// NewCustomer makes a client; it sends nothing.
func NewCustomer(cfg CustomerConfig) *Customer {
	if cfg.Memory == nil {
		cfg.Memory = forgetful{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Customer{cfg: cfg}
}

type forgetful struct{}

func (forgetful) Endpoint(context.Context) (string, error)               { return "", nil }
func (forgetful) RememberEndpoint(context.Context, string, string) error { return nil }

// Result is what one answer said of one skill for the customer.
type Result struct {
	Status      fleet.Status     // as it came; StatusAbsent where there is no enablement
	Stage       fleet.Stage      // as it came, empty where the answer had none
	AccountLink fleet.LinkStatus // as it came, empty where the answer had none
	UserID      string           // the skill's name for the customer; it may change when the skill is enabled anew
	Endpoint    string           // base URL of the endpoint that answered
	RequestID   string           // X-Amzn-RequestId
	At          time.Time        // local clock: when a read left, or the answer to a write came

	missing bool // a read was answered 404: the endpoint may not even know the customer
}

// Link is what links the customer to the skill's own service. All but the redirect URI
// are secrets.
type Link struct {
	RedirectURI string // the redirect_uri with which the code was obtained
	AuthCode    string // serves once, and for some minutes
	// CodeVerifier is of an authorization with PKCE, 43 to 128 characters; empty: it
	// was one without.
	CodeVerifier string
}

func (l Link) check() error {
	switch {
	case l.RedirectURI == "" || strings.ContainsFunc(l.RedirectURI, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fleet.Invalidf("redirect_uri", "an account link needs the redirect URI with which its auth code was obtained, without white space")
	case l.AuthCode == "":
		return fleet.Invalidf("auth_code", "an account link needs an auth code: give one, or no link")
	case l.CodeVerifier == "":
		return nil
	case len(l.CodeVerifier) < 43 || len(l.CodeVerifier) > 128:
		return fleet.Invalidf("code_verifier", "the code verifier has %d characters: PKCE has 43 to 128", len(l.CodeVerifier))
	case strings.Trim(l.CodeVerifier, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") != "":
		return fleet.Invalidf("code_verifier", "the code verifier has a character that PKCE does not allow: letters, digits and -._~ are")
	}
	return nil
}

// EnableParams says what to enable for the customer.
type EnableParams struct {
	SkillID string
	Stage   fleet.Stage // development or live
	Link    *Link       // nil links nothing: for skills that do not link
}

// EnableAndLink enables a skill for the customer and links the customer's account. The
// result is what the answer says, ENABLED or ENABLING; only ENABLED (and LINKED where
// the skill links) proves anything. An error whose MaybeSent is true leaves open whether
// it was done, and whether the auth code is spent: ask Status, and get another code.
func (c *Customer) EnableAndLink(ctx context.Context, p EnableParams) (Result, error) {
	path, err := customerPath(p.SkillID)
	if err != nil {
		return Result{}, err
	}
	if err := checkStage(p.Stage); err != nil {
		return Result{}, err
	}
	req := remote.Request{API: API, Operation: OpEnableAndLink, Method: http.MethodPost, Path: path, Advice: customerAdvice, Look: customerLook(p.SkillID)}
	body := enableRequest{Stage: string(p.Stage)}
	if l := p.Link; l != nil {
		if err := l.check(); err != nil {
			return Result{}, err
		}
		body.AccountLinkRequest = &accountLinkRequest{
			RedirectURI: l.RedirectURI, AuthCode: l.AuthCode, Type: "AUTH_CODE", CodeVerifier: l.CodeVerifier,
		}
		req.Secrets = []string{l.AuthCode, l.CodeVerifier}
	}
	req.Body = body
	return c.write(ctx, p.SkillID, func(ctx context.Context, r *remote.Client) (Result, error) {
		var out record
		meta, err := r.Do(ctx, req, &out)
		if err != nil {
			return Result{}, err
		}
		return out.result(meta.RequestID, meta.AnswerAt), nil
	})
}

// DisableAndUnlink disables a skill for the customer and unlinks the accounts. The
// documented answer, 200 without a body, is StatusAbsent; 202 is DISABLING. Where an
// answer has a body, its status counts.
func (c *Customer) DisableAndUnlink(ctx context.Context, skillID string) (Result, error) {
	path, err := customerPath(skillID)
	if err != nil {
		return Result{}, err
	}
	return c.write(ctx, skillID, func(ctx context.Context, r *remote.Client) (Result, error) {
		var out leftover
		meta, err := r.Do(ctx, remote.Request{
			API: API, Operation: OpDisableAndUnlink, Method: http.MethodDelete, Path: path, OptionalBody: true, Advice: customerAdvice,
			Look: customerLook(skillID),
		}, &out)
		if err != nil {
			return Result{}, err
		}
		if out.Status == "" {
			out.Status = string(fleet.StatusAbsent)
			if meta.Status == http.StatusAccepted {
				out.Status = string(fleet.StatusDisabling)
			}
		}
		return out.result(meta.RequestID, meta.AnswerAt), nil
	})
}

// Status reads whether a skill is enabled for the customer and the accounts are linked.
// A 404 and the status NO_ASSOCIATION are StatusAbsent, without an error. Where the
// endpoint is not known and one of those in question cannot be asked, the error is that
// one's: what it would have said nobody knows.
func (c *Customer) Status(ctx context.Context, skillID string) (Result, error) {
	if _, err := customerPath(skillID); err != nil {
		return Result{}, err
	}
	read := func(ctx context.Context, r *remote.Client) (Result, error) { return readStatus(ctx, r, skillID, false) }
	r, among, err := c.direct(ctx, read)
	if among == nil {
		return r, err
	}
	w := c.walk(ctx, among, skillID)
	switch {
	case w.at != "":
		return w.result, nil
	case w.failure != nil:
		return Result{}, w.failure
	case w.refusal != nil:
		return Result{}, w.refusal
	case len(w.absent) > 0:
		if len(w.absent) == 1 {
			c.remember(ctx, "", w.absent[0])
		}
		return w.result, nil
	}
	return Result{}, &EndpointError{Tried: among, Err: w.elsewhere}
}

// readStatus is one read at one endpoint, or at one of several that are asked in turn.
func readStatus(ctx context.Context, r *remote.Client, skillID string, inTurn bool) (Result, error) {
	path, err := customerPath(skillID)
	if err != nil {
		return Result{}, err
	}
	var out record
	meta, err := r.Do(ctx, remote.Request{
		API: API, Operation: OpCustomerStatus, Method: http.MethodGet, Path: path, Advice: customerAdvice, Elsewhere: inTurn,
	}, &out)
	if err != nil {
		id, err := absent(err)
		if err != nil {
			return Result{}, err
		}
		return Result{Status: fleet.StatusAbsent, RequestID: id, At: meta.SentAt, missing: true}, nil
	}
	return out.result(meta.RequestID, meta.SentAt), nil
}

var customerAdvice = map[int]string{
	http.StatusBadRequest: "check the skill ID and the stage; of an account link also that the auth code is unused and some minutes old at most, " +
		"and that the redirect URI and the code verifier are those of its request. A code that was refused may be spent: get another",
	http.StatusUnauthorized: "the customer may have taken back the consent: set the customer credential anew with `fleetctl account credential set`",
	http.StatusForbidden: "check that the skill is published, or that the customer may test it, and that the customer credential was granted " +
		"the scope alexa::skills:account_linking by the skill's own client",
	http.StatusNotFound: "there is no such skill, or not at that stage, or it is not enabled for the customer",
	http.StatusConflict: "another change is under way for the customer: try again when it has ended",
}

// customerLook is the command that shows what a write for the customer came to.
func customerLook(skillID string) string { return "fleetctl skill customer status " + skillID }

func customerPath(skillID string) (string, error) {
	if err := remote.CheckID("skill_id", skillID); err != nil {
		return "", err
	}
	return "/v1/users/~current/skills/" + url.PathEscape(skillID) + "/enablement", nil
}
