package simulator_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/simulator"
	"fleetd/internal/simulator/topic"
)

type pageLinks struct {
	Self struct{ Href string }
	Next *struct{ Href string }
}

type subscriberPage struct {
	Links       pageLinks `json:"_links"` //nolint:tagliatelle // as the API writes it
	NextToken   *string
	Subscribers []subscriberItem
}

type subscriberItem struct {
	SubscriberID, Name, ClientID, Status string
	Endpoint                             struct {
		URI           string
		Authorization struct{ Type, Arn string }
	}
}

func TestCreateSubscriber(t *testing.T) {
	t.Parallel()
	c, _ := startDevelopers(t, simulator.Config{})
	good := subscriberBody("one", vendorID)
	require.Contains(t, c.created(subscribersPath, good), "amzn1.ask-subscriber.")
	t.Run("of another vendor is 403", func(*testing.T) {
		c.refuses(http.StatusForbidden, "POST", subscribersPath, subscriberBody("one", otherVendorID))
	})
	for name, body := range map[string]string{
		"no body":        "",
		"not JSON":       "{",
		"not an object":  "[]",
		"no vendor":      strings.Replace(good, `"vendorId"`, `"vendorID"`, 1),
		"no name":        strings.Replace(good, `"name":"one",`, "", 1),
		"empty name":     strings.Replace(good, `"one"`, `""`, 1),
		"long name":      strings.Replace(good, "one", strings.Repeat("x", 256), 1),
		"name no string": strings.Replace(good, `"one"`, "1", 1),
		"no endpoint":    fmt.Sprintf(`{"name":"one","vendorId":%q}`, vendorID),
		"endpoint text":  fmt.Sprintf(`{"name":"one","vendorId":%q,"endpoint":"x"}`, vendorID),
		"no role":        fmt.Sprintf(`{"name":"one","vendorId":%q,"endpoint":{"uri":%q}}`, vendorID, topic.DefaultARN),
		"a URL":          strings.Replace(good, topic.DefaultARN, "https://example.com/hook", 1),
		"other type":     strings.Replace(good, "AWS_IAM", "NONE", 1),
		"no role ARN":    strings.Replace(good, roleARN, "arn:aws:iam::123456789012:user/me", 1),
		"huge body":      strings.Replace(good, "one", strings.Repeat("x", 70_000), 1),
	} {
		t.Run(name+" is 400", func(*testing.T) { c.refuses(http.StatusBadRequest, "POST", subscribersPath, body) })
	}
	require.Len(t, decode[subscriberPage](t, c.do("GET", subscribersPath+"?vendorId="+vendorID, "")).Subscribers, 1)
}

func TestGetSubscriber(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	id := c.subscriber()
	rec := c.do("GET", subscribersPath+"/"+id, "")
	require.Equal(t, http.StatusOK, rec.Code)
	require.JSONEq(t, fmt.Sprintf(`{"subscriberId":%q,"name":"one","endpoint":{"uri":%q,"authorization":{"type":"AWS_IAM","arn":%q}}}`,
		id, topic.DefaultARN, roleARN), rec.Body.String())
	other.refuses(http.StatusForbidden, "GET", subscribersPath+"/"+id, "")
	c.refuses(http.StatusNotFound, "GET", subscribersPath+"/"+absentID, "")
}

func TestUpdateSubscriber(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	id := c.subscriber()
	target := subscribersPath + "/" + id
	get := func() (item subscriberItem) { return decode[subscriberItem](t, c.do("GET", target, "")) }
	require.Equal(t, http.StatusNoContent, c.do("PUT", target, `{"name":"two"}`).Code)
	require.Equal(t, "two", get().Name)
	require.Equal(t, topic.DefaultARN, get().Endpoint.URI, "what is not declared stays")
	endpoint := `{"endpoint":{"uri":"` + topic.DefaultARN + `-2","authorization":{"type":"AWS_IAM","arn":"` + roleARN + `-2"}},"subscriberId":"` + id + `"}`
	require.Equal(t, http.StatusNoContent, c.do("PUT", target, endpoint).Code)
	require.Equal(t, topic.DefaultARN+"-2", get().Endpoint.URI)
	require.Equal(t, roleARN+"-2", get().Endpoint.Authorization.Arn)
	require.Equal(t, "two", get().Name)
	before := get()
	for _, body := range []string{
		"", `{"name":""}`, `{"name":"three","endpoint":{}}`, `{"name":"three","subscriberId":"` + absentID + `"}`, strings.Replace(endpoint, "sns", "sqs", 1),
	} {
		c.refuses(http.StatusBadRequest, "PUT", target, body)
	}
	other.refuses(http.StatusForbidden, "PUT", target, `{"name":"theirs"}`)
	c.refuses(http.StatusNotFound, "PUT", subscribersPath+"/"+absentID, `{"name":"nobody"}`)
	require.Equal(t, before, get(), "what is refused changes nothing")
}

