package residential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

const (
	// MaxPageSize is the most records a page may be asked for, and the default.
	MaxPageSize = 10
	// maxPages ends a walk through a server that never does: ten times what a
	// thousand skills on one home would take.
	maxPages = 1000
)

// ListOpts narrows a list.
type ListOpts struct {
	Stage    fleet.Stage // empty is not sent
	PageSize int         // 1 to MaxPageSize; 0 is MaxPageSize
}

// Enablement is one skill on the unit that was asked for.
type Enablement struct {
	SkillID     string
	Status      fleet.Status     // as it came
	Stage       fleet.Stage      // as it came
	AccountLink fleet.LinkStatus // as it came, empty where the answer had none
	RequestID   string           // of the page it stood on
	At          time.Time        // local clock, when the request for that page left
}

// Observation is the enablement as it is stored and compared.
func (e Enablement) Observation() fleet.Observation {
	return fleet.Observation{Status: e.Status, Stage: e.Stage, AccountLink: e.AccountLink, ObservedAt: e.At}
}

// ListPage is one page of a list. An empty NextToken ends it; an empty page with
// a token does not.
type ListPage struct {
	Items     []Enablement
	NextToken string
	RequestID string
	At        time.Time // local clock, when the request left
}

// Listing is the whole list of a unit.
type Listing struct {
	Items []Enablement
	Pages int // how many were read; of a list that failed, before it did
}

// List walks every page of the unit's enablements. A skill that shows on several
// pages at one stage is kept once, where it first stood, as the last page had it.
// A token that came before, or pages without end, are an error that says so, and so
// is a token that the API refuses: a list is whole or it is a failure.
func (c *Client) List(ctx context.Context, unitID string, opts ListOpts) (Listing, error) {
	type key struct {
		skill string
		stage fleet.Stage
	}
	var all []Enablement
	at := map[key]int{}
	seen := map[string]bool{}
	token := ""
	asks, begun := ctx, remote.WithBegun(ctx)
	for n := range maxPages {
		page, err := c.Page(asks, unitID, token, opts)
		if err != nil {
			return Listing{Pages: n}, refusedToken(err, n)
		}
		all = slices.Grow(all, len(page.Items))
		for _, e := range page.Items {
			k := key{e.SkillID, e.Stage}
			if i, double := at[k]; double {
				all[i] = e
				continue
			}
			at[k] = len(all)
			all = append(all, e)
		}
		if page.NextToken == "" {
			return Listing{Items: all, Pages: n + 1}, nil
		}
		if seen[page.NextToken] {
			return Listing{Pages: n + 1}, &PageError{Pages: n + 1, RequestID: page.RequestID, Repeated: true}
		}
		token = page.NextToken
		seen[token] = true
		asks = begun //nolint:fatcontext // One of two: it does not grow.
	}
	return Listing{Pages: maxPages}, &PageError{Pages: maxPages}
}

// refusedToken tells a 400 to the first page, which is of the request, from one to
// a later page: all that is new in it is the API's own token.
func refusedToken(err error, pages int) error {
	var e *remote.Error
	if pages == 0 || !errors.As(err, &e) || e.Status != http.StatusBadRequest {
		return err
	}
	return &PageError{Pages: pages, RequestID: e.RequestID, Expired: true, Err: err}
}

// Page reads one page: the first where token is empty. The request is the same
// for every page but for the token, as the API asks.
func (c *Client) Page(ctx context.Context, unitID, token string, opts ListOpts) (ListPage, error) {
	query, err := unitQuery(unitID, opts.Stage)
	if err != nil {
		return ListPage{}, err
	}
	size := opts.PageSize
	if size == 0 {
		size = MaxPageSize
	}
	if size < 1 || size > MaxPageSize {
		return ListPage{}, fleet.Invalidf("page_size", "%d is not a page size: the API allows 1 to %d", opts.PageSize, MaxPageSize)
	}
	query.Set("maxResults", strconv.Itoa(size))
	if token != "" {
		query.Set("nextToken", token)
	}
	return c.page(ctx, query)
}

func (c *Client) page(ctx context.Context, query url.Values) (ListPage, error) {
	var body listAnswer
	meta, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: OpList, Method: http.MethodGet, Path: "/v1/skills/enablements", Query: query,
	}, &body)
	if err != nil {
		return ListPage{}, err
	}
	records := body.records()
	page := ListPage{NextToken: body.next(), RequestID: meta.RequestID, At: meta.SentAt}
	page.Items = make([]Enablement, 0, len(records))
	for _, e := range records {
		page.Items = append(page.Items, Enablement{
			SkillID: e.Skill.ID, Status: e.status(), Stage: fleet.Stage(e.Skill.Stage), AccountLink: e.link(),
			RequestID: meta.RequestID, At: meta.SentAt,
		})
	}
	return page, nil
}

// PageError says that a list has no end that can be reached, so that what it
// holds is not known.
type PageError struct {
	Pages     int // how many were read
	RequestID string
	Repeated  bool // a token came a second time
	Expired   bool // a token of the API's own was refused: start over
	Err       error
}

// Error says what the pages did.
func (e *PageError) Error() string {
	if e.Repeated {
		return fmt.Sprintf("residential %s: page %d (request ID %s) carries a token that came before: "+
			"the API's pages go in a circle, so the list is not known; try again later", OpList, e.Pages, e.RequestID)
	}
	if e.Expired {
		return fmt.Sprintf("residential %s: after %d pages the API refuses its own token (request ID %s), so the list is not known; start over",
			OpList, e.Pages, e.RequestID)
	}
	return fmt.Sprintf("residential %s: %d pages and no end, so the list is not known; try again later", OpList, e.Pages)
}

// Unwrap returns what the API said, where it refused a token.
func (e *PageError) Unwrap() error { return e.Err }

// Temporary is true: a later walk may end.
func (e *PageError) Temporary() bool { return true }
