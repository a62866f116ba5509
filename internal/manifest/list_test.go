package manifest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/remote"
)

func item(id, stage string) string {
	return `{"skillId":"` + id + `","stage":"` + stage + `","publicationStatus":"DEVELOPMENT"}`
}

func listing(more string, items ...string) reply {
	return reply{status: 200, body: `{"skills":[` + strings.Join(items, ",") + `]` + more + `}`}
}

func names(skills []Summary) []string {
	var all []string
	for _, s := range skills {
		all = append(all, s.SkillID+"/"+string(s.Stage)+"/"+s.PublicationStatus)
	}
	return all
}

func TestThePageOfTheReference(t *testing.T) {
	t.Parallel()
	c, _ := answering(t, reply{status: 200, body: `{"skills": [
		{"lastUpdated": "2017-07-11T19:29:57.120Z", "nameByLocale": {"en-US": "example"}, "stage": "development", "apis": ["custom", "householdList"],
		 "publicationStatus": "DEVELOPMENT", "_links": {"self": {"href": "/v1/skills/amzn1.ask.skill.1/stages/development/manifest"}}, "skillId": "amzn1.ask.skill.1"},
		{"lastUpdated": "yesterday", "asin": "someASIN.1", "stage": "certification", "publicationStatus": "QUITE_NEW", "skillId": "amzn1.ask.skill.2"}],
		"_links": {"next": {"href": "/v1/skills?vendorId=your.vendor.id.1"}, "self": {"href": "/v1/skills?vendorId=your.vendor.id.1"}},
		"isTruncated": true, "nextToken": "someToken.1"}`})
	page, err := c.Page(t.Context(), PageParams{VendorID: vendor})
	require.NoError(t, err)
	at := time.Date(2017, 7, 11, 19, 29, 57, 120_000_000, time.UTC)
	require.Equal(t, Page{NextToken: "someToken.1", RequestID: "req-1", Skills: []Summary{
		{
			SkillID: "amzn1.ask.skill.1", Stage: StageDevelopment, PublicationStatus: PublicationDevelopment, LastUpdated: &at,
			NameByLocale: map[string]string{"en-US": "example"}, APIs: []string{"custom", "householdList"},
		},
		{SkillID: "amzn1.ask.skill.2", Stage: "certification", PublicationStatus: "QUITE_NEW", ASIN: "someASIN.1", NameByLocale: map[string]string{}, APIs: []string{}},
	}}, page)
}

func TestListWalksEveryPage(t *testing.T) {
	t.Parallel()
	const link = `,"isTruncated":true,"_links":{"next":{"href":"https://elsewhere.example/v1/skills?vendorId=V&nextToken=t%2F3"}}`
	again := strings.Replace(item("a", "live"), "DEVELOPMENT", "HIDDEN", 1)
	c, s := answering(t,
		listing(`,"isTruncated":true,"nextToken":"t2"`, item("a", "development"), item("a", "live")),
		listing(link),
		listing(`,"isTruncated":false,"nextToken":null`, again, item("b", "certified")))
	all, err := c.List(t.Context(), vendor)
	require.NoError(t, err)
	require.Equal(t, []string{"a/development/DEVELOPMENT", "a/live/HIDDEN", "b/certified/DEVELOPMENT"}, names(all))
	require.Equal(t, []string{
		"GET /prefix/v1/skills?maxResults=50&vendorId=" + vendor,
		"GET /prefix/v1/skills?maxResults=50&nextToken=t2&vendorId=" + vendor,
		"GET /prefix/v1/skills?maxResults=50&nextToken=t%2F3&vendorId=" + vendor,
	}, s.sent)
}

func TestAListIsWholeOrAnError(t *testing.T) {
	t.Parallel()
	more := func(token string) reply { return listing(`,"nextToken":"`+token+`"`, item("a", "live")) }
	for name, tt := range map[string]struct {
		replies []reply
		want    string
		asked   int
	}{
		"in a circle":          {replies: []reply{more("2"), more("3"), more("2")}, want: "circle", asked: 3},
		"the same token":       {replies: []reply{more("2")}, want: "circle", asked: 2},
		"more, but not where":  {replies: []reply{more("2"), listing(`,"isTruncated":true`, item("b", "live"))}, want: "not where", asked: 2},
		"its token is refused": {replies: []reply{more("2"), {status: 400}}, want: "start over", asked: 2},
		"a broken page":        {replies: []reply{more("2"), {status: 200, body: `{"skills":`}}, want: "not the JSON", asked: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, tt.replies...)
			all, err := c.List(t.Context(), vendor)
			require.Empty(t, all)
			e := asRemote(t, err)
			require.ErrorIs(t, err, remote.ErrUnreadable)
			require.ErrorContains(t, err, tt.want)
			require.True(t, e.Temporary())
			require.Len(t, s.sent, tt.asked)
		})
	}
	asked := 0
	c := over(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		more(strconv.Itoa(asked)).write(w)
	})
	_, err := c.List(t.Context(), vendor)
	require.ErrorContains(t, err, "no end")
	require.Equal(t, maxPages, asked)

	c, _ = answering(t, reply{status: 400})
	_, err = c.List(t.Context(), vendor)
	require.NotErrorIs(t, err, remote.ErrUnreadable, "a first page has no token")
	require.Equal(t, http.StatusBadRequest, asRemote(t, err).Status)
}

