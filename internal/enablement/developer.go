package enablement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// API is the api label of this client's metrics and errors.
const API = "enablement"

// The operation labels, one for each operation of the reference.
const (
	OpEnable           = "enable"
	OpDisable          = "disable"
	OpStatus           = "status"
	OpEndpoint         = "get_endpoint"
	OpEnableAndLink    = "enable_and_link"
	OpDisableAndUnlink = "disable_and_unlink"
	OpCustomerStatus   = "customer_status"
)

// Stages lists the stages that this API knows: it has no word for certification.
func Stages() []fleet.Stage { return []fleet.Stage{fleet.StageDevelopment, fleet.StageLive} }

// Developer calls the operations of a skill's owner. It is safe for concurrent use.
type Developer struct{ remote *remote.Client }

// NewDeveloper makes a client over the remote client of the account's developer
// credential.
func NewDeveloper(c *remote.Client) *Developer { return &Developer{remote: c} }

// Enable enables a stage of a skill for its owner. Where another stage is enabled, the
// API disables that one first. Only 200 and 204 say that it was done: 202 says that it was
// taken on, and leaves it in doubt as any other 2xx does. An error whose MaybeSent is true leaves open whether it
// was done: ask Status.
func (d *Developer) Enable(ctx context.Context, skillID string, stage fleet.Stage) error {
	return d.call(ctx, OpEnable, http.MethodPut, skillID, stage)
}

// Disable disables a stage of a skill for its owner. The reference calls it a PUT in
// its prose and a DELETE in its table and example; clients send DELETE.
func (d *Developer) Disable(ctx context.Context, skillID string, stage fleet.Stage) error {
	return d.call(ctx, OpDisable, http.MethodDelete, skillID, stage)
}

// Status reports whether a stage of a skill is enabled for its owner: 204 (or 200) is yes,
// and 404 is no, which says as little of why as the API does: the skill, the stage or the
// enablement may be missing. A 404 that comes as an HTML page did not come from the API
// and is a temporary error, as is any other 2xx, which says neither.
func (d *Developer) Status(ctx context.Context, skillID string, stage fleet.Stage) (bool, error) {
	err := d.call(ctx, OpStatus, http.MethodGet, skillID, stage)
	if err == nil {
		return true, nil
	}
	if _, err := absent(err); err != nil {
		return false, err
	}
	return false, nil
}

var developerAdvice = map[int]string{
	http.StatusBadRequest: "check the skill ID and the stage, and that the account's API URL is that of its region",
	http.StatusForbidden: "see with `fleetctl skill status` whether its last build succeeded; check that the skill is one of the developer " +
		"credential's vendor, that its manifest is complete for that stage, and that the credential was granted the scope alexa::ask:skills:readwrite",
	http.StatusNotFound: "there is no such skill, or not at that stage, or it is not enabled",
	http.StatusConflict: "another change of the skill is under way: try again when it has ended",
}

// call sends what has no body and is answered without one. A good answer may hold
// JSON all the same; a page is not from the API and proves nothing.
func (d *Developer) call(ctx context.Context, operation, method, skillID string, stage fleet.Stage) error {
	if err := remote.CheckID("skill_id", skillID); err != nil {
		return err
	}
	if err := checkStage(stage); err != nil {
		return err
	}
	var ignored json.RawMessage
	req := remote.Request{
		API: API, Operation: operation, Method: method, OptionalBody: true, Advice: developerAdvice,
		Look: "fleetctl skill enablement " + skillID + " --stage " + string(stage),
		Path: "/v1/skills/" + url.PathEscape(skillID) + "/stages/" + url.PathEscape(string(stage)) + "/enablement",
	}
	meta, err := d.remote.Do(ctx, req, &ignored)
	switch {
	case err != nil:
		return err
	case meta.Status == http.StatusOK, meta.Status == http.StatusNoContent:
		return nil
	}
	return d.remote.Unreadable(req, meta, fmt.Errorf("%w: only 200 and 204 say how it stands", remote.ErrUnreadable))
}

func checkStage(stage fleet.Stage) error {
	if slices.Contains(Stages(), stage) {
		return nil
	}
	return fleet.Invalidf("stage", "%.40q is not a stage of skill enablement; use development or live", string(stage))
}

// absent tells the API's word that there is nothing from every other failure.
func absent(err error) (requestID string, _ error) {
	var e *remote.Error
	if !errors.As(err, &e) || e.Status != http.StatusNotFound {
		return "", err
	}
	if e.HTML {
		page := *e
		page.Err = fmt.Errorf("%w: a 404 in HTML is not the API's word that there is no enablement", remote.ErrUnreadable)
		return "", &page
	}
	return e.RequestID, nil
}
