package residential

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// item is one record of a page.
func item(skillID, status string) string {
	return `{"skill":{"stage":"live","id":"` + skillID + `"},"unit":{"id":"other.unit"},"status":"` + status + `"}`
}

// pages answers with the body of each page token ("" is the first).
func pages(bodies map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := bodies[r.URL.Query().Get("nextToken")]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, body)
	}
}

func next(token string) string { return `"paginationContext":{"nextToken":"` + token + `"}` }

func TestListWalksAnyShapeOfPages(t *testing.T) {
	t.Parallel()
	a, b := item("a", "ENABLED"), item("b", "ENABLING")
	tests := map[string]struct {
		pages map[string]string
		want  string
	}{
		"one page, no context":     {map[string]string{"": `{"items":[` + a + `,` + b + `]}`}, "a b"},
		"context without token":    {map[string]string{"": `{"items":[` + a + `],"paginationContext":{}}`}, "a"},
		"token is null":            {map[string]string{"": `{"items":[` + a + `],"paginationContext":{"nextToken":null}}`}, "a"},
		"token is empty":           {map[string]string{"": `{"items":[` + a + `],` + next("") + `}`}, "a"},
		"context is null":          {map[string]string{"": `{"items":[` + a + `],"paginationContext":null}`}, "a"},
		"results for items":        {map[string]string{"": `{"results":[` + a + `],` + next("2") + `}`, "2": `{"items":[` + b + `]}`}, "a b"},
		"items and results":        {map[string]string{"": `{"items":[` + a + `],"results":[` + b + `]}`}, "a b"},
		"nothing":                  {map[string]string{"": `{"items":[]}`}, ""},
		"an empty page in between": {map[string]string{"": `{"items":[` + a + `],` + next("2") + `}`, "2": `{"items":[],` + next("3") + `}`, "3": `{"items":[` + b + `]}`}, "a b"},
		"an empty first page":      {map[string]string{"": `{"items":[],` + next("2") + `}`, "2": `{"items":[` + b + `]}`}, "b"},
		"a token and no items":     {map[string]string{"": `{` + next("2") + `}`, "2": `{"items":[` + b + `]}`}, "b"},
		"an empty last page":       {map[string]string{"": `{"items":[` + a + `],` + next("2") + `}`, "2": `{"items":[]}`}, "a"},
		"a token to be escaped":    {map[string]string{"": `{"items":[` + a + `],` + next("x+/=& ?%") + `}`, "x+/=& ?%": `{"items":[` + b + `]}`}, "a b"},
		"more than asked for":      {map[string]string{"": `{"items":[` + strings.Repeat(a+`,`, 12) + b + `]}`}, "a b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := setup(t, pages(tt.pages)).List(t.Context(), unit, ListOpts{})
			require.NoError(t, err)
			var got []string
			for _, e := range all.Items {
				got = append(got, e.SkillID)
			}
			require.Equal(t, tt.want, strings.Join(got, " "))
		})
	}
}

// begunBudget notes which requests went on with something.
type begunBudget struct {
	freeBudget

	begun *[]bool
}

func (b begunBudget) Take(ctx context.Context, _ remote.Class) (remote.Slot, error) {
	*b.begun = append(*b.begun, remote.Begun(ctx))
	return remote.Slot{}, ctx.Err()
}

// What is begun is to be ended: later pages go before the first ones of other lists.
func TestLaterPagesSayThatTheyGoOn(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(pages(map[string]string{
		"": `{"items":[],` + next("2") + `}`, "2": `{"items":[],` + next("3") + `}`, "3": `{"items":[]}`,
	}))
	t.Cleanup(srv.Close)
	base := remote.NewTransport(4)
	t.Cleanup(base.CloseIdleConnections)
	var begun []bool
	c, err := remote.NewClient(remote.Config{Account: "acme", BaseURL: srv.URL, Tokens: fixedToken{}, Limiter: begunBudget{begun: &begun}, Base: base})
	require.NoError(t, err)
	for range 2 {
		_, err = New(c).List(t.Context(), unit, ListOpts{})
		require.NoError(t, err)
	}
	require.Equal(t, []bool{false, true, true, false, true, true}, begun)
}

func TestListKeepsOneRecordOfASkillTheLast(t *testing.T) {
	t.Parallel()
	dev := `{"skill":{"stage":"development","id":"a"},"status":"DISABLED"}`
	all, err := setup(t, pages(map[string]string{
		"":  `{"items":[` + item("a", "ENABLING") + `,` + item("b", "ENABLED") + `],` + next("2") + `}`,
		"2": `{"items":[` + item("c", "NEW_STATUS") + `,` + item("a", "ENABLED") + `,` + dev + `]}`,
	})).List(t.Context(), unit, ListOpts{})
	require.NoError(t, err)
	var got []string
	for _, e := range all.Items {
		got = append(got, fmt.Sprintf("%s/%s=%s", e.SkillID, e.Stage, e.Status))
		require.Equal(t, fleet.Observation{Status: e.Status, Stage: e.Stage, ObservedAt: e.At}, e.Observation())
	}
	require.Equal(t, []string{"a/live=ENABLED", "b/live=ENABLED", "c/live=NEW_STATUS", "a/development=DISABLED"}, got)
}