// vendorOf serves the skills of a vendor as the reference says: up to ten IDs a
// request, or pages, not both; and cuts answers short at limit records.
func vendorOf(skills map[string][]string, limit int, asked *[]int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ids := r.URL.Query()["skillId"]
		*asked = append(*asked, len(ids))
		if len(ids) == 0 || len(ids) > MaxFind || r.URL.Query().Has("maxResults") || r.URL.Query().Has("nextToken") {
			reply{status: 400, body: `{}`}.write(w)
			return
		}
		items := []string{item("never-asked-for", "live")}
		for _, id := range ids {
			for _, stage := range skills[id] {
				items = append(items, item(id, stage))
			}
		}
		if len(items) > limit {
			listing(`,"isTruncated":true,"nextToken":"t"`, items[:limit]...).write(w)
			return
		}
		listing("", items...).write(w)
	}
}

func TestFindAsksByTensAndNeverReturnsLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		skills := map[string][]string{}
		var ids, want []string
		for i := range rapid.IntRange(0, 45).Draw(t, "skills") {
			id := fmt.Sprintf("s%02d", i)
			ids = append(ids, id)
			for _, stage := range []string{"development", "certified", "live"}[:rapid.IntRange(0, 3).Draw(t, "stages")] {
				skills[id] = append(skills[id], stage)
				want = append(want, id+"/"+stage+"/DEVELOPMENT")
			}
		}
		var asked []int
		limit := rapid.SampledFrom([]int{4, 10, 50}).Draw(t, "limit")
		c := over(t, vendorOf(skills, limit, &asked))
		got, err := c.Find(t.Context(), vendor, append(ids, ids...)...)
		require.NoError(t, err)
		require.Equal(t, want, names(got))
		if limit == 50 {
			require.Len(t, asked, (len(ids)+MaxFind-1)/MaxFind)
		}
	})
}

func TestFindWhereTheAPIIsOdd(t *testing.T) {
	t.Parallel()
	// It may answer 404 for an ID that it does not know.
	c := over(t, func(w http.ResponseWriter, r *http.Request) {
		ids := r.URL.Query()["skillId"]
		if len(ids) > 1 || ids[0] == "gone" {
			reply{status: 404, body: `{}`}.write(w)
			return
		}
		listing("", item(ids[0], "live")).write(w)
	})
	got, err := c.Find(t.Context(), vendor, "a", "gone", "b")
	require.NoError(t, err)
	require.Equal(t, []string{"a/live/DEVELOPMENT", "b/live/DEVELOPMENT"}, names(got))

	c, s := answering(t, listing(`,"isTruncated":true`, item("a", "live")))
	_, err = c.Find(t.Context(), vendor, "a", "b")
	require.ErrorContains(t, err, "cut short")
	require.Len(t, s.sent, 2)

	c, _ = answering(t, reply{status: 403})
	_, err = c.Find(t.Context(), vendor, "a")
	require.Equal(t, http.StatusForbidden, asRemote(t, err).Status)
}

// However the skills are split into pages, the walk finds exactly the set.
func TestListFindsExactlyTheSet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "skills")
		var want []string
		pages := [][]string{{}}
		for i := range n {
			if rapid.IntRange(0, 3).Draw(t, "break") == 0 {
				pages = append(pages, []string{})
			}
			pages[len(pages)-1] = append(pages[len(pages)-1], item(fmt.Sprint("s", i), "live"))
			want = append(want, fmt.Sprintf("s%d/live/DEVELOPMENT", i))
		}
		linked := rapid.Bool().Draw(t, "linked")
		c := over(t, func(w http.ResponseWriter, r *http.Request) {
			at, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Query().Get("nextToken"), "t "))
			more := ""
			if at+1 < len(pages) {
				more = fmt.Sprintf(`,"isTruncated":true,"nextToken":"t %d"`, at+1)
				if linked {
					more = fmt.Sprintf(`,"_links":{"next":{"href":"/v1/skills?vendorId=V&nextToken=t+%d"}}`, at+1)
				}
			}
			listing(more, pages[at]...).write(w)
		})
		got, err := c.List(t.Context(), vendor)
		require.NoError(t, err)
		require.Equal(t, want, names(got))
	})
}

// Any body is what its operation is for, or an error.
func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		example, `{"manifest":{"a":[1]}}`, `{"skillId":"s"}`, `{"skills":[` + item("a", "live") + `],"nextToken":"t"}`,
		`{"skills":[],"_links":{"next":{"href":"?nextToken=%zz"}}}`, `{"interactionModel":{"en-US":null}}`, `{"manifest":null}`, `{}`, `null`, `[1]`, ``, `<`,
		`{"manifest":{"eTag":"t"},"hostedSkillDeployment":{},"interactionModel":{"en-US":{"lastUpdateRequest":{}}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := over(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
		ctx := t.Context()
		unreadable := func(err error) bool {
			if err != nil {
				require.ErrorIs(t, err, remote.ErrUnreadable)
			}
			return err != nil
		}
		if created, err := c.Create(ctx, vendor, small); !unreadable(err) {
			require.NoError(t, remote.CheckID("skill_id", created.SkillID))
		}
		if m, err := c.Get(ctx, skill, StageLive); !unreadable(err) {
			require.True(t, json.Valid(m.Body))
		}
		if s, err := c.Status(ctx, skill); !unreadable(err) {
			for _, r := range Resources() {
				for _, part := range s.parts(r) {
					require.True(t, r != ResourceManifest || part.Update.State != "" || part.ETag != "")
					require.LessOrEqual(t, len(part.Update.State), maxWord)
				}
			}
			_, err = json.Marshal(s)
			require.NoError(t, err)
		}
		if page, err := c.Page(ctx, PageParams{VendorID: vendor}); !unreadable(err) {
			for _, s := range page.Skills {
				require.NoError(t, remote.CheckID("skill_id", s.SkillID))
			}
			_, err = json.Marshal(page)
			require.NoError(t, err)
		}
		if CheckManifest(body) == nil {
			var fields map[string]any
			require.NoError(t, json.Unmarshal(body, &fields))
			require.NotEmpty(t, fields)
		}
	})
}
