package remote

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
)

func TestCheckID(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"amzn1.ask.skill.3f1c0c2e-3b4d-4c8e-9d7a-1b2c3d4e5f60", "amzn1.alexa.unit.did.AFCD", "M2SIMVENDOR00", "a/b?#%", "...", "é", strings.Repeat("x", 255),
	} {
		require.NoError(t, CheckID("skill_id", good))
	}
	for _, bad := range []string{"", ".", "..", "a b", "a\nb", "a\x00", "a\x7f", "\xff", strings.Repeat("x", 256)} {
		err := CheckID("skill_id", bad)
		var e *fleet.Error
		require.ErrorAs(t, err, &e, "%q", bad)
		require.Equal(t, fleet.CodeInvalid, e.Code)
		require.Equal(t, "skill_id", e.Field)
	}
}

// Whatever is let through stays one segment of the path that it becomes part of.
func FuzzCheckID(f *testing.F) {
	for _, s := range []string{"a", "..", "a/../b", "a%2e", "?", "#", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if CheckID("id", id) != nil {
			return
		}
		u, err := url.Parse("https://api.example/v1/skills/" + url.PathEscape(id) + "/status")
		require.NoError(t, err)
		require.Equal(t, "/v1/skills/"+id+"/status", u.Path)
		require.Equal(t, u.EscapedPath(), u.JoinPath().EscapedPath())
		require.Empty(t, u.RawQuery+u.Fragment)
	})
}
