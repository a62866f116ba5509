package simulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

type subscriptionPage struct {
	Links         pageLinks `json:"_links"` //nolint:tagliatelle // as the API writes it
	NextToken     *string
	Subscriptions []subscriptionItem
}

type subscriptionItem struct {
	Name, SubscriptionID, SubscriberID, VendorID string
	Events                                       []string
}

// The stand-in has a list of its own: it sends every event that fleetd knows, and no other.
func TestEventsAreThoseThatFleetdKnows(t *testing.T) {
	t.Parallel()
	require.Equal(t, fleet.EventNames(), simulator.EventNames())
}

func TestCreateSubscription(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	id := c.subscriber()
	good := subscriptionBody("one", vendorID, id, simulator.EventSkillPublish)
	require.Contains(t, c.created(subscriptionsPath, good), "amzn1.ask-subscription.")
	c.created(subscriptionsPath, subscriptionBody("all", vendorID, id, simulator.EventNames()...))
	for _, wildcard := range []string{"AlexaDevelopmentEvent.ALL", "AlexaDevelopmentEvent.All"} {
		c.created(subscriptionsPath, subscriptionBody("wildcard", vendorID, id, wildcard))
		t.Run(wildcard+" with others is 400", func(*testing.T) {
			c.refuses(http.StatusBadRequest, "POST", subscriptionsPath, subscriptionBody("one", vendorID, id, wildcard, simulator.EventSkillPublish))
			c.refuses(http.StatusBadRequest, "POST", subscriptionsPath, subscriptionBody("one", vendorID, id, simulator.EventSkillPublish, wildcard))
		})
	}
	for name, body := range map[string]string{
		"no body":       "",
		"no vendor":     strings.Replace(good, `"vendorId"`, `"vendor"`, 1),
		"no subscriber": strings.Replace(good, `"subscriberId"`, `"subscriber"`, 1),
		"no name":       strings.Replace(good, `"name":"one",`, "", 1),
		"no events":     strings.Replace(good, `"events"`, `"event"`, 1),
		"empty events":  strings.Replace(good, `["`+simulator.EventSkillPublish+`"]`, "[]", 1),
		"unknown event": strings.Replace(good, "SkillPublish", "SkillRemoved", 1),
		"lower case":    strings.Replace(good, "SkillPublish", "skillPublish", 1),
		"events text":   strings.Replace(good, `["`+simulator.EventSkillPublish+`"]`, `"`+simulator.EventSkillPublish+`"`, 1),
		"bare wildcard": subscriptionBody("one", vendorID, id, "ALL"),
	} {
		t.Run(name+" is 400", func(*testing.T) { c.refuses(http.StatusBadRequest, "POST", subscriptionsPath, body) })
	}
	c.refuses(http.StatusForbidden, "POST", subscriptionsPath, subscriptionBody("one", otherVendorID, id, simulator.EventSkillPublish))
	other.refuses(http.StatusForbidden, "POST", subscriptionsPath, subscriptionBody("one", otherVendorID, id, simulator.EventSkillPublish))
	c.refuses(http.StatusNotFound, "POST", subscriptionsPath, subscriptionBody("one", vendorID, absentID, simulator.EventSkillPublish))
	require.Len(t, decode[subscriptionPage](t, c.do("GET", subscriptionsPath+"?vendorId="+vendorID, "")).Subscriptions, 4)
}

func TestGetSubscription(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	subscriber := c.subscriber()
	id := c.created(subscriptionsPath, subscriptionBody("one", vendorID, subscriber, "AlexaDevelopmentEvent.ALL"))
	rec := c.do("GET", subscriptionsPath+"/"+id, "")
	require.Equal(t, http.StatusOK, rec.Code)
	require.JSONEq(t, fmt.Sprintf(`{"name":"one","subscriptionId":%q,"subscriberId":%q,"vendorId":%q,"events":["AlexaDevelopmentEvent.ALL"]}`,
		id, subscriber, vendorID), rec.Body.String())
	other.refuses(http.StatusForbidden, "GET", subscriptionsPath+"/"+id, "")
	c.refuses(http.StatusNotFound, "GET", subscriptionsPath+"/"+absentID, "")
}

