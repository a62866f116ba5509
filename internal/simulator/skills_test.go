package simulator_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

const vendorQuery = "/v1/skills?vendorId=" + simulator.DefaultVendorID

// skillPage is a page of a list of skills.
type skillPage struct {
	Skills []struct {
		SkillID, Stage, PublicationStatus, LastUpdated, Asin string
		APIs                                                 []string
		NameByLocale                                         map[string]string
		Links                                                struct{ Self struct{ Href string } } `json:"_links"` //nolint:tagliatelle // as the API has it
	}
	IsTruncated bool
	NextToken   *string
	Links       struct{ Next, Self struct{ Href string } } `json:"_links"` //nolint:tagliatelle // as the API has it
}

func (c *client) skills(target string) skillPage {
	c.t.Helper()
	rec := c.do(http.MethodGet, target, "")
	require.Equal(c.t, http.StatusOK, rec.Code, rec.Body)
	return decode[skillPage](c.t, rec)
}

func TestListOfSkills(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	var ids []string
	for i := range 12 {
		ids = append(ids, c.create(fmt.Sprintf("Skill %d", i)))
	}
	c.control("POST", "/_sim/publish", `{"skill_id":"`+ids[3]+`"}`)

	first := c.skills(vendorQuery)
	require.Len(t, first.Skills, 10, "the default")
	require.True(t, first.IsTruncated)
	require.Equal(t, "/v1/skills?vendorId="+simulator.DefaultVendorID, first.Links.Self.Href)
	require.Equal(t, ids[0], first.Skills[0].SkillID)
	require.Equal(t, map[string]string{"en-US": "Skill 0"}, first.Skills[0].NameByLocale)
	require.Equal(t, []string{"custom", "smartHome"}, first.Skills[0].APIs)
	require.Equal(t, manifestOf(ids[0], "development"), first.Skills[0].Links.Self.Href)
	_, err := time.Parse("2006-01-02T15:04:05.000Z", first.Skills[0].LastUpdated)
	require.NoError(t, err)
	require.Equal(t, "development", first.Skills[3].Stage)
	require.Equal(t, "live", first.Skills[4].Stage, "an entry for each stage")
	require.Equal(t, "PUBLISHED", first.Skills[4].PublicationStatus)
	require.NotEmpty(t, first.Skills[4].Asin)
	require.Empty(t, first.Skills[3].Asin)

	second := c.skills(first.Links.Next.Href)
	require.Len(t, second.Skills, 3)
	require.False(t, second.IsTruncated)
	require.Nil(t, second.NextToken)
	require.Equal(t, ids[11], second.Skills[2].SkillID)

	three := c.skills(vendorQuery + "&maxResults=3")
	require.Len(t, three.Skills, 3)
	next := c.skills(three.Links.Next.Href)
	require.Len(t, next.Skills, 3, "the link has the size")
	require.Equal(t, first.Skills[3:6], next.Skills)
	require.Equal(t, first.Skills[3:], c.skills(vendorQuery + "&nextToken=" + *three.NextToken).Skills[:7], "clients may leave the size out")

	some := c.skills(vendorQuery + "&skillId=" + ids[3] + "&skillId=" + ids[11] + "&skillId=unheard-of")
	require.Len(t, some.Skills, 3)
	spelled := c.skills("/v1/skills/vendorId=" + simulator.DefaultVendorID + "&&skillId=" + ids[3])
	require.Len(t, spelled.Skills, 2, "the path of seed 002")
	require.Len(t, c.skills(vendorQuery+"&maxResults=50").Skills, 13)

	ten := "&skillId=" + strings.Join(ids[:10], "&skillId=")
	require.Len(t, c.skills(vendorQuery+ten).Skills, 11)
	for name, query := range map[string]string{
		"eleven skills":      ten + "&skillId=" + ids[10],
		"skill and token":    "&skillId=a&nextToken=" + *first.NextToken,
		"skill and size":     "&skillId=a&maxResults=5",
		"size 0":             "&maxResults=0",
		"size 51":            "&maxResults=51",
		"bad token":          "&nextToken=abc",
		"another list's end": "&nextToken=" + url.QueryEscape(c.sim.UnitID(0)),
	} {
		require.Equal(t, http.StatusBadRequest, c.do("GET", vendorQuery+query, "").Code, name)
	}
	require.Equal(t, http.StatusBadRequest, c.do("GET", "/v1/skills", "").Code)
	require.Equal(t, http.StatusBadRequest, c.do("GET", "/v1/skills/"+ids[0], "").Code, "there is no such operation")
}

