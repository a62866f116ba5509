package manifest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// Resource is a part of a skill that has a status of its own.
type Resource string

// The resources of the reference.
const (
	ResourceManifest           Resource = "manifest"
	ResourceInteractionModel   Resource = "interactionModel"
	ResourceHostedDeployment   Resource = "hostedSkillDeployment"
	ResourceHostedProvisioning Resource = "hostedSkillProvisioning"
)

// Resources lists every resource.
func Resources() []Resource {
	return []Resource{ResourceManifest, ResourceInteractionModel, ResourceHostedDeployment, ResourceHostedProvisioning}
}

// State is how far an update is, as it came: the API may have words that are not here,
// and it is empty where the API did not say.
type State string

// The states of the reference.
const (
	StateInProgress State = "IN_PROGRESS"
	StateSucceeded  State = "SUCCEEDED"
	StateFailed     State = "FAILED"
)

// Ended reports whether the update goes no further.
func (s State) Ended() bool { return s == StateSucceeded || s == StateFailed }

// Message is an error or a warning of a build, in the API's own words.
type Message struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

// String is the message, with its code where it has one.
func (m Message) String() string {
	if m.Code == "" || m.Message == "" {
		return m.Code + m.Message
	}
	return m.Message + " (" + m.Code + ")"
}

// Step is a step of the build of an interaction model.
type Step struct {
	Name   string    `json:"name"`
	State  State     `json:"state"`
	Errors []Message `json:"errors,omitempty"`
}

// Update is the last request to change a resource, and what became of it.
type Update struct {
	State    State     `json:"state"`
	Errors   []Message `json:"errors,omitempty"`
	Warnings []Message `json:"warnings,omitempty"`
	Steps    []Step    `json:"steps,omitempty"`     // of an interaction model
	CommitID string    `json:"commit_id,omitempty"` // of a deployment
	LogURL   string    `json:"log_url,omitempty"`   // of a deployment
}

// ResourceStatus is the status of one resource.
type ResourceStatus struct {
	ETag    string `json:"etag,omitempty"`    // of the last update that succeeded
	Version string `json:"version,omitempty"` // that it made
	Update  Update `json:"last_update"`
}

// Status is the status of what was asked for, as far as the skill has it.
type Status struct {
	SkillID            string                    `json:"skill_id"`
	Manifest           *ResourceStatus           `json:"manifest,omitempty"`
	InteractionModel   map[string]ResourceStatus `json:"interaction_model,omitempty"` // by locale
	HostedDeployment   *ResourceStatus           `json:"hosted_skill_deployment,omitempty"`
	HostedProvisioning *ResourceStatus           `json:"hosted_skill_provisioning,omitempty"`
	RequestID          string                    `json:"request_id,omitempty"`
	At                 time.Time                 `json:"at"` // local clock, when the request left
}

// Status reads the status of a skill's resources, of all where none is named.
func (c *Client) Status(ctx context.Context, skillID string, resources ...Resource) (Status, error) {
	if err := remote.CheckID("skill_id", skillID); err != nil {
		return Status{}, err
	}
	query := url.Values{}
	for _, r := range resources {
		if !known(r) {
			return Status{}, fleet.Invalidf("resource", "%q is not a resource of a skill: use one of %s", string(r), resourceNames())
		}
		query.Add("resource", string(r))
	}
	var out statusAnswer
	meta, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: OpStatus, Method: http.MethodGet, Path: statusPath(skillID), Query: query, Advice: advice(OpStatus),
	}, &out)
	if err != nil {
		return Status{}, judge(err)
	}
	s := out.status()
	s.SkillID, s.RequestID, s.At = skillID, meta.RequestID, meta.SentAt.UTC()
	return s, nil
}

func statusPath(skillID string) string { return "/v1/skills/" + url.PathEscape(skillID) + "/status" }

func known(r Resource) bool { return slices.Contains(Resources(), r) }

func resourceNames() string {
	var names []string
	for _, r := range Resources() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// locationResources is what the Location of an answer asks the status of. What
// is not the way to this skill's status is not gone: the manifest's is asked instead,
// at the account's own API, as it always is. So no answer can send a token elsewhere.
func locationResources(location, skillID string) []Resource {
	u, err := url.Parse(location)
	if err != nil || !strings.HasSuffix(u.EscapedPath(), statusPath(skillID)) {
		return []Resource{ResourceManifest}
	}
	var resources []Resource
	for _, r := range u.Query()["resource"] {
		if known(Resource(r)) {
			resources = append(resources, Resource(r))
		}
	}
	if resources == nil {
		return []Resource{ResourceManifest}
	}
	return resources
}

// parts are the statuses of one resource: one for each locale of an interaction model.
func (s Status) parts(r Resource) map[string]ResourceStatus {
	one := func(p *ResourceStatus) map[string]ResourceStatus {
		if p == nil {
			return nil
		}
		return map[string]ResourceStatus{"": *p}
	}
	switch r {
	case ResourceManifest:
		return one(s.Manifest)
	case ResourceInteractionModel:
		return s.InteractionModel
	case ResourceHostedDeployment:
		return one(s.HostedDeployment)
	case ResourceHostedProvisioning:
		return one(s.HostedProvisioning)
	}
	return nil
}