func TestUpdateSubscription(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	target := subscriptionsPath + "/" + c.subscription(simulator.EventSkillPublish)
	get := func() (item subscriptionItem) { return decode[subscriptionItem](t, c.do("GET", target, "")) }
	require.Equal(t, http.StatusNoContent, c.do("PUT", target, `{"name":"two"}`).Code)
	require.Equal(t, []string{simulator.EventSkillPublish}, get().Events, "what is not declared stays")
	require.Equal(t, http.StatusNoContent, c.do("PUT", target, `{"events":["AlexaDevelopmentEvent.All"]}`).Code)
	require.Equal(t, []string{"AlexaDevelopmentEvent.All"}, get().Events)
	require.Equal(t, "two", get().Name)
	before := get()
	for _, body := range []string{
		"", `{"name":""}`, `{"events":[]}`, `{"events":["AlexaDevelopmentEvent.All","AlexaDevelopmentEvent.SkillPublish"]}`, `{"events":["nothing"]}`,
		`{"name":"three","subscriberId":"` + absentID + `"}`, `{"name":"three","subscriptionId":"` + absentID + `"}`, `{"name":"three","subscriberId":1}`,
	} {
		c.refuses(http.StatusBadRequest, "PUT", target, body)
	}
	other.refuses(http.StatusForbidden, "PUT", target, `{"name":"theirs"}`)
	c.refuses(http.StatusNotFound, "PUT", subscriptionsPath+"/"+absentID, `{"name":"nobody"}`)
	require.Equal(t, before, get(), "what is refused changes nothing")
}

func TestDeleteSubscription(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	target := subscriptionsPath + "/" + c.subscription(simulator.EventSkillPublish)
	other.refuses(http.StatusForbidden, "DELETE", target, "")
	require.Equal(t, http.StatusNoContent, c.do("DELETE", target, "").Code)
	c.refuses(http.StatusNotFound, "DELETE", target, "")
	c.refuses(http.StatusNotFound, "GET", target, "")
}

func TestListSubscriptions(t *testing.T) {
	t.Parallel()
	c, other := startDevelopers(t, simulator.Config{})
	one, two := c.subscriber(), c.subscriber()
	first := c.created(subscriptionsPath, subscriptionBody("one", vendorID, one, simulator.EventSkillPublish))
	second := c.created(subscriptionsPath, subscriptionBody("two", vendorID, two, simulator.EventSkillPublish))
	theirs := other.created(subscribersPath, subscriberBody("theirs", otherVendorID))
	other.created(subscriptionsPath, subscriptionBody("theirs", otherVendorID, theirs, simulator.EventSkillPublish))
	for query, want := range map[string][]string{
		"vendorId=" + vendorID:                          {first, second},
		"subscriberId=" + two:                           {second},
		"subscriberId=" + one + "&vendorId=" + vendorID: {first},
		"vendorId=" + vendorID + "&maxResults=1":        {first},
	} {
		page := decode[subscriptionPage](t, c.do("GET", subscriptionsPath+"?"+query, ""))
		var got []string
		for _, item := range page.Subscriptions {
			got = append(got, item.SubscriptionID)
		}
		require.Equal(t, want, got, query)
		require.Equal(t, subscriptionsPath+"?"+query, page.Links.Self.Href)
		if strings.Contains(query, "maxResults") {
			c.refuses(http.StatusBadRequest, "GET", page.Links.Next.Href+"&subscriberId="+one, "") // The token is of another list.
			page = decode[subscriptionPage](t, c.do("GET", page.Links.Next.Href, ""))
			require.Equal(t, second, page.Subscriptions[0].SubscriptionID)
			require.Nil(t, page.NextToken)
		}
	}
	c.refuses(http.StatusForbidden, "GET", subscriptionsPath+"?vendorId="+otherVendorID, "")
	c.refuses(http.StatusForbidden, "GET", subscriptionsPath+"?subscriberId="+theirs, "")
	c.refuses(http.StatusNotFound, "GET", subscriptionsPath+"?subscriberId="+absentID, "")
	for _, query := range []string{"", "?vendorId=" + vendorID + "&maxResults=51", "?vendorId=" + vendorID + "&nextToken=x"} {
		c.refuses(http.StatusBadRequest, "GET", subscriptionsPath+query, "")
	}
}
