package manifest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The example of the reference, with its own spellings.
const example = `{
  "manifest": {"eTag": "etag.id.1", "lastUpdateRequest": {"status": "FAILED", "errors": [
     {"code": "ErrorCode", "message": "Please provide a valid url"}, {"code": 400, "message": "Small icon size should be 108*108."}], "warnings": []}},
  "interactionModel": {
    "en-US": {"eTag": "etag.id.2", "lastUpdateRequest": {"status": "SUCCEEDED", "errors": [], "warnings": [],
       "buildDetails": {"steps": [{"name": "LANGUAGE_MODEL_FULL_BUILD", "status": "SUCCEEDED", "errors": []}]}}, "errors": [], "warnings": [], "version": "1"},
    "en-GB": {"eTag": "etag.id.3", "lastUpdateRequest": {"status": "IN_PROGRESS",
       "buildDetails": {"steps": [{"name": "DIALOG_MODEL_BUILD", "status": "FAILED", "errors": [{"message": "slot"}]}]}},
       "errors": [{"message": "outside"}], "warnings": [{"code": "W", "message": ""}], "version": 2}},
  "hostedSkillDeployment": {"lastUpdatedRequest": {"status": "SUCCEEDED", "errors": [], "warnings": [],
     "deploymentDetails": {"commitId": "commit.id.1", "logUrl": "https://console.aws.amazon.com/x"}}},
  "hostedSkillProvision": {"lastUpdatedRequest": {"status": "SOMETHING_NEW", "errors": [], "warnings": []}}}`

func TestTheStatusOfTheReference(t *testing.T) {
	t.Parallel()
	want := Status{
		SkillID: skill, RequestID: "req-1",
		Manifest: &ResourceStatus{ETag: "etag.id.1", Update: Update{State: StateFailed, Errors: []Message{
			{Code: "ErrorCode", Message: "Please provide a valid url"}, {Code: "400", Message: "Small icon size should be 108*108."},
		}}},
		InteractionModel: map[string]ResourceStatus{
			"en-US": {ETag: "etag.id.2", Version: "1", Update: Update{State: StateSucceeded, Steps: []Step{{Name: "LANGUAGE_MODEL_FULL_BUILD", State: StateSucceeded}}}},
			"en-GB": {ETag: "etag.id.3", Version: "2", Update: Update{
				State: StateInProgress, Errors: []Message{{Message: "outside"}}, Warnings: []Message{{Code: "W"}},
				Steps: []Step{{Name: "DIALOG_MODEL_BUILD", State: StateFailed, Errors: []Message{{Message: "slot"}}}},
			}},
		},
		HostedDeployment:   &ResourceStatus{Update: Update{State: StateSucceeded, CommitID: "commit.id.1", LogURL: "https://console.aws.amazon.com/x"}},
		HostedProvisioning: &ResourceStatus{Update: Update{State: "SOMETHING_NEW"}},
	}
	other := strings.NewReplacer("lastUpdatedRequest", "lastUpdateRequest", "hostedSkillProvision", "hostedSkillProvisioning").Replace(example)
	for _, body := range []string{example, other} {
		c, _ := answering(t, reply{status: 200, body: body})
		got, err := c.Status(t.Context(), skill)
		require.NoError(t, err)
		require.False(t, got.At.IsZero())
		want.At = got.At
		require.Equal(t, want, got)
	}
	require.Equal(t, "W", Message{Code: "W"}.String())
}

func TestTheReferencesOtherPlaces(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Status{
		// The table of properties has one interaction model, without locales.
		`{"interactionModel":{"eTag":"t","version":"3","lastUpdateRequest":{"status":"SUCCEEDED"}}}`: {
			InteractionModel: map[string]ResourceStatus{"": {ETag: "t", Version: "3", Update: Update{State: StateSucceeded}}},
		},
		`{"manifest":{"lastUpdateRequest":{"status":"SUCCEEDED","version":"v2"}}}`: {
			Manifest: &ResourceStatus{Version: "v2", Update: Update{State: StateSucceeded}},
		},
		// The official description requires nothing of a resource.
		`{"manifest":{"eTag":"t"},"interactionModel":{"en-US":{"eTag":"u","version":"2","lastUpdateRequest":{"warnings":[{}]}}}}`: {
			Manifest:         &ResourceStatus{ETag: "t"},
			InteractionModel: map[string]ResourceStatus{"en-US": {ETag: "u", Version: "2", Update: Update{Warnings: []Message{{}}}}},
		},
		`{"manifest":{"lastUpdateRequest":{"status":"SUCCEEDED"}},"hostedSkillDeployment":{},"hostedSkillProvisioning":{"lastUpdateRequest":{"errors":[]}}}`: {
			Manifest: &ResourceStatus{Update: Update{State: StateSucceeded}}, HostedDeployment: &ResourceStatus{}, HostedProvisioning: &ResourceStatus{},
		},
		`{"interactionModel":{}}`:                   {InteractionModel: nil},
		`{"interactionModel":null,"manifest":null}`: {},
		`{}`: {},
	} {
		c, _ := answering(t, reply{status: 200, body: body})
		got, err := c.Status(t.Context(), skill)
		require.NoError(t, err, body)
		want.SkillID, want.RequestID, want.At = skill, "req-1", got.At
		if len(got.InteractionModel) == 0 {
			got.InteractionModel = nil
		}
		require.Equal(t, want, got, body)
	}
}

func TestAnUpdateThatTheAPIDoesNotTellOfHasNotEnded(t *testing.T) {
	t.Parallel()
	c, _ := answering(t, reply{status: 200, body: `{"manifest":{"eTag":"t"}}`})
	got, err := c.Status(t.Context(), skill, ResourceManifest)
	require.NoError(t, err)
	require.False(t, got.Ended())
}