func TestDeleteSubscriber(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	id := c.subscriber()
	target := subscribersPath + "/" + id
	subscription := c.created(subscriptionsPath, subscriptionBody("one", vendorID, id, simulator.EventSkillPublish))
	other.refuses(http.StatusForbidden, "DELETE", target, "")
	t.Run("with subscriptions is 400", func(*testing.T) { c.refuses(http.StatusBadRequest, "DELETE", target, "") })
	require.Equal(t, http.StatusNoContent, c.do("DELETE", subscriptionsPath+"/"+subscription, "").Code)
	require.Equal(t, http.StatusNoContent, c.do("DELETE", target, "").Code)
	c.refuses(http.StatusNotFound, "DELETE", target, "")
}

func TestListSubscribers(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	id := c.subscriber()
	other.created(subscribersPath, subscriberBody("theirs", otherVendorID))
	target := subscribersPath + "?vendorId=" + vendorID
	page := decode[subscriberPage](t, c.do("GET", target, ""))
	require.Len(t, page.Subscribers, 1)
	require.Equal(t, id, page.Subscribers[0].SubscriberID)
	require.Equal(t, "ACTIVE", page.Subscribers[0].Status)
	require.Equal(t, "dev", page.Subscribers[0].ClientID)
	require.Equal(t, target, page.Links.Self.Href)
	require.Nil(t, page.Links.Next)
	require.Nil(t, page.NextToken)
	c.refuses(http.StatusForbidden, "GET", subscribersPath+"?vendorId="+otherVendorID, "")
	for _, query := range []string{"", "?vendorId=", "?vendorId=" + vendorID + "&maxResults=51", "?vendorId=" + vendorID + "&maxResults=0", "?vendorId=" + vendorID + "&nextToken=made-up"} {
		c.refuses(http.StatusBadRequest, "GET", subscribersPath+query, "")
	}
}

// TestListSubscribersPages follows every page, by token and by link, with any size and the faults that pages have.
func TestListSubscribersPages(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	var want []string
	for i := range 57 {
		want = append(want, c.created(subscribersPath, subscriberBody(fmt.Sprint("n", i), vendorID)))
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 50).Draw(t, "size")
		byLink := rapid.Bool().Draw(t, "by link")
		require.NoError(t, c.sim.SetFaults(simulator.Faults{
			ShortPage: rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "short"), EmptyPage: rapid.SampledFrom([]float64{0, 0.3}).Draw(t, "empty"),
			NullToken: 0.5,
		}))
		base := fmt.Sprintf("%s?vendorId=%s&maxResults=%d", subscribersPath, vendorID, size)
		var got []string
		for target, pages := base, 0; target != ""; pages++ {
			require.Less(t, pages, 1000)
			rec := c.do("GET", target, "")
			require.Equal(t, http.StatusOK, rec.Code)
			page := decode[subscriberPage](c.t, rec)
			require.LessOrEqual(t, len(page.Subscribers), size)
			for _, item := range page.Subscribers {
				got = append(got, item.SubscriberID)
			}
			require.Equal(t, page.NextToken == nil, page.Links.Next == nil)
			target = ""
			if page.NextToken != nil {
				target = base + "&nextToken=" + url.QueryEscape(*page.NextToken)
				if byLink {
					target = page.Links.Next.Href
				}
			}
		}
		require.Equal(t, want, got)
	})
	require.NoError(t, c.sim.SetFaults(simulator.Faults{}))
	first := decode[subscriberPage](t, c.do("GET", subscribersPath+"?vendorId="+vendorID+"&maxResults=10", ""))
	token := "&nextToken=" + url.QueryEscape(*first.NextToken)
	for query, items := range map[string]int{"": 10, "&maxResults=11": 11} {
		page := decode[subscriberPage](t, c.do("GET", subscribersPath+"?vendorId="+vendorID+query+token, ""))
		require.Len(t, page.Subscribers, items, "a token is not of a size")
		require.Equal(t, want[10], page.Subscribers[0].SubscriberID)
	}
	c.refuses(http.StatusBadRequest, "GET", subscriptionsPath+"?vendorId="+vendorID+"&maxResults=10"+token, "")
	other.refuses(http.StatusBadRequest, "GET", subscribersPath+"?vendorId="+otherVendorID+"&maxResults=10"+token, "")
	other.refuses(http.StatusForbidden, "GET", subscribersPath+"?vendorId="+vendorID+"&maxResults=10"+token, "")
}
