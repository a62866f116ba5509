package notifications

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"fleetd/internal/remote"
)

const (
	// MaxPageSize is the most items that a page may be asked for.
	MaxPageSize = 50
	// maxPages ends a walk through a server that never does.
	maxPages = 200
)

// pageWire is one page of a list.
type pageWire interface {
	remote.Checker

	next() string
}

// paging is what every page says of the one after it.
type paging struct {
	NextToken *string `json:"nextToken"`
	Links     *struct {
		Next *struct {
			Href string `json:"href"`
		} `json:"next"`
	} `json:"_links"`
}

// next is the token of the next page, which some answers have in their link alone.
func (p *paging) next() string {
	if p.NextToken != nil && *p.NextToken != "" {
		return *p.NextToken
	}
	if p.Links == nil || p.Links.Next == nil {
		return ""
	}
	u, err := url.Parse(p.Links.Next.Href)
	if err != nil {
		return ""
	}
	return u.Query().Get("nextToken")
}

// check reports a page that says that another follows and not how to ask for it, and
// one that has neither items nor a token.
func (p *paging) check(items bool) error {
	switch {
	case p.next() != "":
		return nil
	case p.Links != nil && p.Links.Next != nil && p.Links.Next.Href != "":
		return errors.New("the page links to the next one without its token")
	case !items:
		return errors.New("the page has neither items nor a token")
	}
	return nil
}

// list reads every page: the same request each time, but for the token. A token that
// came before, pages without end and a token that the API refuses are errors: a list is
// whole or it is a failure.
func (c *Client) list(ctx context.Context, operation, collection string, query url.Values, page func() pageWire, take func(pageWire)) error {
	seen := map[string]bool{}
	asks, begun := ctx, remote.WithBegun(ctx)
	query = maps.Clone(query)
	query.Set("maxResults", strconv.Itoa(MaxPageSize))
	for n := range maxPages {
		out := page()
		meta, err := c.remote.Do(asks, remote.Request{
			API: API, Operation: operation, Method: http.MethodGet, Path: path(collection, ""), Query: query, Advice: advice(nil),
		}, out)
		if err != nil {
			var e *remote.Error
			if n > 0 && errors.As(err, &e) && e.Status == http.StatusBadRequest {
				return endless(operation, e.RequestID, n, "a token of the API's own that it then refuses")
			}
			return notPage(err)
		}
		take(out)
		token := out.next()
		if token == "" {
			return nil
		}
		if seen[token] {
			return endless(operation, meta.RequestID, n+1, "tokens that go in a circle")
		}
		seen[token] = true
		query.Set("nextToken", token)
		asks = begun //nolint:fatcontext // One of two: it does not grow.
	}
	return endless(operation, "", maxPages, "no end")
}

// unique drops what stands on two pages; the last one counts.
func unique[T any](all []T, id func(T) string) []T {
	at := make(map[string]int, len(all))
	out := slices.Grow([]T{}, len(all))
	for _, v := range all {
		if i, double := at[id(v)]; double {
			out[i] = v
			continue
		}
		at[id(v)] = len(out)
		out = append(out, v)
	}
	return out
}

// endless says that a list has no end that can be reached, so that what it holds is not
// known. A later walk may end.
func endless(operation, requestID string, pages int, what string) error {
	return &remote.Error{API: API, Operation: operation, RequestID: requestID, Err: fmt.Errorf(
		"%w: %d pages, and %s, so the list is not known", remote.ErrUnreadable, pages, what)}
}
