package fleet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
)

func texts[T ~string](set []T) []string {
	out := make([]string, len(set))
	for i, v := range set {
		out[i] = string(v)
	}
	return out
}

// The sets are stored as text and used as metric labels: these are the contract's
// spellings, and a change here is a change of the contract.
func TestClosedSetsAreTheContract(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ got, want []string }{
		"actions":          {texts(fleet.Actions()), []string{"enable", "disable"}},
		"stages":           {texts(fleet.Stages()), []string{"development", "certification", "live"}},
		"occupancies":      {texts(fleet.Occupancies()), []string{"vacant", "occupied", "linked"}},
		"link modes":       {texts(fleet.LinkModes()), []string{"none", "delegated", "codes"}},
		"credential kinds": {texts(fleet.CredentialKinds()), []string{"enterprise", "developer", "customer"}},
		"roles":            {texts(fleet.Roles()), []string{"viewer", "operator", "admin"}},
		"desired states":   {texts(fleet.DesiredStates()), []string{"development", "certification", "live", "disabled"}},
		"target states": {texts(fleet.TargetStates()), []string{
			"pending", "queued", "running", "verifying", "succeeded", "failed", "skipped", "canceled",
		}},
		"rollout states": {texts(fleet.RolloutStates()), []string{
			"scheduled", "running", "paused", "halted", "waiting", "succeeded", "completed_with_failures", "canceled",
		}},
		"skip reasons": {texts(fleet.SkipReasons()), []string{"already_in_state", "occupied", "protected_skill", "changed_since"}},
		"fail reasons": {texts(fleet.FailReasons()), []string{
			"forbidden", "unit_not_found", "skill_not_found", "invalid_request", "unauthorized",
			"account_link_failed", "enabling_failed", "verify_timeout", "server_error", "transport_error",
		}},
		"selector operators": {texts(fleet.Ops()), []string{"=", "!=", "in", "has"}},
		"selector keys":      {fleet.SelectorKeys(), []string{"property", "occupancy", "name", "unit"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, tc.got)
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(tc.got))), len(tc.got), "one stands there twice")
		})
	}
}

// The schema is the last validator: its checks must know the same words.
func TestClosedSetsAreTheSchema(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../migrations/*_fleet.sql")
	require.NoError(t, err)
	require.Len(t, paths, 1)
	schema, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		list string // up to the words in the schema
		want []string
	}{
		"actions":       {`rollouts_action_check CHECK \(action IN \(`, texts(fleet.Actions())},
		"stages":        {`rollouts_stage_check CHECK \(stage IN \(`, texts(fleet.Stages())},
		"occupancies":   {`units_occupancy_check CHECK \(occupancy IN \(`, texts(fleet.Occupancies())},
		"link modes":    {`accounts_link_mode_check CHECK \(link_mode IN \(`, texts(fleet.LinkModes())},
		"roles":         {`tokens_role_check CHECK \(role IN \(`, texts(fleet.Roles())},
		"target states": {`TYPE target_state AS ENUM \(`, texts(fleet.TargetStates())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := regexp.MustCompile(tc.list + `([^)]*)\)`).FindSubmatch(schema)
			require.NotNil(t, list, "the schema has no such check")
			var got []string
			for _, word := range regexp.MustCompile(`'([^']*)'`).FindAllSubmatch(list[1], -1) {
				got = append(got, string(word[1]))
			}
			require.Equal(t, tc.want, got)
		})
	}
}

func TestEndedStates(t *testing.T) {
	t.Parallel()
	for i, s := range fleet.TargetStates() {
		require.Equal(t, i >= 4, s.Ended(), s)
	}
	for i, s := range fleet.RolloutStates() {
		require.Equal(t, i >= 5, s.Ended(), s)
	}
	require.False(t, fleet.TargetState("dreaming").Ended())
	require.False(t, fleet.RolloutState("dreaming").Ended())
}

func TestReasonsSayOneThing(t *testing.T) {
	t.Parallel()
	for _, r := range fleet.SkipReasons() {
		require.NotContains(t, fleet.FailReasons(), r)
	}
}

func TestRoleAllows(t *testing.T) {
	t.Parallel()
	const unknown = fleet.Role("root")
	for i, have := range fleet.Roles() {
		for j, need := range fleet.Roles() {
			require.Equal(t, i >= j, have.Allows(need), "%s needs %s", have, need)
		}
		require.False(t, unknown.Allows(have))
	}
	require.False(t, unknown.Allows(unknown), "a role nobody knows allows nothing")
	require.False(t, fleet.Role("").Allows(""))
}

// Every state of TargetStates has its count, once, under its own name.
func TestCountsCoverEveryState(t *testing.T) {
	t.Parallel()
	counts := reflect.TypeFor[fleet.Counts]()
	require.Equal(t, len(fleet.TargetStates()), counts.NumField())
	for i, s := range fleet.TargetStates() {
		require.Equal(t, string(s), counts.Field(i).Tag.Get("json"))

		var c fleet.Counts
		reflect.ValueOf(&c).Elem().Field(i).SetInt(7)
		require.Equal(t, 7, c.Sum(), s)
		switch {
		case s == fleet.TargetPending:
			require.Zero(t, c.Outstanding()+c.Ended())
		case s.Ended():
			require.Equal(t, 7, c.Ended(), s)
			require.Zero(t, c.Outstanding(), s)
		default:
			require.Equal(t, 7, c.Outstanding(), s)
			require.Zero(t, c.Ended(), s)
		}
	}
}

func TestCountsJSONIsTheContract(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(fleet.Counts{Pending: 1, Queued: 2, Running: 3, Verifying: 4, Succeeded: 5, Failed: 6, Skipped: 7, Canceled: 8})
	require.NoError(t, err)
	require.JSONEq(t, `{"pending":1,"queued":2,"running":3,"verifying":4,"succeeded":5,"failed":6,"skipped":7,"canceled":8}`, string(text))
}

func TestErrorSaysWhatAndWhere(t *testing.T) {
	t.Parallel()
	cause := errors.New("deep down")
	err := fmt.Errorf("create: %w", &fleet.Error{Code: fleet.CodeConflict, Message: "taken", Field: "name", Err: cause})
	require.EqualError(t, err, "create: name: taken: deep down")
	require.ErrorIs(t, err, cause)

	require.Equal(t, &fleet.Error{Code: fleet.CodeInvalid, Field: "wave", Message: "5 is odd"}, fleet.Invalidf("wave", "%d is odd", 5))
	require.Equal(t, &fleet.Error{Code: fleet.CodeNotFound, Message: "no rollout 7"}, fleet.NotFoundf("no rollout %d", 7))
	require.Equal(t, &fleet.Error{Code: fleet.CodeConflict, Message: "rollout 7 has it"}, fleet.Conflictf("rollout %d has it", 7))
}

func TestDesiredStatesAreStages(t *testing.T) {
	t.Parallel()
	for _, s := range fleet.DesiredStates() {
		require.True(t, s.Valid())
		require.Equal(t, s, fleet.DesiredStateOf(s.Stage()))
	}
	require.Empty(t, fleet.StateDisabled.Stage())
	require.False(t, fleet.DesiredState("").Valid())
	require.False(t, fleet.DesiredState("prod").Valid())
}