// TestListsOfSkillsEnd says that whatever the pages are like, following them shows
// every entry.
func TestListsOfSkillsEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		share := rapid.Float64Range(0, 0.6)
		c := newDeveloper(t, simulator.Config{Seed: rapid.Uint64().Draw(rt, "seed"), Faults: simulator.Faults{
			ShortPage: share.Draw(rt, "short"), EmptyPage: share.Draw(rt, "empty"), DuplicateItem: share.Draw(rt, "duplicate"),
			NullToken: share.Draw(rt, "null"),
		}})
		var want []string
		for i := range rapid.IntRange(0, 30).Draw(rt, "skills") {
			skill := c.create(fmt.Sprintf("Skill %d", i))
			want = append(want, skill+"/development")
			if rapid.Bool().Draw(rt, "published") {
				require.NoError(rt, c.sim.Publish(simulator.PublishParams{SkillID: skill}))
				want = append(want, skill+"/live")
			}
		}
		size := rapid.IntRange(1, 50).Draw(rt, "size")
		var got []string
		for token := ""; ; {
			page := c.skills(fmt.Sprintf("%s&maxResults=%d&nextToken=%s", vendorQuery, size, token))
			require.LessOrEqual(rt, len(page.Skills), size)
			for _, item := range page.Skills {
				got = append(got, item.SkillID+"/"+item.Stage)
			}
			require.Equal(rt, page.IsTruncated, page.NextToken != nil)
			if !page.IsTruncated {
				break
			}
			token = *page.NextToken
		}
		require.Equal(rt, want, slices.Compact(got), "in order; the only repetitions are of a page's last item")
	})
}

func TestPublicationStatuses(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	skill := c.create("First")
	stages := func() (all []string) {
		for _, item := range c.skills(vendorQuery + "&skillId=" + skill).Skills {
			all = append(all, item.Stage+" "+item.PublicationStatus)
		}
		return all
	}
	require.Equal(t, []string{"development DEVELOPMENT"}, stages())
	for _, step := range []struct {
		status string
		want   []string
	}{
		{"CERTIFICATION", []string{"development DEVELOPMENT", "certified CERTIFICATION"}},
		{"CERTIFIED", []string{"development DEVELOPMENT", "certified CERTIFIED"}},
		{"PUBLISHED", []string{"development DEVELOPMENT", "live PUBLISHED"}},
		{"CERTIFICATION", []string{"development DEVELOPMENT", "certified CERTIFICATION", "live PUBLISHED"}},
		{"HIDDEN", []string{"development DEVELOPMENT", "certified CERTIFICATION", "live HIDDEN"}},
		{"REMOVED", []string{"development DEVELOPMENT", "certified CERTIFICATION", "live REMOVED"}},
		{"DEVELOPMENT", []string{"development DEVELOPMENT"}},
		{"HIDDEN", []string{"development DEVELOPMENT", "live HIDDEN"}},
	} {
		c.control("POST", "/_sim/skills/"+skill, `{"publication_status":"`+step.status+`"}`)
		require.Equal(t, step.want, stages(), step.status)
	}
	c.control("POST", "/_sim/skills/"+skill, `{"publication_status":"CERTIFIED"}`)
	for _, spelling := range []string{"certified", "certification"} {
		require.Equal(t, http.StatusOK, c.do("GET", manifestOf(skill, spelling), "").Code, spelling)
	}
}

