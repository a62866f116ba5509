// Package manifest is a typed client of Amazon's skill manifest API: it creates the
// skills of a vendor, reads and replaces their manifests, follows their builds, lists
// and deletes them. Where the reference and the official clients disagree (facts 7),
// what those send is sent, and the answers of both are understood.
//
// What the API says of a request it refuses, and of a build that failed, is meant for
// the person who wrote the manifest; so are this package's errors.
package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// API is the api label of this client's metrics and errors.
const API = "manifest"

// The operation labels, one for each operation of the reference.
const (
	OpCreate = "create_skill"
	OpDelete = "delete_skill"
	OpGet    = "get_manifest"
	OpUpdate = "update_manifest"
	OpStatus = "get_status"
	OpList   = "list_skills"
)

// Operations lists every operation label.
func Operations() []string {
	return []string{OpCreate, OpDelete, OpGet, OpUpdate, OpStatus, OpList}
}

// Stage is a skill stage as the skill manifest API spells it: a vocabulary of its own.
type Stage string

// The stages. The reference has development and live; official clients also know the
// stage between, which they call certified (facts 1.5).
const (
	StageDevelopment Stage = "development"
	StageCertified   Stage = "certified"
	StageLive        Stage = "live"
)

// Client calls the skill manifest API for one account. It is safe for concurrent use.
type Client struct{ remote *remote.Client }

// New makes a client over the remote client of the account's developer credential.
func New(c *remote.Client) *Client { return &Client{remote: c} }

// Created is a skill that the API took on; its build goes on in the background.
type Created struct {
	SkillID   string
	Location  string // where the build can be followed, for FollowParams
	RequestID string
}

// Create makes a skill of a vendor from a manifest, a JSON object (what stands in a
// file under "manifest"). An error whose MaybeSent is true leaves open whether there is
// now one skill more: list the vendor's skills before trying again.
func (c *Client) Create(ctx context.Context, vendorID string, manifest json.RawMessage) (Created, error) {
	if err := remote.CheckID("vendor_id", vendorID); err != nil {
		return Created{}, err
	}
	if err := CheckManifest(manifest); err != nil {
		return Created{}, err
	}
	var out createAnswer
	meta, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: OpCreate, Method: http.MethodPost, Path: "/v1/skills",
		Body: createRequest{VendorID: vendorID, Manifest: manifest}, Advice: advice(OpCreate),
		Look: "fleetctl skill list",
	}, &out)
	if err != nil {
		return Created{}, judge(err)
	}
	return Created{SkillID: out.SkillID, Location: meta.Location, RequestID: meta.RequestID}, nil
}

// Delete deletes a skill with its interaction model, in every stage that the API lets
// it. It returns Amazon's ID of the request.
func (c *Client) Delete(ctx context.Context, skillID string) (requestID string, err error) {
	if err := remote.CheckID("skill_id", skillID); err != nil {
		return "", err
	}
	// The reference ends the path in a slash; official clients do not.
	meta, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: OpDelete, Method: http.MethodDelete, Path: "/v1/skills/" + url.PathEscape(skillID), OptionalBody: true,
		Advice: advice(OpDelete), Look: "fleetctl skill list --skill " + skillID,
	}, &json.RawMessage{})
	return meta.RequestID, judge(err)
}

// Manifest is the manifest of a skill at one stage.
type Manifest struct {
	Body      json.RawMessage // a JSON object, as it came
	ETag      string          // its version, for UpdateParams; empty where the API gave none
	RequestID string
}

// Get reads the manifest of a skill at a stage. While the API answers with the way to
// the skill's status instead (303), the error is a *NotReadyError that holds it.
func (c *Client) Get(ctx context.Context, skillID string, stage Stage) (Manifest, error) {
	path, err := manifestPath(skillID, stage)
	if err != nil {
		return Manifest{}, err
	}
	var out getAnswer
	meta, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: OpGet, Method: http.MethodGet, Path: path, Advice: advice(OpGet),
	}, &out)
	var e *remote.Error
	if errors.As(err, &e) && e.Status == http.StatusSeeOther {
		status, err := c.Status(ctx, skillID, locationResources(meta.Location, skillID)...)
		if err != nil {
			return Manifest{}, err
		}
		return Manifest{}, &NotReadyError{SkillID: skillID, Stage: stage, Status: status}
	}
	if err != nil {
		return Manifest{}, judge(err)
	}
	return Manifest{Body: out.Manifest, ETag: meta.ETag, RequestID: meta.RequestID}, nil
}

// UpdateParams says which manifest to put in the place of which.
type UpdateParams struct {
	SkillID  string
	Stage    Stage
	Manifest json.RawMessage // a JSON object
	// ETag is the version that is replaced, as Get read it. Where another one stands
	// there by now nothing is changed, and the error is a *StaleError. Empty: whatever
	// stands there is replaced.
	ETag string
}

// Accepted is a change that the API took on; its build goes on in the background.
type Accepted struct {
	Location  string // where the build can be followed, for FollowParams
	RequestID string
}

// Update replaces the manifest of a skill at a stage. ErrConflict is in the chain of
// the error while another change of the skill is under way.
func (c *Client) Update(ctx context.Context, p UpdateParams) (Accepted, error) {
	path, err := manifestPath(p.SkillID, p.Stage)
	if err != nil {
		return Accepted{}, err
	}
	if err := CheckManifest(p.Manifest); err != nil {
		return Accepted{}, err
	}
	req := remote.Request{
		API: API, Operation: OpUpdate, Method: http.MethodPut, Path: path, Body: updateRequest{Manifest: p.Manifest}, OptionalBody: true,
		Advice: advice(OpUpdate), Look: "fleetctl skill get " + p.SkillID + " --stage " + string(p.Stage),
	}
	if p.ETag != "" {
		if err := checkTag(p.ETag); err != nil {
			return Accepted{}, err
		}
		req.Header = http.Header{"If-Match": {p.ETag}}
	}
	meta, err := c.remote.Do(ctx, req, &json.RawMessage{}) // a page is not the API's word
	var e *remote.Error
	switch {
	case errors.As(err, &e) && e.Status == http.StatusPreconditionFailed:
		return Accepted{}, &StaleError{SkillID: p.SkillID, Stage: p.Stage, ETag: p.ETag, Err: e}
	case err != nil:
		return Accepted{}, judge(err)
	}
	return Accepted{Location: meta.Location, RequestID: meta.RequestID}, nil
}

func manifestPath(skillID string, stage Stage) (string, error) {
	if err := remote.CheckID("skill_id", skillID); err != nil {
		return "", err
	}
	if err := remote.CheckID("stage", string(stage)); err != nil {
		return "", err
	}
	return "/v1/skills/" + url.PathEscape(skillID) + "/stages/" + url.PathEscape(string(stage)) + "/manifest", nil
}

// checkTag refuses what no header holds.
func checkTag(tag string) error {
	for i := range len(tag) {
		if tag[i] < ' ' || tag[i] >= 0x7f {
			return fleet.Invalidf("etag", "the entity tag has a character at byte %d that no header holds: give it as it was read", i+1)
		}
	}
	return nil
}