func TestListEndsWhenThePagesGoInACircle(t *testing.T) {
	t.Parallel()
	for name, circle := range map[string]map[string]string{
		"the same token": {"": "2", "2": "2"},
		"a longer way":   {"": "2", "2": "3", "3": "4", "4": "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			c := setup(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				_, _ = io.WriteString(w, `{"items":[`+item("a", "ENABLED")+`],`+next(circle[r.URL.Query().Get("nextToken")])+`}`)
			})
			all, err := c.List(t.Context(), unit, ListOpts{})
			require.Empty(t, all.Items)
			require.Equal(t, asked, all.Pages)
			var e *PageError
			require.ErrorAs(t, err, &e)
			require.True(t, e.Repeated)
			require.True(t, e.Temporary())
			require.Equal(t, len(circle), e.Pages)
			require.Equal(t, len(circle), asked)
			require.ErrorContains(t, err, "circle")
		})
	}
}

func TestListEndsWhenThePagesDoNot(t *testing.T) {
	t.Parallel()
	asked := 0
	c := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = io.WriteString(w, `{"items":[],`+next(strconv.Itoa(asked))+`}`)
	})
	_, err := c.List(t.Context(), unit, ListOpts{})
	var e *PageError
	require.ErrorAs(t, err, &e)
	require.Equal(t, maxPages, asked)
}

func TestListFailsWholeRatherThanShort(t *testing.T) {
	t.Parallel()
	first := `{"items":[` + item("a", "ENABLED") + `],` + next("2") + `}`
	for name, second := range map[string]string{
		"empty":                    ``,
		"no items":                 `{}`,
		"items are null":           `{"items":null}`,
		"null":                     `null`,
		"an array":                 `[]`,
		"html":                     `<html>`,
		"cut short":                `{"items":[` + item("b", "ENABLED"),
		"a record without status":  `{"items":[{"skill":{"id":"b","stage":"live"}}]}`,
		"a record without a skill": `{"items":[{"skill":{"id":""},"status":"ENABLED"}]}`,
		"a record that is null":    `{"items":[null]}`,
		"a token of another kind":  `{"items":[],"paginationContext":{"nextToken":7}}`,
		"too large":                `{"items":[],"x":"` + strings.Repeat("x", remote.MaxBody) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := setup(t, pages(map[string]string{"": first, "2": second})).List(t.Context(), unit, ListOpts{})
			require.Equal(t, Listing{Pages: 1}, all)
			require.ErrorIs(t, err, remote.ErrUnreadable)
			require.True(t, asRemote(t, err).Temporary())
		})
	}
	for _, status := range []int{400, 401, 403, 404, 500} {
		c := setup(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("nextToken") == "" {
				_, _ = io.WriteString(w, first)
				return
			}
			w.WriteHeader(status)
		})
		_, err := c.List(t.Context(), unit, ListOpts{})
		require.Equal(t, status, asRemote(t, err).Status)
	}
}

// A 400 to a later page is about the token, all else was good before: start over.
func TestARefusedTokenIsToldApart(t *testing.T) {
	t.Parallel()
	c := setup(t, pages(map[string]string{"": `{"items":[` + item("a", "ENABLED") + `],` + next("gone") + `}`}))
	list, err := c.List(t.Context(), unit, ListOpts{})
	require.Equal(t, Listing{Pages: 1}, list)
	var e *PageError
	require.ErrorAs(t, err, &e)
	require.True(t, e.Expired)
	require.True(t, e.Temporary())
	require.ErrorContains(t, err, "start over")

	_, err = setup(t, always(http.StatusBadRequest, `{}`)).List(t.Context(), unit, ListOpts{})
	require.NotErrorAs(t, err, &e, "a first page has no token")
	require.Equal(t, http.StatusBadRequest, asRemote(t, err).Status)
}

func TestPageSendsTheSameRequestPlusTheToken(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.RequestURI
		w.Header().Set("X-Amzn-RequestId", "req-1")
		_, _ = io.WriteString(w, `{"items":[`+item("a", "ENABLED")+`],`+next("t2")+`}`)
	})
	page, err := c.Page(t.Context(), unit, "", ListOpts{})
	require.NoError(t, err)
	require.Equal(t, "/v1/skills/enablements?maxResults=10&unitId=amzn1.alexa.unit.did.U1", <-got)
	require.Equal(t, "t2", page.NextToken)
	require.Equal(t, "req-1", page.RequestID)
	require.Len(t, page.Items, 1)

	_, err = c.Page(t.Context(), unit, "t1", ListOpts{PageSize: 3, Stage: fleet.StageLive})
	require.NoError(t, err)
	require.Equal(t, "/v1/skills/enablements?maxResults=3&nextToken=t1&stage=live&unitId=amzn1.alexa.unit.did.U1", <-got)
}