func TestSkillControlsThatCannotBe(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{BuildDelay: buildDelay})
	building := c.create("First")
	for target, bodies := range map[string][]string{
		"/_sim/skills/homes-only": {`{"publication_status":"HIDDEN"}`, `{"build":{"fail":true}}`, `{"hosted":true}`, `{"seed_spelling":true}`},
		"/_sim/skills/" + building: {
			`{"publication_status":"SOLD"}`, `{"publication_status":"HIDDEN"}`, `{"build":{"delay":"-1s"}}`, `{"build":{"delay":7}}`, `{"build":{"delay":"soon"}}`, `{"price":1}`,
		},
		"/_sim/publish": {`{}`, `{"skill_id":"a b"}`, `{"skill_id":"` + building + `"}`},
		"/_sim/builds":  {`{"delay":"-1s"}`},
		"/_sim/regions": {`{"states":{"us":"down"}}`, `{"states":{"eu":"sleepy"}}`, `{"discovery_endpoints":["us"]}`, `{"discovery_status":200}`},
		"/_sim/accounts/" + simulator.DefaultCustomerClientID:       {`{"region":"us"}`},
		"/_sim/accounts/" + simulator.DefaultClientID:               {`{"region":"eu"}`},
		"/_sim/accounts/" + simulator.DefaultClientID + "/skills/a": {`{"status":"ENABLED"}`},
		"/_sim/accounts/" + simulator.DefaultCustomerClientID + "/skills/a": {
			`{}`, `{"status":"ABSENT"}`, `{"status":"ENABLED","stage":"certification"}`,
		},
		"/_sim/customer-codes": {`{}`, `{"skill_id":"a"}`, `{"redirect_uri":"r"}`},
	} {
		for _, body := range bodies {
			rec := c.do("POST", target, body)
			require.Equal(t, http.StatusBadRequest, rec.Code, "%s %s", target, body)
			require.NotEmpty(t, decode[map[string]string](t, rec)["error"])
		}
	}
	require.Equal(t, "IN_PROGRESS", c.status(building, "").Manifest.LastUpdateRequest.Status)
	nobody := simulator.New(simulator.Config{Accounts: simulator.DefaultConfig().Accounts[:1]})
	require.Error(t, nobody.Publish(simulator.PublishParams{SkillID: "a"}), "there is no vendor")
	require.Error(t, (&simulator.Config{Accounts: simulator.DefaultConfig().Accounts[:1], Published: []string{"a"}}).Validate())
	require.NoError(t, nobody.Publish(simulator.PublishParams{SkillID: "a", VendorID: "M1"}))
}

func TestPublishMakesASkillKnownToItsVendor(t *testing.T) {
	t.Parallel()
	c := newDeveloper(t, simulator.Config{})
	require.Equal(t, http.StatusNotFound, c.do("GET", manifestOf(skillID, "live"), "").Code)
	require.NoError(t, c.sim.Publish(simulator.PublishParams{SkillID: skillID, Fail: true}))
	require.Equal(t, http.StatusNotFound, c.do("GET", manifestOf(skillID, "live"), "").Code, "it failed")
	c.control("POST", "/_sim/publish", `{"skill_id":"`+skillID+`"}`)
	rec := c.do("GET", manifestOf(skillID, "live"), "")
	require.Equal(t, http.StatusOK, rec.Code)
	before := rec.Header().Get("ETag")
	require.Equal(t, "SUCCEEDED", c.status(skillID, "").Manifest.LastUpdateRequest.Status)

	require.Equal(t, http.StatusAccepted, c.update(skillID, "Better", "").Code)
	require.NotContains(t, c.do("GET", manifestOf(skillID, "live"), "").Body.String(), "Better")
	c.control("POST", "/_sim/publish", `{"skill_id":"`+skillID+`"}`)
	rec = c.do("GET", manifestOf(skillID, "live"), "")
	require.Contains(t, rec.Body.String(), "Better")
	require.NotEqual(t, before, rec.Header().Get("ETag"))
	require.Equal(t, fleet.StageLive, last(c.sim.History()).Stage)
}
