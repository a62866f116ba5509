package notifications

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/remote"
)

// Whatever the sizes of the pages, where the token stands and what shows twice: every
// item comes once, and no page is asked for more than 50.
func TestAnyPages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 60), 1, 8).Draw(t, "sizes")
		overlap := rapid.IntRange(0, 3).Draw(t, "overlap")
		inLink := rapid.Bool().Draw(t, "token in the link")
		asked := 0
		var want []string
		pages := make([][]map[string]any, len(sizes))
		for i, size := range sizes {
			if i > 0 && len(pages[i-1]) > 0 {
				pages[i] = append(pages[i], pages[i-1][max(0, len(pages[i-1])-overlap):]...)
			}
			for range size {
				id := fmt.Sprintf("amzn1.x.%d", len(want))
				want = append(want, id)
				pages[i] = append(pages[i], map[string]any{"subscriberId": id, "subscriptionId": id, "name": "n"})
			}
		}
		c := setup(t, func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			require.Equal(t, "50", q.Get("maxResults"))
			require.Equal(t, vendor, q.Get("vendorId"))
			n, _ := strconv.Atoi(strings.TrimPrefix(q.Get("nextToken"), "t+/="))
			require.Equal(t, asked, n)
			asked++
			answer := map[string]any{"subscribers": pages[n], "subscriptions": pages[n]}
			if pages[n] == nil {
				answer = map[string]any{"subscribers": []any{}, "subscriptions": []any{}}
			}
			if n+1 < len(pages) {
				token := fmt.Sprintf("t+/=%d", n+1)
				if inLink {
					answer["_links"] = map[string]any{"next": map[string]any{"href": "/v0/x?nextToken=t%2B%2F%3D" + strconv.Itoa(n+1)}}
				} else {
					answer["nextToken"] = token
				}
			}
			require.NoError(t, json.NewEncoder(w).Encode(answer))
		})
		subscribers, err := c.ListSubscribers(t.Context(), vendor)
		require.NoError(t, err)
		require.Equal(t, len(sizes), asked)
		var got []string
		for _, s := range subscribers {
			got = append(got, s.ID)
		}
		require.Equal(t, want, got)
		asked = 0
		subscriptions, err := c.ListSubscriptions(t.Context(), vendor, "")
		require.NoError(t, err)
		require.Len(t, subscriptions, len(want))
	})
}

func TestListsAreWholeOrAFailure(t *testing.T) {
	t.Parallel()
	n := 0
	tests := map[string]struct {
		page  http.HandlerFunc
		asked int
		says  string
	}{
		"a circle":          {always(200, "", `{"subscribers":[],"nextToken":"same"}`), 2, "in a circle"},
		"no end":            {func(w http.ResponseWriter, _ *http.Request) { n++; _, _ = fmt.Fprintf(w, `{"nextToken":"%d"}`, n) }, maxPages, "200 pages"},
		"a token refused":   {onSecond(always(400, "", refusedBody)), 2, "that it then refuses"},
		"gone on the way":   {onSecond(always(500, "", refusedBody)), 2, "500"},
		"refused on page 1": {always(400, "", refusedBody), 1, "check the vendor ID"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			c := setup(t, func(w http.ResponseWriter, r *http.Request) { asked++; tt.page(w, r) })
			got, err := c.ListSubscribers(t.Context(), vendor)
			require.Nil(t, got)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, name != "refused on page 1", asRemote(t, err).Temporary())
			require.Equal(t, tt.asked, asked)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// onSecond answers the first page well and the others so.
func onSecond(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("nextToken") != "" {
			h(w, r)
			return
		}
		always(200, "", `{"subscribers":[`+subscriberBody+`],"nextToken":"2"}`)(w, r)
	}
}

// Whatever an answer holds, it is understood as far as it says something or is an
// error, and whatever has no ID is never listed.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		subscriberBody, subscriptionBody, `{"subscribers":[` + subscriberBody + `],"nextToken":null}`, `{"subscriptions":[` + subscriptionBody + `],"_links":{"next":{"href":"?nextToken=x"}}}`,
		``, `{}`, `null`, `[]`, `<html>`, `{"subscribers":[{}]}`, `{"subscriptions":[null]}`, `{"subscriberId":"x","endpoint":{"authorization":null}}`, `{"_links":{"next":{"href":"%zz"}}}`,
	} {
		f.Add(200, []byte(s), "/v0/developmentEvents/subscribers/x")
		f.Add(404, []byte(s), "")
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, location string) {
		if status < 200 || status > 599 || status == 429 || status == 503 || status == 204 || status == 304 || strings.ContainsAny(location, "\r\n") {
			return // 429 and 503 are sent again until the caller gives up; the others have no body
		}
		for name, call := range operations(limited(t, 40, always(status, location, string(body)))) {
			got, err := call(t.Context())
			if err != nil {
				require.NotContains(t, err.Error(), "\n")
				continue
			}
			require.Less(t, status, 300)
			ids := []string{}
			switch v := got.(type) {
			case Created:
				ids = append(ids, v.ID)
			case Subscriber:
				ids = append(ids, v.ID)
			case Subscription:
				ids = append(ids, v.ID)
			case []Subscriber:
				for _, s := range v {
					ids = append(ids, s.ID)
				}
			case []Subscription:
				for _, s := range v {
					ids = append(ids, s.ID)
				}
			default:
				require.True(t, isWrite(name))
			}
			require.Equal(t, ids, slices.Compact(slices.Clone(ids)))
			for _, id := range ids {
				require.NoError(t, remote.CheckID("id", id), name)
			}
		}
	})
}
