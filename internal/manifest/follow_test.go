package manifest

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// follow follows a build that the replies tell of, and says how long it took and
// which requests it made.
func follow(t *testing.T, p FollowParams, within time.Duration, replies ...reply) (last Status, took time.Duration, sent []string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, s := answering(t, replies...)
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		began := time.Now()
		p.SkillID = skill
		last, err = c.Follow(ctx, p)
		took, sent = time.Since(began), s.sent
	})
	return last, took, sent, err
}

func building(state string) reply { return reply{status: 200, body: status(state)} }

func TestABuildIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	const way = "/v1/skills/" + skill + "/status?resource=manifest"
	for name, tt := range map[string]struct {
		replies []reply
		took    time.Duration
		failed  bool
	}{
		"at once":                 {replies: []reply{building("SUCCEEDED")}},
		"after a while":           {replies: []reply{building("IN_PROGRESS"), building("IN_PROGRESS"), building("SUCCEEDED")}, took: 2500 * time.Millisecond},
		"to its failure":          {replies: []reply{building("IN_PROGRESS"), building("FAILED")}, took: time.Second, failed: true},
		"through an unknown word": {replies: []reply{building("QUEUED"), building("SUCCEEDED")}, took: time.Second},
		"before it is there":      {replies: []reply{{status: 200, body: `{}`}, building("SUCCEEDED")}, took: time.Second},
		"through four lost reads": {
			replies: []reply{{status: 500}, {status: 500}, {status: 500}, {status: 500}, building("SUCCEEDED")},
			took:    8125 * time.Millisecond, // 1, 1.5, 2.25 and 3.375 s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last, took, sent, err := follow(t, FollowParams{Location: way}, time.Hour, tt.replies...)
			require.Equal(t, tt.took, took)
			require.Len(t, sent, len(tt.replies))
			require.Equal(t, "GET /prefix"+way, sent[0])
			if tt.failed {
				var e *BuildError
				require.ErrorAs(t, err, &e)
				require.Equal(t, ResourceManifest, e.Resource)
				require.Equal(t, []Message{{Code: "E", Message: "no icon"}}, e.Update.Errors)
				require.ErrorContains(t, err, "the build of the manifest of skill "+skill+" is FAILED: no icon (E)")
				require.Equal(t, StateFailed, last.Manifest.Update.State)
				return
			}
			require.NoError(t, err)
			require.Equal(t, StateSucceeded, last.Manifest.Update.State)
		})
	}
}

// The pauses grow to a bound, and the status that was read last comes with the error.
func TestFollowingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	last, took, sent, err := follow(t, FollowParams{Interval: 100 * time.Millisecond}, 10*time.Minute, building("IN_PROGRESS"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 10*time.Minute, took)
	require.Equal(t, StateInProgress, last.Manifest.Update.State)
	require.Greater(t, len(sent), 10*60/15)
	require.Less(t, len(sent), 10*60/15+20)

	last, _, sent, err = follow(t, FollowParams{}, 0, building("SUCCEEDED"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, Status{SkillID: skill}, last)
	require.Empty(t, sent)
}

func TestFollowingGivesUp(t *testing.T) {
	t.Parallel()
	_, _, sent, err := follow(t, FollowParams{}, time.Hour, building("IN_PROGRESS"), reply{status: 500})
	require.Equal(t, http.StatusInternalServerError, asRemote(t, err).Status)
	require.Len(t, sent, 1+maxFailures)

	last, _, sent, err := follow(t, FollowParams{}, time.Hour, building("IN_PROGRESS"), reply{status: 404})
	require.ErrorIs(t, err, ErrNotFound, "it was deleted")
	require.Equal(t, StateInProgress, last.Manifest.Update.State)
	require.Len(t, sent, 2)
}

// What the status says right after an update may be of the update before.
func TestAnEndFromBeforeIsNotBelievedAtOnce(t *testing.T) {
	t.Parallel()
	old := reply{status: 200, body: `{"manifest":{"eTag":"t1","lastUpdateRequest":{"status":"SUCCEEDED"}}}`}
	last, took, _, err := follow(t, FollowParams{ETag: "t1"}, time.Hour, old, old, building("IN_PROGRESS"), building("SUCCEEDED"))
	require.NoError(t, err)
	require.Equal(t, 4750*time.Millisecond, took)
	require.Equal(t, "t2", last.Manifest.ETag)

	// A manifest that was put in its own place may keep its entity tag.
	_, took, _, err = follow(t, FollowParams{ETag: "t1"}, time.Hour, old)
	require.NoError(t, err)
	require.GreaterOrEqual(t, took, settle)
	require.Less(t, took, 2*settle)

	_, took, _, err = follow(t, FollowParams{}, time.Hour, old)
	require.NoError(t, err)
	require.Zero(t, took, "nothing was before")

	failed := reply{status: 200, body: `{"manifest":{"eTag":"t1","lastUpdateRequest":{"status":"FAILED"}}}`}
	_, took, _, err = follow(t, FollowParams{ETag: "t1"}, time.Hour, failed)
	require.ErrorContains(t, err, "FAILED")
	require.Zero(t, took, "an update that fails leaves the entity tag")
}

func TestSeveralResourcesAreFollowed(t *testing.T) {
	t.Parallel()
	model := func(us, gb string) reply {
		return reply{status: 200, body: `{"manifest":{"lastUpdateRequest":{"status":"SUCCEEDED"}},"interactionModel":{
			"en-US":{"lastUpdateRequest":{"status":"` + us + `"}},"en-GB":{"lastUpdateRequest":{"status":"` + gb + `"}}}}`}
	}
	p := FollowParams{Resources: []Resource{ResourceManifest, ResourceInteractionModel}, Location: "/v1/skills/" + skill + "/status?resource=manifest"}
	_, took, sent, err := follow(t, p, time.Hour, building("SUCCEEDED"), model("SUCCEEDED", "IN_PROGRESS"), model("FAILED", "IN_PROGRESS"), model("FAILED", "SUCCEEDED"))
	var e *BuildError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "en-US", e.Locale)
	require.ErrorContains(t, err, "interactionModel en-US of skill")
	require.Equal(t, 4750*time.Millisecond, took)
	require.True(t, slices.Equal(sent, slices.Repeat([]string{"GET /prefix/v1/skills/" + skill + "/status?resource=manifest&resource=interactionModel"}, 4)))

	p.Resources = []Resource{ResourceHostedDeployment, ResourceHostedProvisioning}
	_, _, _, err = follow(t, p, time.Hour, reply{status: 200, body: `{"hostedSkillDeployment":{"lastUpdateRequest":{"status":"SUCCEEDED"}},
		"hostedSkillProvisioning":{"lastUpdateRequest":{"status":"SUCCEEDED"}}}`})
	require.NoError(t, err)
}
