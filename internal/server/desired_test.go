package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDesiredBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t)
	for name, tc := range map[string]struct {
		path, body, kind string
		status           int
		says             string
	}{
		"no JSON":             {"/desired/apply", `version: 1`, "", http.StatusUnprocessableEntity, "the body is not JSON"},
		"YAML":                {"/desired/apply", "version: 1", "application/yaml", http.StatusUnsupportedMediaType, "must be JSON"},
		"no document":         {"/desired/apply", `{"account":"acme"}`, "", http.StatusUnprocessableEntity, "the version is 0"},
		"two values":          {"/desired/apply", `{"account":"acme"}{}`, "", http.StatusUnprocessableEntity, "nothing after it"},
		"a document too long": {"/desired/apply", `{"account":"` + strings.Repeat("x", 13<<20) + `"}`, "", http.StatusRequestEntityTooLarge, "too large"},
		"a long reason":       {"/desired/apply", `{"account":"acme","reason":"` + strings.Repeat("x", 1001) + `"}`, "", http.StatusUnprocessableEntity, "longer than 1000"},
		"a set's long reason": {"/desired", `{"account":"acme","reason":"` + strings.Repeat("x", 1001) + `"}`, "", http.StatusUnprocessableEntity, "longer than 1000"},
		"a set of a list":     {"/desired", `[]`, "", http.StatusUnprocessableEntity, "must be a JSON object"},
		"a set without units": {"/desired", `{"account":"acme","skill_id":"a","state":"live"}`, "", http.StatusUnprocessableEntity, "which units"},
		"an unknown account":  {"/desired", `{"account":"nobody","skill_id":"a","state":"live","selector":"all"}`, "", http.StatusNotFound, "there is no account"},
		"an adopt of nothing": {"/desired/adopt", `{"account":"acme"}`, "", http.StatusUnprocessableEntity, "selector"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := []string{}
			if tc.kind != "" {
				header = []string{"Content-Type", tc.kind}
			}
			a := f.call(t, "operator", http.MethodPost, "/api/v1"+tc.path, strings.NewReader(tc.body), header...)
			require.Equal(t, tc.status, a.status, a.body)
			require.Contains(t, a.body, tc.says)
			var n int
			require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT count(*) FROM desired_changes").Scan(&n))
			require.Zero(t, n)
		})
	}
}

// The longest file there can be, as JSON with all its places, is not too long.
func TestTheLongestDocumentFits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t)
	var b strings.Builder
	b.WriteString(`{"document":{"version":1,"account":"acme","desired":[{"select":"all","line":4,"column":13,"skills":[`)
	const skills = 100_000 // of ten bytes of YAML each: "a1234: live"
	for i := range skills {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"skill_id":"a%d","state":"prod","line":%d,"column":7}`, i, i)
	}
	b.WriteString(`]}]}}`)

	a := f.call(t, "operator", http.MethodPost, "/api/v1/desired/apply", strings.NewReader(b.String()))

	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.body, "100000 things are wrong with the document")
}

func TestDesiredListsRefuseForeignCursors(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t)
	for _, path := range []string{"/desired?account=acme&cursor=nonsense", "/desired/history?unit_id=u1&cursor=nonsense"} {
		a := f.call(t, "viewer", http.MethodGet, "/api/v1"+path, nil)
		require.Equal(t, http.StatusUnprocessableEntity, a.status)
		require.Contains(t, a.body, "not a next_cursor of this list")
	}
}

// Skills that fleetd has not met are looked up where somebody can tell; where nobody
// can, the person has to say that they are new.
func TestNewSkillsAreLookedUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call(t, "admin", http.MethodPost, "/api/v1/accounts", strings.NewReader(`{"name":"acme","client_id":"c","client_secret":"s","refresh_token":"r"}`))
	f.call(t, "operator", http.MethodPost, "/api/v1/accounts/acme/units/import", strings.NewReader("unit_id,property\nu1,oak\n"), "Content-Type", "text/csv")
	met := `{"account":"acme","skill_id":"met","state":"live","selector":"all"}`
	require.Equal(t, http.StatusOK, f.call(t, "operator", http.MethodPost, "/api/v1/desired", strings.NewReader(met)).status)
	var asked [][]string
	down := errors.New("the API is away")
	f.exist = func(account string, ids []string) ([]string, error) {
		require.Equal(t, "acme", account)
		if asked = append(asked, ids); len(asked) == 1 {
			return nil, down
		}
		return []string{"a"}, nil
	}
	const set = `{"account":"acme","skill_id":"a","state":"live","selector":"all"}`
	apply := func(second string) string {
		return `{"document":{"version":1,"account":"acme","desired":[{"select":"all","skills":[{"skill_id":"met","state":"live"},{"skill_id":"a","state":"live"},{"skill_id":"` + second + `","state":"live"}]}]}}`
	}

	a := f.call(t, "operator", http.MethodPost, "/api/v1/desired", strings.NewReader(set))
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.body, "never met the skill a")
	require.Contains(t, f.log.String(), down.Error())
	a = f.call(t, "operator", http.MethodPost, "/api/v1/desired/apply", strings.NewReader(apply("b")))
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.NotContains(t, a.body, "never met the skill a")
	require.Contains(t, a.body, "never met the skill b")
	require.Equal(t, http.StatusOK, f.call(t, "operator", http.MethodPost, "/api/v1/desired", strings.NewReader(set)).status)
	require.Equal(t, [][]string{{"a"}, {"a", "b"}, {"a"}}, asked)
	require.Equal(t, http.StatusOK, f.call(t, "operator", http.MethodPost, "/api/v1/desired", strings.NewReader(set)).status)
	require.Len(t, asked, 3, "what was met is not asked about")
}
