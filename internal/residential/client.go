package residential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// API is the api label of this client's metrics and errors.
const API = "residential"

// The operation labels, one for each operation of the reference.
const (
	OpGet     = "get_enablement"
	OpList    = "list_enablements"
	OpEnable  = "enable"
	OpDisable = "disable"
)

// Client calls the residential skill management API for one account. It is safe
// for concurrent use.
type Client struct{ remote *remote.Client }

// New makes a client over the account's remote client.
func New(c *remote.Client) *Client { return &Client{remote: c} }

// Result is what one answer said of one skill on one unit.
type Result struct {
	Status      fleet.Status     // as it came; StatusAbsent where there is no enablement
	Stage       fleet.Stage      // as it came, empty where the answer had none
	AccountLink fleet.LinkStatus // as it came, empty where the answer had none
	RequestID   string           // X-Amzn-RequestId
	// At is when this was true, by the local clock: for a read the moment the
	// request left, for a write the moment its answer came. So a read that was
	// under way while a write was answered never looks newer than the write.
	At time.Time
}

// Observation is the result as it is stored and compared.
func (r Result) Observation() fleet.Observation {
	return fleet.Observation{Status: r.Status, Stage: r.Stage, AccountLink: r.AccountLink, ObservedAt: r.At}
}

// Get reads the enablement of a skill on a unit. An empty stage is not sent. A
// 404 and the status NO_ASSOCIATION are StatusAbsent, without an error; a 404
// that comes as an HTML page did not come from the API and is a temporary error.
func (c *Client) Get(ctx context.Context, unitID, skillID string, stage fleet.Stage) (Result, error) {
	path, query, err := target(unitID, skillID, stage)
	if err != nil {
		return Result{}, err
	}
	var body enablement
	meta, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: OpGet, Method: http.MethodGet, Path: path, Query: query,
	}, &body)
	if err != nil {
		var e *remote.Error
		if !errors.As(err, &e) || e.Status != http.StatusNotFound {
			return Result{}, err
		}
		if e.HTML {
			page := *e
			page.Err = fmt.Errorf("%w: a 404 in HTML is not the API's word that there is no enablement", remote.ErrUnreadable)
			return Result{}, &page
		}
		return Result{Status: fleet.StatusAbsent, RequestID: e.RequestID, At: meta.SentAt}, nil
	}
	return body.result(meta.RequestID, meta.SentAt), nil
}

// AccountLink is what links the unit to the skill's own service. AuthCode is a
// secret that serves once.
type AccountLink struct {
	RedirectURI string // the redirect_uri with which the code was obtained
	AuthCode    string
}

// EnableParams says what to enable where. An empty Stage is not sent. Link is asked
// for the account link of each send, right before it leaves, because a code serves
// once and not for long; nil links nothing.
type EnableParams struct {
	UnitID  string
	SkillID string
	Stage   fleet.Stage
	Link    func(ctx context.Context) (AccountLink, error)
}

// Enable enables a skill on a unit. The result is what the answer says, mostly
// ENABLED or ENABLING: only ENABLED (and LINKED where the skill links) proves
// anything. An error whose MaybeSent is true leaves open whether it was done.
func (c *Client) Enable(ctx context.Context, p EnableParams) (Result, error) {
	path, _, err := target(p.UnitID, p.SkillID, p.Stage)
	if err != nil {
		return Result{}, err
	}
	req := remote.Request{API: API, Operation: OpEnable, Method: http.MethodPost, Path: path}
	body := enableRequest{UnitID: p.UnitID, Stage: string(p.Stage)}
	if p.Link == nil {
		req.Body = body
	} else {
		req.Fresh = func(ctx context.Context) (remote.Payload, error) {
			link, err := p.Link(ctx)
			if err == nil && (link.RedirectURI == "" || link.AuthCode == "") {
				err = fleet.Invalidf("account_link", "an account link needs a redirect URI and an auth code: give both, or no link")
			}
			body.AccountLinkRequest = &accountLinkRequest{RedirectURI: link.RedirectURI, AuthCode: link.AuthCode, Type: "AUTH_CODE"}
			return remote.Payload{Body: body, Secrets: []string{link.AuthCode}}, err
		}
	}
	var out enablement
	meta, err := c.remote.Do(ctx, req, &out)
	if err != nil {
		return Result{}, err
	}
	return out.result(meta.RequestID, meta.AnswerAt), nil
}

// Disable disables a skill on a unit. An empty stage is not sent. The documented
// answer, 204 without a body, is StatusAbsent, and so is any other good answer
// without one, except 202, which is DISABLING: accepted and not yet done. Where
// an answer has a body, its status counts. A later read may still show DISABLING.
func (c *Client) Disable(ctx context.Context, unitID, skillID string, stage fleet.Stage) (Result, error) {
	path, query, err := target(unitID, skillID, stage)
	if err != nil {
		return Result{}, err
	}
	var out enablement
	meta, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: OpDisable, Method: http.MethodDelete, Path: path, Query: query, OptionalBody: true,
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
}

// target checks the IDs and makes the path and query that three of the four
// operations share.
func target(unitID, skillID string, stage fleet.Stage) (string, url.Values, error) {
	if err := remote.CheckID("skill_id", skillID); err != nil {
		return "", nil, err
	}
	query, err := unitQuery(unitID, stage)
	if err != nil {
		return "", nil, err
	}
	return "/v1/skills/" + url.PathEscape(skillID) + "/enablements", query, nil
}

func unitQuery(unitID string, stage fleet.Stage) (url.Values, error) {
	if err := remote.CheckID("unit_id", unitID); err != nil {
		return nil, err
	}
	query := url.Values{"unitId": {unitID}}
	if stage != "" {
		query.Set("stage", string(stage))
	}
	return query, nil
}