func TestPageSizesTheAPIForbids(t *testing.T) {
	t.Parallel()
	c := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	for _, size := range []int{-1, 11, 100} {
		_, err := c.List(t.Context(), unit, ListOpts{PageSize: size})
		var e *fleet.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, fleet.CodeInvalid, e.Code)
		require.ErrorContains(t, err, "1 to 10")
	}
}

// direct serves requests in memory.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// However N enablements are split into pages, with empty ones and repeats among
// them, the walk finds exactly the set.
func TestListFindsExactlyTheSet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 60).Draw(t, "enablements")
		want := map[string]string{}
		type wire struct {
			Skill struct {
				ID    string `json:"id"`
				Stage string `json:"stage"`
			} `json:"skill"`
			Status string `json:"status"`
		}
		var split [][]wire
		status := rapid.SampledFrom([]string{"ENABLED", "ENABLING", "ENABLING_FAILED", "NEW"})
		for i := 0; i < n || len(split) == 0; {
			page := []wire{}
			for range rapid.IntRange(0, 10).Draw(t, "page") {
				if i == n {
					break
				}
				var w wire
				w.Skill.ID = "skill-" + strconv.Itoa(i)
				if i > 0 && rapid.IntRange(0, 9).Draw(t, "repeat") == 0 {
					w.Skill.ID = "skill-" + strconv.Itoa(rapid.IntRange(0, i-1).Draw(t, "which"))
				} else {
					i++
				}
				w.Status = status.Draw(t, "status")
				page, want[w.Skill.ID] = append(page, w), w.Status
			}
			split = append(split, page)
		}
		for range rapid.IntRange(0, 2).Draw(t, "trailing") {
			split = append(split, []wire{})
		}
		name := rapid.SampledFrom([]string{"items", "results"}).Draw(t, "name")
		c := over(t, "http://api.example", direct{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			at := 0
			if token := r.URL.Query().Get("nextToken"); token != "" {
				at, _ = strconv.Atoi(strings.TrimPrefix(token, "t "))
			}
			body := map[string]any{name: split[at]}
			if at+1 < len(split) {
				body["paginationContext"] = map[string]any{"nextToken": "t " + strconv.Itoa(at+1)}
			}
			_ = json.NewEncoder(w).Encode(body)
		})})
		all, err := c.List(t.Context(), unit, ListOpts{PageSize: rapid.IntRange(0, 10).Draw(t, "size")})
		require.NoError(t, err)
		got := map[string]string{}
		for _, e := range all.Items {
			require.NotContains(t, got, e.SkillID)
			got[e.SkillID] = string(e.Status)
		}
		require.Equal(t, want, got)
		require.Len(t, split, all.Pages)
	})
}

// Any body of an enablement is an observation with a status, or an error.
func FuzzEnablement(f *testing.F) {
	for _, s := range []string{record("ENABLED", "LINKED"), record("X", ""), `{}`, `null`, `{"status":"ENABLED","accountLink":null}`, `{"status":1}`, `<`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := over(t, "http://api.example", direct{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })})
		r, err := c.Get(t.Context(), unit, skill, "")
		if err != nil {
			require.ErrorIs(t, err, remote.ErrUnreadable)
			require.Zero(t, r)
			return
		}
		require.NotEmpty(t, r.Status)
		for _, s := range []string{string(r.Status), string(r.Stage), string(r.AccountLink)} {
			require.LessOrEqual(t, len(s), maxWord)
			require.NotContains(t, s, "\x00")
		}
	})
}

// Any page is records that can be used, or an error; and its token survives.
func FuzzListPage(f *testing.F) {
	for _, s := range []string{
		`{"items":[` + item("a", "ENABLED") + `],` + next("t") + `}`, `{"results":[]}`, `{"items":null}`, `{}`, `null`, `[1]`, `{"items":[null]}`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var token string
		c := over(t, "http://api.example", direct{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query, err := url.ParseQuery(r.URL.RawQuery)
			if err == nil {
				token = query.Get("nextToken")
			}
			_, _ = w.Write(body)
		})})
		page, err := c.Page(t.Context(), unit, "", ListOpts{})
		if err != nil {
			require.ErrorIs(t, err, remote.ErrUnreadable)
			return
		}
		for _, e := range page.Items {
			require.NotEmpty(t, e.SkillID)
			require.NotEmpty(t, e.Status)
		}
		if page.NextToken != "" {
			_, err = c.Page(t.Context(), unit, page.NextToken, ListOpts{})
			require.NoError(t, err)
			require.Equal(t, page.NextToken, token)
		}
	})
}
